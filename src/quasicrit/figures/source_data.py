"""Source data of a figure: what its panels show, read from the drawn figure itself, so that the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

#: Label of a line that only guides the eye.
GUIDE = "_guide"
#: Labels that matplotlib gives by itself.
_UNNAMED = re.compile(r"_?(child\d+|container\d+|nolegend_|)$|^$")
_NUMBER = re.compile(r"[−+-]?[\d.,]+")
#: What a panel shows in other forms than lines, bars and pixels.
_ATTACHED: WeakKeyDictionary[Axes, list[tuple[str, pd.DataFrame]]] = WeakKeyDictionary()
#: Colour, marker and style of a line, or the first of these.
_Look = tuple[str, ...]

__all__ = ["GUIDE", "attach", "source_data", "write_source_data"]

_COLUMNS = (
    *("panel", "series", "x", "y", "x_low", "x_high", "y_low", "y_high", "value"),
    *("x_name", "y_name", "x_axis", "y_axis"),
)


def source_data(fig: Figure) -> pd.DataFrame:
    """Every point, bar and pixel of a figure, one a row.

    Columns: panel (its letter, and the title of an inset), series (its label, with "_" before it where the legend has no room for it, or
    what the panel's legend says of its colour and marker, or "line 2"), x, y, the ends of error bars, value (of a pixel), the names
    of categories, and the labels of the axes. Guides to the eye, legends and colour bars are left out.
    """
    rows: list[pd.DataFrame] = []
    panel = ""
    for ax in fig.axes:
        if not ax.axison or ax.get_label() == "<colorbar>":
            continue
        # A panel that continues another carries no letter of its own.
        panel = _letter(ax) or panel
        for inner in (ax, *(child for child in ax.child_axes if isinstance(child, Axes))):
            shown = panel if inner is ax else f"{panel}, inset {inner.get_title()}".strip()
            labels = {"x_axis": inner.get_xlabel(), "y_axis": inner.get_ylabel()}
            for series, frame in [*_series(inner), *_ATTACHED.get(inner, [])]:
                words = {
                    f"{axis}_name": _words(inner, axis, frame[axis])
                    for axis in ("x", "y")
                    if axis in frame and f"{axis}_name" not in frame
                }
                rows.append(frame.assign(panel=shown, series=series, **words, **labels))
    made = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return made.reindex(columns=list(_COLUMNS))


def attach(ax: Axes, series: str, frame: pd.DataFrame) -> None:
    """Say what a panel shows by patches or text: ``frame`` with some of the columns of ``source_data``."""
    _ATTACHED.setdefault(ax, []).append((series, frame))


def write_source_data(fig: Figure, path: Path | str) -> None:
    """Write ``source_data`` as CSV, seven digits a number (four of a pixel's value)."""
    source_data(fig).to_csv(path, index=False, float_format="%.7g")


def _entries(legend: Legend) -> dict[_Look, str]:
    """What a legend says, by how the lines look: entries that look alike say nothing."""
    found: dict[_Look, set[str]] = {}
    for handle, text in zip(legend.legend_handles, legend.get_texts()):
        if isinstance(handle, Line2D):
            for look in _looks(handle):
                found.setdefault(look, set()).add(text.get_text())
    return {look: texts.pop() for look, texts in found.items() if len(texts) == 1}


def _looks(line: Line2D) -> list[_Look]:
    """How a line looks, from all that tells it from others to its colour alone."""
    colour, marker, style = to_hex(line.get_color()), str(line.get_marker()), str(line.get_linestyle())
    return [(colour, marker, style), (colour, marker), (colour,)]


def _words(ax: Axes, axis: str, values: pd.Series) -> list[str]:
    """The tick labels at ``values`` where the axis has words instead of numbers."""
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    if not isinstance(chosen.get_major_locator(), FixedLocator):
        return [""] * len(values)
    words = {
        round(float(place), 9): label.get_text()
        for place, label in zip(chosen.get_majorticklocs(), chosen.get_majorticklabels())
    }
    found = [words.get(round(float(value), 9), "") for value in values]
    return ["" if _NUMBER.fullmatch(word) else word for word in found]


def _letter(ax: Axes) -> str:
    found = re.search(r"\\bf\{(\w+)\}", ax.get_title(loc="left"))
    return found.group(1) if found else ""


def _series(ax: Axes) -> Iterator[tuple[str, pd.DataFrame]]:
    unnamed = 0
    legend = ax.get_legend()
    known = _entries(legend) if legend else {}

    def name(label: Any, line: Line2D | None) -> str:
        nonlocal unnamed
        if label is not None and not _UNNAMED.match(str(label)):
            return str(label).removeprefix("_")
        for look in _looks(line) if line is not None else ():
            if look in known:
                return known[look]
        unnamed += 1
        return f"line {unnamed}"

    within: set[Line2D] = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            line, caps, _ = container.lines
            within |= {*caps, *([line] if line is not None else [])}
            yield name(container.get_label(), line), _error_bars(container)
        elif isinstance(container, BarContainer):
            boxes = [bar.get_bbox() for bar in container.patches]
            # Along the axis of its length a bar is an interval; stacked bars begin where others end.
            flat = container.orientation == "horizontal"
            length = {"x_low": [b.x0 for b in boxes], "x_high": [b.x1 for b in boxes]}
            if not flat:
                length = {"y_low": [b.y0 for b in boxes], "y_high": [b.y1 for b in boxes]}
            x = [b.width if flat else (b.x0 + b.x1) / 2 for b in boxes]
            y = [(b.y0 + b.y1) / 2 if flat else b.height for b in boxes]
            yield name(container.get_label(), None), _numbers(x=x, y=y, **length)
    for line in ax.lines:
        across = line.get_transform() != ax.transData
        points = np.asarray(line.get_xydata(), np.float64)
        if line in within or across or line.get_label() == GUIDE or not len(points):
            continue
        yield name(line.get_label(), line), _numbers(x=points[:, 0], y=points[:, 1])
    for image in ax.images:
        values = np.ma.filled(np.ma.asarray(image.get_array(), np.float64), np.nan)
        if values.ndim == 2:
            left, right, bottom, top = image.get_extent()
            if image.origin == "upper":
                bottom, top = top, bottom
            yield "pixels", _pixels(_centres(left, right, values.shape[1]), _centres(bottom, top, len(values)), values)
    for mesh in ax.collections:
        if isinstance(mesh, QuadMesh):
            corners = np.asarray(mesh.get_coordinates())
            values = np.ma.filled(np.ma.asarray(mesh.get_array(), np.float64), np.nan)
            # A smooth mesh has its values at the corners, a flat one in the cells.
            middle = corners if values.size == corners[..., 0].size else (corners[1:, 1:] + corners[:-1, :-1]) / 2
            values = values.reshape(middle.shape[:2])
            yield "pixels", _pixels(middle[0, :, 0], middle[:, 0, 1], values)


def _error_bars(container: ErrorbarContainer) -> pd.DataFrame:
    """Points with the ends of their bars; the bars of x come before those of y."""
    line, _, bars = container.lines
    waiting = list(bars)
    ends: dict[str, np.ndarray] = {}
    for has, axis, column in ((container.has_xerr, "x", 0), (container.has_yerr, "y", 1)):
        if has:
            segments = [np.asarray(segment, np.float64) for segment in waiting.pop(0).get_segments()]
            pairs = [segment[:, column] if len(segment) else (np.nan, np.nan) for segment in segments]
            ends[axis] = np.array(pairs, np.float64).reshape(-1, 2)  # of no points as well
            other = np.array([segment[0, 1 - column] if len(segment) else np.nan for segment in segments])
            middle = ends[axis].mean(axis=1)
            at = (middle, other) if axis == "x" else (other, middle)
    x, y = at if line is None else (line.get_xdata(), line.get_ydata())
    made = _numbers(x=x, y=y)
    for axis, pair in ends.items():
        if len(pair) == len(made):
            made[f"{axis}_low"], made[f"{axis}_high"] = pair.T
    return made


def _numbers(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({key: np.asarray(values, np.float64) for key, values in columns.items()})


def _centres(start: float, end: float, count: int) -> np.ndarray:
    return start + (np.arange(count) + 0.5) * (end - start) / count


def _pixels(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Pixels by their centres, values to four digits: a colour map has no more than 256 steps."""
    across, up = np.meshgrid(x, y)
    seen = [float(f"{value:.4g}") for value in values.ravel()]
    return _numbers(x=across.ravel(), y=up.ravel(), value=seen)
