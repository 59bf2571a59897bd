"""Exponents of CPU time against the size of the work: slopes of lines through the logarithms, where a fixed cost no longer counts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.avalanches import detect
from quasicrit.tails import fit_power_law, search_xmin

from ..many_points import many_points
from .measure import Row, exponent
from .pipeline import dry_run
from .samplers import signals
from .tails import discrete_law

TITLE = "Scaling: exponent of the time against size"


def rows() -> Iterator[Row]:
    widths = (256, 512, 1024)
    yield from sampler("gaussian", 64, (128, 128, 4), widths, "1")
    yield from sampler("tabulated", 64, (64, 2048, 8), (64, 512, 4096), "0: no unit is drawn")
    yield from sampler("weights", 16, (128, 4, 1), widths, "2: N² weights")
    yield exponent("detection, nets", lambda k: detection(k, 2000), (500, 1000, 2000), "1")
    yield exponent("detection, depth L", lambda k: detection(1000, k), (1000, 2000, 4000), "1")
    events = (100_000, 300_000, 1_000_000)
    yield exponent("fit at a given xmin, events", fit, events, "at most 1: equal durations are counted once")
    yield exponent("xmin search, events", search, events, "at most 1")
    yield from dry_runs()


def sampler(source: str, size: int, least: tuple[int, int, int], widths: Sequence[int], expected: str) -> Iterator[Row]:
    """Width, depth and networks, in groups of ``size``; ``least``: width, depth and groups where they do not vary."""
    width, depth, groups = least
    yield exponent(f"{source}, width N", lambda n: signals(source, n, depth, groups, size), widths, expected)
    depths, counts = ([k * least[i] for k in (2, 4, 8)] for i in (1, 2))
    yield exponent(f"{source}, depth L", lambda n: signals(source, width, n, groups, size), depths, "1")
    yield exponent(
        f"{source}, groups of {size} networks", lambda n: signals(source, width, depth, n, size), counts, "1"
    )


def detection(nets: int, depth: int) -> Callable[[], object]:
    y = np.cumsum(np.random.default_rng(1).standard_normal((nets, depth)), axis=1)
    return lambda: detect(y, 0.0)


def fit(n: int) -> Callable[[], object]:
    x = discrete_law(n, 2.0)
    return lambda: fit_power_law(x, xmin=4.0)


def search(n: int) -> Callable[[], object]:
    x = discrete_law(n, 2.0)
    return lambda: search_xmin(x)


def dry_runs() -> Iterator[Row]:
    """``snakemake -n`` beyond its time for the smallest: more points in the same jobs, and more blocks of the same points."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = {"block_size": 1e15}
        counts = (100, 10_000, 20_000, 40_000)
        yield beyond("dry run, points in the same jobs", counts, [{**many_points(n), **one} for n in counts], folder)
        grown = [{**many_points(1000), "block_size": size} for size in (1e15, 8e8, 4e8, 2e8)]
        yield beyond("dry run, jobs of the same points", None, grown, folder)


def beyond(name: str, sizes: Sequence[int] | None, over: Sequence[dict[str, Any]], folder: Path) -> Row:
    """Exponent of time(size) − time(smallest) against size − smallest; ``sizes`` are the numbers of jobs unless given."""
    made = [dry_run(folder, values) for values in over]
    x = np.array(sizes or [jobs for _, jobs in made], float)
    t = np.array([used for used, _ in made])
    slope = float(np.polyfit(np.log(x[1:] - x[0]), np.log(t[1:] - t[0]), 1)[0])
    return Row(f"{name}: {', '.join(f'{value:g}' for value in x[1:])}, beyond {x[0]:g}", slope, expected="at most 1")
