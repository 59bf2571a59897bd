"""What a class reads on a finite window: its reference process, through the same estimators.

On a window of durations [a, b] even an exact process does not read its asymptotic exponents: lattice steps bend the
law at small durations, and the cut-off of a finite system at large ones. The bias is measured, not guessed: the
process is run, fitted like any data, and compared with its exact values. Such corrections are not universal. Two
processes of one class have different ones, and so may the data, so that half of the shift counts as its uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from quasicrit.errors import FitError
from quasicrit.reference import PROCESSES, Process
from quasicrit.rng import generator
from quasicrit.scaling.classes import WindowBias
from quasicrit.scaling.crackling import Crackling, crackling

__all__ = ["bias_of", "biases_on", "class_biases", "measure_biases", "window_biases"]

#: Events of each reference process, and resamples for the covariance of its exponents.
_EVENTS = 30_000
_RESAMPLES = 200
#: The share of a shift that depends on the member of the class, not on the class.
_NOT_UNIVERSAL = 0.5


def measure_biases(
    process: Process,
    windows: Sequence[tuple[int, int]],
    n_events: int,
    rng: np.random.Generator,
    n_resamples: int = _RESAMPLES,
    *,
    offset: float = 0.5,
) -> list[WindowBias | FitError]:
    """Run ``process`` once for ``n_events`` events and fit them on each window: shift from its exact exponents, covariance.

    ``offset``: added to durations, as for ``crackling``. Where a window cannot be fitted (the process does not reach it, or has too few events there) its place holds the reason.
    Raises FitError when the process has no exact exponents.
    """
    if process.exponents is None:
        raise FitError(f"{process.label} has no exact exponents, so no bias can be measured on it.")
    made = process.sample(n_events, rng)
    found: list[WindowBias | FitError] = []
    for window in windows:
        if window[1] > process.longest:
            found.append(FitError(f"{process.label} is sampled up to durations of {process.longest} only."))
            continue
        try:
            fit = crackling(
                made.size,
                made.duration,
                made.cluster,
                window=window,
                rng=rng,
                offset=offset,
                n_resamples=n_resamples,
            )
        except FitError as error:
            found.append(error)
            continue
        found.append(WindowBias(_shift(fit, process.exponents), fit.covariance))
    return found


def _shift(found: Crackling, exponents: tuple[float, float, float]) -> np.ndarray:
    return np.array([found.tau_s.value, found.tau_d.value, found.gamma.value]) - np.array(exponents)


def bias_of(found: Crackling, exponents: tuple[float, float, float], parameter: float | None = None) -> WindowBias:
    """The bias of a class, as ``classify`` takes it, from one process of it with known ``exponents``, fitted as ``found``.

    ``parameter``: of the process, on a class that is a curve. Half of the shift is added as an error of its amplitude.
    """
    shift = _shift(found, exponents)
    return WindowBias(shift, _uncertain(shift, found.covariance), parameter)


def class_biases(measured: Mapping[str, WindowBias]) -> dict[str, tuple[WindowBias, ...]]:
    """From biases of processes (by name) on one window those of the classes, as ``classify`` takes them.

    Of a class with several processes: the mean shift, and their spread added to its covariance. A class that is a curve has
    one for every process on it, at its parameter. Half of the shift is added as an error of its amplitude.
    """
    members: dict[str, list[WindowBias]] = {}
    curves: dict[str, list[WindowBias]] = {}
    for name, bias in measured.items():
        process = PROCESSES[name]
        if process.curve is not None:
            curve, parameter = process.curve
            curves.setdefault(curve, []).append(
                WindowBias(bias.shift, _uncertain(bias.shift, bias.covariance), parameter)
            )
        if process.universality is not None:
            members.setdefault(process.universality, []).append(bias)
    made: dict[str, tuple[WindowBias, ...]] = {}
    for universality, group in members.items():
        shifts = np.array([bias.shift for bias in group])
        covariance = np.mean([bias.covariance for bias in group], axis=0) / len(group)
        if len(group) > 1:
            covariance = covariance + np.cov(shifts, rowvar=False)
        made[universality] = (WindowBias(shifts.mean(axis=0), _uncertain(shifts.mean(axis=0), covariance)),)
    return made | {name: tuple(knots) for name, knots in curves.items()}


def _uncertain(shift: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return covariance + _NOT_UNIVERSAL**2 * np.outer(shift, shift)


@lru_cache(maxsize=64)
def window_biases(
    window: tuple[int, int], *, offset: float = 0.5, n_events: int = _EVENTS, seed: int = 0
) -> dict[str, tuple[WindowBias, ...]]:
    """``class_biases`` of every reference process run for one window, durations + ``offset``; classes whose processes do not
    reach it are missing."""
    measured = {}
    for process in PROCESSES.values():
        rng = generator(seed, "window bias", process.name, *window)
        (found,) = measure_biases(process, [window], n_events, rng, offset=offset)
        if isinstance(found, WindowBias):
            measured[process.name] = found
    return class_biases(measured)


@lru_cache(maxsize=16)
def biases_on(
    windows: tuple[tuple[int, int], ...], *, offset: float = 0.5, n_events: int = _EVENTS, seed: int = 0
) -> dict[tuple[int, int], dict[str, tuple[WindowBias, ...]]]:
    """``class_biases`` on several windows, from one run of every reference process."""
    measured: dict[tuple[int, int], dict[str, WindowBias]] = {window: {} for window in windows}
    if not windows:
        return {}
    for process in PROCESSES.values():
        rng = generator(seed, "window biases", process.name)
        for window, found in zip(windows, measure_biases(process, windows, n_events, rng, offset=offset)):
            if isinstance(found, WindowBias):
                measured[window][process.name] = found
    return {window: class_biases(biases) for window, biases in measured.items()}
