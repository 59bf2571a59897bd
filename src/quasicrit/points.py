"""Points of parameter space, the blocks of work made of them, and how events are defined at each.

Plain dataclasses: jobs read them from their params and need neither the configuration nor the theory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Block", "Point", "Protocol", "burn_in", "look_lengths", "protocol_of"]


@dataclass(frozen=True)
class Point:
    """One point of parameter space.

    ``sigma_w_rule`` is sigma_w as declared, a number or a named point of the theory; ``sigma_w`` its value (0 for a
    process). ``step_sd`` is sigma_1, the standard deviation of one step of ln m of a weak signal.
    """

    grid: str
    source: str
    protocol: str
    activation: str
    init: str
    process: str
    memory: float
    sigma_w_rule: str
    sigma_w: float
    sigma_b: float
    width: int
    depth: int
    nets: int
    inputs: int
    m0: float
    level: float | None
    step_sd: float
    window: tuple[int, int]
    vary_window: bool
    exponents: bool

    def params(self) -> dict[str, Any]:
        """The fields as plain data, for a rule's params."""
        return dict(
            vars(self)
        )  # dataclasses.asdict copies every value, which is most of the time of a DAG of 10,000 points

    @staticmethod
    def from_params(params: Mapping[str, Any]) -> Point:
        """The point again from its fields as plain data."""
        return Point(**{**params, "window": tuple(params["window"])})

    @property
    def point_id(self) -> str:
        """Hash of the canonical parameters: what the numbers depend on, so not the number of nets."""
        canonical = {
            name: getattr(self, name)
            for name in (
                "source", "activation", "init", "process", "memory", "sigma_w_rule", "sigma_b", "width", "depth", "inputs", "m0",
            )
        }  # fmt: skip
        text = json.dumps(canonical, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Block:
    """One job: groups of replicates of points that share source, protocol, width and depth.

    ``parts`` holds (point, first group, number of groups); a block never spans two grids.
    """

    source: str
    protocol: str
    width: int
    depth: int
    index: int
    parts: tuple[tuple[Point, int, int], ...]

    def params(self) -> dict[str, Any]:
        """The block as plain data, for a rule's params: only what its numbers depend on."""
        return {"parts": [[point.params(), first, count] for point, first, count in self.parts]}

    @staticmethod
    def parts_from(params: Mapping[str, Any]) -> tuple[tuple[Point, int, int], ...]:
        """The parts of a block again from ``params()``."""
        return tuple((Point.from_params(point), first, count) for point, first, count in params["parts"])


def burn_in(protocol: str, width: int) -> int:
    """Layers before which threshold and events do not look: one width for T (docs/physics.md 3), else none."""
    return width if protocol in ("T", "layerwise") else 0


@dataclass(frozen=True)
class Protocol:
    """How events are defined at one point (docs/physics.md 3).

    ``threshold`` is value (``level``), median (per trajectory, over the layers looked at) or layer_median
    (across networks: the control that manufactures criticality). Events use layers ≥ ``burn_in``; the first
    run is an event of its own if ``first`` is include; events that start at ``last_start`` or later are dropped.
    """

    threshold: Literal["value", "median", "layer_median"]
    level: float
    burn_in: int
    first: Literal["include", "drop"]
    last_start: int


def protocol_of(point: Point, length: int | None = None) -> Protocol:
    """The event definition of ``point``, looked at over its first ``length`` layers (default: all).

    W, F: a fixed threshold, the first run included; F uses events that start in [1, L/2).
    T: the median of each trajectory over layers ≥ N, runs already under way dropped. S (below L = 10 N): the
    median of each trajectory over all layers, the first run included. W, T: events that start less than the
    window's upper end before the last layer are dropped, so that every event in the window is complete.
    """
    length = point.depth if length is None else length
    high = point.window[1]
    if point.protocol in ("W", "F"):
        if point.level is None:
            raise ValueError(f"protocol {point.protocol} needs a level")
        last = length - high + 1 if point.protocol == "W" else length // 2
        return Protocol("value", point.level, 1, "include", last)
    if point.protocol == "S":
        return Protocol("median", 0.0, 1, "include", length + 1)
    kind: Literal["median", "layer_median"] = "median" if point.protocol == "T" else "layer_median"
    return Protocol(kind, 0.0, point.width, "drop", length - high + 1)


def look_lengths(point: Point) -> list[int]:
    """Numbers of layers at which the cut-offs of ``point`` are measured: L, L/2, L/4 … as far as the protocol allows.

    T keeps three burn-ins and twice the window; F keeps starts beyond twice the window; W twice the window; S only L.
    """
    lengths = [point.depth]
    if point.protocol == "S":
        return lengths
    start, high = burn_in(point.protocol, point.width), point.window[1]
    needed = max(3 * start, start + 2 * high) if point.protocol != "F" else 4 * high
    while lengths[-1] % 2 == 0 and lengths[-1] // 2 >= needed:
        lengths.append(lengths[-1] // 2)
    return lengths
