"""The exact one-input chain against real weight matrices; the tabulated chain against both, and its own speed, which no width changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from quasicrit.networks import Replicas, propagate
from quasicrit.theory import sigma_c

from .measure import Row, ratio, seconds

TITLE = "Samplers of signals, (net, layer) per second"


def signals(
    source: str, width: int, depth: int, groups: int, size: int = 64, sigma_b: float = 0.0
) -> Callable[[], None]:
    """Propagate ``groups`` × ``size`` networks."""
    replicas = [Replicas(("benchmark", g), size, sigma_c("tanh", width), sigma_b) for g in range(groups)]

    def work() -> None:
        for _ in propagate(source, "tanh", "gaussian", width, depth, 1, 1.0, replicas, 1):
            pass

    return work


def rows() -> Iterator[Row]:
    for width, layers in ((64, 64), (128, 32), (256, 16)):
        chain, weights = signals("gaussian", width, 320, 8), signals("weights", width, layers, 1)
        name = f"one-input chain / real weights, N = {width}"
        required = {"at_least": 100.0} if width == 256 else {}
        yield ratio(name, weights, chain, 8 * 320 / layers, expected="grows with N", **required)
    for width, chain_layers, nets in ((64, 256, 64), (512, 64, 16), (4096, 32, 1)):
        table = signals("tabulated", width, 4096, 16)
        for name, layers, size, other in (
            ("one-input chain", chain_layers, 64, signals("gaussian", width, chain_layers, 1)),
            ("real weights", 4, nets, signals("weights", width, 4, 1, nets)),
        ):
            # The table's 16 × 64 × 4096 (net, layer) steps against the other's.
            weight = 16 * 64 * 4096 / (layers * size)
            yield ratio(f"tabulated / {name}, N = {width}", other, table, weight, 5, expected="grows with N")
    for sigma_b in (0.0, 0.1):
        work = signals("tabulated", 4096, 4096, 64, 16, sigma_b)
        work()
        found = sorted(64 * 16 * 4096 / seconds(work) for _ in range(7))
        name = f"tabulated, sigma_b = {sigma_b:g}, N = 4096"
        yield Row(name, found[3], found[0], found[-1], "per second", at_least=2e7)
