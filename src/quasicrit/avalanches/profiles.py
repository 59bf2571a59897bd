"""Mean avalanche profiles: activity above threshold against the phase t/T, by duration."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from quasicrit.avalanches.excursions import CONTINUITY, Events

__all__ = ["PHASES", "Profiles", "duration_bins", "mean_profiles"]

#: Centres of the phase bins: t/T = 1/40, 3/40, … 39/40.
PHASES = (np.arange(20) + 0.5) / 20


@dataclass(frozen=True)
class Profiles:
    """Sums from which mean profiles follow, by fold of networks and duration bin.

    ``n`` and ``duration``: (folds, bins), events and the sum of their durations. ``activity``: (folds, bins, phases),
    the sum over events of y − theta + 0.5826 sigma_1 interpolated at PHASES.
    """

    bins: np.ndarray
    n: np.ndarray
    duration: np.ndarray
    activity: np.ndarray


def duration_bins(low: int, high: int) -> np.ndarray:
    """Bins [a, b] of durations, (bins, 2): half-octave bins from twice ``low`` (at least 8 layers) up to ``high``.

    Shorter events have fewer layers than the profile has phases.
    """
    edges = []
    start = float(max(2 * low, 8))
    while start * 2**0.5 <= high + 1:
        edges.append((int(np.ceil(start)), int(np.ceil(start * 2**0.5)) - 1))
        start *= 2
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def mean_profiles(
    activity: np.ndarray,
    threshold: np.ndarray,
    events: Events,
    folds: np.ndarray,
    n_folds: int,
    bins: np.ndarray,
    step_sd: float = 0.0,
) -> Profiles:
    """Sum the profiles of the complete events in each duration bin.

    The activity y − theta + 0.5826 sigma_1 of layer k = 1 … d of an event stands at phase k/(d + 1), with 0 at phases 0 and 1;
    it is interpolated linearly at PHASES. The added constant is the mean overshoot of a barrier watched once per layer (as in
    corrected sizes): the layers just outside lie that far below theta in the mean. ``folds``: fold of each trajectory;
    ``step_sd`` = sigma_1.
    """
    shape = (n_folds, len(bins))
    n, duration, sums = np.zeros(shape), np.zeros(shape), np.zeros((*shape, len(PHASES)))
    if len(bins):
        complete = events.censored == 0
        levels = np.broadcast_to(np.asarray(threshold, np.float64), (len(activity),))
        _accumulate(
            activity,
            np.ascontiguousarray(levels),
            events.trajectory[complete],
            events.start[complete],
            events.duration[complete],
            folds,
            bins,
            PHASES,
            CONTINUITY * step_sd,
            n,
            duration,
            sums,
        )
    return Profiles(bins, n, duration, sums)


@numba.njit(cache=True, nogil=True)
def _accumulate(  # type: ignore[no-untyped-def]
    activity, levels, trajectory, start, duration, folds, bins, phases, shift, n, total, sums
):
    for event in range(len(start)):
        d = duration[event]
        chosen = -1
        for b in range(len(bins)):
            if bins[b, 0] <= d <= bins[b, 1]:
                chosen = b
        if chosen < 0:
            continue
        row = trajectory[event]
        fold = folds[row]
        n[fold, chosen] += 1
        total[fold, chosen] += d
        for p in range(len(phases)):
            at = phases[p] * (d + 1)
            k = int(at)
            part = at - k
            left = activity[row, start[event] + k - 1] - levels[row] + shift if k >= 1 else 0.0
            right = activity[row, start[event] + k] - levels[row] + shift if k < d else 0.0
            sums[fold, chosen, p] += (1 - part) * left + part * right
