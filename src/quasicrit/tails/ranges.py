"""Where the power law starts: xmin by the smallest Kolmogorov–Smirnov distance (Clauset et al. 2009, 3.3).

The data enter as distinct values with counts, and as suffix sums of counts and logarithms, so the exponent
of every candidate xmin comes from one vectorised solve. A candidate is compared with its events at a few
quantiles first, then at more, and goes on only while no gap exceeds the best distance found. The answer is
that of the full search.

What the search minimises is the distance of the program that Clauset et al. published, so that it finds
their xmin: for continuous data the empirical distribution counts the events strictly below x (and so is
seen from one side only), for discrete data it is two-sided and over all integers. The distance reported for
the chosen window, and used in p-values, is two-sided for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.tails.exponents import power_law_cdf, power_law_exponents
from quasicrit.tails.support import MIN_EVENTS, Support, select_events

__all__ = ["XminSearch", "ks_distance", "search_xmin"]

FloatArray = NDArray[np.float64]

_QUANTILES = 32
_PROBES = 4
_CELLS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class XminSearch:
    """The chosen ``xmin`` with its distance ``ks``, ``exponent`` and number of events ``n``.

    ``candidates`` and ``exponents``, shape (m,), show the exponent as a function of xmin: a power law has a
    plateau. Minimum distance tends to choose too high an xmin (Drees et al. 2018), so look at them.
    """

    xmin: float
    ks: float
    exponent: float
    n: int
    candidates: FloatArray
    exponents: FloatArray


def ks_distance(values: ArrayLike, counts: ArrayLike, exponent: float, support: Support) -> float:
    """sup |F_n − F| between the data and the power law on the window.

    ``values`` distinct and ascending inside the window, shape (m,), ``counts`` how often each occurs. For
    discrete data the supremum is over all integers, so the gaps between the values count as well.
    """
    return float(ks_distances(values, np.atleast_2d(counts), np.array([exponent]), support)[0])


def ks_distances(values: ArrayLike, counts: ArrayLike, exponents: FloatArray, support: Support) -> FloatArray:
    """``ks_distance`` of many data sets on the same values: ``counts`` (B, m), ``exponents`` (B,).

    A count may be zero: for discrete data the distance at a value that a data set lacks belongs to its
    supremum as well.
    """
    v = np.asarray(values, dtype=np.float64)
    c = np.asarray(counts, dtype=np.float64)
    above = np.cumsum(c, axis=1) / c.sum(axis=1, keepdims=True)
    before = np.concatenate([np.zeros((c.shape[0], 1)), above[:, :-1]], axis=1)
    return _gaps(v, above, before, exponents, np.array(support.xmin), support).max(axis=1)


def _gaps(
    v: FloatArray,
    above: FloatArray,
    before: FloatArray,
    exponents: FloatArray,
    xmins: FloatArray,
    support: Support,
) -> FloatArray:
    """|F_n − F| at and just before every value, whichever is larger; shape (R, m)."""
    model = _cdf(v, exponents, xmins, support)
    model_before = _cdf(v - 1.0, exponents, xmins, support) if support.discrete else model
    return np.maximum(np.abs(above - model), np.abs(before - model_before))


def _distances(
    values: FloatArray,
    cumulative: FloatArray,
    exponents: FloatArray,
    rows: NDArray[np.intp],
    xmins: FloatArray,
    support: Support,
) -> FloatArray:
    """The KS distances of the power laws ``exponents`` from ``xmins`` on, to the values from ``rows`` on."""
    first = int(rows.min())
    v = values[first:]
    below = np.where(rows > 0, cumulative[rows - 1], 0.0)[:, np.newaxis]
    above = (cumulative[first:] - below) / (cumulative[-1] - below)
    # Entries of values below a row's own start come out negative, and are masked at the end.
    before = np.maximum(np.concatenate([np.zeros_like(below), above[:, :-1]], axis=1), 0.0)
    gap = _gaps(v, above, before, exponents, xmins, support)
    return np.where(np.arange(first, values.size) >= rows[:, np.newaxis], gap, 0.0).max(axis=1)


def _cdf(x: FloatArray, exponents: FloatArray, xmins: FloatArray, support: Support) -> FloatArray:
    return power_law_cdf(x, exponents, xmins, support.xmax, kind=support.kind, offset=support.offset)


def search_xmin(
    values: ArrayLike,
    *,
    kind: str = "auto",
    xmax: float | None = None,
    offset: float = 0.0,
    min_events: int = MIN_EVENTS,
) -> XminSearch:
    """Choose xmin among the distinct values by the smallest KS distance of the power law fitted above it.

    ``xmax`` is fixed (infinite by default). At least ``min_events`` events stay in the window.

    Raises FitError as ``select_events`` does, and when no candidate leaves enough distinct events.
    """
    events = select_events(values, kind=kind, xmax=xmax, offset=offset)
    return search_pairs(*events.pairs(), events.support, min_events)


def search_pairs(values: FloatArray, counts: FloatArray, support: Support, min_events: int = MIN_EVENTS) -> XminSearch:
    """``search_xmin`` on distinct ascending values with counts; the xmin of ``support`` is not used."""
    logs = counts * np.log(values + support.offset)
    n_above = np.cumsum(counts[::-1])[::-1]
    log_above = np.cumsum(logs[::-1])[::-1]
    usable = np.count_nonzero(n_above[:-1] >= max(min_events, 2))
    if usable == 0:
        raise FitError(
            f"No xmin leaves {min_events} events that are not all equal, of {int(n_above[0])}; "
            "collect more events or give xmin."
        )
    candidates = values[:usable]
    exponents = power_law_exponents(
        n_above[:usable],
        log_above[:usable],
        candidates,
        support.xmax,
        kind=support.kind,
        offset=support.offset,
    )
    cumulative = np.cumsum(counts)
    if support.discrete:
        best = _nearest_discrete(values, cumulative, exponents, support)
    else:
        best = _nearest_continuous(values, cumulative, exponents, support)
    if best < 0:
        raise FitError("No xmin leaves events with a finite exponent; give xmin and xmax.")
    chosen = Support(support.kind, float(values[best]), support.xmax, support.offset)
    return XminSearch(
        xmin=chosen.xmin,
        ks=ks_distance(values[best:], counts[best:], float(exponents[best]), chosen),
        exponent=float(exponents[best]),
        n=int(n_above[best]),
        candidates=candidates,
        exponents=exponents,
    )


def _nearest_continuous(values: FloatArray, cumulative: FloatArray, exponents: FloatArray, support: Support) -> int:
    from quasicrit.tails.kernels import smallest_distance

    log_u = np.log(values + support.offset)
    log_top = math.inf if math.isinf(support.xmax) else math.log(support.upper)
    stride = 1 << max(0, int(math.log2(values.size)) - 4)
    return int(smallest_distance(log_u, cumulative, exponents, log_top, stride))


def _nearest_discrete(values: FloatArray, cumulative: FloatArray, exponents: FloatArray, support: Support) -> int:
    best, best_ks = -1, math.inf
    alive = np.flatnonzero(np.isfinite(exponents))
    quantiles = _QUANTILES
    bound = np.zeros(alive.size)
    while alive.size:
        finer = quantiles < values.size
        if finer:
            bound = _lower_bounds(values, cumulative, exponents, alive, quantiles, support)
        # The most promising candidates are evaluated in full, and all that are left once bounds cost as much.
        order = np.argsort(bound, kind="stable")
        step = _PROBES if finer else max(_PROBES, _CELLS_AT_ONCE // (8 * values.size))
        for position in range(0, _PROBES if finer else order.size, step):
            rows = order[position : position + step]
            if bound[rows[0]] > best_ks:
                break
            index = alive[rows]
            distance = _distances(values, cumulative, exponents[index], index, values[index], support)
            # Of equal distances the smaller xmin keeps more data.
            for candidate, found in zip(index, distance):
                if (found, candidate) < (best_ks, best if best >= 0 else values.size):
                    best, best_ks = int(candidate), float(found)
        if not finer:
            break
        keep = bound <= best_ks
        alive, bound = alive[keep], bound[keep]
        quantiles *= 8
    return best


def _lower_bounds(
    values: FloatArray,
    cumulative: FloatArray,
    exponents: FloatArray,
    rows: NDArray[np.intp],
    quantiles: int,
    support: Support,
) -> FloatArray:
    """The KS distance of the candidates ``rows`` at some quantiles of their events: never above the full
    one."""
    bounds = np.empty(rows.size)
    share = (np.arange(quantiles) + 0.5) / quantiles
    step = max(1, _CELLS_AT_ONCE // quantiles)
    for first in range(0, rows.size, step):
        row = rows[first : first + step]
        below = np.where(row > 0, cumulative[row - 1], 0.0)[:, np.newaxis]
        n_above = cumulative[-1] - below
        index = np.minimum(np.searchsorted(cumulative, below + share * n_above), values.size - 1)
        model = _cdf(values[index], exponents[row], values[row], support)
        data = (cumulative[index] - below) / n_above
        bounds[first : first + step] = np.abs(data - model).max(axis=1)
    return bounds
