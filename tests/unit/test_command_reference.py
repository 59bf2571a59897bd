"""docs/command.md: in step with the code, and every answer of every subcommand as it says, key by key."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from quasicrit.cli import app, main
from quasicrit.reference import branching_spikes
from quasicrit.rng import generator
from quasicrit.stages.answer_keys import ANSWERS, Key
from quasicrit.stages.plan import plan_jobs
from quasicrit.tails import Distribution, Support
from tests.make_command_reference import PATH, reference
from tests.unit.test_cli import _NETS, _SIGNALS, _activity, _curve_table, _excursions, _pareto, _write
from tests.unit.test_plan import DEFAULT, SMOKE, benchmark, config, log


def test_the_page_is_in_step() -> None:
    assert PATH.read_text(encoding="utf-8") == reference(), "run `make schema`"


def test_every_subcommand_and_option_is_on_the_page() -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert list(ANSWERS) == names
    text = reference()
    for line in (
        "| `--sigma-b` | number | required | Scale of the biases. |",
        "| `--ridge` | `m`, `rms`, `abs` | none |",
        "| `--json` | flag | off |",
        "| `--bin` | number | mean interval between spikes of the population; of an activity its step |",
        "| `--tau-s` | number, number | none |",
        "`quasicrit collapse [DATA] [OPTIONS]`",
        "| `CONFIG...` | text, one or more | required |",
    ):
        assert line in text


# What an answer must be ------------------------------------------------------------------------------------

_JSON = {"number": (int, float), "integer": (int,), "string": (str,), "boolean": (bool,), "object": (dict,)}


@dataclass
class _Node:
    """A key and what is below it: names, or "[]" for the entries of a list, or "*" for any name."""

    key: Key | None = None
    below: dict[str, _Node] = field(default_factory=dict)


def _tree(keys: tuple[Key, ...], forms: frozenset[str]) -> _Node:
    """The keys that an answer of these forms has."""
    root = _Node()
    for key in keys:
        if key.when and key.when not in forms:
            continue
        for path in key.paths:
            node = root
            for name in path.replace("[]", ".[]").split("."):
                node = node.below.setdefault(name, _Node())
            assert node.key is None, f"{path} is documented twice"
            node.key = key
    return root


@dataclass
class _Met:
    """Documented keys that were met with a value, and as null."""

    values: set[str] = field(default_factory=set)
    nulls: set[str] = field(default_factory=set)


def _check(value: Any, node: _Node, at: str, path: str, reasons: Mapping[str, str], met: _Met) -> None:
    """Raise AssertionError unless ``value`` is what the documentation says; ``at``: its place, ``path``: as documented."""
    listed = node.below.get("[]")
    if value is None:
        key = node.key or (listed.key if listed else None)
        assert key is not None, f"{at} is null, which no row of the documentation allows"
        assert key.null, f"{at} is null, and documented as never null"
        assert reasons.get(at) or path == "bins[].reason", f"{at} is null without a reason"
        met.nulls.add(path)
    elif listed:
        assert isinstance(value, list), f"{at} is no list"
        for index, entry in enumerate(value):
            _check(entry, listed, f"{at}.{index}", f"{path}[]", reasons, met)
    elif node.below:
        assert isinstance(value, dict), f"{at} is no object"
        met.values.add(path)
        inner = dict.fromkeys(value, node.below["*"]) if "*" in node.below else node.below
        assert set(value) == set(inner), f"below {at!r}: {sorted(set(value) ^ set(inner))} printed or documented alone"
        for name, part in value.items():
            below = f"{path}.{'*' if '*' in node.below else name}".lstrip(".")
            _check(part, inner[name], f"{at}.{name}".lstrip("."), below, reasons, met)
    else:
        assert node.key is not None
        right = isinstance(value, _JSON[node.key.type]) and isinstance(value, bool) == (node.key.type == "boolean")
        assert right, f"{at} = {value!r} is no {node.key.type}"
        assert not node.key.choices or value in node.key.choices, f"{at} = {value!r} is none of the documented values"
        met.values.add(path)


def _answered(answer: Mapping[str, Any], keys: tuple[Key, ...], forms: frozenset[str], met: _Met) -> None:
    _check(answer, _tree(keys, forms), "", "", answer["reasons"], met)
    for place in answer["reasons"]:
        value: Any = answer
        for name in place.split("."):
            value = value[int(name)] if isinstance(value, list) else value[name]
        assert value is None, f"{place} has a reason and is not null"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"a": 1, "b": [{"c": 1.5}], "d": {"x": "y"}, "reasons": {}, "e": 1}, r"\['e'\]"),
        ({"a": 1, "b": [], "reasons": {}}, r"\['d'\]"),
        ({"a": 1, "b": [{"c": 1.5}, {}], "d": {}, "reasons": {}}, r"below 'b.1': \['c'\]"),
        ({"a": 1.0, "b": [], "d": {}, "reasons": {}}, "a = 1.0 is no integer"),
        ({"a": True, "b": [], "d": {}, "reasons": {}}, "a = True is no integer"),
        ({"a": 1, "b": [{"c": "1"}], "d": {}, "reasons": {}}, "is no number"),
        ({"a": 1, "b": [], "d": {"x": "z"}, "reasons": {}}, "'z' is none of the documented"),
        ({"a": None, "b": [], "d": {}, "reasons": {"a": "why"}}, "never null"),
        ({"a": 1, "b": [{"c": None}], "d": {}, "reasons": {}}, "b.0.c is null without a reason"),
        ({"a": 1, "b": None, "d": {}, "reasons": {"b": "why"}}, "no row"),
        ({"a": 1, "b": [{"c": 2}], "d": {}, "reasons": {"b.0.c": "why"}}, "is not null"),
    ],
)
def test_an_answer_that_differs_is_told(answer: dict[str, Any], said: str) -> None:
    keys = (
        Key("a", "integer", ""),
        Key("b[].c", "number", "", null="sometimes"),
        Key("d.*", "string", "", choices=("y",)),
        Key("reasons.*", "string", ""),
        Key("f", "integer", "", when="in another form"),
    )
    with pytest.raises(AssertionError, match=said):
        _answered(answer, keys, frozenset(), _Met())


# Every form of every subcommand ----------------------------------------------------------------------------

#: Arguments, and the phrases of the documentation (column "printed") that hold for the form.
Form = tuple[tuple[object, ...], tuple[str, ...]]


def _theory(folder: Path) -> list[Form]:
    point = ("at a point", "at a point or with `--depth`")
    deep = ("with `--depth`", "at a point with `--depth`")
    line = ("of a line",)
    line_deep = ("of a line", "with `--depth`", "at a point or with `--depth`")
    blocks = ("with `--residual-blocks`",)
    return [
        (("--sigma-w", 1.5, "--sigma-b", 0), point),
        (("--activation", "gelu", "--sigma-w", 1.4142135623730951, "--sigma-b", 1000), point),
        (
            ("--activation", "relu", "--sigma-w", 2, "--sigma-b", 0, "--depth", 1000, "--residual-blocks", 1000),
            point + deep + blocks,
        ),
        (
            ("--sigma-w", 1, "--sigma-b", 0.1, "--depth", 5, "--width", 8, "--residual-blocks", 3),
            (*point, *deep, "with `--width`", *blocks),
        ),
        (("--edge-of-chaos", "--sigma-b", 0.05), line),
        (("--j0", "--depth", 5, "--sigma-b", 0), line_deep),
        (("--ridge", "m", "--sigma-b", 0.5), (*line, "of a ridge")),
        (("--ridge", "m", "--depth", 5, "--sigma-b", 0, "--activation", "relu"), (*line_deep, "of a ridge")),
    ]


def _advise(folder: Path) -> list[Form]:
    return [
        (("--depth", 2, "--width", 8), ("with `--init orthogonal`",)),
        (("--depth", 9, "--width", 8, "--init", "gaussian"), ("with `--init gaussian`",)),
        (
            ("--depth", 9, "--width", 8, "--residual-blocks", 3),
            ("with `--init orthogonal`", "with `--residual-blocks`"),
        ),
    ]


_MORE_NETS = """
class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.idle = nn.ReLU(), nn.Tanh()
    def forward(self, x):
        return self.act(x) + 1
"""


def _record(folder: Path) -> list[Form]:
    (folder / "nets_of_forms.py").write_text(_NETS + _MORE_NETS)
    np.savetxt(folder / "x.csv", generator(1, "forms", "record").normal(size=(4, 8)), delimiter=",")
    options = ("--inputs", "x.csv", "--out", "a.parquet")
    return [
        (("nets_of_forms:deep", "--layers", "?.act", *options, "--units", "u.parquet"), ()),
        (("nets_of_forms:Odd", *options, "--moments", "m.parquet"), ()),
    ]


def _detect(folder: Path) -> list[Form]:
    table = _write(_activity(_SIGNALS), folder / "a.csv")
    short = _write(_activity({0: [-1.0, 1.0, 2.0], 1: [1.0]}), folder / "b.csv")
    return [
        ((table, "--threshold", "median", "--out", folder / "e.parquet"), ()),
        ((short, "--threshold", 0, "--out", folder / "e.parquet"), ()),
    ]


def _fit(folder: Path) -> list[Form]:
    values = _pareto(300, "forms")
    censored = np.where(np.arange(300) < 3, "end", "none")
    nets = pd.DataFrame({"net": np.arange(300) % 9, "x": np.floor(values), "censored": censored})
    two = pd.DataFrame({"x": [1] * 60 + [2] * 20})
    tail = pd.DataFrame({"x": np.concatenate([np.full(60, 0.5), values])})
    options = ("--column", "x", "--resamples", 5)
    return [
        ((_write(nets, folder / "nets.parquet"), *options, "--xmax", 100, "--offset", 0.5), ()),
        ((_write(two, folder / "two.csv"), *options, "--xmax", 2), ()),
        ((_write(tail, folder / "tail.csv"), *options, "--search"), ()),
        ((folder / "tail.csv", *options, "--search-range"), ()),
    ]


def _avalanches(folder: Path) -> Path:
    return _write(_excursions(40, 4000), folder / "walks.parquet")


def _crackling(folder: Path) -> list[Form]:
    up = generator(2, "forms", "noise").random(40_000) < 0.5
    change = np.flatnonzero(np.diff(np.concatenate([[False], up, [False]]).astype(int)))
    duration = change[1::2] - change[::2]
    noise = pd.DataFrame({"size": generator(2, "forms", "sizes").gamma(duration), "duration": duration})
    options = ("--size", "size", "--duration", "duration", "--resamples", 50)
    return [
        ((_avalanches(folder), *options, "--window", "8,60"), ()),
        ((_write(noise, folder / "noise.csv"), *options), ()),
    ]


def _collapse(folder: Path) -> list[Form]:
    curves, events = ("of curves",), ("with `--events`",)
    four = _curve_table(folder / "four.csv")
    frame = pd.read_csv(four)
    three = _write(frame[frame.L > 16], folder / "three.csv")
    frames = []
    for width in (16, 32, 64, 128):
        law = Distribution("truncated_power_law", Support("discrete", 1), {"alpha": 1.5, "rate": 0.3 / width})
        values = law.sample(3000, generator(2, "forms", width))
        frames.append(pd.DataFrame({"width": width, "net": np.arange(3000) % 50, "duration": values}))
    many = _write(pd.concat(frames), folder / "four.parquet")
    few = _write(pd.concat(frames[:3]).drop(columns="net"), folder / "three.parquet")
    names = ("--size", "L", "--control", "T", "--value", "m")
    of_events = ("--size", "width", "--column", "duration", "--resamples", 20)
    return [
        ((four, *names), curves),
        ((three, *names, "--error", "dm", "--corrections"), curves),
        (("--events", many, *of_events), events),
        (("--events", few, *of_events), events),
    ]


def _classify(folder: Path) -> list[Form]:
    table, given = ("of a table",), ("of given exponents",)
    walks = _avalanches(folder)
    options = ("--window", "8,60", "--resamples", 50)
    return [
        ((walks, *options), table),
        ((walks, *options, "--cluster", "none"), table),
        (("--tau-s", 1.4, 0.01, "--tau-d", 2.4, 0.01, "--gamma", 1.1, 0.01), given),
    ]


def _spikes(folder: Path) -> list[Form]:
    step = 0.01
    trains = branching_spikes(0.8, 0.1, 12, 2000, generator(1, "command"), segments=3, step=step)
    spikes = pd.DataFrame({"time": trains.time, "unit": trains.unit, "trial": trains.segment})
    rng = generator(2, "forms", "activity")
    # A slow positive signal: excursions long enough for mean profiles.
    slow = pd.DataFrame({"activity": np.exp(0.1 * lfilter([1.0], [1.0, -0.97], rng.normal(size=60_000)))})
    # Up and down in turn: A(t + 1) falls where A(t) was high, and no avalanche is longer than a bin.
    turns = 1.0 + np.tile([0.0, 1.0], 2000) + 0.1 * rng.normal(size=4000)
    quick = pd.DataFrame({"activity": turns, "trial": np.repeat(np.arange(20), 200)})
    trial, whole = ("--segment-column", "trial"), ("--start", 0, "--stop", 20, "--bins", "1,2")
    seconds = ("--bin", step, "--step", step, "--resamples", 20)
    activity = ("--form", "activity", "--time-column", "", "--raster-step", step, *seconds, "--threshold", "median")
    return [
        (
            (
                _write(spikes, folder / "spikes.parquet"),
                *trial,
                *whole,
                *seconds,
                "--window",
                "2,12",
                "--fraction",
                0.1,
            ),
            (),
        ),
        ((_write(slow, folder / "slow.parquet"), *activity, "--bins", "1", "--window", "4,64"), ()),
        ((_write(quick, folder / "quick.csv"), *trial, *activity, "--bins", "1"), ()),
    ]


def _plan(folder: Path) -> list[Form]:
    files = (DEFAULT, SMOKE, "--cores", 2)
    of_run, of_logs = "with `--from`", "with `--from`, where logs hold CPU times"
    jobs = plan_jobs(config())[:3]
    for results, total in (("bare", None), ("none", 0.0), ("some", 4.0)):
        for job in jobs:
            benchmark(folder / results, job, 2.0)
            if total is not None:
                log(folder / results, job, total / 4, total)
    return [
        (files, ()),
        ((*files, "--target-minutes", 10), ("with `--target-minutes`",)),
        ((*files, "--from", folder / "bare"), (of_run,)),
        ((*files, "--from", folder / "none"), (of_run, of_logs)),
        ((*files, "--from", folder / "some"), (of_run, of_logs)),
    ]


_FORMS: dict[str, Callable[[Path], list[Form]]] = {
    "theory": _theory,
    "advise": _advise,
    "record": _record,
    "detect": _detect,
    "fit": _fit,
    "crackling": _crackling,
    "collapse": _collapse,
    "classify": _classify,
    "spikes": _spikes,
    "plan": _plan,
}


@pytest.mark.parametrize("command", ANSWERS)
def test_every_answer_is_as_documented(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form prints the keys of its rows and no others; in all forms together every key has a value, and is null where it may be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # Classes are not calibrated, which takes long and changes no key.
    monkeypatch.setattr("quasicrit.stages.classify_table.window_biases", lambda window, offset, seed: {})
    monkeypatch.setattr("quasicrit.scaling.neuronal.biases_on", lambda windows, seed: {one: {} for one in windows})
    keys, met, phrases = ANSWERS[command], _Met(), set[str]()
    for arguments, holds in _FORMS[command](tmp_path):
        code = main([command, *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        _answered(json.loads(out), keys, frozenset(holds), met)
        phrases.update(holds)
    assert phrases == {key.when for key in keys if key.when}
    nullable = {path.removesuffix("[]") for key in keys if key.null for path in key.paths}
    valued = {path for key in keys if not key.null.startswith("always") for path in key.paths}
    # Without nulls there are no reasons.
    assert valued - met.values <= (set() if nullable else {"reasons.*"}), "documented, and printed by no form"
    assert nullable - met.nulls == set(), "documented as null, and null in no form"
