"""theory_point: every number of the command, and a reason for each one that is missing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from quasicrit.errors import TheoryError
from quasicrit.theory import (
    ACTIVATIONS,
    propagate,
    sigma_c,
    step_variance,
    susceptibility,
    theory_point,
    xi_c,
)

ALWAYS = ("q_star", "m_star", "mean_abs", "chi_1", "xi_q", "xi_c", "phase")
ORDERS = ("m", "rms", "abs")


def test_a_complete_point():
    point = theory_point("tanh", 1.2, 0.1, depth=30, width=64)
    assert point.m_star == pytest.approx(0.18917654, abs=5e-9)
    assert point.chi_1 == pytest.approx(1.00289730, abs=5e-9)
    assert point.phase == "chaotic"
    assert point.reasons == {}
    assert point.xi_c == xi_c("tanh", 1.2, 0.1)
    assert point.susceptibility["rms"] == susceptibility("tanh", 1.2, 0.1).rms
    end = propagate("tanh", 1.2, 0.1, 30)
    assert point.m_depth == end.m[-1]
    assert point.log_jacobian == end.log_jacobian
    assert point.susceptibility_depth == {order: getattr(end.susceptibility, order) for order in ORDERS}
    assert point.sigma_c == sigma_c("tanh", 64)
    assert point.log_m_step_variance == step_variance("tanh", 64)


def test_without_depth_and_width():
    point = theory_point("tanh", 1.2, 0.1)
    assert point.m_depth is None
    assert point.susceptibility_depth is None
    assert point.log_jacobian is None
    assert point.sigma_c is None
    assert point.log_m_step_variance is None
    assert point.reasons == {}


def test_the_critical_point():
    point = theory_point("tanh", 1.0, 0.0)
    assert point.phase == "critical"
    assert point.m_star == 0.0
    assert point.xi_q is None
    assert point.xi_c is None
    assert point.susceptibility == {"m": None, "rms": None, "abs": None}
    for key in ("xi_q", "xi_c", "susceptibility.rms", "susceptibility.abs"):
        assert point.reasons[key] == "infinite"
    assert "derivative" in point.reasons["susceptibility.m"]


def test_growth_without_bound():
    point = theory_point("relu", 2.5, 0.3, depth=10)
    assert point.q_star is None
    assert point.reasons["q_star"] == point.reasons["m_star"] == point.reasons["mean_abs"] == "infinite"
    assert point.chi_1 == pytest.approx(3.125)
    assert point.phase == "chaotic"
    assert "without bound" in point.reasons["xi_c"]
    assert point.susceptibility_depth is not None
    assert point.susceptibility_depth["m"] == propagate("relu", 2.5, 0.3, 10).susceptibility.m
    gelu = theory_point("gelu", 2.5, 0.3, depth=800)
    assert gelu.phase is None
    assert "without bound" in gelu.reasons["phase"]
    assert gelu.m_depth is None
    assert gelu.reasons["m_depth"] == gelu.reasons["susceptibility_depth.rms"] == "infinite"


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_each_gap_has_a_reason_and_the_whole_is_json(name):
    for sigma_w in (0.5, 1.0, float(np.sqrt(2.0)), 2.5):
        for sigma_b in (0.0, 0.2):
            point = theory_point(name, sigma_w, sigma_b, depth=8, width=16)
            gaps = {key for key in (*ALWAYS, "m_depth", "log_jacobian") if getattr(point, key) is None}
            for key in ("susceptibility", "susceptibility_depth"):
                gaps |= {f"{key}.{order}" for order in ORDERS if getattr(point, key)[order] is None}
            assert set(point.reasons) == gaps
            assert all(point.reasons.values())
            json.dumps(dataclasses.asdict(point), allow_nan=False)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"activation": "elu"}, "choose one of"),
        ({"sigma_w": 0.0}, "sigma_w"),
        ({"sigma_w": float("nan")}, "sigma_w"),
        ({"sigma_b": -1.0}, "sigma_b"),
        ({"m0": 0.0}, "m0"),
        ({"depth": 0}, "depth"),
        ({"width": 1}, "width"),
    ],
)
def test_impossible_values(changes, message):
    arguments = {"activation": "tanh", "sigma_w": 1.0, "sigma_b": 0.1} | changes
    with pytest.raises(TheoryError, match=message) as caught:
        theory_point(**arguments)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
