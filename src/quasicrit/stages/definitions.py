"""Rule map_definitions: the same signals under other thresholds, sizes and windows, each to its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.avalanches import Events, corrected_size, detect, trajectory_medians
from quasicrit.errors import FitError
from quasicrit.points import Block, Point, protocol_of
from quasicrit.reference.excursions import SURROGATES
from quasicrit.rng import generator
from quasicrit.scaling import Crackling, WindowBias, classify, crackling
from quasicrit.stages.classes import read_biases
from quasicrit.stages.covariance import EXPONENTS
from quasicrit.stages.detect import read_activity
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["SIZES", "Found", "map_definitions"]


@dataclass(frozen=True)
class Found:
    """The events of signals: ``y`` = ln m (trajectories, layers), the ``threshold`` θ of each trajectory, and sigma_1, ``step_sd``."""

    y: np.ndarray
    threshold: np.ndarray
    events: Events
    step_sd: float

    def total(self, values: np.ndarray) -> np.ndarray:
        """Σ of ``values`` (trajectories, layers) over the layers of each event, as a difference of running sums."""
        events = self.events
        running = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
        return running[events.trajectory, events.start + events.duration] - running[events.trajectory, events.start]

    @cached_property
    def activity(self) -> np.ndarray:
        """Σ m/m_θ of each event."""
        return self.total(np.exp(np.minimum(self.y - self.threshold[:, np.newaxis], 700.0)))


SIZES: Mapping[str, Callable[[Found], np.ndarray]] = {
    "log_area": lambda found: corrected_size(found.events.size_raw, found.events.duration, found.step_sd),
    "log_area_raw": lambda found: found.events.size_raw,
    "excess": lambda found: found.activity - found.events.duration,
    "activity": lambda found: found.activity,
}
"""The size of every event by each definition: Σ(y − θ) with and without the continuity correction; Σ(m/m_θ − 1); Σ m/m_θ, the
whole area (y = ln m). One entry makes one definition."""


def map_definitions(
    params: Mapping[str, Any],
    activity: Sequence[Path | str],
    biases: Sequence[Path | str],
    out: Path | str,
    group_size: int,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Detect and fit the chosen points under every definition.

    ``params``: ``blocks``, the blocks of ``activity`` in its order; ``thresholds``, shifts of the protocol's own
    threshold in standard deviations of each trajectory; ``windows``, (source, protocol) → windows besides the point's own;
    ``resamples``, ``tolerance``.
    """
    signals: dict[str, tuple[Point, list[np.ndarray], list[np.ndarray]]] = {}
    for path, block in zip(activity, params["blocks"], strict=True):
        parts = Block.parts_from(block)
        y = read_activity(path, parts, group_size)
        row = 0
        for point, first, count in parts:
            nets = np.arange(first * group_size, min((first + count) * group_size, point.nets))
            trajectories = len(nets) * point.inputs
            key = f"{point.source}/{point.protocol}/{point.point_id}"
            _, parts_y, parts_net = signals.setdefault(key, (point, [], []))
            parts_y.append(y[row : row + trajectories])
            parts_net.append(np.repeat(nets, point.inputs))
            row += trajectories
    known = read_biases(biases)
    rows: list[dict[str, Any]] = []
    for point, parts_y, parts_net in signals.values():
        net = np.concatenate(parts_net)
        order = np.argsort(net, kind="stable")
        rows += _point_rows(point, np.concatenate(parts_y)[order], net[order], params, known, seed)
    write_table(out, SCHEMAS["definitions"], rows, details)


def _point_rows(
    point: Point,
    signal: np.ndarray,
    net: np.ndarray,
    params: Mapping[str, Any],
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]],
    seed: int,
) -> list[dict[str, Any]]:
    protocol = protocol_of(point)
    y = signal[:, protocol.burn_in - 1 :].astype(np.float64)
    own = np.full(len(y), protocol.level) if protocol.threshold == "value" else trajectory_medians(y)
    spread = y.std(axis=1)
    windows = [tuple(point.window), *(tuple(w) for w in params["windows"].get(point.protocol, ()))]
    windows = [w for w in dict.fromkeys(windows) if w[1] <= point.window[1]]
    rows = []
    primary: Crackling | None = None
    for shift in params["thresholds"]:
        cut = _cut(point, y, own + shift * spread, net)
        for definition in SIZES:
            for low, high in windows:
                names = {"signal": "own", "threshold": float(shift), "size": definition}
                is_primary = shift == 0 and definition == "log_area" and (low, high) == tuple(point.window)
                row, found = _row(point, cut, names, (int(low), int(high)), params, biases, seed)
                rows.append({**row, "primary": is_primary, "moved": None})
                if is_primary:
                    primary = found
    for name, surrogate in SURROGATES.items():
        made = surrogate(y, generator(seed, "surrogate", name, point.point_id))
        # A surrogate has lost its start: where that was the threshold, the median is.
        level = own if protocol.threshold == "value" and name == "shuffled_increments" else trajectory_medians(made)
        names = {"signal": name, "threshold": 0.0, "size": "log_area"}
        window = (int(point.window[0]), int(point.window[1]))
        row, found = _row(point, _cut(point, made, level, net), names, window, params, biases, seed)
        # Cut at another kind of level, it differs for that alone.
        comparable = protocol.threshold != "value" or name == "shuffled_increments"
        rows.append({**row, "primary": False, "moved": _distance(primary, found) if comparable else None})
    return rows


@dataclass(frozen=True)
class _Cut:
    """Complete events of every trajectory: size by definition, duration, net."""

    size: Mapping[str, np.ndarray]
    duration: np.ndarray
    cluster: np.ndarray


def _cut(point: Point, y: np.ndarray, threshold: np.ndarray, net: np.ndarray) -> _Cut:
    protocol = protocol_of(point)
    events = detect(y, threshold, protocol.first, protocol.last_start - protocol.burn_in)
    whole = events.censored == 0
    found = Found(y, threshold, events, point.step_sd)
    return _Cut(
        {name: size(found)[whole] for name, size in SIZES.items()},
        events.duration[whole].astype(np.float64),
        net[events.trajectory[whole]],
    )


def _row(
    point: Point,
    cut: _Cut,
    names: Mapping[str, Any],
    window: tuple[int, int],
    params: Mapping[str, Any],
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]],
    seed: int,
) -> tuple[dict[str, Any], Crackling | None]:
    row: dict[str, Any] = {
        "source": point.source,
        "protocol": point.protocol,
        "point_id": point.point_id,
        **names,
        "window_low": window[0],
        "window_high": window[1],
    }
    try:
        found = crackling(
            cut.size[names["size"]],
            cut.duration,
            cut.cluster,
            window=window,
            step_sd=point.step_sd if names["size"] == "log_area" and point.step_sd > 0 else None,
            rng=generator(seed, "definitions", point.point_id, *map(str, names.values()), *window),
            n_resamples=params["resamples"],
            tolerance=params["tolerance"],
        )
        posterior = classify(
            [getattr(found, name).value for name in EXPONENTS],
            found.covariance,
            biases=biases.get(window),
        )
    except FitError as error:
        row |= dict.fromkeys((*EXPONENTS, "difference", "probability"))
        return row | {"n_events": 0, "relation": "undecided", "verdict": "none", "reason": str(error)}, None
    row |= {name: getattr(found, name).value for name in EXPONENTS}
    row |= {
        "n_events": found.n_events,
        "difference": found.difference.value,
        "relation": {True: "holds", False: "broken", None: "undecided"}[found.holds],
        "verdict": posterior.verdict,
        "probability": posterior.classes[0].probability,
        "reason": "",
    }
    return row, found


def _distance(one: Crackling | None, other: Crackling | None) -> float | None:
    """Between two triples of exponents, in standard errors: √(Δᵀ (C + C')⁻¹ Δ)."""
    if one is None or other is None:
        return None
    first, second = (np.array([getattr(found, name).value for name in EXPONENTS]) for found in (one, other))
    covariance = one.covariance + other.covariance
    return float(np.sqrt((first - second) @ np.linalg.solve(covariance, first - second)))
