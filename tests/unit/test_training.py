from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quasicrit.errors import PropagationError, TableError
from quasicrit.networks import training
from quasicrit.networks.activations import torch_activation, torch_form
from quasicrit.networks.datasets import ImageData, load_digits_split
from quasicrit.networks.mlp import (
    CHUNK_NETS,
    NetSpec,
    StackedMLP,
    forward_layers,
    haar_orthogonal,
    initialise,
    load_networks,
    save_networks,
)
from quasicrit.networks.training import Optimiser, batch_order, train
from quasicrit.theory import ACTIVATIONS, LEAKY_SLOPE

MODULES: dict[str, torch.nn.Module] = {
    "tanh": torch.nn.Tanh(),
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(LEAKY_SLOPE),
    "gelu": torch.nn.GELU(),
    "silu": torch.nn.SiLU(),
    "linear": torch.nn.Identity(),
}


class Erf(torch.nn.Module):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return torch.erf(h)


MODULES["erf"] = Erf()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_digits_split(11)


def odd_data(input_dim: int = 13) -> ImageData:
    """A small three-class task whose sizes are multiples of no vector width."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, input_dim))
    y = np.argmax(x[:, :3], axis=1).astype(np.int64)
    return ImageData(x[:45], y[:45], x[45:], y[45:], 3, "odd")


def specs(n: int, sigma_w: float = 1.2, sigma_b: float = 0.1) -> list[NetSpec]:
    return [NetSpec(f"point-{i % 3}", sigma_w, sigma_b, i) for i in range(n)]


def build(nets: list[NetSpec], data: ImageData, **changes: object) -> StackedMLP:
    options: dict[str, object] = {"width": 17, "depth": 3, "activation": "tanh", "init": "gaussian"}
    options |= {"root_seed": 2, "input_dim": data.train_x.shape[1], "n_classes": data.n_classes}
    return initialise(nets, **(options | changes))  # type: ignore[arg-type]


SGD = Optimiser()


def plain_loop(
    mlp: StackedMLP,
    index: int,
    data: ImageData,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int,
    optimiser: Optimiser = SGD,
) -> tuple[NDArray[np.float64], list[torch.Tensor]]:
    """Network ``index`` as torch.nn modules under autograd and torch.optim: the slow, independent way."""
    dtype = mlp.weights[0].dtype
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(mlp.weights, mlp.biases):
        linear = torch.nn.Linear(weight.shape[2], weight.shape[1], dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(weight[index])
            linear.bias.copy_(bias[index])
        layers += [linear, MODULES[mlp.activation]]
    model = torch.nn.Sequential(*layers[:-1])
    x, y = torch.tensor(data.train_x, dtype=dtype), torch.tensor(data.train_y)
    order = batch_order(mlp.nets[index], n_samples=len(y), batch_size=batch_size, steps=steps, root_seed=2)
    if optimiser.name == "adam":
        descent: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    else:
        descent = torch.optim.SGD(model.parameters(), learning_rate, momentum=optimiser.momentum)
    losses = []
    for samples in torch.from_numpy(order):
        loss = torch.nn.functional.cross_entropy(model(x[samples]), y[samples])
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
    return np.array(losses), [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("activation", sorted(MODULES))
def test_training_equals_a_plain_torch_loop(activation: str, digits: ImageData) -> None:
    nets = specs(3)
    options = {"steps": 60, "learning_rate": 0.05, "batch_size": 16}
    mlp = build(nets, digits, width=12, activation=activation, dtype=torch.float64)
    expected = [plain_loop(mlp, index, digits, **options) for index in range(len(nets))]  # type: ignore[arg-type]
    history = train(mlp, digits, root_seed=2, **options)  # type: ignore[arg-type]
    assert history.losses.shape == (3, 60)
    for index, (losses, parameters) in enumerate(expected):
        # Rounding of 1e-16 grows over 60 steps of a smooth descent by a few orders of magnitude.
        np.testing.assert_allclose(history.losses[index], losses, rtol=0, atol=1e-9)
        ours = [p[index] for pair in zip(mlp.weights, mlp.biases) for p in pair]
        for mine, theirs in zip(ours, parameters, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)
    assert not history.diverged.any()


OPTIMISERS = {"momentum": Optimiser(momentum=0.9), "adam": Optimiser("adam")}


@pytest.mark.parametrize(("dtype", "sigma_w"), [(torch.float64, 1.5), (torch.float32, 1.2)])
@pytest.mark.parametrize("name", ["sgd", *sorted(OPTIMISERS)])
def test_optimisers_equal_those_of_torch(name: str, dtype: torch.dtype, sigma_w: float, digits: ImageData) -> None:
    """L = 30, N = 64, batch 64, 60 steps, loss by loss.

    Training in the chaotic phase is chaotic itself: at sigma_w = 1.5 a change of one bit of one weight in float64 reaches .2 in
    60 steps of sgd at rate .03, 7e-6 at .01, 2e-13 at .003, in torch alone. So the rates here are those at which one can compare
    at all, and float32 is held to sigma_w = 1.2.
    """
    nets = specs(2, sigma_w=sigma_w)
    optimiser = OPTIMISERS.get(name, Optimiser())
    rate = {"sgd": 0.003, "momentum": 0.003, "adam": 3e-4}[name]
    mlp = build(nets, digits, width=64, depth=30, dtype=dtype)
    options = {"steps": 60, "learning_rate": rate, "batch_size": 64, "optimiser": optimiser}
    expected = [plain_loop(mlp, index, digits, **options)[0] for index in range(len(nets))]  # type: ignore[arg-type]
    history = train(mlp, digits, root_seed=2, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(history.losses, expected, rtol=0, atol=1e-5)
    assert (history.losses[:, -10:].mean(1) < history.losses[:, :10].mean(1) - 0.1).all()


def test_each_network_has_its_own_rate_and_its_own_twin() -> None:
    """The same network at three rates is three trainings from one start over one order of batches."""
    data = odd_data()
    net, rates = NetSpec("p", 1.2, 0.1, 0), [0.01, 0.1, 0.3]
    for optimiser in (Optimiser(), *OPTIMISERS.values()):
        together = train(
            build([net] * 3, data),
            data,
            steps=20,
            learning_rate=rates,
            batch_size=7,
            root_seed=2,
            optimiser=optimiser,
        )
        for row, rate in enumerate(rates):
            alone = train(
                build([net], data),
                data,
                steps=20,
                learning_rate=rate,
                batch_size=7,
                root_seed=2,
                optimiser=optimiser,
            )
            np.testing.assert_array_equal(together.losses[row], alone.losses[0])
        assert len(set(together.losses[:, -1])) == 3
        assert len(set(together.losses[:, 0])) == 1


def test_networks_that_left_change_nothing_for_the_others() -> None:
    """Divergence in the middle of training: the loss ends there, and the rest is packed anew."""
    data = odd_data()
    nets = specs(2 * CHUNK_NETS)
    rates = [0.1 if index % 3 else 1e12 for index in range(len(nets))]
    options = {"steps": 130, "batch_size": 7, "root_seed": 2, "evaluate": (40, 90)}
    mlp = build(nets, data, activation="relu")
    mixed = train(mlp, data, learning_rate=rates, **options)  # type: ignore[arg-type]
    calm = train(build(nets, data, activation="relu"), data, learning_rate=0.1, **options)  # type: ignore[arg-type]
    assert mixed.accuracy_steps == (0, 40, 90, 130)
    for row in range(len(nets)):
        if row % 3:
            np.testing.assert_array_equal(mixed.losses[row], calm.losses[row])
            np.testing.assert_array_equal(mixed.accuracy[row], calm.accuracy[row])
            assert (mixed.fate[row], mixed.stopped[row]) == ("trained", 130)
        else:
            assert mixed.fate[row] == "diverged"
            assert mixed.stopped[row] < 10
            assert np.isnan(mixed.losses[row, mixed.stopped[row] :]).all()
            assert mixed.accuracy[row, -1] == 0.0


def test_dead_networks_leave_as_they_are() -> None:
    data = odd_data()
    mlp = build(specs(2), data, activation="relu")
    for bias in mlp.biases[:-1]:
        bias[1] = -1e3  # no unit of the second network is ever active
    history = train(mlp, data, steps=120, learning_rate=0.01, batch_size=7, root_seed=2)
    assert history.fate == ("trained", "dead")
    assert history.stopped.tolist() == [120, 50]
    assert np.isfinite(history.losses[0]).all()
    assert np.isnan(history.losses[1, 50:]).all()
    assert np.isfinite(history.accuracy[:, -1]).all()


@pytest.mark.parametrize("optimiser", [Optimiser(), *OPTIMISERS.values()])
def test_a_killed_training_goes_on_to_the_same_numbers(
    optimiser: Optimiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = odd_data()
    nets = specs(CHUNK_NETS + 2)
    options = {"steps": 180, "learning_rate": 0.01, "batch_size": 7, "root_seed": 2, "optimiser": optimiser}
    undisturbed = build(nets, data)
    expected = train(undisturbed, data, evaluate=(60,), **options)  # type: ignore[arg-type]
    path = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    calls = 0

    def killed(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    real = training._descend
    monkeypatch.setattr(training, "_descend", killed)
    with pytest.raises(KeyboardInterrupt):
        train(build(nets, data), data, evaluate=(60,), checkpoint=path, **options)  # type: ignore[arg-type]
    assert path.exists()
    resumed = build(nets, data)
    history = train(resumed, data, evaluate=(60,), checkpoint=path, **options)  # type: ignore[arg-type]
    # Two rounds of two chunks were done before: 50, 60, 100, 150, 180 leave three.
    assert calls == 5 + 3 * 2
    np.testing.assert_array_equal(history.losses, expected.losses)
    np.testing.assert_array_equal(history.accuracy, expected.accuracy)
    for mine, theirs in zip([*resumed.weights, *resumed.biases], [*undisturbed.weights, *undisturbed.biases]):
        assert torch.equal(mine, theirs)
    assert not path.exists()


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = odd_data()
    path = tmp_path / "checkpoint.safetensors"
    options = {"steps": 60, "batch_size": 7, "root_seed": 2, "checkpoint": path}
    expected = train(build(specs(2), data), data, learning_rate=0.1, **options)  # type: ignore[arg-type]
    for content in (b"torn", None):
        if content is None:
            monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
            monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
            train(build(specs(2), data), data, learning_rate=0.2, **options)  # type: ignore[arg-type]
            assert path.exists()
        else:
            path.write_bytes(content)
        history = train(build(specs(2), data), data, learning_rate=0.1, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(history.losses, expected.losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "lion"}, "'lion': choose sgd or adam"),
        ({"momentum": 1.0}, "momentum = 1 of sgd is impossible"),
        ({"name": "adam", "momentum": 0.5}, "adam has its own"),
    ],
)
def test_impossible_optimisers_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(PropagationError, match=message):
        Optimiser(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan])
def test_impossible_rates_are_refused(rate: float) -> None:
    data = odd_data()
    with pytest.raises(PropagationError, match="finite number above 0"):
        train(build(specs(1), data), data, steps=5, learning_rate=rate, batch_size=5, root_seed=2)


def test_float32_follows_float64(digits: ImageData) -> None:
    nets = specs(2)
    runs = [
        train(
            build(nets, digits, width=12, dtype=dtype),
            digits,
            steps=60,
            learning_rate=0.05,
            batch_size=16,
            root_seed=2,
        )
        for dtype in (torch.float32, torch.float64)
    ]
    # Single precision (6e-8) through 4 layers and 60 steps; a wrong formula shows at 1e-2.
    np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", sorted(MODULES))
def test_a_network_is_bit_equal_in_any_company(activation: str, dtype: torch.dtype) -> None:
    """Alone, in another order, and with others: the same bits, at sizes no vector width divides."""
    data = odd_data()
    nets = specs(CHUNK_NETS + 3)

    def run(chosen: list[NetSpec]) -> dict[NetSpec, tuple[bytes, ...]]:
        mlp = build(chosen, data, activation=activation, dtype=dtype)
        history = train(mlp, data, steps=9, learning_rate=0.1, batch_size=7, root_seed=2)
        last = list(forward_layers(mlp, data.test_x))[-1]
        arrays = [*mlp.weights, *mlp.biases, last]
        return {
            net: (
                history.losses[i].tobytes(),
                history.accuracy[i].tobytes(),
                *(a[i].numpy().tobytes() for a in arrays),
            )
            for i, net in enumerate(chosen)
        }

    together = run(nets)
    assert len(set(together.values())) == len(nets)
    assert run(nets[::-1]) == together
    assert run([nets[5]]) == {nets[5]: together[nets[5]]}
    assert run(nets[3:7]) == {net: together[net] for net in nets[3:7]}


def test_a_table_row_names_the_same_network() -> None:
    plain = NetSpec("p", 1.5, 0.25, 3)
    row = NetSpec(np.str_("p"), np.float32(1.5), np.float64(0.25), np.int64(3))  # type: ignore[arg-type]
    assert row == plain
    ours, theirs = (build([net], odd_data()).weights[1] for net in (plain, row))
    assert torch.equal(ours, theirs)


def test_initial_variances() -> None:
    """W_ij ~ N(0, sigma_w²/fan-in), b_i ~ N(0, sigma_b²), in every layer with the readout."""
    mlp = initialise(
        specs(40, sigma_w=1.5, sigma_b=0.3),
        input_dim=20,
        width=30,
        depth=2,
        n_classes=10,
        activation="tanh",
        init="gaussian",
        root_seed=2,
        dtype=torch.float64,
    )
    assert [tuple(w.shape) for w in mlp.weights] == [(40, 30, 20), (40, 30, 30), (40, 10, 30)]
    assert mlp.depth == 2
    for weight, bias in zip(mlp.weights, mlp.biases):
        for values, variance in ((weight, 1.5**2 / weight.shape[2]), (bias, 0.3**2)):
            n = values.numel()
            # The mean square of n Gaussians has relative error √(2/n), the mean σ/√n; 5 of them each.
            assert abs(values.square().mean().item() / variance - 1) < 5 * math.sqrt(2 / n)
            assert abs(values.mean().item()) < 5 * math.sqrt(variance / n)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_haar_matrices_are_orthogonal_and_uniform(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    draws = np.array([haar_orthogonal(rng, *shape) for _ in range(2000)])
    assert draws.shape == (2000, *shape)
    gram = draws @ draws.mT if shape[0] <= shape[1] else draws.mT @ draws
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(min(shape)), gram.shape), atol=1e-13)
    # Haar: every entry is symmetric with variance 1/max(shape). Without the sign fix the diagonal of
    # q is biased (LAPACK makes R's diagonal negative): its mean would be of order 1/√n.
    error = math.sqrt(1 / max(shape) / 2000)
    assert np.abs(draws.mean(axis=0)).max() < 5 * error
    # Relative error of a variance from 2000 draws of less than Gaussian tails: below √(2/2000).
    np.testing.assert_allclose(draws.var(axis=0), 1 / max(shape), rtol=5 * math.sqrt(2 / 2000))


def test_orthogonal_weights_keep_the_signal_at_every_shape() -> None:
    """W Wᵀ = gain² on square layers, and E q = gain² m for rectangles too."""
    gain = 1.1
    mlp = initialise(
        specs(60, sigma_w=gain, sigma_b=0.0),
        input_dim=16,
        width=24,
        depth=2,
        n_classes=10,
        activation="tanh",
        init="orthogonal",
        root_seed=2,
        dtype=torch.float64,
    )
    square = mlp.weights[1]
    gram = (square @ square.mT).numpy()
    np.testing.assert_allclose(gram, np.broadcast_to(gain**2 * np.eye(24), gram.shape), atol=1e-13)
    for weight in mlp.weights:
        assert weight.square().mean().item() == pytest.approx(gain**2 / weight.shape[2], rel=1e-12)
    assert all(not bias.any() for bias in mlp.biases)


def test_forward_layers_equals_modules(digits: ImageData) -> None:
    mlp = build(specs(CHUNK_NETS + 1), digits, activation="gelu", dtype=torch.float64)
    inputs = digits.test_x[:5]
    layers = [layer.clone() for layer in forward_layers(mlp, inputs)]
    assert len(layers) == mlp.depth == 3
    for net in range(len(mlp.nets)):
        x = torch.tensor(inputs)
        for level, layer in enumerate(layers):
            linear = torch.nn.functional.linear(x, mlp.weights[level][net], mlp.biases[level][net])
            x = torch.nn.functional.gelu(linear)
            np.testing.assert_allclose(layer[net], x, rtol=1e-12, atol=1e-12)


def test_training_learns_as_the_reference_says(digits: ImageData) -> None:
    """At the edge of chaos (1.123, .05), L = 10, N = 64, rate .03, 300 steps, the accuracy is .961."""
    nets = [NetSpec("edge", 1.123, 0.05, seed) for seed in range(CHUNK_NETS)]
    mlp = build(nets, digits, width=64, depth=10)
    history = train(mlp, digits, steps=300, learning_rate=0.03, batch_size=64, root_seed=2)
    # Both are measured on 360 test images: standard error √(.961 · .039/360) = .0102 each, 3 errors.
    assert abs(history.accuracy[:, -1].mean() - 0.961) < 3 * math.sqrt(2) * 0.0102
    # Chance is .1 with error √(.1 · .9/360) = .0158 for each network.
    assert (history.accuracy[:, -1] > 0.1 + 10 * 0.0158).all()
    # Untrained nets share the images, so that their mean is no better known than one of them.
    assert history.accuracy[:, 0].max() < 0.5
    assert history.losses[:, -1].max() < history.losses[:, 0].min()


def test_divergence_is_reported_and_harms_no_neighbour() -> None:
    data = odd_data()
    calm = NetSpec("calm", 1.0, 0.1, 0)
    # 1e15 cubed overflows float32 (3e38) in a relu net of three layers.
    wild = NetSpec("wild", 1e15, 0.1, 0)
    runs = {}
    for nets in ((calm,), (calm, wild)):
        mlp = build(list(nets), data, activation="relu")
        runs[nets] = train(mlp, data, steps=5, learning_rate=0.1, batch_size=7, root_seed=2)
    alone, both = runs.values()
    assert both.diverged.tolist() == [False, True]
    np.testing.assert_array_equal(both.losses[0], alone.losses[0])
    assert both.accuracy[1, -1] == 0.0
    assert not alone.diverged.any()


def test_batches_are_epochs_of_permutations() -> None:
    net = specs(1)[0]
    order = batch_order(net, n_samples=23, batch_size=5, steps=10, root_seed=2)
    assert order.shape == (10, 5)
    for epoch in (order[:4], order[4:8]):
        assert len(set(epoch.ravel().tolist())) == 20
    longer = batch_order(net, n_samples=23, batch_size=5, steps=30, root_seed=2)
    np.testing.assert_array_equal(longer[:10], order)
    other = batch_order(dataclasses.replace(net, seed=99), n_samples=23, batch_size=5, steps=10, root_seed=2)
    assert not np.array_equal(order, other)


def test_training_leaves_denormals_as_they_were() -> None:
    data = odd_data()
    train(build(specs(1), data), data, steps=1, learning_rate=0.1, batch_size=7, root_seed=2)
    assert (torch.tensor([1e-40]) * 1.0).item() != 0.0


@pytest.mark.parametrize("steps,batch_size", [(0, 7), (5, 0), (5, 46)])
def test_impossible_training_is_refused(steps: int, batch_size: int) -> None:
    data = odd_data()
    with pytest.raises(PropagationError, match=r"batch_size from 1 to 45"):
        train(build(specs(1), data), data, steps=steps, learning_rate=0.1, batch_size=batch_size, root_seed=2)


def test_networks_of_another_task_are_refused() -> None:
    with pytest.raises(PropagationError, match="input_dim = 12 and n_classes = 3"):
        train(build(specs(1), odd_data(13)), odd_data(12), steps=1, learning_rate=0.1, batch_size=7, root_seed=2)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PropagationError, match="'swish': choose one of tanh, erf, relu"):
        torch_activation("swish")
    with pytest.raises(
        PropagationError, match="'xavier': choose one of gaussian, orthogonal, uniform, glorot, pytorch"
    ):
        build(specs(1), odd_data(), init="xavier")


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_agree_with_theory(name: str) -> None:
    h = np.concatenate([np.linspace(-6, 6, 241), [1e-9, -1e-9]])
    h = h[h != 0]
    x = torch_activation(name)(torch.tensor(h))
    np.testing.assert_allclose(x.numpy(), ACTIVATIONS[name].phi(h), rtol=1e-12, atol=1e-15)
    form = torch_form(name)
    slope = form.gradient(torch.full((len(h),), 2.0).double(), torch.tensor(h) if form.saves_input else x)
    np.testing.assert_allclose(slope.numpy(), 2 * ACTIVATIONS[name].dphi(h), rtol=1e-12, atol=1e-15)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, StackedMLP]:
    mlp = build(specs(3), odd_data())
    path = tmp_path / "nets.safetensors"
    save_networks(path, mlp, {"config_hash": "abc", "root_seed": "2"})
    return path, mlp


def test_saved_networks_come_back(saved: tuple[Path, StackedMLP]) -> None:
    path, mlp = saved
    loaded, metadata = load_networks(path)
    assert metadata == {"config_hash": "abc", "root_seed": "2"}
    assert (loaded.activation, loaded.nets) == (mlp.activation, mlp.nets)
    for mine, theirs in zip([*mlp.weights, *mlp.biases], [*loaded.weights, *loaded.biases], strict=True):
        assert torch.equal(mine, theirs)
    first = path.read_bytes()
    save_networks(path, loaded, {"root_seed": "2", "config_hash": "abc"})
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.999])
def test_truncated_file_is_named(saved: tuple[Path, StackedMLP], where: float) -> None:
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(where * len(content))])
    with pytest.raises(TableError, match=r"nets\.safetensors is truncated.*delete it and run again"):
        load_networks(path)


def test_one_altered_bit_anywhere_is_found(saved: tuple[Path, StackedMLP]) -> None:
    path, _ = saved
    content = path.read_bytes()
    # Every 97th byte: the header's length, its text, and the numbers.
    for position in range(0, len(content), 97):
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(bytes(altered))
        with pytest.raises(TableError, match=r"nets\.safetensors"):
            load_networks(path)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"gone\.safetensors does not exist"):
        load_networks(tmp_path / "gone.safetensors")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(TableError, match=r"foreign\.safetensors is truncated, altered or no file of trained"):
        load_networks(tmp_path / "foreign.safetensors")


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    # The final name is a folder: the replacement fails after the temporary file was written.
    with pytest.raises(TableError, match="folder cannot be written"):
        save_networks(target, build(specs(1), odd_data()), {})
    assert list(tmp_path.iterdir()) == [target]
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(TableError, match=r"nets\.safetensors cannot be written \(File exists\)"):
        save_networks(tmp_path / "file" / "nets.safetensors", build(specs(1), odd_data()), {})
