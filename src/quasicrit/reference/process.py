"""What a reference process is: a sampler of avalanches with its exponents, its window and its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Avalanches", "Process", "Signal"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Avalanches:
    """Complete avalanches: ``size``, ``duration`` in whole steps, ``cluster``, the independent unit of each; (n,)."""

    size: FloatArray
    duration: FloatArray
    cluster: NDArray[np.intp]


@dataclass(frozen=True)
class Signal:
    """How signals are made, and cut into avalanches.

    ``make(trials, rng)`` returns (trials, steps). ``level``: the threshold, "zero" (signals that start there: their
    first run is whole) or "median" of each signal (the first run is left out). ``step_sd``: standard deviation of a
    step, for the continuity correction of sizes; 0 for none. ``outer``: what is summed above the level, "difference"
    y − θ or "exponential" e^y − e^θ.
    """

    make: Callable[[int, np.random.Generator], FloatArray]
    level: Literal["zero", "median"]
    step_sd: float = 0.0
    outer: Literal["difference", "exponential"] = "difference"


@dataclass(frozen=True)
class Process:
    """A process whose answer is known.

    ``universality``: its class, None for an impostor. ``exponents``: exact or accepted (tau_s, tau_d, gamma), None for
    an impostor. ``curve``: where it lies on a class with a parameter, (class, parameter). ``window``: durations to fit,
    declared from its scales (lattice step below, cut-off above). ``longest``: avalanches up to this duration are
    sampled without bias. ``memory``: correlation time in steps, infinite for a critical process.
    ``sample(n, rng)`` draws complete avalanches, about n; ``signal`` is what they were cut from, if from a signal.
    """

    name: str
    label: str
    universality: str | None
    exponents: tuple[float, float, float] | None
    source: str
    window: tuple[int, int]
    longest: int
    memory: float
    sample: Callable[[int, np.random.Generator], Avalanches]
    curve: tuple[str, float] | None = None
    signal: Signal | None = None
