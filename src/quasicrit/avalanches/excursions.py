"""Avalanches: maximal runs of layers in which the activity stays above a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np

from quasicrit.errors import AvalancheError

__all__ = [
    "CENSORED",
    "CONTINUITY",
    "Events",
    "corrected_size",
    "detect",
    "layer_medians",
    "trajectory_medians",
]

#: −zeta(1/2)/√(2π); theory.CONTINUITY, written out so that a job that detects does not load scipy.
CONTINUITY = 0.5825971579390107

#: Codes of the censored column, in the order of the strings that tables show.
CENSORED = ("none", "start", "end")


@dataclass(frozen=True)
class Events:
    """Events of many trajectories, ordered by trajectory and start; arrays of length n_events.

    ``trajectory``: row of the activity. ``start``: index of the first layer above threshold. ``duration``: d, layers.
    ``size_raw``: Σ(y − theta). ``censored``: 0 none, 1 start (the run was under way at the first layer looked at),
    2 end (it was still under way at the last).
    """

    trajectory: np.ndarray
    start: np.ndarray
    duration: np.ndarray
    size_raw: np.ndarray
    censored: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def corrected_size(size_raw: np.ndarray, duration: np.ndarray, step_sd: float) -> np.ndarray:
    """size = size_raw + 0.5826 sigma_1 d, 0.5826 = −zeta(1/2)/√(2π): a walk seen once per layer overshoots a
    barrier by 0.5826 steps in the mean (Chernoff 1965; Broadie, Glasserman & Kou 1997)."""
    return size_raw + CONTINUITY * step_sd * duration


def trajectory_medians(activity: np.ndarray) -> np.ndarray:
    """Median of each row of ``activity`` (trajectories, layers): the threshold of protocols T and S."""
    middle = activity.shape[1] // 2
    if activity.shape[1] % 2:
        return np.partition(activity, middle, axis=1)[:, middle].astype(np.float64)
    pair = np.partition(activity, (middle - 1, middle), axis=1)[:, middle - 1 : middle + 1]
    return pair.astype(np.float64).mean(1)


def layer_medians(activity: np.ndarray) -> np.ndarray:
    """Median of each layer across trajectories. A control only: as a threshold it manufactures criticality."""
    return np.median(activity.astype(np.float64), axis=0)


def detect(
    activity: np.ndarray,
    threshold: np.ndarray | float,
    first: Literal["include", "drop"] = "include",
    last_start: int | None = None,
) -> Events:
    """Find the avalanches of ``activity`` (trajectories, layers) above ``threshold`` (one value, or one per row).

    An event is a maximal run of layers with y_l > theta; d is its number of layers and size_raw = Σ(y_l − theta).
    first="include": a run under way at the first layer is an event that starts there; "drop": it is kept out, since
    when it began is unknown. Runs under way at the last layer are flagged "end". Events with
    start ≥ ``last_start`` (an index into the layers) are left out, so that those that stay have all had the same time
    to end (no length bias).

    Raises AvalancheError when the activity is not a table of finite numbers with at least two layers.
    """
    activity = np.asarray(activity)
    if activity.ndim != 2 or activity.shape[1] < 2 or not len(activity):
        raise AvalancheError(
            f"activity of shape {activity.shape} cannot hold avalanches; give (trajectories, layers) with at least 2 layers"
        )
    if activity.dtype not in (np.float32, np.float64):
        activity = activity.astype(np.float64)
    levels = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (len(activity),))
    if not np.isfinite(levels).all():
        raise AvalancheError("the threshold is not finite; give a number, or a finite activity to take the median of")
    activity = np.ascontiguousarray(activity)
    rows, layers = activity.shape
    capacity = layers // 2 + 2
    chunk = max(1, min(rows, (1 << 15) // capacity))
    ends = np.empty(chunk * capacity, np.int32)
    durations = np.empty(chunk * capacity, np.int32)
    sizes = np.empty(chunk * capacity, np.float64)
    counts = np.empty(chunk, np.int64)
    found: list[tuple[np.ndarray, ...]] = []
    for low in range(0, rows, chunk):
        part = activity[low : low + chunk]
        total = _runs(part, levels[low : low + chunk], ends, durations, sizes, counts)
        if total < 0:
            row, layer = (int(v[0]) for v in np.nonzero(~np.isfinite(part)))
            raise AvalancheError(
                f"trajectory {low + row} has the activity {part[row, layer]} at layer index {layer}; every value must be "
                "finite (a signal that underflowed or diverged has no logarithm to compare with a threshold)"
            )
        limit = layers if last_start is None else last_start
        found.append(_select(ends, durations, sizes, counts[: len(part)], low, layers, first == "drop", limit))
    return Events(*(np.concatenate([part[column] for part in found]) for column in range(5)))


@numba.njit(cache=True, nogil=True)
def _runs(activity, levels, ends, durations, sizes, counts):  # type: ignore[no-untyped-def]
    """Write the runs of each row one after another; returns their number, or −1 when a value is not finite.

    Without branches on the data, so that noise costs no mispredicted jumps: the slot of the running event is
    written at every layer and kept when the event ends. ``sizes`` holds the running sum of max(y − theta, 0) over
    the row at the end of each event; sizes follow by difference.
    """
    slot = np.uint64(0)
    for row in range(activity.shape[0]):
        begin = slot
        level = levels[row]
        total = 0.0
        check = 0.0
        duration = np.int32(0)
        was_up = np.uint64(0)
        for layer in range(activity.shape[1]):
            excess = activity[row, layer] - level
            check += excess * 0.0
            up = np.uint64(excess > 0.0)
            slot += was_up & ~up
            duration = np.int32((duration + 1) * np.int32(up))
            total += max(excess, 0.0)
            ends[slot] = layer
            durations[slot] = duration
            sizes[slot] = total
            was_up = up
        if check != 0.0:
            return -1
        slot += was_up
        counts[row] = slot - begin
    return np.int64(slot)


@numba.njit(cache=True, nogil=True)
def _select(ends, durations, sizes, counts, first_row, layers, drop_first, last_start):  # type: ignore[no-untyped-def]
    """The runs that count as events, as the columns of Events."""
    total = counts.sum()
    trajectory = np.empty(total, np.int32)
    start = np.empty(total, np.int32)
    duration = np.empty(total, np.int32)
    size = np.empty(total, np.float64)
    censored = np.empty(total, np.int8)
    slot = 0
    kept = 0
    for row in range(len(counts)):
        before = 0.0
        for _ in range(counts[row]):
            begin = ends[slot] - durations[slot] + 1
            trajectory[kept] = first_row + row
            start[kept] = begin
            duration[kept] = durations[slot]
            size[kept] = sizes[slot] - before
            before = sizes[slot]
            censored[kept] = 2 if ends[slot] == layers - 1 else 0
            kept += int((begin < last_start) & ((begin > 0) | (not drop_first)))
            slot += 1
    return trajectory[:kept], start[:kept], duration[:kept], size[:kept], censored[:kept]
