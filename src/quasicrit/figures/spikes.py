"""The picture of ``quasicrit spikes``: avalanches by width of the bin, controls, the decay of correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from quasicrit.figures.style import (
    COLOURS,
    GREY,
    MARKERS,
    PALE,
    caption,
    journal_style,
    legend,
    letter,
    log_axes,
    new_figure,
    note,
    save,
)

__all__ = ["SpikePicture", "draw_spikes"]

_SYMBOL = {"tau_s": "$\\tau_s$", "tau_d": "$\\tau_d$", "gamma": "$\\gamma$"}
#: Bins of a distribution in a decade.
_PER_DECADE = 6


@dataclass(frozen=True)
class SpikePicture:
    """Arrays that ``draw_spikes`` puts on paper.

    ``sizes`` and ``durations`` (in bins) of complete avalanches, by width of the bin, seconds; ``bin``: the one that was judged, on
    ``window``. ``controls``: durations of each control at that bin. ``lags``, seconds, ``slopes`` r_k and their ``fitted`` b m^k.
    ``exponents``: by name, rows of width, value, lower and upper end of the interval.
    """

    bin: float
    sizes: Mapping[float, np.ndarray]
    durations: Mapping[float, np.ndarray]
    controls: Mapping[str, np.ndarray]
    window: tuple[int, int] | None
    lags: np.ndarray
    slopes: np.ndarray
    fitted: np.ndarray
    sentence: str
    exponents: Mapping[str, np.ndarray]


def draw_spikes(path: Path | str, picture: SpikePicture) -> None:
    """Write the picture to ``path`` (pdf, png or svg by its suffix), complete or not at all.

    (a) Sizes and (b) durations of avalanches for every width of the bin, (b) with the controls, grey, and the window. (c) The slopes of
    the multistep regression and b m^k. (d) Exponents against the width of the bin.
    """
    with journal_style():
        figure = new_figure(110.0)
        (sizes, durations), (slopes, exponents) = figure.subplots(2, 2)
        letter(sizes, "a", "sizes of avalanches")
        _distributions(sizes, picture.sizes, ("size (spikes or activity)", "density"), picture.bin)
        letter(durations, "b", "durations; controls in grey")
        for dashes, (name, values) in zip(("--", ":"), picture.controls.items()):
            if len(values):
                x, density = _density(values)
                durations.plot(x, density, color=GREY, linestyle=dashes, label=name, zorder=1)
        _distributions(durations, picture.durations, ("duration (bins)", "density (per bin)"), picture.bin)
        if picture.window is not None:
            durations.axvspan(*picture.window, color=PALE, lw=0, zorder=0)
        _slopes(slopes, picture)
        _exponents(exponents, picture)
        counts = ", ".join(f"{len(own):,} (bins of {1e3 * width:.3g} ms)" for width, own in picture.durations.items())
        caption(
            figure,
            f"Complete avalanches: {counts}. Error bars: d, 95 % intervals. Shaded: the window of the fits; black, and dotted in d, the bin that was judged.",
        )
        save(figure, [path])


def _density(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density in logarithmic bins that begin and end between whole numbers where the values are whole."""
    low, high = float(values.min()), float(values.max())
    whole = bool((values == np.round(values)).all())
    edges = np.geomspace(low, high + 1.0, max(3, round(_PER_DECADE * np.log10((high + 1.0) / low)) + 1))
    edges = np.unique(np.round(edges)) - 0.5 if whole else edges
    counts, _ = np.histogram(values, edges)
    seen = counts > 0
    last = edges[1:] - 0.5 if whole else edges[1:]
    centre = np.sqrt((edges[:-1] + (0.5 if whole else 0.0)) * last)
    return centre[seen], (counts / np.diff(edges) / len(values))[seen]


def _distributions(ax: Axes, values: Mapping[float, np.ndarray], labels: tuple[str, str], chosen: float) -> None:
    for (width, own), colour, marker in zip(values.items(), list(COLOURS.values())[1:], MARKERS):
        if len(own):
            x, density = _density(own)
            main = width == chosen
            ax.plot(
                x,
                density,
                marker=marker,
                color=COLOURS["black"] if main else colour,
                markerfacecolor="white",
                label=f"{1e3 * width:.3g} ms",
                zorder=3 if main else 2,
            )
    if not ax.lines:
        note(ax, "no avalanche is complete")
        return
    log_axes(ax)
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    legend(ax, loc="lower left")


def _slopes(ax: Axes, picture: SpikePicture) -> None:
    letter(ax, "c", "slope of A(t + lag) on A(t)")
    if not len(picture.lags):
        note(ax, picture.sentence)
        return
    ax.plot(1e3 * picture.lags, picture.slopes, "o", color=COLOURS["black"], markerfacecolor="white", label="measured")
    ax.plot(1e3 * picture.lags, picture.fitted, color=COLOURS["vermillion"], label="$b\\,m^k$")
    ax.axhline(0.0, color=GREY, linewidth=0.6)
    ax.set_xlabel("lag (ms)")
    ax.set_ylabel("slope")
    legend(ax)


def _exponents(ax: Axes, picture: SpikePicture) -> None:
    letter(ax, "d", "exponents by width of the bin")
    drawn = False
    for (name, rows), colour, marker in zip(picture.exponents.items(), ("blue", "vermillion", "green"), MARKERS):
        if not len(rows):
            continue
        drawn = True
        width, value, low, high = rows.T
        ax.errorbar(
            1e3 * width,
            value,
            yerr=[np.maximum(value - low, 0.0), np.maximum(high - value, 0.0)],
            fmt=f"{marker}-",
            color=COLOURS[colour],
            markerfacecolor="white",
            label=_SYMBOL.get(name, name),
        )
    if not drawn:
        note(ax, "no width of the bin allows exponents")
        return
    ax.axvline(1e3 * picture.bin, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_xscale("log")
    widths = sorted({float(width) for rows in picture.exponents.values() for width in rows[:, 0]})
    ax.set_xticks([1e3 * width for width in widths], [f"{1e3 * width:.3g}" for width in widths])
    ax.minorticks_off()
    ax.set_xlabel("bin (ms)")
    ax.set_ylabel("exponent")
    # In the room above the panel, beside its title.
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=3)
