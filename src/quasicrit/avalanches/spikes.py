"""Spike trains and population activity: bins, neuronal avalanches, and shuffles that leave each unit its rate.

An avalanche of a population is a maximal run of bins with activity above a threshold, as in ``excursions``; for spikes
the threshold is 0, so that it begins and ends with an empty bin (Beggs and Plenz 2003, J. Neurosci. 23, 11167).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from quasicrit.avalanches.excursions import Events, detect
from quasicrit.avalanches.profiles import Profiles, mean_profiles
from quasicrit.errors import AvalancheError

__all__ = [
    "Counts",
    "SpikeTrains",
    "bin_spikes",
    "error_units",
    "mean_interval",
    "merge_bins",
    "neuronal_avalanches",
    "neuronal_profiles",
    "shift_units",
    "shuffle_bins",
    "shuffle_intervals",
]

#: More bins than this are a mistake in the units of time; they would not fit into memory either.
_MOST_BINS = 200_000_000
#: Times on the edge of a bin belong to it, whatever the rounding of time/bin.
_EDGE = 1e-6


@dataclass(frozen=True)
class SpikeTrains:
    """Spikes of many units in separate segments (trials) of a recording.

    ``time``: (spikes,), seconds; ``unit`` and ``segment``: (spikes,), codes from 0. ``bounds``: (segments, 2), when each
    segment starts and stops, seconds. ``step``: seconds between the bins of a raster, whose spikes stand at the middle of
    their bins; None where times are known as they were.
    """

    time: np.ndarray
    unit: np.ndarray
    segment: np.ndarray
    n_units: int
    bounds: np.ndarray
    step: float | None = None

    def __len__(self) -> int:
        return len(self.time)

    @property
    def duration(self) -> float:
        """Seconds of all segments together."""
        return float((self.bounds[:, 1] - self.bounds[:, 0]).sum())


@dataclass(frozen=True)
class Counts:
    """Activity of the population in bins of ``bin`` seconds: ``rows`` holds a float64 array (bins,) for each segment."""

    rows: tuple[np.ndarray, ...]
    bin: float

    @property
    def values(self) -> np.ndarray:
        """All bins, one segment after the other."""
        return np.concatenate(self.rows)


def mean_interval(trains: SpikeTrains) -> float:
    """Mean interval between successive spikes of the population, seconds: Σ(last − first)/Σ(spikes − 1) over segments.

    Raises AvalancheError when no segment has two spikes at different times.
    """
    span, intervals = 0.0, 0
    for index in range(len(trains.bounds)):
        own = trains.time[trains.segment == index]
        if len(own) > 1:
            span += float(own.max() - own.min())
            intervals += len(own) - 1
    if not span > 0.0:
        raise AvalancheError("no segment has two spikes at different times, so that there is no interval to bin by")
    return span / intervals


def bin_spikes(trains: SpikeTrains, width: float) -> Counts:
    """Count the spikes of all units in bins of ``width`` seconds from the start of each segment.

    The last bin is left out where the segment ends within it. Bins of a raster must be whole multiples of its step.
    Raises AvalancheError for an impossible width, and for one that leaves no segment two bins.
    """
    if not (math.isfinite(width) and width > 0.0):
        raise AvalancheError(f"bin = {width:g} s is impossible; it must be a finite number above 0")
    if trains.step is not None:
        multiple = round(width / trains.step)
        if multiple < 1 or abs(width / trains.step - multiple) > 1e-3:
            raise AvalancheError(
                f"bin = {width:g} s is no multiple of the raster's step, {trains.step:g} s; give a whole multiple of it"
            )
        width = multiple * trains.step
    bins = np.floor((trains.bounds[:, 1] - trains.bounds[:, 0]) / width + _EDGE).astype(np.int64)
    if bins.sum() > _MOST_BINS:
        raise AvalancheError(
            f"bins of {width:g} s make {bins.sum():.3g} of them, and {_MOST_BINS:g} are the most; give wider bins, or the "
            "unit of the times"
        )
    if bins.max() < 2:
        raise AvalancheError(f"no segment is as long as 2 bins of {width:g} s; give narrower bins")
    at = np.floor((trains.time - trains.bounds[trains.segment, 0]) / width + _EDGE).astype(np.int64)
    seen = (at >= 0) & (at < bins[trains.segment])
    first = np.cumsum(bins) - bins
    counts = np.bincount(first[trains.segment[seen]] + at[seen], minlength=int(bins.sum())).astype(np.float64)
    rows = np.split(counts, np.cumsum(bins)[:-1])
    return Counts(tuple(rows), width)


def merge_bins(counts: Counts, multiple: int) -> Counts:
    """Add up every ``multiple`` bins; what is left at the end of a segment is left out. Raises AvalancheError as ``bin_spikes``."""
    rows = [row[: len(row) // multiple * multiple].reshape(-1, multiple).sum(axis=1) for row in counts.rows]
    if max(len(row) for row in rows) < 2:
        raise AvalancheError(f"no segment is as long as 2 bins of {multiple * counts.bin:g} s; give narrower bins")
    return Counts(tuple(rows), multiple * counts.bin)


def neuronal_avalanches(counts: Counts, threshold: float = 0.0) -> Events:
    """Avalanches of the population, ``trajectory`` being the segment: size_raw = Σ(activity − threshold), duration in bins.

    Those under way in the first bin of a segment are censored "start", in its last bin "end": their beginning or end was
    not seen. Raises AvalancheError when there is none, or no bin is at or below the threshold.
    """
    packed, first = _packed(counts, threshold)
    if not any((row <= threshold).any() for row in counts.rows):
        raise AvalancheError(
            f"no bin of {counts.bin:g} s is at or below the threshold {threshold:g}, so that no avalanche ends; give narrower "
            "bins or a higher threshold"
        )
    found = detect(packed, threshold)
    if not len(found):
        raise AvalancheError(f"no bin of {counts.bin:g} s is above the threshold {threshold:g}; give a lower one")
    segment = np.searchsorted(first, found.start, side="right") - 1
    start = found.start - first[segment]
    lengths = np.array([len(row) for row in counts.rows])
    censored = np.where(start == 0, 1, np.where(start + found.duration == lengths[segment], 2, 0)).astype(np.int8)
    return Events(segment.astype(np.int32), start.astype(np.int32), found.duration, found.size_raw, censored)


def neuronal_profiles(
    counts: Counts, threshold: float, events: Events, folds: np.ndarray, bins: np.ndarray
) -> Profiles:
    """Sums of the profiles of complete events by fold (of each event) and duration bin, as ``mean_profiles``."""
    packed, first = _packed(counts, threshold)
    start = (first[events.trajectory] + events.start).astype(np.int32)
    whole = replace(events, trajectory=np.zeros(len(events), np.int32), start=start)
    made = []
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        part = Events(
            *(getattr(whole, name)[own] for name in ("trajectory", "start", "duration", "size_raw", "censored"))
        )
        made.append(mean_profiles(packed, np.array([threshold]), part, np.zeros(1, np.int64), 1, bins))
    return Profiles(
        bins, *(np.concatenate([getattr(one, name) for one in made]) for name in ("n", "duration", "activity"))
    )


def _packed(counts: Counts, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """All segments in one row (1, bins), a bin at the threshold after each, and where each begins."""
    padded = [np.append(row, threshold) for row in counts.rows]
    lengths = np.array([len(row) for row in padded])
    return np.concatenate(padded)[np.newaxis], np.cumsum(lengths) - lengths


def error_units(counts: Counts, block: float | None) -> list[tuple[int, int, int]]:
    """The independent units of the errors: (segment, first bin, bin after the last).

    ``block``: each segment is cut into equal parts of about this length, seconds, one at least; None: segments are units.
    """
    units = []
    for segment, row in enumerate(counts.rows):
        parts = 1 if block is None else max(1, round(len(row) * counts.bin / block))
        edges = np.linspace(0, len(row), min(parts, len(row)) + 1).astype(np.int64)
        units += [(segment, int(low), int(high)) for low, high in itertools.pairwise(edges)]
    return units


def shift_units(trains: SpikeTrains, rng: np.random.Generator) -> SpikeTrains:
    """Shift each unit in each segment by a random time, around its end: its own train stays, what units share is gone."""
    length = trains.bounds[:, 1] - trains.bounds[:, 0]
    shift = rng.random((len(length), trains.n_units)) * length[:, np.newaxis]
    if trains.step is not None:
        # A raster's bins stay what they are.
        shift = np.floor(shift / trains.step) * trains.step
    begin = trains.bounds[trains.segment, 0]
    own = np.mod(trains.time - begin + shift[trains.segment, trains.unit], length[trains.segment])
    return replace(trains, time=begin + own)


def shuffle_intervals(trains: SpikeTrains, rng: np.random.Generator) -> SpikeTrains:
    """Permute the intervals of each unit in each segment, after a shift by ``shift_units``: it keeps their distribution, and nothing else.

    Without the shift first and last spikes would stay where they are, and many units begin to spike in the same avalanche.
    """
    shifted = shift_units(trains, rng)
    order = np.lexsort((shifted.time, shifted.segment * trains.n_units + shifted.unit))
    time, unit, segment = shifted.time[order], shifted.unit[order], shifted.segment[order]
    begins = np.concatenate([[True], (np.diff(unit) != 0) | (np.diff(segment) != 0)])
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    gaps = np.diff(time, prepend=0.0)
    # Random keys within a group permute its intervals; its first entry, which is none, stays first.
    gaps = gaps[np.argsort(group + np.where(begins, -0.25, 0.5 * rng.random(len(time))))]
    gaps[first] = 0.0
    total = np.cumsum(gaps)
    made = time[first][group] + total - total[first][group]
    return replace(trains, time=np.minimum(made, trains.bounds[segment, 1]), unit=unit, segment=segment)


def shuffle_bins(counts: Counts, rng: np.random.Generator) -> Counts:
    """Permute the bins of each segment: the same activity without memory, where the units are not known."""
    return replace(counts, rows=tuple(rng.permutation(row) for row in counts.rows))
