"""The picture of ``quasicrit fit``: density, fit and alternatives; and the exponent over all windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from quasicrit.figures.style import COLOURS, GREY, PALE, caption, journal_style, letter, log_axes, new_figure, save

__all__ = ["TailPicture", "draw_tail"]

_LINES = {
    "power_law": ("black", "-"),
    "truncated_power_law": ("vermillion", "--"),
    "lognormal": ("blue", "-."),
    "stretched_exponential": ("green", (0, (5, 1, 1, 1, 1, 1))),
    "exponential": ("orange", ":"),
}


@dataclass(frozen=True)
class TailPicture:
    """Arrays that ``draw_tail`` puts on paper; u is the quantity plus its offset, called ``label``.

    ``u``, ``density``, ``error``, ``inside``: (bins,), density of all events at the bins' centres, its
    standard error, and whether the bin lies in the fitted window. ``curves``: for each law, u and its
    density. ``window``: the ends in u, the upper one infinite for an open window. ``exponent`` with
    ``ci_low`` and ``ci_high``. ``exponents``: (n_high, n_low), the exponent of the window from
    ``low_ends[j]`` to ``high_ends[i]``, NaN where it has too few events.
    """

    label: str
    title: str
    u: np.ndarray
    density: np.ndarray
    error: np.ndarray
    inside: np.ndarray
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]]
    window: tuple[float, float]
    exponent: float
    ci_low: float
    ci_high: float
    low_ends: np.ndarray
    high_ends: np.ndarray
    exponents: np.ndarray


def draw_tail(path: Path | str, picture: TailPicture) -> None:
    """Write the picture to ``path`` (pdf, png or svg by its suffix), complete or not at all.

    (a) The density with one standard error, open outside the fitted window, and the laws on it. (b) The
    exponent of the window from xmin to xmax: a power law has a plateau that holds the chosen window, marked
    by a cross.
    """
    with journal_style():
        figure = new_figure(70.0)
        left, right = figure.subplots(1, 2)
        _densities(left, picture)
        _stability(right, picture)
        caption(
            figure,
            "Error bars: one standard error over clusters, or over events where these are none; in brackets, the 95 % interval of the exponent. "
            "Open: outside the fitted window (cross in b).",
        )
        save(figure, [path])


def _densities(ax: Axes, picture: TailPicture) -> None:
    letter(ax, "a", picture.title)
    filled = picture.density > 0
    for chosen, colour, face in (
        (filled & ~picture.inside, GREY, "white"),
        (filled & picture.inside, COLOURS["black"], COLOURS["black"]),
    ):
        # A bar that reaches zero has no lower end on a logarithmic axis.
        below = np.minimum(picture.error, 0.999 * picture.density)
        ax.errorbar(
            picture.u[chosen],
            picture.density[chosen],
            yerr=[below[chosen], picture.error[chosen]],
            fmt="o",
            color=colour,
            markerfacecolor=face,
            zorder=2,
        )
    for name, (u, density) in picture.curves.items():
        colour, dashes = _LINES[name]
        text = name.replace("_", " ")
        if name == "power_law":
            text += f", {picture.exponent:.3f} [{picture.ci_low:.3f}, {picture.ci_high:.3f}]"
        seen = density > 0
        ax.plot(u[seen], density[seen], color=COLOURS[colour], linestyle=dashes, label=text, zorder=3)
    log_axes(ax)
    # Laws that fall far below the data would take the room from them.
    low, high = picture.density[filled].min(), picture.density[filled].max()
    ax.set_ylim(0.2 * low, 5.0 * high)
    ax.set_xlabel(picture.label)
    ax.set_ylabel("density")
    ax.legend(loc="lower left")


def _stability(ax: Axes, picture: TailPicture) -> None:
    letter(ax, "b", "exponent by window")
    reach = max(0.25, 4.0 * (picture.ci_high - picture.ci_low))
    colours = Normalize(picture.exponent - reach, picture.exponent + reach)
    ax.set_facecolor(PALE)
    mesh = ax.pcolormesh(
        picture.low_ends,
        picture.high_ends,
        np.ma.masked_invalid(picture.exponents),
        norm=colours,
        cmap=seaborn.color_palette("vlag", as_cmap=True),
        shading="nearest",
        rasterized=True,
    )
    top = picture.high_ends[-1]
    ax.plot(
        picture.window[0],
        picture.window[1] if math.isfinite(picture.window[1]) else top,
        "x",
        color=COLOURS["black"],
        markersize=6,
        markeredgewidth=1.4,
        clip_on=False,
        zorder=4,
    )
    log_axes(ax)
    ax.set_xlabel("xmin" if "+" not in picture.label else "xmin + offset")
    ax.set_ylabel("xmax" if "+" not in picture.label else "xmax + offset")
    ax.figure.colorbar(mesh, ax=ax, extend="both", label="exponent")
