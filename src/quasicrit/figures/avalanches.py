"""Figure 1: avalanches of layer activity, their distributions, crackling relation, shape, and exponents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasicrit.figures.data import (
    Paths,
    Rows,
    amplitude,
    by_point,
    estimate,
    listed,
    pick,
    plain,
    read,
    scaled,
)
from quasicrit.figures.source_data import GUIDE, attach
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    PALE,
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
)
from quasicrit.tables import SCHEMAS, row_groups

__all__ = ["AvalancheTables", "draw_avalanches"]

#: Grids of the configuration that hold the weak-signal (W) and strong-input (T) nets at sigma_c(N).
_WEAK = ("weak", "weak_64", "weak_128")
_STRONG = ("strong_64", "strong_128")
_RASTER_NETS = 16
#: The raster is some 140 mm wide: more columns could not be told apart.
_RASTER_COLUMNS = 600
_DASHES = ("--", "-.", ":", (0, (4, 1, 1, 1, 1, 1)))
#: Exponents of Brownian excursions, and the two that the paper (arXiv:2509.22649) reports.
_BROWNIAN = {"tau_d": 1.5, "tau_s": 4 / 3, "gamma": 1.5}
_PAPER = {"tau_d": 1.53, "tau_s": 1.34}
_SYMBOL = {"tau_d": r"$\tau_d$", "tau_s": r"$\tau_s$", "gamma": r"$\gamma$"}


@dataclass(frozen=True)
class AvalancheTables:
    """Paths of the tables that figure 1 reads; ``activity`` and ``events`` hold the block of the raster."""

    points: Paths
    exponents: Paths
    distributions: Paths
    shapes: Paths
    scaling: Paths
    activity: Paths
    events: Paths


@dataclass(frozen=True)
class _Series:
    """Points drawn alike: one colour, one line or marker style, ``factor`` times their value."""

    label: str
    points: list[Any]
    colour: str
    filled: bool
    factor: float


@dataclass(frozen=True)
class _Run:
    points: pd.DataFrame
    exponents: Rows
    distributions: Rows
    scaling: pd.DataFrame
    series: list[_Series]
    controls: list[Any]


def draw_avalanches(tables: AvalancheTables, outputs: Sequence[Path | str]) -> None:
    """Draw figure 1 into ``outputs`` (pdf, png, svg).

    Panels: (a) raster of ln m − θ with its avalanches, (b) P(d), (c) P(s), (d) ⟨s⟩(d) with fits and controls,
    (e) shape collapse, (f) exponents by protocol. A grid that the run lacks leaves a panel with a note.
    Raises TableError for a table that is missing or damaged.
    """
    points = read("points", tables.points)
    weak = [p for grid in _WEAK for p in pick(points, grid, activation="tanh")]
    linear = [p for grid in _WEAK for p in pick(points, grid, activation="linear")]
    strong = [p for grid in _STRONG for p in pick(points, grid, activation="tanh")]
    real = pick(points, "strong_weights")
    series = [
        _Series("W, tanh", weak, COLOURS["blue"], True, 100.0),
        _Series("W, linear", linear, COLOURS["green"], False, 10.0),
        _Series("T, tanh", strong, COLOURS["vermillion"], True, 1.0),
        _Series("T, real weights", real, COLOURS["orange"], False, 1.0),
    ]
    processes = pick(points, "controls_processes")
    controls = [p for p in processes if p.architecture == "iid"]
    controls += [p for p in processes if p.architecture == "ar1" and p.memory in (10, 100, 300)]
    run = _Run(
        points,
        by_point(read("exponents", tables.exponents)),
        by_point(read("distributions", tables.distributions)),
        read("scaling", tables.scaling),
        series,
        controls,
    )
    with journal_style():
        fig = new_figure(178)
        grid = fig.add_gridspec(3, 1, height_ratios=[1.0, 1.05, 1.05])
        counts = _raster(fig, grid[0].subgridspec(2, 1, height_ratios=[1, 1.15], hspace=0.0), run, tables)
        middle = grid[1].subgridspec(1, 3)
        _durations(fig.add_subplot(middle[0]), run)
        _sizes(fig.add_subplot(middle[1]), run)
        _crackling(fig.add_subplot(middle[2]), run)
        lower = grid[2].subgridspec(1, 2, width_ratios=[1, 1.95])
        _shape(fig.add_subplot(lower[0]), run, tables.shapes)
        _summary(fig, lower[1].subgridspec(1, 3, wspace=0.02), run)
        caption(fig, _counts(run, counts))
        save(fig, outputs)


def _counts(run: _Run, raster: str) -> str:
    parts = [raster] if raster else []
    for series in run.series:
        if series.points:
            first = series.points[0]
            parts.append(
                f"{series.label}: {listed([p.nets for p in series.points])} nets of L = {first.depth} "
                f"(N = {listed([p.width for p in series.points])})"
            )
    parts += [f"{_shared_label(p)}: {p.nets} nets of L = {p.depth} (N = {p.width})" for p in _shared(run)]
    if run.controls:
        parts.append(f"controls: {run.controls[0].nets} signals of {run.controls[0].depth} steps")
    bars = (
        "Error bars: b–d, one standard error over nets (bins with a relative error above ½ are not drawn); "
        "e, one standard error over folds of nets; f, 95 % bootstrap over nets. "
    )
    return bars + "; ".join(parts) + "." if parts else bars


def _raster(fig: Figure, grid: Any, run: _Run, tables: AvalancheTables) -> str:
    """Panel a; returns what the foot says of it."""
    top, below = fig.add_subplot(grid[0]), fig.add_subplot(grid[1])
    letter(top, "a", "avalanches: runs of layers above threshold")
    point = _first_point(run, tables.activity)
    y = _trajectories(tables.activity, point) if point else np.empty((0, 0))
    if point is None or not len(y):
        note(top, "no activity of protocol T at the critical point in this run")
        below.set_axis_off()
        return ""
    # Protocol T: the threshold is the median over the layers from N on (column c holds layer c + 1).
    y = y - np.median(y[:, point.width - 1 :], axis=1, keepdims=True)
    layer = np.arange(1, y.shape[1] + 1)
    events = read("events", tables.events, ["point_id", "net", "start", "duration", "censored"])
    events = events[(events["point_id"] == point.point_id) & (events["censored"] == "none") & (events["net"] < len(y))]
    inside = np.zeros(y.shape, bool)
    for net, start, duration in zip(events["net"], events["start"], events["duration"]):
        inside[net, start - 1 : start - 1 + duration] = True
    # The trajectory with the most avalanches of at least a width's length shows scales best.
    long = events[events["duration"] >= 8]
    shown = int(np.bincount(long["net"]).argmax()) if len(long) else 0
    reach = float(np.quantile(np.abs(y[:, point.width :]), 0.995))
    top.axvspan(1, point.width, color=PALE, lw=0)
    top.plot(layer, y[shown], color=INK, lw=0.45, rasterized=False, label="_one network")
    top.fill_between(layer, 0, y[shown], where=inside[shown], color=COLOURS["vermillion"], lw=0, alpha=0.85)
    own = events[events["net"] == shown].sort_values("start")
    first, last = own["start"], own["start"] + own["duration"] - 1
    attach(
        top, "avalanche", pd.DataFrame({"x": (first + last) / 2, "y": 0.0, "x_low": first, "x_high": last}, dtype=float)
    )
    top.axhline(0, color="black", lw=0.5)
    top.set_ylabel(r"$\ln m_\ell-\theta$")
    top.set_xlim(1, layer[-1])
    span = float(np.abs(y[shown, point.width :]).max()) * 1.05
    top.set_ylim(-span, span)
    top.tick_params(labelbottom=False)
    handles = [
        Line2D([], [], color=COLOURS["vermillion"], lw=4),
        Line2D([], [], color=PALE, lw=4),
    ]
    made = legend(
        top, handles, [f"avalanche ({len(own)} in this net)", f"burn-in, {point.width} layers"],
        loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, handlelength=1.0,
    )  # fmt: skip
    if made:
        made.set_in_layout(False)
    columns, held = _columns(y)
    image = below.imshow(
        columns, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, rasterized=True,
        interpolation="antialiased", extent=(0.5, held * columns.shape[1] + 0.5, len(y) + 0.5, 0.5),
    )  # fmt: skip
    below.plot([layer[-1]], [shown + 1], marker="<", ms=3.5, color=COLOURS["vermillion"], clip_on=False, label=GUIDE)
    below.set_xlim(top.get_xlim())
    below.set_xlabel(r"layer $\ell$ (time)")
    below.set_ylabel("network")
    below.set_yticks([1, len(y) // 2, len(y)])
    bar = fig.colorbar(image, ax=[top, below], pad=0.01, aspect=28, extend="both")
    bar.set_label(r"activity $\ln m_\ell-\theta$")
    bar.outline.set_linewidth(0.4)
    mean = f", means of {held} layers in the raster" if held > 1 else ""
    return (
        f"a: T, {point.activation}, {len(y)} nets of N = {point.width}, "
        rf"$\sigma_w=\sigma_c(N)={point.sigma_w:.4f}$, $\sigma_b={point.sigma_b:g}${mean}"
    )


def _columns(y: np.ndarray) -> tuple[np.ndarray, int]:
    """Means over groups of layers, so few that each is a column of the raster that can be seen; layers in a group (the last may have less)."""
    held = -(-y.shape[1] // _RASTER_COLUMNS)
    starts = np.arange(0, y.shape[1], held)
    return np.add.reduceat(y, starts, axis=1) / np.diff(np.append(starts, y.shape[1])), held


def _first_point(run: _Run, activity: Paths) -> Any | None:
    """The point whose trajectories come first in ``activity``, if the median is their threshold."""
    for path in activity:
        for group in row_groups(path, SCHEMAS["activity"], ["source", "protocol", "point_id"]):
            first = [group[name][0].as_py() for name in ("source", "protocol", "point_id")]
            rows = run.points[(run.points[["source", "protocol", "point_id"]] == first).all(axis=1)]
            return next(rows[rows["protocol"] == "T"].itertuples(index=False), None)
    return None


def _trajectories(activity: Paths, point: Any) -> np.ndarray:
    """ln m of the first networks of ``point``, shape (networks, layers), without holding the whole block."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for path in activity:
        for group in row_groups(path, SCHEMAS["activity"], ["point_id", "net", "input", "layer", "log_m"]):
            net, number = group["net"].to_numpy(), group["input"].to_numpy()
            rows = np.flatnonzero((net < _RASTER_NETS) & (number == 0))
            names = np.asarray(group["point_id"].take(rows).to_pylist(), dtype=object)
            rows = rows[names == point.point_id]
            found.append((net[rows], group["layer"].to_numpy()[rows], group["log_m"].to_numpy()[rows]))
    nets = min(_RASTER_NETS, point.nets)
    y = np.full((nets, point.depth), np.nan)
    for net, layer, value in found:
        y[net, layer - 1] = value
    return y if np.isfinite(y).all() else np.empty((0, 0))


def _control_label(point: Any) -> str:
    return "i.i.d." if point.architecture == "iid" else f"AR(1), memory {point.memory:.0f}"


def _curves(ax: Axes, run: _Run, quantity: str, unit: Any, shift: bool) -> bool:
    """Draw one quantity of every series and control; ``unit(point)``: the factors of x and of the value."""
    drawn = False
    for point, dashes in zip(run.controls, _DASHES):
        found = plain(run.distributions, point, quantity=quantity)
        if found is None:
            continue
        found = found[found["error"] < 0.5 * found["value"]]
        of_x, of_value = unit(point)
        x, value = found["x"] * of_x, found["value"] * of_value
        ax.plot(x, value, color=GREY, ls=dashes, lw=0.9, zorder=1, label=f"_{_control_label(point)}")
        drawn = True
    for series in run.series:
        factor = series.factor if shift else 1.0
        for marker, point in zip(_markers(run, series.points), series.points):
            found = plain(run.distributions, point, quantity=quantity)
            if found is None:
                continue
            found = found[(found["error"] < 0.5 * found["value"]) & (found["value"] > 0)]
            of_x, of_value = unit(point)
            ax.errorbar(
                found["x"] * of_x, found["value"] * of_value * factor, found["error"] * of_value * factor,
                fmt=marker, ms=2.2, color=series.colour, mfc=series.colour if series.filled else "none",
                mew=0.5, elinewidth=0.5, zorder=3 if series.filled else 4, label=f"_{series.label}, N = {point.width}",
            )  # fmt: skip
            drawn = True
    return drawn


def _markers(run: _Run, points: Sequence[Any]) -> list[str]:
    widths = sorted({p.width for series in run.series for p in series.points})
    return [MARKERS[widths.index(p.width) % len(MARKERS)] for p in points]


def _fits(ax: Axes, run: _Run, quantity: str, shift: bool) -> None:
    """The fitted power laws, over the window that was declared and nowhere else."""
    for series in run.series:
        for point in series.points:
            row = estimate(run.exponents, point, quantity)
            counted = plain(run.distributions, point, quantity="duration")
            if row is None or counted is None:
                continue
            unit = 1.0 if quantity == "tau_d" else point.step_sd
            offset = row.offset if quantity == "tau_d" else None
            scale = amplitude(row.exponent, row.xmin, row.xmax, row.n_events / counted["n"].sum(), offset)
            x = np.geomspace(row.xmin, row.xmax, 40)
            value = scale * (x + (offset or 0.0)) ** -row.exponent
            y = value * unit * (series.factor if shift else 1.0)
            ax.plot(x / unit, y, color="black", lw=0.7, zorder=5, label=f"_fit: {series.label}, N = {point.width}")


def _unit_1(point: Any) -> tuple[float, float]:
    return 1.0, 1.0


def _durations(ax: Axes, run: _Run) -> None:
    letter(ax, "b", "durations")
    if not _curves(ax, run, "duration", _unit_1, shift=True):
        note(ax, "no durations at the critical point in this run")
        return
    _fits(ax, run, "tau_d", shift=True)
    log_axes(ax)
    ax.set_xlabel("avalanche duration d (layers)")
    ax.set_ylabel("P(d) (per layer)")
    handles, labels = [], []
    for series in run.series:
        if series.points:
            fill = series.colour if series.filled else "none"
            handles.append(Line2D([], [], marker="o", ls="", color=series.colour, mfc=fill))
            labels.append(series.label + (f" (×{series.factor:.0f})" if series.factor != 1 else ""))
    legend(ax, handles, labels, loc="upper right", bbox_to_anchor=(1.03, 1.0))


def _sizes(ax: Axes, run: _Run) -> None:
    letter(ax, "c", "sizes")

    def unit(point: Any) -> tuple[float, float]:
        return 1 / point.step_sd, point.step_sd

    if not _curves(ax, run, "size", unit, shift=True):
        note(ax, "no sizes at the critical point in this run")
        return
    _fits(ax, run, "tau_s", shift=True)
    log_axes(ax)
    ax.set_xlabel(r"avalanche size s / $\sigma_1$ (layers)")
    ax.set_ylabel(r"$\sigma_1$ P(s) (per layer)")
    points = sorted({(p.width, m) for s in run.series for p, m in zip(s.points, _markers(run, s.points))})
    handles = [Line2D([], [], marker=marker, ls="", color=INK) for _, marker in points]
    handles.append(Line2D([], [], color="black", lw=0.7))
    legend(ax, handles, [*(f"N = {width}" for width, _ in points), "fit, declared window"], loc="upper right")


def _crackling(ax: Axes, run: _Run) -> None:
    letter(ax, "d", "mean size at given duration")

    def unit(point: Any) -> tuple[float, float]:
        return 1.0, 1 / point.step_sd

    if not _curves(ax, run, "size_given_duration", unit, shift=True):
        note(ax, "no sizes at the critical point in this run")
        return
    for series in run.series:
        for point in series.points:
            row = estimate(run.exponents, point, "gamma")
            found = plain(run.distributions, point, quantity="size_given_duration")
            if row is None or found is None:
                continue
            found = found[(found["x"] >= row.xmin) & (found["x"] <= row.xmax)]
            if not len(found):
                continue
            level = np.exp(np.mean(np.log(found["value"]) - row.exponent * np.log(found["x"] + row.offset)))
            x = np.geomspace(row.xmin, row.xmax, 40)
            value = level / point.step_sd * (x + row.offset) ** row.exponent * series.factor
            ax.plot(x, value, color="black", lw=0.7, zorder=5, label=f"_fit: {series.label}, N = {point.width}")
    log_axes(ax)
    ax.set_xlabel("avalanche duration d (layers)")
    ax.set_ylabel(r"$\langle s\rangle(d)\,/\,\sigma_1$ (layers)")
    handles = [Line2D([], [], color=GREY, ls=dashes) for _, dashes in zip(run.controls, _DASHES)]
    legend(ax, handles, [_control_label(p) for p in run.controls], loc="upper left")


def _shape(ax: Axes, run: _Run, paths: Paths) -> None:
    shapes = by_point(read("shapes", paths))
    known = [(p, rows) for p in _strong(run) if (rows := plain(shapes, p)) is not None]
    if not known:
        letter(ax, "e", "shape collapse")
        note(ax, "no mean profiles at the critical point in this run")
        return
    point, found = max(known, key=lambda entry: entry[1]["duration_low"].nunique())
    letter(ax, "e", f"shape collapse (T, N = {point.width})")
    growth = scaled(run.scaling, f"shape_{point.grid}", "growth")
    power = scaled(run.scaling, f"shape_{point.grid}", "power")
    rate, bend = (growth.value if growth else 0.5), (power.value if power else 0.5)
    profiles = []
    for (low, high), rows in found.groupby(["duration_low", "duration_high"]):
        n, phase = rows["n"].to_numpy(float), rows["phase"].to_numpy()
        phases, at = np.unique(phase, return_inverse=True)
        total = np.bincount(at, weights=n)
        if total[0] < 100:
            continue
        y = np.bincount(at, weights=n * rows["mean_activity"]) / total
        spread = np.sqrt(np.bincount(at, weights=(n * (rows["mean_activity"] - y[at])) ** 2)) / total
        duration = float(np.average(rows["mean_duration"], weights=n))
        unit = (duration + 0.5) ** rate
        profiles.append((duration, f"{low}–{high}", phases, y / unit, spread / unit, y))
    if not profiles:
        note(ax, "no bin of durations has 100 avalanches")
        return
    level = np.mean([scaled_y.mean() for *_, scaled_y, _, _ in profiles])
    inset = ax.inset_axes((0.35, 0.13, 0.34, 0.3))
    for colour, (_, label, phases, value, error, y) in zip(ordered(len(profiles)), profiles):
        ax.errorbar(
            phases,
            value / level,
            error / level,
            fmt="o",
            ms=1.8,
            color=colour,
            elinewidth=0.5,
            label=f"d = {label}",
        )
        inset.plot(phases, y, color=colour, lw=0.8, label=f"_d = {label}")
    x = np.linspace(0, 1, 201)
    form = (x * (1 - x)) ** bend
    centres = profiles[0][2]
    fitted = form / np.mean((centres * (1 - centres)) ** bend)
    name = rf"$[x(1-x)]^{{{bend:.2f}}}$" if power else r"$[x(1-x)]^{1/2}$ (Brownian)"
    ax.plot(x, fitted, color="black", lw=0.8, zorder=5, label=name)
    ax.set_xlabel("scaled time x = t/d")
    ax.set_ylabel(rf"$\langle\ln m-\theta+0.58\,\sigma_1\rangle\,/\,(d+\frac{{1}}{{2}})^{{\,{rate:.2f}}}$ (mean 1)")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.95)
    inset.set_title("unscaled", fontsize=6, pad=1)
    inset.tick_params(labelsize=5, length=1.5, pad=1)
    inset.set_xticks([0, 1])
    inset.set_ylim(bottom=0)
    legend(ax, loc="upper center", ncols=3, handlelength=0.8, fontsize=5.5, columnspacing=0.6)


def _strong(run: _Run) -> list[Any]:
    return [p for grid in _STRONG for p in pick(run.points, grid)]


def _shared(run: _Run) -> list[Any]:
    """Points whose nets see several inputs."""
    return [p for p in pick(run.points, "shared_inputs") if p.init == "gaussian"]


def _shared_label(point: Any) -> str:
    return f"T, {point.inputs} inputs a net"


def _summary(fig: Figure, grid: Any, run: _Run) -> None:
    axes = [fig.add_subplot(grid[i]) for i in range(3)]
    letter(axes[0], "f", "exponents")
    rows: list[tuple[str, Any, str, bool]] = []
    for series in run.series:
        rows += [(f"{series.label}, N = {p.width}", p, series.colour, series.filled) for p in series.points]
    rows += [(f"{_shared_label(p)}, N = {p.width}", p, COLOURS["purple"], True) for p in _shared(run)]
    rows += [(_control_label(p), p, GREY, True) for p in run.controls if p.architecture == "ar1"]
    rows = [row for row in rows if estimate(run.exponents, row[1], "tau_d") is not None]
    if not rows:
        note(axes[1], "no exponents in this run")
        axes[0].set_axis_off()
        axes[2].set_axis_off()
        return
    for ax, (quantity, symbol) in zip(axes, _SYMBOL.items()):
        ax.axvline(_BROWNIAN[quantity], color="black", lw=0.7)
        if quantity in _PAPER:
            ax.axvline(_PAPER[quantity], color=COLOURS["purple"], lw=0.8, ls="--")
        for place, (_, point, colour, filled) in enumerate(rows):
            row = estimate(run.exponents, point, quantity)
            if row is not None:
                ax.errorbar(
                    row.exponent, place, xerr=interval(row.exponent, row.ci_low, row.ci_high), fmt="o", ms=3,
                    color=colour, mfc=colour if filled else "white", elinewidth=0.8, label="_fitted",
                )  # fmt: skip
            predicted = estimate(run.exponents, point, "gamma_predicted") if quantity == "gamma" else None
            if predicted is not None:
                spread = interval(predicted.exponent, predicted.ci_low, predicted.ci_high)
                ax.errorbar(
                    predicted.exponent,
                    place + 0.3,
                    xerr=spread,
                    fmt="D",
                    ms=2,
                    color=colour,
                    mfc="white",
                    elinewidth=0.4,
                    label="_predicted by the other two",
                )
        left, right = ax.get_xlim()
        ax.set_xlim(max(left, _BROWNIAN[quantity] - 1), min(right, _BROWNIAN[quantity] + 1))
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_yticks(range(len(rows)), [label for label, *_ in rows] if ax is axes[0] else [])
        ax.tick_params(axis="y", length=0, labelsize=6)
        ax.set_xlabel(symbol)
        ax.grid(axis="y", color=PALE, lw=0.4)
        ax.set_axisbelow(True)
    handles = [
        Line2D([], [], color="black", lw=0.7),
        Line2D([], [], color=COLOURS["purple"], lw=0.8, ls="--"),
        Line2D([], [], color=GREY, marker="D", ms=2.5, mfc="white", ls=""),
    ]
    labels = ["Brownian excursion", "paper", r"$(\tau_d-1)/(\tau_s-1)$"]
    made = legend(axes[2], handles, labels, loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=3)
    if made:
        # It is wider than its panel; the room above the neighbours is free.
        made.set_in_layout(False)
