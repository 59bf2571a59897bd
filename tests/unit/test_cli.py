"""The command: answers against the library and known numbers; one line and exit code 2 for bad input."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quasicrit.cli import main
from quasicrit.rng import generator
from quasicrit.scaling import crackling
from quasicrit.tables import read_columns
from quasicrit.tails import Distribution, Support, analyse_tail, fit_power_law
from quasicrit.theory import propagate_residual, theory_point

Run = Callable[..., dict[str, Any]]
Refuse = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run with --json; returns the object, after checking that it is one line of strict JSON and alone."""

    def call(*args: object) -> dict[str, Any]:
        code = main([*map(str, args), "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        assert out.count("\n") == 1

        def no_constants(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        made = json.loads(out, parse_constant=no_constants)
        for key in made["reasons"]:
            value = made
            for part in key.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
            assert value is None
        return dict(made)

    return call


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refuse:
    """Run bad input; returns the one line of the error, after checking that it left nothing else."""

    def call(*args: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert err.startswith("quasicrit: ")
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return call


# advise ----------------------------------------------------------------------------------------------------


def test_advise_orthogonal_has_a_gain(run: Run) -> None:
    made = run("advise", "--depth", 30, "--width", 64)
    # Reference values: the peak of chi_m(30) at sigma_b = 0.
    assert made["gain"] == pytest.approx(1.08314, abs=2e-5)
    assert (made["init"], made["sigma_b"]) == ("orthogonal", 0.0)
    assert "sigma_w" not in made
    assert set(made["predicted"]) == {"m_depth", "log_jacobian", "susceptibility_depth", "chi_1", "xi_c", "window"}
    assert "peak of chi_m(L)" in made["explanation"]


def test_advise_gaussian_relu_and_residual(run: Run) -> None:
    made = run(
        "advise", "--depth", 50, "--width", 64, "--activation", "relu", "--init", "gaussian", "--residual-blocks", 16
    )
    assert made["sigma_w"] == pytest.approx(2**0.5)
    assert made["residual_scale"] == 0.25
    assert (made["residual_blocks"], made["branch_layers"], made["path_depth"]) == (16, 1, 35)
    # sigma_w² = 2: a block of scale 1/4 multiplies the stream's mean square and squared gradients by 1 + 1/16
    assert made["predicted"]["stream_growth"] == pytest.approx((17 / 16) ** 16)
    assert made["predicted"]["log_jacobian_residual"] == pytest.approx(16 * math.log(17 / 16))
    assert made["predicted"]["xi_c"] is None
    assert made["reasons"] == {"predicted.xi_c": "infinite"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--width", 64), "--depth"),
        (("--depth", 0, "--width", 64), "--depth"),
        (("--depth", 3, "--width", 1), "--width"),
        (("--depth", 3, "--width", 8, "--activation", "swish"), "'swish' is not known: choose one of tanh"),
        (("--depth", 3, "--width", 8, "--init", "uniform"), "'uniform'"),
        (("--depth", 3, "--width", 8, "--residual-blocks", -1), "--residual-blocks"),
        (("--depth", 3, "--width", 8, "--branch-layers", 2), "give --residual-blocks"),
        (("--depth", 3, "--width", 8, "--residual-blocks", 3, "--branch-layers", 0), "--branch-layers"),
        (("--depth", 3, "--width", 8, "--residual-blocks", 3000), "residual_blocks = 3000 cannot be advised on"),
    ],
)
def test_advise_refuses(refuse: Refuse, args: tuple[object, ...], said: str) -> None:
    assert said in refuse("advise", *args)


# theory ----------------------------------------------------------------------------------------------------


def test_theory_point(run: Run) -> None:
    made = run("theory", "--activation", "tanh", "--sigma-w", 1.5, "--sigma-b", 0)
    # Reference values: m* of tanh at sigma_w = 1.5, sigma_b = 0.
    assert made["m_star"] == pytest.approx(0.35260180, abs=5e-9)
    assert made["phase"] == "chaotic"
    assert set(made["susceptibility"]) == {"m", "rms", "abs"}
    assert not {"m_depth", "susceptibility_depth", "log_jacobian", "sigma_c", "log_m_step_variance"} & set(made)
    assert made["reasons"] == {}


def test_theory_of_a_residual_stream(run: Run) -> None:
    options = ("theory", "--activation", "relu", "--sigma-w", 1.2, "--sigma-b", 0, "--residual-blocks", 30)
    made = run(*options, "--m0", 0.5)
    # (1 + sigma_w²/2)^B, and J² the same, without biases
    assert made["stream_growth"] == pytest.approx(1.72**30)
    assert made["stream_variance"] == pytest.approx(0.5 * 1.72**30)
    assert made["log_jacobian_residual"] == pytest.approx(30 * math.log(1.72))
    # m_B = q_B/2, d ln q_B/dsigma_w = B sigma_w/(1 + sigma_w²/2)
    assert made["susceptibility_residual"] == pytest.approx(0.25 * 1.72**30 * 30 * 1.2 / 1.72)
    assert made["correlation_slope_residual"] == pytest.approx(1.0)
    assert made["q_star"] == 0.0
    assert [made[key] for key in ("residual_scale", "branch_layers", "residual_norm")] == [1.0, 1, "none"]
    scaled = run(*options, "--residual-scale", 0.2, "--branch-layers", 2)
    end = propagate_residual("relu", 1.2, 0.0, 30, scale=0.2, branch_layers=2, correlation=0.0)
    assert end.correlation is not None
    assert scaled["stream_growth"] == pytest.approx(end.q[-1])
    assert scaled["correlation_residual"] == pytest.approx(end.correlation[-1])
    batch = run(*options, "--residual-norm", "batch")
    assert batch["stream_growth"] == pytest.approx(1 + 30 * 0.72)
    assert batch["susceptibility_residual"] == 0.0
    assert "stream_growth" not in run("theory", "--sigma-w", 1.2, "--sigma-b", 0)


def test_theory_of_an_exploding_stream_gives_its_logarithm(run: Run) -> None:
    made = run("theory", "--activation", "relu", "--sigma-w", 2, "--sigma-b", 0, "--residual-blocks", 1000)
    logarithm = f"e^{1000 * math.log(3):.6g}"
    for key in ("stream_growth", "stream_variance", "susceptibility_residual"):
        assert made[key] is None
        assert logarithm in made["reasons"][key]
    assert made["log_jacobian_residual"] == pytest.approx(1000 * math.log(3))
    assert 0.999 < made["correlation_residual"] < 1.0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--sigma-w", 1, "--residual-blocks", 0), "--residual-blocks"),
        (("--sigma-w", 1, "--residual-blocks", 3, "--residual-scale", 0), "scale = 0.0 is impossible"),
        (("--sigma-w", 1, "--residual-blocks", 3, "--residual-norm", "group"), "'group'"),
        (
            ("--sigma-w", 1, "--residual-scale", 0.5),
            "--residual-scale is about residual branches; give --residual-blocks",
        ),
        (("--sigma-w", 1, "--branch-layers", 2), "--branch-layers is about residual branches"),
        (("--sigma-w", 1, "--residual-norm", "batch"), "--residual-norm is about residual branches"),
        (("--edge-of-chaos", "--residual-blocks", 3), "--residual-blocks plays no part in where a line runs"),
        (("--edge-of-chaos", "--m0", 2), "--m0 plays no part in where a line runs at infinite depth"),
    ],
)
def test_theory_refuses_residual_options(refuse: Refuse, args: tuple[object, ...], said: str) -> None:
    assert said in refuse("theory", "--sigma-b", 0, *args)


def test_theory_with_depth_and_width(run: Run) -> None:
    made = run("theory", "--sigma-w", 1.2, "--sigma-b", 0.1, "--depth", 30, "--width", 64, "--m0", 0.5)
    point = theory_point("tanh", 1.2, 0.1, depth=30, width=64, m0=0.5)
    assert made["m_depth"] == point.m_depth
    assert made["log_jacobian"] == point.log_jacobian
    assert made["susceptibility_depth"] == point.susceptibility_depth
    assert made["sigma_c"] == point.sigma_c
    assert made["log_m_step_variance"] == point.log_m_step_variance


def test_theory_infinite_lengths_are_null(run: Run) -> None:
    made = run("theory", "--sigma-w", 1, "--sigma-b", 0)
    assert made["phase"] == "critical"
    assert made["xi_c"] is None
    assert made["reasons"]["xi_c"] == "infinite"
    assert made["reasons"]["susceptibility.rms"] == "infinite"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        # Reference values.
        (("--edge-of-chaos", "--sigma-b", 0.05), 1.122539),
        (("--ridge", "rms", "--sigma-b", 0.1), 1.063187),
        (("--ridge", "abs", "--sigma-b", 0.2), 1.128481),
        (("--ridge", "m", "--sigma-b", 0.5), 1.327056),
        (("--j0", "--depth", 30, "--sigma-b", 0), 1.232017),
        (("--ridge", "m", "--depth", 30, "--sigma-b", 0), 1.08314),
    ],
)
def test_theory_lines(run: Run, args: tuple[object, ...], expected: float) -> None:
    assert run("theory", *args)["sigma_w"] == pytest.approx(expected, abs=6e-6)


def test_theory_ridge_has_its_height(run: Run) -> None:
    assert run("theory", "--ridge", "rms", "--sigma-b", 0.1)["susceptibility"] == pytest.approx(0.933856, abs=1e-6)
    at_zero = run("theory", "--ridge", "rms", "--sigma-b", 0)
    assert (at_zero["sigma_w"], at_zero["susceptibility"]) == (1.0, None)
    assert at_zero["reasons"] == {"susceptibility": "infinite"}


@pytest.mark.parametrize("depth", [(), ("--depth", 20)])
def test_theory_relu_has_no_ridge(run: Run, depth: tuple[object, ...]) -> None:
    made = run("theory", "--activation", "relu", "--ridge", "m", "--sigma-b", 0.1, *depth)
    assert made["sigma_w"] is None
    assert made["susceptibility"] is None
    assert "no peak" in made["reasons"]["sigma_w"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--activation", "swish", "--sigma-w", 1, "--sigma-b", 0), ("swish", "tanh")),
        (("--activation", "swish", "--ridge", "m", "--sigma-b", 0), ("swish", "tanh")),
        (("--sigma-w", 1, "--sigma-b", -0.1), ("sigma_b", "-0.1", "at least 0")),
        (("--edge-of-chaos", "--sigma-b", -0.1), ("sigma_b", "-0.1", "at least 0")),
        (("--sigma-w", 0, "--sigma-b", 0), ("sigma_w", "above 0")),
        (("--sigma-w", "nan", "--sigma-b", 0), ("sigma_w", "nan")),
        (("--sigma-w", 1, "--sigma-b", "inf"), ("sigma_b", "inf")),
        (("--sigma-w", 1, "--sigma-b", 0, "--m0", 0), ("m0", "above 0")),
        (("--sigma-w", "large", "--sigma-b", 0), ("--sigma-w", "'large'", "number")),
        (("--sigma-w=large", "--sigma-b", 0), ("--sigma-w", "'large'", "number")),
        (("--sigma-w", 1, "--sigma-b", 0, "--depth", 0), ("--depth", "'0'", "1")),
        (("--sigma-w", 1, "--sigma-b", 0, "--depth", 2.5), ("--depth", "'2.5'")),
        (("--sigma-w", 1, "--sigma-b", 0, "--width", 1), ("--width", "'1'", "2")),
        (("--sigma-b", 0), ("--sigma-w",)),
        (("--sigma-w", 1), ("--sigma-b",)),
        (("--j0", "--sigma-b", 0), ("--depth",)),
        (("--ridge", "q", "--sigma-b", 0), ("--ridge", "'q'", "rms")),
        (("--ridge", "m", "--j0", "--sigma-b", 0), ("--ridge", "--j0")),
        (("--ridge", "m", "--sigma-b", 0, "--sigma-w", 1), ("--sigma-w",)),
        (("--edge-of-chaos", "--sigma-b", 0, "--depth", 3), ("--depth",)),
        (("--sigma", 1), ("--sigma",)),
    ],
)
def test_theory_refuses(refuse: Refuse, args: tuple[object, ...], said: tuple[str, ...]) -> None:
    line = refuse("theory", *args)
    assert all(word in line for word in said), line


@pytest.mark.parametrize("args", [(), ("verdict",)])
def test_no_such_subcommand(refuse: Refuse, args: tuple[str, ...]) -> None:
    assert "theory, advise, record, detect, fit, crackling, collapse, classify" in refuse(*args)


# record ----------------------------------------------------------------------------------------------------

_NETS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.act = nn.Tanh()
    def forward(self, x):
        return x + self.act(self.fc(x))

def deep():
    return nn.Sequential(*[Block() for _ in range(6)])

def dying():
    return nn.Sequential(nn.ReLU(), nn.Hardshrink(99.0))

ready = nn.Tanh()
number = 3

def asks(width):
    return nn.Linear(width, width)

def gives_none():
    pass
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with a module of networks and 40 inputs of 8 numbers."""
    monkeypatch.chdir(tmp_path)
    # A refusal must leave no file behind, and compiled modules would be some.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "some_nets", raising=False)
    (tmp_path / "some_nets.py").write_text(_NETS)
    (tmp_path / "broken_nets.py").write_text("import not_there\n")
    (tmp_path / "leaving_nets.py").write_text("import sys\nsys.exit('no licence')\n")
    np.savetxt(tmp_path / "x.csv", generator(1, "test", "record").normal(size=(40, 8)), delimiter=",")
    return tmp_path


def test_record_then_detect(run: Run, nets: Path) -> None:
    options = (
        "--layers",
        "?.act,?",
        "--out",
        "a.parquet",
        "--moments",
        "m.parquet",
        "--units",
        "u.parquet",
        "--net",
        3,
    )
    made = run("record", "some_nets:deep", "--inputs", "x.csv", *options)
    assert (made["n_layers"], made["n_inputs"], made["device"]) == (12, 40, "cpu")
    assert made["bytes"] == sum((nets / f"{name}.parquet").stat().st_size for name in "amu")
    assert [entry["name"] for entry in made["layers"][:4]] == ["0.act", "0", "1.act", "1"]
    # The sum of a block is what the block returns, which is recorded.
    assert (made["not_seen"], made["not_called"], made["notes"]) == ([], [], [])
    activity = read_columns("a.parquet", ["net", "input", "layer", "log_m", "mean_abs", "active_fraction"])
    assert len(activity) == 40 * 12
    assert activity["net"].eq(3).all()
    found = run("detect", "a.parquet", "--trajectory", "net,input", "--threshold", "median", "--out", "e.parquet")
    assert found["n_trajectories"] == 40
    # The seed makes the weights.
    again = ("--layers", "?.act,?", "--reduce", "log_m", "--out", "b.parquet")
    for seed, same in ((0, True), (1, False)):
        run("record", "some_nets:deep", "--inputs", "x.csv", *again, "--seed", seed)
        assert read_columns("b.parquet", ["log_m"])["log_m"].equals(activity["log_m"]) == same


def test_record_with_weights(run: Run, refuse: Refuse, nets: Path) -> None:
    from safetensors.torch import save_file
    from torch import nn

    model = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8)) for _ in range(6)])
    state = {name.replace(".0.", ".fc."): value for name, value in model.state_dict().items()}
    save_file(state, nets / "w.safetensors")
    options = ("some_nets:deep", "--inputs", "x.csv", "--layers", "0.fc", "--weights", "w.safetensors")
    run("record", *options, "--out", "a.parquet", "--units", "u.parquet")
    first = read_columns("u.parquet", ["units"])["units"].iloc[0]
    x = np.loadtxt("x.csv", delimiter=",")[0]
    expected = state["0.fc.weight"].numpy() @ x + state["0.fc.bias"].numpy()
    np.testing.assert_allclose(np.frombuffer(first, "<f4"), expected, rtol=1e-5, atol=1e-6)

    save_file({name: value for name, value in state.items() if name != "2.fc.bias"}, nets / "w.safetensors")
    assert "w.safetensors: the file lacks 2.fc.bias" in refuse("record", *options, "--out", "b.parquet")
    save_file({**state, "head": state["0.fc.bias"].clone()}, nets / "w.safetensors")
    assert "beyond the model's, head" in refuse("record", *options, "--out", "b.parquet")
    save_file({**state, "0.fc.bias": state["0.fc.bias"][:3].clone()}, nets / "w.safetensors")
    line = refuse("record", *options, "--out", "b.parquet")
    assert "0.fc.bias" in line
    assert "[3]" in line
    (nets / "w.safetensors").write_bytes(b"\x80\x04pickle")
    assert "no safetensors" in refuse("record", *options, "--out", "b.parquet")


def test_record_says_what_is_dead_and_not_seen(run: Run, nets: Path) -> None:
    made = run("record", "some_nets:dying", "--inputs", "x.csv", "--out", "a.parquet")
    assert "ln m is -inf" in made["notes"][0]
    assert "40 of 80" in made["notes"][0]
    made = run("record", "some_nets:deep", "--inputs", "x.csv", "--types", "Linear", "--out", "a.parquet")
    assert made["not_seen"] == [{"where": str(block), "operation": "add", "count": 1} for block in range(6)]
    assert "not_seen" in made["notes"][0]


def test_record_for_people(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "some_nets:ready", "--inputs", "x.csv", "--shape", "2,4", "--out", "a.parquet"]) == 0
    out = capsys.readouterr().out
    assert "layers.1    layer 1, name (model), call 1, type Tanh, shape 2, 4, active |x| > rms/10" in out
    assert "not_seen    none" in out


def test_record_shows_progress_on_a_terminal_only(
    nets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["record", "some_nets:ready", "--inputs", "x.csv", "--out", "a.parquet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n_inputs"] == 40
    assert "record" in err


def test_record_without_a_gpu(refuse: Refuse, nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in refuse(
        "record", "some_nets:ready", "--inputs", "x.csv", "--out", "a.parquet", "--device", "cuda"
    )


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("some_nets", (), ("'some_nets'", "MODULE:FACTORY")),
        ("not_there:deep", (), ("'not_there'", "ModuleNotFoundError")),
        ("broken_nets:deep", (), ("'broken_nets'", "No module named 'not_there'")),
        ("leaving_nets:deep", (), ("'leaving_nets'", "SystemExit: no licence")),
        ("some_nets:shallow", (), ("no 'shallow'",)),
        ("some_nets:number", (), ("some_nets:number is int",)),
        ("some_nets:asks", (), ("fails without arguments", "TypeError", "'width'")),
        ("some_nets:gives_none", (), ("returns NoneType",)),
        ("some_nets:deep", ("--layers", "conv*"), ("'conv*'", "0, 0.fc, 0.act")),
        ("some_nets:deep", ("--shape", "2,4"), ("cannot take inputs of shape 40×2×4",)),
        ("some_nets:deep", ("--shape", "3,x"), ("'3,x'", "3,32,32")),
        ("some_nets:deep", ("--shape", "9"), ("8 numbers",)),
        ("some_nets:deep", ("--inputs", "y.csv"), ("y.csv", "no such file")),
        ("some_nets:deep", ("--weights", "y.safetensors"), ("y.safetensors", "no such file")),
        ("some_nets:deep", ("--out", "a.csv"), ("'a.csv'", ".parquet")),
        ("some_nets:deep", ("--reduce", "variance"), ("'variance'", "log_m")),
        ("some_nets:deep", ("--batch-size", 0), ("--batch-size",)),
        ("some_nets:deep", ("--device", "tpu"), ("'tpu'",)),
    ],
)
def test_record_refuses(
    refuse: Refuse, nets: Path, model: str, options: tuple[object, ...], said: tuple[str, ...]
) -> None:
    line = refuse("record", model, "--inputs", "x.csv", "--out", "a.parquet", *options)
    assert all(word in line for word in said), line


# detect ----------------------------------------------------------------------------------------------------

# Above 0, net 0: times 2-3 (size 3), 5 (4), 7-8, which is still under way at the last time; net 1: time 0,
# the first one (2), and 3-5 (6).
_SIGNALS = {0: [-1, -1, 1, 2, -1, 4, -1, 1, 1], 1: [2, -1, -1, 1, 2, 3, -1, -1, -1]}


def _activity(signals: Mapping[int, Sequence[float]]) -> pd.DataFrame:
    rows = [
        {"point_id": "p", "net": net, "input": 0, "layer": layer, "log_m": value}
        for net, signal in signals.items()
        for layer, value in enumerate(signal)
    ]
    # Rows in any order: the command sorts them by time.
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0).astype({"log_m": float})


def _write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_csv(path, index=False, sep=" ")
    return path


_EVENTS = ["net", "start", "duration", "size", "size_raw", "censored"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
def test_detect(run: Run, tmp_path: Path, suffix: str) -> None:
    table = _write(_activity(_SIGNALS), tmp_path / f"activity{suffix}")
    made = run("detect", table, "--threshold", 0, "--out", tmp_path / "events.parquet")
    assert {key: made[key] for key in ("n_trajectories", "n_events", "n_censored", "threshold")} == {
        "n_trajectories": 2,
        "n_events": 4,
        "n_censored": 1,
        "threshold": 0.0,
    }
    events = read_columns(str(tmp_path / "events.parquet"), [*_EVENTS, "point_id", "input"])
    assert events[_EVENTS].to_numpy().tolist() == [
        [0, 2, 2, 3.0, 3.0, "none"],
        [0, 5, 1, 4.0, 4.0, "none"],
        [0, 7, 2, 2.0, 2.0, "end"],
        [1, 0, 1, 2.0, 2.0, "none"],
        [1, 3, 3, 6.0, 6.0, "none"],
    ]


def test_detect_options(run: Run, tmp_path: Path) -> None:
    table = _write(_activity(_SIGNALS), tmp_path / "activity.csv")
    out = tmp_path / "events.parquet"

    def starts(*options: object) -> list[list[int]]:
        run("detect", table, "--threshold", 0, "--out", out, *options)
        return read_columns(str(out), ["net", "start"]).to_numpy().tolist()

    assert starts("--first", "drop") == [[0, 2], [0, 5], [0, 7], [1, 3]]
    # Times 3 … 8: net 0 is above threshold at 3 already, net 1 from 3 on.
    assert starts("--burn-in", 3) == [[0, 3], [0, 5], [0, 7], [1, 3]]
    assert starts("--burn-in", 3, "--first", "drop") == [[0, 5], [0, 7]]
    # Last time 8, less 5: events that start after 3 are left out.
    assert starts("--max-duration", 5) == [[0, 2], [1, 0], [1, 3]]
    run("detect", table, "--threshold", 0, "--out", out, "--step-sd", 2)
    events = read_columns(str(out), ["size", "size_raw", "duration"])
    # −zeta(½)/√(2π), the continuity correction.
    assert np.allclose(events["size"] - events["size_raw"], 0.5826 * 2 * events["duration"], rtol=1e-5)


def test_detect_thresholds_of_each_trajectory(run: Run, tmp_path: Path) -> None:
    table = _write(_activity(_SIGNALS), tmp_path / "activity.csv")
    made = run("detect", table, "--threshold", "median", "--out", tmp_path / "events.parquet")
    assert made["threshold"] is None
    assert (made["threshold_low"], made["threshold_high"]) == (np.median(_SIGNALS[1]), np.median(_SIGNALS[0]))
    made = run("detect", table, "--threshold", "quantile:0.75", "--out", tmp_path / "events.parquet")
    assert made["threshold"] is None
    assert made["threshold_high"] == max(np.quantile(signal, 0.75) for signal in _SIGNALS.values())
    # Times 5 … 8 alone: the medians of 4, −1, 1, 1 and of 3, −1, −1, −1.
    made = run("detect", table, "--threshold", "median", "--burn-in", 5, "--out", tmp_path / "events.parquet")
    assert (made["threshold_low"], made["threshold_high"]) == (-1.0, 1.0)


def test_detect_trajectories_of_different_lengths(run: Run, tmp_path: Path) -> None:
    """Each is as if it were alone; the events come in the order of trajectories, then of time."""
    rng = generator(3, "test", "lengths")
    signals = {net: rng.normal(size=length).tolist() for net, length in enumerate((9, 1, 30, 9, 17))}
    out = tmp_path / "events.parquet"
    options = ("--threshold", "quantile:0.6", "--max-duration", 4, "--out", out)
    made = run("detect", _write(_activity(signals), tmp_path / "all.csv"), *options)
    assert made["n_trajectories"] == 4
    assert made["notes"] == ["1 trajectories of fewer than 2 times are left out"]
    together = read_columns(str(out), _EVENTS)
    alone = []
    for net in (0, 2, 3, 4):
        run("detect", _write(_activity({net: signals[net]}), tmp_path / "one.csv"), *options)
        alone.append(read_columns(str(out), _EVENTS))
    assert together.to_numpy().tolist() == pd.concat(alone).to_numpy().tolist()


def test_detect_one_trajectory_without_columns(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "signal.txt"
    np.savetxt(path, np.column_stack([np.arange(9), _SIGNALS[0]]), header="t y")
    made = run(
        "detect",
        path,
        "--column",
        "y",
        "--time",
        "t",
        "--trajectory",
        "",
        "--threshold",
        0,
        "--out",
        tmp_path / "e.parquet",
    )
    assert (made["n_trajectories"], made["n_events"], made["n_censored"]) == (1, 2, 1)


def _changed(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.reset_index(drop=True)
        frame[column] = frame[column].astype(str if isinstance(value, str) else object)
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda f: f.drop(columns="log_m"), (), ("'log_m'", "missing", "layer")),
        (lambda f: f.drop(columns="input"), (), ("'input'", "missing")),
        (lambda f: f[:0], (), ("at least one row",)),
        (_changed("log_m", 4, math.nan), (), ("'log_m'", "NaN", "row 5")),
        (_changed("log_m", 4, math.inf), (), ("'log_m'", "inf", "row 5")),
        # The logarithm of a signal that underflowed in the ordered phase.
        (_changed("log_m", 4, -math.inf), (), ("'log_m'", "-inf", "row 5")),
        (_changed("log_m", 2, "low"), (), ("'log_m'", "'low'", "row 3")),
        (_changed("layer", 0, 2.5), (), ("'layer'", "whole")),
        (_changed("input", 3, None), (), ("input", "row 4")),
        (
            lambda f: f[~((f.net == 1) & (f.layer == 4))],
            (),
            ("gap", "layer", "net 1", "after 3", "next is 5"),
        ),
        (lambda f: pd.concat([f, f[(f.net == 1) & (f.layer == 4)]]), (), ("once", "net 1", "layer 4")),
        (lambda f: f.assign(log_m=1.5), ("--threshold", "median"), ("constant", "'log_m'", "1.5")),
        (lambda f: f, ("--threshold", 10), ("10", "lower threshold")),
        (lambda f: f, ("--threshold", "mean"), ("'mean'", "median", "quantile:p")),
        (lambda f: f, ("--threshold", "quantile:1"), ("'quantile:1'", "0 < p < 1")),
        (lambda f: f, ("--threshold", "nan"), ("'nan'", "median")),
        (lambda f: f, ("--burn-in", 8), ("burn-in",)),
        (lambda f: f, ("--step-sd", -1), ("step_sd", "-1")),
        (lambda f: f, ("--step-sd", "nan"), ("step_sd", "nan")),
        (lambda f: f, ("--max-duration", 0), ("--max-duration", "'0'")),
        (lambda f: f, ("--first", "maybe"), ("'maybe'", "include")),
        (lambda f: f, ("--time", "log_m"), ("'log_m'", "twice")),
        (
            lambda f: f.rename(columns={"input": "start"}),
            ("--trajectory", "net,start"),
            ("'start'", "rename"),
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_detect_refuses(
    refuse: Refuse,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    options: tuple[object, ...],
    said: tuple[str, ...],
    suffix: str,
) -> None:
    table = _write(change(_activity(_SIGNALS)), tmp_path / f"activity{suffix}")
    line = refuse("detect", table, "--threshold", 0, "--out", tmp_path / "events.parquet", *options)
    assert all(word in line for word in said), line


def test_detect_in_standard_deviations_across_trajectories(run: Run, refuse: Refuse, tmp_path: Path) -> None:
    rng = generator(3, "test", "standard")
    signals = rng.normal(size=(20, 30)) * np.linspace(0.1, 9, 30) + np.linspace(5, -5, 30)
    table = _write(_activity(dict(enumerate(signals.tolist()))), tmp_path / "activity.parquet")
    out = tmp_path / "events.parquet"
    options = ("detect", table, "--out", out, "--threshold", 1, "--standardise")
    made = run(*options, "--burn-in", 3)
    assert (made["threshold"], made["n_trajectories"]) == (1.0, 20)
    assert "surrogates" in made["notes"][0]
    z = ((signals - signals.mean(0)) / signals.std(0))[:, 3:]
    events = read_columns(str(out), ["net", "start", "duration", "size_raw"])
    above = [(net, layer + 3) for net, layer in np.argwhere(z > 1)]
    found = [(row.net, row.start + i) for row in events.itertuples() for i in range(row.duration)]
    assert found == above
    assert events["size_raw"].sum() == pytest.approx((z[z > 1] - 1).sum())

    def refused(change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
        _write(change(_activity(dict(enumerate(signals.tolist())))), table)
        out.unlink(missing_ok=True)
        return refuse(*options)

    assert "2 are too few" in refused(lambda f: f[f.net < 2])
    assert "same activity (1) at layer 5 of 30" in refused(lambda f: f.assign(log_m=f.log_m.where(f.layer != 4, 1.0)))
    assert "same times (layer)" in refused(lambda f: f[(f.net != 3) | (f.layer < 20)])
    assert "same times (layer)" in refused(lambda f: f.assign(layer=f.layer + (f.net == 3)))


def test_detect_refuses_files(refuse: Refuse, tmp_path: Path) -> None:
    table = _write(_activity(_SIGNALS), tmp_path / "activity.parquet")
    to = ("--threshold", 0, "--out", tmp_path / "events.parquet")
    assert "no such file" in refuse("detect", tmp_path / "absent.csv", *to)
    assert "cannot be read" in refuse("detect", tmp_path, *to)
    whole = table.read_bytes()
    for length in (4, len(whole) // 2, len(whole) - 5):
        table.write_bytes(whole[:length])
        line = refuse("detect", table, *to)
        assert "truncated" in line
        assert str(table) in line
    table.write_bytes(b"\x89\x00\xff" * 99)
    assert "neither Parquet nor text" in refuse("detect", table, *to)
    table.write_bytes(whole)
    assert ".parquet" in refuse("detect", table, "--threshold", 0, "--out", tmp_path / "events.csv")
    assert "overwrite" in refuse("detect", table, "--threshold", 0, "--out", table)
    assert table.read_bytes() == whole
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert str(blocked) in refuse("detect", table, "--threshold", 0, "--out", blocked / "events.parquet")


# fit -------------------------------------------------------------------------------------------------------


def _pareto(n: int, key: str) -> np.ndarray:
    """Independent draws of P(x) = x^−2, x ≥ 1."""
    return 1.0 / (1.0 - generator(7, "test", key).random(n))


def test_fit_pareto(run: Run, tmp_path: Path) -> None:
    values = _pareto(2000, "pareto")
    path = tmp_path / "sizes.txt"
    np.savetxt(path, values)
    made = run("fit", path, "--column", "size", "--xmin", 1, "--resamples", 50, "--seed", 3)
    # The closed form of the maximum-likelihood exponent, and its error (alpha − 1)/√n.
    exponent = 1.0 + len(values) / np.log(values).sum()
    assert made["exponent"] == pytest.approx(exponent, rel=1e-9)
    assert made["ci_high"] - exponent == pytest.approx(1.96 * (exponent - 1) / math.sqrt(len(values)), rel=1e-3)
    assert abs(exponent - 2.0) < 4 / math.sqrt(len(values))
    assert (made["xmax"], made["reasons"]["xmax"]) == (None, "infinite")
    assert made["n"] == len(values)
    assert made["n_clusters"] is None
    assert "independent" in made["reasons"]["n_clusters"]
    assert made["decades"] == pytest.approx(math.log10(values.max()))
    assert set(made["comparisons"]) == {
        "exponential",
        "lognormal",
        "stretched_exponential",
        "truncated_power_law",
    }
    assert made["comparisons"]["exponential"]["favours"] == "power_law"
    expected = analyse_tail(values, xmin=1.0, n_resamples=50, rng=generator(3, "fit"))
    assert made["p_value"] == expected.p_value
    assert made["verdict"] == expected.verdict.verdict
    assert made["ks"] == pytest.approx(expected.fit.ks)


def test_fit_is_the_same_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    frame = pd.DataFrame({"net": np.arange(400) % 20, "x": np.floor(_pareto(400, "seeds"))})
    path = _write(frame, tmp_path / "events.csv")
    args = ("fit", path, "--column", "x", "--xmax", 100, "--resamples", 30)
    one, two, other = run(*args, "--seed", 1), run(*args, "--seed", 1), run(*args, "--seed", 2)
    assert one == two
    assert other["exponent"] == one["exponent"]
    assert other["ci_low"] != one["ci_low"]


def test_fit_leaves_censored_events_out_and_clusters_by_net(run: Run, tmp_path: Path) -> None:
    values = np.floor(_pareto(600, "clusters"))
    frame = pd.DataFrame({"net": np.arange(600) % 30, "duration": values, "censored": "none"})
    cut = pd.DataFrame({"net": 99, "duration": [10.0] * 5, "censored": ["end"] * 4 + ["start"]})
    path = _write(pd.concat([frame, cut]), tmp_path / "events.parquet")
    args = ("fit", path, "--column", "duration", "--xmax", 50, "--offset", 0.5, "--resamples", 40)
    made = run(*args)
    expected = fit_power_law(
        values, xmax=50, offset=0.5, clusters=np.arange(600) % 30, n_resamples=40, rng=generator(0, "fit")
    )
    assert made["kind"] == "discrete"
    assert made["exponent"] == expected.exponent
    assert (made["ci_low"], made["ci_high"]) == (expected.ci_low, expected.ci_high)
    assert (made["n_censored"], made["n_total"], made["n_clusters"], made["cluster"]) == (5, 600, 30, "net")
    alone = run(*args, "--cluster", "none")
    assert alone["n_clusters"] is None
    assert alone["exponent"] == made["exponent"]
    assert run(*args, "--cluster", "net,duration")["n_clusters"] > 30


def test_fit_one_net_is_taken_as_independent_and_says_so(run: Run, refuse: Refuse, tmp_path: Path) -> None:
    frame = pd.DataFrame({"net": 0, "x": _pareto(100, "one net")})
    path = _write(frame, tmp_path / "events.csv")
    made = run("fit", path, "--column", "x", "--resamples", 20)
    assert made["cluster"] is None
    assert any("one 'net'" in note for note in made["notes"])
    assert "one cluster" in refuse("fit", path, "--column", "x", "--cluster", "net")


def test_fit_search(run: Run, tmp_path: Path) -> None:
    values = np.concatenate([np.arange(1.0, 5.0).repeat(100), 5.0 * _pareto(400, "search")])
    path = tmp_path / "x.txt"
    np.savetxt(path, values)
    made = run("fit", path, "--column", "x", "--search", "--xmax", 1000, "--resamples", 5)
    assert made["xmin_searched"] is True
    assert made["xmin"] > 4.0
    assert made["search"] == "xmin"


def test_fit_search_range(run: Run, tmp_path: Path) -> None:
    """A law between two bumps: the widest range that passes lies between them."""
    values = np.concatenate([np.full(300, 1.0), 5.0 * _pareto(2000, "search range")])
    values = np.append(values[values < 400.0], np.linspace(400.0, 500.0, 300))
    path = tmp_path / "x.txt"
    np.savetxt(path, values)
    made = run("fit", path, "--column", "x", "--search-range", "--resamples", 5)
    assert made["search"] == "range"
    assert 1.0 < made["xmin"] < 20.0
    assert 50.0 < made["xmax"] <= 450.0
    assert made["n_beyond"] > 200
    assert made["populated_decades"] <= made["decades"]
    assert made["limited_by"]
    assert abs(made["drift"]["value"]) < 4.0 * made["drift"]["error"]


def test_fit_reads_standard_input(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"x": _pareto(50, "stdin")})
    path = _write(frame, tmp_path / "x.parquet")
    found = []
    for content in (
        frame.to_csv(index=False).encode(),
        path.read_bytes(),
        "\n".join(map(str, frame.x)).encode(),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        found.append(run("fit", "-", "--column", "x", "--resamples", 10))
    assert found[0] == found[1] == found[2]
    assert found[0]["n"] == 50


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_fit_plot(run: Run, tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"net": np.arange(300) % 9, "d": np.floor(_pareto(300, "plot"))})
    path = _write(frame, tmp_path / "events.csv")
    plot = tmp_path / f"tail.{suffix}"
    args = ("fit", path, "--column", "d", "--xmin", 2, "--xmax", 60, "--offset", 0.5, "--resamples", 5)
    made = run(*args, "--plot", plot)
    first = plot.read_bytes()
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    # The answer does not depend on whether it is drawn, nor the picture on when.
    assert run(*args) == made
    if suffix == "svg":
        run(*args, "--plot", plot)
        assert plot.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, plot.name])


def test_fit_plot_of_few_events(run: Run, tmp_path: Path) -> None:
    """Fewer events than a window of the stability map asks for, and an open window."""
    np.savetxt(tmp_path / "x.txt", _pareto(12, "few"))
    run("fit", tmp_path / "x.txt", "--column", "x", "--resamples", 5, "--plot", tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("size\n1\n2\n3\n", ("--column", "duration"), ("'duration'", "missing", "size")),
        ("size\n", (), ("no rows",)),
        ("", (), ("empty",)),
        ("# only a comment\n", (), ("empty",)),
        ("size\n1\nnan\n3\n", (), ("'size'", "NaN", "row 2")),
        ("size\n1\ninf\n3\n", (), ("'size'", "inf", "row 2")),
        ("size\n1\nbig\n3\n", (), ("'size'", "'big'", "row 2")),
        ("size,net\n1,0\n,1\n3,2\n", (), ("'size'", "empty", "row 2")),
        ("size,net\n1,0\n2\n3,2\n", (), ("rows cannot be read", "2")),
        ("size,size\n1,0\n2,3\n", (), ("'size'", "2 times")),
        ("1,0\n2,3\n", (), ("name the columns", "size")),
        ("size\n1\n2\n3\n", (), ("'size'", "10 events", "3")),
        ("size\n" + "5\n" * 30, (), ("'size'", "equal")),
        ("size\n" + "0\n1\n" * 30, (), ("'size'", "not positive")),
        ("size\n" + "1\n1.5\n" * 30, ("--kind", "discrete"), ("'size'", "whole numbers")),
        ("size\n" + "1\n2\n3\n" * 30, ("--xmin", 3, "--xmax", 3), ("xmin = 3", "xmax = 3")),
        ("size\n" + "1\n2\n3\n" * 30, ("--xmin", 9, "--xmax", 3), ("xmin = 9", "xmax = 3")),
        ("size\n" + "1\n2\n3\n" * 30, ("--xmin", "nan"), ("xmin",)),
        ("size\n" + "1\n2\n3\n" * 30, ("--offset", "inf"), ("offset",)),
        ("size\n" + "1\n2\n3\n" * 30, ("--xmin", 1, "--search"), ("xmin", "search")),
        ("size\n" + "1\n2\n3\n" * 30, ("--search-range", "--search"), ("--search", "--search-range")),
        ("size\n" + "1\n2\n3\n" * 30, ("--resamples", 0), ("--resamples", "'0'")),
        ("size\n" + "1\n2\n3\n" * 30, ("--seed", "x"), ("--seed", "'x'")),
        ("size\n" + "1\n2\n3\n" * 30, ("--kind", "integer"), ("'integer'", "discrete")),
        ("size\n" + "1\n2\n3\n" * 30, ("--cluster", "net"), ("'net'", "missing")),
        ("size\n" + "1\n2\n3\n" * 30, ("--plot", "tail.jpeg"), ("tail.jpeg", ".svg")),
        ("size,net\n" + "1,0\n2,\n3,1\n" * 30, ("--cluster", "net"), ("net", "empty in row 2")),
        ("size,censored\n" + "1,none\n2,yes\n" * 30, (), ("'censored'", "'yes'", "start")),
        ("size,censored\n" + "1,end\n2,start\n" * 30, (), ("censored", "complete")),
    ],
)
def test_fit_refuses(
    refuse: Refuse, tmp_path: Path, text: str, options: tuple[object, ...], said: tuple[str, ...]
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    column = () if "--column" in options else ("--column", "size")
    line = refuse("fit", path, *column, "--resamples", 10, *options)
    assert all(word in line for word in said), line
    if "--" not in line and "plot" not in line:
        assert str(path) in line


def test_fit_leaves_no_picture_of_bad_data(refuse: Refuse, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("1\n2\n3\n")
    refuse("fit", path, "--column", "x", "--plot", tmp_path / "x.png")


def test_text_tables_as_other_programs_write_them(run: Run, tmp_path: Path) -> None:
    values = _pareto(20, "writers")
    path = tmp_path / "x.csv"
    rows = [f'"a",{value!r}' for value in values.tolist()]
    found = []
    for text in (
        "\ufeff" + '"name","size"\r\n' + "\r\n".join(rows),  # quoted header, byte-order mark, DOS line ends
        "# made by hand\nname, size\n" + "\n\n".join(row.replace(",", ", ") for row in rows) + "\n",
        "name\tsize\n" + "\n".join(row.replace(",", "\t") for row in rows),
        "# name size\n" + "\n".join(f"{i} {value!r}" for i, value in enumerate(values.tolist())),  # numpy.savetxt
    ):
        path.write_text(text, encoding="utf-8", newline="")
        found.append(run("fit", path, "--column", "size", "--resamples", 5)["exponent"])
    assert found == [found[0]] * 4
    assert found[0] == fit_power_law(values).exponent


def test_text_column_whose_fractions_come_late(tmp_path: Path) -> None:
    """The type of a column is that of all its rows, not of the first megabyte."""
    path = tmp_path / "x.csv"
    path.write_text("x\n" + "1000000\n" * 200_000 + "0.5\n")
    assert read_columns(str(path), ["x"])["x"].iloc[-1] == 0.5


# crackling -------------------------------------------------------------------------------------------------


def _excursions(walks: int, steps: int) -> pd.DataFrame:
    """Positive excursions of Gaussian walks, by numpy alone; sizes corrected for the discrete barrier."""
    rng = generator(11, "test", "walks")
    rows = []
    for net in range(walks):
        y = np.cumsum(rng.normal(size=steps))
        up = np.concatenate([[False], y > 0, [False]])
        change = np.flatnonzero(up[1:] != up[:-1])
        start, end = change[::2], change[1::2]
        area = np.concatenate([[0.0], np.cumsum(y)])
        rows.append(
            pd.DataFrame(
                {
                    "net": net,
                    "duration": end - start,
                    "size": area[end] - area[start] + 0.5825971579 * (end - start),
                    "censored": np.where(end == steps, "end", "none"),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def brownian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(_excursions(150, 20_000), tmp_path_factory.mktemp("walks") / "events.parquet")


def test_crackling_of_brownian_excursions(run: Run, brownian: Path) -> None:
    made = run(
        "crackling",
        brownian,
        "--size",
        "size",
        "--duration",
        "duration",
        "--window",
        "8,500",
        "--cluster",
        "net",
    )
    for key, exact in (("tau_d", 3 / 2), ("tau_s", 4 / 3), ("gamma", 3 / 2)):
        estimate = made[key]
        sigma = (estimate["ci_high"] - estimate["ci_low"]) / (2 * 1.96)
        # Four standard errors, and an error small enough to tell 3/2 from 4/3 and from 2.
        assert abs(estimate["value"] - exact) < 4 * sigma
        assert sigma < 0.04
    assert made["gamma_predicted"] == pytest.approx((made["tau_d"]["value"] - 1) / (made["tau_s"]["value"] - 1))
    assert made["relation"]["difference"] == pytest.approx(made["gamma"]["value"] - made["gamma_predicted"])
    assert made["relation"]["holds"] is not False
    assert made["shape"] == {"exponent": None, "asymmetry": None, "misfit": None}
    assert "profiles" in made["reasons"]["shape.exponent"]
    assert made["window"] == [8, 500]


def test_crackling_is_the_library(run: Run, brownian: Path) -> None:
    made = run("crackling", brownian, "--size", "size", "--duration", "duration", "--window", "8,300", "--seed", 5)
    table = pd.read_parquet(brownian)
    table = table[table.censored == "none"]
    expected = crackling(
        table["size"].to_numpy(),
        table["duration"].to_numpy(),
        table["net"].to_numpy(),
        window=(8, 300),
        rng=generator(5, "crackling"),
    )
    assert made["tau_d"] == vars(expected.tau_d)
    assert made["tau_s"] == vars(expected.tau_s)
    assert made["relation"]["ci_low"] == expected.difference.ci_low
    assert made["n"] == expected.n_events
    assert made["n_clusters"] == expected.n_clusters
    assert made["n_censored"] > 0


def test_crackling_declares_its_default_window(run: Run, brownian: Path) -> None:
    made = run("crackling", brownian, "--size", "size", "--duration", "duration", "--resamples", 50)
    table = pd.read_parquet(brownian)
    complete = table.loc[table.censored == "none", "duration"]
    assert made["window"] == [4, int(np.quantile(complete, 0.99))]
    assert any("default window" in note for note in made["notes"])


def test_crackling_refuses_the_relation_for_noise(run: Run, tmp_path: Path) -> None:
    """Runs of independent noise above its median: geometric durations, whose default window starts at 2."""
    up = generator(2, "test", "noise").random(60_000) < 0.5
    change = np.flatnonzero(np.diff(np.concatenate([[False], up, [False]]).astype(int)))
    duration = change[1::2] - change[::2]
    size = generator(2, "test", "sizes").gamma(duration)
    path = _write(pd.DataFrame({"size": size, "duration": duration}), tmp_path / "noise.csv")
    made = run("crackling", path, "--size", "size", "--duration", "duration")
    assert made["window"] == [2, int(np.quantile(duration, 0.99))]
    assert made["relation"]["holds"] is False
    assert made["relation"]["ci_high"] < 0


def test_crackling_of_independent_events_agrees_with_clusters(run: Run, brownian: Path) -> None:
    """Excursions of a walk are independent (renewals), so both errors must agree.

    Relative errors of an interval's width: 5 % from 400 resamples, √(p(1 − p)/400)/f(q) for each end, twice;
    8 % from 150 nets, √((kurtosis − 1)/(4 · 150)) with a kurtosis near 5; 2 % from 2000 groups of events.
    Together 11 %, and 45 % is four of that.
    """
    args = ("crackling", brownian, "--size", "size", "--duration", "duration", "--window", "8,100")
    nets, alone = run(*args), run(*args, "--cluster", "none")
    assert alone["n_clusters"] is None
    assert alone["tau_d"]["value"] == pytest.approx(nets["tau_d"]["value"], rel=1e-12)
    width = [made["tau_d"]["ci_high"] - made["tau_d"]["ci_low"] for made in (nets, alone)]
    assert width[1] == pytest.approx(width[0], rel=0.45)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda f: f, ("--window", "8"), ("'8'", "a,b")),
        (lambda f: f, ("--window", "8,4"), ("'8,4'", "a < b")),
        (lambda f: f, ("--window", "0,4"), ("'0,4'",)),
        (lambda f: f, ("--window", "8,x"), ("'8,x'",)),
        (lambda f: f, ("--window", "100000,200000"), ("100000", "events")),
        (lambda f: f, ("--offset", "-1"), ("offset", "-1")),
        (lambda f: f, ("--offset", "nan"), ("offset", "nan")),
        (lambda f: f, ("--size", "area"), ("'area'", "missing")),
        (lambda f: f, ("--cluster", "trial"), ("'trial'", "missing")),
        (lambda f: f, ("--resamples", "2"), ("--resamples", "'2'")),
        (lambda f: f.assign(size=-f["size"]), (), ("size", "above 0")),
        (lambda f: f.assign(size=np.nan), (), ("'size'", "NaN")),
        (lambda f: f.assign(size=1.0), (), ("does not grow",)),
        (lambda f: f.assign(duration=f["duration"] + 0.5), (), ("duration", "whole")),
        (lambda f: f.assign(duration=3), (), ("default window", "99th")),
        (lambda f: f.assign(censored="end"), (), ("censored", "complete")),
        (lambda f: f[:20], ("--window", "1,50"), ("events", "50")),
    ],
)
def test_crackling_refuses(
    refuse: Refuse,
    brownian: Path,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    options: tuple[str, ...],
    said: tuple[str, ...],
) -> None:
    path = _write(change(pd.read_parquet(brownian)[:2000]), tmp_path / "events.parquet")
    line = refuse("crackling", path, "--size", "size", "--duration", "duration", *options)
    assert all(word in line for word in said), line


# The program ------------------------------------------------------------------------------------------------

_PROGRAM = [sys.executable, "-c", "import sys; from quasicrit.cli import main; sys.exit(main())"]


def test_detect_then_crackling_as_programs(tmp_path: Path) -> None:
    """Nothing but the answer is written, not even a warning; files named - come from a pipe."""
    rng = generator(5, "test", "pipe")
    # A moving average of noise: thousands of avalanches of up to some 16 steps.
    signal = np.convolve(rng.normal(size=40_000), np.ones(16) / 4, mode="valid")
    walk = pd.DataFrame({"layer": np.arange(len(signal)), "log_m": signal})
    events = tmp_path / "events.parquet"
    detect = subprocess.run(
        [*_PROGRAM, "detect", "-", "--trajectory", "", "--threshold", "median", "--out", str(events)],
        input=walk.to_csv(index=False).encode(),
        capture_output=True,
        check=False,
    )
    assert (detect.returncode, detect.stderr) == (0, b"")
    assert detect.stdout.startswith(b"n_trajectories")
    crackle = subprocess.run(
        [
            *_PROGRAM,
            "crackling",
            "-",
            "--size",
            "size",
            "--duration",
            "duration",
            "--window",
            "1,16",
            "--json",
        ],
        input=events.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert (crackle.returncode, crackle.stderr) == (0, b"")
    made = json.loads(crackle.stdout)
    assert made["cluster"] is None
    assert "no cluster column" in made["reasons"]["cluster"]


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*_PROGRAM, "theory", "--sigma-w", "1", "--sigma-b", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), error) == (0, b"")


def test_a_bug_is_not_taken_for_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves ``main`` as itself, and Python then exits with 1 and a traceback."""

    def broken(*args: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("quasicrit.stages.theory_report.point_report", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["theory", "--sigma-w", "1", "--sigma-b", "0"])


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from quasicrit.cli import main; assert main(['--help']) == 0\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'pyarrow', 'numba', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "crackling" in done.stdout


def test_no_subcommand_loads_torch() -> None:
    code = (
        "import sys, quasicrit.cli, quasicrit.figures.tail\n"
        "from quasicrit.stages import crackling_table, detect_table, fit_table, theory_report\n"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "args",
    [
        ("theory", "--sigma-w", "1.5", "--sigma-b", "0"),
        ("theory", "--ridge", "m", "--activation", "relu", "--sigma-b", "0.1"),
    ],
)
def test_people_get_a_table(capsys: pytest.CaptureFixture[str], args: tuple[str, ...]) -> None:
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "activation" in out
    assert ("m_star" in out and "0.3526018" in out) or "none (the susceptibility of relu has no peak" in out
    assert "reasons" not in out


# collapse and classify -------------------------------------------------------------------------------------


def _curve_table(path: Path, drop: str = "") -> Path:
    rng = generator(1, "curve table")
    size = np.repeat([16.0, 24.0, 32.0, 64.0], 15)
    t = np.tile(np.linspace(0.8, 1.2, 15), 4)
    m = size**-0.3 * (1.5 - np.tanh((t - 1.0) * size / 4))
    frame = pd.DataFrame({"L": size, "T": t, "m": m * (1 + 0.01 * rng.standard_normal(60)), "dm": 0.01 * m})
    return _write(frame.drop(columns=drop) if drop else frame, path)


def test_collapse_of_curves(run: Run, tmp_path: Path) -> None:
    path = _curve_table(tmp_path / "curves.csv")
    made = run("collapse", path, "--size", "L", "--control", "T", "--value", "m", "--error", "dm")
    for key, exact in (("critical_point", 1.0), ("nu", 1.0), ("zeta", -0.3)):
        assert abs(made[key]["value"] - exact) < 4 * made[key]["error"]
        assert made[key]["ci_low"] < made[key]["value"] < made[key]["ci_high"]
    assert 0.5 < made["quality"] < 1.6
    assert made["stable"] is True
    assert set(made["without_smallest"]) == {"critical_point", "nu", "zeta"}
    assert made["omega"] is None
    assert "corrections" in made["reasons"]["omega"]
    without = run("collapse", _curve_table(tmp_path / "no.csv", "dm"), "--size", "L", "--control", "T", "--value", "m")
    assert any("no errors given" in note for note in without["notes"])


def test_impossible_offsets_and_xmin_are_one_sentence(
    refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quasicrit.stages.classify_table.window_biases", lambda window, offset, seed: {})
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"width": np.repeat([1, 2, 4], 200), "duration": rng.integers(1, 90, 600)})
    path = str(_write(frame.assign(size=frame["duration"] ** 1.5), tmp_path / "events.parquet"))
    for command in ("classify", "crackling"):
        line = refuse(command, path, "--size", "size", "--duration", "duration", "--window", "8,80", "--offset", "-9")
        assert "offset = -9 is impossible" in line
    line = refuse("collapse", "--events", path, "--size", "width", "--column", "duration", "--xmin", "0")
    assert "xmin = 0 must be" in line


def test_collapse_of_events(run: Run, tmp_path: Path) -> None:
    frames = []
    for width in (16, 32, 64):
        law = Distribution("truncated_power_law", Support("discrete", 1), {"alpha": 1.5, "rate": 0.3 / width})
        values = law.sample(4000, generator(2, "events", width))
        frames.append(pd.DataFrame({"width": width, "net": np.arange(4000) % 50, "duration": values}))
    path = _write(pd.concat(frames), tmp_path / "events.parquet")
    made = run("collapse", "--events", path, "--size", "width", "--column", "duration")
    assert abs(made["tau"]["value"] - 1.5) < 4 * made["tau"]["error"]
    assert abs(made["cutoff_exponent"]["value"] - 1.0) < 4 * made["cutoff_exponent"]["error"]
    assert made["cluster"] == "net"
    assert made["stable"] is None
    assert "2 are left" in made["reasons"]["stable"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), ("DATA", "--events")),
        (("{data}",), ("--control", "missing")),
        (("{data}", "--control", "T"), ("--value", "missing")),
        (("{data}", "--control", "T", "--value", "m", "--column", "m"), ("--column", "events")),
        (("--events", "{data}", "--control", "T"), ("--control", "curves")),
        (("--events", "{data}"), ("--column", "missing")),
        (("--events", "{data}", "--column", "m", "--error", "dm"), ("--error", "no part", "events")),
        (("--events", "{data}", "--column", "m", "--corrections"), ("--corrections", "no part", "events")),
        (("{data}", "--control", "T", "--value", "m", "--cluster", "net"), ("--cluster", "no part", "curves")),
        (("{data}", "--control", "T", "--value", "m", "--xmin", "2"), ("--xmin", "no part", "curves")),
        (("--events", "{data}", "--column", "m"), ("3 sizes with 100 events", "15 of size 16")),
        (("{data}", "--control", "Q", "--value", "m"), ("'Q'", "missing")),
        (("{data}", "--control", "L", "--value", "m"), ("{data}", "L")),
        (("nowhere.csv", "--control", "T", "--value", "m"), ("nowhere.csv", "no such file")),
    ],
)
def test_collapse_refuses(refuse: Refuse, tmp_path: Path, options: tuple[str, ...], said: tuple[str, ...]) -> None:
    data = str(_curve_table(tmp_path / "curves.csv"))
    line = refuse("collapse", "--size", "L", *(option.format(data=data) for option in options))
    assert all(word.format(data=data) in line for word in said), line


def test_classify_a_table_of_events(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quasicrit.reference import PROCESSES
    from quasicrit.scaling import window_biases

    # Fewer events for the calibration than the command's own, for time.
    monkeypatch.setattr(
        "quasicrit.stages.classify_table.window_biases",
        lambda window, offset, seed: window_biases(window, offset=offset, n_events=4000),
    )
    made = PROCESSES["walk"].sample(20_000, generator(3, "classify"))
    frame = pd.DataFrame({"size": made.size, "duration": made.duration.astype(int), "net": made.cluster})
    path = _write(frame, tmp_path / "events.parquet")
    found = run("classify", path, "--window", "8,500", "--resamples", 100)
    assert found["verdict"] == "brownian_excursion"
    assert found["statement"] == "Brownian excursion, indistinguishable from a Gaussian walk"
    assert found["evidence"]["grade"] == "consistent with"
    assert any("consistent with" in note for note in found["notes"])
    assert sum(entry["probability"] for entry in found["classes"]) == pytest.approx(1.0)
    # The class's own value on this window, from some 1200 events in it: 1.5 ± .02.
    assert found["classes"][0]["values"]["tau_d"] == pytest.approx(1.5, abs=0.08)
    assert {"for", "against", "open"} == set(found["evidence"]["reasons"])


@pytest.mark.parametrize("option", [("--window", "8,100"), ("--cluster", "net")])
def test_classify_refuses_options_of_events_beside_exponents(refuse: Refuse, option: tuple[str, str]) -> None:
    line = refuse("classify", "--tau-s", 1.5, 0.02, "--tau-d", 2.0, 0.03, "--gamma", 1.98, 0.02, *option)
    assert f"{option[0]} belongs to a table of events" in line


def test_classify_three_exponents(run: Run) -> None:
    found = run("classify", "--tau-s", 1.5, 0.02, "--tau-d", 2.0, 0.03, "--gamma", 1.98, 0.02)
    assert found["verdict"] == "mean_field_dp"
    assert found["evidence"]["grade"] == "undecided"
    assert not any(entry["calibrated"] for entry in found["classes"] if entry["name"] != "none")
    nothing = run("classify", "--tau-s", 1.4, 0.01, "--tau-d", 2.4, 0.01, "--gamma", 1.1, 0.01)
    assert nothing["verdict"] == "none"
    assert nothing["statement"] == "no evidence of criticality"
    # "None" comes first here, and has no exponents to be near to.
    assert nothing["classes"][0]["values"] is nothing["classes"][0]["distance"] is None
    why = "none of the classes: it has no exponents"
    assert nothing["reasons"] == {"classes.0.values": why, "classes.0.distance": why}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), ("table of events", "--tau-s")),
        (("--tau-s", "1.5", "0.1"), ("--tau-d", "--gamma")),
        (("--tau-s", "1.5", "0", "--tau-d", "2", "0.1", "--gamma", "2", "0.1"), ("--tau-s", "standard error")),
        (("nowhere.parquet",), ("nowhere.parquet", "no such file")),
    ],
)
def test_classify_refuses(refuse: Refuse, options: tuple[str, ...], said: tuple[str, ...]) -> None:
    line = refuse("classify", *options)
    assert all(word in line for word in said), line
