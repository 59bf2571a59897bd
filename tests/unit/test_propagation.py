"""The three samplers: exact, in agreement with each other and with theory, and the same however work is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from quasicrit.errors import PropagationError
from quasicrit.networks import Layers, Replicas, pathwise_susceptibility, propagate
from quasicrit.networks.gaussian import count_survivors
from quasicrit.networks.matrices import Gram
from quasicrit.networks.propagation import Signals
from quasicrit.theory import ACTIVATIONS, fixed_point, sigma_c, step_variance, susceptibility


def run(
    source: str,
    width: int = 16,
    depth: int = 40,
    groups: int = 8,
    *,
    size: int = 64,
    inputs: int = 1,
    activation: str = "tanh",
    init: str = "gaussian",
    sigma_w: float = 1.2,
    sigma_b: float = 0.0,
    m0: float = 1.0,
    seed: int = 11,
    units: bool = False,
) -> Layers:
    replicas = [Replicas((source, g), size, sigma_w, sigma_b) for g in range(groups)]
    parts = list(propagate(source, activation, init, width, depth, inputs, m0, replicas, seed, units))
    joined = (np.concatenate([getattr(p, n) for p in parts], axis=2) for n in ("log_m", "mean_abs", "active_fraction"))
    everything = np.concatenate([p.units for p in parts if p.units is not None]) if units else None
    return Layers(1, *joined, everything, max(p.jitter for p in parts))


@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.2])
def test_samplers_agree_in_distribution(init: str, sigma_b: float) -> None:
    """Two-sample Kolmogorov–Smirnov on ln m, E|x| and the active share at layers 1, 5 and 40: 2 × 9 comparisons per case.

    2048 networks a sampler: critical distance 2.36 √(2/n) at 3e-5 each. Power: a shift of a quarter of a standard deviation
    (0.02 in sigma_w here) moves the distance by 0.1 > 0.074 and is found with probability 0.96; tested below.
    """
    first = {
        source: run(source, groups=32, inputs=inputs, init=init, sigma_b=sigma_b)
        for source, inputs in (("gaussian", 1), ("gram", 3), ("weights", 2))
    }
    critical = 2.36 * math.sqrt(2 / 2048)
    for other in ("gram", "weights"):
        for name in ("log_m", "mean_abs", "active_fraction"):
            for layer in (1, 5, 40):
                one = getattr(first["gaussian"], name)[:, 0, layer - 1]
                two = getattr(first[other], name)[:, 0, layer - 1]
                assert stats.ks_2samp(one, two).statistic < critical, (other, name, layer)


def test_the_agreement_test_has_power() -> None:
    one = run("gaussian", groups=32).log_m[:, 0, 39]
    two = run("gaussian", groups=32, sigma_w=1.25).log_m[:, 0, 39]
    assert stats.ks_2samp(one, two).statistic > 2.36 * math.sqrt(2 / 2048)


@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
def test_inputs_of_one_network_depend_alike_in_gram_and_weights(init: str) -> None:
    """Correlation of the ln m of two inputs at layer 20: 3072 networks, Fisher z with standard error 1/√3069; 5 of them."""
    z = []
    for source in ("gram", "weights"):
        m = run(source, depth=20, groups=48, inputs=2, init=init, sigma_b=0.1).log_m[:, :, 19]
        z.append(math.atanh(np.corrcoef(m.T)[0, 1]))
    assert abs(z[0] - z[1]) < 5 * math.sqrt(2 / 3069)
    assert abs(z[0]) > 5 / math.sqrt(3069)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])
def test_a_weak_signal_walks_with_the_theory_s_step(activation: str) -> None:
    """Mean and variance of the steps of ln m at sigma_c(N) and m_0 = 1e-12: 4096 × 9 independent steps, 5 standard errors."""
    width = 16
    m = run("gaussian", width, 10, 64, activation=activation, sigma_w=sigma_c(activation, width), m0=1e-12).log_m[:, 0]
    steps = np.diff(m.astype(np.float64), axis=1).ravel()
    variance = step_variance(activation, width)
    assert abs(steps.mean()) < 5 * math.sqrt(variance / len(steps))
    kurtosis = stats.kurtosis(steps)
    assert abs(steps.var() / variance - 1) < 5 * math.sqrt((2 + kurtosis) / len(steps))


def test_a_wide_network_settles_at_the_fixed_point() -> None:
    """Finite-width corrections are O(1/N): 0.02 at N = 512 covers them and 5 standard errors of 128 networks (0.014)."""
    m = np.exp(run("gaussian", 512, 60, 2, sigma_w=1.5, sigma_b=0.3).log_m[:, 0, -1].astype(np.float64))
    assert m.mean() == pytest.approx(float(fixed_point("tanh", 1.5, 0.3).m), rel=0.02)


def test_an_ordered_network_never_underflows() -> None:
    """ln m falls by ln sigma_w² − 1/N … per layer, far below what a float can hold."""
    for source in ("gaussian", "weights", "gram"):
        m = run(source, 16, 1200, 1, size=16, sigma_w=0.3).log_m[:, 0]
        rate = m[:, -1].mean() / 1200
        expected = 2 * math.log(0.3 / sigma_c("tanh", 16))
        # 16 networks × 1200 steps; 5 standard errors, and 1/1200 for the start at m_0 = 1, where tanh saturates.
        assert abs(rate - expected) < 5 * math.sqrt(step_variance("tanh", 16) / (16 * 1200)) + 1e-3


@pytest.mark.parametrize(("source", "inputs"), [("gaussian", 1), ("gram", 3), ("weights", 2)])
@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
def test_a_group_is_the_same_whatever_is_beside_it(source: str, inputs: int, init: str) -> None:
    """Odd width, several groups per batch or one: bit-equal."""
    together = run(source, 17, 45, 6, size=16, inputs=inputs, init=init, sigma_b=0.1)
    for group in (0, 3, 5):
        alone = next(iter([Replicas((source, group), 16, 1.2, 0.1)]))
        parts = list(propagate(source, "tanh", init, 17, 45, inputs, 1.0, [alone], 11))
        for name in ("log_m", "mean_abs", "active_fraction"):
            mine = np.concatenate([getattr(p, name) for p in parts], axis=2)
            np.testing.assert_array_equal(mine, getattr(together, name)[16 * group : 16 * (group + 1)])


@pytest.mark.parametrize("source", ["gaussian", "weights"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_units_belong_to_the_activity(source: str, activation: str) -> None:
    found = run(source, 40, 40, 1, size=16, sigma_w=1.3, sigma_b=0.1, activation=activation, units=True)
    assert found.units is not None
    assert found.units.shape == (40, 16, 1, 40)
    x = found.units.transpose(1, 2, 0, 3).astype(np.float64)
    np.testing.assert_allclose(np.log((x**2).mean(-1)), found.log_m, atol=2e-5)
    np.testing.assert_allclose(np.abs(x).mean(-1), found.mean_abs, rtol=2e-5)
    rms = np.sqrt((x**2).mean(-1, keepdims=True))
    share = (x > 0).mean(-1) if activation == "relu" else (np.abs(x) > 0.1 * rms).mean(-1)
    # A unit within float32 rounding of the level may fall on either side: rarely, and one at a time.
    differs = np.abs(share - found.active_fraction)
    assert differs.max() < 1.5 / 40
    assert (differs > 1e-6).mean() < 0.01


def test_memory_does_not_grow_with_depth() -> None:
    blocks = propagate("gaussian", "tanh", "gaussian", 16, 10**9, 1, 1.0, [Replicas(("deep",), 16, 1.2, 0.1)], 1)
    assert next(blocks).log_m.shape == (16, 1, 32)
    assert next(blocks).first == 33


def test_dead_and_unknown_signals_are_named() -> None:
    with pytest.raises(PropagationError, match=r"died .* at layer \d+ .* relu"):
        run("gaussian", 2, 60, 1, activation="relu", sigma_w=1.4)
    with pytest.raises(PropagationError, match=r"overflowed|died"):
        run("gaussian", 16, 2000, 1, activation="relu", sigma_w=60.0)
    with pytest.raises(PropagationError, match="'gausian' is no sampler"):
        run("gausian")
    with pytest.raises(PropagationError, match="one-input chain"):
        run("gaussian", inputs=2)


def test_parallel_inputs_have_no_gram_root() -> None:
    sampler = Gram(Signals("tanh", False, 8, 2, 1.0, [Replicas(("p",), 16, 1.0, 0.0)], 1))
    sampler.x[:, 1] = sampler.x[:, 0]
    assert sampler.advance(1, 1, False).jitter == 1e-13
    sampler.x[:, 1] = -2 * sampler.x[:, 0] * (1 + 1e-3)
    assert np.isfinite(sampler.advance(2, 1, False).log_m).all()


def test_survivors_against_a_plain_count() -> None:
    """Every signal of the one-input chain followed to the end, none dropped: the same share within 5 standard errors."""
    width, depth, seeds = 16, 20, 20_000
    sigma_w = sigma_c("tanh", width)
    counted = count_survivors("tanh", sigma_w, width, (5, depth), seeds, 1e-12, 3, ("s",))
    m = run("gaussian", width, depth, 160, size=128, sigma_w=sigma_w, m0=1e-12).log_m[:, 0]
    above = m > math.log(1e-12)
    for at, survivors in zip((5, depth), counted.survivors, strict=True):
        plain = above[:, :at].all(1).mean()
        error = math.sqrt(plain * (1 - plain) * (1 / len(m) + 1 / seeds))
        assert abs(survivors / seeds - plain) < 5 * error


def test_survival_names_what_it_cannot_count() -> None:
    with pytest.raises(PropagationError, match="kink"):
        count_survivors("relu", 1.4, 16, (4,), 10, 1e-12, 1, ("s",))
    with pytest.raises(PropagationError, match="not weak"):
        count_survivors("tanh", 1.0, 16, (4,), 10, 1e-3, 1, ("s",))


@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_pathwise_derivative_against_differences(activation: str) -> None:
    """Common random numbers: the derivative of the mean at sigma_w against the central difference of the means themselves."""
    step, width = 1e-3, 24
    values = (1.2 - step, 1.2, 1.2 + step)
    found = pathwise_susceptibility(activation, values, 0.2, width, 64, 60, 20, 5, ("d",))
    wide = pathwise_susceptibility(activation, (1.2,), 0.2, 400, 64, 60, 20, 5, ("w",))
    mean_field = susceptibility(activation, 1.2, 0.2)
    for order in ("m", "rms", "abs"):
        # Smooth in sigma_w under common random numbers …
        low, mid, high = found[order].mean(0)
        assert abs((low + high) / 2 - mid) < 0.02 * abs(mid)
        # … and at N = 400 within its error and O(1/N) of the mean field.
        error = wide[order].std() / 8
        assert abs(wide[order].mean() - float(getattr(mean_field, order))) < 5 * error + 3 / 400
