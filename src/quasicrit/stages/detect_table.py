"""``quasicrit detect``: avalanches in a user's own table of activity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quasicrit.avalanches import CENSORED, Events, corrected_size, detect, standardise, trajectory_medians
from quasicrit.errors import AvalancheError, TableError
from quasicrit.stages.user_table import answer, numbers, table_name
from quasicrit.tables import TableWriter, read_columns

__all__ = ["check_events_name", "detect_table", "parse_threshold", "write_events"]

_MADE = ("start", "duration", "size", "size_raw", "censored")


def detect_table(
    path: str,
    output: Path | str,
    *,
    column: str,
    time: str,
    trajectory: Sequence[str],
    threshold: str,
    standard: bool = False,
    first: Literal["include", "drop"] = "include",
    burn_in: int | None = None,
    max_duration: int | None = None,
    step_sd: float | None = None,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """Detect avalanches in a user's table of activity and write them as a table of events.

    ``trajectory``: the columns whose values together name a trajectory (none: the table is one).
    ``threshold`` is "median" (of each trajectory), a number, or "quantile:p" (of each trajectory).
    ``standard``: the activity is first taken in standard deviations of its time, across all trajectories (``standardise``).
    Threshold and events use time ≥ ``burn_in``; events that start after a trajectory's last time −
    ``max_duration`` are not written. size = size_raw + 0.5826 ``step_sd`` duration, or size_raw without it.
    The events keep the trajectory columns.

    Raises TableError for a table that cannot be read, values that are not finite numbers, gaps and
    duplicates in time, and trajectories of different times where they are compared (``standard``); AvalancheError for a
    threshold that cannot be understood or leaves nothing to detect, and as ``standardise``. No file is left then.
    """
    name = table_name(path)
    rule, level = parse_threshold(threshold)
    if step_sd is not None and not (math.isfinite(step_sd) and step_sd >= 0):
        raise AvalancheError(f"step_sd = {step_sd:g} is impossible; it must be a finite number of at least 0")
    _check_names(column, time, trajectory)
    check_events_name(path, output)
    frame = read_columns(path, [column, time, *trajectory], stream=stream)
    values, times = numbers(frame, column, name), numbers(frame, time, name)
    if (times != np.round(times)).any():
        raise TableError(f"{name}: the column {time!r} must hold whole numbers, since events last whole steps")
    labels = frame[list(trajectory)]
    if labels.isna().any().any():
        row = int(np.nonzero(labels.isna().any(axis=1).to_numpy())[0][0])
        raise TableError(f"{name}: a trajectory column ({', '.join(trajectory)}) is empty in row {row + 1}")
    if trajectory:
        codes = labels.groupby(list(trajectory), sort=True, observed=True).ngroup().to_numpy()
    else:
        codes = np.zeros(len(frame), np.int64)
    order = np.lexsort((times, codes))
    codes, times, values = codes[order], times[order], values[order]

    def who(at: int) -> str:
        return ", ".join(f"{key} {labels.iloc[order[at]][key]}" for key in trajectory) or "the table"

    _check_times(name, time, codes, times, who)
    n_given = int(codes[-1]) + 1
    if burn_in is not None:
        keep = times >= burn_in
        codes, times, values, order = codes[keep], times[keep], values[keep], order[keep]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    long = ends - starts >= 2
    starts, ends = starts[long], ends[long]
    if not len(starts):
        after = "" if burn_in is None else f" from {time} {burn_in} on"
        raise AvalancheError(f"{name}: no trajectory has 2 times{after}; longer ones are needed, or a smaller burn-in")
    if standard:
        lengths = ends - starts
        if (lengths != lengths[0]).any() or (times[starts] != times[0]).any():
            raise TableError(
                f"{name}: the trajectories do not have the same times ({time}), so they cannot be standardised across each "
                "other; leave out those that are shorter"
            )
        at = starts[:, np.newaxis] + np.arange(lengths[0])
        try:
            values[at] = standardise(values[at])
        except AvalancheError as error:
            raise AvalancheError(f"{name}: {error}") from None
    levels = np.empty(len(starts))
    found: list[Events] = []
    origins: list[np.ndarray] = []
    for length in np.unique(ends - starts):
        # Trajectories of one length at a time, as rows of one array.
        rows = np.flatnonzero(ends - starts == length)
        y = values[starts[rows, np.newaxis] + np.arange(length)]
        if rule != "value":
            constant = np.flatnonzero(y.min(axis=1) == y.max(axis=1))
            if len(constant):
                raise AvalancheError(
                    f"{name}: {column!r} is constant ({y[constant[0], 0]:g}) in "
                    f"{who(int(starts[rows[constant[0]]]))}, so the threshold {threshold} finds no "
                    "avalanches in it; leave it out, or give a number as the threshold"
                )
        if rule == "median":
            levels[rows] = trajectory_medians(y)
        else:
            levels[rows] = level if rule == "value" else np.quantile(y, level, axis=1)
        last = None if max_duration is None else int(length) - max_duration
        found.append(detect(y, levels[rows], first, last))
        origins.append(starts[rows[found[-1].trajectory]])
    origin, start, duration, size_raw, censored = (
        np.concatenate(parts)
        for parts in (
            origins,
            *([getattr(one, key) for one in found] for key in ("start", "duration", "size_raw", "censored")),
        )
    )
    if not len(origin):
        raise AvalancheError(
            f"{name}: no avalanche rises above the threshold ({threshold}) among those asked for; give a "
            "lower threshold, or look at --first and --max-duration"
        )
    by_time = np.lexsort((start, origin))
    origin, start, duration, size_raw, censored = (
        part[by_time] for part in (origin, start, duration, size_raw, censored)
    )
    table = labels.iloc[order[origin]].reset_index(drop=True)
    table["start"] = (times[origin] + start).astype(np.int64)
    table["duration"] = duration.astype(np.int64)
    table["size"] = size_raw if step_sd is None else corrected_size(size_raw, duration, step_sd)
    table["size_raw"] = size_raw
    table["censored"] = pd.Categorical.from_codes(censored, list(CENSORED))
    write_events(output, table, {"made_by": "quasicrit detect", "threshold": threshold, "standardised": standard})
    one = bool((levels == levels[0]).all())
    skipped = n_given - len(starts)
    notes = [f"{skipped} trajectories of fewer than 2 times are left out"] if skipped else []
    if standard:
        notes.append(
            "a threshold for each time across trajectories can make a network look critical that is not: compare with surrogates"
        )
    return answer(
        {
            "n_trajectories": len(starts),
            "n_events": int((censored == 0).sum()),
            "n_censored": int((censored != 0).sum()),
            "threshold": levels[0] if one else None,
            "threshold_rule": threshold,
            "threshold_low": levels.min(),
            "threshold_high": levels.max(),
            "out": str(output),
            "notes": notes,
        },
        {} if one else {"threshold": "each trajectory has its own"},
    )


def check_events_name(path: str, output: Path | str) -> None:
    """Raise TableError unless events can be written to ``output`` without harm to the activity at ``path``."""
    if Path(output).suffix != ".parquet":
        raise TableError(
            f"out = {str(output)!r} is no name for the events; they are Parquet, so it must end in .parquet"
        )
    if path != "-" and Path(path).resolve() == Path(output).resolve():
        raise TableError(f"{path}: the events would overwrite the activity; give another name to write to")


def _check_names(column: str, time: str, trajectory: Sequence[str]) -> None:
    names = [column, time, *trajectory]
    for key in names:
        if names.count(key) > 1:
            raise TableError(f"the column {key!r} is named twice; column, time and trajectory must be different ones")
    for key in trajectory:
        if key in _MADE:
            raise TableError(
                f"trajectory = {key!r} is a column that the events get; rename it ({', '.join(_MADE)} are taken)"
            )


def _check_times(name: str, time: str, codes: np.ndarray, times: np.ndarray, who: Callable[[int], str]) -> None:
    """Every time of a trajectory must occur once, without gaps."""
    same, steps = codes[1:] == codes[:-1], np.diff(times)
    twice, gap = np.flatnonzero(same & (steps == 0)), np.flatnonzero(same & (steps > 1))
    if len(twice):
        at = int(twice[0])
        raise TableError(
            f"{name}: {who(at)} has {time} {times[at]:.0f} more than once; each time must occur once in a trajectory"
        )
    if len(gap):
        at = int(gap[0])
        raise TableError(
            f"{name}: {who(at)} has a gap in {time} after {times[at]:.0f} (next is {times[at + 1]:.0f}); "
            "fill it, or give the pieces as trajectories of their own"
        )


def write_events(output: Path | str, table: pd.DataFrame, details: dict[str, Any]) -> None:
    """Write a table of events that keeps the user's own columns; ``details`` go into its provenance."""
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    # The user's types may change on the way through Parquet (seconds, say, become milliseconds); the digest
    # that is checked on reading needs those that come out.
    buffer = pa.BufferOutputStream()
    pq.write_table(arrow.schema.empty_table(), buffer)
    arrow = arrow.cast(pq.read_schema(pa.BufferReader(buffer.getvalue())).remove_metadata())
    with TableWriter(output, arrow.schema, details) as writer:
        writer.write(arrow)


def parse_threshold(text: str) -> tuple[Literal["median", "quantile", "value"], float]:
    """The kind of threshold, and p or the value."""
    if text == "median":
        return "median", 0.5
    try:
        if text.startswith("quantile:"):
            p = float(text.removeprefix("quantile:"))
            if 0 < p < 1:
                return "quantile", p
        else:
            value = float(text)
            if math.isfinite(value):
                return "value", value
    except ValueError:
        pass
    raise AvalancheError(f"threshold = {text!r} is not understood; give median, a number, or quantile:p with 0 < p < 1")
