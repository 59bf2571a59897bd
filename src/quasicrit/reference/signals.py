"""Signals that are not critical, to be run through the same code as the networks."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["autoregressive", "independent"]


def independent(trajectories: int, layers: int, rng: np.random.Generator) -> np.ndarray:
    """Independent standard normal values (trajectories, layers): above its median, P(d) = 2^−d exactly."""
    return rng.standard_normal((trajectories, layers))


def autoregressive(memory: float, trajectories: int, layers: int, rng: np.random.Generator) -> np.ndarray:
    """AR(1), y_t = a y_{t−1} + e_t, a = exp(−1/memory), e ~ N(0, 1), started in its stationary state.

    Within its memory it is a random walk with the exponents of the Brownian excursion; beyond, P(d) falls
    exponentially. Returns (trajectories, layers).
    """
    a = math.exp(-1.0 / memory)
    noise = rng.standard_normal((trajectories, layers))
    noise[:, 0] /= math.sqrt(1 - a * a)
    for layer in range(1, layers):
        noise[:, layer] += a * noise[:, layer - 1]
    return noise
