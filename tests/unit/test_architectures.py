from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from quasicrit.errors import ConfigError, TableError
from quasicrit.families import FAMILIES, build_network, critical_sigma_w
from quasicrit.networks.architectures import (
    calibrate_norms,
    initialise_network,
    load_states,
    save_states,
    shuffle_weights,
    to_images,
)
from quasicrit.networks.convolutional import ConvNet
from quasicrit.networks.modules import Add, Multiply, activation_kinds, activation_module
from quasicrit.networks.plain_training import accuracy, train_plainly
from quasicrit.networks.recording import Recorder
from quasicrit.networks.resnet import (
    ResNet,
    resnet18,
    resnet20,
    resnet34,
    resnet50,
    resnet56,
    resnet110,
)
from quasicrit.networks.sequences import LSTM, RNN, Attention, EncoderLayer, Transformer
from quasicrit.theory import ACTIVATIONS, edge_of_chaos, propagate

#: Random quantities of this file lie within so many of their standard errors.
SIGMAS = 5.0


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def drawn(model: nn.Module, seed: int = 2) -> nn.Module:
    """The model with every parameter and running statistic random, so that none hides behind 0 or 1; variances positive."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                values = rng.uniform(0.5, 1.5, tuple(tensor.shape)) * (
                    1.0 if "var" in name else rng.choice([-1, 1], tuple(tensor.shape))
                )
                tensor.copy_(torch.from_numpy(values / math.sqrt(max(1, tensor[0].numel() if tensor.dim() > 1 else 1))))
    return model


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def convolutions(model: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d) for module in model.modules())


# Modules --------------------------------------------------------------------------------------------------


def test_modules_are_their_formulas() -> None:
    x, y = normal(4, 5, seed=1), normal(4, 5, seed=2)
    torch.testing.assert_close(Add(0.25)(x, y), x + 0.25 * y)
    torch.testing.assert_close(Add()(x, y), x + y)
    torch.testing.assert_close(Multiply()(x, y), x * y)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_modules_agree_with_theory(name: str) -> None:
    h = np.linspace(-6, 6, 240)
    ours = activation_module(name)(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(ours, ACTIVATIONS[name].phi(h), rtol=1e-12, atol=1e-15)
    # Its input is left as it was, and gradients are those of theory.
    x = torch.from_numpy(h).requires_grad_()
    activation_module(name)(x).sum().backward()
    np.testing.assert_allclose(x.grad, ACTIVATIONS[name].dphi(h), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(x.detach(), np.linspace(-6, 6, 240))


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match="'swish' is not known: choose one of tanh, erf, relu"):
        activation_module("swish")


# ResNets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "parameters", "layers"),
    [
        # He et al. 2016, table 6: 20, 56 and 110 layers with .27M, .85M and 1.7M parameters; to the digit, the counts of
        # these networks with parameter-free shortcuts are 269722, 853018 and 1727962 (convolutions, norms, readout):
        # 16·(27+2) + Σ over stages of 9 c c' + 2 c' for each of the 2n convolutions + 65 · 10.
        (resnet20, 269_722, 20),
        (resnet56, 853_018, 56),
        (resnet110, 1_727_962, 110),
        # torchvision's resnet18, resnet34, resnet50, "num_params" of IMAGENET1K_V1 in its documentation.
        (resnet18, 11_689_512, 18),
        (resnet34, 21_797_672, 34),
        (resnet50, 25_557_032, 50),
    ],
)
def test_parameters_and_depth_are_those_published(make: Any, parameters: int, layers: int) -> None:
    model = make()
    assert count(model) == parameters
    # The name's number counts convolutions and the readout, but no projections on shortcuts: 1 × 1, outside the numbered parts.
    projections = sum(
        isinstance(block.shortcut, nn.Sequential) for block in model.modules() if hasattr(block, "shortcut")
    )
    assert convolutions(model) - projections + 1 == layers
    assert projections == {18: 3, 34: 3, 50: 4}.get(layers, 0)


def test_stages_halve_the_image() -> None:
    shapes = {}
    model = resnet20().eval()
    for index, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda m, a, y, index=index: shapes.update({index: tuple(y.shape)}))
    assert model(normal(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == {0: (2, 16, 32, 32), 1: (2, 32, 16, 16), 2: (2, 64, 8, 8)}
    shapes.clear()
    model = ResNet((1, 1), (4, 8), stem="imagenet", block="bottleneck", in_channels=1, classes=3).eval()
    for index, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda m, a, y, index=index: shapes.update({index: tuple(y.shape)}))
    # 64 pixels: /2 by the stem, /2 by the maximum, /2 by the second stage; four times the channels out.
    assert model(normal(2, 1, 64, 64)).shape == (2, 3)
    assert shapes == {0: (2, 16, 16, 16), 1: (2, 32, 8, 8)}


def batch_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """Without torch's own: (x − mean)/√(var + 1e-5) · weight + bias."""
    if f"{name}.weight" not in state:
        return x
    weight, bias, mean, var = (
        state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


def conv(x: Tensor, state: dict[str, Tensor], name: str, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)


def skip(x: Tensor, state: dict[str, Tensor], name: str, stride: int, n_out: int, post: bool) -> Tensor:
    """Identity; or, with other shapes, a projection if there are its weights, else every other pixel and channels of zeros."""
    if post and f"{name}.0.weight" in state:
        return batch_norm(
            F.conv2d(x, state[f"{name}.0.weight"], state.get(f"{name}.0.bias"), stride), state, f"{name}.1"
        )
    if not post and f"{name}.weight" in state:
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride)
    x = x[:, :, ::stride, ::stride]
    return torch.cat([x, x.new_zeros(len(x), n_out - x.shape[1], *x.shape[2:])], dim=1)


def plain_post(
    state: dict[str, Tensor], x: Tensor, n_out: list[int], strides: list[tuple[int, ...]], scale: float
) -> Tensor:
    """Stages of one block each, activation after the sum."""
    x = torch.relu(batch_norm(conv(x, state, "conv"), state, "norm"))
    for stage, steps in enumerate(strides):
        at = f"stages.{stage}.0"
        y = x
        for index, stride in enumerate(steps, 1):
            y = batch_norm(conv(y, state, f"{at}.conv{index}", stride), state, f"{at}.norm{index}")
            if index < len(steps):
                y = torch.relu(y)
        x = torch.relu(skip(x, state, f"{at}.shortcut", math.prod(steps), n_out[stage], True) + scale * y)
    return F.linear(x.mean((2, 3)), state["readout.weight"], state["readout.bias"])


def plain_pre(
    state: dict[str, Tensor], x: Tensor, n_out: list[int], strides: list[tuple[int, ...]], scale: float
) -> Tensor:
    """Stages of one block each, norm and activation before each convolution, a norm and an activation at the end."""
    x = conv(x, state, "conv")
    for stage, steps in enumerate(strides):
        at = f"stages.{stage}.0"
        y = x
        for index, stride in enumerate(steps, 1):
            y = conv(torch.relu(batch_norm(y, state, f"{at}.norm{index}")), state, f"{at}.conv{index}", stride)
        x = skip(x, state, f"{at}.shortcut", math.prod(steps), n_out[stage], False) + scale * y
    x = torch.relu(batch_norm(x, state, "last_norm"))
    return F.linear(x.mean((2, 3)), state["readout.weight"], state["readout.bias"])


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("shortcut", ["pad", "projection"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_resnets_equal_plain_functions(order: str, norm: str, shortcut: str, block: str) -> None:
    """Two blocks, the second with a stride, against the equations of He et al. 2016 and 2016b written as functions."""
    options: Any = {"order": order, "norm": norm, "shortcut": shortcut, "block": block}
    model = drawn(ResNet((1, 1), (3, 5), residual_scale=0.7, in_channels=2, classes=4, **options)).eval().double()
    state, x = model.state_dict(), normal(3, 2, 7, 7).double()
    strides = [(1, 1, 1), (1, 2, 1)] if block == "bottleneck" else [(1, 1), (2, 1)]
    n_out = [12, 20] if block == "bottleneck" else [3, 5]
    expected = (plain_post if order == "post" else plain_pre)(state, x, n_out, strides, 0.7)
    # In float64, where the order of sums matters at 1e-15 only; numbers are of order 1.
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
    assert expected.std() > 1e-2
    # The parts that options take away are not there: parameters of shortcuts and norms.
    has_shortcut = any(".shortcut." in name for name, _ in model.named_parameters())
    assert has_shortcut == (shortcut == "projection")
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == (norm == "batch")
    # A bias in front of a norm would be taken away by it; without norms each convolution has one.
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert (module.bias is None) == (norm == "batch")


def test_imagenet_stem_is_seven_pixels_and_a_maximum() -> None:
    for order in ("post", "pre"):
        model = drawn(ResNet((1,), (4,), stem="imagenet", order=order, in_channels=2)).eval().double()  # type: ignore[arg-type]
        state, x, seen = model.state_dict(), normal(2, 2, 16, 16).double(), []
        model.stages.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        model(x)
        made = F.conv2d(x, state["conv.weight"], None, 2, 3)
        expected = F.max_pool2d(torch.relu(batch_norm(made, state, "norm")), 3, 2, 1)
        torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-10)


def test_stable_scale_is_one_over_the_root_of_all_blocks() -> None:
    options = {"blocks": (3, 6), "channels": (2, 3), "residual_scale": "stable"}
    model = build_network("resnet", (1, 8, 8), 3, options)
    scales = [module.scale for module in model.modules() if isinstance(module, Add)]
    assert scales == [pytest.approx(1 / 3)] * 9
    plain = build_network("resnet", (1, 8, 8), 3, {"blocks": (3, 6), "channels": (2, 3)})
    assert [module.scale for module in plain.modules() if isinstance(module, Add)] == [1.0] * 9


@pytest.mark.parametrize(("blocks", "channels"), [((1, 1), (4,)), ((), ()), ((0,), (4,)), ((1,), (0,))])
def test_stages_that_do_not_fit_are_refused(blocks: tuple[int, ...], channels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="give one number from 1 of each for every stage"):
        ResNet(blocks, channels)


@pytest.mark.parametrize(
    "option", [{"block": "wide"}, {"norm": "layer"}, {"order": "Pre"}, {"stem": "mnist"}, {"shortcut": "b"}]
)
def test_unknown_options_of_a_resnet_are_refused(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ConfigError, match=rf"{name} = '{option[name]}' is not known: choose one of"):
        ResNet((1,), (4,), **option)


BASIC = ["conv1", "norm1", "relu1", "conv2", "norm2", "shortcut", "add", "relu2"]


def test_a_recorder_sees_every_sum_of_a_resnet_in_order() -> None:
    model = ResNet((2, 1), (4, 8))
    with Recorder(model) as recorder:
        recorder.measure(normal(3, 3, 8, 8))
    assert recorder.not_seen == ()
    assert recorder.not_called == ()
    blocks = [f"stages.{at}.{name}" for at in ("0.0", "0.1", "1.0") for name in BASIC]
    ends = ["last_norm", "last_relu", "mean", "flatten", "readout"]
    assert [call.name for call in recorder.layers] == ["conv", "norm", "relu", "pool", *blocks, *ends]
    kinds = {call.name: call.type for call in recorder.layers}
    assert [name for name, kind in kinds.items() if kind == "Add"] == [n for n in blocks if n.endswith("add")]
    assert [name for name, kind in kinds.items() if kind == "ReLU"] == ["relu", *(n for n in blocks if "relu" in n)]
    # A listing of the modules reads as the network runs.
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    assert leaves == [call.name for call in recorder.layers]


def test_a_recorder_sees_every_sum_of_a_pre_activation_resnet_in_order() -> None:
    model = ResNet((1,), (4,), order="pre", block="bottleneck", shortcut="projection")
    with Recorder(model) as recorder:
        recorder.measure(normal(3, 3, 8, 8))
    assert recorder.not_seen == ()
    block = [f"{part}{index}" for index in (1, 2, 3) for part in ("norm", "relu", "conv")]
    names = [f"stages.0.0.{name}" for name in [*block, "shortcut", "add"]]
    ends = ["last_norm", "last_relu", "mean", "flatten", "readout"]
    assert [call.name for call in recorder.layers] == ["conv", "norm", "relu", "pool", *names, *ends]
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    assert leaves == [call.name for call in recorder.layers]


# Families -------------------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "resnet": {"blocks": (1, 2), "channels": (4, 6)},
    "conv": {"depth": 3, "channels": 5, "activation": "relu"},
    "transformer": {"depth": 2, "width": 8, "heads": 2, "steps": 4},
    "rnn": {"width": 6, "steps": 8, "activation": "relu"},
    "lstm": {"width": 6, "steps": 8},
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)])
def test_every_family_classifies_images(family: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(3)
    options = dict(OPTIONS[family])
    model = build_network(family, shape, 7, options)
    assert options == OPTIONS[family]
    x = normal(5, *shape)
    y = model.eval()(x)
    assert y.shape == (5, 7)
    assert torch.isfinite(y).all()
    # Inputs matter, and no input to another's output.
    torch.testing.assert_close(model(x[2:3]), y[2:3], rtol=1e-4, atol=1e-5)
    assert (y.std(0) > 0).all()
    # Recorded kinds of layers are there, and the stream fits some modules whose outputs have one shape.
    kinds = {type(module).__name__ for module in model.modules()}
    recorded = FAMILIES[family].recorded.format(activation=",".join(activation_kinds()))
    types = ",".join(kind for kind in recorded.split(",") if kind in kinds)
    with Recorder(model, types=types) as recorder:
        recorder.measure(x)
    assert recorder.not_called == ()
    with Recorder(model, layers=FAMILIES[family].stream.format(stage=1)) as recorder:
        recorder.measure(x)
    assert len({call.shape for call in recorder.layers}) == 1
    assert len(recorder.layers) == {"resnet": 2, "conv": 3, "transformer": 2, "rnn": 8, "lstm": 8}[family]


def test_unknown_families_are_refused() -> None:
    with pytest.raises(ConfigError, match="family = 'mamba' is not known: choose one of resnet, conv"):
        build_network("mamba", (1, 8, 8), 3, {})


def test_critical_weights_are_those_of_the_activation() -> None:
    # ReLU: sigma_w² = 2 whatever sigma_b (He et al. 2015); tanh at sigma_b = 0: 1 (Poole et al. 2016).
    assert critical_sigma_w("resnet", {}, 0.3) == pytest.approx(math.sqrt(2), rel=1e-9)
    assert critical_sigma_w("conv", {"activation": "relu"}, 0.0) == pytest.approx(math.sqrt(2), rel=1e-9)
    assert critical_sigma_w("rnn", {}, 0.0) == pytest.approx(1.0, rel=1e-6)
    assert critical_sigma_w("conv", {"activation": "tanh"}, 0.2) == edge_of_chaos("tanh", 0.2)
    for family, options in (("transformer", {}), ("lstm", {}), ("conv", {"activation": "linear"})):
        assert critical_sigma_w(family, options, 0.1) == 1.0


# Sequences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rnn_equals_that_of_torch(activation: str) -> None:
    model = drawn(RNN(6, activation, steps=5, pixels=20, classes=3)).double()
    theirs = nn.RNN(4, 6, nonlinearity=activation, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(model.drive.weight)
        theirs.weight_hh_l0.copy_(model.recurrent.weight)
        theirs.bias_hh_l0.copy_(model.recurrent.bias)
        theirs.bias_ih_l0.zero_()
    x = normal(7, 1, 4, 5).double()
    states, _ = theirs(x.reshape(7, 5, 4))
    torch.testing.assert_close(model(x), model.readout(states[:, -1]), rtol=0, atol=1e-12)


def test_lstm_equals_that_of_torch() -> None:
    model = drawn(LSTM(6, steps=5, pixels=20, classes=3)).double()
    theirs = nn.LSTM(4, 6, batch_first=True).double()
    # Ours: one map of (state, token) to the gates i, f, o and the candidate g; torch: rows i, f, g, o (its documentation).
    i, f, o, g = torch.arange(24).reshape(4, 6)
    rows = torch.cat([i, f, g, o])
    with torch.no_grad():
        theirs.weight_hh_l0.copy_(model.gates.weight[rows, :6])
        theirs.weight_ih_l0.copy_(model.gates.weight[rows, 6:])
        theirs.bias_hh_l0.copy_(model.gates.bias[rows])
        theirs.bias_ih_l0.zero_()
    x = normal(7, 20).double()
    states, _ = theirs(x.reshape(7, 5, 4))
    torch.testing.assert_close(model(x), model.readout(states[:, -1]), rtol=0, atol=1e-12)


def multi_head(attention: Attention) -> nn.MultiheadAttention:
    width = attention.out.in_features
    theirs = nn.MultiheadAttention(width, attention.heads, batch_first=True).double()
    maps = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([one.weight for one in maps]))
        theirs.in_proj_bias.copy_(torch.cat([one.bias for one in maps]))
        theirs.out_proj.weight.copy_(attention.out.weight)
        theirs.out_proj.bias.copy_(attention.out.bias)
    return theirs


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_equals_that_of_torch(heads: int) -> None:
    attention = drawn(Attention(12, heads)).double()
    x = normal(4, 5, 12).double()
    expected, _ = multi_head(attention)(x, x, x)  # type: ignore[arg-type]
    torch.testing.assert_close(attention(x), expected, rtol=0, atol=1e-12)


def test_transformer_equals_the_encoder_of_torch() -> None:
    """torch's pre-norm encoder layers with GELU and four times the units between, the weights copied."""
    model = drawn(Transformer(2, 12, heads=3, steps=5, pixels=20, classes=4)).double()
    x = normal(6, 20).double()
    y = F.linear(x.reshape(6, 5, 4), model.embedding.weight, model.embedding.bias) + model.positions
    for layer in model.layers:
        assert isinstance(layer, EncoderLayer)
        options: Any = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        theirs = nn.TransformerEncoderLayer(12, 3, 48, dtype=torch.float64, **options)
        theirs.self_attn = multi_head(layer.attention)
        for name in ("norm1", "norm2", "linear1", "linear2"):
            getattr(theirs, name).load_state_dict(getattr(layer, name).state_dict())
        y = theirs(y)
    torch.testing.assert_close(model(x), model.readout(model.norm(y).mean(1)), rtol=0, atol=1e-10)
    # The branches of a network with residual_scale 0 add nothing.
    still = Transformer(2, 12, heads=3, steps=5, pixels=20, classes=4, residual_scale=0.0).double()
    still.load_state_dict(model.state_dict())
    y = model.embedding(x.reshape(6, 5, 4)) + model.positions
    torch.testing.assert_close(still(x), model.readout(model.norm(y).mean(1)), rtol=0, atol=1e-10)


def test_impossible_sequences_are_refused() -> None:
    for make in (lambda: RNN(4, steps=7), lambda: LSTM(4, steps=7), lambda: Transformer(1, 4, steps=7)):
        with pytest.raises(ConfigError, match="steps = 7 does not divide the 256 values"):
            make()
    with pytest.raises(ConfigError, match="heads = 3 does not divide width = 8"):
        Transformer(1, 8, heads=3)


# Convolutions ---------------------------------------------------------------------------------------------


def test_conv_net_wraps_images_around() -> None:
    """Rolling the image rolls every layer."""
    model = drawn(ConvNet(3, 4, "tanh", in_channels=2, image=6)).double()
    x = normal(2, 2, 6, 6).double()
    rolled = torch.roll(x, (2, 5), (2, 3))
    layer = model.layers[:2](x)
    torch.testing.assert_close(model.layers[:2](rolled), torch.roll(layer, (2, 5), (2, 3)), rtol=0, atol=1e-12)
    flat = model.layers(x).flatten(1)
    torch.testing.assert_close(model(x), flat @ model.readout.weight.T + model.readout.bias, rtol=0, atol=1e-12)
    # And one value by hand: the sum over the nine pixels around (0, 0) with indices modulo 6.
    conv = model.layers[0].conv  # type: ignore[union-attr]
    total = conv.bias[3].clone()
    for i in range(3):
        for j in range(3):
            total += (conv.weight[3, :, i, j] * x[1, :, (i - 1) % 6, (j - 1) % 6]).sum()
    torch.testing.assert_close(model.layers[0](x)[1, 3, 0, 0], torch.tanh(total), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b"), [("relu", 1.4, 0.2), ("tanh", 1.5, 0.3), ("erf", 1.2, 0.1)]
)
def test_conv_net_follows_the_variance_map(activation: str, sigma_w: float, sigma_b: float) -> None:
    """m_l = E phi(√q z)², q = sigma_w² m_{l−1} + sigma_b², in every pixel (Xiao et al. 2018), from inputs ±1 with m_0 = 1 in every patch.

    At width C the mean over networks is exact for relu, where E m_l is linear in E m_{l−1}; else it is off by a relative c l/C, which
    is below the errors here: m of one network has a relative standard deviation of about √(l/C), 1/√60 of it is the error of the mean. Twice the
    mean at C = 64 minus that at 32 is free of 1/C altogether.
    """
    nets, depth = 60, 4
    x = torch.sign(normal(1, 1, 8, 8))

    def mean_squares(channels: int) -> np.ndarray:
        rows = []
        for seed in range(nets):
            model = ConvNet(depth, channels, activation, in_channels=1)
            initialise_network(model, "gaussian", sigma_w, sigma_b, np.random.default_rng([seed, channels]))
            y, row = x, []
            for layer in model.layers:
                with torch.no_grad():
                    y = layer(y)
                row.append(y.square().mean().item())
            rows.append(row)
        return np.array(rows)

    expected = propagate(activation, sigma_w, sigma_b, depth).m[1:]
    wide, narrow = mean_squares(64), mean_squares(32)
    error = wide.std(0, ddof=1) / math.sqrt(nets)
    both = np.hypot(error, narrow.std(0, ddof=1) / math.sqrt(nets))
    assert (np.abs(wide.mean(0) - expected) < SIGMAS * error).all()
    # The error of 2a − b is below 2 √(error_a² + error_b²).
    assert (np.abs(2 * wide.mean(0) - narrow.mean(0) - expected) < SIGMAS * 2 * both).all()
    # A wrong fan-in (9, or C alone) would be off by a factor of 9 or more.
    assert (SIGMAS * error / expected).max() < 0.25


# Initialisation -------------------------------------------------------------------------------------------


def network(family: str = "resnet") -> nn.Module:
    options = {
        "resnet": {"blocks": (1, 1), "channels": (16, 24), "norm": "none"},
        "transformer": {"depth": 1, "width": 32, "steps": 8},
        "lstm": {"width": 24, "steps": 8},
        "rnn": {"width": 24, "steps": 8},
        "conv": {"depth": 2, "channels": 16},
    }[family]
    return build_network(family, (1, 8, 8), 10, options)


@pytest.mark.parametrize("family", ["resnet", "transformer", "lstm", "rnn", "conv"])
@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
def test_initial_variances_are_by_fan_in(family: str, init: str) -> None:
    model = network(family)
    initialise_network(model, init, 1.3, 0.4, np.random.default_rng(5))
    for layer in model.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        weight = layer.weight.detach().double().flatten(1)
        n, variance = weight.numel(), 1.3**2 / weight.shape[1]
        if init == "gaussian":
            # The mean square of n Gaussians has relative error √(2/n), their mean sd/√n.
            assert abs(weight.square().mean().item() / variance - 1) < SIGMAS * math.sqrt(2 / n)
        else:
            gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
            size = 1.3**2 * max(1.0, weight.shape[0] / weight.shape[1])
            # float32 keeps 7 digits.
            torch.testing.assert_close(gram, size * torch.eye(len(gram)).double(), rtol=0, atol=1e-5 * size)
            assert weight.square().mean().item() == pytest.approx(variance, rel=1e-5)
        # An orthogonal matrix of uniform sign has entries with mean 0 and, but for signs, correlations of order 1/n.
        assert abs(weight.mean().item()) < SIGMAS * math.sqrt(variance / n)
        if layer.bias is not None:
            n = layer.bias.numel()
            assert layer.bias.std().item() > 0
            assert abs(layer.bias.square().mean().item() / 0.4**2 - 1) < SIGMAS * math.sqrt(2 / n)
            assert abs(layer.bias.mean().item()) < SIGMAS * 0.4 / math.sqrt(n)


def test_norms_stay_and_positions_are_small() -> None:
    model = network("transformer")
    initialise_network(model, "gaussian", 1.0, 0.5, np.random.default_rng(6))
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 3
    for norm in norms:
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
    positions = model.get_parameter("positions")
    n = positions.numel()
    # .02, as in GPT and BERT.
    assert abs(positions.square().mean().item() / 0.02**2 - 1) < SIGMAS * math.sqrt(2 / n)
    resnet = ResNet((1,), (4,))
    initialise_network(resnet, "gaussian", 1.0, 0.5, np.random.default_rng(6))
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert (module.running_var == 1).all()
    initialise_network(resnet, "gaussian", 1.0, 0.0, np.random.default_rng(6))
    assert (resnet.readout.bias == 0).all()


@pytest.mark.parametrize("family", ["resnet", "transformer", "lstm", "rnn", "conv"])
def test_one_generator_makes_one_network(family: str) -> None:
    """Whatever was there before; another generator makes another."""
    models = []
    for seed, torch_seed in ((7, 1), (7, 2), (8, 1)):
        torch.manual_seed(torch_seed)
        model = network(family)
        initialise_network(model, "gaussian", 1.1, 0.2, np.random.default_rng(seed))
        models.append(model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    other = [name for name in models[0] if "norm" not in name and torch.equal(models[0][name], models[2][name])]
    assert other == []


def test_unknown_initialisation_is_refused() -> None:
    with pytest.raises(ConfigError, match="init = 'glorot' is not known: choose one of gaussian, orthogonal"):
        initialise_network(network(), "glorot", 1.0, 0.0, np.random.default_rng(0))


def test_shuffled_weights_are_the_same_values() -> None:
    model = drawn(network("transformer"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shuffle_weights(model, np.random.default_rng(9))
    weights = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    assert len(weights) == 8
    for name, value in model.state_dict().items():
        if name in weights:
            assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
            # A permutation of n entries leaves one in place in the mean, and no more than 10 but once in 10 million.
            assert (value == before[name]).sum() <= 10
        else:
            assert torch.equal(value, before[name])
    again = network("transformer")
    again.load_state_dict(before)
    shuffle_weights(again, np.random.default_rng(9))
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values()))


# Norms ----------------------------------------------------------------------------------------------------


def norm_outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda m, a, y, name=name: seen.update({name: y}))
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def test_calibrated_norms_give_what_norms_should() -> None:
    model = ResNet((2, 1), (8, 16), in_channels=1)
    initialise_network(model, "gaussian", math.sqrt(2), 0.0, np.random.default_rng(10))
    model.train()
    model.stages[0].eval()
    modes = [module.training for module in model.modules()]
    weights = [parameter.clone() for parameter in model.parameters()]
    x = 3 * normal(256, 1, 16, 16) + 5
    calibrate_norms(model, x)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters()))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    # torch's default, so that training goes on as it would.
    assert {norm.momentum for norm in norms} == {0.1}
    assert {int(norm.num_batches_tracked) for norm in norms} == {4}
    model.eval()
    for name, y in norm_outputs(model, x).items():
        # Not exactly 0 and 1: the running variance is the mean of those within batches, without that between their means, and later norms were set while
        # earlier ones used the statistics of the batch instead. Both are relative errors of a mean over 64 images: with pixels of an image
        # wholly dependent, √(2/64) for a variance and 1/√64 for a mean, at most, for one batch; the mean of four halves it.
        assert y.mean((0, 2, 3)).abs().max() < SIGMAS / math.sqrt(64) / 2, name
        assert (y.var((0, 2, 3)) - 1).abs().max() < SIGMAS * math.sqrt(2 / 64) / 2, name
    # Uncalibrated, the first norm is far off: inputs of mean 5 and standard deviation 3.
    fresh = ResNet((2, 1), (8, 16), in_channels=1).eval()
    fresh.load_state_dict(
        {n: v for n, v in model.state_dict().items() if "running" not in n and "num" not in n}, strict=False
    )
    assert (norm_outputs(fresh, x)["norm"].var((0, 2, 3)) - 1).abs().max() > 1


def test_one_norm_is_calibrated_to_the_mean_of_its_batches() -> None:
    """The first norm of one batch is exact but for the divisor n − 1; a second calibration forgets the first."""
    model = ResNet((1,), (4,), in_channels=1)
    for x in (normal(40, 1, 8, 8, seed=11), 7 + 2 * normal(40, 1, 8, 8, seed=12)):
        calibrate_norms(model, x, batch_size=20)
        with torch.no_grad():
            y = model.conv(x).double()
        halves = [y[:20], y[20:]]
        torch.testing.assert_close(
            model.norm.running_mean.double(), sum(h.mean((0, 2, 3)) for h in halves) / 2, rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(
            model.norm.running_var.double(), sum(h.var((0, 2, 3)) for h in halves) / 2, rtol=1e-4, atol=1e-5
        )
    # Fewer inputs than a batch are one batch.
    calibrate_norms(model, x, batch_size=64)
    torch.testing.assert_close(model.norm.running_var.double(), y.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_networks_without_norms_are_not_touched_by_calibration() -> None:
    model = ResNet((1,), (4,), norm="none", in_channels=1).train()
    before = copy.deepcopy(model.state_dict())
    model.register_forward_pre_hook(lambda module, args: pytest.fail("the network was run"))
    calibrate_norms(model, normal(8, 1, 8, 8))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_calibration_that_fails_puts_all_back() -> None:
    model = ResNet((1,), (4,), in_channels=1).eval()
    with pytest.raises(RuntimeError):
        calibrate_norms(model, normal(8, 2, 8, 8))
    assert not any(module.training for module in model.modules())
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


# Files and images -----------------------------------------------------------------------------------------


def pair(channels: int = 4) -> list[nn.Module]:
    return [drawn(ResNet((1,), (channels,), in_channels=1), seed) for seed in (1, 2)]


def test_states_come_back(tmp_path: Path) -> None:
    initial, trained = pair(), [drawn(model, 9) for model in pair()]
    initial[0].get_submodule("norm").num_batches_tracked.fill_(12345)  # type: ignore[union-attr, operator]
    path = tmp_path / "new" / "states.safetensors"
    save_states(path, {"initial": initial, "trained": trained})
    for state, models in (("initial", initial), ("trained", trained)):
        loaded = [ResNet((1,), (4,), in_channels=1) for _ in models]
        load_states(path, state, loaded)
        for mine, theirs in zip(models, loaded):
            assert mine.state_dict().keys() == theirs.state_dict().keys()
            for name, value in mine.state_dict().items():
                assert torch.equal(value, theirs.state_dict()[name])
                assert value.dtype == theirs.state_dict()[name].dtype
    first = path.read_bytes()
    save_states(path, {"initial": initial, "trained": trained})
    assert path.read_bytes() == first


def test_states_of_eleven_networks_are_not_confused(tmp_path: Path) -> None:
    """initial.1 is no prefix of initial.10."""
    models = [drawn(nn.Linear(2, 2), seed) for seed in range(11)]
    save_states(tmp_path / "s.safetensors", {"initial": models})
    loaded = [nn.Linear(2, 2) for _ in models]
    load_states(tmp_path / "s.safetensors", "initial", loaded)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(models, loaded))  # type: ignore[arg-type]


def test_files_of_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "states.safetensors"
    save_states(path, {"initial": pair()})
    others: list[tuple[str, list[nn.Module]]] = [
        ("initial", pair(5)),
        ("trained", pair()),
        ("initial", [*pair(), *pair()]),
        ("initial", [ResNet((2,), (4,), in_channels=1)]),
        ("initial", [RNN(4)]),
    ]
    for state, models in others:
        with pytest.raises(
            TableError, match=r"states\.safetensors holds other networks \(.+\): delete it and run again"
        ):
            load_states(path, state, models)
    with pytest.raises(TableError, match=r"gone\.safetensors does not exist: run the training"):
        load_states(tmp_path / "gone.safetensors", "initial", pair())


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.999])
def test_truncated_states_are_named(tmp_path: Path, where: float) -> None:
    path = tmp_path / "states.safetensors"
    save_states(path, {"initial": pair()})
    content = path.read_bytes()
    path.write_bytes(content[: int(where * len(content))])
    with pytest.raises(TableError, match=r"states\.safetensors is truncated.*delete it and run again"):
        load_states(path, "initial", pair())


def test_images_are_samples_with_pixels_repeated() -> None:
    samples = np.arange(2 * 3 * 2 * 2, dtype=np.float64).reshape(2, 12)
    images = to_images(samples, (3, 2, 2), 6)
    assert images.shape == (2, 3, 6, 6)
    assert images.dtype == torch.float32
    for n in range(2):
        for channel in range(3):
            for row in range(6):
                for column in range(6):
                    assert images[n, channel, row, column] == samples[n, channel * 4 + row // 3 * 2 + column // 3]
    same = to_images(samples, (3, 2, 2), 2)
    np.testing.assert_array_equal(same.numpy().reshape(2, 12), samples)
    with pytest.raises(ConfigError, match="image = 5 is no multiple of the 2 pixels"):
        to_images(samples, (3, 2, 2), 5)


# Training -------------------------------------------------------------------------------------------------


def easy(n: int = 120) -> tuple[Tensor, Tensor]:
    """Three classes of 8 × 8 images: which third of the rows is bright."""
    y = torch.arange(n) % 3
    x = 0.3 * normal(n, 1, 8, 8, seed=13)
    for index in range(n):
        x[index, 0, 2 * y[index] : 2 * y[index] + 2] += 2.0
    return x, y


def learner(family: str = "conv", seed: int = 14) -> nn.Module:
    options: dict[str, Any] = {
        "conv": {"depth": 2, "channels": 8, "activation": "relu"},
        "rnn": {"width": 16, "steps": 8},
    }
    options |= {"resnet": {"blocks": (1,), "channels": (8,)}}
    model = build_network(family, (1, 8, 8), 3, options[family])
    initialise_network(model, "gaussian", 1.0, 0.0, np.random.default_rng(seed))
    return model


TRAINING: dict[str, Any] = {"steps": 80, "batch_size": 16, "learning_rate": 0.05}


@pytest.mark.parametrize("family", ["rnn", "resnet"])
def test_easy_tasks_are_learnt(family: str) -> None:
    x, y = easy()
    model = learner(family)
    before = accuracy(model, x, y)
    done: list[int] = []
    history = train_plainly(model, x, y, rng=np.random.default_rng(15), progress=done.append, **TRAINING)
    assert done == list(range(1, 81))
    assert history.losses.shape == (80,)
    assert not history.diverged
    assert not any(module.training for module in model.modules())
    # Guessing costs ln 3; classes six standard deviations of a pixel apart, over 16 pixels, are told apart with certainty.
    assert history.losses[-10:].mean() < 0.5 * math.log(3) < history.losses[:3].mean()
    assert accuracy(model, x, y) > max(0.9, before)


def test_one_order_makes_one_training() -> None:
    x, y = easy()
    trained = []
    for seed, torch_seed in ((16, 1), (16, 2), (17, 1)):
        torch.manual_seed(torch_seed)
        model = learner()
        history = train_plainly(model, x, y, rng=np.random.default_rng(seed), **TRAINING)
        trained.append((history.losses, model.state_dict()))
    np.testing.assert_array_equal(trained[0][0], trained[1][0])
    assert all(torch.equal(value, trained[1][1][name]) for name, value in trained[0][1].items())
    assert not np.array_equal(trained[0][0], trained[2][0])


def test_training_is_the_formula_of_momentum_on_epochs_of_permutations() -> None:
    """v ← momentum v + g, w ← w − rate v, g cut to norm ``clip``, with the last batches of an epoch that are too small left out."""
    x, y = easy(20)
    model, plain = learner(), learner()
    history = train_plainly(
        model, x, y, steps=7, batch_size=8, learning_rate=0.1, rng=np.random.default_rng(18), momentum=0.8, clip=0.3
    )
    rng = np.random.default_rng(18)
    batches = []
    for _ in range(4):
        order = rng.permutation(20)
        batches += [order[:8], order[8:16]]
    parameters = list(plain.parameters())
    speed = [torch.zeros_like(parameter) for parameter in parameters]
    losses, cut = [], 0
    for batch in batches[:7]:
        logits = plain(x[torch.from_numpy(batch)])
        loss = (torch.logsumexp(logits, 1) - logits.gather(1, y[torch.from_numpy(batch)][:, None])[:, 0]).mean()
        gradient = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
        cut += norm > 0.3
        losses.append(loss.item())
        with torch.no_grad():
            for parameter, v, g in zip(parameters, speed, gradient):
                v.mul_(0.8).add_(g * min(1.0, 0.3 / norm))
                parameter.sub_(0.1 * v)
    assert cut >= 1
    # float32 over seven steps; torch divides by norm + 1e-6.
    np.testing.assert_allclose(history.losses, losses, rtol=0, atol=1e-4)
    for mine, theirs in zip(model.parameters(), parameters):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


@pytest.mark.parametrize(("family", "rate"), [("conv", 1e20), ("resnet", 1e20), ("conv", 1e37), ("resnet", 1e37)])
def test_divergence_is_reported_and_leaves_finite_numbers(family: str, rate: float) -> None:
    """Steps of norm rate · clip: weights of 1e20 overflow float32 (3e38) in the second layer; running statistics too are as before the loss."""
    x, y = easy()
    model = learner(family)
    history = train_plainly(model, x, y, steps=50, batch_size=16, learning_rate=rate, rng=np.random.default_rng(19))
    assert history.diverged
    assert len(history.losses) < 50
    assert finite(model)
    assert not any(module.training for module in model.modules())


def test_gradients_that_are_not_finite_end_training() -> None:
    """A loss that is finite with an infinite slope: √ at 0. A step along it would make every weight NaN."""

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.sqrt(self.weight).expand(len(x), 3) * 1.0

    model = Root()
    x, y = easy()
    history = train_plainly(model, x, y, steps=5, batch_size=16, learning_rate=0.1, rng=np.random.default_rng(20))
    assert history.diverged
    assert finite(model)
    assert history.losses[0] == pytest.approx(math.log(3), rel=1e-6)


def test_accuracy_is_the_share_that_is_right() -> None:
    """Of any number of batches, the last one smaller, in the mode for use."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Identity())
    x = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2, 0])]
    y = torch.tensor([0, 1, 2, 1, 1, 0, 0])
    assert accuracy(model.train(), x, y, batch_size=3) == pytest.approx(5 / 7)
