"""The reference numbers of Gaussian networks, from networks: survival, exponents, scaling, and the controls beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.avalanches import corrected_size, detect, trajectory_medians
from quasicrit.networks import Replicas, count_survivors, pathwise_susceptibility, propagate
from quasicrit.scaling import crackling, cutoff_exponent
from quasicrit.stages.scaling import find_peak
from quasicrit.theory import sigma_c, step_variance, survival_amplitude


def activity(activation: str, width: int, depth: int, nets: int, m0: float, source: str = "gaussian") -> np.ndarray:
    replicas = [Replicas(("golden", activation, g), 64, sigma_c(activation, width), 0.0) for g in range(nets // 64)]
    blocks = propagate(source, activation, "gaussian", width, depth, 1, m0, replicas, 97)
    return np.concatenate([block.log_m[:, 0] for block in blocks], axis=1)


@pytest.mark.parametrize(("width", "reference"), [(32, 0.589), (64, 0.582), (128, 0.577)])
def test_survival_of_a_weak_seed(width: int, reference: float) -> None:
    """√L P(N, L) at sigma_c(N), L = 64 and 256, standard error ≤ 1 %: within 3 errors of the skew-corrected value (reference value);
    the asymptotic 1/√π = .564 is rejected at N = 32."""
    seeds = 272_000
    counted = count_survivors("tanh", sigma_c("tanh", width), width, (64, 256), seeds, 1e-12, 97, ("golden", width))
    assert survival_amplitude("tanh", width) == pytest.approx(reference, abs=5e-4)
    for depth, survivors in zip(counted.depths, counted.survivors, strict=True):
        p = survivors / seeds
        value, error = math.sqrt(depth) * p, math.sqrt(depth * p * (1 - p) / seeds)
        assert error / value <= 0.0101
        assert abs(value - reference) < 3 * error + 5e-4
        if width == 32:
            assert value - 1 / math.sqrt(math.pi) > 3 * error


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_weak_signals_are_brownian_excursions_in_tanh_and_linear_nets(activation: str) -> None:
    """W at N = 32, 512 nets: 3/2, 4/3, 3/2 within 3 bootstrap errors; the linear net as well, so W is no evidence."""
    y = activity(activation, 32, 2000, 512, 1e-12)
    events = detect(y, math.log(1e-12), "include", 2000 - 300)
    whole = events.censored == 0
    sd = math.sqrt(step_variance(activation, 32))
    size = corrected_size(events.size_raw, events.duration, sd)[whole]
    found = crackling(
        size,
        events.duration[whole],
        events.trajectory[whole],
        window=(8, 300),
        step_sd=sd,
        rng=np.random.default_rng(1),
    )
    for name, value in (("tau_d", 1.5), ("tau_s", 4 / 3), ("gamma", 1.5)):
        estimate = getattr(found, name)
        error = (estimate.ci_high - estimate.ci_low) / 3.92
        assert abs(estimate.value - value) < 3 * error, name
        assert error < 0.03


def test_real_weights_give_the_same_avalanches_as_the_chain() -> None:
    """T at N = 16: tau_d and d_c of both within 3 joint errors."""
    found = []
    for source in ("gaussian", "weights"):
        y = activity("tanh", 16, 1600, 192, 1.0, source)[:, 15:]
        events = detect(y, trajectory_medians(y), "drop", len(y[0]) - 64)
        whole = events.censored == 0
        sd = math.sqrt(step_variance("tanh", 16))
        size = corrected_size(events.size_raw, events.duration, sd)[whole]
        found.append(
            crackling(
                size,
                events.duration[whole],
                events.trajectory[whole],
                window=(4, 48),
                step_sd=sd,
                rng=np.random.default_rng(2),
            )
        )
    for name in ("tau_d", "tau_s", "gamma"):
        one, two = (getattr(f, name) for f in found)
        error = math.hypot(one.ci_high - one.ci_low, two.ci_high - two.ci_low) / 3.92
        assert abs(one.value - two.value) < 3 * error, name


def test_cutoffs_grow_with_width_and_the_linear_net_fails() -> None:
    """F at one depth: z of tanh in .8–1.05 (reference value); the linear net's d_c grows with L instead, by more than 5 % a doubling."""
    depth, widths = 2048, (16, 32, 64)

    def cutoff(activation: str, width: int, length: int) -> tuple[float, float]:
        y = activity(activation, width, depth, 192, 1 / width)[:, :length]
        events = detect(y, math.log(0.2 / width), "include", length // 2 - 1)
        whole = events.censored == 0
        d = events.duration[whole].astype(float)
        net = events.trajectory[whole]
        one, two = (np.bincount(net, weights=d**p, minlength=192) for p in (1, 2))
        left_out = (two.sum() - two) / (one.sum() - one)
        return two.sum() / one.sum(), math.sqrt(191 / 192 * ((left_out - left_out.mean()) ** 2).sum())

    values = [cutoff("tanh", width, depth) for width in widths]
    fit = cutoff_exponent(np.array(widths), *(np.array(v) for v in zip(*values, strict=True)))
    assert fit.exponent.ci_high > 0.8
    assert fit.exponent.ci_low < 1.05
    long, long_error = cutoff("linear", 32, depth)
    short, short_error = cutoff("linear", 32, depth // 2)
    assert long - 1.05 * short > 2 * math.hypot(long_error, 1.05 * short_error)
    settled, error = cutoff("tanh", 16, depth)
    half, half_error = cutoff("tanh", 16, depth // 2)
    assert abs(settled - half) < 0.05 * half + 3 * math.hypot(error, half_error)


def test_the_ridge_moves_up_at_finite_width() -> None:
    """sigma_b = .1, N = 32: 1.084 (reference value, to ± .003), above the mean field's 1.0632 and below the edge of chaos 1.1934."""
    x = tuple(np.round(np.arange(1.02, 1.161, 0.02), 2).tolist())
    chi = pathwise_susceptibility("tanh", x, 0.1, 32, 160, 300, 100, 97, ("golden",))["rms"]
    top, _ = find_peak(np.array(x), chi.mean(0), 7)
    left_out = [find_peak(np.array(x), np.delete(chi, slice(f, None, 20), 0).mean(0), 7)[0] for f in range(20)]
    error = math.sqrt(19 / 20 * ((np.array(left_out) - np.mean(left_out)) ** 2).sum())
    assert error < 0.002
    assert abs(top - 1.084) < 3 * error + 0.003
    assert top - 1.0632 > 3 * error
