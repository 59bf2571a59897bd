"""Other architectures by three definitions of avalanches: from a configuration to exponents, nulls and the verdict on P6."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quasicrit.config import Architectures, architecture_params, load_config
from quasicrit.errors import ConfigError
from quasicrit.reference import PROCESSES
from quasicrit.stages.architecture_summary import architecture_claim, architecture_lines, tabulate_architectures
from quasicrit.stages.architectures import networks_of, record_architecture, train_architecture
from quasicrit.stages.cascade_fits import _distance, _Events, _row, _select, _Task, fit_cascades
from quasicrit.stages.cascades import NULLS, OWN, detect_cascades, primary_variant
from quasicrit.tables import SCHEMAS, TableWriter, Text, read_table, write_table

from .test_config import merged, put

NO_FILES: dict[str, Any] = {"folder": None, "sha256": {}}


def entry(**changes: Any) -> dict[str, Any]:
    """A small residual network in a whole configuration, as the rules get it."""
    values = merged("smoke.yaml")
    net = {
        "name": "small",
        "family": "resnet",
        "blocks": [8],
        "channels": [3],
        "definitions": ["A", "B", "C"],
        **changes,
    }
    values["architectures"] |= {"networks": [net], "steps": 2, "inputs": {"A": 3, "B": 5, "C": 12}}
    return architecture_params(load_config(values))["small"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every table of one entry."""
    folder = tmp_path_factory.mktemp("architectures")
    return run(entry(), folder)


def run(params: dict[str, Any], folder: Path) -> dict[str, Path]:
    names = ("learning", "activity", "units", "bias", "fits", "distributions", *params["definitions"])
    paths = {name: folder / f"{name}.parquet" for name in names}
    paths["states"] = folder / "states.safetensors"
    train_architecture(params, NO_FILES, paths["states"], paths["learning"], 7, {})
    record_architecture(params, NO_FILES, paths["states"], paths["learning"], paths["activity"], paths["units"], 7, {})
    sources = {
        "A": {"states": paths["states"], "learning": paths["learning"], "data": NO_FILES},
        "B": {"units": paths["units"]},
        "C": {"activity": paths["activity"]},
    }
    for definition in params["definitions"]:
        detect_cascades(definition, params, sources[definition], paths[definition], 7, {})
    write_table(paths["bias"], SCHEMAS["class_bias"], [], {})
    cascades = [paths[definition] for definition in params["definitions"]]
    fit_cascades(
        params,
        cascades,
        paths["learning"],
        [paths["bias"]],
        100,
        2000,
        0.1,
        paths["fits"],
        paths["distributions"],
        7,
        {},
    )
    return paths


def read(name: str, path: Path) -> pd.DataFrame:
    frame = read_table([str(path)], SCHEMAS[name])
    return frame.astype({c: "object" for c in frame if isinstance(frame[c].dtype, pd.CategoricalDtype)})


def test_layers_are_recorded_as_the_network_runs(made: dict[str, Path]) -> None:
    """An independent look at one network: mean |x| after each conv, norm, relu and add, in their order."""
    import torch

    from quasicrit.networks import load_states
    from quasicrit.stages.architectures import test_inputs as first_inputs

    params = entry()
    x, classes = first_inputs(params, NO_FILES, 7, 12)
    names = networks_of(params, classes)
    load_states(made["states"], "initial", [model for _, _, model in names])
    model = names[3][2].eval()
    seen: list[np.ndarray] = []
    with torch.no_grad():

        def keep(y: torch.Tensor) -> torch.Tensor:
            seen.append(y.abs().mean((1, 2, 3)).numpy())
            return y

        y = keep(model.relu(keep(model.norm(keep(model.conv(x))))))
        for block in model.stages[0]:
            h = keep(block.relu1(keep(block.norm1(keep(block.conv1(y))))))
            h = keep(block.norm2(keep(block.conv2(h))))
            y = keep(block.relu2(keep(y + h)))
    activity = read("layer_activity", made["activity"])
    own = activity[(activity["state"] == "initial") & (activity["net"] == 3)]
    table = own.pivot(index="input", columns="layer", values="mean_abs").to_numpy()
    np.testing.assert_allclose(table, np.stack(seen, axis=1), rtol=1e-5)
    assert set(activity["state"]) == {"initial", "trained", "shuffled"}


def test_unit_streams_are_excursions_of_z_scores(made: dict[str, Path]) -> None:
    """Against loops: z of each unit over inputs, runs above k that begin after the first layer and before the last ones."""
    units = read("unit_stream", made["units"])
    own = units[(units["state"] == "trained") & (units["net"] == 1)]
    layers = own["layer"].max()
    x = np.stack([np.frombuffer(b, "<f4") for b in own["units"]]).reshape(5, layers, -1).astype(np.float64)
    expected = []
    for unit in range(x.shape[2]):
        path = x[:, :, unit]
        if (path.std(0) <= 1e-6 * np.abs(path).mean(0)).any():
            continue
        for z in (path - path.mean(0)) / path.std(0):
            above = [bool(v) for v in z > 1.0]
            position = 0
            for up, group in itertools.groupby(above):
                length = len(list(group))
                # Window [1, 4]: events begin before layer index 8 − 4; one under way at the first layer is left out.
                if up and 0 < position < layers - 4:
                    expected.append(
                        (length, float((z[position : position + length] - 1.0).sum()), position + length == layers)
                    )
                position += length
    cascades = read("cascades", made["B"])
    found = cascades[
        (cascades["state"] == "trained")
        & (cascades["net"] == 1)
        & (cascades["signal"] == OWN)
        & (cascades["variant"] == "k = 1, raw size")
    ]
    assert len(found) == len(expected) > 20
    assert sorted(found["duration"]) == sorted(length for length, _, _ in expected)
    np.testing.assert_allclose(np.sort(found["size"]), np.sort([size for _, size, _ in expected]), rtol=1e-9)
    assert (found["censored"] == "end").sum() == sum(end for _, _, end in expected)


def test_sizes_carry_the_correction_of_a_discretely_watched_walk(made: dict[str, Path]) -> None:
    cascades = read("cascades", made["B"])
    own = cascades[(cascades["signal"] == OWN) & (cascades["state"] == "initial") & (cascades["net"] == 0)]
    plain, raw = (own[own["variant"] == name] for name in ("k = 1", "k = 1, raw size"))
    extra = plain["size"].to_numpy() - raw["size"].to_numpy()
    duration = plain["duration"].to_numpy()
    units = read("unit_stream", made["units"])
    own = units[(units["state"] == "initial") & (units["net"] == 0)]
    x = np.stack([np.frombuffer(b, "<f4") for b in own["units"]]).reshape(5, own["layer"].max(), -1).astype(np.float64)
    x = x[:, :, (x.std(0) > 1e-6 * np.abs(x).mean(0)).all(0)]
    z = (x - x.mean(0)) / x.std(0)
    # .5826 s_l with s_l of the step into a layer, over inputs and units: the sum lies between those of the smallest and the largest step.
    steps = [0.5825971579390107 * float(np.std(z[:, layer] - z[:, layer - 1])) for layer in range(1, x.shape[1])]
    assert (extra >= min(steps) * duration - 1e-9).all()
    assert (extra <= max(steps) * duration + 1e-9).all()
    # An event of one layer carries one of them.
    single = extra[duration == 1]
    assert np.abs(single[:, np.newaxis] - np.array(steps)).min(axis=1).max() < 1e-9


def test_every_definition_has_its_nulls_and_variants(made: dict[str, Path]) -> None:
    for definition in "ABC":
        cascades = read("cascades", made[definition])
        trained = cascades[cascades["state"] == "trained"]
        assert set(trained["signal"]) == {OWN, "i.i.d. weights", *NULLS}
        main = primary_variant(definition, 1.0)
        assert set(cascades[cascades["signal"] != OWN]["variant"]) == {main}
        variants = set(cascades[cascades["signal"] == OWN]["variant"])
        other = {"layer time"} if definition == "A" else {"k = 1, raw size", "k = 0.5"}
        assert variants == {main, *other}
        assert set(cascades["net"]) == set(range(6))


def test_the_null_of_shuffled_inputs_has_no_memory(made: dict[str, Path]) -> None:
    """z above 1 is independent from layer to layer, so that durations are geometric with the share of layers above."""
    cascades = read("cascades", made["B"])
    null = cascades[(cascades["signal"] == "input shuffle") & (cascades["state"] == "initial")]
    count = len(null)
    share = (null["duration"] > 1).sum() / count
    own = cascades[(cascades["signal"] == OWN) & (cascades["variant"] == "k = 1") & (cascades["state"] == "initial")]
    # About one value in six lies above one standard deviation, and units share inputs: a wide margin, far below the own signal.
    assert 0.08 < share < 0.30
    assert (own["duration"] > 1).mean() > share + 0.1


def test_fits_hold_own_signals_nulls_and_exact_processes(made: dict[str, Path]) -> None:
    fits = read("architectures", made["fits"])
    assert set(fits["definition"]) == {"A", "B", "C"}
    assert set(fits["state"]) == {"initial", "trained", "reference"}
    reference = fits[fits["state"] == "reference"]
    assert set(zip(reference["definition"], reference["signal"])) == {
        ("A", "critical branching"), ("B", "critical branching"), ("C", "critical branching"), ("B", "random walk"), ("C", "random walk")
    }  # fmt: skip
    own = fits[(fits["signal"] == OWN) & fits["primary"]]
    assert len(own) == 6
    assert own["statement"].str.len().min() > 5
    measured = fits[fits["gamma"].notna()]
    assert len(measured) > 12
    for name in ("tau_s", "tau_d", "gamma", "d_c"):
        assert (measured[f"{name}_low"] <= measured[name]).all()
        assert (measured[name] <= measured[f"{name}_high"]).all()
    # A null is compared where both have exponents, and nothing else is.
    compared = fits[fits["moved"].notna()]
    assert set(compared["signal"]) <= {"i.i.d. weights", *NULLS}
    assert compared["p_same"].between(0, 1).all()
    assert fits[fits["state"] == "trained"]["accuracy"].between(0, 1).all()
    assert fits[fits["state"] != "trained"]["accuracy"].isna().all()
    assert (fits[fits["gamma"].isna()]["reason"].str.len() > 10).all()
    distributions = read("cascade_distributions", made["distributions"])
    for _, group in distributions.groupby(["definition", "state", "signal"]):
        assert (group["value"] > 0).all()


def test_the_same_numbers_again(made: dict[str, Path], tmp_path: Path) -> None:
    params = entry()
    again = tmp_path / "states.safetensors"
    train_architecture(params, NO_FILES, again, tmp_path / "learning.parquet", 7, {})
    assert again.read_bytes() == made["states"].read_bytes()
    source = {"states": again, "learning": tmp_path / "learning.parquet", "data": NO_FILES}
    detect_cascades("A", params, source, tmp_path / "a.parquet", 7, {})
    pd.testing.assert_frame_equal(read("cascades", tmp_path / "a.parquet"), read("cascades", made["A"]))


def test_untrained_networks_without_nulls(tmp_path: Path) -> None:
    params = entry(trained=False, nulls=False, vary={"blocks": [[8], [10]]})
    assert [member["size"] for member in params["members"]] == [8, 10]
    paths = run(params, tmp_path)
    assert read("architecture_learning", paths["learning"]).empty
    fits = read("architectures", paths["fits"])
    assert set(fits["state"]) == {"initial", "reference"}
    assert set(fits["size"]) == {8, 10}
    text = "\n".join(architecture_lines(fits, 0.3))
    assert "Trends with depth and width" in text
    assert "small, blocks = 10" in text


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("rnn", {"steps": 16, "width": 6}),
        ("lstm", {"steps": 16, "width": 6}),
        ("transformer", {"depth": 8, "width": 8, "image": 16}),
        ("conv", {"depth": 9, "channels": 3, "activation": "tanh"}),
    ],
)
def test_other_families_run_by_b_and_c(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    values = merged("smoke.yaml")
    net = {"name": "small", "family": family, "definitions": ["B", "C"], **options}
    values["architectures"] |= {"networks": [net], "steps": 2, "inputs": {"B": 5, "C": 12}}
    paths = run(architecture_params(load_config(values))["small"], tmp_path)
    for definition in "BC":
        cascades = read("cascades", paths[definition])
        assert set(cascades["state"]) == {"initial", "trained"}
        assert (cascades["size"] > 0).all()
    learning = read("architecture_learning", paths["learning"])
    assert learning["test_accuracy"].notna().sum() == 6
    assert len(learning) == 6 * 3


def test_constant_layers_and_units_are_left_out(tmp_path: Path) -> None:
    """A layer that is the same for every input has no z-score; nor has a unit that never moves."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((9, 12, 4)).astype(np.float32)
    values[:, 3] = 1.0
    activity, units = tmp_path / "activity.parquet", tmp_path / "units.parquet"
    rows = {
        "member": "small", "state": "initial", "net": np.zeros(9 * 12, np.int32),
        "input": np.repeat(np.arange(9, dtype=np.int32), 12), "layer": np.tile(np.arange(1, 13, dtype=np.int32), 9),
    }  # fmt: skip
    with TableWriter(activity, SCHEMAS["layer_activity"], {}) as writer:
        writer.write({**rows, "mean_abs": np.abs(values).mean(2).ravel()})
    dead = values.copy()
    dead[:, 3] = rng.standard_normal((9, 4))
    dead[:, 5, 2] = 0.0
    with TableWriter(units, SCHEMAS["unit_stream"], {}) as writer:
        writer.write({**rows, "units": [dead[i, layer].tobytes() for i in range(9) for layer in range(12)]})
    params = entry()
    for definition, source in (("B", {"units": units}), ("C", {"activity": activity})):
        detect_cascades(definition, params, source, tmp_path / f"{definition}.parquet", 1, {})
        assert len(read("cascades", tmp_path / f"{definition}.parquet"))
    from quasicrit.tables import read_provenance

    assert read_provenance(tmp_path / "C.parquet")["layers"] == {"small": 11}


def test_without_a_unit_that_varies_there_are_no_events_and_a_reason(made: dict[str, Path], tmp_path: Path) -> None:
    """Every unit is constant in some layer, as in deep rectified networks."""
    values = np.random.default_rng(0).standard_normal((9, 12, 3)).astype(np.float32)
    for unit in range(3):
        values[:, 2 * unit, unit] = 0.0
    units = tmp_path / "units.parquet"
    with TableWriter(units, SCHEMAS["unit_stream"], {}) as writer:
        writer.write(
            {
                "member": "small",
                "state": "initial",
                "net": np.zeros(9 * 12, np.int32),
                "input": np.repeat(np.arange(9, dtype=np.int32), 12),
                "layer": np.tile(np.arange(1, 13, dtype=np.int32), 9),
                "units": [values[i, layer].tobytes() for i in range(9) for layer in range(12)],
            }
        )
    params = {**entry(trained=False), "definitions": ["B"]}
    detect_cascades("B", params, {"units": units}, tmp_path / "b.parquet", 1, {})
    assert read("cascades", tmp_path / "b.parquet").empty
    fits, shapes = tmp_path / "fits.parquet", tmp_path / "shapes.parquet"
    fit_cascades(
        params, [tmp_path / "b.parquet"], made["learning"], [made["bias"]], 100, 2000, 0.1, fits, shapes, 7, {}
    )
    own = read("architectures", fits)
    own = own[own["signal"] == OWN]
    assert own["reason"].tolist() == ["only 0 events last 1 to 4; at least 50 are needed for exponents"]
    assert own["n_events"].tolist() == [0]


def test_a_window_beyond_half_of_the_layers_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    params = copy.deepcopy(entry())
    params["members"][0]["windows"]["C"] = [2, 40]
    with pytest.raises(ConfigError, match=r"\[2, 40\] of definition C is too long for the 59 layers of small"):
        detect_cascades("C", params, {"activity": made["activity"]}, tmp_path / "c.parquet", 1, {})
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "perceptron"}, "perceptron"),
        ({"blocks": [8, 8]}, "give one number of each for every stage"),
        ({"stage": 1}, "the stages are 0 to 0"),
        ({"order": "pre"}, "definition A needs streams that are rectified"),
        ({"image": 12}, "no multiple of the 8 pixels"),
        ({"windows": {"B": [1, 6]}}, "too long for its 8 layers"),
        ({"windows": {"B": [3, 4]}}, "end above twice that"),
        ({"vary": {"width": [1, 2]}}, "'width' is no option of a resnet"),
        ({"vary": {"blocks": [[8]]}}, "needs two values or more"),
        ({"vary": {"blocks": [[8], [4]]}}, "blocks = 4: the window [1, 4] of definition B is too long"),
        ({"vary": {"channels": [[3], [0]]}}, "vary.channels = [0]"),
        ({"nets": 5}, "nets"),
        ({"definitions": []}, "definitions"),
        ({"definitions": ["D"]}, "definitions"),
        ({"task": "cifar10", "image": 32}, "'cifar10' is read from files: give data.folder"),
        ({"task": "imagenet"}, "task"),
        ({"depth": 3}, "depth"),
    ],
)
def test_faults_of_networks_are_named(changes: dict[str, Any], said: str) -> None:
    net = {
        "name": "small",
        "family": "resnet",
        "blocks": [8],
        "channels": [3],
        "definitions": ["A", "B", "C"],
        **changes,
    }
    with pytest.raises(ConfigError) as error:
        load_config(put("architectures.networks", [net]))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_faults_of_other_families_are_named() -> None:
    for net, said in (
        ({"family": "conv", "depth": 9, "channels": 3, "definitions": ["A"]}, "choose activation: relu"),
        (
            {"family": "conv", "depth": 9, "channels": 3, "activation": "tahn", "definitions": ["C"]},
            "'tahn' is no activation",
        ),
        ({"family": "rnn", "width": 4, "steps": 17, "definitions": ["C"]}, "steps = 17 does not divide the 64 values"),
        ({"family": "rnn", "width": 4, "definitions": ["A"]}, "leave A out"),
        (
            {"family": "transformer", "depth": 8, "width": 6, "definitions": ["C"]},
            "heads = 4 does not divide width = 6",
        ),
        ({"family": "lstm", "width": 4, "definitions": ["C"], "name": "Bad"}, "name"),
    ):
        with pytest.raises(ConfigError) as error:
            load_config(put("architectures.networks", [{"name": "small", **net}]))
        assert said in str(error.value)
    twice = [{"name": "small", "family": "lstm", "width": 4, "definitions": ["C"]}] * 2
    with pytest.raises(ConfigError, match="'small' is given twice"):
        load_config(put("architectures.networks", twice))
    with pytest.raises(ConfigError, match=r"inputs\.C = 400 is more than the 360 test samples of digits"):
        load_config(put("architectures.inputs", {"A": 3, "B": 3, "C": 400}))


def test_networks_of_other_tasks_can_be_left_out() -> None:
    values = merged("paper.yaml")
    everything = architecture_params(load_config(values))
    assert {entry["task"] for entry in everything.values()} == {"digits", "cifar10"}
    values["architectures"]["only_tasks"] = ["digits"]
    values["data"] = {}
    some = architecture_params(load_config(values))
    assert some == {name: entry for name, entry in everything.items() if entry["task"] == "digits"}


def test_no_architecture_at_all() -> None:
    assert Architectures().networks == ()
    values = merged("smoke.yaml")
    values["architectures"]["networks"] = []
    assert architecture_params(load_config(values)) == {}
    empty = pd.DataFrame({name: [] for name in SCHEMAS["architectures"].names})
    assert architecture_lines(empty, 0.3) == ["No architecture in this run."]
    assert architecture_claim(empty, 0.3) == []


def trees(n: int, nets: int, rng: np.random.Generator) -> _Events:
    """Critical branching, its trees dealt out to networks."""
    process = PROCESSES["galton_watson"]
    drawn = process.sample(n, rng)
    keep = drawn.duration <= 400
    return _Events(drawn.size[keep], drawn.duration[keep], rng.integers(0, nets, int(keep.sum())), nets, 0.0)


def test_intervals_over_eight_networks_cover() -> None:
    """Student's intervals of exponents of eight groups of exact branching trees, against a fit of very many of them."""
    task = _Task((2, 16), {}, 200, 0.1, 3)
    truth, _ = _row(trees(400_000, 50, np.random.default_rng(1)), task, ("truth",))
    names = ("tau_s", "tau_d", "gamma")
    hits = dict.fromkeys(names, 0)
    repeats = 150
    for repeat in range(repeats):
        row, fit = _row(trees(4000, 8, np.random.default_rng((2, repeat))), task, ("repeat", str(repeat)))
        assert fit is not None
        for name in names:
            hits[name] += row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
    for name in names:
        # .95 less 3.5 binomial errors of .018.
        assert hits[name] / repeats > 0.95 - 3.5 * 0.0178, (name, hits)


def test_networks_are_compared_in_pairs() -> None:
    """Two signals that share what networks differ in: the paired p is uniform if they are the same, and small if one is shifted."""
    task = _Task((2, 16), {}, 200, 0.1, 3)
    same, shifted = [], []
    for repeat in range(60):
        rng = np.random.default_rng((4, repeat))
        fits = []
        for part in range(3):
            made = trees(6000, 8, rng)
            if part == 2:
                # Other sizes at the same durations.
                made = _Events(made.size**1.1, made.duration, made.cluster, 8, 0.0)
            _, fit = _row(made, task, ("pair", str(repeat)))
            assert fit is not None
            fits.append(fit)
        same.append(_distance(fits[0], fits[1])[1])
        shifted.append(_distance(fits[0], fits[2])[1])
    p = np.array(same, dtype=np.float64)
    # Of 60 uniform numbers 3 are expected below .05; more than 9 would have a probability of .002.
    assert (p < 0.05).sum() <= 9
    assert 0.3 < np.median(p) < 0.7
    assert _distance(fits[0], fits[0]) == (0.0, 1.0)
    # Eight networks: three exponents against five degrees of freedom.
    assert np.median(np.array(shifted, dtype=np.float64)) < 0.01


def test_a_window_that_the_last_layer_cuts_has_no_exponents() -> None:
    task = _Task((2, 16), {}, 100, 0.1, 3)
    made = trees(5000, 8, np.random.default_rng(5))
    row, fit = _row(_Events(made.size, made.duration, made.cluster, 8, 0.2), task, ("cut",))
    assert fit is None
    assert "may have cut 20 % of the events of 8 to 16" in row["reason"]
    assert row["d_c"] is not None


def test_the_share_that_was_cut_is_that_of_the_upper_octave() -> None:
    table = {
        "censored": Text(np.array([0, 0, 0, 0, 1, 1, 1]), ("none", "end")),
        "duration": np.array([1, 4, 8, 9, 2, 8, 9]),
        "size": np.arange(1.0, 8.0),
        "net": np.zeros(7, np.int32),
    }
    events = _select(table, np.ones(7, bool), 8, (2, 8))
    # Complete in 4 … 8: two. Cut by 8 or before: two, which might have ended within.
    assert events.cut == pytest.approx(0.5)
    assert events.duration.tolist() == [1, 4, 8, 9]


def test_diverged_networks_are_left_out(made: dict[str, Path], tmp_path: Path) -> None:
    params = entry()
    learning = read("architecture_learning", made["learning"])
    learning.loc[learning["net"] == 2, "diverged"] = True
    left = tmp_path / "learning.parquet"
    write_table(left, SCHEMAS["architecture_learning"], learning, {})
    record_architecture(params, NO_FILES, made["states"], left, tmp_path / "c.parquet", tmp_path / "b.parquet", 7, {})
    source = {"states": made["states"], "learning": left, "data": NO_FILES}
    detect_cascades("A", params, source, tmp_path / "a.parquet", 7, {})
    for name, path in (("layer_activity", "c"), ("unit_stream", "b"), ("cascades", "a")):
        table = read(name, tmp_path / f"{path}.parquet")
        nets = table.groupby("state")["net"].agg(lambda column: set(column))
        assert nets["initial"] == set(range(6))
        assert nets["trained"] == set(range(6)) - {2}


def test_too_few_networks_have_no_class() -> None:
    task = _Task((2, 16), {}, 100, 0.1, 3)
    events = trees(5000, 5, np.random.default_rng(5))
    row, fit = _row(events, task, ("few",))
    assert fit is None
    assert "needs 6" in row["reason"]
    assert row["gamma"] is None


def fit_row(**changes: Any) -> dict[str, Any]:
    numbers = {f"{name}{end}": value for name, value in (("tau_s", 1.5), ("tau_d", 2.0), ("gamma", 2.0), ("difference", 0.0), ("d_c", 9.0)) for end in ("", "_low", "_high")}  # fmt: skip
    base = {
        "network": "net", "family": "resnet", "member": "net", "state": "initial", "size": 0, "definition": "A", "signal": OWN,
        "variant": "generation time", "primary": True, "layers": 40, "window_low": 2, "window_high": 16, "n_nets": 8, "n_events": 100,
        "cut": 0.0, "accuracy": None, "p_same": None, "verdict": "mean_field_dp", "probability": 0.9, "mean_field_dp": 0.9, "brownian_excursion": 0.0, "moved": None,
        "grade": "none", "statement": "s", "reasons_for": "", "reasons_against": "", "reasons_open": "", "reason": "",
    }  # fmt: skip
    return {**base, **numbers, **changes}


def test_the_conclusion_says_what_the_nulls_say(tmp_path: Path) -> None:
    b = {"definition": "B", "variant": "k = 1"}
    walk = {**b, "state": "reference", "gamma": 1.42}
    rows = [
        fit_row(gamma_low=1.9, gamma_high=2.1),
        fit_row(state="trained", accuracy=0.11, gamma=1.0, gamma_low=0.9, gamma_high=1.1),
        fit_row(signal="i.i.d. weights", moved=12.0, p_same=0.001),
        fit_row(signal="input shuffle", moved=1.2, p_same=0.6),
        fit_row(**b, gamma=1.4, gamma_low=1.35, gamma_high=1.45, verdict="brownian_excursion", mean_field_dp=0.01),
        fit_row(**b, signal="layer shuffle", gamma=None, reason="only 3 events"),
        fit_row(**walk, signal="random walk"),
        fit_row(**{**walk, "gamma": 1.40}, signal="critical branching"),
        fit_row(definition="C", variant="k = 1", gamma=None, verdict="none", probability=None, mean_field_dp=None, reason="too few"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    claims = {row["quantity"]: row for row in architecture_claim(frame, 0.3)}
    walked = claims["gamma, definition A (relevance walk), net, initial"]
    assert "holds the paper's 2" in walked["sentence"]
    assert "one by construction" in walked["sentence"]
    assert walked["controls"] == "1 of 2 nulls with exponents are not told apart: input shuffle"
    assert "gamma, definition A (relevance walk), net, trained, accuracy 0.11 (did not learn)" in claims
    unit = claims["gamma, definition B (unit stream), net, initial"]
    assert "excludes the paper's 2" in unit["sentence"]
    assert claims["gamma, definition C (layer activity), net, initial"]["sentence"] == "No exponent: too few."
    text = "\n".join(architecture_lines(frame, 0.3))
    # Networks that did not learn count for nothing.
    assert "by A (relevance walk) gamma is 2.00, its interval holds the paper's 2 in 1 of 1 networks" in text
    assert "told apart from theirs in 1 of 1" in text
    assert "reads within 0.00, 0.00 and 0.02 of a random walk" in text
    assert "i.i.d. weights 12.0, **input shuffle 1.2**" in text
    assert "layer shuffle –" in text
    write_table(tmp_path / "f.parquet", SCHEMAS["architectures"], rows, {})
    tabulate_architectures([str(tmp_path / "f.parquet")], 0.3, tmp_path / "t.md")
    assert (tmp_path / "t.md").read_text(encoding="utf-8").startswith("Residual networks: by A")
    alone = pd.DataFrame([row for row in rows if row["definition"] == "B" and row["state"] != "reference"])
    assert "In A every unit" not in "\n".join(architecture_lines(alone, 0.3))
    assert "B and C see" not in "\n".join(architecture_lines(alone, 0.3))
