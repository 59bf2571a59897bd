"""The stages of learning, on tasks and networks that are small enough for a unit test."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quasicrit.learning import methods
from quasicrit.networks import NetSpec, Optimiser, initialise, join, load_task, predict, train, tuning_split
from quasicrit.stages.initialisations import _errors, compare_initialisations
from quasicrit.stages.learn import _networks, _state, follow_training, learn_plane, predict_learning
from quasicrit.stages.learning_summary import (
    advice_claim,
    advice_lines,
    followed_lines,
    prediction_claim,
    prediction_lines,
)
from quasicrit.stages.rank import rank_predictors
from quasicrit.tables import SCHEMAS, read_table

NO_FILES: dict[str, Any] = {"folder": None, "sha256": {}}
PLANE: dict[str, Any] = {
    "task": "wine", "width": 12, "depth": 4, "optimiser": "sgd", "steps": 15, "seeds": 2, "learning_rate": [0.05, 0.2],
    "batch_size": 32, "points": [[w, b] for w in (0.7, 1.0, 1.3, 2.0) for b in (0.0, 0.3)],
    "fluctuation_nets": 20, "kernel_samples": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("plane")
    paths = {name: folder / f"{name}.parquet" for name in ("learned", "predictors", "ranking", "contests", "lines")}
    learn_plane(PLANE, NO_FILES, paths["learned"], 5, {})
    predict_learning(PLANE, NO_FILES, paths["predictors"], 5, {})
    ranks = {"bias_split": 0.1, "chance_margin": 0.1, "resamples": 100, "data": {"wine": NO_FILES}}
    rank_predictors(
        ranks,
        [str(paths["learned"])],
        [str(paths["predictors"])],
        paths["ranking"],
        paths["contests"],
        paths["lines"],
        5,
        {},
    )
    return paths


def read(name: str, path: Path) -> pd.DataFrame:
    return read_table([str(path)], SCHEMAS[name])


def test_the_plane_is_the_training_of_its_networks(plane: dict[str, Path]) -> None:
    learned = read("learned", plane["learned"])
    assert len(learned) == 8 * 2 * 2
    data = load_task("wine", 5)
    net = NetSpec("1.3|0.3|12|4", 1.3, 0.3, 1)
    mlp = initialise(
        [net], input_dim=13, width=12, depth=4, n_classes=3, activation="tanh", init="gaussian", root_seed=5
    )
    history = train(mlp, data, steps=15, learning_rate=0.2, batch_size=32, root_seed=5, optimiser=Optimiser())
    own = learned[
        (learned["sigma_w"] == 1.3)
        & (learned["sigma_b"] == 0.3)
        & (learned["seed"] == 1)
        & (learned["learning_rate"] == 0.2)
    ]
    assert own["accuracy"].item() == history.accuracy[0, -1]
    assert own["speed"].item() == pytest.approx(np.maximum(0, 1 - history.losses[0] / math.log(3)).mean())


def test_blocks_do_not_change_a_network(plane: dict[str, Path], tmp_path: Path) -> None:
    part = tmp_path / "part.parquet"
    learn_plane({**PLANE, "points": PLANE["points"][3:5]}, NO_FILES, part, 5, {})
    keys = ["learning_rate", "sigma_w", "sigma_b", "seed"]
    both = read("learned", part).merge(read("learned", plane["learned"]), on=keys)
    assert len(both) == 8
    assert (both["accuracy_x"] == both["accuracy_y"]).all()
    assert (both["speed_x"] == both["speed_y"]).all()


def test_ranks_are_those_of_the_tables(plane: dict[str, Path]) -> None:
    learned, predictors, ranking = (read(name, plane[name]) for name in ("learned", "predictors", "ranking"))
    row = ranking[
        (ranking["learning_rate"] == "0.2") & (ranking["biases"] == "all") & (ranking["outcome"] == "speed")
        & (ranking["predictor"] == "gradient norm")
    ]  # fmt: skip
    assert row["n_points"].item() == 8
    at = ["sigma_w", "sigma_b"]
    speed = learned[learned["learning_rate"] == 0.2].groupby(at)["speed"].mean()
    norm = predictors[(predictors["learning_rate"] == 0.2) & (predictors["predictor"] == "gradient norm")].set_index(
        at
    )["value"]
    both = pd.concat([speed, norm], axis=1)
    assert row["spearman"].item() == pytest.approx(both.corr("spearman").iloc[0, 1])
    best = ranking[(ranking["learning_rate"] == "best") & ranking["spearman"].notna()]
    assert len(best) > 0
    weak = ranking[(ranking["biases"] == "weak")]
    assert set(weak["reason"]) == {
        "Rank correlations need at least 5 points, each with an outcome and with every predictor; there are 4."
    }


def test_contests_mirror_each_other_and_are_told(plane: dict[str, Path]) -> None:
    contests, ranking = read("contests", plane["contests"]), read("ranking", plane["ranking"])
    wins = (contests["outcome_of_contest"] == "wins").sum()
    assert wins == (contests["outcome_of_contest"] == "loses").sum()
    rows = prediction_claim(contests, ranking)
    assert {row["claim"] for row in rows} == {"P4"}
    text = "\n".join(prediction_lines(contests, ranking, 0.1))
    assert "| wine, N = 12, L = 4, sgd, rate best, all biases | 8 |" in text
    # Every row has as many cells as the head: the bars of |chi_1 - 1| end none.
    table = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "nan" not in text
    ends = ["spearman_low", "spearman_high"]
    unknown = "\n".join(
        prediction_lines(contests.assign(ci_low=np.nan), ranking.assign(**dict.fromkeys(ends, np.nan)), 0.1)
    )
    assert "nan" not in unknown
    assert "(interval unknown: nearly all at chance)" in unknown


def test_lines_are_those_of_the_theory(plane: dict[str, Path]) -> None:
    lines = read("lines", plane["lines"])
    zero = lines[lines["sigma_b"] == 0.0].set_index("line")["sigma_w"]
    assert zero["edge_of_chaos"] == pytest.approx(1.0)
    assert 1.0 < zero["ridge_m"] < zero["j0"]


def test_untrained_networks_measure_what_theory_says() -> None:
    data = load_task("digits", 1)
    mlp = _networks(data, [(1.0, 0.05), (1.5, 0.3)], 96, 12, 24, 1)
    found = {name: values.reshape(2, 24) for name, values in _state(mlp, data.test_x[:20])}
    for index, (sigma_w, sigma_b) in enumerate(((1.0, 0.05), (1.5, 0.3))):
        # 11 · 96² weights: relative error 1/√(2n) = .0022 of one network; biases 12 · 96: .02.
        assert found["effective sigma_w"][index].mean() == pytest.approx(sigma_w, rel=5e-3)
        assert found["effective sigma_b"][index].mean() == pytest.approx(sigma_b, rel=3e-2)
    from quasicrit.theory import propagate

    end = propagate("tanh", 1.5, 0.3, 12)
    chi, error = found["susceptibility"][1].mean(), found["susceptibility"][1].std(ddof=1) / math.sqrt(24)
    # Finite width moves it by O(1/N) besides.
    assert chi == pytest.approx(float(end.susceptibility.m), abs=4 * error + 0.03)
    growth = np.log(end.chi_1[1:]).mean()
    gained, error = (
        found["log_jacobian per layer"][1].mean(),
        found["log_jacobian per layer"][1].std(ddof=1) / math.sqrt(24),
    )
    assert gained == pytest.approx(growth, abs=4 * error + 0.03)


def test_followed_networks_are_the_trained_ones(tmp_path: Path) -> None:
    params = {
        "task": "wine", "width": 10, "depth": 5, "sigma_w": [1.0, 1.6], "sigma_b": 0.05, "seeds": 2, "learning_rate": 0.1,
        "marks": [0, 4, 9], "images": 8, "batch_size": 32,
    }  # fmt: skip
    path = tmp_path / "followed.parquet"
    follow_training(params, NO_FILES, path, 3, {})
    made = read("followed", path)
    assert set(made["step"]) == {0, 4, 9}
    data = load_task("wine", 3)
    mlp = _networks(data, [(1.0, 0.05), (1.6, 0.05)], 10, 5, 2, 3)
    train(mlp, data, steps=9, learning_rate=0.1, batch_size=32, root_seed=3)
    last = dict(_state(mlp, data.test_x[:8]))["susceptibility"]
    own = made[(made["step"] == 9) & (made["quantity"] == "susceptibility")]
    np.testing.assert_allclose(own["value"], last, rtol=1e-9)
    text = "\n".join(followed_lines(made))
    assert "| 1.6 |" in text
    assert "edge of chaos" in text or "no move seen" in text


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("advised")
    params = {
        "task": "wine", "width": 12, "depth": 6, "steps": 40, "learning_rate": [0.3, 0.05], "optimiser": "sgd", "batch_size": 32,
        "tuning_seeds": 2, "seeds": 3,
    }  # fmt: skip
    compare_initialisations(params, NO_FILES, folder / "networks.parquet", folder / "advice.parquet", 7, {})
    return {
        "initialisations": read("initialisations", folder / "networks.parquet"),
        "advice": read("advice", folder / "advice.parquet"),
    }


def test_the_rate_of_each_method_is_the_best_in_tuning(advised: dict[str, pd.DataFrame]) -> None:
    networks, advice = advised["initialisations"], advised["advice"]
    tuning = networks[networks["stage"] == "tuning"]
    mean = tuning.groupby(["method", "learning_rate"], observed=True)["accuracy"].mean().unstack()
    for row in advice.itertuples():
        assert mean.loc[row.method, row.learning_rate] == mean.loc[row.method].max()
        assert row.rate_at_edge
    final = networks[networks["stage"] == "final"]
    assert not set(final["seed"]) & set(tuning["seed"])
    assert final.groupby("method", observed=True)["seed"].nunique().eq(3).all()
    for row in advice.itertuples():
        assert row.accuracy == pytest.approx(final[final["method"] == row.method]["accuracy"].mean())


def test_better_is_said_only_where_the_interval_excludes_zero(advised: dict[str, pd.DataFrame]) -> None:
    advice = advised["advice"]
    own = advice[advice["difference"].notna()]
    assert len(own) == len(advice) - 1
    for row in own.itertuples():
        wanted = "better" if row.difference_low > 0 else "worse" if row.difference_high < 0 else "no difference"
        assert row.verdict == wanted
    assert len(advice_claim(advice)) == len(own)
    assert any(line.startswith("| advised orthogonal | ") for line in advice_lines(advice))


def test_errors_hold_both_seeds_and_samples() -> None:
    # p_ij = p + seed effect + sample effect: the variance of the mean is known.
    rng = np.random.default_rng(4)
    spread = []
    said = []
    for _ in range(60):
        seeds, samples = 0.05 * rng.standard_normal((1, 6, 1)), 0.2 * rng.choice([-1.0, 1.0], (1, 1, 100))
        right = rng.random((1, 6, 100)) < 0.7 + seeds + samples
        mean, half, _ = _errors(right, rng)
        spread.append(mean[0])
        said.append(half[0])
    # 60 means: their standard deviation is known to 9 %; drawing twice counts what is left of both once more, and six seeds
    # have a Student quantile up to 2.57.
    assert 1.6 * np.std(spread) < np.mean(said) < 4.0 * np.std(spread)
    covered = np.abs(np.array(spread) - 0.7) <= np.array(said)
    # 95 % of 60 is 57 ± 1.7.
    assert covered.sum() >= 51


def test_methods_are_drawn_as_torch_draws_them() -> None:
    import torch

    method = methods("tanh", 4, 40)[0]
    nets = [NetSpec("m", method.sigma_w, method.sigma_b, seed) for seed in range(30)]
    mlp = initialise(
        nets, input_dim=50, width=40, depth=2, n_classes=7, activation="tanh", init=method.init, root_seed=1
    )
    layer = torch.nn.Linear(50, 40)
    bound = float(layer.weight.detach().abs().max())
    assert float(mlp.weights[0].abs().max()) == pytest.approx(1 / math.sqrt(50), rel=1e-3)
    assert bound == pytest.approx(1 / math.sqrt(50), rel=1e-2)
    assert float(mlp.biases[0].abs().max()) == pytest.approx(1 / math.sqrt(50), rel=2e-2)
    glorot = initialise(
        [NetSpec("g", 1.0, 0.0, s) for s in range(30)],
        input_dim=50, width=40, depth=2, n_classes=7, activation="tanh", init="glorot", root_seed=1,
    )  # fmt: skip
    assert float(glorot.weights[0].var()) == pytest.approx(2 / 90, rel=0.03)
    both = join([mlp, glorot])
    assert both.nets == mlp.nets + glorot.nets
    assert torch.equal(both.weights[1][30:], glorot.weights[1])


def test_tuning_never_sees_the_test_images() -> None:
    data = load_task("digits", 1)
    split = tuning_split(data)
    assert len(split.train_y) + len(split.test_y) == len(data.train_y)
    np.testing.assert_array_equal(np.concatenate([split.train_x, split.test_x]), data.train_x)


def test_predictions_are_those_of_the_accuracy() -> None:
    data = load_task("wine", 1)
    nets = [NetSpec("p", 1.2, 0.1, seed) for seed in range(3)]
    mlp = initialise(nets, input_dim=13, width=8, depth=2, n_classes=3, activation="tanh", init="gaussian", root_seed=1)
    history = train(mlp, data, steps=20, learning_rate=[0.1, 0.1, 1e30], batch_size=32, root_seed=1)
    np.testing.assert_allclose((predict(mlp, data.test_x) == data.test_y).mean(1), history.accuracy[:, -1])
