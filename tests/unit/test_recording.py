"""Recording: against a slow version of its own, on a model that must stay as it is, and what it refuses."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from quasicrit.avalanches import standardise
from quasicrit.errors import AvalancheError, QuasicritError, RecordingError, TableError
from quasicrit.networks import Recorder, record
from quasicrit.networks.recording import _moved
from quasicrit.networks.reductions import Moments, fused_reductions, torch_reductions
from quasicrit.tables import SCHEMAS, read_provenance, read_rows, read_table, recorded_schema

torch.set_num_threads(1)


class Small(nn.Module):
    """Convolution, norm, a ReLU in place that is called twice, and a readout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4 * 25, 6)
        self.norm.running_mean.uniform_(-1, 1)  # type: ignore[operator,union-attr]
        self.norm.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x)))
        return self.act(self.fc(self.drop(y).flatten(1)))


class Lambda(nn.Module):
    """A module without children that does what it is given."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def images(n: int = 11, seed: int = 1) -> Tensor:
    return torch.randn(n, 2, 5, 5, generator=torch.Generator().manual_seed(seed))


def slow(model: Small, x: Tensor) -> list[np.ndarray]:
    """Outputs of Small's layers in the order of their calls, each (inputs, units), without hooks and without in-place."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        conv = model.conv(x)
        norm = (conv - model.norm.running_mean[:, None, None]) / (  # type: ignore[index]
            model.norm.running_var[:, None, None] + model.norm.eps  # type: ignore[index,operator]
        ).sqrt()
        act = norm * (norm > 0)
        fc = act.flatten(1) @ model.fc.weight.T + model.fc.bias
        return [part.flatten(1).double().numpy() for part in (conv, norm, act, act, fc, fc * (fc > 0))]


NAMES = ["conv", "norm", "act", "drop", "fc", "act"]


def test_against_a_slow_version(tmp_path: Path) -> None:
    model, x = Small(), images()
    names = ["log_m", "mean_abs", "active_fraction", "quantile_0.25", "quantile_1"]
    made = record(
        model,
        x,
        tmp_path / "a.parquet",
        reduce=["log_m", "mean_abs", "active_fraction", "quantile:0.25", "quantile:1"],
        moments=tmp_path / "m.parquet",
        units=tmp_path / "u.parquet",
        batch_size=4,
        net=7,
    )
    assert [(call.layer, call.name, call.call) for call in made.layers] == [
        (i + 1, name, 2 if i == 5 else 1) for i, name in enumerate(NAMES)
    ]
    assert made.layers[0].shape == (4, 5, 5)
    assert (made.n_inputs, made.not_called, made.n_dead) == (11, (), 0)
    assert made.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())

    layers = slow(model, x)
    frame = read_table(tmp_path / "a.parquet", recorded_schema(names))
    assert frame["net"].eq(7).all()
    assert frame[["input", "layer"]].to_numpy().tolist() == [[i, layer] for i in range(11) for layer in range(1, 7)]
    for layer, y in enumerate(layers, 1):
        rows = frame[frame["layer"] == layer]
        rms = np.sqrt((y * y).mean(1))
        active = y > 0 if layer in (3, 6) else np.abs(y) > rms[:, None] / 10
        expected = [2 * np.log(rms), np.abs(y).mean(1), active.mean(1), np.quantile(y, 0.25, axis=1), y.max(1)]
        np.testing.assert_allclose(rows[names].to_numpy(), np.column_stack(expected), rtol=2e-5, atol=2e-6)

    moments = read_table(tmp_path / "m.parquet", SCHEMAS["unit_moments"])
    assert moments["n"].eq(11).all()
    np.testing.assert_allclose(moments["mean"], np.concatenate([y.mean(0) for y in layers]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        moments["variance"], np.concatenate([y.var(0, ddof=1) for y in layers]), rtol=1e-4, atol=1e-9
    )

    units = read_table(tmp_path / "u.parquet", SCHEMAS["recorded_units"])
    assert len(units) == 66
    for row in units.itertuples():
        found = np.frombuffer(row.units, "<f4")
        np.testing.assert_allclose(found, layers[row.layer - 1][row.input], rtol=2e-5, atol=2e-6)

    details = read_provenance(tmp_path / "a.parquet")
    assert details["layers"][5] == {
        "layer": 6, "name": "act", "call": 2, "type": "ReLU", "shape": [6], "active": "x > 0",
    }  # fmt: skip
    assert details["layers"] == read_provenance(tmp_path / "u.parquet")["layers"]
    # The model flattens between drop and fc, which changes no value.
    assert details["not_seen"] == []


def test_a_relu_in_place_does_not_spoil_what_was_before_it() -> None:
    model, held = Small(), []
    with Recorder(
        model, layers="norm", reduce=["quantile:0"], on_units=lambda layer, first, x: held.append(x)
    ) as recorder:
        lowest = recorder.measure(images())
    assert (lowest < 0).all()
    np.testing.assert_array_equal(lowest[:, 0, 0], held[0].min(1))


# Which layers ----------------------------------------------------------------------------------------------


def chosen(model: nn.Module, **choice: str) -> list[str]:
    with Recorder(model, **choice) as recorder:  # type: ignore[arg-type]
        recorder.measure(images())
    return [call.name for call in recorder.layers]


def test_choice_of_layers() -> None:
    model = nn.Sequential(Small(), nn.Sequential(nn.Tanh(), nn.Linear(6, 2)))
    everything = [f"0.{name}" for name in NAMES] + ["1.0", "1.1"]
    assert chosen(model) == everything
    assert chosen(model, layers="!0.act, !0.dr*") == ["0.conv", "0.norm", "0.fc", "1.0", "1.1"]
    assert chosen(model, layers="0,1.?") == ["0", "1.0", "1.1"]
    assert chosen(model, types="ReLU,Linear") == ["0.act", "0.fc", "0.act", "1.1"]
    assert chosen(model, types="Sequential") == ["1"]
    assert chosen(model, types="Linear", layers="1*") == ["1.1"]
    assert chosen(nn.Flatten()) == ["(model)"]


def test_a_module_under_two_names_is_one_layer() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(50, 50), nn.Tanh())
    model.add_module("again", model[1])
    with Recorder(model, layers="again") as recorder:
        recorder.measure(images())
    assert [(call.name, call.call) for call in recorder.layers] == [("again", 1), ("again", 2)]


def test_what_is_not_called_is_listed(tmp_path: Path) -> None:
    model = Small()
    model.spare = nn.Linear(2, 2)
    assert record(model, images(), tmp_path / "a.parquet").not_called == ("spare",)
    with pytest.raises(RecordingError, match=r"none of the chosen layers is called.*spare"):
        record(model, images(), tmp_path / "b.parquet", layers="spare")


def test_transformer_layers_run_alike_in_every_batch() -> None:
    """torch's fast path calls no part of a transformer layer, unless a hook looks at one, as in the first batch."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x, found = torch.randn(5, 3, 8), []
    with Recorder(nn.Sequential(layer), layers="0", on_units=lambda layer, first, y: found.append(y)) as recorder:
        for _ in range(3):
            recorder.measure(x.clone())
    np.testing.assert_array_equal(found[0], found[1])
    seen = {(entry.where, entry.operation) for entry in recorder.not_seen}
    assert seen == {("0", "add"), ("0", "relu"), ("0.self_attn", "multi_head_attention_forward")}
    assert torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        np.testing.assert_allclose(found[0], layer(x).flatten(1), rtol=0, atol=1e-5)


def test_what_makes_a_weight_is_no_layer() -> None:
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(50, 4))
    other = nn.utils.spectral_norm(nn.Linear(4, 4))
    with Recorder(nn.Sequential(nn.Flatten(), linear, other), types="Linear") as recorder:
        recorder.measure(images())
    assert [call.name for call in recorder.layers] == ["1", "2"]
    assert recorder.not_seen == ()


def test_inference_mode(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = Small()
        before = state(model)
        made = record(model, images(), tmp_path / "a.parquet")
        assert state(model) == before
        assert made.n_inputs == 11


class Functional(nn.Module):
    """What hooks cannot see: a functional ReLU, a sum and an in-place product; Flatten and Lambda are whole."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.branch = nn.Sequential(nn.Linear(50, 50), Lambda(lambda x: torch.tanh(x + 1)))
        self.norm = nn.LayerNorm(50)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flat(x)
        y = nn.functional.relu(self.norm(x)) + x
        y = 1 + y
        y *= 2.0
        positions = torch.arange(len(x)) + 1
        return self.branch(y) + 0 * positions[:, None]


def test_not_seen() -> None:
    model = nn.Sequential(Functional())
    with Recorder(model) as recorder:
        for _ in range(3):
            recorder.measure(images())
    found = {(entry.where, entry.operation): entry.count for entry in recorder.not_seen}
    # 0 · positions is of whole numbers; what the branch's own module does is seen as its output.
    assert found == {("0", "relu"): 1, ("0", "add"): 3, ("0", "mul"): 1}
    with Recorder(model, types="Linear") as recorder:
        recorder.measure(images())
    found = {(entry.where, entry.operation): entry.count for entry in recorder.not_seen}
    assert found[("0.branch.1", "tanh")] == 1
    # The last sum is what the chosen module returns.
    with Recorder(model, layers="0,0.branch.1") as recorder:
        recorder.measure(images())
    assert {(entry.where, entry.operation): entry.count for entry in recorder.not_seen}[("0", "add")] == 2


# The numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["none", "positive", "tenth"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 1024), (9, 3001)])
def test_the_fused_kernel_is_the_torch_path(rule: Any, shape: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(5)
    fused, plain = (Moments(shape[1], torch.device("cpu")) for _ in range(2))
    for _ in range(3):
        x = torch.randn(shape, generator=rng) * 3 + 1
        one, two = fused_reductions(x, rule, fused), torch_reductions(x, rule, plain)
        torch.testing.assert_close(one[:2], two[:2], rtol=1e-6, atol=0)
        # rms/10 is rounded: a unit may lie between the two.
        torch.testing.assert_close(one[2], two[2], rtol=0, atol=1.01 / shape[1] if rule == "tenth" else 1e-12)
        torch.testing.assert_close(fused_reductions(x, rule, None), one, rtol=1e-6, atol=0)
    torch.testing.assert_close(fused.mean, plain.mean, rtol=0, atol=1e-6)  # s.d. 3
    torch.testing.assert_close(fused.squares, plain.squares, rtol=1e-5, atol=1e-12)
    assert fused.count == plain.count == 3 * shape[0]


@pytest.mark.parametrize("reduced", [fused_reductions, torch_reductions])
def test_moments_merge_without_cancellation(reduced: Any) -> None:
    """Mean 1e4 and s.d. 1e-2, first input far off, batches of 1, 64, 3, …: as numpy has it in two passes."""
    rng = np.random.default_rng(4)
    x = (1e4 + 0.01 * rng.standard_normal((300, 70))).astype(np.float32)
    x[:, 35:] = rng.standard_normal((300, 35)).astype(np.float32)
    x[0, 69] = 1000.0
    moments = Moments(70, torch.device("cpu"))
    for part in np.split(x, [1, 65, 68, 200]):
        reduced(torch.from_numpy(part.copy()), "none", moments)
    wide = x.astype(np.float64)
    error = np.abs(moments.mean.numpy() - wide.mean(0)) / wide.std(0)
    assert error.max() < 1e-6
    np.testing.assert_allclose(moments.squares.numpy(), ((wide - wide.mean(0)) ** 2).sum(0), rtol=2e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_mean_squares_beyond_float32(scale: float) -> None:
    x = (torch.randn(4, 2000, generator=torch.Generator().manual_seed(1)).double() * scale).float()
    expected = (x.double() ** 2).mean(1)
    torch.testing.assert_close(fused_reductions(x, "tenth", None)[0], expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        fused_reductions(x, "tenth", None), torch_reductions(x, "tenth", None), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 1023, 1024, 2999])
def test_the_fused_kernel_keeps_what_is_not_finite(value: float, at: int) -> None:
    x = torch.ones(9, 3000)
    x[8, at] = value
    square = fused_reductions(x, "positive", None)[0]
    assert square.isfinite().tolist() == [True] * 8 + [False]
    assert bool(square[8].isnan()) == bool(np.isnan(value))


@pytest.mark.parametrize(
    "change",
    [
        lambda model, x: (model.double(), x.double()),
        lambda model, x: (model, x.to(memory_format=torch.channels_last)),
    ],
)
def test_other_types_and_layouts_give_the_same(change: Any) -> None:
    expected = measured(Small(), images())
    model, x = change(Small(), images())
    found = measured(model, x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)


def measured(model: nn.Module, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    with Recorder(model, moments=True) as recorder:
        values = recorder.measure(x)
    return values, np.concatenate([mean for _, _, mean, _ in recorder.unit_moments()])


def test_a_dead_layer_is_minus_infinity_and_counted(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    made = record(model, -images().abs(), tmp_path / "a.parquet")
    frame = read_table(tmp_path / "a.parquet", SCHEMAS["recorded"])
    assert frame[frame["layer"] == 2]["log_m"].eq(-np.inf).all()
    assert frame[frame["layer"] == 2]["active_fraction"].eq(0).all()
    assert made.n_dead == 11


# The model stays as it is ----------------------------------------------------------------------------------


class Counting(nn.Module):
    """Changes its buffers in every forward pass, one in place and one by another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        self.last = x.flatten()[:2]
        return x * 1.0


def state(model: nn.Module) -> dict[str, Any]:
    return {
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "grad": [(p.requires_grad, p.grad is None, id(p)) for p in model.parameters()],
        "values": [(name, value.numpy().tobytes()) for name, value in model.state_dict().items()],
        "ids": [id(buffer) for buffer in model.buffers()],
        "random": torch.get_rng_state().numpy().tobytes(),
        "gradients": torch.is_grad_enabled(),
    }


@pytest.fixture
def model() -> nn.Module:
    """In train mode, with a norm frozen in eval mode, a parameter without gradient and a hook of the user's own."""
    made = nn.Sequential(Small(), Counting()).train()
    made[0].norm.eval()  # type: ignore[union-attr,operator]
    made[0].conv.weight.requires_grad_(False)  # type: ignore[union-attr,operator]
    made[0].fc.register_forward_hook(lambda module, args, output: None)  # type: ignore[union-attr,operator]
    return made


def test_the_model_is_untouched(model: nn.Module, tmp_path: Path) -> None:
    x = images()
    given = x.clone()
    with torch.no_grad():
        bare = copy.deepcopy(model).eval()(x)
    before = state(model)
    found: list[np.ndarray] = []
    record(model, x, tmp_path / "a.parquet", moments=tmp_path / "m.parquet", device="cpu")
    with Recorder(model, layers="1", on_units=lambda layer, first, y: found.append(y)) as recorder:
        recorder.measure(x.clone())
    assert state(model) == before
    np.testing.assert_array_equal(found[0], bare.numpy())
    assert torch.equal(x, given)


def test_the_model_is_untouched_after_an_error(model: nn.Module, tmp_path: Path) -> None:
    before = state(model)
    with pytest.raises(RecordingError, match="cannot take inputs of shape 11×2×4×4"):
        record(model, images()[:, :, :4, :4], tmp_path / "a.parquet", units=tmp_path / "u.parquet")
    assert state(model) == before

    def batches() -> Iterator[Tensor]:
        yield images()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(model, batches(), tmp_path / "a.parquet", moments=tmp_path / "m.parquet")
    assert state(model) == before
    assert list(tmp_path.iterdir()) == []


def test_the_seed_is_that_of_what_is_random(tmp_path: Path) -> None:
    noise = nn.Sequential(Lambda(lambda x: x + torch.rand_like(x)))
    runs = []
    for seed in (0, 0, 1):
        record(noise, images(), tmp_path / "a.parquet", seed=seed)
        runs.append(read_table(tmp_path / "a.parquet", SCHEMAS["recorded"])["log_m"].tolist())
    assert runs[0] == runs[1] != runs[2]


# Inputs ----------------------------------------------------------------------------------------------------


def test_every_form_of_inputs_gives_the_same(tmp_path: Path) -> None:
    model, x = Small(), images(23)
    flat = x.flatten(1).numpy()
    np.save(tmp_path / "x.npy", x.numpy().astype(">f8"))
    columns = [f"x{i}" for i in range(50)]
    frame = pd.DataFrame(flat, columns=columns)
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=7)
    frame.to_csv(tmp_path / "x.csv", index=False)
    np.savetxt(tmp_path / "x.txt", flat, header="no names")
    record(model, x, tmp_path / "expected.parquet")
    expected = read_table(tmp_path / "expected.parquet", SCHEMAS["recorded"])
    loader = DataLoader(TensorDataset(x, torch.arange(23)), batch_size=5)
    for inputs in (
        x.numpy(),
        x.numpy().astype(np.float64),
        tmp_path / "x.npy",
        tmp_path / "x.parquet",
        str(tmp_path / "x.csv"),
        tmp_path / "x.txt",
        loader,
        [x[:3], x[3:]],
        ((part.numpy(), None) for part in x.split(4)),
    ):
        record(model, inputs, tmp_path / "a.parquet", shape=(2, 5, 5), batch_size=6)
        found = read_table(tmp_path / "a.parquet", SCHEMAS["recorded"])
        pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5)


def test_parquet_is_read_in_pieces(tmp_path: Path) -> None:
    pd.DataFrame(np.arange(3 << 20).reshape(-1, 8)).rename(columns=str).to_parquet(
        tmp_path / "x.parquet", row_group_size=100_000
    )
    pieces = list(read_rows(str(tmp_path / "x.parquet"), 10))
    assert max(len(piece) for piece in pieces) <= 1 << 19
    assert np.concatenate(pieces).ravel().tolist() == list(range(3 << 20))


def test_whole_numbers_of_arrays_are_tokens(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    assert record(model, np.arange(12).reshape(4, 3) % 9, tmp_path / "a.parquet").layers[0].shape == (3, 4)


# What is refused -------------------------------------------------------------------------------------------


class Wandering(nn.Module):
    """Calls its layers in an order that depends on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Tanh(), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)) if len(x) > 3 else self.one(self.two(x)) if len(x) == 3 else self.one(x)


def bad(at: int, value: float = float("nan")) -> np.ndarray:
    x = images().numpy()
    x[at, 0, 0, 0] = value
    return x


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "inputs", "options", "said"),
    [
        (Small, images(), {"layers": "block*"}, ("'block*'", "conv, norm, act, drop, fc")),
        (Small, images(), {"layers": "conv,!blok*"}, ("'!blok*'",)),
        (Small, images(), {"types": "Conv3d"}, ("'Conv3d'", "BatchNorm2d, Conv2d")),
        (Small, images(), {"types": "Conv2d", "layers": "fc"}, ("'fc'", "'Conv2d'", "together")),
        (lambda: nn.Sequential(*[nn.Tanh() for _ in range(14)]), images(), {"layers": "x"}, ("0, 1", "and 4 more")),
        (lambda: nn.Sequential(nn.Flatten(), Lambda(lambda x: (x, x))), images(), {}, ("layer 1", "tuple", "!1")),
        (lambda: nn.Sequential(Lambda(lambda x: {"x": x})), images(), {}, ("layer 0", "dict", "!0")),
        (lambda: nn.Sequential(Lambda(lambda x: x.mean(0))), images(), {}, ("layer 0", "2×5×5", "batch of 11")),
        (lambda: nn.Sequential(Lambda(lambda x: x[:, :0])), images(), {}, ("layer 0", "11×0×5×5")),
        (lambda: nn.Sequential(Lambda(lambda x: x > 0)), images(), {}, ("layer 0", "torch.bool")),
        (
            lambda: nn.Sequential(nn.Tanh(), Lambda(torch.log)),
            images(70),
            {},
            ("layer 2 (1, call 1)", "NaN", "input 0 "),
        ),
        (
            lambda: nn.Sequential(Lambda(lambda x: 1 / x)),
            [images().abs() + 1, images().abs() * (torch.arange(11) != 4)[:, None, None, None]],
            {},
            ("layer 1", "infinity", "input 15 (counted from 0)"),
        ),
        (lambda: nn.Sequential(nn.ReLU(inplace=True)), images(), {}, ("its input in place", "clone")),
        (Small, images()[:, :, :3], {}, ("11×2×3×5", "RuntimeError")),
        (Small, images().long(), {}, ("torch.int64", "11×2×5×5")),
        (Small, images()[:0], {}, ("no inputs",)),
        (Small, [], {}, ("no inputs",)),
        (Small, bad(6), {"batch_size": 4}, ("input 6 (counted from 0)", "finite")),
        (Small, [images(), torch.from_numpy(bad(3, np.inf))], {}, ("input 14 (counted from 0)",)),
        (Small, images(), {"shape": (2, 5, 6)}, ("50 numbers", "2,5,6", "60")),
        (Small, [{"x": images()}], {}, ("batch 0", "dict")),
        (Small, TensorDataset(images()), {}, ("TensorDataset", "DataLoader")),
        (Small, np.array(["a"]), {}, ("<U1", "numbers")),
        (Small, np.array(1.0), {}, ("single number",)),
        (Small, images(1), {"moments": "m.parquet"}, ("at least 2 inputs",)),
        (Small, images(), {"batch_size": 0}, ("batch_size = 0",)),
        (Small, images(), {"net": -1}, ("net = -1",)),
        (Small, images(), {"reduce": ["rms"]}, ("'rms'", "log_m", "quantile:p")),
        (Small, images(), {"reduce": ["quantile:2"]}, ("'quantile:2'", "0 ≤ p ≤ 1")),
        (Small, images(), {"reduce": ["log_m", "log_m"]}, ("twice",)),
        (Small, images(), {"reduce": []}, ("empty",)),
        (Small, images(), {"moments": "a.csv"}, ("'a.csv'", ".parquet")),
        (Small, images(), {"moments": "a.parquet"}, ("moments", "file of the out too")),
        (lambda: nn.LazyLinear(4), images(), {}, ("no shape yet",)),
        (lambda: nn.Linear(5, 5, device="meta"), images(), {}, ("weight is on the device meta",)),
        (Small, images(), {"device": "nowhere"}, ("cannot go to the device nowhere",)),
        (lambda: torch.jit.script(nn.Sequential(nn.Tanh())), images(), {}, ("the model is compiled to TorchScript",)),
        (Small, images().to_sparse(), {}, ("sparse_coo tensor", "dense")),
        (Small, [images().to_sparse()], {}, ("batch 0", "dense")),
        (lambda: "net", images(), {}, ("str", "torch.nn.Module")),
        (Wandering, [images(4), images(3)], {}, ("same order", "input 4 on", "call 1 is two, where one was")),
        (Wandering, [images(4), images(2)], {}, ("same order", "call 2 is the end, where two was")),
        (Wandering, [images(2), images(4)], {}, ("same order", "call 2 is two, where the end was")),
        (
            lambda: nn.Sequential(nn.Tanh()),
            [images(), images()[:, :, :3]],
            {"moments": "m.parquet"},
            ("30 units", "50 before", "from input 11 on"),
        ),
    ],
)
def test_refused_with_one_sentence(
    make: Callable[[], nn.Module],
    inputs: Any,
    options: dict[str, Any],
    said: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordingError) as raised:
        record(make(), inputs, "a.parquet", **options)
    assert all(word in str(raised.value) for word in said), raised.value
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_on_several_devices_is_not_moved() -> None:
    model = Small()
    model.register_buffer("far", torch.empty(2, device="meta"))
    with pytest.raises(RecordingError, match=r"several devices \(cpu, meta\)"), _moved(model, "cpu"):
        pass


def test_refused_files(tmp_path: Path) -> None:
    def refused(content: bytes | None, suffix: str, kind: type[QuasicritError]) -> str:
        path = tmp_path / f"x{suffix}"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(kind) as raised:
            record(nn.Tanh(), path, tmp_path / "a.parquet")
        assert str(path) in str(raised.value)
        path.unlink(missing_ok=True)
        return str(raised.value)

    assert "no such file" in refused(None, ".npy", RecordingError)
    assert "no such file" in refused(None, ".csv", TableError)
    # The header of an array of objects, whose entries would be a pickle.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    assert "no .npy array" in refused(header.getvalue(), ".npy", RecordingError)
    assert "no .npy array" in refused(header.getvalue()[:20], ".npy", RecordingError)
    assert "numbers" in refused(b"word,x\na,1\n", ".csv", TableError)
    assert "empty" in refused(b"x,y\n", ".csv", TableError)
    assert "cannot be read" in refused(b"1,2\n3\n", ".csv", TableError)
    pd.DataFrame({"x": ["a"]}).to_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    assert "'x'" in refused(whole, ".parquet", TableError)
    assert "truncated" in refused(whole[:-9], ".parquet", TableError)
    with pytest.raises(RecordingError, match="file of the inputs too"):
        record(nn.Tanh(), tmp_path / "t.parquet", tmp_path / "t.parquet")


def test_a_full_disk_is_not_the_inputs_fault() -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), Recorder(Small(), on_units=full) as recorder:
        recorder.measure(images())


# Memory ----------------------------------------------------------------------------------------------------

PEAK = """
import sys, tempfile
import torch
from torch import nn
from quasicrit.networks import record

torch.set_num_threads(1)
model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
inputs = (torch.randn(100, 3, 8, 8) for _ in range(int(sys.argv[1]) // 100))
with tempfile.TemporaryDirectory() as folder:
    made = record(model, inputs, f"{folder}/a.parquet", moments=f"{folder}/m.parquet")
assert made.n_inputs == int(sys.argv[1])
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_inputs() -> None:
    peaks = [
        int(subprocess.run([sys.executable, "-c", PEAK, n], capture_output=True, text=True, check=True).stdout) / 1024
        for n in ("1000", "20000")
    ]
    assert peaks[1] - peaks[0] < 100


# Standard deviations across trajectories -------------------------------------------------------------------


def test_standardise() -> None:
    y = np.random.default_rng(2).standard_normal((40, 7)).astype(np.float32) * np.arange(1, 8) + 1e3
    z = standardise(y)
    assert z.dtype == np.float64
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1)
    np.testing.assert_allclose(z[3, 4], (float(y[3, 4]) - y[:, 4].mean(dtype=float)) / y[:, 4].std(dtype=float))
    with pytest.raises(AvalancheError, match="2 are too few; at least 3"):
        standardise(y[:2])
    with pytest.raises(AvalancheError, match="1 are too few"):
        standardise(y[0])
    y[:, 2] = 4
    with pytest.raises(AvalancheError, match=r"\(4\) at layer 3 of 7"):
        standardise(y)
    y[1, 1] = np.nan
    with pytest.raises(AvalancheError, match="finite"):
        standardise(y)
