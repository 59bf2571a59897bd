from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from quasicrit.errors import AdviceError, TheoryError
from quasicrit.learning import advise, initialise_module, methods
from quasicrit.learning.modules import _branch_layers
from quasicrit.theory import propagate_residual


@pytest.mark.parametrize(
    "depth,gain,sigma_w", [(10, 1.15522, 1.382034), (30, 1.08314, 1.232017), (100, 1.03311, 1.134956)]
)
def test_tanh_takes_the_peak_of_the_susceptibility_and_j0(depth: int, gain: float, sigma_w: float) -> None:
    # Reference values: peak of chi_m(L) and J0(L) at sigma_b = 0.
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
    # 64 branches of two layers hold 128 of the 127 hidden layers: a path takes one branch.
    assert made.path_depth == 2
    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        gain = float(model(x).square().mean() / x.square().mean())
    # relu without a norm before the first layer, sigma_w² = 2: a branch W2 relu(W1 x) adds sigma_w²·sigma_w²/2 = 2 times the strength,
    # so that it grows by (1 + 2/64)^64 = 7.2; the theory's branch has phi before both weights: (1 + 1/64)^64 = 2.7. Unscaled: 3^64.
    assert made.predicted["stream_growth"] == pytest.approx((1 + 1 / 64) ** 64)
    # Orthogonal W1 and W2 make the growth of a block fluctuate by O(1/64) only: 7.2 within a factor of 1.5.
    assert 7.2 / 1.5 < gain < 7.2 * 1.5


def test_a_pre_activation_stream_grows_as_predicted() -> None:
    class Block(nn.Module):
        def __init__(self, layers: int) -> None:
            super().__init__()
            self.branch = nn.Sequential(*[m for _ in range(layers) for m in (nn.Tanh(), nn.Linear(256, 256))])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.branch(x)

    for layers in (1, 2, 3):
        model = nn.Sequential(*[Block(layers) for _ in range(24)], nn.Linear(256, 4))
        made = initialise_module(model, residual=f"*.branch.{2 * layers - 1}", init="gaussian", seed=5)
        assert (made.depth, made.path_depth) == (24 * layers, layers)
        assert made.residual_scale == pytest.approx(24**-0.5)
        x = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            gain = float(model[:-1](x).square().mean() / x.square().mean())
        # Noise of a block's variance: √(2/256) of its share 1/24, in 24 blocks √(2/256/24) = .02 of ln growth (about 1), and
        # cross terms of stream and branch 2/√(24·256)·√24/√24 = .03: five times both.
        assert math.log(gain) == pytest.approx(math.log(made.predicted["stream_growth"]), abs=0.2)


@pytest.mark.parametrize(
    ("names", "scaled", "layers"),
    [
        (["stem", "b.0.conv1", "b.0.conv2", "b.0.skip.0", "b.1.conv1", "b.1.conv2"], ["b.0.conv2", "b.1.conv2"], 2),
        (["b.0.c1", "b.0.c2", "b.0.skip", "b.1.c1", "b.1.c2", "b.2.c1", "b.2.c2"], ["b.0.c2", "b.1.c2", "b.2.c2"], 2),
        (["b.0.c1", "b.0.c2", "b.1.c1", "b.1.c2"], ["b.0.c1", "b.0.c2", "b.1.c1", "b.1.c2"], 1),
        (["0", "1", "2"], ["1", "2"], 1),
        (["0", "1"], [], 1),
    ],
)
def test_layers_of_a_branch_are_counted_from_names(names: list[str], scaled: list[str], layers: int) -> None:
    assert _branch_layers(names, scaled) == layers


# Residual networks -----------------------------------------------------------------------------------------


def test_a_residual_network_is_advised_as_one_branch_and_what_lies_outside() -> None:
    made = advise("tanh", 100, 64, "gaussian", residual_blocks=45, branch_layers=2)
    assert made.path_depth == 10 + 2
    assert made.sigma_w == advise("tanh", 12, 64, "gaussian").sigma_w
    plain = advise("tanh", 12, 64, "gaussian").predicted
    assert {key: made.predicted[key] for key in plain} == plain
    # A depth below that of the branches is no layer outside: one branch.
    assert advise("tanh", 2, 64, residual_blocks=45, branch_layers=2).path_depth == 2


def test_the_residual_stream_is_the_theory_at_one_over_root_blocks() -> None:
    made = advise("tanh", 60, 64, residual_blocks=25, branch_layers=2)
    end, unscaled = (
        propagate_residual("tanh", made.sigma_w, 0.0, 25, scale=scale, branch_layers=2) for scale in (0.2, 1.0)
    )
    assert made.predicted["stream_growth"] == pytest.approx(end.q[-1], rel=1e-12)
    assert made.predicted["log_jacobian_residual"] == pytest.approx(end.log_jacobian, rel=1e-12)
    assert made.predicted["susceptibility_residual"] == pytest.approx(end.m_slope[-1], rel=1e-12)
    assert f"e^{end.log_jacobian:.2f}; unscaled" in made.explanation
    assert f"e^{unscaled.log_growth:.2f} and e^{unscaled.log_jacobian:.2f}." in made.explanation


def test_relu_streams_grow_by_e_or_by_two_to_the_blocks() -> None:
    made = advise("relu", 50, 64, residual_blocks=50)
    assert made.predicted["stream_growth"] == pytest.approx(1.02**50)
    assert f"e^{50 * math.log(2):.2f}" in made.explanation
    assert "not compared by us" in made.explanation


def test_branches_keep_deep_gelu_and_silu_networks_advisable() -> None:
    with pytest.raises(AdviceError, match="give their number, residual_blocks"):
        advise("silu", 400, 8)
    assert "fragile" not in advise("silu", 400, 8, residual_blocks=200, branch_layers=2).explanation


def test_impossible_branches_are_refused() -> None:
    with pytest.raises(
        AdviceError, match="residual_blocks = -1 cannot be advised on: it must be a whole number from 0"
    ):
        advise("tanh", 9, 8, residual_blocks=-1)
    with pytest.raises(AdviceError, match="branch_layers = 0 cannot be advised on"):
        advise("tanh", 9, 8, residual_blocks=3, branch_layers=0)
    with pytest.raises(AdviceError, match=r"1500 residual blocks of 2 layers cannot .* at most 2000 layers"):
        advise("tanh", 9, 8, residual_blocks=1500, branch_layers=2)


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
