"""What a benchmark measures: rows of a table, each the median of repetitions, in CPU time (one thread; other processes matter little)."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Row", "child_seconds", "exponent", "ratio", "seconds", "timed"]

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of a table: median, lowest and highest of the repetitions; ``unit`` is empty for a ratio.

    ``at_least`` and ``at_most`` are requirements; ``expected`` says what to compare with where there is none.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf
    expected: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the requirement; None without one."""
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            return None
        return self.at_least <= self.value <= self.at_most

    @property
    def required(self) -> str:
        """The requirement in words."""
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{word} {_number(bound)}" for word, bound in bounds if math.isfinite(bound)) or self.expected

    @property
    def shown(self) -> str:
        """The median with its unit."""
        return f"{_number(self.value)} {self.unit}".strip()

    @property
    def range(self) -> str:
        """Lowest to highest repetition, if there were several."""
        return "" if math.isnan(self.low) else f"{_number(self.low)} to {_number(self.high)}"


def _number(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(work: Work) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def child_seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """CPU seconds of a process and of its children, and what it printed; raises CalledProcessError if it fails."""
    before = os.times()
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, made.stdout


def timed(name: str, work: Work, unit: str = "s", repetitions: int = 5, scale: float = 1.0, **required: float) -> Row:
    """``scale`` × seconds of ``work`` after a first call that does not count; for speeds, see ``Row.value``."""
    work()
    return _row(name, [scale * seconds(work) for _ in range(repetitions)], unit=unit, **required)


def ratio(
    name: str, one: Work, two: Work, weight: float = 1.0, repetitions: int = 7, expected: str = "", **required: float
) -> Row:
    """``weight`` × time(one) / time(two), in turn, after one call of each that does not count."""
    one(), two()
    found = [weight * seconds(one) / seconds(two) for _ in range(repetitions)]
    return _row(name, found, expected=expected, **required)


def exponent(name: str, make: Callable[[int], Work], sizes: Sequence[int], expected: str, repetitions: int = 5) -> Row:
    """Exponent of the time of ``make(size)`` against the size: slope of a line through the logarithms, by repetition."""
    works = [make(size) for size in sizes]
    for work in works:
        work()
    found = [
        float(np.polyfit(np.log(sizes), np.log([seconds(work) for work in works]), 1)[0]) for _ in range(repetitions)
    ]
    shown = ", ".join(f"{size:g}" for size in sizes)
    return _row(f"{name}: {shown}", found, expected=expected)


def _row(name: str, found: Sequence[float], unit: str = "", expected: str = "", **required: float) -> Row:
    return Row(name, statistics.median(found), min(found), max(found), unit, expected=expected, **required)
