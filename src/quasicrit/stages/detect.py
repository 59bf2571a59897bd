"""Rule detect_avalanches: activity → events, sums for the mean profiles, and moments by length."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from quasicrit.avalanches import (
    CENSORED,
    PHASES,
    Events,
    corrected_size,
    detect,
    duration_bins,
    layer_medians,
    mean_profiles,
    trajectory_medians,
)
from quasicrit.errors import TableError
from quasicrit.points import Block, Point, look_lengths, protocol_of
from quasicrit.tables import SCHEMAS, TableWriter, constant_text, device_of, read_provenance, row_groups

__all__ = ["detect_block", "read_activity"]


@dataclasses.dataclass(frozen=True)
class _Found:
    events: Events
    threshold: np.ndarray
    burn_in: int


def detect_block(
    params: Mapping[str, Any],
    activity: Path | str,
    events: Path | str,
    shapes: Path | str,
    moments: Path | str,
    group_size: int,
    details: Mapping[str, Any],
) -> None:
    """Detect the avalanches of every point of a block, by its protocol (docs/physics.md 3).

    The moments are taken over the first L, L/2, L/4 … layers, each looked at as if the network ended there.
    """
    parts = Block.parts_from(params)
    # These tables are joined with those of other blocks: whose signals were made elsewhere is then seen.
    details = {**details, "signals_device": device_of(read_provenance(activity))}
    y = read_activity(activity, parts, group_size)
    row = 0
    with (
        TableWriter(events, SCHEMAS["events"], details) as event_writer,
        TableWriter(shapes, SCHEMAS["shapes"], details) as shape_writer,
        TableWriter(moments, SCHEMAS["moments"], details) as moment_writer,
    ):
        for point, first, count in parts:
            nets = np.arange(first * group_size, min((first + count) * group_size, point.nets), dtype=np.int32)
            trajectories = len(nets) * point.inputs
            signal = y[row : row + trajectories]
            row += trajectories
            net = np.repeat(nets, point.inputs)
            number = np.tile(np.arange(point.inputs, dtype=np.int32), len(nets))
            sd = point.step_sd
            for length in look_lengths(point):
                found = _look(point, signal, length, group_size * point.inputs)
                moment_writer.write(_moments(point, length, found.events, nets, net, sd))
                if length == point.depth:
                    event_writer.write(_event_rows(point, found, net, number, sd))
                    shape_writer.write(_shape_rows(point, signal, found, net // group_size))


def read_activity(path: Path | str, parts: Sequence[tuple[Point, int, int]], group_size: int) -> np.ndarray:
    """ln m of a block as (trajectories, layers), float32; the rows are checked to be in the declared order."""
    depth, inputs = parts[0][0].depth, parts[0][0].inputs
    nets = np.concatenate(
        [np.arange(f * group_size, min((f + c) * group_size, p.nets), dtype=np.int32) for p, f, c in parts]
    )
    trajectories = len(nets) * inputs
    y = np.empty((trajectories, depth), np.float32)
    done = 0
    for group in row_groups(path, SCHEMAS["activity"], ["net", "layer", "log_m"]):
        layers = len(group) // trajectories if trajectories else 0
        if not layers or layers * trajectories != len(group) or done + layers > depth:
            raise _misplaced(path)
        net = group["net"].to_numpy().reshape(trajectories, layers)
        layer = group["layer"].to_numpy().reshape(trajectories, layers)
        if (net[:, 0] != np.repeat(nets, inputs)).any() or (layer != np.arange(done + 1, done + layers + 1)).any():
            raise _misplaced(path)
        y[:, done : done + layers] = group["log_m"].to_numpy().reshape(trajectories, layers)
        done += layers
    if done != depth:
        raise _misplaced(path)
    return y


def _misplaced(path: Path | str) -> TableError:
    return TableError(f"{path}: the rows are not those of this block; delete the file and run again to remake it")


def _look(point: Point, signal: np.ndarray, length: int, across: int) -> _Found:
    protocol = protocol_of(point, length)
    # Column c holds layer c + 1; what is looked at starts at layer burn_in.
    y = signal[:, protocol.burn_in - 1 : length]
    if protocol.threshold == "value":
        threshold = np.full(len(y), protocol.level)
    elif protocol.threshold == "median":
        threshold = trajectory_medians(y)
    else:
        # The control: subtract each layer's median across the networks of a group, then look above 0.
        y = np.concatenate([part - layer_medians(part) for part in np.split(y, range(across, len(y), across))])
        threshold = np.zeros(len(y))
    events = detect(y, threshold, protocol.first, protocol.last_start - protocol.burn_in)
    return _Found(events, threshold, protocol.burn_in)


def _moments(point: Point, length: int, events: Events, nets: np.ndarray, net: np.ndarray, sd: float) -> dict[str, Any]:
    whole = events.censored == 0
    position = (net - nets[0])[events.trajectory]
    d = events.duration[whole].astype(np.float64)
    s = corrected_size(events.size_raw[whole], events.duration[whole], sd) / (sd if sd > 0 else 1.0)

    def sums(values: np.ndarray | None, chosen: np.ndarray) -> np.ndarray:
        return np.bincount(position[chosen], weights=values, minlength=len(nets))

    return {
        "source": point.source,
        "protocol": point.protocol,
        "point_id": point.point_id,
        "depth": length,
        "net": nets,
        "n": sums(None, whole),
        "n_censored": sums(None, ~whole),
        "d1": sums(d, whole),
        "d2": sums(d * d, whole),
        "s1": sums(s, whole),
        "s2": sums(s * s, whole),
    }


def _event_rows(point: Point, found: _Found, net: np.ndarray, number: np.ndarray, sd: float) -> pa.Table:
    events = found.events
    rows = len(events)
    return pa.Table.from_arrays(
        [
            constant_text(point.source, rows),
            constant_text(point.protocol, rows),
            constant_text(point.point_id, rows),
            pa.array(net[events.trajectory]),
            pa.array(number[events.trajectory]),
            pa.array((events.start + found.burn_in).astype(np.int32)),
            pa.array(events.duration),
            pa.array(corrected_size(events.size_raw, events.duration, sd)),
            pa.array(events.size_raw),
            pa.DictionaryArray.from_arrays(events.censored.astype(np.int32), pa.array(CENSORED)),
        ],
        schema=SCHEMAS["events"],
    )


def _shape_rows(point: Point, signal: np.ndarray, found: _Found, group: np.ndarray) -> dict[str, Any]:
    bins = duration_bins(*point.window) if point.protocol != "layerwise" else np.empty((0, 2), np.int64)
    y = np.ascontiguousarray(signal[:, found.burn_in - 1 :])
    # A fold is a group of networks: groups are never cut, so the sums do not depend on the blocks.
    first = int(group[0])
    profiles = mean_profiles(
        y, found.threshold, found.events, group - first, int(group[-1]) - first + 1, bins, point.step_sd
    )
    fold, chosen = np.nonzero(profiles.n)
    n, phases = profiles.n[fold, chosen], len(PHASES)
    return {
        "source": point.source,
        "protocol": point.protocol,
        "point_id": point.point_id,
        "fold": np.repeat(fold + first, phases),
        "duration_low": np.repeat(bins[chosen, 0], phases),
        "duration_high": np.repeat(bins[chosen, 1], phases),
        "phase": np.tile(PHASES, len(fold)),
        "n": np.repeat(n, phases),
        "mean_duration": np.repeat(profiles.duration[fold, chosen] / n, phases),
        "mean_activity": (profiles.activity[fold, chosen] / n[:, None]).ravel(),
    }
