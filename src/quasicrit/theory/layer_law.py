"""The exact law of the signal strength after one layer of N units, given the variance of its pre-activations.

    m' = (1/N) sum_i phi(sqrt(q) z_i)^2,   z_i ~ N(0, 1) independent,   q = sigma_w^2 m + sigma_b^2.

For a weak signal (q -> 0) N m'/q is slope^2 chi^2_N, and for a homogeneous phi (relu, leaky relu, linear) the law of m'/q
is the same at every q. A relu layer has K ~ Bin(N, 1/2) active units, and N m'/q is chi^2_K: 0, the end of the signal, with
probability 2^-N; its law here is conditional on K >= 1, as sigma_c(N) is. Widths are in units; all else is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numba
import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.special import chdtr, chdtrc, chdtri, gammainccinv, gammaincinv, gammaln, ndtr, ndtri

from quasicrit.errors import TheoryError
from quasicrit.theory.activations import Activation, Floats, get_activation
from quasicrit.theory.finite_width import LEAST_LAW_WIDTH, check_width

__all__ = ["layer_log_quantiles"]

#: The tails that are computed: 1e-12 on either side.
_TAIL = 1e-12


def layer_log_quantiles(activation: str | Activation, width: int, q: float, score: ArrayLike) -> Floats:
    """ln(m'/q) at the probability Phi(score): the quantile function of one layer in normal scores.

    ``q`` >= 0; q = 0 is the weak-signal limit. ``score``: any shape, abs <= 6.5. Without a table to look at, a draw
    is ln m' = ln q + layer_log_quantiles(phi, N, q, g), g ~ N(0, 1). The probability at which a value is reached is
    right to 1e-8 for q up to 16, and to some 1e-2 of itself in tails of 1e-9; for gelu and silu values below 1e-8 of the largest (N = 8,
    q = 16: a probability of 5e-6) are set to that.

    Raises TheoryError for an unknown activation, a width below ``LEAST_LAW_WIDTH``, a q below 0 or a score beyond 6.5.
    """
    act, width, g = get_activation(activation), check_width(width), np.asarray(score, dtype=float)
    if width < LEAST_LAW_WIDTH:
        raise TheoryError(f"width = {width} is too small for the law of a layer: at least {LEAST_LAW_WIDTH} units.")
    if not 0.0 <= q < np.inf:
        raise TheoryError(f"q = {q!r} is impossible: the variance is a finite number, at least 0.")
    if g.size and not np.abs(g).max() <= 6.5:
        raise TheoryError("score: normal scores beyond 6.5 are not resolved.")
    if act.slope_left == act.slope_right and (q == 0.0 or act.homogeneous):
        return _log_chi_square(width, g) + np.log(act.slope_right**2 / width)
    if act.slope_left == 0.0 and act.homogeneous:
        log_x, scores = _active_units(width)
    else:
        log_x, scores = _inverted(act, width, 1.0 if act.homogeneous else q)
    return _inverse(log_x, scores, g.ravel()).reshape(g.shape) - np.log(width)


def _log_chi_square(width: int, g: Floats) -> Floats:
    """ln of the chi^2_N quantiles, each tail from its own end."""
    half = 0.5 * width
    low = gammaincinv(half, ndtr(np.minimum(g, 0.0)))
    return np.log(2.0 * np.where(g < 0.0, low, gammainccinv(half, ndtr(-np.maximum(g, 0.0)))))


def _active_units(width: int) -> tuple[Floats, Floats]:
    """ln x and its normal score for X = chi^2_K, K ~ Bin(N, 1/2) given K >= 1."""
    count = np.arange(1.0, width + 1.0)
    log_weight = gammaln(width + 1.0) - gammaln(count + 1.0) - gammaln(width - count + 1.0) - width * np.log(2.0)
    kept = log_weight > np.log(1e-18)
    count, weight = count[kept], np.exp(log_weight[kept])
    weight /= -np.expm1(-width * np.log(2.0))
    # A grid that holds all that is resolved; then once more, between the points that span it.
    bottom = 2.0 * float(gammaincinv(0.5 * count[0], _TAIL))
    ends = np.log([bottom, float(chdtri(width, _TAIL))])
    for points in (257, 2049):
        log_x = np.linspace(ends[0], ends[1], points)
        x = np.exp(log_x)[:, None]
        # Plain sums, not matrix products: their rounding does not depend on the number of threads.
        low, high = ((law(count, x) * weight).sum(axis=1) for law in (chdtr, chdtrc))
        felt = np.flatnonzero((low > _TAIL) & (high > _TAIL))
        ends = log_x[[max(felt[0] - 1, 0), min(felt[-1] + 1, points - 1)]]
    return _scored(log_x, low, high)


def _scored(log_x: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Normal scores of probabilities below and above; only what rises and is resolved is kept."""
    scores = np.where(low < high, ndtri(np.clip(low, 1e-300, 0.5)), -ndtri(np.clip(high, 1e-300, 0.5)))
    kept = (low > _TAIL) & (high > _TAIL)
    log_x, scores = log_x[kept], scores[kept]
    # Rounding in the far tails may undo the order of neighbours.
    rising = scores > np.maximum.accumulate(np.concatenate([[-np.inf], scores[:-1]]))
    return log_x[rising], scores[rising]


def _inverse(log_x: Floats, scores: Floats, wanted: Floats) -> Floats:
    """ln x at the wanted scores: Newton's steps on the spline through (ln x, score), within the cell that holds the score."""
    spline = CubicSpline(log_x, scores)
    slope = spline.derivative()
    cell = np.clip(np.searchsorted(scores, wanted) - 1, 0, len(scores) - 2)
    low, high = log_x[cell], log_x[cell + 1]
    x = low + (high - low) * (wanted - scores[cell]) / (scores[cell + 1] - scores[cell])
    for _ in range(4):
        x = np.clip(x - (spline(x) - wanted) / np.maximum(slope(x), 1e-12), low, high)
    return np.asarray(x)


# Inversion of the Laplace transform -------------------------------------------------------------------------
#
# With M(s) = E exp(-s y), y = phi(sqrt(q) z)^2/q, the sum X of N units has
#
#     P(X <= x) = (1/2 pi i) int M(s)^N exp(s x)/s ds along Re s = s_0 > 0.
#
# The trapezoidal rule with the step 2 pi/P is exact but for exp(-s_0 P) (Dubner & Abate 1968; Abate & Whitt 1992),
# and one Fourier transform gives all x in (0, P). Only the range P/48 < x < P/6 of each is used, where rounding is not
# magnified; smaller x have a smaller P of their own, so that each tail is right relative to itself.

_DAMPING = 38.0  # s_0 P
_PART = 6.0  # P over the largest x that is used
_FALL = 8.0  # largest over smallest x of one range
_LEAST_TERMS, _MOST_TERMS = 512, 1 << 14
_LEAST_GRID = 1 << 15
_FLOOR = 1e-8  # least x that is resolved, over the largest
_NODES = 12
_PHASE = 10.0  # radians of the fastest oscillation across one panel


def _inverted(act: Activation, width: int, q: float) -> tuple[Floats, Floats]:
    """ln x and its normal score for X = sum_i phi(sqrt(q) z_i)^2/q."""
    steepest = max(1.0, abs(act.slope_left), abs(act.slope_right))  # |phi(x)| <= steepest |x| for every entry
    top = steepest**2 * float(chdtri(width, _TAIL))
    if act.saturating:
        top = min(top, width * float(act.phi(np.asarray(1e6))) ** 2 / q)
    parts, first, terms = [], top, _LEAST_TERMS
    while True:
        x, below, terms = _range(act, width, q, top, max(terms // 2, _LEAST_TERMS))
        parts.append((x, below))
        if below[0] < _TAIL or x[0] < _FLOOR * first:
            break
        top = x[0]
    x, low = (np.concatenate(group) for group in zip(*reversed(parts), strict=True))
    return _scored(np.log(x), low, 1.0 - low)


def _range(act: Activation, width: int, q: float, top: float, terms: int) -> tuple[Floats, Floats, int]:
    """x in [top/8, top), P(X <= x), and the terms it took, at least ``terms``."""
    period = _PART * top
    damping = _DAMPING / period
    while True:
        transform = _laplace(act, q, damping, period, terms) ** width
        if np.abs(transform[terms // 2 :]).max() < 1e-10 * abs(transform[0]) or terms == _MOST_TERMS:
            break
        terms *= 2
    count = max(4 * terms, _LEAST_GRID)
    s = damping + 2j * np.pi / period * np.arange(terms + 1)
    # A smooth end of the sum (Gottlieb & Shu 1997): what a near-atom at small x leaves at the cut does not ring at larger x.
    smooth = np.exp(-36.0 * (np.arange(terms + 1) / terms) ** 8)
    wave = np.fft.irfft(transform * smooth / s, count) * (count / period)
    first, last = int(np.ceil(count / (_PART * _FALL))), int(count / _PART)
    x = period / count * np.arange(first, last, dtype=np.float64)
    below: Floats = np.clip(wave[first:last] * np.exp(damping * x), 0.0, 1.0)
    return x, below, terms


def _laplace(act: Activation, q: float, damping: float, period: float, terms: int) -> np.ndarray:
    """M(s) at s = damping + 2 pi i k/period, k = 0 ... terms."""
    y, weight = [], []
    for sign in (1.0,) if act.odd else (1.0, -1.0):
        y_of = partial(_contribution, act, sign * np.sqrt(q))
        z, dz = _panels(y_of, damping, 2.0 * np.pi * terms / period, q)
        y.append(y_of(z))
        weight.append(dz * np.exp(-0.5 * z * z - damping * y[-1]) * ((2.0 if act.odd else 1.0) / np.sqrt(2.0 * np.pi)))
    return _fourier(np.concatenate(y), np.concatenate(weight), period, terms)


def _contribution(act: Activation, scale: float, z: Floats) -> Floats:
    """y = phi(scale z)^2/scale^2."""
    return act.phi(scale * z) ** 2 / scale**2


def _panels(y_of: Callable[[Floats], Floats], damping: float, fastest: float, q: float) -> tuple[Floats, Floats]:
    """Gauss-Legendre panels on z in (0, 9) that resolve phi and exp(-i fastest y(z)), as far as exp(-damping y) is felt."""
    z = np.concatenate([[0.0], np.geomspace(1e-6, 9.0, 3000)])
    y = y_of(z)
    rate = fastest / _PHASE * np.abs(np.diff(y)) * (damping * np.minimum(y[:-1], y[1:]) < 40.0)
    smooth = np.diff(z) * (2.0 + 2.0 * np.sqrt(q) / (1.0 + q * z[:-1] ** 2))
    total = np.concatenate([[0.0], np.cumsum(rate + smooth)])
    edges = np.interp(np.linspace(0.0, total[-1], int(np.ceil(total[-1])) + 1), total, z)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (1.0 + nodes)).ravel(), (half * weights).ravel()


# Kernel of the non-uniform Fourier transform: exp(beta (sqrt(1 - v^2) - 1)) (Barnett, Magland & af Klinteberg 2019).
_SPREAD = 15
_BETA = 2.30 * _SPREAD


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _spread(place: Floats, weight: Floats, grid: Floats) -> None:
    """Add to ``grid`` (periodic) the masses ``weight`` at ``place``, in steps of the grid, each times the kernel."""
    count = len(grid)
    for j in range(len(place)):
        start = int(np.ceil(place[j] - 0.5 * _SPREAD))
        for step in range(start, start + _SPREAD):
            v = (step - place[j]) * (2.0 / _SPREAD)
            grid[step % count] += weight[j] * np.exp(_BETA * (np.sqrt(max(1.0 - v * v, 0.0)) - 1.0))


def _fourier(y: Floats, weight: Floats, period: float, terms: int) -> np.ndarray:
    """sum_j weight_j exp(-2 pi i k y_j/period), k = 0 ... terms, to 1e-14 of sum_j abs(weight_j).

    The masses are spread over a uniform grid of 4 ``terms`` points by a kernel whose own transform is divided out.
    """
    kept = weight > 1e-18 * weight.sum()
    count = 4 * terms
    place = np.mod(y[kept] / period, 1.0) * count
    weight = weight[kept]
    grid = np.zeros(count)
    _spread(place, weight, grid)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    kernel = weights * np.exp(_BETA * (np.sqrt(1.0 - nodes**2) - 1.0)) * (0.5 * _SPREAD)
    k = np.arange(terms + 1)
    factor = (np.cos(np.pi * _SPREAD / count * k[:, None] * nodes) * kernel).sum(axis=1)
    return np.fft.rfft(grid)[: terms + 1] / factor
