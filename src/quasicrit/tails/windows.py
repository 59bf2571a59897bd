"""The window of a power law: the exponent of every window, and the widest one that passes a test.

After Deluca and Corral 2013 and Marshall et al. 2016: of all windows [xmin, xmax] whose Kolmogorov–Smirnov
distance is not among the largest tenth under a true law, the one that spans the most decades. The test
inside the search is a comparison with a precalibrated critical value (``quasicrit.tails.critical``), so the
search costs no bootstrap; the p-value of the result repeats the whole search (``quasicrit.tails.p_value``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.tails.critical import critical_value
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents
from quasicrit.tails.ranges import ks_distance
from quasicrit.tails.support import Kind, Support, select_events

__all__ = ["MIN_WINDOW_EVENTS", "RangeSearch", "StabilityMap", "passing_statistic", "search_range", "stability_map"]

FloatArray = NDArray[np.float64]

MIN_WINDOW_EVENTS = 50
"""Windows with fewer events are not considered: almost any law passes there."""

_ENDS = 32
_PROBES = 48
_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class StabilityMap:
    """The exponent as a function of the window: a power law has a plateau, whatever else has a slope.

    ``xmins`` (a,) and ``xmaxs`` (b,) ascend, the last xmax infinite if the window may be open; ``exponents``
    and ``n`` have shape (a, b). The exponent is NaN where the window is empty, has fewer than
    ``MIN_WINDOW_EVENTS`` events, or no finite one.
    """

    xmins: FloatArray
    xmaxs: FloatArray
    exponents: FloatArray
    n: NDArray[np.int64]
    kind: Kind
    offset: float


@dataclass(frozen=True)
class RangeSearch:
    """The widest window that passes: ``xmin``, ``xmax`` (infinite for an open one), its ``exponent``, ``n``, ``ks``.

    ``statistic`` is √n D over its critical value: at most 1. ``n_windows`` were considered, in ``map``.
    """

    xmin: float
    xmax: float
    exponent: float
    n: int
    ks: float
    statistic: float
    n_windows: int
    map: StabilityMap


def stability_map(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    offset: float = 0.0,
) -> StabilityMap:
    """Maximum-likelihood exponents of all windows between 32 ends, spaced evenly in ln(x + offset).

    ``xmin`` and ``xmax`` bound the ends; without ``xmax`` open windows are among them. Raises FitError as
    ``select_events`` does.
    """
    events = select_events(values, kind=kind, xmin=xmin, xmax=xmax, offset=offset)
    return map_pairs(*events.pairs(), events.support)


def map_pairs(values: FloatArray, counts: FloatArray, support: Support) -> StabilityMap:
    """``stability_map`` of distinct ascending values with counts."""
    u = np.geomspace(values[0] + support.offset, values[-1] + support.offset, _ENDS)
    near = np.clip(u - support.offset, values[0], values[-1])
    ends = np.unique(values[np.minimum(np.searchsorted(values, near), values.size - 1)])
    # A bound that was given is the end of the law, not the event nearest to it.
    low = np.append(support.xmin, ends[1:-1])
    high = np.append(ends[1:], support.xmax) if support.xmax > ends[-1] else ends[1:]
    if math.isfinite(support.xmax) and high.size > 1 and support.xmax > high[-2]:
        high = np.append(high[:-2], support.xmax)
    cumulative = np.concatenate([[0.0], np.cumsum(counts)])
    logs = np.concatenate([[0.0], np.cumsum(counts * np.log(values + support.offset))])
    first = np.searchsorted(values, low, side="left")[:, np.newaxis]
    after = np.searchsorted(values, high, side="right")[np.newaxis, :]
    wide = (high[np.newaxis, :] > low[:, np.newaxis]) & (after > first + 1)
    after = np.maximum(after, first)
    n = cumulative[after] - cumulative[first]
    sums = logs[after] - logs[first]
    exponents = np.full(n.shape, np.nan)
    row, column = np.nonzero(wide & (n >= MIN_WINDOW_EVENTS))
    if row.size:
        exponents[row, column] = power_law_exponents(
            n[row, column], sums[row, column], low[row], high[column], kind=support.kind, offset=support.offset
        )
    exponents[~np.isfinite(exponents)] = np.nan
    return StabilityMap(low, high, exponents, n.astype(np.int64), support.kind, support.offset)


def search_range(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmin: float | None = None,
    xmax: float | None = None,
    offset: float = 0.0,
) -> RangeSearch:
    """Choose the widest window in ln(x + offset), among those of ``stability_map``, on which a power law passes.

    An open window counts as wide as the largest event; of equal widths the open one comes first, which has
    no end to be explained. A range is never wider than ``xmin`` and ``xmax`` allow, where given.

    Raises FitError as ``select_events`` does, and when no window with at least 50 events passes.
    """
    events = select_events(values, kind=kind, xmin=xmin, xmax=xmax, offset=offset)
    return search_range_pairs(*events.pairs(), events.support)


def search_range_pairs(values: FloatArray, counts: FloatArray, support: Support) -> RangeSearch:
    """``search_range`` on distinct ascending values with counts."""
    made = map_pairs(values, counts, support)
    row, column = np.nonzero(np.isfinite(made.exponents))
    low, high = made.xmins[row], made.xmaxs[column]
    exponents = made.exponents[row, column]
    top = np.minimum(high, values[-1])
    width = np.log(top + support.offset) - np.log(low + support.offset)
    # lexsort: last key first. Widest, then open, then most events.
    order = np.lexsort([-made.n[row, column], -high, -width])
    low, high, exponents = low[order], high[order], exponents[order]
    with np.errstate(over="ignore", invalid="ignore"):
        log_width = np.where(np.isinf(high), math.inf, np.log((high + support.offset) / (low + support.offset)))
    critical = critical_value(exponents, low + support.offset, log_width, kind=support.kind)
    n = made.n[row, column][order]
    bound = _scaled(_coarse(values, counts, low, high, exponents, support), n, support.kind)
    for index in np.flatnonzero(bound <= critical).tolist():
        first, after = np.searchsorted(values, low[index]), np.searchsorted(values, high[index], side="right")
        window = Support(support.kind, float(low[index]), float(high[index]), support.offset)
        distance = ks_distance(values[first:after], counts[first:after], float(exponents[index]), window)
        statistic = float(_scaled(distance, n[index], support.kind) / critical[index])
        if statistic <= 1.0:
            return RangeSearch(
                window.xmin, window.xmax, float(exponents[index]), int(n[index]), distance, statistic, low.size, made
            )
    raise FitError(
        f"A power law passes on none of {low.size} windows with at least {MIN_WINDOW_EVENTS} events; "
        "there is no range to report. Give xmin and xmax to fit one all the same."
    )


def passing_statistic(ks: float, n: int, exponent: float, support: Support) -> float:
    """√n D over its critical value: the law passes at level .1 when it is at most 1."""
    log_width = math.inf if math.isinf(support.xmax) else math.log(support.upper / support.lower)
    critical = float(critical_value(exponent, support.lower, log_width, kind=support.kind))
    return float(_scaled(ks, n, support.kind)) / critical


def _scaled(distance: ArrayLike, n: ArrayLike, kind: Kind) -> FloatArray:
    """√n D, for continuous data with the terms that make one critical value serve every n (Stephens 1974)."""
    d, count = np.asarray(distance, np.float64), np.asarray(n, np.float64)
    if kind == "discrete":
        return np.sqrt(count) * d
    root = np.sqrt(count)
    return np.maximum(d - 0.2 / count, 0.0) * (root + 0.26 + 0.5 / root)


def _coarse(
    values: FloatArray,
    counts: FloatArray,
    low: FloatArray,
    high: FloatArray,
    exponents: FloatArray,
    support: Support,
) -> FloatArray:
    """The distance of each window at some quantiles of its events: never above the full one."""
    cumulative = np.cumsum(counts)
    first = np.searchsorted(values, low)
    after = np.searchsorted(values, high, side="right")
    below = np.where(first > 0, cumulative[first - 1], 0.0)[:, np.newaxis]
    n = (cumulative[after - 1][:, np.newaxis]) - below
    share = (np.arange(_PROBES) + 0.5) / _PROBES
    found = np.empty(low.size)
    for start in range(0, low.size, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        index = np.minimum(np.searchsorted(cumulative, below[rows] + share * n[rows]), after[rows, np.newaxis] - 1)
        model = power_law_cdf(
            values[index], exponents[rows], low[rows], high[rows], kind=support.kind, offset=support.offset
        )
        found[rows] = np.abs((cumulative[index] - below[rows]) / n[rows] - model).max(axis=1)
    return found
