from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from quasicrit.learning import (
    PREDICTORS,
    Candidate,
    fluctuation,
    gradient_norm,
    neural_persistence,
    tangent_accuracy,
)
from quasicrit.networks import NetSpec, StackedMLP, initialise, load_digits_split
from quasicrit.theory import propagate, xi_c


def networks(sigma_w: float, sigma_b: float, width: int, depth: int, seeds: int = 2) -> StackedMLP:
    nets = [NetSpec(f"{sigma_w}|{sigma_b}", sigma_w, sigma_b, seed) for seed in range(seeds)]
    return initialise(
        nets, input_dim=64, width=width, depth=depth, n_classes=10, activation="tanh", init="gaussian", root_seed=1
    )


def candidate(sigma_w: float, sigma_b: float, depth: int) -> Candidate:
    return Candidate(
        activation="tanh",
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        width=16,
        depth=depth,
        networks=networks(sigma_w, sigma_b, 16, depth),
        data=load_digits_split(1),
        learning_rates=(0.01, 0.03),
        steps=20,
        fluctuation_nets=20,
        kernel_samples=40,
        rng=lambda name: np.random.default_rng(len(name)),
    )


def values(sigma_w: float, sigma_b: float, depth: int, *names: str) -> dict[str, float]:
    at = candidate(sigma_w, sigma_b, depth)
    return {name: float(np.asarray(PREDICTORS[name].value(at))) for name in names}


def test_every_predictor_is_told_and_made() -> None:
    at = candidate(1.2, 0.1, 10)
    for name, predictor in PREDICTORS.items():
        assert (predictor.name, bool(predictor.meaning)) == (name, True)
        made = np.asarray(predictor.value(at))
        assert np.isfinite(made).all()
        # One number, or one for each learning rate.
        assert made.shape == ((2,) if name == "tangent kernel" else ())


def test_values_of_the_theory() -> None:
    made = values(
        1.2, 0.1, 30, "chi_m(L)", "-|ln J²(L)|", "chi_sqrt_q(L)", "log xi_c", "-|chi_1 - 1|", "-|sigma_w - sigma_EOC|",
        "-distance to (1, 0)", "min(1, 6 xi_c/L)", "chi_m(L) min(1, 6 xi_c/L)",
    )  # fmt: skip
    end = propagate("tanh", 1.2, 0.1, 30)
    assert made["chi_m(L)"] == pytest.approx(float(end.susceptibility.m))
    assert made["-|ln J²(L)|"] == pytest.approx(-abs(float(end.log_jacobian)))
    step = 1e-5
    above, below = (propagate("tanh", 1.2 + s, 0.1, 30).q[-1] ** 0.5 for s in (step, -step))
    assert made["chi_sqrt_q(L)"] == pytest.approx((above - below) / (2 * step), rel=1e-5)
    assert made["log xi_c"] == pytest.approx(math.log(xi_c("tanh", 1.2, 0.1)))
    # Reference values: chi_1 = 1.00289730 there, the edge of chaos at 1.19340073.
    assert made["-|chi_1 - 1|"] == pytest.approx(-0.00289730, abs=1e-7)
    assert made["-|sigma_w - sigma_EOC|"] == pytest.approx(-(1.2 - 1.19340073), abs=1e-7)
    assert made["-distance to (1, 0)"] == pytest.approx(-math.hypot(0.2, 0.1))
    assert made["chi_m(L) min(1, 6 xi_c/L)"] == pytest.approx(made["chi_m(L)"] * made["min(1, 6 xi_c/L)"])


def test_the_critical_point_has_an_infinite_length_and_the_susceptibility_of_the_active_side() -> None:
    # None of theory's is undefined there: they come first.
    made = values(1.0, 0.0, 30, *list(PREDICTORS)[:13])
    assert made["log xi_c"] == math.inf
    # tanh² x = x² − 2x⁴/3 …: m* = (sigma_w² − 1)/(2 sigma_w⁴) just above, whose slope at 1 is 1.
    assert made["chi_m"] == pytest.approx(1.0, abs=1e-3)
    assert not any(math.isnan(value) for value in made.values())


def test_fluctuation_of_a_weak_linear_signal_is_in_closed_form() -> None:
    # m' = sigma_w² m chi²_N/N: E m_L² = sigma_w^{4L} (1 + 2/N)^L, so N Var m_L = N ((1 + 2/N)^L − 1) at sigma_w = 1.
    width, depth, nets = 50, 4, 40_000
    made = fluctuation("linear", 1.0, 0.0, width, depth, nets, np.random.default_rng(1))
    exact = width * ((1 + 2 / width) ** depth - 1)
    # The relative error of a variance is √((kurtosis − 1)/n), below .02 here; four of them.
    assert made == pytest.approx(exact, rel=0.08)


def test_gradient_norm_is_that_of_plain_modules() -> None:
    data, mlp = load_digits_split(1), networks(1.2, 0.1, 16, 3)
    layers: list[torch.nn.Module] = []
    for index, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases)):
        layer = torch.nn.Linear(weight.shape[2], weight.shape[1])
        layer.weight.data, layer.bias.data = weight[1].clone(), bias[1].clone()
        layers += [layer] if index == mlp.depth else [layer, torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers)
    x, y = torch.tensor(data.train_x[:100], dtype=torch.float32), torch.tensor(data.train_y[:100])
    torch.nn.functional.cross_entropy(model(x), y).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    assert gradient_norm(mlp, data, 100)[1] == pytest.approx(norm, rel=1e-4)


def test_neural_persistence_of_a_graph_by_hand() -> None:
    # Edges 1 (a–x), .5 (a–y), .25 (b–x), .1 (b–y); the maximum spanning tree keeps 1, .5, .25.
    weight = torch.tensor([[[2.0, -1.0], [0.5, 0.2]]]).mT.contiguous()
    mlp = StackedMLP([weight], [torch.zeros(1, 2)], "tanh", (NetSpec("p", 1.0, 0.0, 0),))
    expected = math.sqrt((0.0**2 + 0.5**2 + 0.75**2) / 3)
    assert neural_persistence(mlp)[0] == pytest.approx(expected)


def test_neural_persistence_does_not_see_the_scale() -> None:
    mlp = networks(1.0, 0.0, 16, 3)
    twice = StackedMLP([2.0 * w for w in mlp.weights], mlp.biases, "tanh", mlp.nets)
    np.testing.assert_allclose(neural_persistence(mlp), neural_persistence(twice), rtol=1e-12)


def test_the_tangent_kernel_knows_order_and_chaos_from_the_middle() -> None:
    data = load_digits_split(1)
    good, ordered, chaotic = (
        tangent_accuracy("tanh", sigma_w, 0.05, 64, 30, data, 0.03, 100, 256) for sigma_w in (1.1, 0.6, 3.0)
    )
    assert good > 0.8
    assert max(ordered, chaotic) < good / 2
