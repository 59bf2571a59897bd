"""The configuration: presets are valid, faults stop the run with the key, the value and what is allowed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from quasicrit.config import _TEST_SAMPLES, Training, blocks, json_schema, load_config, points, resolve_sigma_w
from quasicrit.errors import ConfigError
from quasicrit.networks import TASKS, load_task
from quasicrit.points import Block, look_lengths, protocol_of
from quasicrit.theory import edge_of_chaos, sigma_c
from tests.make_config_reference import PATH, reference

REPOSITORY = Path(__file__).parents[2]


def merged(preset: str | None = None) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    if preset:
        _merge(values, yaml.safe_load((REPOSITORY / "workflow/presets" / preset).read_text(encoding="utf-8")))
    return values


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    """As Snakemake merges configuration files: mappings key by key, all else replaced."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@pytest.mark.parametrize(
    ("preset", "least"), [(None, 40), ("smoke.yaml", 40), ("paper.yaml", 40), ("scaling.yaml", 24)]
)
def test_presets_are_valid(preset: str | None, least: int) -> None:
    config = load_config(merged(preset))
    assert len(points(config)) >= least
    assert blocks(config)


def test_schema_file_is_in_step() -> None:
    stored = json.loads((REPOSITORY / "workflow/schemas/config.schema.json").read_text(encoding="utf-8"))
    assert stored == json_schema(), "run `make schema`"


def test_the_reference_of_keys_is_in_step() -> None:
    assert PATH.read_text(encoding="utf-8") == reference(), "run `make schema`"
    known = json_schema()
    text = reference()
    for model in (known, *known["$defs"].values()):
        for key in model["properties"]:
            assert f"| `{key}` |" in text


def test_tasks_are_those_that_can_be_loaded() -> None:
    named = get_args(Training.model_fields["task"].annotation)
    assert named == TASKS
    for name, most in _TEST_SAMPLES.items():
        assert len(load_task(name, 1).test_y) == most


def test_default_fan_out_has_nine_by_four_by_three_by_two() -> None:
    config = load_config(merged())
    grid = next(grid for grid in config.grids if grid.name == "fan_out")
    assert [len(getattr(grid, name)) for name in ("sigma_w", "sigma_b", "width", "depth")] == [9, 4, 3, 2]


def put(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(merged("smoke.yaml"))
    *where, last = path.split(".")
    at: Any = values
    for key in where:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sead", 1, "sead = 1: this key is not known"),
        ("seed", "many", "seed = 'many'"),
        ("seed", -1, "seed = -1"),
        ("group_size", 20, "multiple of 16"),
        ("grids", [], "at least one grid"),
        ("grids.0.sigma_w", [], "no points"),
        ("grids.0.sigma_w", [-1.0], "sigma_w"),
        ("grids.0.sigma_w", ["critcal"], "'critcal' is no value of sigma_w"),
        ("grids.0.sigma_b", [-0.1], "sigma_b"),
        ("grids.0.sigma_b", [float("nan")], "sigma_b"),
        ("grids.0.width", [], "no points"),
        ("grids.0.activation", ["tahn"], "'tahn' is no activation; allowed are tanh"),
        ("grids.0.activation", ["relu"], "relu, but protocol T needs a ceiling"),
        ("grids.0.depth", [100], "below what protocol T needs at width = 16; give at least 160"),
        ("grids.0.window", [4, 4000], "reaches beyond"),
        ("grids.0.window", [40, 50], "twice its start"),
        ("grids.0.inputs", 4, "one-input chain"),
        ("grids.0.wdth", [16], "wdth"),
        ("protocols.kappa", 0.9, "kappa = 0.9"),
        ("susceptibility.sigma_b", 0.0, "no ridge"),
        ("susceptibility.burn_in", 60, "below depth"),
        ("training.images", 1000, "images = 1000 is more than the 360 test samples of digits"),
        ("training.depth", [], "nothing would be trained"),
        ("training.task", "imagenet", "training.task = 'imagenet'"),
        ("training.task", "mnist", "training.task: 'mnist' is read from files: give data.folder"),
        ("learning.tasks", ["digits", "cifar10"], "learning.tasks: 'cifar10' is read from files"),
        ("advisor.tasks", ["mnist"], "advisor.tasks: 'mnist' is read from files"),
        ("data", {"sha256": {"a.gz": "12"}}, "data.sha256"),
        ("data", {"fetch": True}, "fetch = true needs folder"),
        ("learning.sigma_b", [0.0], "fewer than 5 points"),
        (
            "learning.runs",
            [{"depth": 5, "learning_rate": [0.1], "steps": 3, "seeds": 1}] * 2,
            "same depth and optimiser",
        ),
        ("learning.runs", [{"depth": 5, "learning_rate": [0.0], "steps": 3, "seeds": 1}], "greater than 0"),
        ("learning.follow.marks", [5, 10], "the first of them 0"),
        ("learning.tasks", ["imagenet"], "learning.tasks"),
        ("advisor.seeds", 1, "advisor.seeds = 1"),
        ("training", merged("smoke.yaml")["training"] | {"task": "wine", "images": 36}, "the 35 test samples of wine"),
        ("training.optimiser", "lion", "training.optimiser = 'lion'"),
        ("training.momentum", 1.0, "training.momentum = 1.0"),
        (
            "training",
            merged("smoke.yaml")["training"] | {"optimiser": "adam", "momentum": 0.9},
            "momentum belongs to sgd",
        ),
        ("resamples", 10, "resamples = 10"),
    ],
)
def test_faults_are_named(path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(put(path, value))
    text = str(error.value)
    assert said in text
    assert "\n" not in text


def test_repeated_points_and_names_are_refused() -> None:
    values = merged("smoke.yaml")
    values["grids"].append({**values["grids"][0]})
    with pytest.raises(ConfigError, match="given twice"):
        load_config(values)
    values["grids"][-1]["name"] = "again"
    with pytest.raises(ConfigError, match=r"grids\.again repeats a point of grids\.fan_out"):
        load_config(values)


def test_named_sigma_w() -> None:
    assert resolve_sigma_w("critical", "tanh", 64, 0.0) == sigma_c("tanh", 64)
    assert resolve_sigma_w("edge_of_chaos+0.1", "tanh", 64, 0.1) == pytest.approx(edge_of_chaos("tanh", 0.1) + 0.1)
    with pytest.raises(ConfigError, match="above 0"):
        resolve_sigma_w("critical-2", "tanh", 64, 0.0)


def test_blocks_hold_every_group_once_whatever_their_size() -> None:
    wanted = None
    for size in (1e5, 2e7, 1e12):
        config = load_config({**merged("smoke.yaml"), "block_size": size})
        held = sorted(
            (point.source, point.protocol, point.point_id, group)
            for block in blocks(config)
            for point, first, count in block.parts
            for group in range(first, first + count)
        )
        assert len(set(held)) == len(held)
        wanted = wanted or held
        assert held == wanted
        for block in blocks(config):
            assert len({point.grid for point, _, _ in block.parts}) == 1
            again = Block.parts_from(json.loads(json.dumps(block.params())))
            assert again == block.parts


def test_an_appended_grid_leaves_the_others_alone() -> None:
    values = merged("smoke.yaml")
    before = {(b.source, b.protocol, b.width, b.depth, b.index): b.params() for b in blocks(load_config(values))}
    values["grids"].append(
        {"name": "more", "protocol": "T", "sigma_w": [1.7], "width": [16], "depth": [480], "nets": 20}
    )
    after = {(b.source, b.protocol, b.width, b.depth, b.index): b.params() for b in blocks(load_config(values))}
    assert len(after) == len(before) + 1
    assert all(after[key] == params for key, params in before.items())


def test_more_networks_keep_the_point() -> None:
    values = merged("smoke.yaml")
    before = [p.point_id for p in points(load_config(values))]
    values["grids"][0]["nets"] = 500
    assert [p.point_id for p in points(load_config(values))] == before


def test_protocols_keep_events_that_can_end() -> None:
    config = load_config(merged("smoke.yaml"))
    for point in points(config):
        for length in look_lengths(point):
            protocol = protocol_of(point, length)
            assert 1 <= protocol.burn_in < protocol.last_start
            if point.protocol in ("W", "T"):
                assert protocol.last_start + point.window[1] - 1 <= length
            if point.protocol == "F":
                assert protocol.last_start == length // 2
