"""Figure 3: which initialisations learn and what predicts it; initialisations compared; networks followed through training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes

from quasicrit.figures.data import Paths, read
from quasicrit.figures.style import (
    COLOURS,
    GREY,
    MARKERS,
    ONE_COLUMN,
    PALE,
    TWO_COLUMNS,
    caption,
    journal_style,
    legend,
    letter,
    new_figure,
    note,
    ordered,
    save,
)

__all__ = [
    "AdviceTables",
    "FollowedTables",
    "LearningTables",
    "draw_along_training",
    "draw_initialisations",
    "draw_learning",
]

#: Predictor → label; one that is not here is called by its name.
_LABELS = {
    "chi_m(L)": "$\\chi_m(L)$",
    "chi_rms(L)": "$\\chi_{rms}(L)$",
    "chi_abs(L)": "$\\chi_{|x|}(L)$",
    "chi_sqrt_q(L)": "$\\chi_{\\sqrt{q}}(L)$",
    "chi_m": "$\\chi_m$, stationary",
    "-|chi_1 - 1|": "$-|\\chi_1-1|$",
    "log xi_c": "ln $\\xi_c$",
    "min(1, 6 xi_c/L)": "min(1, 6$\\xi_c/L$)",
    "-|ln J²(L)|": "$-|$ln $J^2(L)|$",
    "-|sigma_w - sigma_EOC|": "$-|\\sigma_w-\\sigma_{EOC}|$",
    "-distance to (1, 0)": "−distance to (1, 0)",
    "chi_m(L) min(1, 6 xi_c/L)": "$\\chi_m(L)$ min(1, 6$\\xi_c/L$)",
    "chi_m(L)/(1 + |ln J²(L)|)": "$\\chi_m(L)/(1+|$ln $J^2|)$",
    "N Var m": "$N$ Var $m$",
    "gradient norm": "gradient norm",
    "neural persistence": "neural persistence",
    "tangent kernel": "tangent kernel",
}
_LINES = {
    "ridge_m": ("peak of χ$_m$(L)", COLOURS["vermillion"], "-"),
    "edge_of_chaos": ("edge of chaos", "white", "--"),
    "j0": ("J$_0$(L)", COLOURS["sky"], ":"),
}
#: Keeps a line apart from any colour of the map below it.
_STROKE = [patheffects.Stroke(linewidth=2.0, foreground="black"), patheffects.Normal()]
_RUN_COLOURS = (COLOURS["blue"], COLOURS["vermillion"], COLOURS["green"], COLOURS["purple"], COLOURS["orange"])


@dataclass(frozen=True)
class LearningTables:
    """Paths of the tables that figure 3 reads."""

    learned: Paths
    predictors: Paths
    ranking: Paths
    learning_lines: Paths


@dataclass(frozen=True)
class AdviceTables:
    """Paths of the tables that the comparison of initialisations reads."""

    advice: Paths


@dataclass(frozen=True)
class FollowedTables:
    """Paths of the tables that the figure along training reads."""

    followed: Paths


def _name(task: Any) -> str:
    return str(task).replace("_", " ")


def draw_learning(tables: LearningTables, outputs: Sequence[Path | str]) -> None:
    """Draw figure 3 into ``outputs``: accuracy maps of two runs, where susceptibility fails, predictors ranked."""
    learned, ranking = read("learned", tables.learned), read("ranking", tables.ranking)
    predictors, lines = read("predictors", tables.predictors), read("lines", tables.learning_lines)
    task = learned["task"].iloc[0]
    smallest = learned["width"].min()
    first = learned[(learned["task"] == task) & (learned["width"] == smallest)]
    runs = list(first.groupby(["depth", "optimiser", "steps"], sort=True))
    shown = runs[:2]
    with journal_style():
        fig = new_figure(150)
        outer = fig.add_gridspec(2, 1, height_ratios=[1.0, 1.4])
        upper, lower = outer[0].subgridspec(1, 3), outer[1].subgridspec(1, 2)
        tops = [fig.add_subplot(upper[index]) for index in range(3)]
        for panel, (ax, (key, rows)) in enumerate(zip(tops, shown)):
            mesh = _map(ax, rows, lines, int(key[0]))
            letter(ax, "ab"[panel], f"{_name(task)}, L = {key[0]}, {_optimiser(key[1])}")
            if panel == 0:
                made = legend(
                    ax, loc="upper right", facecolor="black", frameon=True, labelcolor="white", framealpha=0.55
                )
                if made:
                    made.get_frame().set_linewidth(0)
            if panel == len(shown) - 1:
                bar = fig.colorbar(mesh, ax=ax, label="test accuracy", pad=0.02)
                bar.outline.set_linewidth(0.4)
        if len(shown) == 1:
            letter(tops[1], "b")
            note(tops[1], "no second depth or optimiser in this run")
        key, rows = shown[-1]
        _failure(tops[2], rows, predictors, key)
        letter(tops[2], "c", f"{_name(task)}, L = {key[0]}, by σ$_b$")
        bottom = [fig.add_subplot(lower[index]) for index in range(2)]
        regimes = list(ranking[ranking["width"] == smallest].groupby(["task", "depth", "optimiser"], sort=True))
        regimes = [(k, r) for k, r in regimes if k[1] > 0]
        split = learned["sigma_b"]
        labelled = True
        for panel, (ax, kind) in enumerate(zip(bottom, ("weak", "strong"))):
            labelled = not _ranking(ax, regimes, kind, labelled=labelled) and labelled
            letter(ax, "de"[panel], f"{kind} biases")
        legend(next((ax for ax in bottom if ax.axison), bottom[0]), loc="upper left")
        seeds = ", ".join(f"{r['seed'].nunique()} (L = {k[0]})" for k, r in shown)
        caption(
            fig,
            f"N = {smallest}; networks a point: {seeds}. Error bars: c, one standard error over networks; d, e, 95 % bootstrap over points and seeds. "
            "d, e: accuracy at the run's learning rate (at the best of several at each point), chance-level accuracies tied; "
            f"{split.nunique()} values of $\\sigma_b$, weak up to the declared split.",
        )
        save(fig, outputs)


def _optimiser(name: Any) -> str:
    return {"sgd": "SGD", "adam": "Adam"}[str(name)]


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, and standard error over seeds, of the accuracy of each point, at the learning rate that is best on the whole."""
    means = rows.groupby("learning_rate")["accuracy"].mean()
    own = rows[rows["learning_rate"] == means.idxmax()]
    made = own.groupby(["sigma_w", "sigma_b"])["accuracy"].agg(["mean", "sem"]).reset_index()
    made["learning_rate"] = means.idxmax()
    return made


def _map(ax: Axes, rows: pd.DataFrame, lines: pd.DataFrame, depth: int) -> Any:
    table = _best(rows).pivot(index="sigma_b", columns="sigma_w", values="mean")
    w, b = table.columns.to_numpy(), table.index.to_numpy()
    mesh = ax.pcolormesh(
        np.arange(len(w)), np.arange(len(b)), table.to_numpy(), cmap="viridis", vmin=0.0, vmax=1.0, shading="nearest"
    )
    mesh.set_rasterized(True)
    for name, (label, colour, style) in _LINES.items():
        own = lines[(lines["line"] == name) & (lines["depth"] == (0 if name == "edge_of_chaos" else depth))]
        own = own[(own["sigma_w"] >= w[0]) & (own["sigma_w"] <= w[-1])].sort_values("sigma_b")
        x, y = np.interp(own["sigma_w"], w, np.arange(len(w))), np.interp(own["sigma_b"], b, np.arange(len(b)))
        ax.plot(x, y, style, color=colour, label=label, lw=1.2, path_effects=_STROKE)
    every = math.ceil(len(w) / 6)  # labels have room for six
    ax.set_xticks(np.arange(len(w))[::every], [f"{v:g}" for v in w[::every]])
    ax.set_yticks(np.arange(len(b)), [f"{v:g}" for v in b])
    ax.set_xlabel("weight scale $\\sigma_w$ (not to scale)")
    ax.set_ylabel("bias scale $\\sigma_b$ (not to scale)")
    return mesh


def _failure(ax: Axes, rows: pd.DataFrame, predictors: pd.DataFrame, key: Any) -> None:
    """Accuracy against chi_m(L), a colour for each sigma_b."""
    depth, optimiser, _steps = key
    found = _best(rows)
    chi = predictors[
        (predictors["task"] == rows["task"].iloc[0])
        & (predictors["width"] == rows["width"].iloc[0])
        & (predictors["depth"] == depth)
        & (predictors["optimiser"] == optimiser)
        & (predictors["predictor"] == "chi_m(L)")
    ].drop_duplicates(["sigma_w", "sigma_b"])
    both = found.merge(chi[["sigma_w", "sigma_b", "value"]], on=["sigma_w", "sigma_b"])
    biases = sorted(both["sigma_b"].unique())
    for colour, marker, bias in zip(ordered(len(biases)), MARKERS * 3, biases):
        own = both[both["sigma_b"] == bias]
        ax.errorbar(
            own["value"], own["mean"], own["sem"].fillna(0.0), fmt=marker, color=colour, label=f"σ$_b$ = {bias:g}"
        )
    ax.set_xlabel("$\\chi_m(L)=\\partial m_L/\\partial\\sigma_w$")
    ax.set_ylabel("test accuracy")
    ax.set_ylim(0.0, 1.02)
    legend(ax, loc="lower right")


def _ranking(ax: Axes, regimes: Sequence[tuple[Any, pd.DataFrame]], kind: str, *, labelled: bool) -> bool:
    """Rank correlations of one range of biases; whether there are any."""
    found = {name for _, r in regimes for name in r["predictor"]}
    names = [*(name for name in _LABELS if name in found), *sorted(found - set(_LABELS))]
    places = {name: -index for index, name in enumerate(names)}
    count = len(regimes)
    several = len({key[2] for key, _ in regimes}) > 1
    ranked = [(key, rows[(rows["biases"] == kind) & (rows["outcome"] == "accuracy")]) for key, rows in regimes]
    if not any(own["spearman"].notna().any() for _, own in ranked):
        note(ax, f"no rank correlations for {kind} biases in this run")
        return False
    for index, (key, own) in enumerate(ranked):
        if own.empty:
            continue
        rate = "best" if (own["learning_rate"] == "best").any() else own["learning_rate"].iloc[0]
        own = own[(own["learning_rate"] == rate) & own["spearman"].notna()]
        y = np.array([places[name] for name in own["predictor"]]) + 0.3 * (0.5 - (index + 0.5) / count) * 2
        x = own["spearman"].to_numpy()
        bars = np.abs(np.stack([x - own["spearman_low"], own["spearman_high"] - x]))
        ax.errorbar(
            x,
            y,
            xerr=bars,
            fmt=MARKERS[index % len(MARKERS)],
            color=_RUN_COLOURS[index % len(_RUN_COLOURS)],
            elinewidth=0.7,
            label=f"{_name(key[0])}, L = {key[1]}" + (f", {_optimiser(key[2])}" if several else ""),
        )
    for place in list(places.values())[1::2]:
        ax.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.6, lw=0, zorder=-5)
    ax.axvline(0.0, color=GREY, lw=0.6, zorder=-1)
    ax.set_xlim(-1.02, 1.02)
    ax.set_ylim(-len(names) + 0.5, 0.5)
    ax.set_yticks(list(places.values()), [_LABELS.get(name, name) for name in names] if labelled else [])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Spearman's $\\rho$ with test accuracy")
    return True


def draw_initialisations(tables: AdviceTables, outputs: Sequence[Path | str]) -> None:
    """Draw into ``outputs`` the accuracy of every initialisation at its best learning rate, by depth and task."""
    advice = read("advice", tables.advice)
    tasks = list(dict.fromkeys(advice["task"]))
    names = list(dict.fromkeys(advice["method"]))
    places = {name: -index for index, name in enumerate(names)}
    depths = sorted(advice["depth"].unique())
    with journal_style():
        fig = new_figure(70, ONE_COLUMN if len(tasks) == 1 else TWO_COLUMNS)
        axes = fig.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
        for panel, (ax, task) in enumerate(zip(axes, tasks)):
            for index, (depth, colour) in enumerate(zip(depths, ordered(len(depths)))):
                own = advice[(advice["task"] == task) & (advice["depth"] == depth)]
                for row in own.itertuples():
                    y = places[row.method] + 0.56 * (0.5 - (index + 0.5) / len(depths))
                    filled = row.verdict in ("reference", "no difference")
                    ax.errorbar(
                        row.accuracy,
                        y,
                        xerr=[[row.accuracy - row.ci_low], [row.ci_high - row.accuracy]],
                        fmt=MARKERS[index % len(MARKERS)],
                        color=colour,
                        mfc=colour if filled else "white",
                        markersize=4,
                        label=f"{'' if row.method == names[-1] else '_'}L = {depth}",
                    )
                best = own.loc[own["method"] == "advised orthogonal", "accuracy"]
                if len(best):
                    ax.axvline(float(best.iloc[0]), color=colour, lw=0.6, ls=":", zorder=-2)
            for place in list(places.values())[1::2]:
                ax.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.6, lw=0, zorder=-5)
            ax.set_yticks(list(places.values()), [name.replace("gaussian", "Gaussian") for name in names])
            ax.set_ylim(-len(names) + 0.5, 0.5)
            # Student's interval over few networks may reach beyond what an accuracy can be.
            ax.set_xlim(max(0.0, ax.get_xlim()[0]), min(1.0, ax.get_xlim()[1]))
            ax.tick_params(axis="y", length=0)
            ax.set_xlabel("test accuracy")
            if len(tasks) > 1:
                letter(ax, "abcdef"[panel], _name(task))
            else:
                ax.set_title(_name(task), loc="left")
        legend(axes[0], loc="lower left")
        seeds = int(advice["seeds"].iloc[0])
        caption(
            fig,
            f"Each initialisation at the learning rate that is best for it on a fifth of the training samples; then {seeds} fresh networks, N = {advice['width'].iloc[0]}. "
            "Error bars: 95 % intervals over networks and test samples. Open: the paired difference to the advised orthogonal one (dotted) excludes 0.",
        )
        save(fig, outputs)


_FOLLOWED = {
    "test accuracy": "test accuracy",
    "effective sigma_w": "√(N Var W)",
    "log_jacobian per layer": "ln |δh|² gained per layer",
    "susceptibility": "∂m$_L$/∂ln g / σ$_w$",
    "xi_c at the effective scales": "ξ$_c$, effective scales (layers)",
    "mean duration": "mean duration (layers)",
}


def draw_along_training(tables: FollowedTables, outputs: Sequence[Path | str]) -> None:
    """Draw into ``outputs`` what networks measure at steps of their training, a colour for each sigma_w at the start."""
    followed = read("followed", tables.followed)
    starts = sorted(followed["sigma_w"].unique())
    steps = sorted(followed["step"].unique())
    with journal_style():
        fig = new_figure(100)
        axes = fig.subplots(2, 3).ravel()
        for panel, (ax, (quantity, label)) in enumerate(zip(axes, _FOLLOWED.items())):
            for colour, marker, start in zip(ordered(len(starts)), MARKERS * 3, starts):
                own = followed[(followed["quantity"] == quantity) & (followed["sigma_w"] == start)]
                made = own.groupby("step")["value"].agg(["mean", "sem"]).reindex(steps)
                ax.errorbar(
                    np.arange(len(steps)),
                    made["mean"],
                    made["sem"].fillna(0.0),
                    fmt=f"{marker}-",
                    color=colour,
                    label=f"$\\sigma_w$ = {start:g}",
                )
            if quantity == "log_jacobian per layer":
                ax.axhline(0.0, color=GREY, lw=0.6, zorder=-1)
            ax.set_xticks(np.arange(len(steps)), [f"{s}" for s in steps])
            ax.set_xlabel("optimiser steps")
            ax.set_ylabel(label)
            letter(ax, "abcdef"[panel])
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        row = followed.iloc[0]
        nets = followed.groupby("sigma_w")["net"].nunique().max()
        caption(
            fig,
            f"{_name(row.task)}, N = {row.width}, L = {row.depth}, $\\sigma_b$ = {row.sigma_b:g}, {nets} networks a point. Colours: $\\sigma_w$ at the start. Error bars: one standard error over networks. c: 0 is the edge of chaos, measured.",
        )
        save(fig, outputs)
