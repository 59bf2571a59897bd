"""The chain from a table: the table against its law, its signals against how work is cut, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from quasicrit.config import load_config, points
from quasicrit.errors import ConfigError, PropagationError
from quasicrit.networks import Replicas, propagate
from quasicrit.networks.propagation import Signals
from quasicrit.networks.tabulated import LARGEST_Q, Tabulated, _bias_term, _steps, layer_table
from quasicrit.points import Block
from quasicrit.stages.detect import read_activity
from quasicrit.stages.propagate import propagate_block
from quasicrit.theory import ACTIVATIONS, sigma_c, step_variance
from quasicrit.theory.layer_law import layer_log_quantiles
from tests.unit.test_config import merged


def looked_up(activation: str, width: int, log_q: float, score: np.ndarray) -> np.ndarray:
    """ln(m'/q) from the table, for one score per network."""
    table = layer_table(activation, width)
    log_m = np.full(len(score), log_q)
    out = np.empty((len(score), 1), np.float32)
    rest = (table.first, table.rows_per_unit, table.columns_per_unit, table.values, out)
    assert _steps(score[None], log_m, 0.0, -math.inf, *rest) == log_q
    return log_m - log_q


def run(
    width: int = 32,
    depth: int = 40,
    groups: int = 4,
    *,
    size: int = 16,
    activation: str = "tanh",
    init: str = "gaussian",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    m0: float = 1.0,
    first: int = 0,
    inputs: int = 1,
    units: bool = False,
) -> np.ndarray:
    replicas = [Replicas(("t", g), size, sigma_w, sigma_b) for g in range(first, first + groups)]
    blocks = propagate("tabulated", activation, init, width, depth, inputs, m0, replicas, 5, units)
    return np.concatenate([block.log_m[:, 0] for block in blocks], axis=1)


@pytest.mark.parametrize(
    ("activation", "width", "most"),
    [("tanh", 8, 4e-5), ("erf", 8, 1.5e-4), *((a, w, 1e-5) for a in ACTIVATIONS for w in (32, 4096))],
)
def test_the_table_is_the_law_between_its_nodes(activation: str, width: int, most: float) -> None:
    """Off the nodes in q and in the score, as an error of the probability, error × density: below 1e-5, a hundredth of
    what 1e6 draws resolve (N = 8, where the law has sharp features: 4e-5, erf 1.5e-4); in the mean below 1e-5 sigma_1. Rising with the score; at the ceiling, where every unit is saturated, flat to 2e-5
    sigma_1."""
    score = np.linspace(-5.99, 5.99, 700)
    density = np.exp(-0.5 * score**2) / math.sqrt(2 * math.pi)
    sd = math.sqrt(step_variance(activation, width))
    for log_q in (-40.3, -17.93, -9.16, -3.21, -0.44, 1.03, 2.3, 2.7):
        found = looked_up(activation, width, log_q, score)
        exact = layer_log_quantiles(activation, width, math.exp(log_q), score)
        rises = np.diff(exact) > 1e-4 * sd
        assert np.diff(found)[rises].min() > 0
        assert np.diff(found).min() > -2e-5 * sd
        error = (found - exact) * density / sd
        assert np.abs(error).max() < most
        assert abs(error.sum() * (score[1] - score[0])) < 1e-5


def test_scores_beyond_the_table_are_set_to_its_end() -> None:
    found = looked_up("tanh", 32, 0.0, np.array([-9.0, -6.0, 6.0, 9.0]))
    assert found[0] == found[1] < found[2] == found[3]


def test_the_bias_is_added_in_logarithms() -> None:
    """ln(1 + e^−x) to 1e-9, between its nodes and beyond the last."""
    x = np.linspace(0, 45, 4001)
    np.testing.assert_allclose([_bias_term(v) for v in x], np.log1p(np.exp(-x)), atol=1e-9)


@pytest.mark.parametrize("sigma_b", [0.0, 0.1])
def test_a_group_is_the_same_whatever_is_beside_it(sigma_b: float) -> None:
    """Across the ends of a span of layers too: bit-equal."""
    together = run(depth=1100, groups=5, sigma_b=sigma_b)
    for group in (0, 4):
        alone = run(depth=1100, groups=1, first=group, sigma_b=sigma_b)
        np.testing.assert_array_equal(alone, together[16 * group : 16 * (group + 1)])


def test_the_length_of_a_span_does_not_matter() -> None:
    def sampled(spans: tuple[int, ...]) -> np.ndarray:
        made = Tabulated(Signals("tanh", False, 32, 1, 1.0, [Replicas(("s",), 16, 1.1, 0.05)], 3))
        firsts = np.cumsum((1, *spans[:-1]))
        return np.concatenate(
            [made.advance(int(f), n, False).log_m for f, n in zip(firsts, spans, strict=True)], axis=2
        )

    np.testing.assert_array_equal(sampled((64,)), sampled((1, 30, 33)))


def test_an_ordered_network_never_underflows() -> None:
    """ln m falls to −2900, far below what m as a number can hold, at the rate of the drift: 64 × 1200 steps, 5 errors."""
    m = run(depth=1200, sigma_w=0.3)
    expected = 2 * math.log(0.3 / sigma_c("tanh", 32))
    assert m[:, -1].max() < -2000
    rate = (m[:, -1] - m[:, 19]).mean() / 1180
    assert abs(rate - expected) < 5 * math.sqrt(step_variance("tanh", 32) / (64 * 1180))


def test_homogeneous_signals_go_beyond_what_a_float_holds() -> None:
    """ln m = 2000 after 200 layers of e^10 each: linear, sigma_w² = e^10."""
    m = run(depth=200, activation="linear", sigma_w=math.exp(5))
    assert abs(m[:, -1].mean() - 2000 - 200 * 2 * math.log(1 / sigma_c("linear", 32))) < 5 * math.sqrt(200 / 16 / 64)


def test_relu_networks_die_at_their_rate() -> None:
    """Without an active unit with probability 2^-8 a layer: the first death among 16 networks comes at layer l with rate
    16/256; 400 first layers have their mean within 5 standard errors, and the error names the layer."""
    firsts = []
    for seed in range(400):
        sampler = Tabulated(Signals("relu", False, 8, 1, 1.0, [Replicas(("d", seed), 16, 1.5, 0.0)], 1))
        with pytest.raises(PropagationError, match=r"died .* at layer \d+ .* relu") as error:
            sampler.advance(1, 3000, False)
        firsts.append(int(str(error.value).split("layer ")[1].split()[0]))
    p = 1 - (1 - 1 / 256) ** 16
    assert abs(np.mean(firsts) - 1 / p) < 5 * math.sqrt(1 - p) / p / math.sqrt(400)


def test_what_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(PropagationError, match="orthogonal"):
        run(init="orthogonal")
    with pytest.raises(PropagationError, match="one-input chain"):
        run(inputs=2)
    with pytest.raises(PropagationError, match="at least 8"):
        run(width=7)
    with pytest.raises(PropagationError, match="no units"):
        run(units=True)
    with pytest.raises(PropagationError, match="unknown activation 'softmax'"):
        run(activation="softmax")
    with pytest.raises(PropagationError, match="goes up to 16: use source: gaussian"):
        run(sigma_w=4.5)
    with pytest.raises(PropagationError, match=r"activation gelu, sigma_w = 2\.1"):
        run(activation="gelu", sigma_w=2.1, depth=200)
    assert math.isfinite(run(sigma_w=math.sqrt(LARGEST_Q) * 0.999).sum())


def configuration(**grid: object) -> dict[str, object]:
    values = merged()
    values["grids"] = [
        {
            "name": "t",
            "source": "tabulated",
            "protocol": "W",
            "sigma_w": ["critical"],
            "width": [32],
            "depth": [3000],
            "nets": 20,
        }
        | grid
    ]
    return values


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"init": ["orthogonal"]}, "orthogonal has no table"),
        ({"width": [4]}, "width = 4 is too small for source: tabulated"),
        ({"inputs": 2}, r"source: tabulated\) carries one"),
        ({"record_units": True}, "record_units works with source: gaussian or weights"),
    ],
)
def test_the_configuration_refuses_it_too(grid: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(configuration(**grid))


def test_activity_tables_hold_what_is_known(tmp_path: Path) -> None:
    """ln m as it was sampled; E|x| and the active share are null, not zero."""
    point = points(load_config(configuration(depth=[1500])))[0]
    parts = ((point, 0, 2),)
    params = Block("tabulated", "W", 32, 1500, 0, parts).params()
    path = tmp_path / "activity.parquet"
    propagate_block(params, path, 9, 16, {})
    table = pq.read_table(path)
    assert table["mean_abs"].null_count == table["active_fraction"].null_count == len(table) == 20 * 1500
    assert table["log_m"].null_count == 0
    replicas = [Replicas(("propagate", "tabulated", point.point_id, g), 16, point.sigma_w, 0.0) for g in range(2)]
    blocks = propagate("tabulated", "tanh", "gaussian", 32, 1500, 1, point.m0, replicas, 9)
    expected = np.concatenate([block.log_m[:20, 0] for block in blocks], axis=1)
    np.testing.assert_array_equal(read_activity(path, parts, 16), expected)
