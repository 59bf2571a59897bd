"""The classes of a run in the summary: probability, grade and every reason, and how far the classifier is to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quasicrit.reference import IMPOSTORS
from quasicrit.tables import SCHEMAS, atomic_path, read_table

__all__ = ["class_lines", "tabulate_confusion", "trust_lines"]

_KEYS = ["source", "protocol", "point_id"]
#: Grids whose points are listed one by one; of the others (the fan-out, the field) the grades are counted.
_LISTED = ("weak", "strong", "shared", "widths")


def class_lines(
    points: pd.DataFrame,
    classes: pd.DataFrame,
    point_verdicts: pd.DataFrame,
    definitions: pd.DataFrame,
    confusion: pd.DataFrame,
) -> list[str]:
    """Lines of Markdown; ``points`` with text keys, the others as their tables."""
    verdicts = point_verdicts.astype(dict.fromkeys(_KEYS, str)).merge(points, on=_KEYS)
    verdicts = verdicts[verdicts["probability"].notna()]
    known = classes.astype(dict.fromkeys(_KEYS, str))
    listed = verdicts[verdicts["grid"].str.startswith(_LISTED)].sort_values(
        ["protocol", "source", "activation", "width"]
    )
    lines = [_counts(verdicts), ""]
    if len(listed):
        lines += ["| ensemble | class (probability) | next | evidence | statement |", "|---|---|---|---|---|"]
        lines += [_line(row, known) for row in listed.itertuples()]
        lines += ["", "Reasons, by ensemble:", ""]
        for row in listed.itertuples():
            lines.append(f"- **{_name(row)}**: {row.grade}. {_reasons(row)}")
        lines.append("")
    lines += [*_rival(known, listed), *_definitions(definitions, points), "", *_trust(confusion)]
    return lines


def _name(point: Any) -> str:
    source = {"weights": ", real weights", "gram": f", {point.inputs} inputs"}.get(point.source, "")
    orthogonal = ", orthogonal" if point.init == "orthogonal" else ""
    return f"{point.protocol}, {point.activation}, N = {point.width}{orthogonal}{source}"


def _counts(verdicts: pd.DataFrame) -> str:
    if not len(verdicts):
        return "No point of this run has exponents, so none has a class."
    grades = verdicts["grade"].astype(str).value_counts()
    order = ("strong", "supported", "consistent with", "undecided", "none")
    found = ", ".join(f"{grade} for {grades[grade]}" for grade in order if grades.get(grade, 0))
    return (
        f"Evidence of criticality, of {len(verdicts)} points that have exponents: {found}. Probabilities are calibrated on the "
        "window of each point by running the reference process of each class there; the grade follows rules that are in "
        "`quasicrit.scaling.evidence`."
    )


def _line(row: Any, classes: pd.DataFrame) -> str:
    own = classes[(classes[_KEYS] == [row.source, row.protocol, row.point_id]).all(axis=1)]
    own = own.sort_values("probability", ascending=False)
    first, second = own.iloc[0], own.iloc[1]
    return (
        f"| {_name(row)} | {first['label']} ({first['probability']:.3f}) | {second['label']} ({second['probability']:.2g}) "
        f"| {row.grade} | {row.statement} |"
    )


def _reasons(row: Any) -> str:
    parts = []
    for word, text in (("For", row.reasons_for), ("Against", row.reasons_against), ("Open", row.reasons_open)):
        if text:
            parts.append(f"{word}: {str(text).replace(chr(10), ' ')}")
    return " ".join(parts)


def _rival(classes: pd.DataFrame, listed: pd.DataFrame) -> Iterator[str]:
    """Short-range Barkhausen noise, the rival that decides P1."""
    own = classes[classes["universality"].astype(str) == "interface_2d"].merge(
        listed[[*_KEYS, "sigma_w_rule"]], on=_KEYS
    )
    own = own[own["sigma_w_rule"] == "critical"]
    for protocol, group in own.groupby("protocol"):
        low, high = group["probability"].min(), group["probability"].max()
        verb = "excluded" if high < 0.01 else "not excluded everywhere" if low < 0.01 else "not excluded"
        yield (
            f"Short-range Barkhausen noise (1.274, 1.483, 1.765) is {verb} at sigma_c(N) in protocol {protocol}: probability "
            f"{low:.2g} to {high:.2g}."
        )
        yield ""


def _definitions(definitions: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    if not len(definitions):
        return [
            "No grid of this run has map_definitions: true, so how the class depends on definitions was not looked at."
        ]
    frame = definitions.astype(dict.fromkeys(_KEYS, str)).merge(points[[*_KEYS, "sigma_w_rule"]], on=_KEYS)
    own = frame[
        (frame["signal"].astype(str) == "own") & (frame["reason"] == "") & (frame["sigma_w_rule"] == "critical")
    ]
    parts = []
    for size, group in own.groupby(own["size"].astype(str)):
        top = group["verdict"].astype(str).value_counts()
        parts.append(f"{size}: " + ", ".join(f"{name} {count}" for name, count in top.items()))
    return [
        "The class depends on the definition of size (critical points, all thresholds and windows; extended figure 2): "
        + "; ".join(parts)
        + "."
    ]


def tabulate_confusion(paths: Sequence[Path | str], out: Path | str) -> None:
    """Rule tabulate_confusion: the confusion matrix in words, as Markdown."""
    frame = read_table([str(path) for path in paths], SCHEMAS["confusion"])
    with atomic_path(out) as temporary:
        temporary.write_text(
            "\n".join(["# Confusion of universality classes", "", *_trust(frame), ""]), encoding="utf-8"
        )


def trust_lines(confusion: pd.DataFrame) -> list[str]:
    """The confusion matrix in a few rows."""
    frame = confusion.astype({"process": str, "verdict": str, "grade": str, "statement": str})
    known = frame[frame["universality"].notna()]
    right = known["verdict"] == known["universality"].astype(str)
    covers = [known.groupby("process")[f"covers_{name}"].apply(_share) for name in ("tau_s", "tau_d", "gamma")]
    impostors = frame[frame["universality"].isna()]
    walks = impostors["process"].map(lambda name: IMPOSTORS[name].memory > IMPOSTORS[name].window[1])
    short, long = impostors[~walks], impostors[walks]
    failed = (frame["reason"] != "").sum()
    return [
        "| what | processes | measured | required |",
        "|---|---|---|---|",
        f"| right class on top | {known['process'].nunique()} references | {_range(right.groupby(known['process']).apply(_share))} "
        "| at least 95 % |",
        "| 95 % intervals that cover after the process's own shift (tau_s; tau_d; gamma) | the same | "
        f"{'; '.join(map(_range, covers))} | 91 to 98 % |",
        "| impostors with a memory within the window: none, or no evidence | "
        f"{short['process'].nunique()} | {_range(_quiet(short, walk=False))} | at least 95 % |",
        "| impostors with a memory beyond it, surrogates of a walk: called a Gaussian walk | "
        f"{long['process'].nunique()} | {_range(_quiet(long, walk=True))} | never “critical” |",
        f"| grade of a reference: no evidence; undecided; consistent with | {known['process'].nunique()} references | "
        f"{'; '.join(_range(_graded(known, grade)) for grade in ('none', 'undecided', 'consistent with'))} | |",
        *(
            [
                f"| could not be fitted, counted as no evidence | {frame['process'].nunique()} | {int(failed)} realisations | |"
            ]
            if failed
            else []
        ),
        "",
        f"({_events(frame)} realisations of each process.)",
    ]


def _events(frame: pd.DataFrame) -> str:
    counts = sorted(set(frame.groupby("process").size()))
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def _quiet(frame: pd.DataFrame, *, walk: bool) -> pd.Series:
    """By process the share that ends without evidence; with ``walk``, or as a walk."""
    quiet = (frame["grade"] == "none") | (frame["verdict"] == "none")
    if walk:
        quiet = quiet | frame["statement"].str.contains("indistinguishable")
    return quiet.groupby(frame["process"]).apply(_share)


def _graded(frame: pd.DataFrame, grade: str) -> pd.Series:
    """By process the share of realisations with that grade."""
    return (frame["grade"] == grade).groupby(frame["process"]).apply(_share)


def _share(values: pd.Series) -> float:
    return float(values.astype(float).mean())


def _range(shares: pd.Series) -> str:
    low, high = 100 * shares.min(), 100 * shares.max()
    return f"{low:.1f} %" if high - low < 0.05 else f"{low:.1f} to {high:.1f} %"


def _trust(confusion: pd.DataFrame) -> list[str]:
    """The confusion matrix in words, by process."""
    lines = [
        "How far to trust this: the same code on processes whose answer is known, and on impostors (extended figure 1).",
        "",
        "| process | class | realisations | right class | no evidence, or called a Gaussian walk | calibrated intervals that cover (tau_s, tau_d, gamma) |",
        "|---|---|---|---|---|---|",
    ]
    frame = confusion.assign(process=confusion["process"].astype(str))
    for process, group in frame.groupby("process", sort=True):
        known = group["universality"].iloc[0]
        right = "–" if pd.isna(known) else f"{100 * (group['verdict'].astype(str) == str(known)).mean():.0f} %"
        quiet = (group["grade"].astype(str) == "none") | group["statement"].astype(str).str.contains(
            "indistinguishable"
        )
        covers = [group[f"covers_{name}"].dropna() for name in ("tau_s", "tau_d", "gamma")]
        held = ", ".join(f"{100 * part.astype(float).mean():.0f} %" for part in covers) if len(covers[0]) else "–"
        lines.append(
            f"| {process} | {'none: impostor' if pd.isna(known) else known} | {len(group)} | {right} | {100 * quiet.mean():.0f} % "
            f"| {held} |"
        )
    return lines
