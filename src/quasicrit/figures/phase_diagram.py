"""Figure 2: the plane of initialisations: susceptibility, ridges, edge of chaos, cut-off of avalanches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from quasicrit.figures.data import Paths, Rows, by_point, listed, pick, plain, read, scaled
from quasicrit.figures.source_data import GUIDE
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    caption,
    interval,
    journal_style,
    legend,
    letter,
    log_axes,
    log_ticks,
    new_figure,
    note,
    ordered,
    save,
    signed,
)

__all__ = ["PhaseDiagramTables", "draw_phase_diagram"]

#: How each stationary line of the theory is drawn: colour, dashes, name.
_LINES = {
    "edge_of_chaos": ("white", "-", r"edge of chaos, $\chi_1=1$"),
    "ridge_m": (COLOURS["sky"], "--", r"ridge of $\partial m/\partial\sigma_w$"),
    "ridge_abs": (COLOURS["orange"], "-.", r"ridge of $\partial\langle|x|\rangle/\partial\sigma_w$"),
    "ridge_rms": (COLOURS["vermillion"], "-", r"ridge of $\partial\,\mathrm{rms}/\partial\sigma_w$"),
}
_DRIVEN = {
    "ridge": (COLOURS["vermillion"], "o", "ridge"),
    "edge_of_chaos": (COLOURS["blue"], "s", "edge of chaos"),
    "ridge-0.05": (COLOURS["green"], "v", "ridge − 0.05"),
    "edge_of_chaos+0.1": (COLOURS["purple"], "^", "edge of chaos + 0.1"),
}
_STROKE = [patheffects.Stroke(linewidth=2.0, foreground="black"), patheffects.Normal()]


@dataclass(frozen=True)
class PhaseDiagramTables:
    """Paths of the tables that figure 2 reads."""

    points: Paths
    cutoffs: Paths
    phase_diagram: Paths
    lines: Paths
    susceptibility: Paths
    scaling: Paths


@dataclass(frozen=True)
class _Run:
    points: pd.DataFrame
    cutoffs: Rows
    diagram: pd.DataFrame
    lines: pd.DataFrame
    susceptibility: pd.DataFrame
    scaling: pd.DataFrame


def draw_phase_diagram(tables: PhaseDiagramTables, outputs: Sequence[Path | str]) -> None:
    """Draw figure 2 into ``outputs`` (pdf, png, svg).

    Panels: (a) stationary mean-field ∂rms/∂sigma_w, the edge of chaos, the ridges and the ridge at finite N,
    (b) a cut through it at finite N, (c) d_c over the plane, (d) d_c against the field sigma_b, (e) lines of
    finite depth.
    Raises TableError for a table that is missing or damaged.
    """
    run = _Run(
        read("points", tables.points),
        by_point(read("cutoffs", tables.cutoffs)),
        read("phase_diagram", tables.phase_diagram),
        read("lines", tables.lines),
        read("susceptibility", tables.susceptibility),
        read("scaling", tables.scaling),
    )
    with journal_style():
        fig = new_figure(128)
        grid = fig.add_gridspec(2, 1)
        upper = grid[0].subgridspec(1, 2, width_ratios=[1.45, 1])
        lower = grid[1].subgridspec(1, 3, width_ratios=[1.25, 1, 1])
        _map(fig, fig.add_subplot(upper[0]), run)
        _cut(fig.add_subplot(upper[1]), run)
        counts = [_plane(fig, fig.add_subplot(lower[0]), run), _field(fig.add_subplot(lower[1]), run)]
        _depths(fig.add_subplot(lower[2]), run)
        folds = run.susceptibility["fold"].nunique()
        bars = (
            "Error bars (most are smaller than the symbols): a, 95 % interval of the ridge at finite N; "
            f"b, one standard error over {folds} folds of nets; d, 95 % bootstrap over nets."
        )
        caption(fig, "\n".join([bars, *filter(None, counts)]))
        save(fig, outputs)


def _stationary(run: _Run, name: str) -> pd.DataFrame:
    found = run.lines[(run.lines["line"] == name) & (run.lines["depth"] == 0)]
    return found.sort_values("sigma_b")


def _with_critical_point(line: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """sigma_w and sigma_b of a line that ends in (1, 0), where the ridges have no height of their own."""
    w, b = line["sigma_w"].to_numpy(), line["sigma_b"].to_numpy()
    return (w, b) if not len(b) or b[0] == 0 else (np.r_[1.0, w], np.r_[0.0, b])


def _map(fig: Figure, ax: Axes, run: _Run) -> None:
    letter(ax, "a", r"mean field, tanh: susceptibility $\chi=\partial\,\mathrm{rms}/\partial\sigma_w$")
    if not len(run.diagram):
        note(ax, "no phase diagram in this run")
        return
    table = run.diagram.pivot(index="sigma_b", columns="sigma_w", values="chi_rms")
    w, b, chi = table.columns.to_numpy(), table.index.to_numpy(), table.to_numpy()
    positive = chi[np.isfinite(chi) & (chi > 0)]
    low, high = max(float(positive.min()), 0.02), min(float(np.quantile(positive, 0.999)), 3.0)
    chi = np.where(np.isfinite(chi), np.clip(chi, low, None), high)
    image = ax.pcolormesh(w, b, chi, norm=LogNorm(low, high), cmap="viridis", shading="gouraud", rasterized=True)
    handles, labels = [], []
    for name, (colour, dashes, label) in _LINES.items():
        at_w, at_b = _with_critical_point(_stationary(run, name))
        inside = (at_w <= w[-1]) & (at_w >= w[0])
        ax.plot(
            at_w[inside],
            at_b[inside],
            color=colour,
            ls=dashes,
            lw=1.1,
            path_effects=_STROKE if dashes == "-" else None,
            label=f"_{label}",
        )
        handles.append(Line2D([], [], color=colour, ls=dashes, lw=1.1, path_effects=_STROKE if dashes == "-" else None))
        labels.append(label)
    ax.plot(1, 0, marker="*", ms=7, color="white", mec="black", clip_on=False, zorder=6, label="_critical point")
    handles.append(Line2D([], [], marker="*", ms=6, color="white", mec="black", ls=""))
    labels.append("critical point (1, 0)")
    for marker, (width, field, row) in zip(MARKERS, _finite_ridges(run)):
        ax.errorbar(
            row.value, field, xerr=interval(row.value, row.ci_low, row.ci_high), fmt=marker, ms=3.6,
            color="white", mec="black", ecolor="white", zorder=7, label=f"_ridge at N = {width}",
        )  # fmt: skip
        handles.append(Line2D([], [], marker=marker, ms=3.6, color="white", mec="black", ls=""))
        labels.append(f"ridge at N = {width}")
    ax.set_xlim(w[0], w[-1])
    ax.set_ylim(b[0], b[-1])
    ax.set_xlabel(r"weight scale $\sigma_w$")
    ax.set_ylabel(r"bias scale (field) $\sigma_b$")
    bar = fig.colorbar(image, ax=ax, pad=0.015, aspect=24, extend="both")
    bar.set_label(r"$\chi$")
    bar.outline.set_linewidth(0.4)
    ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if low <= t <= high]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    bar.minorticks_off()
    made = legend(
        ax,
        handles,
        labels,
        loc="upper left",
        labelcolor="white",
        facecolor="black",
        framealpha=0.45,
        frameon=True,
    )
    if made:
        made.get_frame().set_linewidth(0)


def _finite_ridges(run: _Run) -> list[tuple[int, float, Any]]:
    """(N, sigma_b, row of the scaling table) of the ridge of rms at each width that was measured."""
    found = []
    for (width, at_b), _ in run.susceptibility.groupby(["width", "sigma_b"], sort=True):
        row = scaled(run.scaling, "ridge_rms", f"N={width}")
        if row is not None:
            found.append((int(width), float(at_b), row))
    return found


def _cut(ax: Axes, run: _Run) -> None:
    chi = run.susceptibility[run.susceptibility["order"] == "rms"]
    if not len(chi):
        letter(ax, "b")
        note(ax, "no susceptibility at finite width in this run")
        return
    at_b = float(chi["sigma_b"].iloc[0])
    letter(ax, "b", rf"cut at $\sigma_b={at_b:g}$")
    ends = (chi["sigma_w"].min() - 0.01, chi["sigma_w"].max() + 0.01)
    ridges = {width: row for width, _, row in _finite_ridges(run)}
    widths = sorted(chi["width"].unique())
    for colour, marker, width in zip((COLOURS["sky"], COLOURS["blue"], COLOURS["green"]), MARKERS, widths):
        by_fold = chi[chi["width"] == width].pivot(index="sigma_w", columns="fold", values="chi")
        mean, error = by_fold.mean(axis=1), by_fold.std(axis=1) / np.sqrt(by_fold.shape[1])
        ax.errorbar(by_fold.index, mean, error, fmt=marker, color=colour, ms=3.2, elinewidth=0.7, label=f"N = {width}")
        row = ridges.get(width)
        if row is not None:
            ax.axvspan(row.ci_low, row.ci_high, color=colour, alpha=0.25, lw=0)
            ax.axvline(row.value, color=colour, lw=0.7, ls="--")
    x, y = _mean_field_cut(run.diagram, at_b, ends)
    if len(x):
        ax.plot(x, y, color="black", lw=1.0, label=r"mean field ($N\to\infty$)")
    for name, colour, dashes, label in (
        ("ridge_rms", COLOURS["vermillion"], "-", "its ridge"),
        ("edge_of_chaos", COLOURS["purple"], "-", "edge of chaos"),
    ):
        line = _stationary(run, name)
        if len(line):
            ax.axvline(
                np.interp(at_b, line["sigma_b"], line["sigma_w"]),
                color=colour,
                ls=dashes,
                lw=0.9,
                label=label,
            )
    ax.set_xlim(ends[0], None)
    ax.set_xlabel(r"weight scale $\sigma_w$")
    ax.set_ylabel(r"$\partial\,\mathrm{rms}/\partial\sigma_w$")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom - 0.32 * (top - bottom), top + 0.03 * (top - bottom))
    handles, labels = ax.get_legend_handles_labels()
    if ridges:
        handles.append(Line2D([], [], color=GREY, lw=0.7, ls="--"))
        labels.append("ridge at N (95 %)")
    legend(ax, handles, labels, loc="lower center", ncols=2, frameon=True, framealpha=0.92, edgecolor="none")


def _mean_field_cut(diagram: pd.DataFrame, at_b: float, ends: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """chi of rms along sigma_w at one sigma_b: linear between the map's rows, cubic Hermite in sigma_w."""
    if not len(diagram):
        return np.empty(0), np.empty(0)
    table = diagram.pivot(index="sigma_b", columns="sigma_w", values="chi_rms")
    w, b = table.columns.to_numpy(), table.index.to_numpy()
    chi = np.array([np.interp(at_b, b, column) for column in table.to_numpy().T])
    good = np.isfinite(chi)
    w, chi = w[good], chi[good]
    x = np.linspace(max(ends[0], w[0]), min(ends[1], w[-1]), 300)
    i = np.clip(np.searchsorted(w, x) - 1, 0, len(w) - 2)
    slope = np.gradient(chi, w)
    h = w[i + 1] - w[i]
    t = (x - w[i]) / h
    rest = 1 - t
    y = chi[i] * (1 + 2 * t) * rest**2 + chi[i + 1] * (3 - 2 * t) * t**2
    return x, y + h * (slope[i] * t * rest**2 - slope[i + 1] * t**2 * rest)


def _cutoff(run: _Run, point: Any) -> Any | None:
    """d_c of ``point`` over all of its layers."""
    found = plain(run.cutoffs, point, quantity="d_c", depth=point.depth)
    row = None if found is None else next(found.itertuples(index=False))
    return row if row is not None and np.isfinite(row.value) else None


def _plane(fig: Figure, ax: Axes, run: _Run) -> str:
    letter(ax, "c", r"cut-off duration $d_c$")
    points = pick(run.points, "fan_out")
    if not points:
        note(ax, "no grid fan_out in this run")
        return ""
    depth = max(p.depth for p in points)
    widths = sorted({p.width for p in points if p.depth == depth})
    width = widths[len(widths) // 2]
    points = [p for p in points if (p.width, p.depth) == (width, depth)]
    at_w, at_b = sorted({p.sigma_w for p in points}), sorted({p.sigma_b for p in points})
    table = np.full((len(at_b), len(at_w)), np.nan)
    for p in points:
        row = _cutoff(run, p)
        if row is not None:
            table[at_b.index(p.sigma_b), at_w.index(p.sigma_w)] = row.value
    finite = table[np.isfinite(table)]
    if not len(finite):
        note(ax, "no complete avalanche in the grid fan_out")
        return ""
    norm = LogNorm(float(finite.min()), float(finite.max() * 1.001))
    image = ax.imshow(table, origin="lower", aspect="auto", cmap="cividis", norm=norm, rasterized=True)
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            ink = "white" if norm(value) < 0.45 else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=5.5, color=ink, zorder=6)
    for name in ("ridge_rms", "edge_of_chaos"):
        line = _stationary(run, name)
        if len(line) and len(at_w) > 1 and len(at_b) > 1:
            w, b = _with_critical_point(line)
            b_fine = np.linspace(at_b[0], at_b[-1], 400)
            w_fine = np.interp(b_fine, b, w)
            colour = _LINES[name][0]
            x, y = np.interp(w_fine, at_w, range(len(at_w))), np.interp(b_fine, at_b, range(len(at_b)))
            ax.plot(x, y, color=colour, lw=0.9, label=f"_{_LINES[name][2]}")
    ax.set_xticks(range(len(at_w)), [f"{w:g}" for w in at_w], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(at_b)), [f"{b:g}" for b in at_b])
    ax.tick_params(length=0)
    ax.set_xlabel(r"weight scale $\sigma_w$ (not to scale)")
    ax.set_ylabel(r"bias scale $\sigma_b$ (not to scale)")
    bar = fig.colorbar(image, ax=ax, pad=0.02, aspect=22)
    bar.set_label("$d_c$ (layers)")
    bar.outline.set_linewidth(0.4)
    log_ticks(bar.ax.yaxis)
    errors = [row.error / row.value for row in (_cutoff(run, p) for p in points) if row is not None]
    return (
        f"c: N = {width}, L = {depth}, {points[0].nets} nets a point, median relative standard error "
        f"{100 * float(np.nanmedian(errors)):.0f} %; red, ridge of rms, white, edge of chaos."
    )


def _field(ax: Axes, run: _Run) -> str:
    letter(ax, "d", "the field cuts avalanches off")
    driven = pick(run.points, "driven")
    main = {p.width for p in driven}
    drawn: list[Any] = []

    def draw(points: list[Any], colour: str, marker: str, label: str, filled: bool = True) -> None:
        rows = [(p, _cutoff(run, p)) for p in sorted(points, key=lambda p: p.sigma_b)]
        known = [(p, row) for p, row in rows if row is not None and p.sigma_b > 0]
        if not known:
            return
        b, value = np.array([p.sigma_b for p, _ in known]), np.array([row.value for _, row in known])
        bars = np.hstack([interval(row.value, row.ci_low, row.ci_high) for _, row in known])
        ax.errorbar(
            b,
            value,
            bars,
            fmt=marker,
            color=colour,
            mfc=colour if filled else "white",
            ms=3.2,
            elinewidth=0.7,
            label=label,
        )
        if "ridge," not in label:
            ax.plot(b, value, color=colour, lw=0.5, ls=":", zorder=1, label=GUIDE)
        drawn.extend(p for p, _ in known)

    for rule, (colour, marker, label) in _DRIVEN.items():
        points = [p for p in driven if p.sigma_w_rule == rule]
        if rule == "ridge":
            points += [p for p in pick(run.points, "driven_ridge_64") if p.width in main or not main]
        name = f"{label}, N = {listed([p.width for p in points])}"
        draw(points, colour, marker, name)
    wide = pick(run.points, "driven_ridge_256")
    draw(wide, COLOURS["orange"], "D", f"ridge, N = {listed([p.width for p in wide])}", filled=False)
    if not drawn:
        note(ax, "no driven grid in this run")
        return ""
    for analysis, points, colour in (
        ("field_64", driven + pick(run.points, "driven_ridge_64"), COLOURS["vermillion"]),
        ("field_256", wide, COLOURS["orange"]),
    ):
        row = scaled(run.scaling, analysis, "slope")
        known = [
            (p.sigma_b, c.value) for p in points if p.sigma_w_rule == "ridge" and (c := _cutoff(run, p)) is not None
        ]
        if row is None or len(known) < 2:
            continue
        b, value = np.array(sorted(known)).T
        level = np.exp(np.mean(np.log(value) - row.value * np.log(b)))
        ax.plot(b, level * b**row.value, color=colour, lw=0.7, zorder=1, label="_fit")
    still = pick(run.points, "strong_64")
    row = _cutoff(run, still[0]) if still else None
    if row is not None and (not main or still[0].width in main):
        ax.axhspan(row.ci_low, row.ci_high, color=GREY, alpha=0.4, lw=0)
        ax.axhline(row.value, color=GREY, lw=0.6)
        at = (0.99, row.ci_high * 1.03)
        text = rf"$\sigma_b=0$, $\sigma_w=\sigma_c(N)$, N = {still[0].width}"
        ax.text(*at, text, transform=ax.get_yaxis_transform(), fontsize=5.5, color=INK, ha="right", va="bottom")
    log_axes(ax)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * 12)
    ax.set_xlabel(r"bias scale (field) $\sigma_b$")
    ax.set_ylabel("cut-off duration $d_c$ (layers)")
    legend(ax, loc="upper right", fontsize=5.5)
    nets = ", ".join(f"{n} nets at N = {w}" for w, n in sorted({(p.width, p.nets) for p in drawn}))
    slopes = [(name, scaled(run.scaling, f"field_{name}", "slope")) for name in ("64", "256")]
    fitted = ", ".join(
        f"{signed(s.value)} [{signed(s.ci_low)}, {signed(s.ci_high)}] (N = {n}, χ²/dof {s.quality:.0f})"
        for n, s in slopes
        if s is not None
    )
    lines = f"; lines: power laws on the ridge, exponents {fitted}" if fitted else ""
    return f"d: L = {listed([p.depth for p in drawn])}, {nets}{lines}."


def _depths(ax: Axes, run: _Run) -> None:
    letter(ax, "e", "lines at finite depth")
    finite = run.lines[run.lines["depth"] > 0]
    if not len(finite):
        note(ax, "no lines of finite depth in this run")
        return
    depths = sorted(finite["depth"].unique())
    handles, labels = [], []
    for colour, depth in zip(ordered(len(depths), "plasma"), depths):
        for name, dashes in (("j0", "-"), ("ridge_m", "--")):
            line = finite[(finite["line"] == name) & (finite["depth"] == depth)].sort_values("sigma_b")
            ax.plot(line["sigma_w"], line["sigma_b"], color=colour, ls=dashes, lw=1.0)
        handles.append(Line2D([], [], color=colour))
        labels.append(f"L = {depth}")
    for name, dashes in (("edge_of_chaos", "-"), ("ridge_m", "--")):
        w, b = _with_critical_point(_stationary(run, name))
        ax.plot(w, b, color="black", ls=dashes, lw=0.9)
    handles += [
        Line2D([], [], color="black"),
        Line2D([], [], color=GREY),
        Line2D([], [], color=GREY, ls="--"),
    ]
    labels += [r"$L\to\infty$", r"$J_0(L)$: $\ln J^2=0$", r"peak of $\chi_m(L)$"]
    ax.set_ylim(0, None)
    left, right = ax.get_xlim()
    ax.set_xlim(left, right + 0.5 * (right - left))
    ax.set_xlabel(r"weight scale $\sigma_w$")
    ax.set_ylabel(r"bias scale (field) $\sigma_b$")
    legend(ax, handles, labels, loc="lower right")
