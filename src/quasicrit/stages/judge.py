"""Rule judge_claims: the claims of arXiv:2509.22649 that this run can test, with numbers, controls and a plain sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quasicrit.stages.architecture_summary import architecture_claim, architecture_lines
from quasicrit.stages.class_summary import class_lines
from quasicrit.stages.learning_summary import (
    advice_claim,
    advice_lines,
    followed_lines,
    prediction_claim,
    prediction_lines,
)
from quasicrit.stages.population_summary import population_claim, population_lines
from quasicrit.tables import SCHEMAS, atomic_path, read_table, write_table

__all__ = ["judge_claims"]

#: The paper's numbers, as its abstract and text give them; no error bars of the paper are at hand.
PAPER = {"tau_d": 1.53, "tau_s": 1.34, "gamma": 1.5}
#: Brownian excursion (Baldassarri, Colaiori & Castellano 2003): what a walk in ln m gives.
BROWNIAN = {"tau_d": 3 / 2, "tau_s": 4 / 3, "gamma": 3 / 2}
_KEYS = ["source", "protocol", "point_id"]


def judge_claims(
    params: Mapping[str, Any],
    inputs: Mapping[str, Sequence[str]],
    verdicts: Path | str,
    summary: Path | str,
    details: Mapping[str, Any],
) -> None:
    """Write the verdicts table and summary.md.

    ``inputs``: paths of points, exponents, cutoffs, scaling, controls, survival, learning, ranking, contests, followed, advice,
    architectures, populations, classes, point_verdicts, definitions, confusion.
    """
    points = read_table(list(inputs["points"]), SCHEMAS["points"]).astype(dict.fromkeys(_KEYS, str))
    exponents = _joined(inputs["exponents"], "exponents", points)
    cutoffs = _joined(inputs["cutoffs"], "cutoffs", points)
    scaling = read_table(list(inputs["scaling"]), SCHEMAS["scaling"])
    controls = read_table(list(inputs["controls"]), SCHEMAS["controls"])
    survival = read_table(list(inputs["survival"]), SCHEMAS["survival"])
    learning = read_table(list(inputs["learning"]), SCHEMAS["learning"])
    classes = {
        name: read_table(list(inputs[name]), SCHEMAS[name])
        for name in ("classes", "point_verdicts", "definitions", "confusion")
    }
    ranking, contests, followed, advice, architectures, populations = (
        read_table(list(inputs[name]), SCHEMAS[name])
        for name in ("ranking", "contests", "followed", "advice", "architectures", "populations")
    )
    graded = _graded(classes["point_verdicts"])
    judged = [
        *_exponent_claim(exponents, controls, graded),
        *_crackling_claim(exponents, params["tolerance"], graded),
        *_ridge_claim(scaling, cutoffs),
        *prediction_claim(contests, ranking),
        *_scaling_claim(scaling, survival, params["depth_shift"]),
        *architecture_claim(architectures, params["learnt_above"]),
        *advice_claim(advice),
        *population_claim(populations),
    ]
    unasked = dict.fromkeys(("verdict", "probability", "grade"))
    write_table(verdicts, SCHEMAS["verdicts"], [unasked | row for row in judged], details)
    with atomic_path(summary) as temporary:
        section = class_lines(points, **classes)
        definitions = _with_points(classes["definitions"], points)
        learnt = [
            "## P4. What predicts learning",
            "",
            *prediction_lines(contests, ranking, params["bias_split"]),
            "",
            "## P6. Residual and other architectures, by three definitions of avalanches",
            "",
            *architecture_lines(architectures, params["learnt_above"]),
            "",
            "## P7. Initialisations compared",
            "",
            *advice_lines(advice),
            "",
            "## P8. Populations of neurons, by the same estimators",
            "",
            *population_lines(populations),
            "",
            "## Does learning move the network?",
            "",
            *followed_lines(followed),
        ]
        text = _summary(judged, exponents, cutoffs, controls, learning, section, learnt, definitions, params)
        temporary.write_text(text, encoding="utf-8")


def _joined(paths: Sequence[str], name: str, points: pd.DataFrame) -> pd.DataFrame:
    return _with_points(read_table(list(paths), SCHEMAS[name]), points)


def _with_points(frame: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(dict.fromkeys(_KEYS, str)).merge(points, on=_KEYS, suffixes=("", "_of_point"))


def _graded(point_verdicts: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By point the most probable class of its events, with its probability, and the grade of their evidence."""
    return {
        (str(row.source), str(row.protocol), str(row.point_id)): {
            "verdict": str(row.verdict),
            "probability": float(row.probability),
            "grade": str(row.grade),
        }
        for row in point_verdicts.itertuples()
        if pd.notna(row.probability)
    }


def _row(
    claim: str, quantity: str, cells: Sequence[Any], paper: float | None, controls: str, text: str
) -> dict[str, Any]:
    ours, low, high = (None if value is None or pd.isna(value) else float(value) for value in cells)
    return {
        "claim": claim,
        "quantity": quantity,
        "ours": ours,
        "ci_low": low,
        "ci_high": high,
        "paper": paper,
        "controls": controls,
        "sentence": text,
    }


def _place(point: Any) -> str:
    """Where a number was measured, in words."""
    made = {
        "gaussian": "",
        "tabulated": ", tabulated",
        "weights": ", real weights",
        "gram": f", {point.inputs} inputs per net",
    }.get(point.source, "")
    net = "linear net" if point.activation == "linear" else f"{point.activation} net"
    orthogonal = ", orthogonal" if point.init == "orthogonal" else ""
    return f"protocol {point.protocol}, {net}{orthogonal}, N = {point.width}{made}"


def _controls_text(controls: pd.DataFrame, protocol: str) -> str:
    own = controls[(controls["protocol"] == protocol) & ~controls["control"].str.contains("sigma_c", regex=False)]
    counts = own["outcome"].value_counts()
    named = [f"{counts[name]} {name}" for name in ("rejected", "undecided", "critical-like") if counts.get(name, 0)]
    return f"{len(own)} controls: {', '.join(named)}" if named else "no controls by this protocol"


def _exponent_claim(
    exponents: pd.DataFrame, controls: pd.DataFrame, graded: Mapping[tuple[str, str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    chosen = exponents[
        exponents["primary"]
        & exponents["grid"].str.startswith(("weak", "strong", "shared"))
        & exponents["quantity"].isin(["tau_d", "tau_s"])
    ]
    rows = []
    for protocol in ("W", "T"):
        own = chosen[chosen["protocol"] == protocol].sort_values(["source", "activation", "width", "quantity"])
        linear = own[own["activation"] == "linear"]
        beside = (
            "linear net gives the same: " + _range_text(linear)
            if protocol == "W" and len(linear)
            else _controls_text(controls, protocol)
        )
        for point in own.itertuples():
            name = str(point.quantity)
            if pd.isna(point.exponent):
                text = f"No exponent: {point.reason}."
            else:
                text = (
                    f"The Brownian excursion's {BROWNIAN[name]:.3f} lies {_apart(BROWNIAN[name], point)}, the paper's {PAPER[name]} "
                    f"(without an error of its own) {_apart(PAPER[name], point)}."
                )
                if not pd.isna(point.p_value):
                    verb = (
                        "is rejected" if point.p_value <= 0.01 else "is in doubt" if point.p_value <= 0.1 else "passes"
                    )
                    text += f" The power law {verb} on this window (p = {point.p_value:.2g})."
                if point.activation == "linear":
                    text += " A linear net has no transition: W tests the estimators and the absence of drift only."
            rows.append(
                _row(
                    "P1",
                    f"{name}, {_place(point)}",
                    (point.exponent, point.ci_low, point.ci_high),
                    PAPER[name],
                    beside,
                    text,
                )
                | graded.get((point.source, point.protocol, point.point_id), {})
            )
    return rows


def _apart(value: float, point: Any) -> str:
    """How far ``value`` lies from an exponent, in standard errors of the exponent."""
    error = (point.ci_high - point.ci_low) / (2 * 1.96)
    where = "inside" if point.ci_low <= value <= point.ci_high else "outside"
    if not error > 0.0:
        return f"{where} the 95 % interval"
    off = (value - point.exponent) / error
    return f"{where} the 95 % interval, {abs(off):.1f} standard errors {'above' if off > 0 else 'below'}"


def _range_text(frame: pd.DataFrame) -> str:
    parts = []
    for name, group in frame.groupby("quantity", observed=True):
        values = group["exponent"].dropna()
        if len(values):
            parts.append(f"{name} {values.min():.3f} to {values.max():.3f}")
    return ", ".join(parts) or "no exponent"


def _crackling_claim(
    exponents: pd.DataFrame, tolerance: float, graded: Mapping[tuple[str, str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    chosen = exponents[exponents["primary"] & (exponents["quantity"] == "difference")]
    rows = []
    still = chosen[chosen["grid"].str.startswith(("weak", "strong", "shared"))]
    driven = chosen[chosen["grid"].str.startswith("driven")]
    for frame in (
        still.sort_values(["protocol", "source", "activation", "width"]),
        driven.sort_values(["sigma_b", "sigma_w", "width"]),
    ):
        for point in frame.itertuples():
            where = _place(point)
            if str(point.grid).startswith("driven"):
                where += f", sigma_b = {point.sigma_b:g}, sigma_w = {point.sigma_w:.4f} ({point.sigma_w_rule})"
            else:
                where += ", sigma_b = 0"
            rows.append(
                _row(
                    "P2",
                    f"gamma − gamma_predicted, {where}",
                    (point.exponent, point.ci_low, point.ci_high),
                    0.0,
                    "a finite memory can satisfy the relation exactly: no evidence by itself",
                    _relation_text(point, tolerance),
                )
                | graded.get((point.source, point.protocol, point.point_id), {})
            )
    return rows


def _relation_text(point: Any, tolerance: float) -> str:
    if pd.isna(point.exponent):
        return f"Not measured: {point.reason}."
    if -tolerance <= point.ci_low and point.ci_high <= tolerance:
        return f"The relation holds within ± {tolerance:g}."
    if abs(point.exponent) > tolerance and (point.ci_low > 0 or point.ci_high < 0):
        return f"The relation fails: the difference excludes 0 and exceeds {tolerance:g}."
    return f"Undecided: the interval neither lies within ± {tolerance:g} nor excludes 0 beyond it."


def _cells(row: Any) -> tuple[Any, Any, Any]:
    return row.value, row.ci_low, row.ci_high


def _ridge_claim(scaling: pd.DataFrame, cutoffs: pd.DataFrame) -> list[dict[str, Any]]:
    def value(analysis: str, quantity: str) -> float:
        found = scaling[(scaling["analysis"] == analysis) & (scaling["quantity"] == quantity)]["value"]
        return float(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else math.nan

    rows = []
    mean_field, edge = value("ridge_rms", "mean field"), value("edge_of_chaos", "mean field")
    for analysis, label in (
        ("ridge_rms", "sigma_w of the rms ridge"),
        ("edge_minus_ridge_rms", "edge of chaos − ridge, sigma_w"),
    ):
        own = scaling[(scaling["analysis"] == analysis) & scaling["quantity"].str.startswith("N=")]
        for row in own.itertuples():
            if pd.isna(row.value):
                text = f"Not measured: {row.reason}."
            elif analysis == "ridge_rms":
                text = f"A finite maximum of ∂rms/∂sigma_w; mean field puts it at {mean_field:.4f}, the edge of chaos at {edge:.4f}."
            else:
                apart = row.ci_low > 0 or row.ci_high < 0
                text = (
                    "The ridge is distinct from the edge of chaos."
                    if apart
                    else "Ridge and edge of chaos cannot be told apart."
                )
            width = str(row.quantity).replace("=", " = ")
            rows.append(
                _row("P3", f"{label}, {width}", _cells(row), None, "mean field and edge of chaos from theory", text)
            )
    ridge = cutoffs[
        cutoffs["grid"].str.startswith("driven")
        & (cutoffs["sigma_w_rule"] == "ridge")
        & (cutoffs["quantity"] == "d_c")
        & (cutoffs["depth"] == cutoffs["depth_of_point"])
    ].sort_values(["width", "sigma_b"])
    for point in ridge.itertuples():
        rows.append(
            _row(
                "P3",
                f"d_c on the ridge, sigma_b = {point.sigma_b:g}, N = {point.width}",
                _cells(point),
                None,
                "d_c at sigma_b = 0 grows with N and L (P5)",
                "The cut-off stays finite under the field: quasi-critical, not critical.",
            )
        )
    for row in scaling[scaling["analysis"].str.startswith("field_")].itertuples():
        width = str(row.analysis).removeprefix("field_")
        text = (
            f"d_c falls with the field; a pure power law describes it with chi²/dof = {row.quality:.1f}."
            if pd.notna(row.value)
            else f"Not measured: {row.reason}."
        )
        rows.append(
            _row(
                "P3",
                f"d ln d_c/d ln sigma_b on the ridge, N = {width}",
                _cells(row),
                None,
                f"sigma_b = {row.sizes}",
                text,
            )
        )
    return rows


def _scaling_claim(scaling: pd.DataFrame, survival: pd.DataFrame, depth_shift: float) -> list[dict[str, Any]]:
    labels = {
        ("width", "z"): ("z: d_c ~ N^z, protocol F", "theory of the reflecting wall: 1"),
        ("width", "D"): ("D: s_c ~ N^D, protocol F", "theory of the reflecting wall: 3/2"),
        ("width", "D_over_z"): ("D/z, protocol F", "Brownian excursion: 3/2"),
        ("width_linear", "z"): ("z, protocol F, linear net (control)", "must fail F: its d_c follows L"),
        ("depth", "z_L"): ("z_L: d_c ~ L^z, protocol T", "random walk: tends to 1"),
        ("depth", "D_L"): ("D_L: s_c ~ L^D, protocol T", "random walk: tends to 3/2"),
        ("depth", "D_over_z"): ("D_L/z_L, protocol T", "Brownian excursion: 3/2"),
    }
    rows = []
    linear = scaling[scaling["analysis"] == "depth_shift_linear"]["value"].dropna()
    failing = (
        f"linear net fails: doubling L moves its d_c by {100 * linear.min():.0f} to {100 * linear.max():.0f} %"
        if len(linear)
        else "no linear net in this run"
    )
    for (analysis, quantity), (label, expected) in labels.items():
        for row in scaling[(scaling["analysis"] == analysis) & (scaling["quantity"] == quantity)].itertuples():
            if pd.isna(row.value):
                text = f"Not measured: {row.reason}."
            else:
                text = f"{expected[:1].upper()}{expected[1:]}."
                if pd.notna(row.quality) and row.quality > 1:
                    text += f" chi²/dof = {row.quality:.1f}: corrections to scaling are seen, and the interval is widened for them."
            rows.append(_row("P5", f"{label}; sizes {row.sizes}", _cells(row), None, failing, text))
    for row in scaling[scaling["analysis"] == "depth_shift"].itertuples():
        settled = pd.notna(row.ci_high) and max(abs(row.ci_low), abs(row.ci_high)) <= depth_shift
        beyond = pd.notna(row.ci_low) and (row.ci_low > depth_shift or row.ci_high < -depth_shift)
        word = (
            "is settled"
            if settled
            else "still moves"
            if beyond
            else "is not decided: the interval reaches beyond the limit"
        )
        width = str(row.quantity).replace("=", " = ")
        rows.append(
            _row(
                "P5",
                f"shift of d_c when L is doubled, protocol F, {width}",
                _cells(row),
                None,
                failing,
                f"d_c {word} ({100 * depth_shift:.0f} % are allowed).",
            )
        )
    for row in survival[survival["x"] == 0].itertuples():
        far = abs(row.value - row.theory) / row.error if row.error > 0 else math.inf
        plain = abs(row.value - math.pi**-0.5) / row.error if row.error > 0 else math.inf
        rows.append(
            _row(
                "P5",
                f"√L P(N, L) of a weak seed, N = {row.width}, L = {row.depth}",
                (row.value, row.value - 1.96 * row.error, row.value + 1.96 * row.error),
                None,
                f"theory with the skew of ln chi²: {row.theory:.4f}; without: {math.pi**-0.5:.4f}",
                f"{far:.1f} standard errors from theory, {plain:.1f} from 1/√π.",
            )
        )
    return rows


def _summary(
    judged: Sequence[Mapping[str, Any]],
    exponents: pd.DataFrame,
    cutoffs: pd.DataFrame,
    controls: pd.DataFrame,
    learning: pd.DataFrame,
    class_section: Sequence[str],
    learnt: Sequence[str],
    definitions: pd.DataFrame,
    params: Mapping[str, Any],
) -> str:
    titles = {
        "P1": "P1. Power-law avalanches: tau_d and tau_s by protocol",
        "P2": "P2. The crackling-noise relation gamma = (tau_d − 1)/(tau_s − 1)",
        "P3": "P3. Quasi-critical ridge and finite cut-off under a field",
        "P5": "P5. Finite-size scaling",
    }
    heads: dict[str, Callable[[], str]] = {
        "P1": lambda: _head_exponents(judged),
        "P2": lambda: _head_relation(judged),
        "P3": lambda: _head_ridge(judged),
        "P5": lambda: _head_scaling(judged),
    }
    lines = [
        "# Summary of the run",
        "",
        "Claims of arXiv:2509.22649 against this run. Intervals are 95 %, by bootstrap over networks. Exponents and a crackling",
        "relation inside a short window are no evidence of criticality by themselves: read them beside the controls and P5.",
        "",
    ]
    for claim, title in titles.items():
        own = [row for row in judged if row["claim"] == claim]
        lines += [f"## {title}", "", heads[claim](), ""]
        if own:
            lines += ["| quantity | ours | 95 % interval | paper | controls | finding |", "|---|---|---|---|---|---|"]
            lines += [
                f"| {r['quantity']} | {_show(r['ours'])} | {_interval(r['ci_low'], r['ci_high'])} | {_show(r['paper'], 'g')} "
                f"| {r['controls']} | {r['sentence']} |"
                for r in own
            ]
            lines.append("")
    lines += ["## Universality classes and the evidence", "", *class_section, ""]
    lines += [*learnt, ""]
    lines += ["## Controls, through the same code", ""]
    criteria = params["criteria"]
    lines += [
        f"Declared criterion: rejected when the cut-off saturates (d ln d_c/d ln L below {criteria['saturates_below']:g}, upper end of the "
        f"interval, over the last doubling), the exponential is favoured, or the number of events hardly grows with L (slope below {criteria['drifts_below']:g}: the signal drifts); asked only of signals of at least {criteria['memories_needed']:g} "
        "memories, since inside its memory a process cannot be told from a critical one.",
        "",
        "| control | tau_d | tau_s | gamma | d_c | expected | outcome | why |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.control} | {_show(r.tau_d)} | {_show(r.tau_s)} | {_show(r.gamma)} | {_show(r.d_c, '.3g')} | {r.expected} | {r.outcome} | {r.reason} |"
        for r in controls.itertuples()
    ]
    lines += ["", "## How the answer moves with the window", "", *_window_lines(exponents), ""]
    lines += ["## How the answer moves with the definition", "", *_definition_lines(definitions), ""]
    lines += ["## Trained networks", "", *_trained_lines(cutoffs, learning), ""]
    return "\n".join(lines)


def _show(value: Any, form: str = ".3f") -> str:
    return "–" if value is None or pd.isna(value) else format(float(value), form)


def _interval(low: Any, high: Any) -> str:
    return "–" if low is None or pd.isna(low) else f"{low:.3f} to {high:.3f}"


def _head_exponents(judged: Sequence[Mapping[str, Any]]) -> str:
    own = [r for r in judged if r["claim"] == "P1" and r["ours"] is not None]
    if not own:
        return "Not measured in this run: no grid named weak… or strong…."
    parts = []
    for name in ("tau_d", "tau_s"):
        values = [r["ours"] for r in own if r["quantity"].startswith(name)]
        walk = sum(r["ci_low"] <= BROWNIAN[name] <= r["ci_high"] for r in own if r["quantity"].startswith(name))
        paper = sum(r["ci_low"] <= PAPER[name] <= r["ci_high"] for r in own if r["quantity"].startswith(name))
        parts.append(
            f"{name} between {min(values):.3f} and {max(values):.3f} in {len(values)} ensembles; the interval holds the Brownian value "
            f"{BROWNIAN[name]:.3f} in {walk} of them and the paper's {PAPER[name]} in {paper}"
        )
    return ". ".join(part[:1].upper() + part[1:] for part in parts) + (
        ". Linear nets give the same in W, so these exponents say that ln m walks without drift, and no more."
    )


def _head_relation(judged: Sequence[Mapping[str, Any]]) -> str:
    own = [r for r in judged if r["claim"] == "P2"]
    if not own:
        return "Not measured in this run."

    def count(rows: list[Mapping[str, Any]]) -> str:
        words = {"holds": "holds", "fails": "fails", "Undecided": "is undecided", "Not measured": "is not measured"}
        found = [(verb, sum(word in r["sentence"] for r in rows)) for word, verb in words.items()]
        return ", ".join(f"{verb} in {n}" for verb, n in found if n)

    still = [r for r in own if r["quantity"].endswith("sigma_b = 0")]
    driven = [r for r in own if not r["quantity"].endswith("sigma_b = 0")]
    parts = []
    if still:
        parts.append(f"At sigma_b = 0 ({len(still)} ensembles) the relation {count(still)}.")
    if driven:
        parts.append(f"Under a field ({len(driven)} ensembles) it {count(driven)}.")
    return " ".join(parts)


def _head_ridge(judged: Sequence[Mapping[str, Any]]) -> str:
    own = [
        r for r in judged if r["claim"] == "P3" and r["quantity"].startswith("edge of chaos") and r["ours"] is not None
    ]
    if not own:
        return "Not measured in this run."
    apart = all(r["ci_low"] > 0 for r in own)
    return (
        f"At finite width the ridge of ∂rms/∂sigma_w lies {min(r['ours'] for r in own):.3f} to {max(r['ours'] for r in own):.3f} below the edge "
        f"of chaos{', distinct at every width measured' if apart else ''}; on it the cut-off stays finite and shrinks with the field."
    )


def _head_scaling(judged: Sequence[Mapping[str, Any]]) -> str:
    found = {r["quantity"].split(";")[0]: r for r in judged if r["claim"] == "P5"}
    z, d = found.get("z: d_c ~ N^z, protocol F"), found.get("D: s_c ~ N^D, protocol F")
    if not z or not d or z["ours"] is None or d["ours"] is None:
        return "Not measured in this run."
    return (
        f"The cut-off grows with width at one depth: z = {z['ours']:.2f}, D = {d['ours']:.2f}. "
        f"{z['controls'][:1].upper()}{z['controls'][1:]}, so growth with N at fixed L is what tells the transition."
    )


def _window_lines(exponents: pd.DataFrame) -> list[str]:
    chosen = exponents[
        exponents["grid"].str.startswith(("weak", "strong"))
        & exponents["quantity"].isin(["tau_d", "tau_s", "gamma"])
        & exponents["exponent"].notna()
    ]
    if chosen.empty:
        return ["No exponents in this run."]
    lines = ["| ensemble | windows of d | tau_d | tau_s | gamma |", "|---|---|---|---|---|"]
    for _, group in chosen.groupby(_KEYS, sort=False):
        first = next(group.itertuples())
        windows = sorted({(low, high) for low, high in zip(group["window_low"], group["window_high"])})
        cells = []
        for name in ("tau_d", "tau_s", "gamma"):
            values = group[group["quantity"] == name]["exponent"]
            cells.append(
                f"{values.min():.3f} to {values.max():.3f}"
                if len(values) > 1
                else _show(values.min() if len(values) else None)
            )
        shown = ", ".join(f"{low}–{high}" for low, high in windows)
        lines.append(f"| {_place(first)} | {shown} | {' | '.join(cells)} |")
    return lines


def _definition_lines(definitions: pd.DataFrame) -> list[str]:
    """Ranges of the exponents with one choice varied at a time, and the definition that comes nearest to the paper."""
    own = definitions[
        (definitions["signal"].astype(str) == "own")
        & (definitions["sigma_w_rule"] == "critical")
        & definitions["tau_d"].notna()
    ].copy()
    if own.empty:
        return ["No grid of this run has map_definitions: true."]
    own["window"] = own["window_low"].astype(str) + "–" + own["window_high"].astype(str)
    axes = ("threshold", "size", "window")
    lines = [
        "At sigma_c(N), one choice varied at a time; thresholds are shifted by standard deviations of the trajectory. In the last",
        "column, of all combinations, the one that comes nearest to the paper's value: a choice made after seeing it, and no result.",
        "",
        "| ensemble | exponent | ours | threshold | definition of size | window of d | nearest to the paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for _, group in own.groupby(_KEYS, sort=False):
        first = next(group.itertuples())
        primary = group[group["primary"]]
        if not len(primary):
            continue
        for name, paper in PAPER.items():
            cells = []
            for axis in axes:
                fixed = [other for other in axes if other != axis]
                same = group[(group[fixed] == primary[fixed].iloc[0]).all(axis=1)][name]
                cells.append(_span(same.min(), same.max()))
            near = group.loc[(group[name] - paper).abs().idxmin()]
            where = f"{near[name]:.3f} (threshold {near['threshold']:+g}, {str(near['size']).replace('_', ' ')}, {near['window']})"
            lines.append(
                f"| {_place(first)} | {name} | {_show(primary[name].iloc[0])} | {' | '.join(cells)} | {where} |"
            )
    return lines


def _span(low: float, high: float) -> str:
    return f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"


def _trained_lines(cutoffs: pd.DataFrame, learning: pd.DataFrame) -> list[str]:
    own = cutoffs[(cutoffs["grid"] == "training") & cutoffs["quantity"].isin(["mean_duration", "d_c"])]
    if own.empty:
        return ["No networks were trained in this run."]
    final = learning[learning["test_accuracy"].notna() & (learning["step"] > 0)]
    lines = [
        "Depth is below 10 N, so no exponent is given; durations of excursions above each trajectory's median, before and after training, on",
        "the same test samples. Intervals resample networks.",
        "",
        "| L | sigma_w | sigma_b | test accuracy | ⟨d⟩ before | ⟨d⟩ after | d_c before | d_c after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (depth, sigma_b, sigma_w), group in own.groupby(["depth_of_point", "sigma_b", "sigma_w"]):
        cells = []
        for quantity in ("mean_duration", "d_c"):
            for source in ("initial", "trained"):
                found = group[(group["quantity"] == quantity) & (group["source"] == source)]
                row = next(found.itertuples(), None)
                cells.append(
                    "–"
                    if row is None
                    else f"{_show(row.value, '.2f')} ({_show(row.ci_low, '.2f')}–{_show(row.ci_high, '.2f')})"
                )
        nets = final[(final["depth"] == depth) & (final["sigma_w"] == sigma_w) & (final["sigma_b"] == sigma_b)]
        lines.append(
            f"| {depth} | {sigma_w:g} | {sigma_b:g} | {_show(nets['test_accuracy'].mean())} | {' | '.join(cells)} |"
        )
    return lines
