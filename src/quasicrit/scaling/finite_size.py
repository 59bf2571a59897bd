"""Finite-size scaling: critical point and exponents from curves of several sizes, cut-off exponents from events."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError
from quasicrit.scaling.crackling import Estimate
from quasicrit.scaling.master_curve import MasterCurve, Scaled, fit_master_curve
from quasicrit.statistics import cluster_codes, cluster_weights, weighted_line

__all__ = ["CurveCollapse", "EventCollapse", "collapse_curves", "collapse_events"]

FloatArray = NDArray[np.float64]

_MIN_SIZES, _MIN_POINTS = 3, 4
#: No exponent of a size is steeper.
_STEEP = 10.0
#: Orders of the moments (lower ones see the lower end of the law as well as the cut-off), and events a bin needs.
_ORDERS = (2.0, 2.5, 3.0)
_MIN_PER_BIN = 20
_PER_OCTAVE = 2


@dataclass(frozen=True)
class CurveCollapse:
    """v = L^(zeta/nu) F((t − t_c) L^(1/nu)): ``critical_point`` t_c, ``nu``, ``zeta`` and their ratios, 95 % intervals.

    ``quality`` S (about 1 where the curves agree within errors). ``without_smallest``: t_c, nu, zeta without the smallest
    size (None with three sizes); ``stable``: whether they agree with those of all within twice the error that the
    difference may have. ``omega``: of corrections to scaling L^−omega, where they were fitted.
    """

    critical_point: Estimate
    nu: Estimate
    zeta: Estimate
    inverse_nu: Estimate
    zeta_over_nu: Estimate
    quality: float
    sizes: tuple[float, ...]
    n: int
    stable: bool | None
    without_smallest: tuple[float, float, float] | None
    omega: float | None


@dataclass(frozen=True)
class EventCollapse:
    """P(x; L) = x^−tau G(x/L^D) above ``xmin``: ``tau`` and ``cutoff_exponent`` D by collapse of distributions.

    ``tau_moments`` and ``cutoff_moments``: the same from the moments ⟨x^q⟩ ~ L^{D(q + 1 − tau)}, q = 2 to 3.
    ``quality``, ``stable``, ``without_smallest`` (tau, D): as for curves.
    """

    tau: Estimate
    cutoff_exponent: Estimate
    tau_moments: Estimate
    cutoff_moments: Estimate
    quality: float
    sizes: tuple[float, ...]
    n: int
    xmin: float
    stable: bool | None
    without_smallest: tuple[float, float] | None


def collapse_curves(
    size: ArrayLike,
    control: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    corrections: bool = False,
) -> CurveCollapse:
    """Collapse ``value`` ± ``error`` measured at ``control`` in systems of ``size``; arrays (n,), any units.

    The master curve is a Gaussian process (``quasicrit.scaling.master_curve``). Without errors all values get the same
    relative error, such that S = 1, and the quality tells nothing. ``corrections`` adds L^−omega G(x).

    Raises FitError for values that are not finite, errors or sizes that are not positive, fewer than three sizes with
    four points each, or data that do not determine the exponents.
    """
    columns = [np.asarray(column, np.float64) for column in (size, control, value)]
    length, t, v = columns
    if not len(length) == len(t) == len(v):
        raise FitError(f"size ({len(length)}), control ({len(t)}) and value ({len(v)}) differ in length")
    known = error is not None
    e = np.asarray(error, np.float64) if error is not None else 0.01 * np.maximum(np.abs(v), 0.01 * np.abs(v).max())
    if len(e) != len(v):
        raise FitError(f"value ({len(v)}) and error ({len(e)}) differ in length")
    for name, column in (("size", length), ("control", t), ("value", v), ("error", e)):
        if not np.isfinite(column).all():
            raise FitError(f"every {name} must be a finite number")
    if not ((length > 0).all() and (e > 0).all()):
        raise FitError("sizes and errors must be above 0")
    sizes, counts = np.unique(length, return_counts=True)
    if len(sizes) < _MIN_SIZES or counts.min() < _MIN_POINTS:
        raise FitError(
            f"a collapse needs at least {_MIN_SIZES} sizes with {_MIN_POINTS} points each, and there are "
            + _listed(sizes, counts)
        )
    if np.ptp(t) == 0.0 or np.ptp(v) == 0.0:
        raise FitError("the control or the value is the same everywhere; a collapse needs both to vary")
    found = _fit_curves(length, t, v, e, corrections)
    if not known:
        # The errors that make S = 1; the fit only depends on their ratios to the curve's own scale.
        e = e * math.sqrt(max(found.quality, 1e-12))
        found = _fit_curves(length, t, v, e, corrections, found.parameters)
    values, errors = _derived(found)
    without, stable = None, None
    if len(sizes) > _MIN_SIZES:
        rest = length > sizes[0]
        try:
            fewer = _fit_curves(length[rest], t[rest], v[rest], e[rest], corrections, found.parameters)
            other, other_errors = _derived(fewer)
        except FitError:
            stable = False
        else:
            without = (float(other[0]), float(other[1]), float(other[2]))
            stable = _agrees(values[:3], errors[:3], other[:3], other_errors[:3])
    critical, nu, zeta, inverse, ratio = (_estimate(x, dx) for x, dx in zip(values, errors))
    return CurveCollapse(
        critical,
        nu,
        zeta,
        inverse,
        ratio,
        found.quality,
        tuple(sizes.tolist()),
        len(v),
        stable,
        without,
        found.omega,
    )


def _listed(sizes: FloatArray, counts: NDArray[np.intp]) -> str:
    shown = [f"{count} of size {one:g}" for one, count in zip(sizes[:6], counts)]
    return ", ".join([*shown, *(["…"] if len(sizes) > 6 else [])]) or "none"


def _fit_curves(
    length: FloatArray,
    t: FloatArray,
    v: FloatArray,
    e: FloatArray,
    corrections: bool,
    start: FloatArray | None = None,
) -> MasterCurve:
    """θ = (t_c, 1/nu, zeta/nu); sizes are taken relative to their geometric mean, which changes F only."""
    unit = float(np.exp(np.log(length).mean()))
    relative = length / unit
    width = float(np.ptp(t))

    def scale(theta: FloatArray) -> Scaled:
        with np.errstate(over="ignore", invalid="ignore"):
            x = (t - theta[0]) * relative ** theta[1]
            return Scaled(x, relative ** theta[2], np.zeros_like(v))

    if start is not None:
        starts = [start]
    else:
        grid = itertools.product(np.linspace(t.min(), t.max(), 25), (0.3, 0.6, 1.0, 1.6, 2.5), _slopes(length, v))
        starts = [np.array(point) for point in grid]
    limits = [(float(t.min()) - width, float(t.max()) + width), (-_STEEP, _STEEP), (-_STEEP, _STEEP)]
    steps = np.array([0.1 * width, 0.5, 0.5])
    return fit_master_curve(scale, length, v, e, starts=starts, steps=steps, limits=limits, corrections=corrections)


def _slopes(length: FloatArray, v: FloatArray) -> FloatArray:
    """Exponents zeta/nu to start from: those with which the largest, middle and smallest |value| of a size grow, and around."""
    sizes = np.unique(length)
    low, high = np.abs(v[length == sizes[0]]), np.abs(v[length == sizes[-1]])
    ratio = math.log(sizes[-1] / sizes[0])
    made = {0.0}
    for q in (0.1, 0.5, 0.9, 1.0):
        one, other = np.quantile(low, q), np.quantile(high, q)
        if one > 0 and other > 0:
            made.add(float(np.log(other / one) / ratio))
    ends = min(made), max(made)
    return np.unique(np.concatenate([sorted(made), np.linspace(ends[0] - 0.2, ends[1] + 0.2, 7)]))


def _derived(found: MasterCurve) -> tuple[FloatArray, FloatArray]:
    """(t_c, nu, zeta, 1/nu, zeta/nu) and their errors, to first order."""
    critical, inverse, ratio = found.parameters
    if inverse <= 0.0:
        raise FitError(
            f"the best collapse has 1/nu = {inverse:.3g}, which is not positive: the curves do not sharpen with size, so there "
            "is no critical point among these data"
        )
    nu = 1.0 / inverse
    values = np.array([critical, nu, ratio * nu, inverse, ratio])
    slopes = np.array([[1, 0, 0], [0, -(nu**2), 0], [0, -ratio * nu**2, nu], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    return values, np.sqrt(np.diag(slopes @ found.covariance @ slopes.T))


def _agrees(values: FloatArray, errors: FloatArray, other: FloatArray, other_errors: FloatArray) -> bool:
    """Part of the data is the same, so that the difference varies by the excess of the variance, never taken below a quarter of it."""
    variance = np.maximum(other_errors**2 - errors**2, 0.25 * other_errors**2)
    return bool((np.abs(values - other) <= 2.0 * np.sqrt(variance)).all())


def _estimate(value: float, error: float) -> Estimate:
    return Estimate(float(value), float(value - 1.96 * error), float(value + 1.96 * error))


def collapse_events(
    size: ArrayLike,
    value: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    xmin: float | None = None,
    n_resamples: int = 200,
    rng: np.random.Generator,
) -> EventCollapse:
    """tau and the cut-off exponent D of P(x; L) = x^−tau G(x/L^D) from events of systems of several sizes.

    ``size``, ``value``: of every event, (n,); ``clusters``: its independent unit, within one size; without them events are
    independent. Only events from ``xmin`` count (default: the smallest). Binned densities, with errors by ``n_resamples``
    resamples of clusters, are collapsed as ln P = a_L − tau ln x + g(ln x − D ln L), where g vanishes below the cut-off and a_L
    is the normalisation, which depends on the size since the cut-off takes part of the law. Moments have the same resamples.

    Raises FitError for values that are not positive and finite, or fewer than three sizes with 100 events each.
    """
    length, x = np.asarray(size, np.float64), np.asarray(value, np.float64)
    if len(length) != len(x):
        raise FitError(f"size ({len(length)}) and value ({len(x)}) differ in length")
    if not (np.isfinite(x).all() and (x > 0).all() and np.isfinite(length).all() and (length > 0).all()):
        raise FitError("every size and every value must be a finite number above 0; leave out censored events")
    low = float(x.min()) if xmin is None else float(xmin)
    if not (math.isfinite(low) and low > 0.0):
        raise FitError(f"xmin = {low:g} must be a finite number above 0")
    keep = x >= low
    labels = np.arange(len(x)) if clusters is None else np.asarray(clusters)
    length, x, labels = length[keep], x[keep], labels[keep]
    sizes, counts = np.unique(length, return_counts=True)
    if len(sizes) < _MIN_SIZES or counts.min() < 100:
        raise FitError(
            f"a collapse of events needs at least {_MIN_SIZES} sizes with 100 events from {low:g} on, and there are "
            + _listed(sizes, counts)
        )
    whole = bool((x == np.round(x)).all())
    edges = _edges(low, float(x.max()), whole)
    centres = _centres(edges, whole)
    bins, moments = [], []
    for one in sizes:
        own = length == one
        made = _resampled(x[own], labels[own], edges, n_resamples, rng)
        bins.append(made[0])
        moments.append(made[1])
    tau_m, cut_m = _from_moments(sizes, moments)
    table = _densities(sizes, bins, edges, centres)
    # Where the cut-off begins: ⟨x³⟩/⟨x²⟩ at the geometric mean of the sizes.
    ratio = np.array([own[0, -1] / own[0, 1] for own in moments])
    reach = float(np.exp(np.log(ratio).mean()))
    found = _fit_events(*table, reach, start=(tau_m.value, cut_m.value))
    values, errors = found.parameters, np.sqrt(np.diag(found.covariance))
    smaller, stable = None, None
    if len(sizes) > _MIN_SIZES:
        rest = table[0] > sizes[0]
        try:
            left = tuple(column[rest] for column in table)
            fewer = _fit_events(left[0], left[1], left[2], left[3], reach, start=(float(values[0]), float(values[1])))
        except FitError:
            stable = False
        else:
            smaller = (float(fewer.parameters[0]), float(fewer.parameters[1]))
            stable = _agrees(values, errors, fewer.parameters, np.sqrt(np.diag(fewer.covariance)))
    tau, cut = (_estimate(v, e) for v, e in zip(values, errors))
    return EventCollapse(tau, cut, tau_m, cut_m, found.quality, tuple(sizes.tolist()), len(x), low, stable, smaller)


def _edges(low: float, high: float, whole: bool) -> FloatArray:
    count = max(8, round(_PER_OCTAVE * math.log2(high / low)) + 1)
    edges = np.geomspace(low, high * (1.0 + 1e-9), count)
    return np.unique(np.append(np.round(edges[:-1]), math.floor(high) + 1.0)) if whole else edges


def _centres(edges: FloatArray, whole: bool) -> FloatArray:
    return np.sqrt(edges[:-1] * (edges[1:] - 1.0)) if whole else np.sqrt(edges[:-1] * edges[1:])


def _resampled(
    x: FloatArray, labels: NDArray[np.generic], edges: FloatArray, n_resamples: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Counts in the bins and sums x^q (and the number) of the data, row 0, and of resamples: (1 + B, bins), (1 + B, orders + 1).

    Many independent clusters are dealt into 200 groups first, which leaves sums over them as they are.
    """
    codes, count = cluster_codes(labels)
    if count > 200:
        codes, count = (rng.permutation(count) % 200)[codes], 200
    if count < 2:
        raise FitError("every size needs at least two clusters: a spread cannot be had from one")
    column = np.searchsorted(edges, x, side="right") - 1
    width = len(edges) - 1
    table = np.bincount(codes * width + np.minimum(column, width - 1), minlength=count * width).reshape(count, width)
    powers = np.stack([np.bincount(codes, x**q, minlength=count) for q in (0.0, *_ORDERS)], axis=1)
    weights = np.vstack([np.ones(count), cluster_weights(count, n_resamples, rng)])
    return weights @ table, weights @ powers


def _from_moments(sizes: FloatArray, moments: list[FloatArray]) -> tuple[Estimate, Estimate]:
    """tau and D from the slopes of ln⟨x^q⟩ on ln L, sigma(q) = D (q + 1 − tau), by a line in q; errors by resamples.

    Moments of order above tau − 1 scale; those used start at 2, so that tau < 3 is needed.
    """
    logs = np.array([np.log(own[:, 1:] / own[:, :1]) for own in moments])  # (sizes, 1 + B, orders)
    at = np.log(sizes)
    weight = 1.0 / np.maximum(logs[:, 1:].var(axis=1), 1e-12)  # (sizes, orders)
    slopes = np.stack(
        [weighted_line(at, logs[:, :, k].T, weight[:, k]).slope for k in range(len(_ORDERS))], axis=-1
    )  # (1 + B, orders)
    line = weighted_line(np.array(_ORDERS), slopes, np.ones(len(_ORDERS)))
    cut = np.asarray(line.slope)
    tau = np.array(_ORDERS).mean() + 1.0 - slopes.mean(axis=-1) / cut
    return _spread(tau), _spread(cut)


def _spread(samples: FloatArray) -> Estimate:
    return _estimate(float(samples[0]), float(samples[1:].std(ddof=1)))


def _densities(
    sizes: FloatArray, bins: list[FloatArray], edges: FloatArray, centres: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Columns size, ln x, ln density and its error for the bins that hold enough events."""
    made: list[list[FloatArray]] = [[], [], [], []]
    for one, counts in zip(sizes, bins):
        good = counts[0] >= _MIN_PER_BIN
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.log(counts / counts.sum(axis=1, keepdims=True) / np.diff(edges))[:, good]
        finite = np.where(np.isfinite(density[1:]), density[1:], np.nan)
        error = np.nanstd(finite, axis=0, ddof=1)
        # Never better than counting allows.
        error = np.maximum(error, 1.0 / np.sqrt(counts[0][good]))
        for column, values in zip(made, (np.full(good.sum(), one), np.log(centres[good]), density[0], error)):
            column.append(values)
    return tuple(np.concatenate(column) for column in made)  # type: ignore[return-value]


def _fit_events(
    size: FloatArray,
    log_x: FloatArray,
    log_p: FloatArray,
    error: FloatArray,
    reach: float,
    *,
    start: tuple[float, float],
) -> MasterCurve:
    """θ = (tau, D). The curve is ln G, which goes to 0 below the cut-off; each size has a constant, its normalisation."""
    unit = float(np.log(np.unique(size)).mean())

    def scale(theta: FloatArray) -> Scaled:
        x = log_x - theta[1] * (np.log(size) - unit)
        share = np.exp(np.minimum(x - math.log(reach), 50.0))
        return Scaled(x, np.ones_like(log_p), -theta[0] * log_x, share / (1.0 + share))

    grid = itertools.product((1.1, 1.3, 1.5, 2.0), (0.25, 0.5, 1.0, 1.5, 2.0, 3.0))
    starts = [np.array(start), *(np.array(point) for point in grid)]
    return fit_master_curve(
        scale, size, log_p, error, starts=starts, steps=np.array([0.2, 0.2]), limits=[(-1.0, 6.0), (-_STEEP, _STEEP)]
    )
