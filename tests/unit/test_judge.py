"""Sentences of the summary that a table of numbers is turned into."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from quasicrit.stages.judge import _apart, _definition_lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.53, "inside the 95 % interval, 1.5 standard errors above"),
        (1.40, "outside the 95 % interval, 5.0 standard errors below"),
    ],
)
def test_distance_in_standard_errors(value: float, text: str) -> None:
    exponent = SimpleNamespace(exponent=1.5, ci_low=1.5 - 1.96 * 0.02, ci_high=1.5 + 1.96 * 0.02)
    assert _apart(value, exponent) == text


def test_definitions_are_varied_one_at_a_time() -> None:
    rows = [
        (0.0, "log_area", 8, 500, True, 1.50, 1.33, 1.50),
        (0.5, "log_area", 8, 500, False, 1.60, 1.40, 1.52),
        (0.0, "activity", 8, 500, False, 1.50, 1.25, 2.00),
        (0.0, "log_area", 8, 200, False, 1.45, 1.30, 1.49),
        (0.5, "activity", 8, 200, False, 1.53, 1.20, 1.80),  # two choices at once: in the last column only
    ]
    names = ["threshold", "size", "window_low", "window_high", "primary", "tau_d", "tau_s", "gamma"]
    frame = pd.DataFrame(rows, columns=names).assign(
        signal="own", sigma_w_rule="critical", source="gaussian", protocol="W", point_id="p", activation="tanh"
    )
    frame = frame.assign(width=64, inputs=1, init="gaussian")
    lines = _definition_lines(frame)
    (duration,) = [line for line in lines if "| tau_d |" in line]
    assert "| 1.500 | 1.500 to 1.600 | 1.500 | 1.450 to 1.500 | 1.530 (threshold +0.5, activity, 8–200) |" in duration
    (size,) = [line for line in lines if "| tau_s |" in line]
    assert "| 1.330 | 1.330 to 1.400 | 1.250 to 1.330 | 1.300 to 1.330 |" in size
    assert _definition_lines(frame.assign(sigma_w_rule="0.7")) == ["No grid of this run has map_definitions: true."]
