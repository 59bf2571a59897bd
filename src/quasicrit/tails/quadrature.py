"""Sums and integrals over a window, for any smooth density on it.

Every normalisation, moment and distribution function of a smooth kernel g is Σ_j w_j g(u_j) on nodes that
depend on the window alone. The window is cut into blocks that double in width away from xmin, so that a
density may fall on any scale; in each block stand 12 Gauss nodes. Continuous: Gauss–Legendre in s =
ln(u/a). Discrete: the first 64 integers one by one, then Gauss nodes of the *sum* over the block's
integers, the zeros of the discrete Chebyshev (Gram) polynomial (NIST DLMF 18.20–18.22), by Golub and
Welsch's eigenvalue method (1969). Both are exact to rounding for the families of this package; an infinite
window ends at u = 1e300 a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quasicrit.tails.support import Support

__all__ = ["LOG_FAR", "Nodes", "log_edges", "log_gauss_nodes", "nodes_of", "window_log_width"]

FloatArray = NDArray[np.float64]

_POINTS = 12
_HEAD = 64
_FINEST = 2.0**-30
LOG_FAR = math.log(1e300)
"""An infinite window ends at this ln(u/a)."""
# Octaves up to this distance (in units of ln), panels of four octaves beyond, where nothing is narrow.
_FAR = 64.0 * math.log(2.0)
_LAST_OCTAVE = 1 << 50

_LEGENDRE = np.polynomial.legendre.leggauss(_POINTS)


@dataclass(frozen=True)
class Nodes:
    """Quadrature of a window.

    ``log_ratio`` is s_j = ln(u_j/a), ``log_weight`` ln w_j, ``block`` the block of each node, in ascending
    order; all of shape (m,). Block i spans ``starts[i]`` to ``stops[i]`` in s for continuous data, and the
    integers a + starts[i] … a + stops[i] − 1 for discrete data (``steps[i]`` tells which, for very distant
    blocks).
    """

    log_ratio: FloatArray
    log_weight: FloatArray
    block: NDArray[np.intp]
    starts: FloatArray
    stops: FloatArray
    steps: NDArray[np.bool_]


def log_edges(log_width: float, first: float = 0.0) -> FloatArray:
    """Edges in s = ln(u/a) from ``first`` to ``log_width``: doubling widths, then octaves, then four
    octaves."""
    edges = [first]
    width = min(max(_FINEST, first), math.log(2.0))
    while edges[-1] < log_width:
        # A sliver at the end would only cost nodes.
        following = edges[-1] + width
        edges.append(log_width if following > log_width - 0.25 * width else following)
        if edges[-1] >= _FAR:
            width = 4.0 * math.log(2.0)
        elif len(edges) > 2:
            width = min(2.0 * width, math.log(2.0))
    return np.array(edges)


def log_gauss_nodes(start: FloatArray, stop: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gauss–Legendre nodes of the panels [start, stop] in s, and ln of the weights of du = a e^s ds over a.

    Both of shape (…, 12).
    """
    points, weights = _LEGENDRE
    half = 0.5 * (stop - start)[..., np.newaxis]
    s = start[..., np.newaxis] + half * (points + 1.0)
    with np.errstate(divide="ignore"):
        return s, np.log(half * weights) + s


@lru_cache(maxsize=512)
def _gram_nodes(count: int) -> tuple[FloatArray, FloatArray]:
    """Gauss nodes in [0, count − 1] and weights of the sum over 0 … count − 1, exact for polynomials of
    degree 23."""
    order = np.arange(1.0, _POINTS)
    scaled = order**2 * (1.0 - (order / count) ** 2) / (4.0 * (4.0 * order**2 - 1.0))
    off_diagonal = np.sqrt(scaled)
    values, vectors = np.linalg.eigh(np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
    return 0.5 * (count - 1.0) + count * values, count * vectors[0] ** 2


@lru_cache(maxsize=64)
def nodes_of(support: Support) -> Nodes:
    """Return the quadrature of a window; weights are in units of du = a ds (continuous) or 1 (discrete)."""
    a = support.lower
    log_a = math.log(a)
    log_width = window_log_width(a, support.upper)
    if support.discrete:
        return _discrete(support, a, log_a, log_width)
    return _continuous(log_edges(log_width), log_a)


def window_log_width(lower: float, upper: float) -> float:
    """ln(upper/lower), with all digits for narrow windows, and cut for infinite ones."""
    if math.isinf(upper):
        return LOG_FAR
    ratio = (upper - lower) / lower
    return math.log1p(ratio) if math.isfinite(ratio) else math.log(upper) - math.log(lower)


def _continuous(edges: FloatArray, log_a: float) -> Nodes:
    s, log_weight = log_gauss_nodes(edges[:-1], edges[1:])
    block = np.repeat(np.arange(edges.size - 1), _POINTS)
    steps = np.zeros(edges.size - 1, dtype=bool)
    return Nodes(s.ravel(), log_weight.ravel() + log_a, block, edges[:-1], edges[1:], steps)


def _discrete(support: Support, a: float, log_a: float, log_width: float) -> Nodes:
    finite = math.isfinite(support.xmax)
    total = min(support.xmax - support.xmin + 1.0, 2.0 * _LAST_OCTAVE) if finite else 2.0 * _LAST_OCTAVE
    offsets: list[FloatArray] = []
    weights: list[FloatArray] = []
    spans: list[tuple[float, float]] = []
    sizes: list[int] = []
    start = 0
    while start < total:
        stop = int(min(total, start + 1 if start < _HEAD else 2 * start))
        count = stop - start
        if count <= _POINTS:
            inner, weight = np.arange(count, dtype=np.float64), np.ones(count)
        else:
            inner, weight = _gram_nodes(count)
        offsets.append(start + inner)
        weights.append(weight)
        spans.append((float(start), float(stop)))
        sizes.append(inner.size)
        start = stop
    log_ratio = np.log1p(np.concatenate(offsets) / a)
    log_weight = np.log(np.concatenate(weights))
    block = np.repeat(np.arange(len(spans)), sizes)
    steps = np.ones(len(spans), dtype=bool)
    bounds = np.array(spans)
    # Beyond 2^51 the integers are as good as continuous.
    first = math.log1p((start - 0.5) / a)
    if (not finite or start < support.xmax - support.xmin + 1.0) and first < log_width:
        edges = log_edges(log_width, first)
        far = _continuous(edges, log_a)
        log_ratio = np.concatenate([log_ratio, far.log_ratio])
        log_weight = np.concatenate([log_weight, far.log_weight])
        block = np.concatenate([block, far.block + len(spans)])
        bounds = np.concatenate([bounds, np.stack([far.starts, far.stops], axis=1)])
        steps = np.concatenate([steps, far.steps])
    return Nodes(log_ratio, log_weight, block, bounds[:, 0], bounds[:, 1], steps)
