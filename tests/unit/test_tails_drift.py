"""The drift of the exponent: zero for power laws within its error, that of a lognormal where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.rng import generator
from quasicrit.tails import Distribution, Kind, Support, exponent_drift, fit_power_law


@pytest.mark.parametrize(
    ("kind", "alpha", "xmax"),
    [("continuous", 1.5, 100.0), ("discrete", 1.5, 300.0), ("continuous", 2.5, math.inf), ("discrete", 2.2, math.inf)],
)
def test_power_laws_do_not_drift(kind: Kind, alpha: float, xmax: float) -> None:
    rng = generator(1, "drift", kind, f"{alpha:g}")
    law = Distribution("power_law", Support(kind, 1.0, xmax), {"alpha": alpha})
    z = []
    bounded = 0
    for _ in range(120):
        x = law.sample(1500, rng)
        drift = exponent_drift(x, fit_power_law(x, kind=kind, xmin=1.0, xmax=xmax))
        z.append(drift.value / drift.error)
        bounded += drift.bound > 0.0 and abs(drift.value) <= drift.bound
    scores = np.array(z)
    # On an open window the score of a curvature has heavy tails (E r² is dominated by the largest events), so the
    # estimate is skewed; medians and shares are held, not moments. Four s.d. of a share ½ of 120: .18.
    assert (scores > 0).mean() == pytest.approx(0.5, abs=0.18 + (0.1 if math.isinf(xmax) else 0.0))
    # P(|z| > 1.96) is .05 for normal scores; more than .18 of 120 has probability 1e-7 there.
    assert (np.abs(scores) > 1.96).mean() < 0.18
    assert bounded == 120


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_the_drift_of_a_lognormal_is_its_width_over_sigma_squared(sigma: float) -> None:
    rng = generator(2, "lognormal", f"{sigma:g}")
    support = Support("continuous", 1.0, 1000.0)
    law = Distribution("lognormal", support, {"mu": -1.0, "sigma": sigma})
    # Of the local exponent 1 + (ln x − mu)/sigma², from xmin to the largest event.
    z = []
    for _ in range(40):
        x = law.sample(3000, rng)
        drift = exponent_drift(x, fit_power_law(x, xmin=1.0, xmax=1000.0))
        z.append((drift.value - math.log(x.max()) / sigma**2) / drift.error)
    # Means of 40 normal scores: s.d. .16; the bias of maximum likelihood at n = 3000 is smaller than that.
    assert abs(np.mean(z)) < 4 * 0.16 + 0.1
    assert 0.6 < np.std(z) < 1.5


def test_upward_bends_have_a_negative_drift() -> None:
    # Two laws in one: the shallow one takes over at large x.
    rng = generator(3, "upward")
    x = np.concatenate([(1 - rng.random(4000)) ** (-1 / 2.0), (1 - rng.random(400)) ** (-1 / 0.3)])
    x = x[x < 1e4]
    drift = exponent_drift(x, fit_power_law(x, xmin=1.0, xmax=1e4))
    assert drift.value < -4 * drift.error


def test_clusters_enlarge_the_error() -> None:
    rng = generator(4, "clusters")
    values = (1 - rng.random(500)) ** -1.0
    x, labels = np.repeat(values, 4), np.repeat(np.arange(500), 4)
    fit = fit_power_law(x, xmin=1.0)
    alone = exponent_drift(x, fit)
    clustered = exponent_drift(x, fit, clusters=labels)
    assert clustered.value == alone.value
    # Four copies of each: the variance of a sum is four times that of independent events.
    assert clustered.error == pytest.approx(2.0 * alone.error, rel=1e-9)


def test_two_integers_leave_it_unknown() -> None:
    x = np.repeat([1.0, 2.0], [70, 30])
    drift = exponent_drift(x, fit_power_law(x, xmin=1, xmax=2))
    assert math.isinf(drift.error)
    assert math.isinf(drift.bound)
