"""Mean-field theory of signal propagation at infinite width.

Layers 1 ... L with h_l = W x_{l-1} + b, x_l = phi(h_l), W_ij ~ N(0, sigma_w^2/fan-in), b_i ~ N(0, sigma_b^2):

    q_l = sigma_w^2 m_{l-1} + sigma_b^2          variance of the pre-activations
    m_l = M(q_l) = E phi(sqrt(q_l) z)^2          mean square activation, m_0 that of the input

(Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232). The order parameters are m,
rms = sqrt(m) and abs = E abs(x); a susceptibility is the derivative of one of them with respect to sigma_w.
Arrays of sigma_w and sigma_b broadcast against each other. All quantities are dimensionless; depths are in
layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from quasicrit.errors import TheoryError
from quasicrit.theory.activations import (
    Activation,
    Moments,
    gaussian_means,
    get_activation,
    half_line_nodes,
    moments,
    quadrature_tier,
)

__all__ = [
    "CRITICAL_TOLERANCE",
    "FixedPoint",
    "Order",
    "Phase",
    "Ridge",
    "Susceptibility",
    "Trajectory",
    "chi_1",
    "correlation_fixed_point",
    "correlation_map",
    "correlation_slope",
    "depth_ridge",
    "edge_of_chaos",
    "fixed_point",
    "j0",
    "mean_abs",
    "phase",
    "propagate",
    "ridge",
    "susceptibility",
    "variance_map",
    "xi_c",
    "xi_q",
]

Floats = NDArray[np.float64]
Order = Literal["m", "rms", "abs"]
Phase = Literal["ordered", "critical", "chaotic"]

CRITICAL_TOLERANCE = 1e-9
"""A multiplier (chi_1, the slope of a map) this close to one counts as critical: its length is infinite."""

_LARGEST = 1e4  # of sigma_w, sigma_b and sqrt(m_0): keeps q within the range that the quadrature resolves
_GRID = np.logspace(-20.0, 16.0, 289)


@dataclass(frozen=True)
class FixedPoint:
    """Stationary variance ``q`` of the pre-activations and mean square ``m`` of the activations.

    Infinite where the signal grows without bound, zero where it dies; each has the broadcast shape of
    (sigma_w, sigma_b, m0).
    """

    q: Floats
    m: Floats


@dataclass(frozen=True)
class Susceptibility:
    """Derivatives of the three order parameters with respect to sigma_w, each of the broadcast shape.

    Infinite where an order parameter has a vertical tangent, nan where it has no derivative.
    """

    m: Floats
    rms: Floats
    abs: Floats


@dataclass(frozen=True)
class Ridge:
    """The sigma_w at which a susceptibility is largest for given sigma_b, and its value there."""

    sigma_w: float
    susceptibility: float


@dataclass(frozen=True)
class Trajectory:
    """A signal followed through L layers; the first axis is the layer, the others the broadcast parameters.

    ``q``, ``chi_1``: shape (L, ...), layers 1 ... L. ``m``, ``m_slope`` = dm_l/dsigma_w: shape (L+1, ...),
    layers 0 ... L. ``mean_abs``: E abs(x_L). ``log_jacobian``: ln J^2(L), the sum over layers of ln
    chi_1(q_l). ``susceptibility``: of layer L. From the first layer on whose m exceeds 1e200, m is infinite.
    """

    q: Floats
    m: Floats
    m_slope: Floats
    chi_1: Floats
    mean_abs: Floats
    log_jacobian: Floats
    susceptibility: Susceptibility


# Input checks ---------------------------------------------------------------------------------------------


def _parameter(name: str, value: ArrayLike, largest: float = _LARGEST) -> Floats:
    """``value`` as an array of floats, if each lies in the range of the parameter ``name``, up to ``largest``."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TheoryError(f"{name} = {value!r} is not a number.") from None
    bad = ~(((array >= 0.0) if name == "sigma_b" else (array > 0.0)) & (array <= largest))
    if np.any(bad):
        bound = "at least 0" if name == "sigma_b" else "above 0"
        raise TheoryError(f"{name} = {array[bad].flat[0]} is impossible: it must be {bound} and at most {largest:g}.")
    return array


def _parameters(sigma_w: ArrayLike, sigma_b: ArrayLike, m0: ArrayLike) -> tuple[Floats, Floats, Floats]:
    w, b, start = _parameter("sigma_w", sigma_w), _parameter("sigma_b", sigma_b), _parameter("m0", m0, _LARGEST**2)
    try:
        w, b, start = np.broadcast_arrays(w, b, start)
    except ValueError:
        raise TheoryError(
            f"shapes of sigma_w {w.shape}, sigma_b {b.shape} and m0 {start.shape} do not broadcast together."
        ) from None
    return w, b, start


def check_depth(depth: int) -> int:
    """Return ``depth`` if it is an integer >= 1, else raise TheoryError."""
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise TheoryError(f"depth = {depth!r} is impossible: it must be a whole number of layers, at least 1.")
    return int(depth)


def _check_order(order: str) -> None:
    if order not in get_args(Order):
        raise TheoryError(f"order {order!r} is not known: choose one of {', '.join(get_args(Order))}.")


def scalar_parameter(name: str, value: float, largest: float = _LARGEST) -> float:
    """``value`` as a float, if it is a single number in the range of the parameter ``name``, up to ``largest``."""
    array = _parameter(name, value, largest)
    if array.ndim:
        raise TheoryError(f"{name} must be a single number here, not an array of shape {array.shape}.")
    return float(array)


# Fixed point ----------------------------------------------------------------------------------------------


def variance_map(activation: str | Activation, q: ArrayLike) -> Floats:
    """M(q) = E phi(sqrt(q) z)^2 for each variance q >= 0 (any shape)."""
    act = get_activation(activation)
    return gaussian_means(lambda x: (act.phi(x) ** 2,), q, even=act.odd)[0][()]


def mean_abs(activation: str | Activation, q: ArrayLike) -> Floats:
    """E abs(phi(sqrt(q) z)) for each variance q >= 0 (any shape)."""
    act = get_activation(activation)
    return gaussian_means(lambda x: (np.abs(act.phi(x)),), q, even=act.odd)[0][()]


@lru_cache(maxsize=32)
def _grid_map(activation: Activation) -> Floats:
    return np.asarray(variance_map(activation, _GRID))


def _bracket(activation: Activation, w2: Floats, b2: Floats, q0: Floats) -> tuple[Floats, Floats]:
    """Bounds of the first fixed point that the monotone iteration of q -> w2 M(q) + b2 meets from q0.

    M increases, so the iterates move one way and stop at the nearest fixed point on that side: the next
    change of sign of the excess w2 M(q) + b2 - q. Returns (low, high) with excess(low) >= 0 >= excess(high);
    low = 0 if the signal dies (no fixed point above), high = infinity if it grows without bound.
    """
    excess = w2[:, None] * _grid_map(activation) + b2[:, None] - _GRID
    excess0 = w2 * variance_map(activation, q0) + b2 - q0
    index = np.arange(_GRID.size)
    below = (excess > 0.0) & (q0[:, None] > _GRID)
    last = np.where(below, index, -1).max(axis=1)
    down_low = np.where(last >= 0, _GRID[last], b2)
    down_high = np.minimum(q0, _GRID[np.minimum(last + 1, _GRID.size - 1)])
    down_high = np.where(last == _GRID.size - 1, q0, down_high)
    above = (excess <= 0.0) & (q0[:, None] < _GRID)
    first = np.where(above, index, _GRID.size).min(axis=1)
    up_high = np.where(first < _GRID.size, _GRID[np.minimum(first, _GRID.size - 1)], np.inf)
    up_low = np.where(first < _GRID.size, np.maximum(q0, _GRID[np.maximum(first - 1, 0)]), q0)
    low = np.where(excess0 > 0.0, up_low, np.where(excess0 < 0.0, down_low, q0))
    high = np.where(excess0 > 0.0, up_high, np.where(excess0 < 0.0, down_high, q0))
    return low, high


def _solve(activation: Activation, w2: Floats, b2: Floats, low: Floats, high: Floats) -> Floats:
    """Root of w2 M(q) + b2 = q in [low, high]: Newton's method in ln q, kept inside a shrinking bracket."""

    def map_and_slope(x: Floats) -> tuple[Floats, ...]:
        phi = activation.phi(x)
        return phi * phi, phi * activation.dphi(x) * x

    low, high = np.log(low), np.log(high)
    x = 0.5 * (low + high)
    active = np.arange(x.size)
    for _ in range(80):
        q = np.exp(x[active])
        square, tilt = gaussian_means(map_and_slope, q, even=activation.odd)
        excess = w2[active] * square + b2[active] - q
        rising = excess > 0.0
        low[active] = np.where(rising, x[active], low[active])
        high[active] = np.where(rising, high[active], x[active])
        # d(excess)/d(ln q) = w2 q M'(q) - q, and q M'(q) = E[phi phi' x]
        slope = w2[active] * tilt - q
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x[active] - excess / slope
        inside = (new >= low[active]) & (new <= high[active])
        new = np.where(inside, new, 0.5 * (low[active] + high[active]))
        moved = np.abs(new - x[active]) > 1e-15 * (1.0 + np.abs(new))
        x[active] = new
        active = active[moved]
        if active.size == 0:
            break
    return np.exp(x)


def _is_critical(multiplier: ArrayLike) -> NDArray[np.bool_]:
    return np.abs(np.asarray(multiplier) - 1.0) < CRITICAL_TOLERANCE


def fixed_point(
    activation: str | Activation, sigma_w: ArrayLike, sigma_b: ArrayLike, m0: ArrayLike = 1.0
) -> FixedPoint:
    """The fixed point (q*, m*) that a signal of strength ``m0`` settles at: q* = sigma_w^2 M(q*) + sigma_b^2.

    It is zero where the signal dies (sigma_b = 0 in the ordered phase, the critical point included) and
    infinite where it grows without bound, as for relu at sigma_w^2 > 2, or at sigma_w^2 = 2 with biases
    (fixed points above q = 1e16 count as infinite). A homogeneous activation at sigma_b = 0 is degenerate on
    its critical line (relu: sigma_w = sqrt 2; leaky relu: sqrt(2/(1 + a^2)); linear: 1): every q is a fixed
    point there, and the signal stays at m* = m0.

    Raises TheoryError unless 0 < sigma_w <= 1e4, 0 <= sigma_b <= 1e4, 0 < m0 <= 1e8.
    """
    act = get_activation(activation)
    w, b, start = _parameters(sigma_w, sigma_b, m0)
    w2, b2 = w * w, b * b
    if act.homogeneous:
        gain = w2 * act.gain
        critical = _is_critical(gain)
        with np.errstate(divide="ignore", invalid="ignore"):
            q = np.where((gain < 1.0) & ~critical, b2 / (1.0 - gain), np.inf)
        q = np.where(critical & (b2 == 0.0), w2 * start, q)
        m = np.where(critical & (b2 == 0.0), start, q * act.gain)
        return FixedPoint(q=q[()], m=m[()])

    shape = w.shape
    w2, b2, q0 = w2.ravel(), b2.ravel(), (w2 * start + b2).ravel()
    q = np.empty(w2.size)
    for begin in range(0, w2.size, 4096):  # the table of signs has 289 columns: bound its memory
        part = slice(begin, begin + 4096)
        low, high = _bracket(act, w2[part], b2[part], q0[part])
        values = np.where(np.isinf(high), np.inf, 0.0)
        todo = np.flatnonzero((low > 0.0) & np.isfinite(high))
        values[todo] = _solve(act, w2[part][todo], b2[part][todo], low[todo], high[todo])
        q[part] = values
    # A saturating signal at sigma_b = 0 dies up to and at sigma_w slope = 1; the table cannot tell at the
    # point.
    if act.saturating:
        dies = (b2 == 0.0) & (w2 * act.gain <= 1.0 + 1e-15)
        q = np.where(dies, 0.0, q)
    with np.errstate(invalid="ignore"):
        m = np.where(q > 0.0, (q - b2) / w2, 0.0)
        # Where the bias dominates, q - b2 cancels, and M(q) is the accurate way.
        finite = np.isfinite(q) & (q > 0.0)
        m[finite] = variance_map(act, q[finite])
    return FixedPoint(q=q.reshape(shape)[()], m=m.reshape(shape)[()])


def _stationary(activation: Activation, q: Floats) -> Moments:
    """Moments at q, nan where q is infinite."""
    finite = np.isfinite(q)
    values = moments(activation, np.where(finite, q, 1.0))
    return Moments(
        *(
            np.where(finite, getattr(values, name), np.nan)
            for name in ("mean_square", "mean_square_slope", "slope_square", "mean_abs", "mean_abs_slope")
        )
    )


# Stability, lengths, phase --------------------------------------------------------------------------------


def chi_1(activation: str | Activation, sigma_w: ArrayLike, sigma_b: ArrayLike, m0: ArrayLike = 1.0) -> Floats:
    """chi_1 = sigma_w^2 E phi'(sqrt(q*) z)^2 at the fixed point, the growth of small differences per layer.

    nan where q* is infinite, except for homogeneous activations, whose chi_1 does not depend on q.
    """
    act = get_activation(activation)
    w, b, start = _parameters(sigma_w, sigma_b, m0)
    if act.homogeneous:
        return (w * w * act.gain)[()]
    q = np.asarray(fixed_point(act, w, b, start).q)
    return (w * w * _stationary(act, q).slope_square)[()]


def phase_of(chi: float) -> Phase:
    """The phase that belongs to a value of chi_1."""
    if _is_critical(chi):
        return "critical"
    return "ordered" if chi < 1.0 else "chaotic"


def phase(activation: str | Activation, sigma_w: float, sigma_b: float, m0: float = 1.0) -> Phase:
    """'ordered' (chi_1 < 1), 'chaotic' (> 1) or 'critical' (abs(chi_1 - 1) < 1e-9).

    Raises TheoryError where chi_1 does not exist because the signal grows without bound.
    """
    chi = float(chi_1(activation, scalar_parameter("sigma_w", sigma_w), scalar_parameter("sigma_b", sigma_b), m0))
    if np.isnan(chi):
        raise TheoryError(
            f"there is no phase at sigma_w = {sigma_w}, sigma_b = {sigma_b}: the signal grows without bound."
        )
    return phase_of(chi)


def length(multiplier: float) -> float:
    """-1/ln(multiplier) in layers; infinite at criticality, nan if the multiplier is nan or above one."""
    if _is_critical(multiplier):
        return np.inf
    if not 0.0 < multiplier < 1.0:
        return 0.0 if multiplier == 0.0 else np.nan
    return float(-1.0 / np.log(multiplier))


def xi_q(activation: str | Activation, sigma_w: float, sigma_b: float, m0: float = 1.0) -> float:
    """xi_q = -1/ln(sigma_w^2 M'(q*)), the layers over which the signal strength settles.

    Infinite at criticality, nan where q* is infinite.
    """
    act = get_activation(activation)
    w = scalar_parameter("sigma_w", sigma_w)
    q = np.asarray(fixed_point(act, w, scalar_parameter("sigma_b", sigma_b), m0).q)
    return length(float(w * w * _stationary(act, q).mean_square_slope))


@lru_cache(maxsize=64)
def _polar_nodes(tier: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Radial nodes with weights r exp(-r^2/2) dr, and nodes and weights on (0, 1) graded towards zero."""
    radius, weights = half_line_nodes(tier)
    edges = np.concatenate([[0.0], 0.5 ** np.arange(6 + 3 * tier, -1, -1)])
    nodes, node_weights = np.polynomial.legendre.leggauss(12)
    half_widths = np.diff(edges)[:, None] / 2.0
    fraction = (edges[:-1, None] + half_widths * (1.0 + nodes)).ravel()
    fraction_weights = (half_widths * node_weights).ravel()
    return radius, weights * radius * np.exp(-0.5 * radius * radius), fraction, fraction_weights


def pair_mean(function: Callable[[Floats, Floats], Floats], q: float, deficit: float, *, even: bool) -> float:
    """E f(u, v) for u, v ~ N(0, q) of correlation 1 - deficit in [0, 1], f symmetric in its two arguments.

    In polar coordinates u = s r cos(t), v = s r cos(t - angle): kinks at u = 0 or v = 0 are rays, which bound
    the sectors where u and v have equal signs (pi - angle) and opposite signs (angle). The symmetry of f maps
    each sector's halves onto each other, so it is integrated from its edge to its middle, with panels halved
    towards the edge. The arguments are formed from the angle to the edge, so that nothing cancels when
    deficit -> 0. ``even``: f(-u, -v) = f(u, v).
    """
    s = np.sqrt(q)
    radius, radial_weights, fraction, fraction_weights = _polar_nodes(int(quadrature_tier(s)))
    angle = 2.0 * np.arcsin(np.sqrt(deficit / 2.0))
    total = 0.0
    for width, sign in ((np.pi - angle, 1.0), (angle, -1.0)):
        edge = 0.5 * width * fraction
        u = s * radius * np.sin(edge)[:, None]
        v = s * radius * np.sin(edge + sign * angle)[:, None]
        values = 2.0 * function(u, v) if even else function(u, v) + function(-u, -v)
        inner = (values * radial_weights).sum(axis=1)
        total += width * float((inner * fraction_weights).sum())
    return total / (2.0 * np.pi)


def correlation_map(activation: str | Activation, sigma_w: float, sigma_b: float, c: float, q: float) -> float:
    """C(c) = [sigma_w^2 E phi(u) phi(v) + sigma_b^2]/q for u, v ~ N(0, q) of correlation c in [0, 1].

    At the fixed point q = q*, C(1) = 1 (Poole et al. 2016). ``q`` > 0 and finite.
    """
    act = get_activation(activation)
    w, b = scalar_parameter("sigma_w", sigma_w), scalar_parameter("sigma_b", sigma_b)
    deficit = _deficit(c, q)
    product = pair_mean(lambda u, v: act.phi(u) * act.phi(v), q, deficit, even=act.odd)
    return (w * w * product + b * b) / q


def correlation_slope(activation: str | Activation, sigma_w: float, c: float, q: float) -> float:
    """C'(c) = sigma_w^2 E phi'(u) phi'(v), u, v ~ N(0, q) of correlation c in [0, 1]; C'(1) = chi_1 at q*."""
    act = get_activation(activation)
    return _correlation_slope(act, scalar_parameter("sigma_w", sigma_w), _deficit(c, q), q)


def _correlation_slope(activation: Activation, sigma_w: float, deficit: float, q: float) -> float:
    product = pair_mean(lambda u, v: activation.dphi(u) * activation.dphi(v), q, deficit, even=activation.odd)
    return sigma_w * sigma_w * product


def _deficit(c: float, q: float) -> float:
    if not 0.0 < q < np.inf:
        raise TheoryError(f"variance q = {q} is impossible in a correlation map: it must be above 0 and finite.")
    if not 0.0 <= c <= 1.0:
        raise TheoryError(f"correlation c = {c} is impossible: it must lie between 0 and 1.")
    return 1.0 - c


def _stable_deficit(activation: Activation, sigma_w: float, q: float, chi: float) -> float:
    """1 - c* of the stable fixed point of the correlation map at q* = q, where chi_1 = chi."""
    if chi < 1.0 or _is_critical(chi):
        return 0.0

    def chord(log_deficit: float) -> float:
        # [1 - C(c)]/(1 - c) - 1 with 1 - C = sigma_w^2 E (phi(u) - phi(v))^2/(2 q): no cancellation near c =
        # 1. C is convex on [0, 1], so this falls from chi_1 - 1 at c = 1 to -C(0) at c = 0: one root.
        deficit = float(np.exp(log_deficit))
        distance = pair_mean(lambda u, v: (activation.phi(u) - activation.phi(v)) ** 2, q, deficit, even=activation.odd)
        return sigma_w * sigma_w * distance / (2.0 * q * deficit) - 1.0

    if chord(0.0) > -1e-13:  # C(0) = 0: an odd phi without bias
        return 1.0
    lowest = float(np.log(1e-14))
    if chord(lowest) <= 0.0:
        return 0.0
    return float(np.exp(brentq(chord, lowest, 0.0, xtol=1e-13, rtol=1e-14)))


def correlation_fixed_point(activation: str | Activation, sigma_w: float, sigma_b: float, m0: float = 1.0) -> float:
    """c*, the correlation that two inputs settle at: 1 in the ordered phase, below 1 in the chaotic one.

    nan where q* is infinite.
    """
    act = get_activation(activation)
    w = scalar_parameter("sigma_w", sigma_w)
    q = float(fixed_point(act, w, scalar_parameter("sigma_b", sigma_b), m0).q)
    if not np.isfinite(q):
        return np.nan
    return 1.0 - _stable_deficit(act, w, q, float(chi_1(act, w, sigma_b, m0)))


def xi_c(activation: str | Activation, sigma_w: float, sigma_b: float, m0: float = 1.0) -> float:
    """xi_c = -1/ln C'(c*), the layers over which the correlation of two inputs settles.

    C'(c*) = chi_1 in the ordered phase (c* = 1). Infinite at criticality, nan where q* is infinite.
    """
    act = get_activation(activation)
    w = scalar_parameter("sigma_w", sigma_w)
    q = float(fixed_point(act, w, scalar_parameter("sigma_b", sigma_b), m0).q)
    if not np.isfinite(q):
        return np.nan
    chi = float(chi_1(act, w, sigma_b, m0))
    deficit = _stable_deficit(act, w, q, chi)
    if deficit == 0.0:
        return length(min(chi, 1.0))  # chi exceeds 1 here only if c* is too close to 1 to be resolved
    return length(_correlation_slope(act, w, deficit, q))


def edge_of_chaos(activation: str | Activation, sigma_b: float) -> float:
    """The sigma_w at which chi_1 = 1 at the fixed point that a signal m0 = 1 settles at.

    chi_1 = 1 means sigma_w^2 = 1/D(q), D = E phi'(sqrt(q) z)^2, and then sigma_b^2 = q - M(q)/D(q): one
    equation for q, whose right side increases. Homogeneous activations have D constant and the same edge for
    every sigma_b (relu: sqrt 2), although with biases q* is infinite on it.

    Raises TheoryError where there is none: gelu and silu reach chi_1 = 1 at small sigma_b only at an unstable
    fixed point, from which the signal dies or grows.
    """
    act = get_activation(activation)
    b = scalar_parameter("sigma_b", sigma_b)
    if act.homogeneous or (act.saturating and b == 0.0):
        return 1.0 / act.slope
    reason = (
        f"{act.name} has no edge of chaos at sigma_b = {b:g}: chi_1 = 1 is met only at an unstable "
        "fixed point, where the signal dies or grows; take a larger sigma_b, or a saturating activation."
    )
    if b == 0.0:
        raise TheoryError(reason)

    def excess(log_q: float) -> float:
        values = moments(act, np.exp(log_q))
        return float(np.exp(log_q) - values.mean_square / values.slope_square) - b * b

    # q >= sigma_b^2 because M >= 0, and the excess is negative there.
    low, high = 2.0 * np.log(b), 2.0 * np.log(b) + 1.0
    while excess(high) < 0.0:
        high += 2.0
    q = float(np.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-15)))
    sigma_w = float(1.0 / np.sqrt(moments(act, q).slope_square))
    if not act.saturating and not np.isclose(fixed_point(act, sigma_w, b).q, q, rtol=1e-6):
        raise TheoryError(reason)
    return sigma_w


# Susceptibilities -----------------------------------------------------------------------------------------


def susceptibility(
    activation: str | Activation, sigma_w: ArrayLike, sigma_b: ArrayLike, m0: ArrayLike = 1.0
) -> Susceptibility:
    """Stationary susceptibilities: derivatives of m*, sqrt(m*) and E abs(x) at the fixed point by sigma_w.

    Implicit differentiation of m* = M(sigma_w^2 m* + sigma_b^2) gives, exactly,

        dq*/dsigma_w = 2 sigma_w m*/(1 - sigma_w^2 M'(q*)),
        dm* = M' dq*,   d rms = dm*/(2 rms),   dA = A' dq*.

    All are zero where the signal dies. At the critical point of sigma_b = 0 those of rms and abs are
    infinite, and that of m, which jumps, is nan. On the degenerate critical line of a homogeneous activation
    all are infinite. nan where the fixed point is infinite.
    """
    act = get_activation(activation)
    w, b, start = _parameters(sigma_w, sigma_b, m0)
    point = fixed_point(act, w, b, start)
    q, m = np.asarray(point.q), np.asarray(point.m)
    values = _stationary(act, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        q_slope = 2.0 * w * m / (1.0 - w * w * values.mean_square_slope)
        m_slope = values.mean_square_slope * q_slope
        rms_slope = m_slope / (2.0 * np.sqrt(m))
        abs_slope = values.mean_abs_slope * q_slope
    dead = q == 0.0
    at_critical = (b == 0.0) & _is_critical(w * w * act.gain)
    if act.homogeneous:
        m_slope, rms_slope, abs_slope = (
            np.where(at_critical, np.inf, value) for value in (m_slope, rms_slope, abs_slope)
        )
    at_critical = at_critical & dead
    m_slope = np.where(dead, np.where(at_critical, np.nan, 0.0), m_slope)
    rms_slope = np.where(dead, np.where(at_critical, np.inf, 0.0), rms_slope)
    abs_slope = np.where(dead, np.where(at_critical, np.inf, 0.0), abs_slope)
    return Susceptibility(m=m_slope[()], rms=rms_slope[()], abs=abs_slope[()])


def _no_ridge(activation: Activation) -> str:
    return (
        f"the susceptibility of {activation.name} has no peak, because its signal has no ceiling: "
        "use chi_1 = 1 (edge_of_chaos) instead."
    )


def _maximum(function: Callable[[Floats], Floats], low: float, high: float, points: int = 120) -> Ridge:
    """Maximum of a vectorised function of sigma_w with one peak in [low, high].

    A logarithmic grid, then ever narrower ones around the best point until the values differ by 1e-8, when
    the vertex of the parabola through the best three is exact to about 1e-8 of their spacing.
    """
    x = np.geomspace(low, high, points)
    for _ in range(30):
        y = function(x)
        best = int(np.argmax(y))
        if best in (0, x.size - 1):
            raise TheoryError(f"no peak of the susceptibility was found for sigma_w between {low:g} and {high:g}.")
        left, right = y[best - 1], y[best + 1]
        if max(y[best] - left, y[best] - right) < 1e-8 * y[best]:
            break
        x = np.linspace(x[best - 1], x[best + 1], 17)
    spacing_left, spacing_right = x[best] - x[best - 1], x[best + 1] - x[best]
    rise, fall = (y[best] - left) / spacing_left, (right - y[best]) / spacing_right
    curvature = (fall - rise) / (spacing_left + spacing_right)
    slope = (rise * spacing_right + fall * spacing_left) / (spacing_left + spacing_right)
    step = -slope / (2.0 * curvature)
    return Ridge(sigma_w=float(x[best] + step), susceptibility=float(y[best] + 0.5 * slope * step))


def ridge(activation: str | Activation, order: Order, sigma_b: float) -> Ridge:
    """The Widom-like line: the sigma_w that maximises the stationary susceptibility of ``order`` at sigma_b.

    At sigma_b = 0 the ridges of rms and abs end in the critical point, sigma_w = 1/phi'(0), with infinite
    susceptibility. Raises TheoryError for an activation that does not saturate, and for order m at sigma_b =
    0, where the susceptibility jumps at the critical point and has no smooth maximum.
    """
    act = get_activation(activation)
    _check_order(order)
    b = scalar_parameter("sigma_b", sigma_b)
    if not act.saturating:
        raise TheoryError(_no_ridge(act))
    if b == 0.0:
        if order == "m":
            raise TheoryError(
                "the susceptibility of m has no smooth maximum at sigma_b = 0, where it jumps at the "
                "critical point: take sigma_b > 0."
            )
        return Ridge(sigma_w=1.0 / act.slope, susceptibility=np.inf)
    return _maximum(lambda w: getattr(susceptibility(act, w, b), order), 0.3 / act.slope, 30.0 / act.slope)


# Finite depth ---------------------------------------------------------------------------------------------

_OVERFLOW = 1e200


def propagate(
    activation: str | Activation, sigma_w: ArrayLike, sigma_b: ArrayLike, depth: int, m0: ArrayLike = 1.0
) -> Trajectory:
    """Follow the mean-field map, and its derivative by sigma_w, through ``depth`` layers from ``m0``.

        q_l = sigma_w^2 m_{l-1} + sigma_b^2,   dq_l = 2 sigma_w m_{l-1} + sigma_w^2 dm_{l-1},
        m_l = M(q_l),   dm_l = M'(q_l) dq_l,   dm_0 = 0.

    Raises TheoryError as ``fixed_point``, and for a depth that is not a whole number >= 1.
    """
    act = get_activation(activation)
    depth = check_depth(depth)
    w, b, start = _parameters(sigma_w, sigma_b, m0)
    shape = w.shape
    q, chi = np.empty((depth, *shape)), np.empty((depth, *shape))
    m, m_slope = np.empty((depth + 1, *shape)), np.zeros((depth + 1, *shape))
    m[0] = start
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for layer in range(depth):
            q[layer] = w * w * m[layer] + b * b
            q_slope = 2.0 * w * m[layer] + w * w * m_slope[layer]
            grown = ~(q[layer] < _OVERFLOW)
            values = moments(act, np.where(grown, _OVERFLOW, q[layer]))
            chi[layer] = w * w * values.slope_square
            m[layer + 1] = np.where(grown, np.inf, values.mean_square)
            m_slope[layer + 1] = np.where(grown, np.inf, values.mean_square_slope * q_slope)
        rms_slope = np.where(m[-1] > 0.0, m_slope[-1] / (2.0 * np.sqrt(m[-1])), 0.0)
        abs_slope = np.where(q[-1] > 0.0, values.mean_abs_slope * q_slope, 0.0)
    result = Susceptibility(
        m=m_slope[-1][()],
        rms=np.where(grown, np.inf, rms_slope)[()],
        abs=np.where(grown, np.inf, abs_slope)[()],
    )
    absolute = np.where(grown, np.inf, values.mean_abs)[()]
    return Trajectory(q, m, m_slope, chi, absolute, np.log(chi).sum(axis=0)[()], result)


def j0(activation: str | Activation, depth: int, sigma_b: float, m0: float = 1.0) -> float:
    """J0(L), the edge of chaos at depth: the smallest sigma_w at which ln J^2 = sum_l ln chi_1(q_l) = 0.

    Raises TheoryError if ln J^2 does not change sign for sigma_w slope between 0.1 and 1000.
    """
    act = get_activation(activation)
    depth = check_depth(depth)
    b = scalar_parameter("sigma_b", sigma_b)
    grid = np.geomspace(0.1, 1e3, 93) / act.slope
    values = propagate(act, grid, b, depth, m0).log_jacobian
    rising = np.flatnonzero((values[:-1] < 0.0) & (values[1:] >= 0.0))
    if rising.size == 0:
        raise TheoryError(
            f"ln J^2 of {act.name} at depth {depth}, sigma_b = {b:g} has no zero for sigma_w between "
            f"{grid[0]:g} and {grid[-1]:g}: take a smaller sigma_b."
        )
    low, high = grid[rising[0]], grid[rising[0] + 1]

    def log_jacobian(sigma_w: float) -> float:
        return float(propagate(act, sigma_w, b, depth, m0).log_jacobian)

    return float(brentq(log_jacobian, low, high, xtol=1e-13, rtol=1e-13))


def depth_ridge(activation: str | Activation, order: Order, depth: int, sigma_b: float, m0: float = 1.0) -> Ridge:
    """The sigma_w that maximises the susceptibility of layer ``depth`` for an input of strength ``m0``.

    Raises TheoryError for an activation that does not saturate: its susceptibility grows with sigma_w for
    ever.
    """
    act = get_activation(activation)
    _check_order(order)
    depth = check_depth(depth)
    b = scalar_parameter("sigma_b", sigma_b)
    if not act.saturating:
        raise TheoryError(_no_ridge(act))
    return _maximum(
        lambda w: getattr(propagate(act, w, b, depth, m0).susceptibility, order),
        0.2 / act.slope,
        30.0 / act.slope,
        points=90,
    )
