"""Figure 5: residual and other architectures by three definitions of avalanches, with nulls and exact processes; trends with size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from quasicrit.figures.data import Paths, read
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    PALE,
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

__all__ = ["ArchitectureTables", "draw_architectures"]

_TITLES = {"A": "A, lineages (generations)", "B": "B, units of one stream", "C": "C, layer activity"}
_DEFINITION = {"A": COLOURS["vermillion"], "B": COLOURS["blue"], "C": COLOURS["green"]}
_SIGNALS = {
    "input shuffle": (COLOURS["orange"], ":"),
    "layer shuffle": (COLOURS["sky"], ":"),
    "Gaussian surrogate": (COLOURS["purple"], "--"),
    "i.i.d. weights": (COLOURS["black"], "-."),
    "critical branching": (GREY, "-"),
    "random walk": (GREY, "--"),
}
_MARK = {
    "input shuffle": "<",
    "layer shuffle": ">",
    "Gaussian surrogate": "d",
    "i.i.d. weights": "x",
    "critical branching": "|",
    "random walk": "1",
}
_AXES = {"tau_s": ("τ$_s$", (0.9, 2.7)), "tau_d": ("τ$_d$", (1.0, 3.3)), "gamma": ("γ", (0.9, 2.4))}
_CLASSES = {"tau_s": (1.5, 4 / 3), "tau_d": (2.0, 1.5), "gamma": (2.0, 1.5)}


@dataclass(frozen=True)
class ArchitectureTables:
    """Paths of the tables that figure 5 reads."""

    architectures: Paths
    cascade_distributions: Paths


def draw_architectures(tables: ArchitectureTables, outputs: Sequence[Path | str]) -> None:
    """Draw figure 5 into ``outputs``: durations of one network by A, B and C, exponents of all, trends with depth and width."""
    fits = read("architectures", tables.architectures)
    shapes = read("cascade_distributions", tables.cascade_distributions)
    main = fits[fits["primary"]]
    rows = _rows(main)
    with journal_style():
        fig = new_figure(112 + 5.0 * max(len(rows), 6))
        outer = fig.add_gridspec(4, 1, height_ratios=[1.0, 0.06, max(0.13 * len(rows), 0.8), 0.9])
        tops = _panels(fig, outer[0], 3)
        for panel, (ax, definition) in enumerate(zip(tops, _TITLES)):
            _durations(ax, main, shapes, definition)
            letter(ax, "abc"[panel], _TITLES[definition])
        _symbols(fig.add_subplot(outer[1]))
        columns = _panels(fig, outer[2], 3)
        for panel, (ax, name) in enumerate(zip(columns, _AXES)):
            _exponents(ax, main, rows, name, labelled=panel == 0)
            letter(ax, "def"[panel])
        bottoms = _panels(fig, outer[3], 4)
        trends = [name for name, group in main[main["size"] > 0].groupby("network", sort=False)]
        for panel, ax in enumerate(bottoms):
            quantity = ("d_c", "gamma")[panel % 2]
            which = trends[panel // 2] if panel // 2 < len(trends) else None
            _trend(ax, main, which, quantity)
            letter(ax, "ghij"[panel])
        legend(bottoms[0], loc="upper left")
        nets = int(main[main["signal"] == "own"]["n_nets"].max()) if len(main) else 0
        caption(
            fig,
            f"Error bars: 95 % intervals over up to {nets} networks (Student); a–c, one standard error over networks. Shaded: window of the fits, declared before the run. "
            "Grey in a–c, pale in g–j: exact processes at the same depth and window (solid: critical branching, dashed: random walk). Open symbols: before training, "
            "filled: after; nulls are those of the last state, drawn where they lie on the axis. Dotted lines in d–f, h, j: Brownian excursion (blue), mean-field directed percolation (red). Arrows: beyond the axis. g, i: in A a layer is a generation.",
        )
        save(fig, outputs)


def _panels(fig: Figure, cell: SubplotSpec, count: int) -> list[Axes]:
    row = cell.subgridspec(1, count)
    return [fig.add_subplot(row[index]) for index in range(count)]


def _rows(main: pd.DataFrame) -> list[tuple[str, str]]:
    """(definition, member) of the networks that do not vary, by definition."""
    chosen = main[(main["size"] == 0) & (main["signal"] == "own")]
    found = list(dict.fromkeys(zip(chosen["definition"], chosen["member"])))
    return sorted(found, key=lambda row: row[0])


def _durations(ax: Axes, main: pd.DataFrame, shapes: pd.DataFrame, definition: str) -> None:
    """P(d) of the first network that has the definition: own before and after training, nulls, exact processes."""
    found = main[(main["definition"] == definition) & (main["size"] == 0) & (main["signal"] == "own")]
    if found.empty:
        note(ax, f"no network of this run has definition {definition}")
        return
    first = found.iloc[0]
    own = shapes[(shapes["member"] == first["member"]) & (shapes["definition"] == definition)]
    last = "trained" if (own["state"] == "trained").any() else "initial"
    for signal, (colour, line) in _SIGNALS.items():
        state = "reference" if signal in ("critical branching", "random walk") else last
        curve = own[(own["signal"] == signal) & (own["state"] == state)]
        if len(curve):
            ax.plot(
                curve["x"],
                curve["value"],
                line,
                color=colour,
                lw=0.8,
                label=f"_{signal}",
            )
    for state, face in (("initial", "white"), ("trained", _DEFINITION[definition])):
        curve = own[(own["signal"] == "own") & (own["state"] == state)]
        if len(curve):
            ax.errorbar(
                curve["x"],
                curve["value"],
                curve["error"],
                fmt="o",
                color=_DEFINITION[definition],
                markerfacecolor=face,
                ms=2.6,
                lw=0.6,
                label=f"{first['member'].replace('_', ' ')}, {state}",
                zorder=3,
            )
    ax.axvspan(first["window_low"], first["window_high"], color=PALE, lw=0, zorder=0)
    log_axes(ax)
    positive = own[own["signal"] == "own"]["value"]
    ax.set_ylim(max(positive.min() / 5, 1e-7), 1.5)
    unit = "generation" if definition == "A" else "layer"
    ax.set_xlabel(f"duration d ({unit}s)")
    ax.set_ylabel(f"P(d) (per {unit})")
    legend(ax, loc="lower left")


def _exponents(ax: Axes, main: pd.DataFrame, rows: Sequence[tuple[str, str]], name: str, *, labelled: bool) -> None:
    label, (low, high) = _AXES[name]
    critical, walk = _CLASSES[name]
    ax.axvline(critical, color=COLOURS["vermillion"], lw=0.6, ls=":")
    ax.axvline(walk, color=COLOURS["blue"], lw=0.6, ls=":")
    for y, (definition, member) in enumerate(rows):
        own = main[(main["definition"] == definition) & (main["member"] == member)]
        for row in own.itertuples():
            value = float(getattr(row, name))
            if not np.isfinite(value):
                continue
            colour = _DEFINITION[definition]
            if not low <= value <= high:
                if row.signal == "own":
                    ax.plot(
                        high if value > high else low,
                        y,
                        ">" if value > high else "<",
                        color=colour,
                        ms=3,
                        clip_on=False,
                        label=f"_{row.state}, beyond the axis",
                    )
                continue
            if row.signal == "own":
                shift = 0.14 if row.state == "initial" else -0.14
                bar = interval(value, max(getattr(row, f"{name}_low"), low), min(getattr(row, f"{name}_high"), high))
                face = "white" if row.state == "initial" else colour
                ax.errorbar(
                    value,
                    y + shift,
                    xerr=bar,
                    fmt="o",
                    color=colour,
                    markerfacecolor=face,
                    ms=3.2,
                    lw=0.7,
                    zorder=3,
                    label=f"_{row.state}",
                )
            elif row.state in ("trained", "reference") or not (own["state"] == "trained").any():
                ax.plot(
                    value,
                    y,
                    _MARK[row.signal],
                    color=_SIGNALS[row.signal][0],
                    ms=3.2,
                    mew=0.7,
                    alpha=0.9,
                    zorder=2,
                    label=f"_{row.signal}",
                )
    ax.set_xlim(low, high)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    names = [f"{member.replace('_', ' ')}  {definition}" for definition, member in rows]
    ax.set_yticks(range(len(rows)), names if labelled else [""] * len(rows))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color=PALE, lw=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel(label)


def _symbols(ax: Axes) -> None:
    """Legend of nulls and exact processes: their lines in panels a to c, their marks in d to f."""
    handles: list[Any] = [
        Line2D(
            [],
            [],
            marker=mark,
            ls=_SIGNALS[signal][1],
            color=_SIGNALS[signal][0],
            lw=0.8,
            ms=3.2,
            mew=0.7,
            label=signal,
        )
        for signal, mark in _MARK.items()
    ]
    ax.set_axis_off()
    ax.legend(handles=handles, loc="center", ncols=len(handles), handlelength=2.5)


def _trend(ax: Axes, main: pd.DataFrame, network: str | None, quantity: str) -> None:
    if network is None:
        note(ax, "no trend in this run")
        return
    own = main[main["network"] == network]
    for definition, colour in _DEFINITION.items():
        chosen = own[(own["definition"] == definition) & own[quantity].notna()].sort_values("size")
        line = chosen[(chosen["signal"] == "own") & (chosen["state"] == "initial")]
        if len(line):
            error = np.hstack(
                [interval(r[quantity], r[f"{quantity}_low"], r[f"{quantity}_high"]) for _, r in line.iterrows()]
            )
            ax.errorbar(
                line["size"], line[quantity], error, fmt="o-", color=colour, ms=2.8, lw=0.8, label=definition, zorder=3
            )
        for signal in ("critical branching", "random walk"):
            exact = chosen[chosen["signal"] == signal]
            # Branching is the exact process of lineages, the walk that of excursions.
            if len(exact) and (signal == "critical branching") == (definition == "A"):
                ax.plot(
                    exact["size"],
                    exact[quantity],
                    color=colour,
                    ls=_SIGNALS[signal][1],
                    lw=0.7,
                    alpha=0.5,
                    label=f"_{signal}",
                )
    ax.set_xlabel(f"number of {network.replace('_', ' ')}")
    ax.set_ylabel("cut-off $d_c$ (layers)" if quantity == "d_c" else "γ")
    if quantity == "d_c":
        log_axes(ax)
    else:
        ax.set_xscale("log")
        for value, colour in ((2.0, COLOURS["vermillion"]), (1.5, COLOURS["blue"])):
            ax.axhline(value, color=colour, lw=0.6, ls=":")
    sizes = sorted(own["size"].unique())
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
