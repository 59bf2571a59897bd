"""What the entries of docs/contributing.md must do, by recipe: ``python -m tests.unit.contributed`` prints how each fared, as JSON.

Run with the package in which the recipes were followed on PYTHONPATH, and once with the plain one, where every check must fail.
"""

from __future__ import annotations

import json
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from quasicrit.rng import generator
from quasicrit.tables import SCHEMAS, read_table, write_table

from .test_config import merged

NO_FILES: dict[str, Any] = {"folder": None, "sha256": {}}
#: Random means of this file lie within so many of their standard errors.
SIGMAS = 5.0


def smoke(**sections: Any) -> Any:
    from quasicrit.config import load_config

    values = merged("smoke.yaml")
    for name, section in sections.items():
        values[name] = {**values[name], **section} if isinstance(section, dict) else section
    return load_config(values)


def activation(folder: Path) -> None:
    import torch

    from quasicrit import theory
    from quasicrit.families import build_network
    from quasicrit.networks import NetSpec, Replicas, activations, initialise, load_task, modules, propagate, train

    # Moments by quadrature against Monte Carlo.
    x = np.sqrt(1.7) * generator(1, "arctan").standard_normal(400_000)
    exact = theory.moments("arctan", 1.7)
    for value, seen in (
        (exact.mean_square, np.arctan(x) ** 2),
        (exact.mean_abs, np.abs(np.arctan(x))),
        (exact.slope_square, (1 + x * x) ** -2.0),
    ):
        assert abs(seen.mean() - value) < SIGMAS * seen.std() / np.sqrt(len(seen))
    # Mean field against networks with real weights, where it errs by O(1/N).
    nets, width, depth = 48, 192, 5
    replicas = [Replicas(("a",), nets, 1.6, 0.3)]
    (layers,) = propagate("weights", "arctan", "gaussian", width, depth, 1, 1.0, replicas, 3)
    m = np.exp(layers.log_m[:, 0, -1].astype(float))
    expected = float(theory.propagate("arctan", 1.6, 0.3, depth).m[-1])
    assert abs(m.mean() - expected) < SIGMAS * m.std() / np.sqrt(nets) + 2 * expected / width
    # The gradient of the torch form is autograd's, of the module as well.
    h = torch.linspace(-4, 4, 101, dtype=torch.float64).requires_grad_()
    modules.activation_module("arctan")(h).sum().backward()
    form = activations.torch_form("arctan")
    torch.testing.assert_close(form.gradient(torch.ones_like(h), h.detach()), h.grad)
    # Networks learn with it: batched ones, and convolutions whose activations are recorded.
    data = load_task("wine", 1)
    mlp = initialise(
        [NetSpec("arctan", 1.2, 0.0, seed) for seed in range(2)],
        input_dim=13, width=16, depth=3, n_classes=3, activation="arctan", init="gaussian", root_seed=1,
    )  # fmt: skip
    losses = train(mlp, data, steps=40, learning_rate=0.1, batch_size=32, root_seed=1).losses
    assert (losses[:, -5:].mean(1) < 0.7 * losses[:, 0]).all()
    conv = build_network("conv", (1, 8, 8), 3, {"depth": 2, "channels": 3, "activation": "arctan"})
    kinds = {type(module).__name__ for module in conv.modules()}
    assert set(modules.activation_kinds()) & kinds == {"Elementwise"}
    # A grid may have it where a ceiling is needed.
    grid = {
        "name": "one",
        "protocol": "T",
        "activation": ["arctan"],
        "sigma_w": ["critical"],
        "width": [16],
        "depth": [600],
    }
    assert smoke(grids=[{**grid, "nets": 16, "window": [4, 16]}]).grids[0].activation == ("arctan",)


def architecture(folder: Path) -> None:
    from quasicrit.config import architecture_params, json_schema
    from quasicrit.errors import ConfigError
    from quasicrit.fingerprint import modules_of
    from quasicrit.stages.architectures import record_architecture, train_architecture
    from quasicrit.stages.plan import plan_jobs

    page = (Path(__file__).parents[2] / "docs/contributing.md").read_text(encoding="utf-8")
    (net,) = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    sizes = {"networks": [net], "nets": 6, "steps": 3, "inputs": {"B": 3, "C": 4}}
    config = smoke(architectures=sizes)
    assert "PerceptronNet" in json_schema()["$defs"]
    for wrong, said in (
        ({"depht": 3}, "depht"),
        ({"definitions": ["A"]}, "leave A out"),
        ({"depth": 9}, "too long for its 9 layers"),
    ):
        with pytest.raises(ConfigError, match=said):
            smoke(architectures={**sizes, "networks": [net | wrong]})
    jobs = {job.name: job for job in plan_jobs(config)}
    assert jobs["train_architecture/fully"].seconds > 2.0
    assert jobs["detect_cascades/B/fully"].memory_mb > 0
    params = architecture_params(config)["fully"]
    paths = [folder / name for name in ("states.safetensors", "learning.parquet", "activity.parquet", "units.parquet")]
    train_architecture(params, NO_FILES, *paths[:2], 7, {})
    record_architecture(params, NO_FILES, *paths, 7, {})
    learning = read_table([str(paths[1])], SCHEMAS["architecture_learning"])
    assert learning["train_loss"].dropna().gt(0).all()
    activity = read_table([str(paths[2])], SCHEMAS["layer_activity"])
    # Twelve linear maps with their activations, and the readout.
    assert activity["layer"].max() == 2 * 12 + 1
    units = read_table([str(paths[3])], SCHEMAS["unit_stream"])
    assert units["layer"].max() == 12
    assert {len(row) for row in units["units"]} == {4 * 16}
    # Jobs that build it depend on its file.
    assert "quasicrit.families.perceptron" in modules_of("quasicrit.stages.architectures")


def size(folder: Path) -> None:
    from quasicrit.avalanches import detect
    from quasicrit.config import blocks
    from quasicrit.stages.definitions import SIZES, Found, map_definitions
    from quasicrit.stages.propagate import propagate_block

    y = generator(1, "energy").standard_normal((3, 50))
    events = detect(y, np.zeros(3))
    seen = SIZES["energy"](Found(y, np.zeros(3), events, 0.1))
    for value, row, start, length in zip(seen, events.trajectory, events.start, events.duration, strict=True):
        assert np.isclose(value, (y[row, start : start + length] ** 2).sum())
    grid = {"name": "strong", "protocol": "T", "sigma_w": ["critical"], "width": [16], "depth": [600], "nets": 64}
    config = smoke(grids=[{**grid, "window": [4, 32], "map_definitions": True}])
    (block,) = blocks(config)
    paths = [folder / name for name in ("activity.parquet", "bias.parquet", "definitions.parquet")]
    propagate_block(block.params(), paths[0], 9, config.group_size, {})
    write_table(paths[1], SCHEMAS["class_bias"], [], {})
    params = {"blocks": [block.params()], "thresholds": [0.0], "windows": {}, "resamples": 100, "tolerance": 0.1}
    map_definitions(params, paths[:1], paths[1:2], paths[2], config.group_size, 9, {})
    made = read_table([str(paths[2])], SCHEMAS["definitions"])
    rows = made[made["signal"] == "own"].set_index("size")
    # The same events, another size: the same durations, other exponents of size.
    assert rows.loc["energy", "reason"] == ""
    assert rows.loc["energy", "tau_d"] == rows.loc["activity", "tau_d"]
    assert rows.loc["energy", "gamma"] > rows.loc["log_area", "gamma"]


def universality(folder: Path) -> None:
    from quasicrit.reference import PROCESSES
    from quasicrit.scaling import WindowBias, class_biases, classify, classify_events, measure_biases

    values = (1.0 + 0.5 / 1.75, 1.5, 1.75)
    exact = {"levy_walk": [WindowBias(np.zeros(3), np.zeros((3, 3)))]}
    found = classify(values, 0.01**2 * np.eye(3), biases=exact)
    assert found.verdict == "levy_walk"
    assert np.isclose(found.classes[0].parameter or 0.0, 4 / 3, atol=0.02)
    # A fresh realisation of the process, with the biases of three processes on its window.
    measured = {}
    for name in ("levy_1.5", "walk", "galton_watson"):
        (bias,) = measure_biases(PROCESSES[name], [(8, 200)], 20_000, generator(1, "bias", name), 50)
        assert isinstance(bias, WindowBias)
        measured[name] = bias
    events = PROCESSES["levy_1.5"].sample(20_000, generator(2, "fresh"))
    seen = classify_events(
        events.size, events.duration, events.cluster, window=(8, 200), rng=generator(3, "classify"), biases=class_biases(measured), n_resamples=50
    )  # fmt: skip
    assert seen.posterior.verdict == "levy_walk"
    assert seen.posterior.classes[0].calibrated


def predictor(folder: Path) -> None:
    from quasicrit.stages.learn import learn_plane, predict_learning
    from quasicrit.stages.rank import rank_predictors
    from quasicrit.theory import propagate

    params = {
        "task": "wine", "width": 8, "depth": 3, "optimiser": "sgd", "steps": 5, "seeds": 2, "learning_rate": [0.1], "batch_size": 32,
        "points": [[w, 0.0] for w in (0.6, 0.8, 1.0, 1.5, 2.0)], "fluctuation_nets": 10, "kernel_samples": 20,
    }  # fmt: skip
    paths = {name: folder / f"{name}.parquet" for name in ("learned", "predictors", "ranking", "contests", "lines")}
    learn_plane(params, NO_FILES, paths["learned"], 5, {})
    predict_learning(params, NO_FILES, paths["predictors"], 5, {})
    made = read_table([str(paths["predictors"])], SCHEMAS["predictors"])
    own = made[made["predictor"] == "-|ln m_L|"].set_index("sigma_w")["value"]
    for sigma_w in (0.6, 0.8, 1.0, 1.5, 2.0):
        assert np.isclose(own[sigma_w], -abs(np.log(propagate("tanh", sigma_w, 0.0, 3).m[-1])))
    tables = [paths[name] for name in ("ranking", "contests", "lines")]
    ranks = {"bias_split": 0.1, "chance_margin": 0.0, "resamples": 20, "data": {"wine": NO_FILES}}
    rank_predictors(ranks, [str(paths["learned"])], [str(paths["predictors"])], *tables, 5, {})
    ranking = read_table([str(tables[0])], SCHEMAS["ranking"])
    assert ranking[ranking["predictor"] == "-|ln m_L|"]["spearman"].notna().any()


RECIPES: dict[str, Callable[[Path], None]] = {
    "An activation": activation,
    "An architecture": architecture,
    "A definition of size": size,
    "A universality class": universality,
    "A predictor": predictor,
}
"""By heading of the page."""


def main() -> None:
    """Print {recipe: why it failed, or empty} and where the package lies."""
    import quasicrit

    made = {"package": str(Path(quasicrit.__file__).parent)}
    for name, check in RECIPES.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(Path(folder))
                made[name] = ""
            except (Exception, pytest.fail.Exception):
                made[name] = traceback.format_exc()
    print(json.dumps(made))


if __name__ == "__main__":
    main()
