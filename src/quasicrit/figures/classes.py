"""Universality classes: the confusion matrix, the map of definitions, and the bars of figure 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from quasicrit.figures.data import Paths, Rows, key, listed, plain, read
from quasicrit.figures.source_data import GUIDE, attach
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    INK,
    PALE,
    SHADES,
    caption,
    journal_style,
    legend,
    new_figure,
    note,
    save,
)

__all__ = ["ConfusionTables", "DefinitionTables", "class_bars", "draw_confusion", "draw_definitions", "point_name"]

#: Class → short name and colour; classes of one family share a colour, and differ in lightness. Those that are not here: ``_classes``.
_CLASSES: dict[str, tuple[str, str]] = {
    "brownian_excursion": ("Brownian excursion", COLOURS["blue"]),
    "gaussian_signal": ("Gaussian signal, H ≠ ½", COLOURS["sky"]),
    "mean_field_dp": ("mean-field DP", COLOURS["vermillion"]),
    "abbm": ("ABBM, c > 0", SHADES["pale vermillion"]),
    "dp_1d": ("DP 1 + 1", SHADES["dark green"]),
    "dp_2d": ("DP 2 + 1", COLOURS["green"]),
    "dp_3d": ("DP 3 + 1", SHADES["pale green"]),
    "interface_1d": ("interface d = 1", SHADES["dark purple"]),
    "interface_2d": ("interface d = 2", COLOURS["purple"]),
    "interface_3d": ("interface d = 3", SHADES["pale purple"]),
    "none": ("none of these", "#262626"),
}
_SIZES = {
    "log_area": r"$\Sigma(y-\theta)+0.58\,\sigma_1 d$",
    "log_area_raw": r"$\Sigma(y-\theta)$",
    "excess": r"$\Sigma(m/m_\theta-1)$",
    "activity": r"$\Sigma\,m/m_\theta$",
}
_SURROGATES = {"phase_randomised": "random phases", "shuffled_increments": "shuffled steps"}
#: Colours of classes that have none of their own.
_SPARE = (COLOURS["orange"], INK, GREY)


def _classes(found: Iterable[Any]) -> dict[str, tuple[str, str]]:
    """``_CLASSES``, and behind them the others that were found: called by their names, in spare colours."""
    others = sorted({str(name) for name in found} - set(_CLASSES))
    return _CLASSES | {name: (name, _SPARE[index % len(_SPARE)]) for index, name in enumerate(others)}


def _named(words: Mapping[str, str], found: Iterable[Any]) -> dict[str, str]:
    """``words``, and behind them the others that were found, by their names."""
    return dict(words) | {name: name for name in sorted({str(name) for name in found} - set(words))}


@dataclass(frozen=True)
class ConfusionTables:
    """Paths of the tables that the confusion matrix reads."""

    confusion: Paths


@dataclass(frozen=True)
class DefinitionTables:
    """Paths of the tables that the map of definitions reads."""

    points: Paths
    definitions: Paths


def draw_confusion(tables: ConfusionTables, outputs: Sequence[Path | str]) -> None:
    """Draw into ``outputs`` the share of realisations of every process that each class is given.

    Raises TableError for a table that is missing or damaged.
    """
    frame = read("confusion", tables.confusion)
    with journal_style():
        fig = new_figure(112)
        ax = fig.add_subplot()
        _confusion(ax, frame)
        counts = frame.groupby("process", sort=False).size()
        caption(
            fig,
            f"Rows: reference processes of known class (upper part, in the order of the columns) and impostors (lower part), "
            f"{listed(sorted(counts))} realisations each, every one fitted on its declared window and classified like "
            "data. Numbers: share of realisations in %, rounded; a share p of n has a binomial standard error of "
            f"$[p(1-p)/n]^{{1/2}}$, at most {_largest_error(counts)} %. Framed: the right class; an impostor has none. Last column: "
            "share that end without evidence of criticality, or as a Gaussian walk.",
        )
        save(fig, outputs)


def _largest_error(counts: pd.Series) -> str:
    """Standard error, in %, of a share of one half of the fewest realisations."""
    return f"{50 / counts.min() ** 0.5:.0f}" if len(counts) else "50"


def _confusion(ax: Axes, frame: pd.DataFrame) -> None:
    if not len(frame):
        note(ax, "no realisations in this run")
        return
    known = frame[frame["universality"].notna()]
    classes = _classes([*frame["verdict"], *known["universality"]])
    order = list(classes)
    rows = sorted(known["process"].unique(), key=lambda name: _rank(known, name, order))
    rows += sorted(frame[frame["universality"].isna()]["process"].unique(), key=_by_number)
    share = np.array(
        [[(frame[frame["process"] == r]["verdict"] == c).mean() for c in order] for r in rows], dtype=np.float64
    )
    own = [frame[frame["process"] == r] for r in rows]
    plain_walk = np.array(
        [((g["grade"] == "none") | g["statement"].str.contains("indistinguishable")).mean() for g in own]
    )
    whole = np.column_stack([share, np.full(len(rows), np.nan), plain_walk])
    ax.imshow(np.ma.masked_invalid(whole), cmap="Blues", vmin=0.0, vmax=1.25, aspect="auto")
    for (i, j), value in np.ndenumerate(whole):
        if np.isfinite(value) and value > 0:
            colour = "white" if value > 0.7 else "black"
            ax.text(j, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=6, color=colour)
    for i, group in enumerate(own):
        right = group["universality"].iloc[0]
        if right in order:
            box = (order.index(right) - 0.5, i - 0.5)
            ax.add_patch(Rectangle(box, 1, 1, fill=False, edgecolor=COLOURS["vermillion"], lw=1.0, zorder=3))
    split = len(known["process"].unique()) - 0.5
    ax.axhline(split, color="black", lw=0.8)
    ax.set_yticks(range(len(rows)), [_process(name) for name in rows])
    labels = [short for short, _ in classes.values()]
    ax.set_xticks(
        [*range(len(order)), len(order) + 1],
        [*labels, "rejected, or a walk"],
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    ax.set_xlabel("class that is given")
    ax.set_ylabel("process")
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def _by_number(name: str) -> tuple[str, float]:
    """Names that end in a number in its order."""
    head, _, tail = name.rpartition("_")
    return (head, float(tail)) if tail.isdigit() else (name, 0.0)


def _rank(known: pd.DataFrame, name: str, order: list[str]) -> tuple[int, str]:
    return order.index(str(known[known["process"] == name]["universality"].iloc[0])), name


def _process(name: str) -> str:
    """The name of a process as people write it."""
    words = {
        "galton_watson": "branching, critical",
        "subcritical": "branching, m = 0.9",
        "walk": "random walk",
        "iid": "independent noise",
        "shuffled": "walk, shuffled values",
        "poisson": "Poisson counts",
        "poisson_modulated": "Poisson, slow rate",
        "lognormal": "lognormal activity",
        "superposed": "superposed exponentials",
        "walk_phase_randomised": "walk, random phases",
        "walk_shuffled_increments": "walk, shuffled steps",
        "percolation_1d": "directed percolation 1 + 1",
        "percolation_2d": "directed percolation 2 + 1",
        "interface_1d": "linear interface d = 1",
        "interface_2d": "linear interface d = 2",
    }
    for prefix, text in (("ar1_", "AR(1), memory "), ("abbm_", "ABBM, c = "), ("fractional_", "fractional walk, H = ")):
        if name.startswith(prefix):
            return text + name.removeprefix(prefix)
    return words.get(name, name)


def draw_definitions(tables: DefinitionTables, outputs: Sequence[Path | str]) -> None:
    """Draw into ``outputs`` the class of every mapped point under every definition.

    Raises TableError for a table that is missing or damaged.
    """
    frame = read("definitions", tables.definitions)
    points = read("points", tables.points)
    points = points[points["point_id"].isin(frame["point_id"])]
    with journal_style():
        fig = new_figure(40 + 6.5 * max(3, len(points)))
        ax = fig.add_subplot()
        if len(frame):
            _definitions(ax, frame, points)
        else:
            note(ax, "no grid with map_definitions in this run")
        shown = set(frame["verdict"])
        named = _classes(shown).items()
        handles = [Patch(color=colour, label=short) for name, (short, colour) in named if name in shown]
        handles.append(Patch(facecolor="white", edgecolor=GREY, label="too few events"))
        fig.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=6)
        caption(
            fig,
            "Each cell is a threshold (columns within a block: the protocol's own, shifted by so many standard deviations of each "
            f"trajectory) and a window (rows within a point, shortest to longest), {_counts(frame, points)}. Colour: most probable class; its "
            "breadth: the probability, from exponents with their standard errors; dot: the crackling relation holds within its tolerance; frame: the definition used "
            "everywhere else, with whose size the classes of signals are calibrated. Last block: surrogates of the signal under that definition.",
        )
        save(fig, outputs)


def _counts(frame: pd.DataFrame, points: pd.DataFrame) -> str:
    """Nets of a point, and events of a cell."""
    nets = sorted({int(n) for n in points["nets"]})
    events = frame.loc[frame["reason"] == "", "n_events"]
    parts = [f"{listed(nets)} nets a point"] if nets else []
    if len(events):
        few, many = f"{events.min():,}", f"{events.max():,}"
        parts.append(f"{few} events" if few == many else f"{few} to {many} events")
    return ", ".join(parts) or "no events"


def _definitions(ax: Axes, frame: pd.DataFrame, points: pd.DataFrame) -> None:
    is_own = frame["signal"] == "own"
    classes, sizes = _classes(frame["verdict"]), _named(_SIZES, frame["size"])
    surrogates = _named(_SURROGATES, frame["signal"][~is_own])
    thresholds = sorted(frame[is_own]["threshold"].unique())
    step = len(thresholds) + 0.6
    sort = points.sort_values(["source", "protocol", "activation", "width", "memory"], kind="stable")
    sort = pd.concat([sort[sort["source"] != "process"], sort[sort["source"] == "process"]])
    rows = {(r.source, r.protocol, r.point_id): point_name(r) for r in sort.itertuples()}
    ordered = list(rows)
    cells = []
    for index, point in enumerate(ordered):
        own = frame[(frame["source"] == point[0]) & (frame["protocol"] == point[1]) & (frame["point_id"] == point[2])]
        windows = sorted({(r.window_low, r.window_high) for r in own.itertuples()}, key=lambda w: w[1] / w[0])
        height = 0.86 / len(windows)
        for row in own.itertuples():
            top = index + windows.index((row.window_low, row.window_high)) * height
            if row.signal == "own":
                left = list(sizes).index(row.size) * step + thresholds.index(row.threshold)
                _cell(ax, row, classes, left, top, 1.0, height, bool(row.primary))
            else:
                left = len(sizes) * step + list(surrogates).index(row.signal)
                _cell(ax, row, classes, left, float(index), 1.0, 0.86, False)
            how = f"threshold {row.threshold:+g}, size {row.size}, window {row.window_low}–{row.window_high}, {row.signal}"
            verdict = "too few events" if row.reason else row.verdict
            cells.append({"series": verdict, "x_name": how, "y_name": rows[point], "value": row.probability})
    for verdict, found in pd.DataFrame(cells).groupby("series", sort=True):
        attach(ax, str(verdict), found)
    ax.set_xlim(-0.1, len(sizes) * step + len(surrogates) + 0.1)
    ax.set_ylim(len(ordered), -0.1)
    ax.set_yticks(np.arange(len(ordered)) + 0.43, [rows[one] for one in ordered])
    marks = [(b * step + t + 0.5, f"{x:+g}" if x else "0") for b in range(len(sizes)) for t, x in enumerate(thresholds)]
    marks += [(len(sizes) * step + i + 0.5, text.replace(" ", "\n")) for i, text in enumerate(surrogates.values())]
    ax.set_xticks([at for at, _ in marks], [text.replace("-", "−") for _, text in marks], fontsize=6)
    ax.set_xlabel("shift of the threshold (standard deviations)", labelpad=3)
    for block, text in enumerate([*sizes.values(), "surrogates"]):
        width = len(thresholds) if block < len(sizes) else len(surrogates)
        ax.text(block * step + width / 2, -0.18, text, ha="center", va="bottom", fontsize=6)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def _cell(
    ax: Axes,
    row: Any,
    classes: Mapping[str, tuple[str, str]],
    left: float,
    top: float,
    width: float,
    height: float,
    primary: bool,
) -> None:
    if not row.reason:
        colour = classes[row.verdict][1]
        ax.add_patch(Rectangle((left, top), width * row.probability, height, facecolor=colour, lw=0))
    ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=PALE, lw=0.4))
    if row.relation == "holds":
        # Seen on dark colours too.
        ax.plot(left + width / 2, top + height / 2, "o", color="black", mfc="white", mew=0.5, ms=1.9, label=GUIDE)
    if primary:
        ax.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="black", lw=1.1, zorder=4))


def point_name(point: Any) -> str:
    """A point in few words: protocol, net, width, or the process."""
    if point.source == "process":
        memory = f" {point.memory:.0f}" if point.architecture == "ar1" else ""
        return {"ar1": "AR(1), memory", "iid": "independent noise"}.get(point.architecture, point.architecture) + memory
    kind = {"weights": ", weights", "gram": f", {point.inputs} inputs"}.get(point.source, "")
    orthogonal = ", orthogonal" if point.init == "orthogonal" else ""
    return f"{point.protocol}, {point.activation}, N = {point.width}{orthogonal}{kind}"


def class_bars(ax: Axes, points: Sequence[Any], classes: Rows, verdicts: Rows) -> None:
    """Class probabilities of ``points`` as stacked bars, and the grade of the evidence beside them."""
    rows = [(point, found) for point in points if (found := plain(classes, point)) is not None]
    if not rows:
        note(ax, "no class in this run")
        return
    named, shown = _classes(name for _, found in rows for name in found["universality"]).items(), []
    for index, (point, found) in enumerate(rows):
        left = 0.0
        for name, (_, colour) in named:
            share = float(found[found["universality"] == name]["probability"].sum())
            if share > 0.005:
                ax.barh(index, share, left=left, color=colour, height=0.74, lw=0, label=f"_{name}")
                left += share
                shown.append(name)
        grade = verdicts.get(key(point))
        if grade is not None:
            ax.text(1.015, index, str(grade["grade"].iloc[0]), va="center", fontsize=5.5)
    ax.set_yticks(range(len(rows)), [point_name(point) for point, _ in rows], fontsize=6)
    ax.set_ylim(len(rows) - 0.4, -1.2)
    ax.text(1.015, -0.95, "evidence", va="center", fontsize=5.5, color=INK)
    ax.set_xlim(0, 1)
    ax.set_xlabel("probability of the class")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    handles = [Patch(color=colour, label=short) for name, (short, colour) in named if name in shown]
    legend(ax, handles, [str(h.get_label()) for h in handles], loc="center left", bbox_to_anchor=(1.2, 0.5))
