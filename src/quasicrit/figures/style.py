"""One look for every figure: widths, sizes, fonts, colours that all readers can tell apart, files of stable bytes."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox

from quasicrit.errors import QuasicritError
from quasicrit.figures.source_data import write_source_data
from quasicrit.tables import atomic_path

__all__ = [
    "COLOURS",
    "FONT_SIZES",
    "GREY",
    "INK",
    "MAPS",
    "MARKERS",
    "ONE_COLUMN",
    "PALE",
    "SHADES",
    "TWO_COLUMNS",
    "caption",
    "interval",
    "journal_style",
    "legend",
    "letter",
    "log_axes",
    "log_ticks",
    "new_figure",
    "note",
    "ordered",
    "save",
    "signed",
]

#: Okabe & Ito (2008): told apart by readers with any of the common colour deficiencies.
COLOURS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
#: For members of one family: these colours mixed with black or white.
SHADES = {
    "dark green": "#00563F",
    "pale green": "#80CFB9",
    "pale vermillion": "#EAAF80",
    "dark purple": "#7A4A66",
    "pale purple": "#F0D7E4",
}
#: Of controls; of text that is not black; of bands behind the data.
GREY, INK, PALE = "#6E6E6E", "#404040", "#E6E6E6"
#: Colour maps for values and for ordered sets: even steps look even, and grow lighter or darker all along (RdBu_r and vlag: from the middle).
MAPS = ("viridis", "cividis", "plasma", "Blues", "RdBu_r", "vlag")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: Width of a figure in inches: 88 and 180 mm, one and two columns of a journal's page.
ONE_COLUMN, TWO_COLUMNS = 88 / 25.4, 180 / 25.4
#: Smallest and largest text, in points; indices are seven tenths of what they stand at.
FONT_SIZES = (5.0, 9.0)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_RC: Any = {
    # The one font that comes with matplotlib, so that a figure has the same bytes on every machine.
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 0.9,
    "lines.markersize": 2.8,
    "lines.markeredgewidth": 0.6,
    "errorbar.capsize": 0.0,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "legend.handletextpad": 0.5,
    "legend.labelspacing": 0.25,
    "legend.borderaxespad": 0.3,
    "legend.columnspacing": 0.9,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "svg.hashsalt": "quasicrit",
    "svg.fonttype": "path",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.hspace": 0.03,
    "figure.constrained_layout.wspace": 0.03,
}


def journal_style() -> Any:
    """Context manager: the settings under which every figure is drawn and saved."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, **_RC})


def new_figure(height_mm: float, width: float = TWO_COLUMNS) -> Figure:
    """A figure of ``width`` inches whose panels are placed so that nothing is clipped."""
    return Figure(figsize=(width, height_mm / 25.4), layout="constrained")


def letter(ax: Axes, text: str, title: str = "") -> None:
    """The panel's letter, bold, above its upper left corner, with a short title after it."""
    ax.set_title(rf"$\bf{{{text}}}$", loc="left", fontsize=9, x=0.0)
    if title:
        made = ax.annotate(
            title,
            (0, 1),
            (11, 4.2),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=7,
            annotation_clip=False,
        )
        # The letter keeps the room above the panel; a title may be wider than a narrow panel.
        made.set_in_layout(False)


def note(ax: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, fontsize=6, wrap=True)


def caption(fig: Figure, text: str) -> None:
    """Lines at the foot: numbers of networks and what the error bars are."""
    formulas: list[str] = []

    def hold(found: re.Match[str]) -> str:
        """As many characters of a private kind as the formula will take, so that it is neither broken nor counted by its source."""
        formulas.append(found[0])
        seen = re.sub(r"[${}_^]", "", re.sub(r"\\[A-Za-z]+", "x", found[0]))
        return chr(0xE000 + len(formulas) - 1) * max(len(seen), 1)

    held = re.sub(r"\$[^$]+\$", hold, text)
    # Neither a value nor a unit is parted from what it belongs to.
    held = held.replace(" = ", "\xa0=\xa0").replace(" %", "\xa0%").replace(" → ", "\xa0→\xa0")
    # As many characters of 6 points as the width has room for.
    room = round(160 * fig.get_figwidth() / TWO_COLUMNS)
    shown = "\n".join(line for part in held.split("\n") for line in textwrap.wrap(part, room))
    shown = re.sub("([\ue000-\uf8ff])\\1*", lambda found: formulas[ord(found[1]) - 0xE000], shown)
    fig.supxlabel(shown, x=0.01, ha="left", fontsize=6, color=INK)


def legend(ax: Axes, *args: Any, **options: Any) -> Legend | None:
    """A legend if there is anything to put into it."""
    handles, labels = args if args else ax.get_legend_handles_labels()
    return ax.legend(handles, labels, **options) if handles else None


def log_axes(ax: Axes, which: str = "xy") -> None:
    """Logarithmic axes: labelled decades, and minor ticks if these are few; 1, 2, 5 where there is but one decade."""
    for name in which:
        (ax.set_xscale if name == "x" else ax.set_yscale)("log")
        log_ticks(ax.xaxis if name == "x" else ax.yaxis)


def log_ticks(axis: Axis) -> None:
    """The ticks of ``log_axes`` for one axis, of a colour bar too."""
    axis.set_major_locator(_LogTicks())
    axis.set_major_formatter(_LogLabels())
    axis.set_minor_locator(_LogTicks(minor=True))
    axis.set_minor_formatter(ticker.NullFormatter())


def _log_ticks(low: float, high: float) -> list[float]:
    """Decades in [low, high]; where these are fewer than two, 1, 2, 5 of each decade, or a few even steps."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, -(-(last - first) // 7))  # labels have room for seven or so
    decades = range(first, last + 1)
    inside: list[float] = []
    for places in (
        [10.0**power for power in decades if power % step == 0],
        [float(f"{digit}e{power}") for power in decades for digit in (1, 2, 5)],
        list(ticker.MaxNLocator(4).tick_values(low, high)),
    ):
        inside = [place for place in places if low * (1 - 1e-9) <= place <= high * (1 + 1e-9)]
        if len(inside) > 1:
            break
    return inside


def _shown(axis: Any) -> tuple[float, float]:
    """What an axis shows, lower end first."""
    low, high = sorted(axis.get_view_interval())
    return float(low), float(high)


class _LogTicks(ticker.Locator):
    """Ticks for what the axis shows when it is drawn."""

    def __init__(self, minor: bool = False) -> None:
        self._minor = minor

    def __call__(self) -> Sequence[float]:
        return self.tick_values(*_shown(self.axis))

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        low, high = sorted((vmin, vmax))
        if not self._minor:
            return _log_ticks(low, high)
        many = high > 10**4.5 * low
        return [] if many else list(ticker.LogLocator(subs=range(2, 10)).tick_values(low, high))


class _LogLabels(ticker.Formatter):
    """Powers of ten where all labels are decades, plain numbers where they are not."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        powers = np.log10(_log_ticks(*_shown(self.axis)))
        return _decade(x, pos) if np.allclose(powers, np.round(powers)) else f"{x:g}"


def _decade(value: float, _: int | None) -> str:
    """A power of ten in plain characters, which are set many times faster than mathematical text."""
    return "10" + f"{round(math.log10(value))}".translate(_SUPERSCRIPT)


def signed(value: float) -> str:
    """Two decimals with a true minus sign."""
    # No sign of a zero.
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def ordered(count: int, cmap: str = "viridis") -> list[Any]:
    """Colours for an ordered set of sizes, dark to light, without the palest."""
    palette = matplotlib.colormaps[cmap]
    return [palette(x) for x in np.linspace(0.0, 0.82, max(count, 2))][:count]


def interval(value: float, low: float, high: float) -> np.ndarray:
    """Distances from ``value`` to the ends of its interval, shape (2, 1), as errorbar wants them."""
    return np.array([[max(value - low, 0.0)], [max(high - value, 0.0)]])


def save(fig: Figure, outputs: Sequence[Path | str]) -> None:
    """Write ``fig`` to each path, by its suffix: pdf, png at 200 dpi, svg, or csv with its source data; whole files only, without a date.

    Raises QuasicritError for any other suffix.
    """
    _place(fig)
    for output in outputs:
        kind = Path(output).suffix.lstrip(".")
        if kind not in _WRITERS:
            raise QuasicritError(
                f"{output}: a figure is written as pdf, png or svg, its source data as csv; change the ending"
            )
        with atomic_path(output) as temporary:
            # Figure.savefig would draw everything twice, the first time only to solve the layout again.
            fig.dpi = 200 if kind == "png" else 300
            _WRITERS[kind](fig, str(temporary))


def _place(fig: Figure) -> None:
    """Solve the layout, once for all files, and round it: the solver's last bits depend on memory addresses."""
    engine = fig.get_layout_engine()
    if engine is not None:
        engine.execute(fig)
    fig.set_layout_engine("none")
    for ax in fig.axes:
        original, active = ax.get_position(original=True), ax.get_position()
        ax.set_position(_rounded(original), which="original")
        ax.set_position(_rounded(active), which="active")


def _rounded(box: Bbox) -> Bbox:
    return Bbox(np.round(box.get_points(), 7))


_WRITERS: dict[str, Callable[[Figure, str], None]] = {
    "pdf": lambda fig, path: FigureCanvasPdf(fig).print_pdf(path, metadata={"CreationDate": None}),
    "png": lambda fig, path: FigureCanvasAgg(fig).print_png(path),
    "svg": lambda fig, path: FigureCanvasSVG(fig).print_svg(path, metadata={"Date": None}),
    "csv": write_source_data,
}
