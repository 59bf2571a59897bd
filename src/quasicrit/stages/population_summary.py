"""Claim P8 in words: populations of neurons through the estimators of networks."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["population_claim", "population_lines"]


def population_claim(populations: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of P8: branching ratio and crackling relation of every population, as much of it as was seen."""
    rows = []
    for row in populations.itertuples():
        controls = f"{row.controls_rejected} of {row.controls} shuffled recordings rejected"
        for name, label, text in (
            ("m", "m in steps of 4 ms", f"{_branching(row)} {_upper(row.statement)}."),
            ("difference", "gamma − gamma_predicted", f"{_class(row)}."),
        ):
            value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
            rows.append(
                {
                    "claim": "P8",
                    "quantity": f"{label}, {_name(row)}",
                    "ours": _value(value),
                    "ci_low": _value(low),
                    "ci_high": _value(high),
                    "paper": 0.0 if name == "difference" else None,
                    "controls": controls,
                    "verdict": None if pd.isna(row.probability) else row.verdict,
                    "probability": _value(row.probability),
                    "grade": row.grade,
                    "sentence": text,
                }
            )
    return rows


def population_lines(populations: pd.DataFrame) -> list[str]:
    """The section of the summary: what one may conclude, a table, the reasons."""
    if populations.empty:
        return ["No population of neurons is in this run (`populations` in the configuration)."]
    lines = [
        _conclusion(populations),
        "",
        "| population | seen | tau_s | tau_d | gamma | class (probability) | m in steps of 4 ms | naive | controls rejected | statement |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in populations.itertuples():
        cells = [
            _told(row),
            f"{100 * row.fraction:g} %",
            *(_interval(row, name, ".3f") for name in ("tau_s", "tau_d", "gamma")),
            "–" if pd.isna(row.probability) else f"{row.verdict} ({row.probability:.3f})",
            row.branching if pd.isna(row.m) else f"{_interval(row, 'm', '.4f')}, {row.branching}",
            "–" if pd.isna(row.naive_m) else f"{row.naive_m:.3f}",
            f"{row.controls_rejected} of {row.controls}",
            str(row.statement),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Reasons, by population:", ""]
    for row in populations.itertuples():
        parts = [
            f"{word}: {' '.join(str(text).splitlines())}"
            for word, text in (("For", row.reasons_for), ("Against", row.reasons_against), ("Open", row.reasons_open))
            if text
        ]
        lines.append(f"- **{_name(row)}**: {row.grade}. {' '.join(parts)}")
    return lines


def _conclusion(populations: pd.DataFrame) -> str:
    recorded = populations[populations["kind"].astype(str) == "recording"]
    simulated = populations.drop(recorded.index)
    parts = []
    if len(simulated):
        critical = _critical(simulated)
        right, wrong = (
            simulated[near & (simulated["branching"].astype(str) == "near 1")] for near in (critical, ~critical)
        )
        counted = [
            f"{len(found)} of {total.sum()} recordings of {what}"
            for found, total, what in ((right, critical, "critical ones"), (wrong, ~critical, "others"))
            if total.any()
        ]
        parts.append(
            f"Simulated populations, whose answer is known: the branching ratio is found near 1 in {' and in '.join(counted)}. It does not depend on "
            "the share of the units that is seen; exponents of avalanches do, and within its memory a subcritical population has critical ones: "
            "avalanches alone decide nothing."
        )
        parts.append(
            "This tests the estimators, not brains."
            if recorded.empty
            else "Recordings stand below, judged by the same code."
        )
    if len(recorded):
        grades = recorded["grade"].astype(str).value_counts()
        every = ", ".join(f"{grade} for {count}" for grade, count in grades.items())
        parts.append(f"Evidence of criticality in {len(recorded)} recordings: {every}.")
    return " ".join(parts)


def _critical(populations: pd.DataFrame) -> pd.Series:
    return (populations["kind"].astype(str) == "branching") & (populations["sigma"] == 1.0)


def _told(row: Any) -> str:
    known = {
        "branching": f"branching, sigma = {row.sigma:g}",
        "independent": "independent units",
        "leaky": "leaky integrate-and-fire network",
        "recording": "recording",
    }[str(row.kind)]
    return f"{row.population} ({known})"


def _name(row: Any) -> str:
    return f"{_told(row)}, {100 * row.fraction:g} % of the units"


def _branching(row: Any) -> str:
    if pd.isna(row.m):
        return f"The branching ratio is not resolved: {row.branching}."
    naive = "" if pd.isna(row.naive_m) else f"; the naive slope reads {row.naive_m:.3f}"
    return f"The branching ratio is {row.branching}{naive}."


def _class(row: Any) -> str:
    if pd.isna(row.difference):
        return f"No exponents: {row.reason}"
    part = "" if row.fraction == 1.0 else "; avalanches of a part have other exponents than those of the whole"
    return f"Class: {row.verdict} (probability {row.probability:.2g}){part}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _interval(row: Any, name: str, form: str) -> str:
    value = getattr(row, name)
    if pd.isna(value):
        return "–"
    return f"{value:{form}} [{getattr(row, f'{name}_low'):{form}}, {getattr(row, f'{name}_high'):{form}}]"


def _value(cell: Any) -> float | None:
    return None if pd.isna(cell) else float(cell)
