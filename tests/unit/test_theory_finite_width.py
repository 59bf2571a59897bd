"""The random walk of a weak signal: sigma_c(N), step variance, drift and survival."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma, loggamma, polygamma, zeta
from scipy.stats import binom

from quasicrit.errors import TheoryError
from quasicrit.rng import generator
from quasicrit.theory import (
    ACTIVATIONS,
    CONTINUITY,
    critical_window,
    drift,
    get_activation,
    sigma_c,
    step_variance,
    survival_amplitude,
)


@pytest.mark.parametrize(
    "width,expected,variance",
    [
        (32, 1.01591298, 0.06449378),
        (64, 1.00788410, 0.03174337),
        (128, 1.00392410, 0.01574771),
        (512, 1.00097768, 0.00391389),
    ],
)
def test_tanh_reference(width, expected, variance):
    """Reference values; gelu and silu twice that, erf divided by its slope 2/sqrt(pi)."""
    assert sigma_c("tanh", width) == pytest.approx(expected, abs=5e-9)
    assert sigma_c("linear", width) == sigma_c("tanh", width)
    assert sigma_c("gelu", width) == pytest.approx(2 * expected, abs=1e-8)
    assert sigma_c("silu", width) == sigma_c("gelu", width)
    assert sigma_c("erf", width) == pytest.approx(expected * np.sqrt(np.pi) / 2, abs=5e-9)
    for name in ("tanh", "erf", "gelu", "silu", "linear"):
        assert step_variance(name, width) == pytest.approx(variance, abs=5e-9)


@pytest.mark.parametrize(
    "width,expected,variance",
    [(32, 1.473799, 0.17750), (64, 1.442861, 0.08300), (128, 1.428274, 0.04023)],
)
def test_relu_reference(width, expected, variance):
    """Reference values."""
    assert sigma_c("relu", width) == pytest.approx(expected, abs=5e-7)
    assert step_variance("relu", width) == pytest.approx(variance, abs=5e-6)


@pytest.mark.parametrize("width", [2, 3, 8, 32, 1000])
def test_relu_against_the_sum_over_active_units(width):
    """E ln X = sum_K P(K | K >= 1) [psi(K/2) + ln 2], and the law of total variance."""
    active = np.arange(1, width + 1)
    weight = binom.pmf(active, width, 0.5)
    weight /= weight.sum()
    means = digamma(active / 2) + np.log(2)
    mean = weight @ means
    assert sigma_c("relu", width) == pytest.approx(np.sqrt(width / np.exp(mean)), rel=1e-12)
    variance = weight @ polygamma(1, active / 2) + weight @ (means - mean) ** 2
    assert step_variance("relu", width) == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("width", [2, 32])
def test_weak_signal_monte_carlo(name, width):
    """ln(m'/m) of real activations at m = 1e-16: mean and variance."""
    act = get_activation(name)
    sigma_w = 1.3
    z = generator(11, "theory-walk", name, width).standard_normal((100_000, width))
    squares = (act.phi(sigma_w * 1e-8 * z) ** 2).mean(axis=1) / 1e-16
    steps = np.log(squares[squares > 0.0])
    # 5 standard errors, 28 comparisons; the nonlinear correction is of relative order 1e-8
    error = steps.std() / np.sqrt(steps.size)
    assert abs(steps.mean() - drift(name, width, sigma_w)) < 5 * error + 1e-7
    deviations = (steps - steps.mean()) ** 2
    error = deviations.std() / np.sqrt(steps.size)
    assert abs(deviations.mean() - step_variance(name, width)) < 5 * error + 1e-7


def test_leaky_relu_lies_between_relu_and_linear_in_its_limits():
    """Its width correction is that of relu at large N: leaky slope .01 changes E X by 1e-4 only."""
    for width in (64, 512):
        ratio = sigma_c("leaky_relu", width) / sigma_c("relu", width)
        assert ratio == pytest.approx(1 / np.sqrt(1 + 1e-4), abs=1e-5)


def test_drift_and_window():
    assert drift("tanh", 64, sigma_c("tanh", 64)) == 0.0
    assert drift("relu", 64, 2.0) == pytest.approx(2 * np.log(2.0 / sigma_c("relu", 64)), rel=1e-14)
    assert critical_window(64, 128) == pytest.approx(1 / 128)


@pytest.mark.parametrize("width,expected", [(32, 0.589), (64, 0.582), (128, 0.577)])
def test_survival_reference(width, expected):
    """Reference values: pi^(-1/2) exp(.2457/sqrt N); the constant is zeta(3/2)/(6 sqrt pi) = .24565."""
    value = survival_amplitude("tanh", width)
    assert value == pytest.approx(expected, abs=5e-4)
    assert np.log(value * np.sqrt(np.pi)) * np.sqrt(width) == pytest.approx(0.2457, abs=1e-4)


@pytest.mark.parametrize("width", [8, 32, 128])
def test_survival_against_exact_sparre_andersen(width):
    """sum_n [P(S_n > 0) - 1/2]/n with P from the characteristic function of ln chi^2_N (Gil-Pelaez)."""
    half, last = width / 2, 400
    nodes, weights = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for n in range(1, last + 1):
        reach = (60.0 if n <= 3 else 12.0) / np.sqrt(n * polygamma(1, half))
        t = reach * (nodes + 1) / 2
        phase = np.exp(n * (loggamma(half + 1j * t) - loggamma(half) - 1j * t * digamma(half))).imag
        excess = (reach / 2 * weights * phase / t).sum() / np.pi
        total += excess / n
    # the excess falls as n^(-1/2): add the tail of the sum
    total += excess * np.sqrt(last) * zeta(1.5, last + 1)
    exact = np.exp(total) / np.sqrt(np.pi)
    # the error of the leading term is of order N^(-3/2): .0822 N^(-3/2) at N = 8, 32, 128
    assert survival_amplitude("tanh", width) == pytest.approx(exact, rel=0.1 * width**-1.5)


def test_survival_monte_carlo_relu():
    """Walks with relu's own steps: L = 256, N = 32, at sigma_c(N)."""
    width, depth, walks = 32, 256, 20_000
    rng = generator(3, "theory-survival")
    active = rng.binomial(width, 0.5, size=(depth, walks))  # P(no unit active) = 2e-10
    steps = np.log(rng.chisquare(np.maximum(active, 1)) / width) + 2 * np.log(sigma_c("relu", width))
    alive = np.cumsum(steps, axis=0).min(axis=0) > 0.0
    measured = np.sqrt(depth) * alive.mean()
    error = np.sqrt(depth * alive.mean() * (1 - alive.mean()) / walks)
    # 4 standard errors (each 2.6 %), and 1 % for what is left out: O(N^(-3/2)) and the finite depth
    assert abs(measured - survival_amplitude("relu", width)) < 4 * error + 0.006


def test_continuity_constant():
    """zeta(1/2) = eta(1/2)/(1 - sqrt 2), with the alternating series summed by repeated averaging (Euler)."""
    partial = np.cumsum((-1.0) ** np.arange(60) / np.sqrt(np.arange(1, 61)))
    while partial.size > 1:
        partial = (partial[1:] + partial[:-1]) / 2
    eta = partial[0]
    assert pytest.approx(-eta / (1 - np.sqrt(2)) / np.sqrt(2 * np.pi), rel=1e-13) == CONTINUITY
    assert pytest.approx(0.5826, abs=5e-5) == CONTINUITY


def test_errors():
    for width in (1, 0, -3, 2.5, True, "64"):
        with pytest.raises(TheoryError, match="width"):
            sigma_c("tanh", width)  # type: ignore[arg-type]
    with pytest.raises(TheoryError, match="choose one of"):
        step_variance("softplus", 32)
    for sigma_w in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(TheoryError, match="sigma_w"):
            drift("tanh", 32, sigma_w)
    with pytest.raises(TheoryError, match="depth"):
        critical_window(32, 0)
