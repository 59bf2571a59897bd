"""A user's recording of a population: spike trains, rasters, population activity; Parquet, CSV, text or NWB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd

from quasicrit.avalanches import Counts, SpikeTrains
from quasicrit.errors import TableError
from quasicrit.stages.user_table import numbers, table_name
from quasicrit.tables import read_columns

__all__ = ["Columns", "Form", "read_recording"]

Form = Literal["spikes", "raster", "activity"]

#: How far a time of a raster may lie from its grid, in steps.
_OFF_GRID = 0.01
#: A raster of more bins than this is a mistake in its step.
_MOST_BINS = 200_000_000


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns. ``segment``: of trials; of an NWB file, the table of intervals that are segments.

    ``count``: of a raster with one row for each time and unit; None: every other column is a unit. ``time`` "" : rows are
    successive bins (rasters and activity, with a step). ``activity``: of the population.
    """

    time: str = "time"
    unit: str = "unit"
    segment: str | None = None
    count: str | None = None
    activity: str = "activity"


def read_recording(
    path: str,
    form: Form,
    columns: Columns,
    *,
    time_unit: float = 1.0,
    raster_step: float | None = None,
    start: float | None = None,
    stop: float | None = None,
    stream: BinaryIO | None = None,
) -> tuple[SpikeTrains | Counts, list[str]]:
    """Read a recording, and what a reader of the results must know of it.

    ``form``: "spikes" (a row for each spike), "raster" (counts of units in bins) or "activity" (one column in bins). A name that
    ends in .nwb is read with pynwb, spikes from its units. Times times ``time_unit`` are seconds; those of bins are where they
    begin. ``raster_step``: seconds between bins (None: the smallest difference of times). ``start`` and ``stop``, seconds, bound every segment; else spikes
    are taken from a segment's first to its last, and all bins of a raster.

    Raises TableError, naming file, column and value, for what cannot be read or is no recording.
    """
    for name, value in (("time-unit", time_unit), ("raster-step", raster_step)):
        if value is not None and not (math.isfinite(value) and value > 0.0):
            raise TableError(f"--{name} {value:g} is impossible; it must be a finite number above 0")
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and not math.isfinite(value):
            raise TableError(f"--{name} {value:g} is impossible; it must be a finite number")
    if start is not None and stop is not None and not start < stop:
        raise TableError(f"--start {start:g} must be before --stop {stop:g}")
    if Path(path).suffix == ".nwb":
        if form != "spikes":
            raise TableError(f"{path}: of an NWB file the spikes of its units are read; leave --form {form} out")
        return _bounded(path, _nwb_frame(path, columns.segment), start, stop)
    if form == "spikes":
        return _bounded(path, _spike_frame(path, columns, time_unit, stream), start, stop)
    return _gridded(path, form, columns, time_unit, raster_step, start, stop, stream)


@dataclass(frozen=True)
class _Spikes:
    """Spikes before they are bounded. ``bounds``: (segments, 2), where the file tells them."""

    time: np.ndarray
    unit: np.ndarray
    segment: np.ndarray
    n_units: int
    bounds: np.ndarray | None = None


def _codes(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    labels = frame[column]
    if labels.isna().any():
        row = int(np.nonzero(labels.isna().to_numpy())[0][0])
        raise TableError(f"{name}: the column {column!r} is empty in row {row + 1}; every row needs it")
    return labels.groupby(labels, sort=True, observed=True).ngroup().to_numpy()


def _check_names(columns: Columns, used: list[str | None]) -> list[str]:
    named = [column for column in used if column]
    for column in named:
        if named.count(column) > 1:
            raise TableError(f"the column {column!r} is named twice; every column has one meaning")
    return named


def _spike_frame(path: str, columns: Columns, time_unit: float, stream: BinaryIO | None) -> _Spikes:
    name = table_name(path)
    if not columns.time:
        raise TableError("spikes need the column of their times; name it with --time-column")
    wanted = _check_names(columns, [columns.time, columns.unit, columns.segment])
    frame = read_columns(path, wanted, stream=stream)
    unit = _codes(frame, columns.unit, name)
    segment = np.zeros(len(frame), np.int64) if not columns.segment else _codes(frame, columns.segment, name)
    return _Spikes(numbers(frame, columns.time, name) * time_unit, unit, segment, int(unit.max()) + 1)


def _bounded(path: str, spikes: _Spikes, start: float | None, stop: float | None) -> tuple[SpikeTrains, list[str]]:
    """From first to last spike of each segment, or as the file or the user bounds them; spikes outside are left out."""
    notes = []
    count = int(spikes.segment.max()) + 1 if spikes.bounds is None else len(spikes.bounds)
    if spikes.bounds is None:
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, spikes.segment, spikes.time)
        np.maximum.at(high, spikes.segment, spikes.time)
        bounds = np.column_stack([low, high])
        if start is None or stop is None:
            notes.append(
                "segments are taken from their first to their last spike where --start or --stop is not given; silence before and after is "
                "not seen"
            )
    else:
        bounds = spikes.bounds.copy()
    if start is not None:
        bounds[:, 0] = start
    if stop is not None:
        bounds[:, 1] = stop
    own = bounds[spikes.segment]
    inside = (spikes.time >= own[:, 0]) & (spikes.time <= own[:, 1])
    if not inside.any():
        raise TableError(
            f"{table_name(path)}: no spike lies between {bounds[:, 0].min():g} and {bounds[:, 1].max():g} s; look at --start, --stop and "
            "--time-unit"
        )
    if not inside.all():
        notes.append(f"{int((~inside).sum())} of {len(inside)} spikes lie outside of the segments and are left out")
    kept = (bounds[:, 1] > bounds[:, 0]) & (np.bincount(spikes.segment[inside], minlength=count) > 0)
    if not kept.all():
        notes.append(f"{int((~kept).sum())} of {count} segments without two different spike times are left out")
    if not kept.any():
        raise TableError(
            f"{table_name(path)}: no segment has two spikes at different times, so that nothing can be binned"
        )
    code = np.cumsum(kept) - 1
    inside &= kept[spikes.segment]
    return SpikeTrains(
        spikes.time[inside], spikes.unit[inside], code[spikes.segment[inside]], spikes.n_units, bounds[kept]
    ), notes


def _gridded(
    path: str,
    form: Form,
    columns: Columns,
    time_unit: float,
    raster_step: float | None,
    start: float | None,
    stop: float | None,
    stream: BinaryIO | None,
) -> tuple[SpikeTrains | Counts, list[str]]:
    """A raster or an activity, whose times are those of bins."""
    name = table_name(path)
    if not columns.time and raster_step is None:
        raise TableError(f"{name}: without a column of times the bins need their length; give --raster-step in seconds")
    if not columns.time and form == "raster" and columns.count:
        raise TableError(
            f"{name}: a raster with a row for each time and unit needs the column of times; give --time-column"
        )
    keys = [columns.time, columns.segment]
    long = form == "raster" and columns.count is not None
    value = columns.count if long else columns.activity if form == "activity" else None
    wanted = _check_names(columns, [*keys, columns.unit if long else None, value])
    frame = read_columns(path, None if form == "raster" and not long else wanted, stream=stream)
    for column in wanted:
        if column not in frame:
            raise TableError(f"{name}: the column {column!r} is missing; it has {', '.join(map(str, frame.columns))}")
    segment = np.zeros(len(frame), np.int64) if not columns.segment else _codes(frame, columns.segment, name)
    if columns.time:
        time = numbers(frame, columns.time, name) * time_unit
    else:
        time = frame.groupby(segment).cumcount().to_numpy() * float(raster_step or 0.0)
    keep = np.ones(len(frame), bool) if start is None else time >= start
    if stop is not None:
        keep &= time < stop
    if not keep.any():
        raise TableError(f"{name}: no row lies between --start and --stop; look at --time-unit as well")
    frame, time = frame[keep].reset_index(drop=True), time[keep]
    _, segment = np.unique(segment[keep], return_inverse=True)
    first, step, at = _grid(name, columns.time, time, segment, raster_step)
    lengths = np.zeros(len(first), np.int64)
    np.maximum.at(lengths, segment, at + 1)
    bounds = np.column_stack([first, first + lengths * step])
    if long:
        unit = _codes(frame, columns.unit, name)
        spikes = _whole(numbers(frame, str(columns.count), name), str(columns.count), name)
        _once(name, columns.time, time, np.column_stack([segment, at, unit]))
        rows = np.repeat(np.arange(len(frame)), spikes)
        return _raster(name, bounds, step, at[rows], unit[rows], segment[rows], int(unit.max()) + 1), []
    _once(name, columns.time, time, np.column_stack([segment, at]))
    gaps = lengths - np.bincount(segment, minlength=len(first))
    if gaps.any():
        raise TableError(
            f"{name}: {int(gaps.sum())} bins of {step:g} s are missing between the first and the last time of a segment; fill them, give "
            "the pieces as segments, or give the right --raster-step"
        )
    if form == "activity":
        values = numbers(frame, columns.activity, name)
        order = np.lexsort((at, segment))
        rows_of = np.split(values[order], np.cumsum(lengths)[:-1])
        return Counts(tuple(rows_of), step), []
    units = [column for column in frame if column not in keys]
    if not units:
        raise TableError(f"{name}: there is no column of a unit besides {', '.join(frame.columns)}")
    parts = []
    for code, column in enumerate(units):
        spikes = _whole(numbers(frame, column, name), column, name)
        rows = np.repeat(np.arange(len(frame)), spikes)
        parts.append((at[rows], np.full(len(rows), code), segment[rows]))
    where, unit, owner = (np.concatenate(column) for column in zip(*parts))
    return _raster(name, bounds, step, where, unit, owner, len(units)), []


def _grid(
    name: str, column: str, time: np.ndarray, segment: np.ndarray, raster_step: float | None
) -> tuple[np.ndarray, float, np.ndarray]:
    """First time of each segment, the step, and the bin of each row within its segment."""
    first = np.full(int(segment.max()) + 1, np.inf)
    np.minimum.at(first, segment, time)
    step = raster_step
    if step is None:
        order = np.lexsort((time, segment))
        steps = np.diff(time[order])[np.diff(segment[order]) == 0]
        steps = steps[steps > 0.0]
        if not len(steps):
            raise TableError(f"{name}: no segment has two different times in {column!r}; give --raster-step")
        # Rounding spreads equal steps a little.
        step = float(np.median(steps[steps < 1.5 * steps.min()]))
    at = (time - first[segment]) / step
    off = np.flatnonzero(np.abs(at - np.round(at)) > _OFF_GRID)
    if len(off):
        raise TableError(
            f"{name}: {column!r} is {time[off[0]]:g} s in row {off[0] + 1}, which is off the grid of {step:g} s; times must be evenly "
            "spaced (give --raster-step if this is not their step)"
        )
    if at.max() > _MOST_BINS:
        raise TableError(
            f"{name}: bins of {step:g} s make {at.max():.3g} of them; look at --raster-step and --time-unit"
        )
    return first, step, np.round(at).astype(np.int64)


def _once(name: str, column: str, time: np.ndarray, keys: np.ndarray) -> None:
    order = np.lexsort(keys.T[::-1])
    same = np.flatnonzero((np.diff(keys[order], axis=0) == 0).all(axis=1))
    if len(same):
        row = int(order[same[0] + 1])
        raise TableError(
            f"{name}: the bin at {column} {time[row]:g} s is there more than once (row {row + 1}); each bin must occur once in a segment"
        )


def _whole(values: np.ndarray, column: str, name: str) -> np.ndarray:
    bad = np.flatnonzero((values < 0) | (values != np.round(values)))
    if len(bad):
        raise TableError(
            f"{name}: the column {column!r} is {values[bad[0]]:g} in row {bad[0] + 1}; a raster holds numbers of spikes, whole and not "
            "negative (other activity: --form activity)"
        )
    return values.astype(np.int64)


def _raster(
    name: str, bounds: np.ndarray, step: float, at: np.ndarray, unit: np.ndarray, segment: np.ndarray, n_units: int
) -> SpikeTrains:
    if not len(at):
        raise TableError(f"{name}: the raster holds no spike")
    return SpikeTrains(bounds[segment, 0] + (at + 0.5) * step, unit, segment, n_units, bounds, step)


def _nwb_frame(path: str, intervals: str | None) -> _Spikes:
    """Spikes of the units of an NWB file, in the segments of its table ``intervals`` (trials, epochs, …)."""
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise TableError(f"{path}: NWB files are read with pynwb, which is not installed; pip install pynwb") from None
    if not Path(path).is_file():
        raise TableError(f"{path}: there is no such file")
    try:
        with NWBHDF5IO(path, "r") as file:
            return _nwb_spikes(path, file.read(), intervals)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        detail = (str(error).strip().splitlines() or ["no reason given"])[0][:160]
        raise TableError(f"{path}: the file cannot be read as NWB ({detail})") from None


def _nwb_spikes(path: str, file: Any, intervals: str | None) -> _Spikes:
    units = file.units
    if units is None or "spike_times" not in units.colnames:
        raise TableError(f"{path}: the file has no units with spike times")
    trains = [np.asarray(units.get_unit_spike_times(index), np.float64) for index in range(len(units.id))]
    time = np.concatenate(trains) if trains else np.empty(0)
    if not len(time):
        raise TableError(f"{path}: the units of the file have no spikes")
    if not np.isfinite(time).all():
        raise TableError(f"{path}: a spike time of the file is not a finite number")
    unit = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    if intervals:
        bounds = _nwb_intervals(path, file, intervals)
        segment = np.searchsorted(bounds[:, 0], time, side="right") - 1
        # What lies before the first interval lies outside of it too.
        segment = np.maximum(segment, 0)
        return _Spikes(time, unit, segment, len(trains), bounds)
    seen = None
    if "obs_intervals" in units.colnames:
        observed = np.concatenate([np.asarray(part, np.float64) for part in units["obs_intervals"][:]])
        if len(observed):
            seen = np.array([[observed.min(), observed.max()]])
    return _Spikes(time, unit, np.zeros(len(time), np.int64), len(trains), seen)


def _nwb_intervals(path: str, file: Any, name: str) -> np.ndarray:
    known = {table.name: table for table in (file.intervals or {}).values()}
    if name not in known:
        raise TableError(
            f"{path}: the file has no intervals {name!r}; it has {', '.join(sorted(known)) or 'none at all'}"
        )
    bounds = np.column_stack([np.asarray(known[name][key][:], np.float64) for key in ("start_time", "stop_time")])
    bounds = bounds[np.argsort(bounds[:, 0])]
    if not len(bounds) or not np.isfinite(bounds).all() or (bounds[:, 1] <= bounds[:, 0]).any():
        raise TableError(
            f"{path}: every interval of {name!r} must have a finite start before its stop, and there must be one"
        )
    if (bounds[1:, 0] < bounds[:-1, 1]).any():
        raise TableError(f"{path}: intervals of {name!r} overlap, so that a spike would be in two segments")
    return bounds
