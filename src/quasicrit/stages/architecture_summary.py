"""Claim P6 in words: the exponents of residual and other networks by three definitions of avalanches, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quasicrit.stages.cascade_fits import BRANCHING, SAME_BELOW, WALK
from quasicrit.tables import SCHEMAS, atomic_path, read_table

__all__ = ["DEFINITIONS", "architecture_claim", "architecture_lines", "tabulate_architectures"]

DEFINITIONS = {"A": "relevance walk", "B": "unit stream", "C": "layer activity"}
#: The paper's value for ResNets; no error bar of it is at hand.
PAPER_GAMMA = 2.0
_EXPONENTS = ("tau_s", "tau_d", "gamma")
_IID = "i.i.d. weights"


def _own(fits: pd.DataFrame) -> pd.DataFrame:
    """The own signal of every network by the main variant of every definition."""
    return fits[(fits["signal"] == "own") & fits["primary"]]


def _nulls(fits: pd.DataFrame, row: Any) -> pd.DataFrame:
    """The nulls of one row of ``_own``."""
    return fits[
        (fits["member"] == row.member)
        & (fits["definition"] == row.definition)
        & (fits["state"] == row.state)
        & fits["primary"]
        & (fits["signal"] != "own")
    ]


def _learnt(row: Any, learnt_above: float) -> bool:
    """False for networks that were trained and did not learn."""
    return pd.isna(row.accuracy) or row.accuracy >= learnt_above


def _state(row: Any, learnt_above: float) -> str:
    if pd.isna(row.accuracy):
        return str(row.state)
    return f"{row.state}, accuracy {row.accuracy:.2f}{'' if _learnt(row, learnt_above) else ' (did not learn)'}"


def architecture_claim(fits: pd.DataFrame, learnt_above: float) -> list[dict[str, Any]]:
    """Rows of P6: gamma of every residual network by every definition, beside the paper's 2."""
    rows = []
    own = _own(fits)
    for row in own[own["family"] == "resnet"].itertuples():
        nulls = _nulls(fits, row)
        if pd.isna(row.gamma):
            text = f"No exponent: {row.reason}."
        else:
            verb = "holds" if row.gamma_low <= PAPER_GAMMA <= row.gamma_high else "excludes"
            text = (
                f"The interval {verb} the paper's 2. Mean-field directed percolation has the probability {row.mean_field_dp:.2g}; most "
                f"probable: {_class(row)}."
            )
            if row.definition == "A":
                text += " The branching ratio is one by construction: no evidence of tuning."
        compared = nulls[nulls["p_same"].notna()]
        alike = compared[compared["p_same"] >= SAME_BELOW]["signal"].astype(str)
        beside = (
            f"{len(alike)} of {len(compared)} nulls with exponents are not told apart"
            if len(nulls)
            else "no nulls were run"
        )
        rows.append(
            {
                "claim": "P6",
                "quantity": f"gamma, definition {row.definition} ({DEFINITIONS[row.definition]}), {row.member}, "
                f"{_state(row, learnt_above)}",
                "ours": _value(row.gamma),
                "ci_low": _value(row.gamma_low),
                "ci_high": _value(row.gamma_high),
                "paper": PAPER_GAMMA,
                "controls": beside + (f": {', '.join(alike)}" if len(alike) else ""),
                "verdict": None if pd.isna(row.gamma) else row.verdict,
                "probability": _value(row.probability),
                "grade": None if pd.isna(row.gamma) else row.grade,
                "sentence": text,
            }
        )
    return rows


def _conclusion(fits: pd.DataFrame, learnt_above: float) -> str:
    """What one may conclude about P6, counted over the residual networks that have exponents, trained ones only if they learnt."""
    own = _own(fits)
    residual = own[(own["family"] == "resnet") & own["gamma"].notna()]
    residual = residual[[_learnt(row, learnt_above) for row in residual.itertuples()]]
    if residual.empty:
        return "No residual network has exponents in this run."
    parts = []
    for definition, rows in residual.groupby("definition", observed=True, sort=True):
        holds = int(((rows["gamma_low"] <= PAPER_GAMMA) & (rows["gamma_high"] >= PAPER_GAMMA)).sum())
        likely = int((rows["mean_field_dp"] > 0.5).sum())
        parts.append(
            f"by {definition} ({DEFINITIONS[str(definition)]}) gamma is {_range(rows['gamma'])}, its interval "
            f"holds the paper's 2 in {holds} of {len(rows)} networks, and mean-field directed percolation is more likely than not in {likely}"
        )
    text = f"Residual networks: {'; '.join(parts)}."
    return " ".join([text, *_lineage_sentence(fits, residual), *_excursion_sentence(fits, residual)])


def _lineage_sentence(fits: pd.DataFrame, residual: pd.DataFrame) -> list[str]:
    """What the null of shuffled units and weights says about A."""
    nulls = fits[
        (fits["definition"] == "A")
        & (fits["family"] == "resnet")
        & (fits["signal"] == _IID)
        & fits["primary"]
        & fits["gamma"].notna()
    ]
    if not (residual["definition"] == "A").any() or nulls.empty:
        return []
    apart = int((nulls["p_same"] < SAME_BELOW).sum())
    likely = int((nulls["mean_field_dp"] > 0.5).sum())
    return [
        "In A every unit has one parent, so that a branching ratio of one is built in: shuffled units with shuffled weights, which hold no structure, have "
        f"tau_s {_range(nulls['tau_s'])}, tau_d {_range(nulls['tau_d'])}, gamma {_range(nulls['gamma'])}, and are mean-field directed percolation more likely than not in {likely} of "
        f"{len(nulls)} cases. The networks' own exponents are told apart from theirs in {apart} of {len(nulls)}: structure moves the exponents, but "
        "values near (3/2, 2, 2) come without any, and are no evidence of tuning."
    ]


def _excursion_sentence(fits: pd.DataFrame, residual: pd.DataFrame) -> list[str]:
    """Whether B and C could tell branching from a walk at all: by what the exact processes read there."""
    exact = fits[(fits["state"] == "reference") & fits["definition"].isin(["B", "C"]) & fits["gamma"].notna()]
    pairs = exact.pivot_table(index=["member", "definition"], columns="signal", values=list(_EXPONENTS), observed=True)
    if not {BRANCHING, WALK} <= set(exact["signal"].astype(str)) or not residual["definition"].isin(["B", "C"]).any():
        return []
    gaps = {name: (pairs[name][BRANCHING] - pairs[name][WALK]).abs().max() for name in _EXPONENTS}
    return [
        "B and C see a network's activity as z-scores above a threshold. The activity of exact critical branching, looked at in the same way, reads within "
        f"{gaps['tau_s']:.2f}, {gaps['tau_d']:.2f} and {gaps['gamma']:.2f} of a random walk (largest differences of tau_s, tau_d, gamma): where these are as "
        "small as the errors, the two definitions cannot tell mean-field directed percolation from a walk."
    ]


def _range(values: pd.Series) -> str:
    """The smallest and the largest of the values, or the only one."""
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _class(row: Any) -> str:
    if pd.isna(row.probability):
        return "–"
    return f"{str(row.verdict).replace('_', ' ')} ({row.probability:.2f})"


def architecture_lines(fits: pd.DataFrame, learnt_above: float) -> list[str]:
    """The table architectures × definitions × (initial, trained), each with its nulls and the exact processes at its depth; trends."""
    if _own(fits).empty:
        return ["No architecture in this run."]
    lines = [
        _conclusion(fits, learnt_above),
        "",
        "Exponents with 95 % intervals over networks (Student, inputs fixed), on windows declared before the run. Classes are calibrated at the depth of the network",
        "where an exact process of any depth exists (branching, walks), else on the window alone. Nulls: distance of their exponents from the network's in standard errors,",
        f"networks paired; bold where the two are not told apart (p ≥ {SAME_BELOW:g}, Hotelling); – where a null has no exponents. Rows in italics: exact processes at the same",
        "depth and window, looked at in the same way (in A a generation for every layer). Windows this short span less than the 1.5 decades that a grade above “undecided” takes.",
        "",
        "| network | definition | L, window | state | tau_s | tau_d | gamma | class | nulls | grade |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (member, definition), rows in fits.groupby(["member", "definition"], observed=True, sort=False):
        mine = rows[rows["primary"]]
        first = mine.iloc[0]
        if first["size"]:
            continue
        where = f"{first['layers']}, {first['window_low']}–{first['window_high']}"
        for row in mine[mine["signal"] == "own"].itertuples():
            lines.append(
                f"| {member} | {definition} | {where} | {_state(row, learnt_above)} | {_exponents(row)} | {_class(row)} | "
                f"{_null_text(_nulls(fits, row))} | {row.grade if not pd.isna(row.gamma) else row.reason} |"
            )
        for row in mine[mine["state"] == "reference"].itertuples():
            lines.append(f"| *{row.signal}* | {definition} | {where} | | {_exponents(row)} | | | |")
    return [*lines, "", *_surrogate_lines(fits), "", *_variant_lines(fits), "", *_trend_lines(fits)]


def _exponents(row: Any) -> str:
    cells = []
    for name in _EXPONENTS:
        value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
        cells.append("–" if pd.isna(value) else f"{value:.2f} ({low:.2f} to {high:.2f})")
    return " | ".join(cells)


def _null_text(nulls: pd.DataFrame) -> str:
    if nulls.empty:
        return "none run"
    parts = []
    for row in nulls.itertuples():
        text = f"{row.signal} –" if pd.isna(row.moved) else f"{row.signal} {row.moved:.1f}"
        parts.append(f"**{text}**" if pd.notna(row.p_same) and row.p_same >= SAME_BELOW else text)
    return ", ".join(parts)


def _surrogate_lines(fits: pd.DataFrame) -> list[str]:
    """Gamma beside that of the Gaussian surrogate with the same covariance between layers."""
    gaps: dict[str, list[float]] = {}
    for row in _own(fits).itertuples():
        nulls = _nulls(fits, row)
        found = nulls[(nulls["signal"] == "Gaussian surrogate") & nulls["gamma"].notna()]
        if len(found) and pd.notna(row.gamma):
            gaps.setdefault(str(row.definition), []).append(abs(row.gamma - found["gamma"].iloc[0]))
    if not gaps:
        return []
    parts = [f"{name}: up to {max(values):.2f} in {len(values)} cases" for name, values in sorted(gaps.items())]
    return [f"|gamma − gamma of the Gaussian surrogate|, by definition: {'; '.join(parts)}."]


def _variant_lines(fits: pd.DataFrame) -> list[str]:
    """How the answer moves with threshold, measure of size and clock."""
    own = fits[(fits["signal"] == "own") & (fits["size"] == 0) & fits["gamma"].notna()]
    if own.empty:
        return []
    lines = [
        "How the answer moves with the variant of the definition (ranges over networks and states):",
        "",
        "| definition | variant | tau_s | tau_d | gamma | classes |",
        "|---|---|---|---|---|---|",
    ]
    for (definition, variant), rows in own.groupby(["definition", "variant"], observed=True, sort=True):
        counts = rows["verdict"].astype(str).str.replace("_", " ").value_counts()
        ranges = " | ".join(f"{rows[name].min():.2f} to {rows[name].max():.2f}" for name in _EXPONENTS)
        main = " (main)" if rows["primary"].iloc[0] else ""
        classes = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(f"| {definition} | {variant}{main} | {ranges} | {classes} |")
    return lines


def _trend_lines(fits: pd.DataFrame) -> list[str]:
    """Exponents and cut-off along depth and width, before training."""
    own = _own(fits)
    trends = own[own["size"] > 0]
    if trends.empty:
        return []
    lines = [
        "Trends with depth and width (d_c = ⟨d²⟩/⟨d⟩ of all complete events):",
        "",
        "| network | definition | tau_s | tau_d | gamma | d_c | class |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in trends.sort_values(["network", "definition", "size"]).itertuples():
        cut = "–" if pd.isna(row.d_c) else f"{row.d_c:.1f} ({row.d_c_low:.1f} to {row.d_c_high:.1f})"
        found = _class(row) if pd.notna(row.gamma) else row.reason
        lines.append(f"| {row.member} | {row.definition} | {_exponents(row)} | {cut} | {found} |")
    return lines


def tabulate_architectures(fits: Sequence[str], learnt_above: float, table: Path | str) -> None:
    """Write the section on architectures alone, as text: for a run of that part of the workflow."""
    lines = architecture_lines(read_table(list(fits), SCHEMAS["architectures"]), learnt_above)
    with atomic_path(table) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _value(number: Any) -> float | None:
    return None if pd.isna(number) else float(number)
