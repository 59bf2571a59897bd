from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from quasicrit.errors import AdviceError, TheoryError
from quasicrit.learning import advise, initialise_module, methods


@pytest.mark.parametrize(
    "depth,gain,sigma_w", [(10, 1.15522, 1.382034), (30, 1.08314, 1.232017), (100, 1.03311, 1.134956)]
)
def test_tanh_takes_the_peak_of_the_susceptibility_and_j0(depth: int, gain: float, sigma_w: float) -> None:
    # PHYSICS.md 4: peak of chi_m(L) and J0(L) at sigma_b = 0.
    assert advise("tanh", depth, 64).sigma_w == pytest.approx(gain, abs=2e-5)
    gaussian = advise("tanh", depth, 64, "gaussian")
    assert gaussian.sigma_w == pytest.approx(sigma_w, abs=2e-6)
    assert gaussian.predicted["log_jacobian"] == pytest.approx(0.0, abs=1e-6)


def test_relu_keeps_its_signal_and_says_why() -> None:
    made = advise("relu", 50, 64)
    assert made.sigma_w == pytest.approx(math.sqrt(2.0))
    assert "no peak" in made.explanation
    assert made.predicted["xi_c"] is None


def test_gelu_says_that_deep_signals_are_fragile() -> None:
    assert "fragile" in advise("gelu", 100, 64).explanation
    assert "fragile" not in advise("gelu", 5, 64).explanation


@pytest.mark.parametrize(
    "arguments,error",
    [
        (("tanh", 3, 1), AdviceError),
        (("tanh", 3, 8, "uniform"), AdviceError),
        (("swish", 3, 8), TheoryError),
        (("tanh", 0, 8), AdviceError),
        (("tanh", 9999, 8), AdviceError),
        (("silu", 400, 8), AdviceError),
    ],
)
def test_impossible_questions_are_refused(arguments: tuple[object, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        advise(*arguments)  # type: ignore[arg-type]


def test_methods_hold_the_usual_and_the_advised() -> None:
    made = {method.name: method for method in methods("tanh", 30, 64)}
    assert made["Kaiming"].sigma_w == pytest.approx(math.sqrt(2))
    assert made["edge of chaos"].sigma_w == pytest.approx(1.122539, abs=1e-6)
    assert list(made)[-1] == "advised orthogonal"


def test_a_deep_tanh_network_is_initialised_in_place() -> None:
    layers = [m for _ in range(12) for m in (nn.Linear(32, 32), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(32, 10))
    before = model[0].weight.data_ptr()
    made = initialise_module(model, seed=3)
    assert (made.activation, made.depth, made.width) == ("tanh", 12, 32)
    gain = made.sigma_w
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().double()
            torch.testing.assert_close(
                weight @ weight.T, gain**2 * torch.eye(len(weight), dtype=torch.float64), atol=1e-5, rtol=0
            )
            assert not layer.bias.any()
    assert model[0].weight.data_ptr() == before
    again = nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(32, 32), nn.Tanh())], nn.Linear(32, 10))
    initialise_module(again, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))


def test_convolutions_have_the_variance_of_their_fan_in() -> None:
    model = nn.Sequential(
        nn.Conv2d(8, 64, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 5),
    )
    made = initialise_module(model, init="gaussian", seed=1)
    assert made.sigma_w == pytest.approx(math.sqrt(2))
    for layer, fan_in in ((model[0], 72), (model[2], 288)):
        # 4 608 entries and more: the relative error of a variance is √(2/n) < .021; four of them.
        assert float(layer.weight.detach().var() * fan_in) == pytest.approx(2.0, rel=0.085)


def test_a_residual_signal_keeps_its_strength() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.two(torch.relu(self.one(x)))

    model = nn.Sequential(*[Block() for _ in range(64)])
    made = initialise_module(model, activation="relu", residual="*.two", seed=2)
    assert made.residual_scale == pytest.approx(1 / 8)
    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        gain = float(model(x).square().mean() / x.square().mean())
    # Each branch adds sigma_w²/2 · sigma_w²/64 of the strength: (1 + 2/64)^64 = 7.2 at most; unscaled it is 3^64.
    assert 2.0 < gain < 20.0


def test_what_cannot_be_initialised_is_said() -> None:
    with pytest.raises(AdviceError, match="no linear or convolutional layer"):
        initialise_module(nn.Sequential(nn.Tanh()))
    with pytest.raises(AdviceError, match="none is among its modules"):
        initialise_module(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(AdviceError, match="gelu, relu"):
        initialise_module(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.GELU()))
    with pytest.raises(AdviceError, match="fits the name of no layer"):
        initialise_module(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), residual="block*")
    with pytest.raises(AdviceError, match="has no shape yet"):
        initialise_module(nn.Sequential(nn.LazyLinear(4), nn.ReLU()))
    with pytest.raises(AdviceError, match="ELU, tanh"):
        initialise_module(nn.Sequential(nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 4), nn.Tanh()))
    with pytest.raises(AdviceError, match=r"LeakyReLU\(0.2\)"):
        initialise_module(nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.2)))
    with pytest.raises(AdviceError, match="reparametrised"):
        initialise_module(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU()))
    with pytest.raises(AdviceError, match="holds no numbers"):
        initialise_module(nn.Sequential(nn.Linear(4, 4, device="meta"), nn.ReLU()))
    tied = nn.Sequential(nn.Embedding(4, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))
    tied[2].weight = tied[0].weight
    before = tied[0].weight.detach().clone()
    with pytest.raises(AdviceError, match=r"shares its weight \(0.weight, 2.weight\)"):
        initialise_module(tied)
    assert torch.equal(tied[0].weight, before)


def test_shallow_networks_are_not_given_a_dying_signal() -> None:
    made = advise("tanh", 1, 64)
    assert made.sigma_w == 1.0
    assert "is not taken" in made.explanation
    assert "were not compared by us" in made.explanation
