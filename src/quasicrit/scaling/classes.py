"""Universality classes of avalanches, and the probability of each for measured exponents.

A class is a point, or a curve with one parameter, in the space of (tau_s, tau_d, gamma), with

    P(s) ~ s^−tau_s,   P(d) ~ d^−tau_d,   ⟨s⟩(d) ~ d^gamma.

Directed percolation is given by its survival and growth exponents delta and theta of a seed: tau_d = 1 + delta,
gamma = 1 + theta + delta, tau_s = 1 + delta/gamma (Muñoz et al. 1999, cond-mat/9811287).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import FitError

__all__ = ["CLASSES", "NONE", "ClassPosterior", "ClassProbability", "UniversalityClass", "WindowBias", "classify"]

FloatArray = NDArray[np.float64]

NONE = "none"
"""The name of the answer "none of these"."""

#: A class whose bias in the window was not measured gets this error on each exponent.
_UNCALIBRATED = 0.05
#: The density of "none of these": one over the volume of the box tau_s in [1, 2.5], tau_d in [1, 3], gamma in [.5, 3.5].
_NONE_DENSITY = 1.0 / (1.5 * 2.0 * 3.0)
_CURVE_POINTS = 181


@dataclass(frozen=True)
class UniversalityClass:
    """A class with its ``values`` (tau_s, tau_d, gamma), at ``parameter`` for a curve, and their published ``spread``.

    ``curve`` maps its parameter to the values, for those in ``parameters`` (flat prior); None for a point.
    """

    name: str
    label: str
    values: tuple[float, float, float]
    spread: float
    source: str
    curve: Callable[[float], tuple[float, float, float]] | None = None
    parameters: tuple[float, ...] = ()


def _directed_percolation(delta: float, theta: float) -> tuple[float, float, float]:
    gamma = 1.0 + theta + delta
    return 1.0 + delta / gamma, 1.0 + delta, gamma


def _gaussian_signal(hurst: float) -> tuple[float, float, float]:
    return 2.0 / (1.0 + hurst), 2.0 - hurst, 1.0 + hurst


def _abbm(drive: float) -> tuple[float, float, float]:
    return (3.0 - drive) / 2.0, 2.0 - drive, 2.0


def _grid(low: float, high: float, without: float = math.nan, around: float = 0.0) -> tuple[float, ...]:
    grid = np.linspace(low, high, _CURVE_POINTS)
    return tuple(float(value) for value in grid if not abs(value - without) < around)


# 3 + 1 dimensions: beta = .813(9), nu_perp = .584(5), nu_par = 1.110(10).
_DELTA_3, _THETA_3 = 0.813 / 1.110, 3.0 * 0.584 / 1.110 - 2.0 * 0.813 / 1.110

CLASSES: Mapping[str, UniversalityClass] = {
    made.name: made
    for made in (
        UniversalityClass(
            "mean_field_dp",
            "mean-field directed percolation",
            (1.5, 2.0, 2.0),
            0.0,
            "Otter 1949; di Santo et al. 2017, arXiv:1612.07183",
        ),
        UniversalityClass(
            "brownian_excursion",
            "Brownian excursion",
            (4.0 / 3.0, 1.5, 1.5),
            0.0,
            "Baldassarri, Colaiori and Castellano 2003, cond-mat/0301068",
        ),
        UniversalityClass(
            "gaussian_signal",
            "Gaussian signal, Hurst exponent H",
            _gaussian_signal(0.7),
            0.0,
            "zero crossings of fractional Brownian motion: P(d) ~ d^(H − 2), s ~ d^(1 + H)",
            _gaussian_signal,
            # At ½ it is the Brownian excursion, a class of its own.
            _grid(0.05, 0.95, 0.5, 0.05),
        ),
        UniversalityClass(
            "abbm",
            "ABBM at drive c",
            _abbm(0.3),
            0.0,
            "Alessandro et al. 1990; Colaiori 2008, arXiv:0902.3173",
            _abbm,
            # At c = 0 it is mean-field directed percolation, from which no window tells a drive below .1.
            _grid(0.1, 0.95),
        ),
        UniversalityClass(
            "dp_1d",
            "directed percolation, 1 + 1",
            _directed_percolation(0.159464, 0.313686),
            0.001,
            "Jensen 1999, J. Phys. A 32, 5233; Muñoz et al. 1999, cond-mat/9811287",
        ),
        UniversalityClass(
            "dp_2d",
            "directed percolation, 2 + 1",
            _directed_percolation(0.4505, 0.2307),
            0.003,
            "Wang et al. 2013, arXiv:1201.3006; Muñoz et al. 1999, cond-mat/9811287",
        ),
        UniversalityClass(
            "dp_3d",
            "directed percolation, 3 + 1",
            _directed_percolation(_DELTA_3, _THETA_3),
            0.02,
            "Jensen 1992, Phys. Rev. A 45, R563; Muñoz et al. 1999, cond-mat/9811287",
        ),
        UniversalityClass(
            "interface_1d",
            "linear interface, d = 1",
            (1.111, 1.175, 1.573),
            0.01,
            "Rosso, Le Doussal and Wiese 2009, arXiv:0904.1123; Huynh, Pruessner and Chew 2011, arXiv:1106.0406",
        ),
        UniversalityClass(
            "interface_2d",
            "linear interface, d = 2 (short-range Barkhausen)",
            (1.274, 1.483, 1.765),
            0.015,
            "Huynh and Pruessner 2012, arXiv:1201.3234; Durin and Zapperi 2000; Bohn et al. 2014, arXiv:1407.0396",
        ),
        UniversalityClass(
            "interface_3d",
            "linear interface, d = 3",
            (1.404, 1.774, 1.917),
            0.02,
            "Huynh and Pruessner 2012, arXiv:1201.3234",
        ),
    )
}
"""The classes, by name (docs/physics.md: accepted values; a spread is that of published values)."""


@dataclass(frozen=True)
class WindowBias:
    """What a class reads on the window that was fitted: ``shift`` (3,) of (tau_s, tau_d, gamma) from its values, and
    the ``covariance`` (3, 3) of that shift; of a class that is a curve, at its ``parameter``."""

    shift: FloatArray
    covariance: FloatArray
    parameter: float | None = None


@dataclass(frozen=True)
class ClassProbability:
    """The probability of one class; ``values`` are those expected on the window (of a curve, at its most likely
    ``parameter``), ``distance`` how many standard errors the estimate lies from them (Mahalanobis)."""

    name: str
    label: str
    probability: float
    values: tuple[float, float, float] | None
    parameter: float | None
    distance: float | None
    calibrated: bool


@dataclass(frozen=True)
class ClassPosterior:
    """Every class and "none", most probable first; ``verdict`` is the first one's name."""

    classes: tuple[ClassProbability, ...]
    verdict: str

    def probability(self, name: str) -> float:
        """That of a class, or of "none"."""
        return next(entry.probability for entry in self.classes if entry.name == name)


def classify(
    exponents: ArrayLike, covariance: ArrayLike, *, biases: Mapping[str, Sequence[WindowBias]] | None = None
) -> ClassPosterior:
    """Probabilities of the classes for exponents (tau_s, tau_d, gamma), shape (3,), with covariance (3, 3).

    The likelihood of a class is a normal density about its values, shifted by its bias on the window, with the
    covariances of estimate, bias and published values added; of a curve, its mean over the parameter. "None" has
    the same density everywhere, that of a box with tau_s in [1, 2.5], tau_d in [1, 3], gamma in [.5, 3.5]. All have the
    same prior probability.
    ``biases`` (``class_biases``): by class, one bias, or of a curve several, between whose parameters it is linear
    and beyond which it is constant. A class that it lacks gets ± .05 on each exponent and counts as uncalibrated.

    Raises FitError for exponents or a covariance that are not finite, or of another shape, or not a covariance.
    """
    measured = np.asarray(exponents, dtype=np.float64)
    errors = np.asarray(covariance, dtype=np.float64)
    if measured.shape != (3,) or errors.shape != (3, 3):
        raise FitError("A class needs three exponents (tau_s, tau_d, gamma) and their 3 × 3 covariance.")
    if not (np.isfinite(measured).all() and np.isfinite(errors).all()):
        raise FitError("An exponent or its error is not a finite number, and has no class; widen the window.")
    if not np.allclose(errors, errors.T) or np.linalg.eigvalsh(errors)[0] < 0.0 or not np.diag(errors).all():
        raise FitError("The covariance of the exponents must be symmetric and positive: every exponent needs an error.")
    known = biases or {}
    entries = []
    logs = []
    for universality in CLASSES.values():
        bias = known.get(universality.name, ())
        parameters: tuple[float | None, ...] = universality.parameters or (None,)
        shift, own = _bias_along(bias, parameters)
        total = errors + own + universality.spread**2 * np.eye(3)
        centres = np.array([_values(universality, parameter) for parameter in parameters]) + shift
        misfit = measured - centres
        squared = np.einsum("ci,cij,cj->c", misfit, np.linalg.inv(total), misfit)
        log_density = -0.5 * (squared + np.linalg.slogdet(total)[1] + 3.0 * math.log(2.0 * math.pi))
        best = int(np.argmin(squared))
        logs.append(float(np.logaddexp.reduce(log_density)) - math.log(len(parameters)))
        at = parameters[best]
        expected = tuple(float(value) for value in centres[best])
        entries.append((universality, expected, at, math.sqrt(float(squared[best])), bool(bias)))
    logs.append(math.log(_NONE_DENSITY))
    weights = np.exp(np.array(logs) - max(logs))
    weights = weights / weights.sum()
    made = [
        ClassProbability(c.name, c.label, float(weight), expected, at, distance, calibrated)  # type: ignore[arg-type]
        for (c, expected, at, distance, calibrated), weight in zip(entries, weights)
    ]
    made.append(ClassProbability(NONE, "none of these", float(weights[-1]), None, None, None, True))
    ordered = tuple(sorted(made, key=lambda entry: -entry.probability))
    return ClassPosterior(ordered, ordered[0].name)


def _bias_along(bias: Sequence[WindowBias], parameters: Sequence[float | None]) -> tuple[FloatArray, FloatArray]:
    """Shifts (P, 3) and their covariances (P, 3, 3) at the parameters of a class."""
    count = len(parameters)
    if not bias:
        return np.zeros((count, 3)), np.broadcast_to(_UNCALIBRATED**2 * np.eye(3), (count, 3, 3))
    if len(bias) == 1:
        return np.broadcast_to(bias[0].shift, (count, 3)), np.broadcast_to(bias[0].covariance, (count, 3, 3))
    knots = sorted(bias, key=lambda entry: entry.parameter or 0.0)
    at = np.array([entry.parameter for entry in knots], dtype=np.float64)
    table = np.array([np.concatenate([entry.shift, entry.covariance.ravel()]) for entry in knots])
    where = np.array(parameters, dtype=np.float64)
    made = np.column_stack([np.interp(where, at, column) for column in table.T])
    return made[:, :3], made[:, 3:].reshape(count, 3, 3)


def _values(universality: UniversalityClass, parameter: float | None) -> tuple[float, float, float]:
    if parameter is None or universality.curve is None:
        return universality.values
    return universality.curve(parameter)
