"""Claim P6 in words: the exponents of residual and other networks by three definitions of avalanches, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quasicrit.tables import SCHEMAS, atomic_path, read_table

__all__ = ["DEFINITIONS", "architecture_claim", "architecture_lines", "tabulate_architectures"]

DEFINITIONS = {"A": "relevance walk", "B": "unit stream", "C": "layer activity"}
#: The paper's value for ResNets; no error bar of it is at hand.
PAPER_GAMMA = 2.0
_FAR = 3.368
_SURROGATE = "Gaussian surrogate"
_EXPONENTS = ("tau_s", "tau_d", "gamma")


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


def _passing(nulls: pd.DataFrame) -> list[str]:
    """Nulls with the same exponents: p > .01 for the squared distance in standard errors."""
    return [str(row.signal) for row in nulls.itertuples() if pd.notna(row.moved) and row.moved <= _FAR]


def architecture_claim(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of P6: gamma of every residual network by every definition, beside the paper's 2."""
    rows = []
    own = _own(fits)
    for row in own[own["family"] == "resnet"].itertuples():
        nulls = _nulls(fits, row)
        passing = _passing(nulls)
        if pd.isna(row.gamma):
            text = f"No exponent: {row.reason}."
        else:
            chance = f"Mean-field directed percolation has the probability {row.mean_field_dp:.2g}; most probable: {_class(row)}."
            verb = "holds" if row.gamma_low <= PAPER_GAMMA <= row.gamma_high else "excludes"
            text = f"The interval {verb} the paper's 2. {chance}"
            if row.definition == "A":
                text += " Its branching ratio is one by construction, so that this is no evidence of tuning."
        beside = f"{len(passing)} of {len(nulls)} nulls have the same exponents" if len(nulls) else "no nulls were run"
        rows.append(
            {
                "claim": "P6",
                "quantity": f"gamma, definition {row.definition} ({DEFINITIONS[row.definition]}), {row.member}, {row.state}",
                "ours": _value(row.gamma),
                "ci_low": _value(row.gamma_low),
                "ci_high": _value(row.gamma_high),
                "paper": PAPER_GAMMA,
                "controls": beside + (f": {', '.join(passing)}" if passing else ""),
                "sentence": text,
            }
        )
    return rows


def _conclusion(fits: pd.DataFrame) -> str:
    """What one may conclude about P6, counted over the residual networks."""
    own = _own(fits)
    residual = own[(own["family"] == "resnet") & own["gamma"].notna()]
    if residual.empty:
        return "No residual network has exponents in this run."
    parts = []
    for definition, rows in residual.groupby("definition", observed=True, sort=True):
        holds = int(((rows["gamma_low"] <= PAPER_GAMMA) & (rows["gamma_high"] >= PAPER_GAMMA)).sum())
        likely = int((rows["mean_field_dp"] > 0.5).sum())
        parts.append(
            f"by {definition} ({DEFINITIONS[str(definition)]}) gamma is {rows['gamma'].min():.2f} to {rows['gamma'].max():.2f}, its interval "
            f"holds 2 in {holds} of {len(rows)} cases, and mean-field directed percolation is more likely than not in {likely}"
        )
    text = f"Residual networks: {'; '.join(parts)}."
    walks = residual[residual["definition"] == "A"]
    if len(walks):
        iid = fits[(fits["definition"] == "A") & (fits["signal"] == "i.i.d. weights") & fits["gamma"].notna()]
        text += " In A every unit has exactly one parent, so that a branching ratio of one is built in"
        text += (
            f"; shuffled units with shuffled weights have gamma {iid['gamma'].min():.2f} to {iid['gamma'].max():.2f} too, with a probability of "
            f"mean-field directed percolation of {iid['mean_field_dp'].min():.2f} to {iid['mean_field_dp'].max():.2f}. "
            "A gamma near 2 by this definition says nothing about the network."
            if len(iid)
            else "."
        )
    return text


def _class(row: Any) -> str:
    if pd.isna(row.probability):
        return "–"
    return f"{str(row.verdict).replace('_', ' ')} ({row.probability:.2f})"


def architecture_lines(fits: pd.DataFrame, learning: pd.DataFrame) -> list[str]:
    """The table architectures × definitions × (initial, trained), each with its nulls and the exact processes at its depth; trends."""
    own = _own(fits)
    if own.empty:
        return ["No architecture in this run."]
    lines = [
        _conclusion(fits),
        "",
        "Exponents with 95 % intervals over networks (Student), on windows declared before the run. Classes are calibrated at the depth of the network where an exact",
        "process of any depth exists (branching, walks), else on the window alone. Nulls: distance of their exponents in standard errors; bold where they are the same (p > .01), –",
        "where a null has no exponents. The rows in italics are exact processes at the same depth and window: what the estimators read where the answer is known.",
        "",
        "| network | definition | L, window | state | tau_s | tau_d | gamma | class | nulls | grade |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (member, definition), rows in fits.groupby(["member", "definition"], observed=True, sort=False):
        mine = rows[rows["primary"]]
        main = mine[mine["signal"] == "own"]
        first = mine.iloc[0]
        if first["size"]:
            continue
        where = f"{first['layers']}, {first['window_low']}–{first['window_high']}"
        for row in main.itertuples():
            lines.append(
                f"| {member} | {definition} | {where} | {row.state} | {_exponents(row)} | {_class(row)} | {_null_text(_nulls(fits, row))} | "
                f"{row.grade if not pd.isna(row.gamma) else row.reason} |"
            )
        for row in mine[mine["state"] == "reference"].itertuples():
            lines.append(f"| *{row.signal}* | {definition} | {where} | | {_exponents(row)} | | | |")
    lines += ["", *_surrogate_lines(fits), "", *_variant_lines(fits), "", *_trend_lines(fits)]
    accuracy = learning[learning["test_accuracy"].notna()]
    if len(accuracy):
        shown = ", ".join(
            f"{member} {group['test_accuracy'].mean():.2f}"
            for member, group in accuracy.groupby("member", observed=True, sort=False)
        )
        lines += ["", f"Test accuracies after training: {shown}."]
    return lines


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
        parts.append(f"**{text}**" if pd.notna(row.moved) and row.moved <= _FAR else text)
    return ", ".join(parts)


def _surrogate_lines(fits: pd.DataFrame) -> list[str]:
    """Gamma beside that of the Gaussian surrogate with the same covariance between layers."""
    own = _own(fits)
    cells = []
    for row in own[own["gamma"].notna()].itertuples():
        nulls = _nulls(fits, row)
        found = nulls[(nulls["signal"] == _SURROGATE) & nulls["gamma"].notna()]
        if len(found):
            cells.append((str(row.definition), abs(row.gamma - found["gamma"].iloc[0])))
    if not cells:
        return []
    parts = []
    for definition in sorted({name for name, _ in cells}):
        gaps = [gap for name, gap in cells if name == definition]
        parts.append(f"{definition}: up to {max(gaps):.2f} in {len(gaps)} cases")
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
        lines.append(
            f"| {definition} | {variant}{main} | {ranges} | {', '.join(f'{k} {v}' for k, v in counts.items())} |"
        )
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
        lines.append(f"| {row.member} | {row.definition} | {_exponents(row)} | {cut} | {_class(row)} |")
    return lines


def tabulate_architectures(fits: Sequence[str], learning: Sequence[str], table: Path | str) -> None:
    """Write the section on architectures alone, as text: for a run of that part of the workflow."""
    found = read_table(list(fits), SCHEMAS["architectures"])
    learnt = read_table(list(learning), SCHEMAS["architecture_learning"])
    with atomic_path(table) as temporary:
        temporary.write_text("\n".join(architecture_lines(found, learnt)) + "\n", encoding="utf-8")


def _value(number: Any) -> float | None:
    return None if pd.isna(number) else float(number)
