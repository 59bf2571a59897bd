"""Tail fits against powerlaw 2.0 (estimate_discrete=False, parameter_ranges alpha 1.01 to 6): theirs once, ours five times."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import powerlaw

from quasicrit.rng import generator
from quasicrit.tails import Distribution, Support, fit_power_law, p_value, search_xmin

from .measure import Row, seconds

TITLE = "Tail fits"


def discrete_law(n: int, alpha: float) -> np.ndarray:
    return Distribution("power_law", Support("discrete", 1), {"alpha": alpha}).sample(n, generator(1, "benchmark", n))


#: In a process of its own, with nothing loaded but the tail fits. The peak is that of its own memory (VmHWM): what getrusage
#: says contains the process that started it.
PEAK_OF_SEARCH = """
from quasicrit.rng import generator
from quasicrit.tails import Distribution, Support, search_xmin

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

x = Distribution("power_law", Support("discrete", 1), {"alpha": 2.0}).sample(1_000_000, generator(1, "benchmark"))
before = peak()
search_xmin(x)
print(before / 1024, peak() / 1024)
"""


def rows() -> Iterator[Row]:
    warnings.simplefilter("ignore")
    for n, alpha in ((100_000, 1.5), (100_000, 2.0), (1_000_000, 2.0)):
        yield xmin_search(n, alpha)
    made = subprocess.run([sys.executable, "-c", PEAK_OF_SEARCH], capture_output=True, text=True, check=True)
    before, peak = (float(value) for value in made.stdout.split())
    name = f"memory of the process, 1e6 events ({before:.0f} MB before the search)"
    yield Row(name, peak, unit="MB", at_most=500)
    x = discrete_law(100_000, 2.0)
    fit = fit_power_law(x, xmin=search_xmin(x).xmin)
    rng = generator(1, "p")
    took = seconds(lambda: p_value(x, fit, search="xmin", n_resamples=1000, rng=rng))
    yield Row("p-value, 1000 refits with the xmin search, 1e5 events, alpha = 2", took, unit="s", at_most=30)


def xmin_search(n: int, alpha: float) -> Row:
    x = discrete_law(n, alpha)
    made = []

    def theirs() -> None:
        options = {"discrete": True, "estimate_discrete": False, "parameter_ranges": {"alpha": [1.01, 6]}, "verbose": 0}
        made.append(powerlaw.Fit(x, **options))

    slow = seconds(theirs)
    ours = search_xmin(x)
    found = sorted(slow / seconds(lambda: search_xmin(x)) for _ in range(5))
    name = (
        f"xmin search, {n:.0e} discrete events, alpha = {alpha:g}: powerlaw / ours "
        f"(xmin {made[0].xmin:g}, {ours.xmin:g}; alpha {made[0].alpha:.4f}, {ours.exponent:.4f})"
    )
    return Row(name, found[2], found[0], found[-1], at_least=50)
