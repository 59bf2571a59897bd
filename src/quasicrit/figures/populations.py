"""Extended figure 5: populations of neurons through the estimators of networks (P8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from quasicrit.figures.data import Paths, read
from quasicrit.figures.source_data import GUIDE
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    MARKERS,
    caption,
    interval,
    journal_style,
    legend,
    letter,
    log_axes,
    new_figure,
    note,
    save,
)

__all__ = ["PopulationTables", "draw_populations"]

_BRANCHING = {"tau_s": 1.5, "tau_d": 2.0, "gamma": 2.0}
_LABELS = {"tau_s": "$\\tau_s$", "tau_d": "$\\tau_d$", "gamma": "$\\gamma$"}
_HUES = ("blue", "vermillion", "green", "purple", "orange", "sky")


@dataclass(frozen=True)
class PopulationTables:
    """Paths of the tables that the figure reads."""

    populations: Paths
    population_curves: Paths


def draw_populations(tables: PopulationTables, outputs: Sequence[Path | str]) -> None:
    """Draw (a) durations with windows and a control, (b) slopes and b m^k, (c) m beside the naive slope and sigma, (d) exponents."""
    with journal_style():
        figure = new_figure(125.0)
        axes = figure.subplots(2, 2)
        if not tables.populations:
            for ax, name in zip(axes.flat, "abcd"):
                letter(ax, name)
                note(ax, "no population of neurons in this run")
            save(figure, outputs)
            return
        rows = list(read("populations", tables.populations).itertuples(index=False))
        curves = read("population_curves", tables.population_curves)
        names = list(dict.fromkeys(row.population for row in rows))
        colours = {name: COLOURS[_HUES[index % len(_HUES)]] for index, name in enumerate(names)}
        markers = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}
        (durations, slopes), (ratios, exponents) = axes
        looks = [(row, colours[row.population], markers[row.population]) for row in rows]
        _durations(durations, looks, curves)
        _slopes(slopes, looks, curves)
        _ratios(ratios, looks)
        _exponents(exponents, looks)
        caption(figure, _caption(rows))
        save(figure, outputs)


_Look = tuple[Any, str, str]


def _own(curves: pd.DataFrame, row: Any, curve: str) -> pd.DataFrame:
    return curves[
        (curves["population"] == row.population) & (curves["fraction"] == row.fraction) & (curves["curve"] == curve)
    ]


def _label(row: Any) -> str:
    return row.population if row.fraction == 1.0 else f"{row.population}, {100 * row.fraction:g} %"


def _face(row: Any, colour: str) -> str:
    return colour if row.fraction == 1.0 else "white"


def _durations(ax: Axes, looks: Sequence[_Look], curves: pd.DataFrame) -> None:
    letter(ax, "a", "durations of avalanches")
    for index, (row, colour, marker) in enumerate(looks):
        found = _own(curves, row, "durations")
        own = found[found["signal"] == "own"]
        # An error of half the value or more reaches nowhere on this axis.
        known = own["error"].where(own["error"] < 0.5 * own["value"]).fillna(0.0)
        ax.errorbar(
            own["x"], own["value"], known, fmt=marker, color=colour, mfc=_face(row, colour), label=_label(row), zorder=3
        )
        if row.fraction == 1.0:
            control = found[found["signal"] == "each unit shifted in time"]
            ax.plot(control["x"], control["value"], "--", color=colour, linewidth=0.7, label=f"_{_label(row)}, shifted")
            ax.plot(
                [row.window_low, row.window_high],
                [0.012 + 0.022 * index] * 2,
                color=colour,
                linewidth=1.6,
                solid_capstyle="butt",
                transform=ax.get_xaxis_transform(),
                label=GUIDE,
            )
    ax.plot([], [], "--", color=GREY, label="units shifted in time")
    log_axes(ax)
    ax.set_xlabel("avalanche duration d (bins)")
    ax.set_ylabel("P(d) (per bin)")
    legend(ax, loc="upper right")


def _slopes(ax: Axes, looks: Sequence[_Look], curves: pd.DataFrame) -> None:
    letter(ax, "b", "slope of A(t + k) on A(t)")
    lowest = []
    for row, colour, marker in looks:
        measured, fitted = (_own(curves, row, name) for name in ("slopes", "fitted"))
        measured = measured[measured["value"] > 0]
        if measured.empty:
            continue
        lowest.append(float(measured["value"].min()))
        # Enough to see the decay; the source data hold what is drawn.
        thin = measured.iloc[:: max(1, len(measured) // 16)]
        ax.plot(1e3 * thin["x"], thin["value"], marker, color=colour, mfc=_face(row, colour), label=_label(row))
        ax.plot(1e3 * fitted["x"], fitted["value"], color=colour, linewidth=0.7, label=f"_{_label(row)}, b m^k")
    if not lowest:
        note(ax, "no activity of this run has a memory")
        return
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(0.5 * min(lowest), 1e-4))
    log_axes(ax, "y")
    ax.set_xlabel("lag k (ms)")
    ax.set_ylabel("$r_k$, and $b m^k$ (lines)")


def _ratios(ax: Axes, looks: Sequence[_Look]) -> None:
    letter(ax, "c", "branching ratio in steps of 4 ms")
    for y, (row, colour, marker) in enumerate(looks):
        if pd.notna(row.m):
            spread = interval(row.m, row.m_low, row.m_high)
            ax.errorbar(row.m, y, xerr=spread, fmt=marker, color=colour, label=f"_m, {_label(row)}", zorder=3)
        if pd.notna(row.naive_m):
            ax.plot(row.naive_m, y, marker, color=colour, mfc="white", label=f"_naive, {_label(row)}")
        if pd.notna(row.sigma):
            ax.plot([row.sigma] * 2, [y - 0.3, y + 0.3], color="black", label=f"_sigma, {_label(row)}")
    ax.plot([], [], "o", color=GREY, label="multistep regression")
    ax.plot([], [], "o", color=GREY, mfc="white", label="naive slope")
    ax.plot([], [], "-", color="black", label="$\\sigma$ of the simulation")
    _named(ax, looks)
    ax.set_xlabel("m")
    legend(ax, loc="lower left")


def _exponents(ax: Axes, looks: Sequence[_Look]) -> None:
    letter(ax, "d", "exponents of the avalanches")
    shapes = dict(zip(_LABELS, ("o", "s", "^")))
    for y, (row, colour, _) in enumerate(looks):
        for shift, name in zip((-0.22, 0.0, 0.22), _LABELS):
            value = getattr(row, name)
            if pd.notna(value):
                spread = interval(value, getattr(row, f"{name}_low"), getattr(row, f"{name}_high"))
                ax.errorbar(
                    value,
                    y + shift,
                    xerr=spread,
                    fmt=shapes[name],
                    color=colour,
                    mfc=_face(row, colour),
                    label=f"_{name}, {_label(row)}",
                )
    for value, style in ((_BRANCHING["tau_s"], ":"), (_BRANCHING["tau_d"], "-")):
        ax.axvline(value, color="black", linewidth=0.6, linestyle=style, zorder=0, label=GUIDE)
    for name, label in _LABELS.items():
        ax.plot([], [], shapes[name], color=GREY, label=label)
    ax.plot([], [], ":", color="black", label="3/2")
    ax.plot([], [], "-", color="black", label="2")
    _named(ax, looks)
    ax.set_xlabel("exponent (lines: critical branching)")
    legend(ax, loc="lower right", ncols=2)


def _named(ax: Axes, looks: Sequence[_Look]) -> None:
    ax.set_yticks(range(len(looks)), [_label(row) for row, _, _ in looks])
    # Room for the legend below the last row.
    ax.set_ylim(len(looks) + 0.9, -0.6)
    ax.tick_params(axis="y", length=0)


def _caption(rows: Sequence[Any]) -> str:
    parts = [
        f"{_label(row)}: {row.n_events} avalanches in {row.duration:.0f} s"
        + ("" if pd.isna(row.n_units) else f", {row.n_units:.0f} units seen")
        for row in rows
    ]
    return (
        f"{'; '.join(parts)}. Error bars: a, one standard error over blocks of time (a fiftieth of the recording each); c and d, 95 % intervals "
        "over the same blocks. Filled: all units; open in a, b and d: the part of them that is named. Bars at the foot of a: declared windows."
    )
