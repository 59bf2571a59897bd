"""Exact processes at the depth of a network: what its estimators read where the answer is known."""

from __future__ import annotations

import numpy as np

from quasicrit.reference.signals import fractional_noise

__all__ = ["branching_at_depth", "population_at_depth", "walk_at_depth"]


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

    Size Σ(z − threshold) with the correction of ``size_by_layer``, duration d, and walk of each complete excursion that starts before
    layer index ``last_start``. ``hurst``: H, ½ for a random walk.
    """
    return _cut(np.cumsum(fractional_noise(hurst, trajectories, layers, rng), axis=1), last_start, threshold)


def population_at_depth(
    layers: int, last_start: int, trajectories: int, threshold: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Excursions of the activity of critical branching populations, z-scored and cut as those of ``walk_at_depth``.

    A_{l+1} ~ Poisson(A_l) from ten individuals per layer, so that few populations (e^−20 of them) die on the way. This is what a network
    whose layers were such a process would show to a definition that looks at activity.
    """
    activity = np.empty((trajectories, layers))
    activity[:, 0] = rng.poisson(10.0 * layers, trajectories)
    for layer in range(1, layers):
        activity[:, layer] = rng.poisson(activity[:, layer - 1])
    return _cut(activity, last_start, threshold)


def _cut(activity: np.ndarray, last_start: int, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Not above: it loads numba, which who reads the registry alone does not need.
    from quasicrit.avalanches import detect, size_by_layer, standardise

    z = standardise(activity)
    events = detect(z, threshold, "drop", last_start)
    whole = events.censored == 0
    return size_by_layer(events, z)[whole], events.duration[whole].astype(np.float64), events.trajectory[whole]
