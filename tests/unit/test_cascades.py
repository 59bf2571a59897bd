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
from quasicrit.stages.cascade_fits import _distance, _Events, _Fit, _row, _Task, fit_cascades
from quasicrit.stages.cascades import NULLS, OWN, detect_cascades, primary_variant
from quasicrit.tables import SCHEMAS, TableWriter, read_table, write_table

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
    record_architecture(params, NO_FILES, paths["states"], paths["activity"], paths["units"], 7, {})
    sources = {
        "A": {"states": paths["states"], "data": NO_FILES},
        "B": {"units": paths["units"]},
        "C": {"activity": paths["activity"]},
    }
    for definition in params["definitions"]:
        detect_cascades(definition, params, sources[definition], paths[definition], 7, {})
    write_table(paths["bias"], SCHEMAS["class_bias"], [], {})
    cascades = [paths[definition] for definition in params["definitions"]]
    fit_cascades(params, cascades, [paths["bias"]], 100, 2000, 0.1, paths["fits"], paths["distributions"], 7, {})
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
    per_layer = (plain["size"].to_numpy() - raw["size"].to_numpy()) / plain["duration"].to_numpy()
    # .5826 s with one s for the network.
    assert per_layer.min() > 0
    np.testing.assert_allclose(per_layer, per_layer[0], rtol=1e-9)


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
    assert (fits[fits["gamma"].isna()]["reason"].str.len() > 10).all()
    distributions = read("cascade_distributions", made["distributions"])
    for _, group in distributions.groupby(["definition", "state", "signal"]):
        assert (group["value"] > 0).all()


def test_the_same_numbers_again(made: dict[str, Path], tmp_path: Path) -> None:
    params = entry()
    again = tmp_path / "states.safetensors"
    train_architecture(params, NO_FILES, again, tmp_path / "learning.parquet", 7, {})
    assert again.read_bytes() == made["states"].read_bytes()
    detect_cascades("A", params, {"states": again, "data": NO_FILES}, tmp_path / "a.parquet", 7, {})
    pd.testing.assert_frame_equal(read("cascades", tmp_path / "a.parquet"), read("cascades", made["A"]))


def test_untrained_networks_without_nulls(tmp_path: Path) -> None:
    params = entry(trained=False, nulls=False, vary={"blocks": [[8], [10]]})
    assert [member["size"] for member in params["members"]] == [8, 10]
    paths = run(params, tmp_path)
    assert read("architecture_learning", paths["learning"]).empty
    fits = read("architectures", paths["fits"])
    assert set(fits["state"]) == {"initial", "reference"}
    assert set(fits["size"]) == {8, 10}
    text = "\n".join(architecture_lines(fits, read("architecture_learning", paths["learning"])))
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


def test_no_architecture_at_all() -> None:
    assert Architectures().networks == ()
    values = merged("smoke.yaml")
    values["architectures"]["networks"] = []
    assert architecture_params(load_config(values)) == {}
    empty = pd.DataFrame({name: [] for name in SCHEMAS["architectures"].names})
    assert architecture_lines(empty, empty) == ["No architecture in this run."]
    assert architecture_claim(empty) == []


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
        # The bootstrap of 8 groups lacks √(7/8) of the spread, which costs Student's 95 % about 1.5 %: .935 ± 3.5 binomial errors of .02.
        assert hits[name] / repeats > 0.935 - 3.5 * 0.0202, (name, hits)


def test_the_distance_of_equal_processes_is_small() -> None:
    """The squared distance, with covariances enlarged for eight networks, exceeds its limit in few of the equal pairs."""
    task = _Task((2, 16), {}, 200, 0.1, 3)
    fits: list[_Fit] = []
    for repeat in range(60):
        _, fit = _row(trees(4000, 8, np.random.default_rng((4, repeat))), task, ("pair", str(repeat)))
        assert fit is not None
        fits.append(fit)
    far = [(_distance(one, two) or 0.0) > 3.368 for one, two in zip(fits[::2], fits[1::2])]
    # Declared as 1 in 100; 3 of 30 would have a probability of .003.
    assert sum(far) < 3


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
        "censored": 0.0, "verdict": "mean_field_dp", "probability": 0.9, "mean_field_dp": 0.9, "brownian_excursion": 0.0, "moved": None,
        "grade": "none", "statement": "s", "reasons_for": "", "reasons_against": "", "reasons_open": "", "reason": "",
    }  # fmt: skip
    return {**base, **numbers, **changes}


def test_the_conclusion_says_what_the_nulls_say(tmp_path: Path) -> None:
    rows = [
        fit_row(gamma_low=1.9, gamma_high=2.1),
        fit_row(signal="i.i.d. weights", moved=1.2),
        fit_row(signal="input shuffle", moved=9.0),
        fit_row(definition="B", variant="k = 1", gamma=1.4, gamma_low=1.35, gamma_high=1.45, verdict="brownian_excursion", mean_field_dp=0.01),
        fit_row(definition="B", variant="k = 1", signal="layer shuffle", gamma=None, moved=None, reason="only 3 events"),
        fit_row(definition="C", variant="k = 1", gamma=None, verdict="none", probability=None, mean_field_dp=None, reason="too few"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    claims = {row["quantity"]: row for row in architecture_claim(frame)}
    walk = claims["gamma, definition A (relevance walk), net, initial"]
    assert "holds the paper's 2" in walk["sentence"]
    assert "one by construction" in walk["sentence"]
    assert walk["controls"] == "1 of 2 nulls have the same exponents: i.i.d. weights"
    unit = claims["gamma, definition B (unit stream), net, initial"]
    assert "excludes the paper's 2" in unit["sentence"]
    assert claims["gamma, definition C (layer activity), net, initial"]["sentence"] == "No exponent: too few."
    learning = pd.DataFrame({"member": ["net"], "test_accuracy": [0.5]})
    text = "\n".join(architecture_lines(frame, learning))
    assert "**i.i.d. weights 1.2**, input shuffle 9.0" in text
    assert "layer shuffle –" in text
    assert "says nothing about the network" in text
    assert "Test accuracies after training: net 0.50." in text
    write_table(tmp_path / "f.parquet", SCHEMAS["architectures"], rows, {})
    write_table(tmp_path / "l.parquet", SCHEMAS["architecture_learning"], [], {})
    tabulate_architectures([str(tmp_path / "f.parquet")], [str(tmp_path / "l.parquet")], tmp_path / "t.md")
    assert (tmp_path / "t.md").read_text(encoding="utf-8").startswith("Residual networks: by A")
