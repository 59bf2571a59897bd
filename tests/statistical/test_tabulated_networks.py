"""The tabulated chain against samples of the exact law: one layer at 1e6 draws, and stationary signals with their avalanches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from quasicrit.avalanches import detect, trajectory_medians
from quasicrit.errors import PropagationError
from quasicrit.networks import Replicas, propagate
from quasicrit.rng import generator
from quasicrit.theory import ACTIVATIONS, sigma_c

DRAWS = 1 << 20
#: Asymptotic two-sided Kolmogorov quantile at 1e-5: of some forty comparisons one exceeds it with probability 4e-4.
CRITICAL = math.sqrt(-0.5 * math.log(0.5e-5))


def draws(activation: str, width: int, q: float) -> np.ndarray:
    """ln(m'/q) of 2^20 networks after one layer."""
    replicas = [Replicas(("draws", activation, width, g), 1 << 14, 1.0, 0.0) for g in range(DRAWS >> 14)]
    block = next(iter(propagate("tabulated", activation, "gaussian", width, 1, 1, q, replicas, 1)))
    return block.log_m[:, 0, 0] - math.log(q)


def exact_draws(activation: str, width: int, q: float, count: int) -> np.ndarray:
    """The same from its definition, N units each, in float64; a dead relu layer is drawn again."""
    phi = ACTIVATIONS[activation].phi
    rng = generator(2, "exact", activation, width)
    made = []
    rows = max(1, (1 << 18) // width)
    for _ in range(math.ceil(count / rows)):
        m = (phi(math.sqrt(q) * rng.standard_normal((rows, width))) ** 2).mean(1) / q
        made.append(np.log(m[m > 0]))
    return np.concatenate(made)


CASES = [
    *((a, w, q) for a in ("tanh", "erf", "gelu", "silu") for w in (8, 32) for q in (0.01, 1.0, 8.0)),
    *((a, 128, 1.0) for a in ("tanh", "erf", "gelu", "silu")),
    *((a, w, 1.0) for a in ("leaky_relu", "linear") for w in (8, 32, 128)),
    *(("relu", w, 1.0) for w in (32, 128)),
]


@pytest.mark.parametrize(("activation", "width", "q"), CASES)
def test_one_layer_has_the_exact_law(activation: str, width: int, q: float) -> None:
    """Two-sample Kolmogorov–Smirnov; 2^20 tabulated draws against as many exact ones (2^18 at N = 128)."""
    one, two = draws(activation, width, q), exact_draws(activation, width, q, DRAWS >> (2 if width == 128 else 0))
    distance = stats.ks_2samp(one, two, method="asymp").statistic
    assert distance < CRITICAL * math.sqrt(1 / len(one) + 1 / len(two))


def test_a_relu_layer_of_eight_units_that_lives_has_the_exact_law() -> None:
    """K ≥ 1 of 8 units: the networks that do not die at the first layer; a shift of ln m by .005 sigma_1 would be seen."""
    replicas = [Replicas(("alive", g), 16, 1.0, 0.0) for g in range(1 << 14)]
    made = []
    for group in replicas:
        try:
            made.append(next(iter(propagate("tabulated", "relu", "gaussian", 8, 1, 1, 1.0, [group], 1))).log_m[:, 0, 0])
        except PropagationError:
            continue  # one of the 16 died, whatever the others' m: what is left is conditional on life alone
    one, two = np.concatenate(made), exact_draws("relu", 8, 1.0, DRAWS >> 2)
    # A group lives with probability (1 − 2^-8)^16 = .939.
    assert abs(len(made) / len(replicas) - (1 - 2**-8) ** 16) < 5 * math.sqrt(0.939 * 0.061 / len(replicas))
    assert stats.ks_2samp(one, two, method="asymp").statistic < CRITICAL * math.sqrt(1 / len(one) + 1 / len(two))


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_a_weak_layer_of_4096_units_is_a_gamma_variate(activation: str) -> None:
    """One-sample Kolmogorov–Smirnov against chi²_4096/4096, q = 1e-8: 1e6 draws resolve .002 sigma_1 = 4e-5 in ln m."""
    x = np.exp(draws(activation, 4096, 1e-8).astype(np.float64)) * 4096 / ACTIVATIONS[activation].slope_right ** 2
    distance = stats.kstest(x, stats.chi2(4096).cdf, method="asymp").statistic
    assert distance < CRITICAL / math.sqrt(len(x))


def test_a_strong_layer_of_4096_units_has_the_exact_law() -> None:
    one, two = draws("tanh", 4096, 1.0), exact_draws("tanh", 4096, 1.0, 1 << 16)
    assert stats.ks_2samp(one, two, method="asymp").statistic < CRITICAL * math.sqrt(1 / len(one) + 1 / len(two))


def test_the_comparison_has_power() -> None:
    """The same with ln m shifted by .02 sigma_1, or with N = 33 for 32."""
    one, two = draws("tanh", 32, 1.0), exact_draws("tanh", 32, 1.0, DRAWS)
    critical = CRITICAL * math.sqrt(2 / DRAWS)
    assert stats.ks_2samp(one + 0.02 * one.std(), two, method="asymp").statistic > critical
    assert stats.ks_2samp(draws("tanh", 33, 1.0), two, method="asymp").statistic > critical


def activity(source: str, sigma_w: float, sigma_b: float, m0: float = 1.0) -> np.ndarray:
    replicas = [Replicas(("stationary", source, g), 64, sigma_w, sigma_b) for g in range(12)]
    blocks = propagate(source, "tanh", "gaussian", 32, 2000, 1, m0, replicas, 6)
    return np.concatenate([block.log_m[:, 0] for block in blocks], axis=1)


def jackknife(numerator: np.ndarray, denominator: np.ndarray) -> tuple[float, float]:
    """Ratio of sums over networks, and its standard error by leaving out one network at a time."""
    left = (numerator.sum() - numerator) / (denominator.sum() - denominator)
    n = len(numerator)
    return numerator.sum() / denominator.sum(), math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())


def same(one: tuple[float, float], two: tuple[float, float]) -> None:
    assert abs(one[0] - two[0]) < 4 * math.hypot(one[1], two[1])


@pytest.mark.parametrize(("rule", "sigma_b"), [("critical", 0.0), ("critical", 0.05), ("chaotic", 0.0)])
def test_stationary_signals_and_avalanches_are_those_of_the_exact_chain(rule: str, sigma_b: float) -> None:
    """N = 32, L = 2000, 768 networks each: mean and mean square of ln m, mean m, and by protocol T the number of events,
    their mean duration and the cut-off ⟨d²⟩/⟨d⟩, each within 4 joint errors; 18 comparisons, 1e-3 that one fails."""
    found = []
    for source in ("gaussian", "tabulated"):
        y = activity(source, sigma_c("tanh", 32) if rule == "critical" else 1.3, sigma_b)[:, 31:].astype(np.float64)
        nets, layers = y.shape
        events = detect(y, trajectory_medians(y), "drop", layers - 32)
        whole = events.censored == 0
        net, d = events.trajectory[whole], events.duration[whole].astype(float)
        count, one, two = (np.bincount(net, d**p, minlength=nets) for p in (0, 1, 2))
        length = np.full(nets, float(layers))
        found.append(
            [
                jackknife(y.sum(1), length),
                jackknife((y**2).sum(1), length),
                jackknife(np.exp(y).sum(1), length),
                jackknife(count, length),
                jackknife(one, count),
                jackknife(two, one),
            ]
        )
    for chain, table in zip(*found, strict=True):
        same(chain, table)
