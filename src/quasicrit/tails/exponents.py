"""The power law itself: exact sums over a window, and exponents for many resamples at once.

On the window a ≤ u ≤ b (u = x + offset, b finite or infinite) the law is p(u) = u^−alpha / Z(alpha). It is
an exponential family in ln u, so the maximum-likelihood alpha solves

    E_alpha[ln(u/a)] = M(alpha) = (1/n) Σ ln(u_i/a),

and M falls strictly with alpha. It needs the data only through n and Σ ln u, which add up over clusters: a
bootstrap of any size reads the events once. The observed information is n Var_alpha(ln u).

Continuous: the moments of an exponential law in s = ln(u/a), in closed form. Discrete: the first 32 terms
are added, the rest is the Euler–Maclaurin formula, which for power laws is exact to rounding at u ≥ 32;
with b infinite this is the Hurwitz zeta function and its derivatives in alpha (NIST DLMF 25.11.5), and for
b finite it holds for every real alpha, also alpha ≤ 1, where the zeta function does not. No alpha is
clamped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.tails.support import Kind

__all__ = ["power_law_cdf", "power_law_exponents", "power_law_moments"]

FloatArray = NDArray[np.float64]

_HEAD = 32
# B_{2m} / (2m)! for m = 1, 2, 3, and the coefficients of alpha (alpha + 1) … (alpha + 2m − 2).
_EULER_MACLAURIN = tuple(
    (power, coefficient, tuple(np.polyder(np.array(rising), order).tolist() for order in range(3)))
    for power, coefficient, rising in (
        (1, 1.0 / 12.0, [1.0, 0.0]),
        (3, -1.0 / 720.0, [1.0, 3.0, 2.0, 0.0]),
        (5, 1.0 / 30240.0, [1.0, 10.0, 35.0, 50.0, 24.0, 0.0]),
    )
)
_SERIES_TERMS = 16
_NEWTON_STEPS = 200
_TOLERANCE = 1e-11
_ROWS_AT_ONCE = 1 << 14


def _scaled_moments(z: FloatArray, order: int) -> list[FloatArray]:
    """∫_0^1 x^m e^{zx} dx · e^{−max(z,0)} for m = 0 … order."""
    small = np.abs(z) < 0.7
    safe = np.where(small, 1.0, z)
    grow = np.exp(np.minimum(safe, 0.0))  # e^z for z < 0, and 1 for z > 0 after scaling
    rest = np.exp(-np.maximum(safe, 0.0))
    closed = [(grow - rest) / safe]
    if order >= 1:
        closed.append((grow * (safe - 1.0) + rest) / safe**2)
    if order >= 2:
        closed.append((grow * ((safe - 2.0) * safe + 2.0) - 2.0 * rest) / safe**3)
    if not small.any():
        return closed
    near = np.where(small, z, 0.0)
    damp = np.exp(-np.maximum(near, 0.0))
    moments = []
    for power, form in enumerate(closed):
        series = np.zeros_like(near)
        for k in range(_SERIES_TERMS, -1, -1):
            # Horner form of Σ z^k / (k! (k + power + 1)).
            series = series * near + 1.0 / (math.factorial(k) * (k + power + 1))
        moments.append(np.where(small, series * damp, form))
    return moments


def _integrals(alpha: FloatArray, log_p: FloatArray, length: FloatArray, shift: FloatArray, order: int) -> list:
    """∫ e^{s} e^{−alpha (s − shift)} s^m ds over [log_p, log_p + length], m = 0 … order.

    ``length`` may be infinite where alpha > 1. ``shift`` keeps the exponentials below overflow.
    """
    kappa = 1.0 - alpha
    infinite = np.isinf(length)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        finite_length = np.where(infinite, 1.0, length)
        z = kappa * finite_length
        scale = np.exp(log_p - alpha * (log_p - shift) + np.where(infinite, 0.0, np.maximum(z, 0.0)))
        raw = _scaled_moments(z, order)
        moments = []
        for power, value in enumerate(raw):
            endless = math.factorial(power) / (-kappa) ** (power + 1)
            moments.append(scale * np.where(infinite, endless, finite_length ** (power + 1) * value))
    shifted = [moments[0]]
    if order >= 1:
        shifted.append(moments[1] + log_p * moments[0])
    if order >= 2:
        shifted.append(moments[2] + log_p * (2.0 * moments[1] + log_p * moments[0]))
    return shifted


def _boundary(alpha: FloatArray, u: FloatArray, log_u: FloatArray, f: FloatArray, order: int) -> list:
    """f(u)/2 s^m and the derivative terms of Euler–Maclaurin at u, as (half, derivatives) for m = 0 …
    order."""
    half = [0.5 * f * log_u**power for power in range(order + 1)]
    terms = [np.zeros_like(f) for _ in range(order + 1)]
    inverse = 1.0 / u
    for power_of_u, coefficient, (rising, slope, curvature) in _EULER_MACLAURIN:
        weight = coefficient * f * inverse**power_of_u
        value = _polynomial(rising, alpha)
        terms[0] += weight * value
        if order >= 1:
            first = _polynomial(slope, alpha)
            terms[1] += weight * (value * log_u - first)
        if order >= 2:
            terms[2] += weight * ((value * log_u - 2.0 * first) * log_u + _polynomial(curvature, alpha))
    return [half, terms]


def _polynomial(coefficients: list[float], x: FloatArray) -> FloatArray:
    value = np.full_like(x, coefficients[0] if coefficients else 0.0)
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _sums(
    alpha: FloatArray, lower: FloatArray, upper: FloatArray, log_width: FloatArray, discrete: bool, order: int
) -> tuple[list[FloatArray], FloatArray]:
    """Σ or ∫ over [a, b] of e^{−alpha (s − shift)} s^m with s = ln(u/a), and that shift; all of shape (R,).

    ``log_width`` is ln(b/a). Integrals carry du = a e^s ds in units of a.
    """
    shift = np.where(alpha < 0.0, np.where(np.isinf(log_width), 0.0, log_width), 0.0)
    zero = np.zeros_like(alpha)
    if not discrete:
        return _integrals(alpha, zero, log_width, shift, order), shift
    steps = np.arange(_HEAD, dtype=np.float64)
    n_head = np.minimum(np.round(upper - lower) + 1.0, _HEAD)
    inside = steps < n_head[:, np.newaxis]
    s = np.where(inside, np.log1p(steps / lower[:, np.newaxis]), 0.0)
    f = np.where(inside, np.exp(-alpha[:, np.newaxis] * (s - shift[:, np.newaxis])), 0.0)
    sums = [f.sum(axis=1)]
    for _ in range(order):
        f = f * s
        sums.append(f.sum(axis=1))
    # The tail starts at the first term not added; where there is none it is computed and dropped.
    start = lower + _HEAD
    has_tail = upper > start - 0.5
    log_start = np.log1p(_HEAD / lower)
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.where(has_tail, np.log(np.where(has_tail, upper, start) / start), 0.0)
        integrals = _integrals(alpha, log_start, length, shift, order)
        f_start = np.exp(-alpha * (log_start - shift))
        half_start, terms_start = _boundary(alpha, start, log_start, f_start, order)
        end = np.where(np.isinf(upper) | ~has_tail, start, upper)
        log_end = log_start + np.where(np.isinf(length), 0.0, length)
        f_end = np.where(np.isinf(upper), 0.0, np.exp(-alpha * (log_end - shift)))
        half_end, terms_end = _boundary(alpha, end, log_end, f_end, order)
    for power in range(order + 1):
        # du in units of a for the integral; the terms of the sum have unit spacing.
        tail = lower * integrals[power] + half_start[power] + half_end[power] + terms_start[power] - terms_end[power]
        sums[power] = sums[power] + np.where(has_tail, tail, 0.0)
    return sums, shift


def _windows(
    xmin: ArrayLike, xmax: ArrayLike, offset: float, kind: Kind, shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """a, b and ln(b/a), flattened to the given shape."""
    if kind not in ("discrete", "continuous"):
        raise FitError(f"The kind of data must be 'discrete' or 'continuous', not {kind!r}.")
    lower = np.broadcast_to(np.asarray(xmin, dtype=np.float64) + offset, shape).ravel()
    upper = np.broadcast_to(np.asarray(xmax, dtype=np.float64) + offset, shape).ravel()
    if not ((lower > 0.0) & (upper > lower) & np.isfinite(lower)).all():
        raise FitError(
            "Every window must have 0 < xmin + offset < xmax + offset with xmin finite; "
            f"smallest xmin: {np.min(xmin):g}, smallest xmax: {np.min(xmax):g}, offset: {offset:g}."
        )
    # Of a narrow continuous window far from zero ln(b/a) would lose digits; log1p keeps them.
    with np.errstate(over="ignore"):
        ratio = (upper - lower) / lower
    return lower, upper, np.where(np.isfinite(ratio), np.log1p(ratio), np.log(upper) - np.log(lower))


def power_law_moments(
    alpha: ArrayLike, xmin: ArrayLike, xmax: ArrayLike, *, kind: Kind, offset: float = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln Z, E[ln(u/a)] and Var[ln u] of p(u) = u^−alpha/Z on each window; arguments broadcast.

    Raises FitError for windows that are not positive, and for alpha ≤ 1 on an infinite one.
    """
    shape = np.broadcast_shapes(np.shape(alpha), np.shape(xmin), np.shape(xmax))
    lower, upper, log_width = _windows(xmin, xmax, offset, kind, shape)
    exponents = np.broadcast_to(np.asarray(alpha, dtype=np.float64), shape).ravel()
    if (np.isinf(upper) & (exponents <= 1.0)).any():
        raise FitError("On an infinite window a power law needs an exponent above 1; give a finite xmax.")
    discrete = kind == "discrete"
    (zeroth, first, second), shift = _sums(exponents, lower, upper, log_width, discrete, 2)
    mean = first / zeroth
    # u^−alpha = a^−alpha e^{−alpha s}; an integral has another factor a.
    log_norm = np.log(zeroth) - exponents * (np.log(lower) + shift)
    if not discrete:
        log_norm = log_norm + np.log(lower)
    variance = np.maximum(second / zeroth - mean * mean, 0.0)
    return log_norm.reshape(shape), mean.reshape(shape), variance.reshape(shape)


def power_law_exponents(
    n: ArrayLike, sumlog: ArrayLike, xmin: ArrayLike, xmax: ArrayLike, *, kind: Kind, offset: float = 0.0
) -> FloatArray:
    """Maximum-likelihood exponents from sufficient statistics, for any number of resamples at once.

    ``n`` is the number of events in the window (weights of a bootstrap need not be whole) and ``sumlog`` is
    Σ ln(x + offset) over them; both, and the windows, broadcast to the shape returned. Solved by Newton steps
    on ln M(alpha) inside a bracket, to 1e-11. Where no finite exponent exists the answer says so: NaN without
    events, +inf when all lie at xmin, −inf when all lie at xmax.

    Raises FitError for windows that are not positive.
    """
    shape = np.broadcast_shapes(np.shape(n), np.shape(sumlog), np.shape(xmin), np.shape(xmax))
    lower, upper, log_width = _windows(xmin, xmax, offset, kind, shape)
    counts = np.broadcast_to(np.asarray(n, dtype=np.float64), shape).ravel()
    logs = np.broadcast_to(np.asarray(sumlog, dtype=np.float64), shape).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.where(counts > 0.0, logs / counts - np.log(lower), np.nan)
    alpha = np.full(target.shape, np.nan)
    # Σ ln u carries rounding of order 1e-16 |ln u|: closer to an end than this means at the end.
    slack = 1e-14 * (1.0 + np.abs(np.log(lower)) + np.where(np.isinf(log_width), 0.0, log_width))
    alpha[target <= slack] = np.inf
    alpha[target >= log_width - slack] = -np.inf
    open_rows = np.flatnonzero((target > slack) & (target < log_width - slack))
    for first in range(0, open_rows.size, _ROWS_AT_ONCE):
        rows = open_rows[first : first + _ROWS_AT_ONCE]
        alpha[rows] = _solve(target[rows], lower[rows], upper[rows], log_width[rows], kind == "discrete")
    return alpha.reshape(shape)


def _solve(
    target: FloatArray, lower: FloatArray, upper: FloatArray, log_width: FloatArray, discrete: bool
) -> FloatArray:
    """Solve M(alpha) = target in every row."""
    infinite = np.isinf(upper)
    low = np.where(infinite, 1.0, -np.inf)
    high = np.full(target.shape, np.inf)
    # Hill's estimator; for integers the half step below xmin makes it nearly unbiased (Clauset et al. 2009,
    # 3.7).
    # Mirrored for laws that rise towards xmax.
    half_step = 0.5 if discrete else 0.0
    falling = 1.0 + 1.0 / (target + np.log1p(half_step / lower))
    rising = 1.0 - 1.0 / (np.where(infinite, 1.0, log_width - target) + np.log1p(half_step / upper))
    middle = np.where(infinite, np.inf, 0.5 * log_width)
    alpha = np.where(target < middle, falling, rising)
    active = np.arange(target.size)
    for _ in range(_NEWTON_STEPS):
        a = alpha[active]
        t = target[active]
        (zeroth, first, second), _shift = _sums(a, lower[active], upper[active], log_width[active], discrete, 2)
        mean = first / zeroth
        variance = np.maximum(second / zeroth - mean * mean, 1e-300)
        low[active] = np.where(mean > t, a, low[active])
        high[active] = np.where(mean > t, high[active], a)
        # ln M is nearly linear in alpha for steep laws, ln(ln(b/a) − M) for rising ones.
        room = np.where(infinite[active], 1.0, log_width[active] - mean)
        left = np.where(infinite[active], 1.0, log_width[active] - t)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(
                t < middle[active],
                mean / variance * np.log(mean / t),
                -room / variance * np.log(np.maximum(room, 1e-300) / left),
            )
        proposal = a + step
        # At the root rounding may put a step on the wrong side of the bracket: that is the end, not a
        # bisection.
        close = np.abs(step) <= _TOLERANCE * np.maximum(1.0, np.abs(a))
        outside = ~close & ~((proposal > low[active]) & (proposal < high[active]))
        # A step leaves the bracket only over a bound that is finite, and then both are.
        with np.errstate(invalid="ignore"):
            proposal = np.where(outside, 0.5 * (low[active] + high[active]), proposal)
        alpha[active] = np.where(np.isfinite(proposal), proposal, a)
        active = active[~close & np.isfinite(proposal)]
        if active.size == 0:
            break
    return alpha


def power_law_cdf(
    x: ArrayLike, alpha: ArrayLike, xmin: ArrayLike, xmax: ArrayLike, *, kind: Kind, offset: float = 0.0
) -> FloatArray:
    """P(X ≤ x) of the power law on each window: rows of ``x``, shape (R, P) or (P,), for R exponents, shape
    (R,).

    ``alpha``, ``xmin`` and ``xmax`` have shape (R,) or (). x below xmin gives 0, above xmax 1.
    """
    points = np.asarray(x, dtype=np.float64)
    shape = np.broadcast_shapes(np.shape(alpha), np.shape(xmin), np.shape(xmax))
    lower, upper, log_width = _windows(xmin, xmax, offset, kind, shape)
    exponents = np.broadcast_to(np.asarray(alpha, dtype=np.float64), shape).ravel()
    discrete = kind == "discrete"
    rows = np.atleast_2d(points) + offset
    u = np.minimum(np.floor(rows - offset) + offset if discrete else rows, upper[:, np.newaxis])
    a = lower[:, np.newaxis]
    clipped = np.maximum(u, a)
    log_u = np.log1p((clipped - a) / a)
    with np.errstate(over="ignore"):
        log_u = np.where(np.isfinite(log_u), log_u, np.log(clipped) - np.log(a))
    alphas = exponents[:, np.newaxis]
    if not discrete:
        cdf = _exponential_cdf(1.0 - alphas, log_u, log_width[:, np.newaxis])
    else:
        (total,), shift = _sums(exponents, lower, upper, log_width, discrete, 0)
        shifts = shift[:, np.newaxis]
        steps = np.arange(_HEAD, dtype=np.float64)
        s = np.minimum(np.log1p(steps / a), log_width[:, np.newaxis])
        head = np.cumsum(np.exp(-alphas * (s - shifts)), axis=1)
        index = np.minimum(np.round(clipped - a), _HEAD - 1.0).astype(np.intp)
        partial = np.take_along_axis(np.broadcast_to(head, (index.shape[0], _HEAD)), index, axis=1)
        far = clipped - a > _HEAD - 0.5
        if far.any():
            row, column = np.nonzero(far)
            alpha_far = np.broadcast_to(alphas, far.shape)[row, column]
            shift_far = np.broadcast_to(shifts, far.shape)[row, column]
            a_far = np.broadcast_to(a, far.shape)[row, column]
            end = clipped[row, column]
            start = a_far + _HEAD
            log_start = np.log1p(_HEAD / a_far)
            log_end = log_u[row, column]
            length = np.maximum(log_end - log_start, 0.0)
            (integral,) = _integrals(alpha_far, log_start, length, shift_far, 0)
            f_start = np.exp(-alpha_far * (log_start - shift_far))
            f_end = np.exp(-alpha_far * (log_end - shift_far))
            (half_start,), (terms_start,) = _boundary(alpha_far, start, log_start, f_start, 0)
            (half_end,), (terms_end,) = _boundary(alpha_far, end, log_end, f_end, 0)
            partial[row, column] += a_far * integral + half_start + half_end + terms_start - terms_end
        cdf = partial / total[:, np.newaxis]
    cdf = np.where(u < a, 0.0, np.clip(cdf, 0.0, 1.0))
    return cdf.reshape(np.broadcast_shapes(points.shape, (*shape, 1))) if shape else cdf.reshape(points.shape)


def _exponential_cdf(kappa: FloatArray, s: FloatArray, width: FloatArray) -> FloatArray:
    """(e^{kappa s} − 1)/(e^{kappa width} − 1): s = ln(u/a) of the continuous law is exponential, cut at
    ``width``."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        falling = np.expm1(kappa * s) / np.expm1(kappa * width)
        if (kappa * np.minimum(width, 1e300) < -1e-12).all():
            return falling
        rising = np.exp(kappa * (s - width)) * np.expm1(-kappa * s) / np.expm1(-kappa * width)
        flat = np.abs(kappa * width) <= 1e-12
        return np.where(flat, s / width, np.where(kappa > 0.0, rising, falling))
