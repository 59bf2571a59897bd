"""Exact processes at the depth of a network: what its estimators read where the answer is known."""

from __future__ import annotations

import numpy as np

from quasicrit.avalanches import corrected_size, detect, standardise
from quasicrit.reference.signals import fractional_noise

__all__ = ["branching_at_depth", "walk_at_depth"]


def branching_at_depth(depth: int, last_start: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Size and duration of critical branching trees of Poisson(1) children that end before generation ``depth``, float64.

    ``n`` trees are started, their roots in generations 0 … ``last_start`` in equal shares, as the roots of lineages are in layers. What lives
    on in generation ``depth`` is left out.
    """
    start = rng.integers(0, last_start + 1, n)
    alive = np.ones(n, np.int64)
    size = np.ones(n, np.int64)
    duration = np.ones(n, np.int64)
    for generation in range(1, depth + 1):
        running = np.nonzero((alive > 0) & (start + generation <= depth))[0]
        alive[running] = rng.poisson(alive[running])
        size[running] += alive[running]
        duration[running] += alive[running] > 0
    complete = alive == 0
    return size[complete].astype(np.float64), duration[complete].astype(np.float64)


def walk_at_depth(
    layers: int, last_start: int, trajectories: int, threshold: float, hurst: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Excursions of fractional walks over ``layers`` steps, z-scored per layer across walks and cut at ``threshold``.

    Size Σ(z − threshold) + .5826 s d with s the standard deviation of a step of z, duration d, and walk of each complete excursion that
    starts before layer index ``last_start``. ``hurst``: H, ½ for a random walk.
    """
    z = standardise(np.cumsum(fractional_noise(hurst, trajectories, layers, rng), axis=1))
    events = detect(z, threshold, "drop", last_start)
    whole = events.censored == 0
    size = corrected_size(events.size_raw, events.duration, float(np.diff(z, axis=1).std()))
    return size[whole], events.duration[whole].astype(np.float64), events.trajectory[whole]
