"""What the subcommands of ``quasicrit`` share: a user's own table in, one answer out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from quasicrit.avalanches import CENSORED
from quasicrit.errors import TableError
from quasicrit.tables import read_columns

__all__ = ["INDEPENDENT", "UserEvents", "answer", "numbers", "read_events", "table_name"]

#: The value of ``--cluster`` that takes every event as independent, and the column taken when none is given.
INDEPENDENT = "none"
_DEFAULT_CLUSTER = "net"


@dataclass(frozen=True)
class UserEvents:
    """The complete events of a user's table.

    ``values``: the columns asked for, float64 arrays (events,). ``clusters``: a code for each event, or
    None for independent events. ``cluster``: the name of the clusters' column, or None, and then ``reason``
    says why. ``notes``: what a reader of the results must know of the choice of events.
    """

    values: dict[str, np.ndarray]
    clusters: np.ndarray | None
    cluster: str | None
    reason: str
    n_censored: int
    notes: tuple[str, ...]


def table_name(path: str) -> str:
    """The table's name in messages."""
    return "standard input" if path == "-" else path


def answer(values: Mapping[str, Any], reasons: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``values`` as one JSON object: what is not a finite number becomes None, and ``reasons`` says why.

    Keys of ``reasons`` in nested objects are joined by a dot. An infinite number has the reason "infinite".
    """
    known = dict(reasons or {})

    def plain(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(f"{key}.{name}", part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(f"{key}.{index}", part) for index, part in enumerate(value)]
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            known.setdefault(key, "infinite" if math.isinf(value) else "the data do not determine it")
            return None
        return value.item() if isinstance(value, np.generic) else value

    made = {key: plain(key, value) for key, value in values.items()}
    return {**made, "reasons": known}


def numbers(frame: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """The ``column`` as float64; raises TableError with file, column and row unless all are finite."""
    series = frame[column]
    if not pd.api.types.is_numeric_dtype(series):
        text = np.nonzero(pd.to_numeric(series.astype(object), errors="coerce").isna().to_numpy())[0]
        where = f"{series.iloc[text[0]]!r} in row {text[0] + 1}" if len(text) else f"values of type {series.dtype}"
        raise TableError(f"{name}: the column {column!r} holds {where}; every value must be a number")
    values = series.to_numpy(np.float64, na_value=np.nan)
    bad = np.nonzero(~np.isfinite(values))[0]
    if len(bad):
        raise TableError(
            f"{name}: the column {column!r} is {_word(values[bad[0]])} in row {bad[0] + 1} ({len(bad)} of "
            f"{len(values)} rows are like this); every value must be a finite number"
        )
    return values


def _word(value: float) -> str:
    return "empty or NaN" if math.isnan(value) else f"{value:g}"


def read_events(path: str, columns: Sequence[str], cluster: str | None, stream: BinaryIO | None) -> UserEvents:
    """Read the events of a user's table and their clusters; censored events are left out.

    Where the table has a column ``censored`` (none, start, end), only rows with none are kept. ``cluster``
    names the column whose values are the independent units of the bootstrap (several, joined by commas,
    count together); "none" takes every event as independent; None means the column ``net`` where there is
    one with two values or more, else "none".

    Raises TableError as ``read_columns`` and ``numbers`` do, and when no complete event is left.
    """
    name = table_name(path)
    named = [] if cluster in (None, INDEPENDENT) else [part.strip() for part in str(cluster).split(",")]
    optional = ["censored", "point_id", *([_DEFAULT_CLUSTER] if cluster is None else [])]
    frame = read_columns(path, [*columns, *named], optional, stream)
    notes = []
    n_censored = 0
    if "censored" in frame:
        censored = frame["censored"].astype(object)
        unknown = ~censored.isin(CENSORED).to_numpy()
        if unknown.any():
            row = int(np.nonzero(unknown)[0][0])
            raise TableError(
                f"{name}: the column 'censored' is {censored.iloc[row]!r} in row {row + 1}; it must be one "
                f"of {', '.join(CENSORED)}"
            )
        complete = (censored == CENSORED[0]).to_numpy()
        n_censored = int((~complete).sum())
        if n_censored == len(frame):
            raise TableError(f"{name}: all {n_censored} events are censored; at least one complete event is needed")
        if n_censored:
            notes.append(f"{n_censored} censored events are left out")
        frame = frame[complete].reset_index(drop=True)
    values = {column: numbers(frame, column, name) for column in dict.fromkeys(columns)}
    if "point_id" in frame and "point_id" not in named and frame["point_id"].nunique() > 1:
        notes.append(f"the table mixes {frame['point_id'].nunique()} points (point_id); they are taken together")
    reason = "events taken as independent, as asked"
    if cluster is None:
        if _DEFAULT_CLUSTER not in frame:
            reason = f"no cluster column: events taken as independent (the default, {_DEFAULT_CLUSTER!r}, is not there)"
        elif frame[_DEFAULT_CLUSTER].nunique() < 2:
            reason = (
                f"all events are of one {_DEFAULT_CLUSTER!r}: they are taken as independent, and the errors "
                "are too small if they are not"
            )
        else:
            named = [_DEFAULT_CLUSTER]
    if not named:
        notes.append(reason)
        return UserEvents(values, None, None, reason, n_censored, tuple(notes))
    labels = frame[named]
    if labels.isna().any().any():
        row = int(np.nonzero(labels.isna().any(axis=1).to_numpy())[0][0])
        raise TableError(
            f"{name}: the cluster ({', '.join(named)}) is empty in row {row + 1}; give every event its cluster"
        )
    codes = labels.groupby(named, sort=True, observed=True).ngroup().to_numpy()
    if len(np.unique(codes)) < 2:
        raise TableError(
            f"{name}: all complete events are of one cluster ({', '.join(named)}), and an interval needs 2; "
            f"name another column, or take the events as independent with --cluster {INDEPENDENT}"
        )
    return UserEvents(values, codes, ",".join(named), "", n_censored, tuple(notes))
