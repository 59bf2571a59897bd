"""Claims P4 and P7 in words: what predicts learning, where learning takes a network, and which initialisation is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quasicrit.tables import SCHEMAS, atomic_path, read_table

__all__ = [
    "advice_claim",
    "advice_lines",
    "followed_lines",
    "prediction_claim",
    "prediction_lines",
    "tabulate_initialisations",
]

CHAMPION = "chi_m(L)"
RIVALS = ("-|chi_1 - 1|", "log xi_c", "-|ln J²(L)|", "-|sigma_w - sigma_EOC|", "-distance to (1, 0)")
_WORDS = {"wins": "holds", "ties": "ties", "loses": "fails", "none": "is not measured"}


def _regime(row: Any) -> str:
    """A regime in words."""
    where = f"{row.task}, N = {row.width}, "
    where += "all runs pooled" if row.depth == 0 else f"L = {row.depth}, {row.optimiser}, rate {row.learning_rate}"
    return f"{where}, {row.biases} biases"


def prediction_claim(contests: pd.DataFrame, ranking: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of P4: the susceptibility against each rival, in every regime, by accuracy."""
    own = contests[
        (contests["predictor"] == CHAMPION) & contests["rival"].isin(RIVALS) & (contests["outcome"] == "accuracy")
    ]
    best = ranking[ranking["outcome"] == "accuracy"]
    keys = ["task", "width", "depth", "optimiser", "learning_rate", "biases"]
    controls = {
        key: _show(group["spearman"].iloc[0])
        for key, group in best[best["predictor"] == "neural persistence"].groupby(keys, observed=True)
    }
    rows = []
    for row in own.itertuples():
        key = tuple(getattr(row, name) for name in keys)
        rows.append(
            {
                "claim": "P4",
                "quantity": f"rho({CHAMPION}) − rho({row.rival}), {_regime(row)}",
                "ours": _value(row.difference),
                "ci_low": _value(row.ci_low),
                "ci_high": _value(row.ci_high),
                "paper": None,
                "controls": f"neural persistence, which does not depend on sigma_w, sigma_b: rho = {controls.get(key, '–')}",
                "sentence": f"Over {row.n_points} points the claim {_WORDS[str(row.outcome_of_contest)]} against {row.rival}.",
            }
        )
    return rows


def prediction_lines(contests: pd.DataFrame, ranking: pd.DataFrame, split: float) -> list[str]:
    """The verdict on P4: by regime, the susceptibility's correlation and its differences to rivals; then who is best."""
    own = contests[
        (contests["predictor"] == CHAMPION) & contests["rival"].isin(RIVALS) & (contests["outcome"] == "accuracy")
    ]
    if own.empty:
        return ["Not measured in this run."]
    counts = {
        rival: group["outcome_of_contest"].astype(str).value_counts()
        for rival, group in own[
            (own["depth"] > 0) & (own["biases"] != "all") & (own["learning_rate"] != "best")
        ].groupby("rival", observed=True)
    }
    parts = [
        f"against {rival} it holds in {c.get('wins', 0)}, ties in {c.get('ties', 0)} and fails in {c.get('loses', 0)}"
        for rival, c in counts.items()
    ]
    counted = (
        f"Of the regimes (task, run, weak or strong biases): {'; '.join(parts)}." if parts else "Too few points to say."
    )
    lines = [
        f"Does maximal susceptibility chi_m(L) order accuracies better than closeness to criticality? {counted} A tie is an interval that holds 0.",
        "",
        f"Weak biases: sigma_b up to {split:g}, declared before the run. Differences of Spearman's rho with 95 % intervals, points and seeds resampled, the same",
        "draws for both; bold: the interval excludes 0.",
        "",
        "| regime | points | rho of chi_m(L) | "
        + " | ".join(f"less {_cell(rival)}" for rival in RIVALS)
        + " | best predictor | regret of chi_m(L) |",
        "|---|---|---|" + "---|" * (len(RIVALS) + 2),
    ]
    keys = ["task", "width", "depth", "optimiser", "learning_rate", "biases"]
    accuracy = ranking[ranking["outcome"] == "accuracy"]
    grouped = dict(list(own.groupby(keys, observed=True, sort=False)))
    for key, rows in accuracy.groupby(keys, observed=True, sort=False):
        named = {str(r.predictor): r for r in rows.itertuples()}
        mine = named.get(CHAMPION)
        if mine is None or pd.isna(mine.spearman) or key not in grouped:
            continue
        against = {str(r.rival): r for r in grouped[key].itertuples()}
        cells = []
        for rival in RIVALS:
            r = against.get(rival)
            if r is None or pd.isna(r.difference):
                cells.append("–")
                continue
            text = _with_interval(r.difference, r.ci_low, r.ci_high, "+.2f")
            cells.append(f"**{text}**" if r.outcome_of_contest in ("wins", "loses") else text)
        top = rows.loc[rows["spearman"].idxmax()]
        regret = "–" if pd.isna(mine.regret) else f"{mine.regret:.3f} ± {mine.regret_error:.3f}"
        lines.append(
            f"| {_regime(mine)} | {mine.n_points} | {_with_interval(mine.spearman, mine.spearman_low, mine.spearman_high, '.2f')} | "
            f"{' | '.join(cells)} | {_cell(top['predictor'])} ({top['spearman']:.2f}) | {regret} |"
        )
    speed = ranking[(ranking["outcome"] == "speed") & (ranking["predictor"] == CHAMPION) & ranking["spearman"].notna()]
    if len(speed):
        shown = ", ".join(
            f"{row.spearman:.2f} ({_regime(row)})" for row in speed[speed["biases"] != "all"].itertuples() if row.depth
        )
        lines += ["", f"With the speed of learning in place of accuracy, rho of chi_m(L): {shown}."]
    return lines


def _with_interval(value: float, low: float, high: float, digits: str) -> str:
    """A value with its interval, which is unknown where too many resamples have nothing but accuracies at chance."""
    if pd.isna(low) or pd.isna(high):
        return f"{value:{digits}} (interval unknown: nearly all at chance)"
    return f"{value:{digits}} ({low:{digits}} to {high:{digits}})"


def followed_lines(followed: pd.DataFrame) -> list[str]:
    """Whether learning moves networks, and toward or away from criticality: first and last step."""
    first, last = followed["step"].min(), followed["step"].max()
    one = followed.iloc[0]
    lines = [
        f"{one.task}, N = {one.width}, L = {one.depth}, sigma_b = {one.sigma_b:g}; steps {first} → {last}, mean ± standard error over networks. The Jacobian is measured on the",
        "networks as they are: ln of what a small change of the input gains per layer, 0 at the edge of chaos.",
        "",
        "| sigma_w at the start | test accuracy | √(N Var W) | ln gain per layer | susceptibility | xi_c at the effective scales | mean duration | finding |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for start, rows in followed.groupby("sigma_w", sort=True):
        ends = {
            (str(quantity), step): group["value"].dropna()
            for (quantity, step), group in rows[rows["step"].isin([first, last])].groupby(
                ["quantity", "step"], observed=True
            )
        }

        def cell(quantity: str, form: str = ".3f", ends: Mapping[Any, pd.Series] = ends) -> str:
            return " → ".join(
                f"{v.mean():{form}} ± {v.sem():{form}}" if len(v) > 1 else "–"
                for v in (
                    ends.get((quantity, first), pd.Series(dtype=float)),
                    ends.get((quantity, last), pd.Series(dtype=float)),
                )
            )

        lines.append(
            f"| {start:g} | {cell('test accuracy')} | {cell('effective sigma_w')} | {cell('log_jacobian per layer')} | {cell('susceptibility', '.2f')} | "
            f"{cell('xi_c at the effective scales', '.1f')} | {cell('mean duration', '.2f')} | {_moved(rows, first, last)} |"
        )
    return lines


def _moved(rows: pd.DataFrame, first: int, last: int) -> str:
    """Toward or from the edge of chaos, by the paired change of |ln gain per layer| over networks."""
    table = rows[rows["quantity"] == "log_jacobian per layer"].pivot_table(index="net", columns="step", values="value")
    if first not in table or last not in table:
        return "not measured"
    change = (table[last].abs() - table[first].abs()).dropna()
    if len(change) < 2:
        return "not measured"
    mean, error = change.mean(), change.sem()
    if abs(mean) <= 2 * error:
        return "no move seen"
    return "toward the edge of chaos" if mean < 0 else "away from the edge of chaos"


def advice_claim(advice: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of P7: the advised orthogonal initialisation less each other one."""
    rows = []
    for row in advice[advice["difference"].notna()].itertuples():
        edge = "; its best rate is the first or last of those tried" if row.rate_at_edge else ""
        rows.append(
            {
                "claim": "P7",
                "quantity": f"accuracy of advised orthogonal − {row.method}, {row.task}, N = {row.width}, L = {row.depth}",
                "ours": float(row.difference),
                "ci_low": float(row.difference_low),
                "ci_high": float(row.difference_high),
                "paper": None,
                "controls": f"each at its own best learning rate, {row.steps} steps, {row.seeds} fresh seeds{edge}",
                "sentence": f"Advised: {row.verdict} (against {row.accuracy:.3f} at rate {row.learning_rate:g}).",
            }
        )
    return rows


def advice_lines(advice: pd.DataFrame) -> list[str]:
    """The table of initialisations, a column for each task and depth, and what it says."""
    if advice.empty:
        return ["Not measured in this run."]
    columns = list(dict.fromkeys(zip(advice["task"].astype(str), advice["depth"])))
    methods: Sequence[str] = list(dict.fromkeys(advice["method"].astype(str)))
    seeds = int(advice["seeds"].iloc[0])
    counts = advice["verdict"].astype(str).value_counts()
    lines = [
        f"In test accuracy after equal budgets, each initialisation at its own best learning rate, the advised orthogonal one is better in {counts.get('better', 0)}, "
        f"not told apart in {counts.get('no difference', 0)}, worse in {counts.get('worse', 0)} comparisons.",
        "",
        f"The rate is the one that is best on a fifth of the training samples; {seeds} fresh seeds; 95 % intervals over seeds and test samples. Bold: the interval of the paired "
        "difference excludes 0. A star: the best rate is the first or last of those tried.",
        "",
        "| initialisation | " + " | ".join(f"{task}, L = {depth}" for task, depth in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in methods:
        cells = []
        for task, depth in columns:
            found = advice[(advice["task"] == task) & (advice["depth"] == depth) & (advice["method"] == method)]
            row = next(found.itertuples(), None)
            if row is None:
                cells.append("–")
                continue
            text = f"{row.accuracy:.3f} ({row.ci_low:.3f}–{row.ci_high:.3f})"
            text = f"**{text}**" if row.verdict in ("better", "worse") else text
            cells.append(f"{text} at {row.learning_rate:g}{'*' if row.rate_at_edge else ''}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def tabulate_initialisations(advice: Sequence[str], table: Path | str) -> None:
    """Write the table of initialisations alone, as text: for a run of that part of the workflow."""
    with atomic_path(table) as temporary:
        temporary.write_text(
            "\n".join(advice_lines(read_table(list(advice), SCHEMAS["advice"]))) + "\n", encoding="utf-8"
        )


def _cell(name: Any) -> str:
    """A name within a table of Markdown, where a bar would end the cell."""
    return str(name).replace("|", "\\|")


def _value(number: Any) -> float | None:
    return None if pd.isna(number) else float(number)


def _show(number: Any) -> str:
    return "–" if pd.isna(number) else f"{number:.2f}"
