"""How well do scaled data fall on one curve? A Gaussian-process master curve, by its likelihood.

Data v_i with errors e_i are said to be v = o(θ) + s(θ) F(x(θ)) + noise: θ are the exponents and the critical point, x the
scaled abscissa, s and o a known factor and term, F an unknown smooth curve. With a Gaussian-process prior for F,
of amplitude a about an unknown constant and of Matérn-5/2 correlation over the length ℓ,

    v − o ~ N(0, C),   C = diag(s) [a² M(|x_i − x_j|/ℓ) + c²] diag(s) + (1 + k²) diag(e²),

and the likelihood is that of the data as they are given, so that no choice of θ gains by shrinking them. k is what the
collapse is worse than its errors allow. Corrections to scaling, F(x) + L^−ω G(x), add
b² L_i^−ω L_j^−ω [M(|x_i − x_j|/ℓ) + 1], L relative to the smallest. θ and (a, ℓ, k, b, ω), these with wide normal priors on
their logarithms, maximise it together; errors are those of the quadratic form at the maximum.
Sources: Harada 2011, Phys. Rev. E 84, 056704 (Gaussian process); Houdayer and Hartmann 2004, Phys. Rev. B 70, 014418 (S).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from quasicrit.errors import FitError

__all__ = ["MasterCurve", "Scaled", "collapse_quality", "fit_master_curve"]

FloatArray = NDArray[np.float64]

#: Normal priors, (mean, s.d.), of ln a, ln ℓ, ln k, ln b and ln ω: wide, so that the data decide where they can. Amplitudes are in
#: units of the typical value, ℓ in standard deviations of the scaled abscissa. Data of a decade of sizes hardly know ω.
_PRIORS = ((0.0, 2.0), (0.0, 1.0), (-2.0, 1.5), (-2.0, 1.5), (0.0, 0.5))
#: Bounds in standard deviations about the mean.
_REACH = 4.0
#: Of the curve's unknown constant, in typical values squared; and the cost of parameters that cannot be.
_FLAT_VARIANCE, _IMPOSSIBLE = 100.0, 1e12
_STARTS = 3
_ROUNDS = 8
#: ln b to start from.
_SHARES = (-4.0, -2.0, 0.0)


@dataclass(frozen=True)
class Scaled:
    """The data under one θ: abscissa ``x``, ``factor`` s and ``term`` o; arrays (n,).

    With a ``weight`` w the curve is w(x) F(x) about an unknown constant of each size, instead of one for all: it is
    known to vanish where w does.
    """

    x: FloatArray
    factor: FloatArray
    term: FloatArray
    weight: FloatArray | None = None


@dataclass(frozen=True)
class MasterCurve:
    """``parameters`` θ, their ``covariance``, the ``quality`` S (of corrected values), and ``omega`` of corrections."""

    parameters: FloatArray
    covariance: FloatArray
    quality: float
    omega: float | None


def fit_master_curve(
    scale: Callable[[FloatArray], Scaled],
    size: FloatArray,
    value: FloatArray,
    error: FloatArray,
    *,
    starts: Sequence[FloatArray],
    steps: FloatArray,
    limits: Sequence[tuple[float, float]],
    corrections: bool = False,
) -> MasterCurve:
    """Maximise the likelihood over θ, from the best of ``starts`` by S; ``steps`` are natural units of θ,
    ``limits`` its bounds.

    ``size``, ``value``, ``error``: (n,). Raises FitError when no start can be evaluated, or the maximum has no curvature.
    """
    ranked = sorted((_start_quality(scale, size, value, error, start), index) for index, start in enumerate(starts))
    ranked = [entry for entry in ranked if math.isfinite(entry[0])]
    if not ranked:
        raise FitError("the scaled curves of different sizes do not overlap for any starting values")
    count = len(steps)
    bounds = [(low / step, high / step) for (low, high), step in zip(limits, steps)]
    bounds += [(mean - _REACH * sd, mean + _REACH * sd) for mean, sd in _PRIORS]

    def cost(p: FloatArray) -> float:
        made = _solve(scale(p[:count] * steps), size, value, error, p[count:])
        return _IMPOSSIBLE if made is None else -made.log_posterior

    def improve(first: FloatArray) -> tuple[float, FloatArray]:
        slope = _Slope(cost)
        made = minimize(
            cost, first, jac=slope, method="L-BFGS-B", bounds=bounds[: len(first)], options={"maxiter": 300}
        )
        return float(made.fun), np.asarray(made.x, np.float64)

    hyper = [mean for mean, _ in _PRIORS[:3]]
    tried = [improve(np.array([*(starts[index] / steps), *hyper])) for _, index in ranked[:_STARTS]]
    at = min(tried, key=lambda one: one[0])[1]
    if corrections:
        # From the best curve without them, by small and by large ones.
        tried = [improve(np.array([*at, share, _PRIORS[4][0]])) for share in _SHARES]
        at = min(tried, key=lambda one: one[0])[1]
    at, units, information = _settle(cost, at)
    whole = units @ np.linalg.inv(information) @ units.T
    theta = at[:count] * steps
    scaled = scale(theta)
    solved = _solve(scaled, size, value, error, at[count:])
    assert solved is not None
    rest = value - scaled.term - solved.correction - solved.constant
    quality = collapse_quality(size, scaled.x, rest / scaled.factor, error / scaled.factor)
    covariance = whole[:count, :count] * np.outer(steps, steps)
    omega = float(np.exp(at[-1])) if corrections else None
    return MasterCurve(theta, covariance, quality, omega)


@dataclass(frozen=True)
class _Solved:
    """log posterior density, and what corrections and the constants of sizes contribute to each value, (n,)."""

    log_posterior: float
    correction: FloatArray
    constant: FloatArray


def _solve(scaled: Scaled, size: FloatArray, value: FloatArray, error: FloatArray, hyper: FloatArray) -> _Solved | None:
    """None where the covariance cannot be had."""
    rest = value - scaled.term
    if not (np.isfinite(rest).all() and np.isfinite(scaled.factor).all() and np.isfinite(scaled.x).all()):
        return None
    spread = float(scaled.x.std())
    typical = float(np.sqrt(np.mean((rest / scaled.factor) ** 2)))
    if not (spread > 0.0 and typical > 0.0):
        return None
    distance = np.abs(scaled.x[:, np.newaxis] - scaled.x) * (math.sqrt(5.0) / (spread * math.exp(hyper[1])))
    matern = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    units = np.outer(typical * scaled.factor, typical * scaled.factor)
    if scaled.weight is None:
        covariance = (math.exp(2.0 * hyper[0]) * matern + _FLAT_VARIANCE) * units
    else:
        matern = matern * np.outer(scaled.weight, scaled.weight)
        covariance = (math.exp(2.0 * hyper[0]) * matern + _FLAT_VARIANCE * (size[:, np.newaxis] == size)) * units
    corrections = None
    if len(hyper) > 3:
        decay = (size / size.min()) ** -math.exp(hyper[4])
        corrections = math.exp(2.0 * hyper[3]) * np.outer(decay, decay) * (matern + 1.0) * units
        covariance += corrections
    covariance[np.diag_indices(len(value))] += error**2 * (1.0 + math.exp(2.0 * hyper[2]))
    try:
        factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    solved = cho_solve(factor, rest, check_finite=False)
    prior = -0.5 * sum(((at - mean) / sd) ** 2 for at, (mean, sd) in zip(hyper, _PRIORS))
    found = float(-0.5 * rest @ solved - np.log(np.diag(factor[0])).sum() + prior)
    nothing = np.zeros(len(value))
    same = nothing if scaled.weight is None else (_FLAT_VARIANCE * (size[:, np.newaxis] == size) * units) @ solved
    return _Solved(found, nothing if corrections is None else corrections @ solved, same)


def _settle(cost: Callable[[FloatArray], float], at: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The minimum near ``at``, and there units U and the second derivatives along them, U diag U.

    Directions differ in curvature by orders of magnitude, and a gradient by differences ends early: the search is repeated in
    coordinates in which the curvature is about 1 in all. Raises FitError if it is not positive in the end.
    """
    found = at
    for _ in range(_ROUNDS):
        values, vectors = np.linalg.eigh(_hessian(cost, found))
        units = vectors / np.sqrt(np.maximum(np.abs(values), 0.1))
        moved = _Moved(cost, found, units)
        made = minimize(moved, np.zeros(len(at)), jac=_Slope(moved), method="BFGS", options={"gtol": 1e-3})
        found = found + units @ made.x
        information = _hessian(_Moved(cost, found, units), np.zeros(len(at)))
        if np.linalg.eigvalsh(information)[0] > 0.0:
            return found, units, information
    raise FitError(
        "the data do not determine the exponents: the likelihood has no maximum; give more sizes or points nearer the "
        "critical point"
    )


@dataclass(frozen=True)
class _Slope:
    """The gradient of a function by central differences, with a step far above the rounding of its determinant."""

    function: Callable[[FloatArray], float]
    step: float = 1e-3

    def __call__(self, z: FloatArray) -> FloatArray:
        moves = self.step * np.eye(len(z))
        return np.array([(self.function(z + move) - self.function(z - move)) / (2.0 * self.step) for move in moves])


@dataclass(frozen=True)
class _Moved:
    """A function about another origin and in other units."""

    function: Callable[[FloatArray], float]
    origin: FloatArray
    units: FloatArray

    def __call__(self, z: FloatArray) -> float:
        return self.function(self.origin + self.units @ z)


def _hessian(cost: Callable[[FloatArray], float], at: FloatArray) -> FloatArray:
    """Second differences, each with a step at which the cost rises by a few hundredths."""
    n = len(at)
    centre = cost(at)
    step = np.empty(n)
    for index in range(n):
        h = 1e-3
        for _ in range(24):
            move = np.zeros(n)
            move[index] = h
            rise = 0.5 * (cost(at + move) + cost(at - move)) - centre
            if 0.01 < rise < 0.1:
                break
            # A parabola's next guess, held to a factor of 8.
            h *= min(8.0, max(0.125, math.sqrt(0.04 / rise))) if rise > 0.0 else 4.0
            if h > 10.0:
                break
        step[index] = min(h, 10.0)
    made = np.empty((n, n))
    up = [cost(at + step[i] * np.eye(n)[i]) for i in range(n)]
    down = [cost(at - step[i] * np.eye(n)[i]) for i in range(n)]
    for i in range(n):
        made[i, i] = (up[i] + down[i] - 2 * centre) / step[i] ** 2
        for j in range(i):
            both = step[i] * np.eye(n)[i] + step[j] * np.eye(n)[j]
            mixed = cost(at + both) + cost(at - both) + 2 * centre - up[i] - down[i] - up[j] - down[j]
            made[i, j] = made[j, i] = mixed / (2 * step[i] * step[j])
    return made


def _start_quality(
    scale: Callable[[FloatArray], Scaled], size: FloatArray, value: FloatArray, error: FloatArray, start: FloatArray
) -> float:
    with np.errstate(all="ignore"):
        scaled = scale(np.asarray(start, np.float64))
        if not (np.isfinite(scaled.x).all() and np.isfinite(scaled.factor).all()):
            return math.inf
        try:
            return collapse_quality(size, scaled.x, (value - scaled.term) / scaled.factor, error / scaled.factor)
        except FitError:
            return math.inf


def collapse_quality(size: FloatArray, x: FloatArray, y: FloatArray, error: FloatArray) -> float:
    """S of Houdayer and Hartmann: the mean of (y_i − Y_i)²/(e_i² + E_i²) over points i of every size.

    Y ± E at x_i is the weighted line through the points next to x_i, one on each side, of all other sizes that reach
    it. About 1 where the curves agree within their errors. Arrays (n,). Raises FitError when no point has such neighbours.
    """
    total, count = 0.0, 0
    curves = [(x[size == one], y[size == one], error[size == one]) for one in np.unique(size)]
    curves = [tuple(column[np.argsort(curve[0], kind="stable")] for column in curve) for curve in curves]
    for index, (own_x, own_y, own_error) in enumerate(curves):
        sums = np.zeros((5, len(own_x)))
        found = np.zeros(len(own_x), dtype=bool)
        for other, (their_x, their_y, their_error) in enumerate(curves):
            if other == index or len(their_x) < 2:
                continue
            inside = (own_x >= their_x[0]) & (own_x <= their_x[-1])
            right = np.clip(np.searchsorted(their_x, own_x), 1, len(their_x) - 1)
            for at in (right - 1, right):
                weight = np.where(inside, 1.0 / their_error[at] ** 2, 0.0)
                x_at, y_at = their_x[at] - own_x, their_y[at]
                sums += weight * np.array([np.ones_like(x_at), x_at, x_at**2, y_at, x_at * y_at])
            found |= inside
        if not found.any():
            continue
        k, kx, kxx, ky, kxy = sums[:, found]
        delta = k * kxx - kx**2
        # Abscissae are taken relative to the point, so that the line's value there is its intercept.
        flat = delta <= 1e-12 * k * kxx
        with np.errstate(divide="ignore", invalid="ignore"):
            master = np.where(flat, ky / k, (kxx * ky - kx * kxy) / delta)
            variance = np.where(flat, 1.0 / k, kxx / delta)
        total += float(((own_y[found] - master) ** 2 / (own_error[found] ** 2 + variance)).sum())
        count += int(found.sum())
    if not count:
        raise FitError("the scaled curves do not overlap, so that a collapse cannot be judged")
    return total / count
