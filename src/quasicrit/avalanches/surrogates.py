"""Surrogates of a signal: what is left of a result when the order in time is taken away."""

from __future__ import annotations

import numpy as np

__all__ = ["shuffle_layers"]


def shuffle_layers(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute the layers of each trajectory (trajectories, layers) independently: same values, no memory."""
    return rng.permuted(activity, axis=1)
