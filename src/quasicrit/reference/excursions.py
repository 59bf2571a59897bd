"""Avalanches of signals: the project's own detection, on signals whose answer is known."""

from __future__ import annotations

import numpy as np

from quasicrit.avalanches import corrected_size, detect, phase_randomised, shuffle_increments, trajectory_medians
from quasicrit.reference.process import Avalanches, Signal

__all__ = ["SURROGATES", "excursions", "sample_excursions"]

SURROGATES = {"phase_randomised": phase_randomised, "shuffled_increments": shuffle_increments}
"""Surrogates of a signal, by name: the same spectrum, or the same increments in another order."""

#: Signals are made this many values at a time.
_VALUES = 1 << 21


def excursions(signal: np.ndarray, spec: Signal, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, duration and trial of the complete excursions above the level that begin ``longest`` steps before the end."""
    level = np.zeros(len(signal)) if spec.level == "zero" else trajectory_medians(signal)
    first = "include" if spec.level == "zero" else "drop"
    events = detect(signal, level, first, signal.shape[1] - longest)  # type: ignore[arg-type]
    whole = events.censored == 0
    duration = events.duration[whole].astype(np.float64)
    trial = events.trajectory[whole].astype(np.intp)
    if spec.outer == "exponential":
        running = np.zeros((len(signal), signal.shape[1] + 1))
        np.cumsum(np.exp(signal) - np.exp(level)[:, np.newaxis], axis=1, out=running[:, 1:])
        start = events.start[whole]
        size = running[trial, start + events.duration[whole]] - running[trial, start]
    else:
        size = corrected_size(events.size_raw[whole], duration, spec.step_sd)
    return size, duration, trial


def sample_excursions(
    spec: Signal, longest: int, n: int, rng: np.random.Generator, surrogate: str | None = None
) -> Avalanches:
    """Excursions of signals, each a cluster, until there are n; of their surrogates, if one is named.

    A surrogate is cut at its median, whatever the level of the signal: it has lost its start.
    """
    if surrogate is not None:
        spec = Signal(spec.make, "median", spec.step_sd, spec.outer)
    sizes, durations, clusters = [], [], []
    total = trials = 0
    chunk = 1
    while total < n:
        signal = spec.make(chunk, rng)
        if surrogate is not None:
            signal = SURROGATES[surrogate](signal, rng)
        size, duration, trial = excursions(signal, spec, longest)
        sizes.append(size)
        durations.append(duration)
        clusters.append(trial + trials)
        total += size.size
        trials += chunk
        # As many as are still missing, by what the ones so far have given; never much at once.
        needed = trials if not total else (n - total) * trials / total
        chunk = int(np.clip(np.ceil(needed), 1, max(1, _VALUES // signal.shape[1])))
    return Avalanches(np.concatenate(sizes), np.concatenate(durations), np.concatenate(clusters))
