"""Speed as ratios in one run (``make benchmarks``); each line is the median of paired repetitions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import quasicrit.stages  # one thread, before numpy starts  # noqa: F401  isort: skip
import numpy as np
import torch

from quasicrit.avalanches import detect
from quasicrit.networks import Replicas, propagate
from quasicrit.theory import sigma_c

torch.set_num_threads(1)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(
    name: str, one: Callable[[], object], two: Callable[[], object], weight: float, goal: str, repetitions: int = 7
) -> None:
    """weight × time(one)/time(two), in turn."""
    one(), two()
    found = sorted(weight * seconds(one) / seconds(two) for _ in range(repetitions))
    print(f"{name:<68} {statistics.median(found):8.2f}   ({found[0]:.2f} to {found[-1]:.2f}; {goal})", flush=True)


def signals(source: str, width: int, depth: int, groups: int) -> Callable[[], None]:
    replicas = [Replicas(("benchmark", g), 64, sigma_c("tanh", width), 0.0) for g in range(groups)]

    def work() -> None:
        for _ in propagate(source, "tanh", "gaussian", width, depth, 1, 1.0, replicas, 1):
            pass

    return work


def main() -> None:
    print("ratio, median of 7 (range; goal)")
    for width, layers in ((64, 64), (128, 32), (256, 16)):
        chain, weights = signals("gaussian", width, 320, 8), signals("weights", width, layers, 1)
        goal = "at least 100" if width == 256 else "grows with N"
        ratio(
            f"(net, layer) per second, one-input chain / real weights, N = {width}",
            weights,
            chain,
            8 * 320 / layers,
            goal,
        )
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((2000, 3000))
    walk = np.cumsum(noise, axis=1)
    out = np.empty_like(noise)
    for name, y, goal in (("critical walks", walk, "at most 1.5"), ("i.i.d. noise", noise, "at most 4")):
        ratio(
            f"time, detection / one numpy.cumsum, {name}",
            lambda y=y: detect(y, 0.0),
            lambda y=y: np.cumsum(y, 1, out=out),
            1,
            goal,
        )


if __name__ == "__main__":
    main()
