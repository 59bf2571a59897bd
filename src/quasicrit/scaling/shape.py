"""Shape collapse: mean profiles of different durations fall on T^{gamma − 1} f(t/T)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from quasicrit.errors import FitError
from quasicrit.scaling.crackling import Estimate

__all__ = ["ShapeCollapse", "collapse_shapes"]


@dataclass(frozen=True)
class ShapeCollapse:
    """``growth``: exponent of ⟨y⟩ ~ T^growth (gamma − 1) that best collapses the profiles; ``power``: a of the fitted
    f ∝ [x(1−x)]^a; ``asymmetry``: of the first moment of f about ½, in units of its width; ``deviation``: root mean
    square of f − fit over the mean of f. ``spread``: root mean square distance of the scaled profiles to f over the mean of
    f, how far they are from one curve; ``misfit``: the mean squared distance in units of their errors, near 1 where nothing but noise
    keeps them apart. Errors by a jackknife over folds of networks. ``durations``: mean durations used.
    """

    growth: Estimate
    power: Estimate
    asymmetry: Estimate
    deviation: float
    spread: float
    misfit: float
    durations: tuple[float, ...]


def collapse_shapes(n: np.ndarray, duration: np.ndarray, activity: np.ndarray, phase: np.ndarray) -> ShapeCollapse:
    """Collapse mean profiles. ``n``, ``duration``: (folds, bins) events and mean durations; ``activity``: (folds, bins, phases).

    growth minimises the relative variance between the bins of T^−growth ⟨y⟩(t/T), T = d + ½, summed over phases; each
    duration counts the same. Bins with fewer than 100 events in all are left out.
    Raises FitError when fewer than two bins are left, or fewer than five folds.
    """
    enough = n.sum(0) >= 100
    if enough.sum() < 2:
        raise FitError(f"a shape collapse needs 2 duration bins with 100 events, and there are {int(enough.sum())}")
    if len(n) < 5:
        raise FitError(f"the jackknife needs at least 5 folds of networks, not {len(n)}")
    n, duration, activity = n[:, enough], duration[:, enough], activity[:, enough]
    sums_d, sums_y = n * duration, n[:, :, None] * activity

    def profiles(keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total = n[keep].sum(0)
        return sums_d[keep].sum(0) / total, sums_y[keep].sum(0) / total[:, None]

    def measures(keep: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d, y = profiles(keep)
        growth = _growth(d + 0.5, y)
        shape = (y / (d[:, None] + 0.5) ** growth).mean(0)
        shape = shape / shape.mean()
        power = _power(shape, phase)
        centre = (shape * phase).sum() / shape.sum()
        spread = np.sqrt((shape * (phase - centre) ** 2).sum() / shape.sum())
        return np.array([growth, power, (centre - 0.5) / spread]), shape, d

    folds = len(n)
    everything = np.ones(folds, bool)
    values, shape, _ = measures(everything)
    without = [np.arange(folds) != fold for fold in range(folds)]
    error = _jackknife(np.array([measures(keep)[0] for keep in without]))
    d, y = profiles(everything)
    scaled = y / (d[:, None] + 0.5) ** values[0]
    spread = float(np.sqrt(np.mean((scaled / scaled.mean() - shape) ** 2)))
    misfit = _misfit(d, y, _jackknife(np.array([profiles(keep)[1] for keep in without])), values[0])
    fit = _form(values[1], phase)
    deviation = float(np.sqrt(np.mean((shape - fit) ** 2)))
    growth, power, asymmetry = (
        Estimate(float(v), float(v - 1.96 * e), float(v + 1.96 * e)) for v, e in zip(values, error, strict=True)
    )
    return ShapeCollapse(growth, power, asymmetry, deviation, spread, misfit, tuple(d.tolist()))


def _jackknife(left_out: np.ndarray) -> np.ndarray:
    """Standard errors from values with each fold left out, (folds, …)."""
    folds = len(left_out)
    return np.asarray(np.sqrt((folds - 1) / folds * ((left_out - left_out.mean(0)) ** 2).sum(0)))


def _misfit(duration: np.ndarray, activity: np.ndarray, error: np.ndarray, growth: float) -> float:
    """Mean of (profile − common shape)²/error² over durations and phases; the shape is their weighted mean."""
    unit = (duration[:, None] + 0.5) ** growth
    scaled, weight = activity / unit, (unit / np.maximum(error, 1e-9 * np.abs(activity).max())) ** 2
    shape = (weight * scaled).sum(0) / weight.sum(0)
    bins, phases = scaled.shape
    return float((weight * (scaled - shape) ** 2).sum() / ((bins - 1) * phases))


def _growth(duration: np.ndarray, activity: np.ndarray) -> float:
    def misfit(growth: float) -> float:
        scaled = activity / duration[:, None] ** growth
        return float((scaled.var(0) / scaled.mean(0) ** 2).sum())

    return float(minimize_scalar(misfit, bounds=(-0.5, 2.0), method="bounded", options={"xatol": 1e-6}).x)


def _form(power: float, phase: np.ndarray) -> np.ndarray:
    form = (phase * (1 - phase)) ** power
    return np.asarray(form / form.mean())


def _power(shape: np.ndarray, phase: np.ndarray) -> float:
    def misfit(power: float) -> float:
        return float(((shape - _form(power, phase)) ** 2).sum())

    return float(minimize_scalar(misfit, bounds=(0.0, 3.0), method="bounded", options={"xatol": 1e-6}).x)
