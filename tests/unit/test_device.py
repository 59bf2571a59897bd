"""Where torch computes: names of devices, short memory, files of one device; and the same numbers on a GPU as on the CPU."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from quasicrit.errors import DeviceError, PropagationError, TableError
from quasicrit.networks import (
    ConvNet,
    NetSpec,
    Optimiser,
    Recorder,
    Replicas,
    accuracy,
    calibrate_norms,
    device_samplers,
    initialise,
    load_digits_split,
    predict,
    propagate,
    record,
    recording,
    resnet20,
    torch_generator,
    train,
    train_plainly,
    training,
)
from quasicrit.networks.device import (
    Chunker,
    device_details,
    enough_memory,
    full_float32,
    resolve_device,
)
from quasicrit.networks.device_samplers import DeviceSampler
from quasicrit.networks.mlp import StackedMLP, forward_layers, part_of
from quasicrit.networks.propagation import Layers, Signals
from quasicrit.rng import generator
from quasicrit.stages.job import job
from quasicrit.stages.plan import Job, on_gpu
from quasicrit.stages.train import _reduce, _reduced_on
from quasicrit.tables import SCHEMAS, read_table, write_table

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device that this build of torch can use")
#: What runs on a machine without a GPU in the form that a GPU runs, and on one with it there.
PLACES = ["cpu", pytest.param("cuda", marks=needs_gpu)]
NAMES = ("log_m", "mean_abs", "active_fraction")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def out_of_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


# Names ------------------------------------------------------------------------------------------------------


def test_names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(resolve_device(name)) for name in ("cpu", "auto", "cuda", "cuda:1")] == [
        "cpu",
        "cuda:0",
        "cuda:0",
        "cuda:1",
    ]
    with pytest.raises(DeviceError, match=r"cuda:2: torch sees 2 CUDA devices"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    with pytest.raises(DeviceError, match=r"device = cuda: there is no CUDA device .*; give cpu or auto"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "", "CUDA", "mps"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="is not known; give auto, cpu, cuda, or cuda:K"):
        resolve_device(name)


def test_a_job_says_where_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with job(str(tmp_path / "a.log"), {"device": "cpu"}) as details:
        assert details["device"] == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end, job(str(tmp_path / "b.log"), {"device": "cuda"}):
        pytest.fail("the body of a job without its device must not run")
    assert end.value.code == 2
    assert capsys.readouterr().err == (tmp_path / "b.log").read_text()
    assert "no CUDA device" in (tmp_path / "b.log").read_text()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, {device}")
    with job(str(tmp_path / "c.log"), {"device": "cuda"}) as details:
        assert (details["device"], details["device_name"]) == ("cuda", "a GPU, cuda:0")


def test_which_stages_have_a_form_for_a_gpu() -> None:
    assert on_gpu("propagate_signals", "weights")
    assert on_gpu("propagate_signals", "gram")
    assert on_gpu("learn_plane")
    assert not on_gpu("propagate_signals", "gaussian")
    assert not on_gpu("detect_avalanches", "weights")
    assert Job("record_units", "record_units/weights/T/width=8", 1, 1).may_use_gpu
    assert not Job("record_units", "record_units/gaussian/T/width=8", 1, 1).may_use_gpu
    assert Job("train_networks", "train_networks/width=8_depth=3", 1, 1).may_use_gpu


@pytest.mark.parametrize("source", ["gaussian", "tabulated"])
def test_the_chain_has_no_form_for_a_gpu(source: str) -> None:
    with pytest.raises(PropagationError, match=rf"source: {source} runs on the CPU only; give device: cpu"):
        next(propagate(source, "tanh", "gaussian", 16, 4, 1, 1.0, [Replicas(("k",), 16, 1.0, 0.0)], 1, device="cuda"))


# Files of one stage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["device", "signals_device"])
def test_files_of_two_devices_are_not_joined(tmp_path: Path, key: str) -> None:
    row = dict.fromkeys(SCHEMAS["survival"].names, 1) | {"activation": "tanh"}
    paths = [tmp_path / f"{name}.parquet" for name in ("a", "b", "c")]
    for path, device in zip(paths, ("cpu", "cuda", "cuda")):
        write_table(path, SCHEMAS["survival"], [row], {key: device})
    assert len(read_table(paths[1:], SCHEMAS["survival"])) == 2
    with pytest.raises(
        TableError, match=rf"{paths[1]} comes from cuda and {paths[0]} from cpu; the files of one stage"
    ):
        read_table(paths, SCHEMAS["survival"])


# Short memory -----------------------------------------------------------------------------------------------


class Short:
    """A device that holds ``room`` items at once."""

    def __init__(self, room: int, error: Callable[[], Exception] = out_of_memory) -> None:
        self.room, self.error, self.tried = room, error, []  # type: ignore[var-annotated]

    def __call__(self, items: range) -> list[int]:
        self.tried.append(len(items))
        if len(items) > self.room:
            raise self.error()
        return [item**2 for item in items]


@pytest.mark.parametrize("room", [1, 3, 7, 100, 1000])
@pytest.mark.parametrize("size", [1, 64, 10**9])
def test_chunks_are_halved_until_they_fit(room: int, size: int) -> None:
    short, chunker = Short(room), Chunker(size, "item")
    for _ in range(2):
        made = [value for part in chunker.run(range(101), short) for value in part]
        assert made == [item**2 for item in range(101)]
    assert chunker.size <= max(room, 1) or chunker.size == size
    # Found once: the second time nothing is tried that does not fit.
    assert all(count <= room for count in short.tried[-math.ceil(101 / chunker.size) :])


def test_libraries_below_torch_run_short_too() -> None:
    def cublas() -> Exception:
        return RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    short = Short(4, cublas)
    assert [v for part in Chunker(16, "item").run(range(16), short) for v in part] == [i**2 for i in range(16)]


def test_what_is_no_lack_of_memory_is_not_repeated() -> None:
    short = Short(0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        list(Chunker(16, "item").run(range(16), short))
    assert short.tried == [16]


def test_one_item_too_many_is_told() -> None:
    with pytest.raises(DeviceError, match=r"too little memory for one network; .* give device: cpu"):
        list(Chunker(16, "network").run(range(16), Short(0)))
    with pytest.raises(DeviceError, match="one batch of 64 inputs"), enough_memory("batch of 64 inputs"):
        raise out_of_memory()


# Samplers ---------------------------------------------------------------------------------------------------


def together(parts: list[Layers]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([getattr(part, name) for part in parts], axis=2) for name in NAMES}


def sampled(sampler: DeviceSampler, depth: int, units: bool = False) -> list[Layers]:
    return [sampler.advance(first, min(10, depth + 1 - first), units) for first in range(1, depth + 1, 10)]


@pytest.mark.parametrize(("source", "inputs"), [("weights", 1), ("gram", 2)])
def test_a_sampler_goes_on_from_its_state(source: str, inputs: int) -> None:
    signals = Signals("tanh", False, 16, inputs, 1.0, [Replicas(("s", g), 4, 1.1, 0.1 * g) for g in range(2)], 3)
    whole, stopped, resumed = (DeviceSampler(source, signals, CPU) for _ in range(3))
    whole.advance(1, 32, False)
    stopped.advance(1, 32, False)
    resumed.restore(stopped.state())
    found, wanted = resumed.advance(33, 32, False), whole.advance(33, 32, False)
    np.testing.assert_array_equal(found.log_m, wanted.log_m)
    np.testing.assert_array_equal(found.mean_abs, wanted.mean_abs)


@pytest.fixture
def streams_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random numbers that ``matrices`` draws, moved to the device."""

    def stream(root_seed: int, key: tuple[str | int, ...], device: torch.device) -> torch.Generator:
        return torch_generator(generator(root_seed, *key[:-2]))

    def fill(out: torch.Tensor, made: torch.Generator) -> None:
        out.copy_(torch.empty(out.shape, dtype=out.dtype).normal_(generator=made))

    monkeypatch.setattr(device_samplers, "_stream", stream)
    monkeypatch.setattr(device_samplers, "_fill", fill)


@pytest.mark.usefixtures("streams_of_the_cpu")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize(("source", "inputs"), [("weights", 2), ("gram", 3)])
@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.2])
def test_same_weights_and_inputs_give_the_same_signal(
    place: str, activation: str, source: str, inputs: int, init: str, sigma_b: float
) -> None:
    """25 layers near the critical point, where rounding (1e-7 a layer in float32, 1e-16 in float64) is not amplified.

    A unit within rounding of the level of an active one may fall on either side of it.
    """
    width = 24
    sigma_w = 1.45 if activation == "relu" else 1.1 if activation == "tanh" else 1.0
    replicas = [Replicas(("same", g), 16, sigma_w + 0.05 * g, sigma_b) for g in range(3)]
    wanted = together(list(propagate(source, activation, init, width, 25, inputs, 1.0, replicas, 7, units=True)))
    parts = sampled(
        DeviceSampler(
            source, Signals(activation, init == "orthogonal", width, inputs, 1.0, replicas, 7), resolve_device(place)
        ),
        25,
        units=True,
    )
    found = together(parts)
    tolerance = 1e-4 if source == "weights" else 5e-6  # the Gram sampler's are written in float32
    np.testing.assert_allclose(found["log_m"], wanted["log_m"], atol=tolerance)
    np.testing.assert_allclose(found["mean_abs"], wanted["mean_abs"], rtol=tolerance)
    differs = np.abs(found["active_fraction"] - wanted["active_fraction"])
    assert differs.max() < 1.5 / width
    assert (differs > 1e-6).mean() < 0.01
    units = np.concatenate([part.units for part in parts if part.units is not None])
    assert units.shape == (25, 48, inputs, width)
    np.testing.assert_allclose(
        np.log((units.astype(np.float64) ** 2).mean(-1)).transpose(1, 2, 0), found["log_m"], atol=1e-5
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("source", "inputs"), [("weights", 1), ("gram", 2)])
@pytest.mark.parametrize("init", ["gaussian", "orthogonal"])
def test_the_law_is_that_of_the_cpu(place: str, source: str, inputs: int, init: str) -> None:
    """Two-sample Kolmogorov–Smirnov on ln m, E|x| and the active share at layers 1, 5 and 20: 9 comparisons per case.

    2048 networks each: critical distance 2.36 √(2/n) = 0.074, passed by chance with 3e-5. Power: a shift of a quarter of a standard
    deviation moves the distance by 0.1 and is found with probability 0.96 (``test_the_agreement_test_has_power`` in test_propagation).
    """
    critical = 2.36 * math.sqrt(2 / 2048)
    replicas = [Replicas(("law", g), 64, 1.2, 0.2) for g in range(32)]
    wanted = together(list(propagate(source, "tanh", init, 16, 20, inputs, 1.0, replicas, 1)))
    signals = Signals("tanh", init == "orthogonal", 16, inputs, 1.0, replicas, 2)
    found = together(sampled(DeviceSampler(source, signals, resolve_device(place)), 20))
    for name in NAMES:
        for layer in (1, 5, 20):
            one, two = wanted[name][:, 0, layer - 1], found[name][:, 0, layer - 1]
            assert stats.ks_2samp(one, two).statistic < critical, (name, layer)


def test_the_test_of_the_law_finds_another_law() -> None:
    one, two = (
        together(
            sampled(
                DeviceSampler(
                    "weights",
                    Signals("tanh", False, 16, 1, 1.0, [Replicas(("law", g), 64, sigma_w, 0.2) for g in range(32)], 2),
                    CPU,
                ),
                20,
            )
        )["log_m"][:, 0, 19]
        for sigma_w in (1.2, 1.25)
    )
    assert stats.ks_2samp(one, two).statistic > 2.36 * math.sqrt(2 / 2048)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("source", "inputs"), [("weights", 2), ("gram", 2)])
def test_a_pack_is_the_same_in_any_company(
    place: str, source: str, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole groups at once; a device that holds one pack at a time, and says so in the middle of a block; a group alone."""
    monkeypatch.setattr(device_samplers, "_PACK", 5 * 16**2)  # packs of five networks or more
    groups = [Replicas(("k", g), 32, 1.1, 0.1 * g) for g in range(3)]

    def made(replicas: list[Replicas]) -> DeviceSampler:
        return DeviceSampler(source, Signals("tanh", False, 16, inputs, 1.0, replicas, 3), resolve_device(place))

    whole = together(sampled(made(groups), 30))
    alone = together(sampled(made(groups[1:2]), 30))
    sampler = made(groups)
    real, calls = DeviceSampler._normal, 0

    def short(self: DeviceSampler, packs: Any, *shape: int, **options: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if len(packs) > 1 and calls % 7 == 0:
            raise out_of_memory()
        return real(self, packs, *shape, **options)

    monkeypatch.setattr(DeviceSampler, "_normal", short)
    pieces = together(sampled(sampler, 30))
    assert sampler._chunker.size == 1
    for name in ("log_m", "mean_abs"):
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(alone[name], whole[name][32:64], rtol=1e-4, atol=1e-4)


def test_parallel_inputs_get_a_ridge_of_their_own() -> None:
    """One network of two has parallel inputs: it alone is changed, and the ridge is reported."""
    sampler = DeviceSampler("gram", Signals("tanh", False, 8, 2, 1.0, [Replicas(("p",), 2, 1.0, 0.0)], 1), CPU)
    good = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    root, ridge = sampler._root(torch.stack([good, torch.ones(2, 2, dtype=torch.float64)]))
    assert ridge == 1e-13
    assert torch.equal(root[0], torch.linalg.cholesky(good))
    np.testing.assert_allclose((root[1] @ root[1].T).numpy(), np.ones((2, 2)), atol=1e-12)
    with pytest.raises(PropagationError, match="became parallel"):
        sampler._root(-good[None])


@pytest.mark.parametrize("place", PLACES)
def test_signals_that_die_are_named(place: str) -> None:
    signals = Signals("relu", False, 2, 1, 1.0, [Replicas(("d",), 64, 1.4, 0.0)], 1)
    with pytest.raises(PropagationError, match=r"died .* relu"):
        sampled(DeviceSampler("weights", signals, resolve_device(place)), 60)


# Training and recording -------------------------------------------------------------------------------------


def networks(count: int = 11, width: int = 20, depth: int = 6, activation: str = "tanh") -> StackedMLP:
    specs = [NetSpec("device", 1.0 + 0.05 * (seed % 4), 0.05, seed) for seed in range(count)]
    return initialise(
        specs, input_dim=64, width=width, depth=depth, n_classes=10, activation=activation, init="gaussian", root_seed=3
    )


@pytest.fixture
def gpu_form_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks as a GPU takes them: many networks, none for padding."""

    def padded(nets: Any, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return (torch.as_tensor(nets),) * 2

    monkeypatch.setattr(training, "padded", padded)
    monkeypatch.setattr(training, "chunker", lambda device: Chunker(512, "network"))


OPTIMISERS = [Optimiser(), Optimiser("sgd", 0.9), Optimiser("adam")]


@pytest.mark.usefixtures("gpu_form_on_the_cpu")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=["sgd", "momentum", "adam"])
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_training_is_the_same_in_large_chunks(
    place: str, optimiser: Optimiser, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 steps in float64 against chunks of eight on the CPU: losses to 1e-9, parameters to 1e-8."""
    data = load_digits_split(1)
    options: dict[str, Any] = {
        "steps": 60,
        "learning_rate": 0.003,
        "batch_size": 16,
        "root_seed": 2,
        "optimiser": optimiser,
    }

    def wide() -> StackedMLP:
        made = networks(activation=activation)
        return StackedMLP([w.double() for w in made.weights], [b.double() for b in made.biases], activation, made.nets)

    large = wide()
    found = train(large, data, device=place, **options)
    monkeypatch.undo()
    small = wide()
    wanted = train(small, data, **options)
    np.testing.assert_allclose(found.losses, wanted.losses, rtol=1e-9)
    np.testing.assert_array_equal(found.accuracy, wanted.accuracy)
    assert all(w.is_cpu for w in large.weights)
    for mine, theirs in zip([*large.weights, *large.biases], [*small.weights, *small.biases]):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-8)


@needs_gpu
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=["sgd", "momentum", "adam"])
def test_training_in_float32_follows_the_cpu(optimiser: Optimiser) -> None:
    """Another order of sums moves a loss by 1e-7 a step; 50 steps at a small rate amplify it little. TensorFloat-32 would move it by 1e-3."""
    data = load_digits_split(1)
    found, wanted = (
        train(
            networks(),
            data,
            steps=50,
            learning_rate=0.003,
            batch_size=16,
            root_seed=2,
            optimiser=optimiser,
            device=place,
        )
        for place in ("cuda", "cpu")
    )
    np.testing.assert_allclose(found.losses, wanted.losses, rtol=1e-4)
    assert found.fate == wanted.fate


@pytest.mark.usefixtures("gpu_form_on_the_cpu")
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=["sgd", "momentum", "adam"])
def test_training_goes_on_where_memory_is_short(optimiser: Optimiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that holds three networks, and says so only after it has moved the parameters of more."""
    data = load_digits_split(1)
    options: dict[str, Any] = {
        "steps": 55,
        "learning_rate": 0.01,
        "batch_size": 16,
        "root_seed": 2,
        "optimiser": optimiser,
    }
    free = networks()
    wanted = train(free, data, **options)
    real, sizes = training._descend, []

    def short(weights: list[torch.Tensor], *arguments: Any) -> Any:
        made = real(weights, *arguments)
        sizes.append(len(weights[0]))
        if len(weights[0]) > 3:
            raise out_of_memory()
        return made

    monkeypatch.setattr(training, "_descend", short)
    tight = networks()
    found = train(tight, data, **options)
    assert sizes[:3] == [11, 6, 3]
    assert max(sizes[2:]) == 3
    np.testing.assert_allclose(found.losses, wanted.losses, rtol=1e-4)
    for mine, theirs in zip(tight.weights, free.weights):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_recorded_networks_are_the_same(place: str) -> None:
    mlp, images = networks(depth=12), load_digits_split(1).test_x[:9]
    device = resolve_device(place)
    wanted = [_reduce(layer, x.numpy()) for layer, x in enumerate(forward_layers(mlp, images), start=1)]
    found = list(_reduced_on(device, mlp, images))
    assert [layers.first for layers in found] == [layers.first for layers in wanted]
    for one, two in zip(found, wanted):
        np.testing.assert_allclose(one.log_m, two.log_m, atol=1e-5)
        np.testing.assert_allclose(one.mean_abs, two.mean_abs, rtol=1e-5)
        assert np.abs(one.active_fraction - two.active_fraction).max() < 1.5 / 20
    np.testing.assert_array_equal(predict(mlp, images, place), predict(mlp, images))
    part = part_of(mlp, range(3, 7), device)
    assert part.nets == mlp.nets[3:7]
    assert part.weights[0].device.type == device.type


class Tight(nn.Module):
    """A model on a device that holds ``room`` inputs, and says so in its last layer."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.first, self.phi, self.last = nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.sin(self.phi(self.first(x)))
        if len(x) > self.room:
            raise out_of_memory()
        return self.last(h)


def tight(room: int) -> Tight:
    torch.manual_seed(1)
    return Tight(room)


@pytest.mark.parametrize("room", [1, 5, 8])
def test_a_recording_goes_on_where_memory_is_short(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reductions, moments, units, and what hooks do not see: as with memory for all, each input once."""
    monkeypatch.setattr(recording, "_may_run_short", lambda device: True)
    x = np.random.default_rng(1).standard_normal((21, 6))
    made = {}
    for name, holds in (("free", 100), ("short", room)):
        paths = {kind: tmp_path / f"{name}-{kind}.parquet" for kind in ("moments", "units")}
        found = record(tight(holds), x, tmp_path / f"{name}.parquet", batch_size=16, **paths)  # type: ignore[arg-type]
        assert found.n_inputs == 21
        made[name] = (
            read_table(tmp_path / f"{name}.parquet", SCHEMAS["recorded"], ["input", "layer", "log_m"]),
            read_table(paths["moments"], SCHEMAS["unit_moments"]),
            read_table(paths["units"], SCHEMAS["recorded_units"]).sort_values(["layer", "input"]),
            (found.layers, found.not_seen, found.not_called),
        )
    assert made["free"][3] == made["short"][3]
    for one, two in zip(made["free"][:2], made["short"][:2]):
        np.testing.assert_allclose(one.to_numpy(np.float64), two.to_numpy(np.float64), rtol=1e-5, atol=1e-6)
    one, two = made["free"][2], made["short"][2]
    assert one["input"].tolist() == two["input"].tolist()
    for mine, theirs in zip(one["units"], two["units"]):
        np.testing.assert_allclose(np.frombuffer(mine, "<f4"), np.frombuffer(theirs, "<f4"), rtol=1e-5, atol=1e-6)


def test_a_recording_of_inputs_too_large_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_may_run_short", lambda device: True)
    with pytest.raises(DeviceError, match="too little memory for one input"):
        record(tight(0), np.ones((4, 6)), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_accuracy_where_memory_is_short() -> None:
    x, y = torch.randn(50, 6), torch.arange(50) % 4
    assert accuracy(tight(3), x, y) == accuracy(tight(100), x, y)


def test_training_that_cannot_be_cut_ends_with_a_sentence() -> None:
    x, y = torch.randn(50, 6), torch.arange(50) % 4
    with pytest.raises(DeviceError, match="one batch of 20 inputs"):
        train_plainly(tight(3), x, y, steps=2, batch_size=20, learning_rate=0.1, rng=generator(1, "t"))


# On a GPU ---------------------------------------------------------------------------------------------------


@pytest.fixture
def convolutions() -> Iterator[tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(2)
    return resnet20().eval(), torch.randn(16, 3, 32, 32)


@needs_gpu
def test_a_recorded_resnet_agrees_with_the_cpu(convolutions: tuple[nn.Module, torch.Tensor], tmp_path: Path) -> None:
    """Sums of up to 576 products in float32: 1e-5. TensorFloat-32 would be off by 1e-3."""
    model, x = convolutions
    found = {}
    for place in ("cpu", "cuda"):
        paths = {kind: tmp_path / f"{place}-{kind}.parquet" for kind in ("moments",)}
        record(model, x, tmp_path / f"{place}.parquet", device=resolve_device(place), **paths)  # type: ignore[arg-type]
        found[place] = (
            read_table(tmp_path / f"{place}.parquet", SCHEMAS["recorded"], ["log_m", "mean_abs"]),
            read_table(paths["moments"], SCHEMAS["unit_moments"], ["mean", "variance"]),
        )
    for one, two in zip(found["cpu"], found["cuda"]):
        np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=1e-4, atol=1e-4)


@needs_gpu
@pytest.mark.parametrize("make", [lambda: ConvNet(8, 8, "tanh", image=8), lambda: resnet20()], ids=["conv", "resnet"])
def test_plain_training_follows_the_cpu(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(3)
    start = make()
    channels = 1 if isinstance(start, ConvNet) else 3
    x, y = torch.randn(128, channels, 8, 8), torch.arange(128) % 10
    losses = {}
    for place in ("cpu", "cuda"):
        model = copy.deepcopy(start).to(place)
        calibrate_norms(model, x)
        with full_float32(resolve_device(place)):
            history = train_plainly(model, x, y, steps=10, batch_size=32, learning_rate=0.01, rng=generator(1, "order"))
        losses[place] = history.losses
        assert 0.0 <= accuracy(model, x, y) <= 1.0
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)


@needs_gpu
def test_a_gpu_that_is_full_takes_smaller_chunks() -> None:
    """All but a little of the memory is taken: the real error of the allocator, and the same numbers."""
    place = resolve_device("cuda")
    signals = Signals("tanh", False, 256, 1, 1.0, [Replicas(("full", g), 64, 1.1, 0.0) for g in range(64)], 1)
    wanted = together(sampled(DeviceSampler("weights", signals, place), 4))
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(place)
    taken = torch.empty(max(0, free - 400 * 2**20), dtype=torch.uint8, device=place)
    sampler = DeviceSampler("weights", signals, place)
    before = sampler._chunker.size
    found = together(sampled(sampler, 4))
    del taken
    assert sampler._chunker.size < before
    np.testing.assert_allclose(found["log_m"], wanted["log_m"], atol=1e-4)


@needs_gpu
def test_a_gpu_repeats_itself() -> None:
    replicas = [Replicas(("again", g), 64, 1.1, 0.1) for g in range(4)]
    one, two = (
        together(list(propagate("weights", "tanh", "gaussian", 32, 30, 2, 1.0, replicas, 1, device="cuda")))
        for _ in range(2)
    )
    for name in NAMES:
        np.testing.assert_array_equal(one[name], two[name])


@needs_gpu
def test_the_recorder_leaves_a_gpu_s_random_numbers_alone(convolutions: tuple[nn.Module, torch.Tensor]) -> None:
    model, x = convolutions
    model.to("cuda")
    state = torch.cuda.get_rng_state()
    with Recorder(model, layers="stages.*.*.add") as recorder:
        recorder.measure(x.to(recorder.device))
    assert torch.equal(torch.cuda.get_rng_state(), state)


@needs_gpu
def test_provenance_names_the_gpu() -> None:
    details = device_details(resolve_device("cuda"))
    assert details["device"] == "cuda"
    assert details["device_name"]
    assert details["cuda"]
