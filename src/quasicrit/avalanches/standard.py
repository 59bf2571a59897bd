"""Activity in standard deviations of its layer: a threshold for each layer, taken across trajectories."""

from __future__ import annotations

import numpy as np

from quasicrit.avalanches.excursions import CONTINUITY, Events
from quasicrit.errors import AvalancheError

__all__ = ["size_by_layer", "standardise"]

#: With two trajectories every value is 1 or −1.
_FEWEST = 3


def standardise(activity: np.ndarray) -> np.ndarray:
    """(y_l(i) − mean_l)/sd_l of ``activity`` (trajectories i, layers l): float64, the same shape, no unit.

    Mean and standard deviation (divisor: the number of trajectories) are taken over the trajectories, layer by layer, so that a
    threshold of 1 afterwards means one standard deviation of the layer. Such a threshold takes away what all trajectories share:
    it can make a network look critical that is not, so compare with surrogates of the same trajectories.

    Raises AvalancheError for fewer than 3 trajectories, values that are not finite, and a layer without spread.
    """
    y = np.asarray(activity, np.float64)
    if y.ndim != 2 or y.shape[0] < _FEWEST:
        raise AvalancheError(
            f"standardising takes each layer's mean and spread over trajectories, and {len(y) if y.ndim == 2 else 1} "
            f"are too few; at least {_FEWEST} are needed"
        )
    if not np.isfinite(y).all():
        raise AvalancheError("the activity holds NaN or infinity; every value must be finite to be standardised")
    flat = np.flatnonzero(y.min(axis=0) == y.max(axis=0))
    if len(flat):
        raise AvalancheError(
            f"all trajectories have the same activity ({y[0, flat[0]]:g}) at layer {flat[0] + 1} of {y.shape[1]}, so it has no "
            "standard deviation; leave that layer out"
        )
    y = y - y.mean(axis=0)
    return np.asarray(y / np.sqrt(np.mean(y * y, axis=0)))


def size_by_layer(events: Events, activity: np.ndarray) -> np.ndarray:
    """size = size_raw + .5826 Σ s_l over the layers l of each event of ``activity`` (trajectories, layers).

    s_l is the standard deviation over trajectories of the step into layer l (into the second, for the first): the correction of
    ``corrected_size`` for signals whose steps differ from layer to layer. It is derived for walks.
    """
    steps = np.diff(activity, axis=1).std(axis=0)
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([steps[:1], steps]))])
    return np.asarray(events.size_raw + CONTINUITY * (running[events.start + events.duration] - running[events.start]))
