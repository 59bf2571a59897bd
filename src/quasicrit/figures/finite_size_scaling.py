"""Figure 4: how width and depth cut avalanches off, the collapses, and the controls that do not scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from quasicrit.figures.classes import class_bars
from quasicrit.figures.data import Paths, Rows, by_point, listed, pick, plain, read, scaled
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
    ordered,
    save,
    signed,
)

__all__ = ["FiniteSizeTables", "draw_finite_size_scaling"]

#: Exponent by which P(d) is multiplied before a collapse: Brownian excursions, declared and not fitted.
_TAU = 1.5
_CONTROL_COLOURS = {
    "critical": COLOURS["vermillion"],
    "0.7": COLOURS["blue"],
    "0.98": COLOURS["sky"],
    "1.1": COLOURS["green"],
    "2.0": COLOURS["purple"],
}


@dataclass(frozen=True)
class FiniteSizeTables:
    """Paths of the tables that figure 4 reads."""

    points: Paths
    distributions: Paths
    cutoffs: Paths
    survival: Paths
    scaling: Paths
    classes: Paths
    point_verdicts: Paths


@dataclass(frozen=True)
class _Run:
    points: pd.DataFrame
    distributions: Rows
    cutoffs: Rows
    survival: pd.DataFrame
    scaling: pd.DataFrame
    classes: Rows
    verdicts: Rows


def draw_finite_size_scaling(tables: FiniteSizeTables, outputs: Sequence[Path | str]) -> None:
    """Draw figure 4 into ``outputs`` (pdf, png, svg).

    Panels: (a) P(d) by width, protocol F, (b) its collapse, (c) cut-offs against N, (d) collapse in depth,
    (e) growth of d_c with L for nets and controls, (f) survival of a weak seed, (g) probabilities of the classes.
    Raises TableError for a table that is missing or damaged.
    """
    run = _Run(
        read("points", tables.points),
        by_point(read("distributions", tables.distributions)),
        by_point(read("cutoffs", tables.cutoffs)),
        read("survival", tables.survival),
        read("scaling", tables.scaling),
        by_point(read("classes", tables.classes)),
        by_point(read("point_verdicts", tables.point_verdicts)),
    )
    with journal_style():
        fig = new_figure(172)
        grid = fig.add_gridspec(3, 1, height_ratios=[1, 1, 0.85])
        upper = grid[0].subgridspec(1, 3)
        lower = grid[1].subgridspec(1, 3, width_ratios=[1, 1.45, 1])
        _by_width(fig.add_subplot(upper[0]), run)
        _collapse(fig.add_subplot(upper[1]), run)
        _growth(fig.add_subplot(upper[2]), run)
        _by_depth(fig.add_subplot(lower[0]), run)
        _controls(fig.add_subplot(lower[1]), run)
        _survival(fig.add_subplot(lower[2]), run)
        _classes(fig.add_subplot(grid[2].subgridspec(1, 2, width_ratios=[1, 0.34])[0]), run)
        caption(fig, _counts(run))
        save(fig, outputs)


def _classes(ax: Axes, run: _Run) -> None:
    letter(ax, "g", "universality class, calibrated on each window")
    grids = ("weak", "weak_64", "weak_128", "strong_64", "strong_128", "strong_weights")
    points = [point for grid in grids for point in pick(run.points, grid)]
    points += pick(run.points, "widths", activation="tanh")
    class_bars(ax, points, run.classes, run.verdicts)


def _counts(run: _Run) -> str:
    parts = []
    for panels, grid, word in (("a–c", "widths", "protocol F"), ("d", "depths", "protocol T")):
        points = pick(run.points, grid)
        if points:
            parts.append(
                f"{panels}: {word}, {points[0].nets} nets each, N = {listed([p.width for p in points])} "
                f"and L = {listed([p.depth for p in points])}"
            )
    nets, processes = pick(run.points, "controls_nets"), pick(run.points, "controls_processes")
    if nets or processes:
        counted = [f"{points[0].nets} {word}" for points, word in ((nets, "nets"), (processes, "signals")) if points]
        parts.append(f"e: protocol T, {' or '.join(counted)} a curve{_without_events(run, nets)}")
    if len(run.survival):
        parts.append(
            f"f: {run.survival['n_seeds'].max():,} seeds a point at x = 0, "
            f"{run.survival['n_seeds'].min():,} elsewhere (inset: line, theory; dotted, its limit N → ∞)"
        )
    if len(run.classes):
        parts.append("g: protocols W, T and F at $\\sigma_c(N)$, the nets of a and of figure 1")
    bars = "Error bars: a, b, d, one standard error over nets; c, e, 95 % bootstrap over nets; f, one binomial standard error."
    return f"{bars} {'; '.join(parts)}." if parts else bars


def _without_events(run: _Run, nets: list[Any]) -> str:
    rows = [(p, plain(run.cutoffs, p, quantity="d_c")) for p in nets]
    empty = [p.sigma_w_rule for p, found in rows if found is None or not np.isfinite(found["value"]).any()]
    return f" (no complete event, hence no curve, at $\\sigma_w$ = {', '.join(empty)})" if empty else ""


def _distribution(run: _Run, point: Any) -> pd.DataFrame | None:
    found = plain(run.distributions, point, quantity="duration")
    if found is None:
        return None
    found = found[(found["value"] > 0) & (found["error"] < 0.5 * found["value"])]
    return found if len(found) else None


def _widths(run: _Run, activation: str) -> list[Any]:
    return pick(run.points, "widths", activation=activation)


def _by_width(ax: Axes, run: _Run) -> None:
    letter(ax, "a", "widths: raw")
    nets = _widths(run, "tanh")
    drawn = False
    for point in _widths(run, "linear"):
        found = _distribution(run, point)
        if found is not None:
            ax.plot(found["x"], found["value"], color=GREY, lw=0.7, zorder=1, label=f"_linear, N = {point.width}")
    for colour, marker, point in zip(ordered(len(nets)), MARKERS, nets):
        found = _distribution(run, point)
        if found is not None:
            ax.errorbar(
                found["x"], found["value"], found["error"], fmt=marker + "-", lw=0.5, color=colour, ms=2.6,
                elinewidth=0.5, label=f"tanh, N = {point.width}",
            )  # fmt: skip
            drawn = True
    if not drawn:
        note(ax, "no grid widths in this run")
        return
    log_axes(ax)
    ax.set_xlabel("avalanche duration d (layers)")
    ax.set_ylabel("P(d) (per layer)")
    handles, labels = ax.get_legend_handles_labels()
    if _widths(run, "linear"):
        handles.append(Line2D([], [], color=GREY, lw=0.7))
        labels.append("linear, the same N")
    legend(ax, handles, labels, loc="lower left")


def _collapse(ax: Axes, run: _Run) -> None:
    nets = _widths(run, "tanh")
    row = scaled(run.scaling, "width", "z")
    z = row.value if row else 1.0
    quality = scaled(run.scaling, "width_collapse", "S")
    letter(ax, "b", "widths: collapsed" + (f" (tanh: S = {quality.value:.1f})" if quality else ""))
    drawn = False
    for point in _widths(run, "linear"):
        found = _distribution(run, point)
        if found is not None:
            x, y = found["x"] / point.width**z, _lifted(found, "value")
            ax.plot(x, y, color=GREY, lw=0.7, zorder=1, label=f"_linear, N = {point.width}")
    for colour, marker, point in zip(ordered(len(nets)), MARKERS, nets):
        found = _distribution(run, point)
        if found is not None:
            ax.errorbar(
                found["x"] / point.width**z, _lifted(found, "value"), _lifted(found, "error"), fmt=marker,
                color=colour, ms=2.6, elinewidth=0.5, label=f"_tanh, N = {point.width}",
            )  # fmt: skip
            drawn = True
    if not drawn:
        note(ax, "no grid widths in this run")
        return
    log_axes(ax)
    ax.set_xlabel(rf"$d/N^{{z}}$,  $z={z:.2f}$" + ("" if row else " (not fitted)"))
    ax.set_ylabel(r"$(d+½)^{3/2}\,P(d)$")


def _lifted(found: pd.DataFrame, column: str) -> Any:
    return (found["x"] + 0.5) ** _TAU * found[column]


def _cutoff(run: _Run, point: Any, quantity: str) -> Any | None:
    found = plain(run.cutoffs, point, quantity=quantity, depth=point.depth)
    row = None if found is None else next(found.itertuples(index=False))
    return row if row is not None and np.isfinite(row.value) else None


def _growth(ax: Axes, run: _Run) -> None:
    letter(ax, "c", "cut-offs against width")
    drawn = False
    for activation, analysis, filled in (("tanh", "width", True), ("linear", "width_linear", False)):
        points = _widths(run, activation)
        for quantity, name, exponent, marker, colour in (
            ("s_c", r"$s_c/\sigma_1$", "D", "s", COLOURS["blue"]),
            ("d_c", "$d_c$", "z", "o", COLOURS["vermillion"]),
        ):
            rows = [(p.width, row) for p in points if (row := _cutoff(run, p, quantity)) is not None]
            if not rows:
                continue
            width, value = np.array([w for w, _ in rows], float), np.array([row.value for _, row in rows])
            bars = np.hstack([interval(row.value, row.ci_low, row.ci_high) for _, row in rows])
            fit = scaled(run.scaling, analysis, exponent)
            label = f"{activation}, {name}"
            if fit is not None:
                weight = np.array([(row.value / row.error) ** 2 for _, row in rows])
                level = np.exp(np.average(np.log(value) - fit.value * np.log(width), weights=weight))
                ends = np.array([width[0] / 1.15, width[-1] * 1.15])
                shade = colour if filled else GREY
                ax.plot(ends, level * ends**fit.value, color=shade, lw=0.7, zorder=1, label=f"_fit: {label}")
                label += f": {exponent} = {signed(fit.value)} ± {(fit.ci_high - fit.ci_low) / 2:.2f}"
            ax.errorbar(
                width, value, bars, fmt=marker, color=colour if filled else GREY,
                mfc=colour if filled else "white", ms=3.2, elinewidth=0.7, label=label,
            )  # fmt: skip
            drawn = True
    if not drawn:
        note(ax, "no grid widths in this run")
        return
    log_axes(ax)
    widths = sorted({p.width for p in pick(run.points, "widths")})
    ax.set_xticks(widths, [str(w) for w in widths])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("width N (units)")
    ax.set_ylabel("cut-off (layers)")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.55)
    legend(ax, loc="upper left")


def _by_depth(ax: Axes, run: _Run) -> None:
    quality = scaled(run.scaling, "depth_collapse", "S")
    letter(ax, "d", "depths: collapsed" + (f" (S = {quality.value:.1f})" if quality else ""))
    points = pick(run.points, "depths")
    row = scaled(run.scaling, "depth", "z_L")
    z = row.value if row else 1.0
    inset = ax.inset_axes((0.17, 0.12, 0.4, 0.33))
    drawn: list[tuple[Any, Any]] = []
    for colour, marker, point in zip(ordered(len(points)), MARKERS, points):
        found = _distribution(run, point)
        if found is None:
            continue
        drawn.append((found["x"] / point.depth**z, _lifted(found, "value")))
        ax.errorbar(
            *drawn[-1], _lifted(found, "error"), fmt=marker, color=colour, ms=2.4, elinewidth=0.5, label=f"L = {point.depth}",
        )  # fmt: skip
        inset.plot(found["x"], found["value"], color=colour, lw=0.7, label=f"_L = {point.depth}")
    if not drawn:
        inset.remove()
        note(ax, "no grid depths in this run")
        return
    log_axes(ax)
    log_axes(inset)
    inset.tick_params(labelsize=5, length=1.5, pad=1, which="both")
    inset.set_title("raw P(d)", fontsize=6, pad=1)
    ax.set_xlabel(rf"$d/L^{{z_L}}$,  $z_L={z:.2f}$" + ("" if row else " (not fitted)"))
    ax.set_ylabel(r"$(d+½)^{3/2}\,P(d)$")
    bottom, top = ax.get_ylim()
    top *= (top / bottom) ** 0.35
    # The inset lies below the left part of the curves.
    left, right = ax.get_xlim()
    lowest = np.nanmin([y[x < left * (right / left) ** 0.6].min() for x, y in drawn])
    ax.set_ylim(min(bottom, lowest**2 / top), top)
    legend(ax, loc="upper left", ncols=2)


def _controls(ax: Axes, run: _Run) -> None:
    letter(ax, "e", "growth of the cut-off with length")
    curves: list[tuple[str, pd.DataFrame, Any, Any]] = []
    for point in pick(run.points, "controls_nets"):
        found = plain(run.cutoffs, point, quantity="d_c")
        if found is not None:
            rule = point.sigma_w_rule
            name = r"net, $\sigma_c(N)$" if rule == "critical" else rf"net, $\sigma_w$ = {rule}"
            curves.append((name, found, _CONTROL_COLOURS.get(rule, "black"), "o-"))
    for point in pick(run.points, "controls_processes"):
        found = plain(run.cutoffs, point, quantity="d_c")
        if found is not None:
            name = (
                f"AR(1), memory {point.memory:.0f}"
                if point.architecture == "ar1"
                else {"iid": "i.i.d."}.get(point.architecture, point.architecture)
            )
            curves.append((name, found, GREY if point.architecture == "ar1" else "black", "s--"))
    curves = [(name, found[np.isfinite(found["value"])].sort_values("depth"), c, s) for name, found, c, s in curves]
    curves = [curve for curve in curves if len(curve[1])]
    if not curves:
        note(ax, "no controls in this run")
        return
    for name, found, colour, style in curves:
        bars = np.hstack([interval(r.value, r.ci_low, r.ci_high) for r in found.itertuples()])
        ax.errorbar(
            found["depth"],
            found["value"],
            bars,
            fmt=style,
            color=colour,
            ms=2.6,
            lw=0.8,
            elinewidth=0.6,
            label=f"_{name}",
        )
    log_axes(ax)
    bottom, top = ax.get_ylim()
    longest = max(found["depth"].max() for _, found, _, _ in curves)
    shortest = min(found["depth"].min() for _, found, _, _ in curves)
    ax.set_xlim(shortest / 1.15, longest * (longest / shortest) ** 0.72)
    ticks = sorted({d for _, found, _, _ in curves for d in found["depth"]})
    ax.set_xticks(ticks, [str(d) for d in ticks])
    ax.set_xticks([], minor=True)
    heights = np.log([found["value"].iloc[-1] for _, found, _, _ in curves])
    low, high = bottom, top
    for _ in range(8):  # room for labels makes the axis longer, which takes room
        # About 14 lines of text fit into the panel's height.
        placed = _spread(heights, np.log(high / low) / 14)
        low, high = min(bottom, float(np.exp(min(placed)))) / 1.3, max(top, float(np.exp(max(placed)))) * 1.2
    for (name, found, colour, _), height in zip(curves, placed):
        ends = (found["depth"].iloc[-1] * 1.06, found["value"].iloc[-1])
        at = (longest * (longest / shortest) ** 0.07, float(np.exp(height)))
        ax.plot([ends[0], at[0] / 1.03], [ends[1], at[1]], color=colour, lw=0.35, label=GUIDE)
        ax.text(*at, name, color=colour, fontsize=6, va="center")
    ax.set_ylim(low, high)
    ax.set_xlabel("length looked at L (layers)")
    ax.set_ylabel("cut-off duration $d_c$ (layers)")
    known = [found for _, found, _, style in curves if style == "o-"]
    middle = np.array([shortest * 1.1, shortest * 4.4])
    level = top / 2.2
    if known and level * middle[0] / middle[-1] > low:
        ax.plot(middle, level * middle / middle[-1], color="black", lw=0.6, label=GUIDE)
        ax.text(middle[-1] * 1.04, level, r"$\propto L$", fontsize=6, va="center")


def _spread(values: np.ndarray, gap: float) -> np.ndarray:
    """``values`` moved apart to neighbours at least ``gap`` away, in the same order and about the same place.

    Pools of neighbours that would overlap are centred on their mean (pool adjacent violators).
    """
    order = np.argsort(values, kind="stable")
    pools: list[list[float]] = []
    for rank, value in enumerate(values[order]):
        # Without the gaps the positions only need to rise, which is isotonic regression.
        pools.append([float(value) - rank * gap, 1.0])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count),
                pools[-1][1] + count,
            ]
    flat = np.concatenate([np.full(int(count), mean) for mean, count in pools]) + gap * np.arange(len(values))
    placed = np.empty(len(values))
    placed[order] = flat
    return placed


def _survival(ax: Axes, run: _Run) -> None:
    letter(ax, "f", "survival of a weak seed")
    table = run.survival[run.survival["value"] > 0]
    if not len(table):
        note(ax, "no survival in this run")
        return
    widths, depths = sorted(table["width"].unique()), sorted(table["depth"].unique())
    for colour, width in zip(ordered(len(widths)), widths):
        for marker, depth in zip(MARKERS, depths):
            rows = table[(table["width"] == width) & (table["depth"] == depth)].sort_values("x")
            ax.errorbar(
                rows["x"], rows["value"], rows["error"], fmt=marker, color=colour, ms=3.2, elinewidth=0.6,
                mfc="none" if depth == depths[0] else colour, label=f"N = {width}, L = {depth}",
            )  # fmt: skip
    log_axes(ax, "y")
    ax.set_xlabel(r"$x=\ln(\sigma_w^2/\sigma_c^2)\,(NL/2)^{1/2}$")
    ax.set_ylabel(r"$L^{1/2}\,P(N,L)$")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.3)
    legend(ax, loc="upper left", ncols=2, fontsize=5.5)
    critical = table[table["x"] == 0]
    if not len(critical):
        return
    inset = ax.inset_axes((0.6, 0.17, 0.38, 0.36))
    for colour, width in zip(ordered(len(widths)), widths):
        for marker, depth in zip(MARKERS, depths):
            rows = critical[(critical["width"] == width) & (critical["depth"] == depth)]
            side = 1.06 ** (2 * depths.index(depth) - len(depths) + 1)
            inset.errorbar(
                rows["width"] * side, rows["value"], rows["error"], fmt=marker, color=colour,
                mfc="none" if depth == depths[0] else colour, ms=2.4, elinewidth=0.6, label=f"_N = {width}, L = {depth}",
            )  # fmt: skip
    theory = critical.drop_duplicates("width").sort_values("width")
    inset.plot(theory["width"], theory["theory"], color="black", lw=0.8, label="_theory")
    inset.axhline(np.pi**-0.5, color="black", lw=0.6, ls=":")
    inset.set_xscale("log")
    inset.set_xticks(widths, [str(w) for w in widths])
    inset.set_xticks([], minor=True)
    inset.tick_params(labelsize=5, length=1.5, pad=1)
    inset.set_title("x = 0, by N", fontsize=6, pad=1)
