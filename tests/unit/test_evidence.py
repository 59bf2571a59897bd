"""The rules of the evidence grade, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quasicrit.scaling import CLASSES, GRADES, Estimate, WindowBias, classify, grade_evidence

EXACT = {name: (WindowBias(np.zeros(3), np.zeros((3, 3))),) for name in CLASSES}
ERRORS = np.diag([0.01**2] * 3)
BROWNIAN = classify(CLASSES["brownian_excursion"].values, ERRORS, biases=EXACT)
MEAN_FIELD = classify(CLASSES["mean_field_dp"].values, ERRORS, biases=EXACT)
NOWHERE = classify([1.4, 1.9, 1.2], ERRORS, biases=EXACT)

HOLDS = Estimate(0.01, -0.05, 0.07)
BROKEN = Estimate(0.31, 0.21, 0.41)
OPEN = Estimate(0.05, -0.1, 0.2)
ONE_TABLE: dict[str, Any] = {"decades": 1.8, "p_value": 0.4, "favoured": [], "difference": HOLDS}
SIZES: dict[str, Any] = {**ONE_TABLE, "cutoff_grows": True, "controls_rejected": (6, 6)}
ALL: dict[str, Any] = {
    **SIZES,
    "decades": 2.2,
    "shape_collapses": True,
    "same_class": (8, 8),
    "surrogates_differ": True,
}


def test_one_table_of_events_ends_at_consistent_with() -> None:
    evidence = grade_evidence(MEAN_FIELD, **ONE_TABLE)
    assert evidence.grade == "consistent with"
    assert evidence.statement == "consistent with: mean-field directed percolation"
    assert any("Growth of the cut-off with size was not tested" in reason for reason in evidence.reasons(None))
    # However good the rest is.
    more = {"shape_collapses": True, "same_class": (8, 8), "surrogates_differ": True, "controls_rejected": (6, 6)}
    assert grade_evidence(MEAN_FIELD, **{**ONE_TABLE, "decades": 4.0, **more}).grade == "consistent with"


def test_growth_and_controls_support_and_the_rest_makes_it_strong() -> None:
    assert grade_evidence(MEAN_FIELD, **SIZES).grade == "supported"
    assert grade_evidence(MEAN_FIELD, **ALL).grade == "strong"
    for weaker in ({"decades": 1.9}, {"shape_collapses": None}, {"same_class": (7, 8)}, {"surrogates_differ": None}):
        assert grade_evidence(MEAN_FIELD, **{**ALL, **weaker}).grade == "supported"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"p_value": 0.002}, "is rejected (p = 0.002)"),
        ({"p_value": 0.0, "drift": (0.7, 0.05)}, "exponent changes by 0.70 ± 0.05"),
        ({"p_value": 0.005, "drift": (0.2, 0.3)}, "exponent changes by 0.20 ± 0.30"),
        ({"favoured": ["stretched_exponential"]}, "Favoured over the power law: stretched exponential"),
        ({"difference": BROKEN}, "is broken (gamma − prediction = 0.310 [0.210, 0.410], 0.000 of it"),
        (
            {"cutoff_grows": False, "growth": "z = 0.02 ± 0.03"},
            "does not grow with size (z = 0.02",
        ),
        ({"controls_rejected": (5, 6)}, "5 of 6 controls"),
    ],
)
def test_whatever_speaks_against_ends_in_no_evidence(changed: dict[str, Any], sentence: str) -> None:
    evidence = grade_evidence(MEAN_FIELD, **{**ALL, **changed})
    assert evidence.grade == "none"
    assert evidence.statement.startswith("no evidence")
    assert any(sentence in reason for reason in evidence.reasons(False))


def test_no_class_is_no_evidence() -> None:
    evidence = grade_evidence(NOWHERE, **ALL)
    assert evidence.grade == "none"
    assert evidence.statement == "no evidence of criticality"
    assert any("No class has these exponents" in reason for reason in evidence.reasons(False))


def test_a_walk_is_named_only_where_it_is_likely() -> None:
    posterior = classify([1.34, 1.53, 1.5], np.diag([0.09, 0.09, 0.16]))
    assert posterior.classes[0].name == "brownian_excursion"
    assert posterior.classes[0].probability < 0.5
    assert grade_evidence(posterior, decades=2.0, difference=OPEN).statement == "undecided"


def test_the_relation_has_a_pole_where_tau_s_is_one() -> None:
    bias = WindowBias(np.array([-0.148, -0.22, 0.0]), 1e-4 * np.eye(3))
    posterior = classify([0.963, 0.955, 1.573], 1e-4 * np.eye(3), biases={"interface_1d": (bias,)})
    evidence = grade_evidence(posterior, **{**ONE_TABLE, "difference": BROKEN})
    assert any("has a pole at 1" in reason for reason in evidence.reasons(None))
    assert evidence.grade == "undecided"


def test_without_alternatives_nothing_is_supported() -> None:
    assert grade_evidence(MEAN_FIELD, **{**ALL, "favoured": None}).grade == "consistent with"


def test_an_undecided_control_supports_nothing() -> None:
    evidence = grade_evidence(MEAN_FIELD, **{**ALL, "controls_rejected": (5, 6), "controls_undecided": 1})
    assert evidence.grade == "consistent with"
    assert "5 of 6 controls are rejected by the same code (1 undecided)." in evidence.reasons(None)
    evidence = grade_evidence(MEAN_FIELD, **{**ALL, "controls_rejected": (4, 6), "controls_undecided": 1})
    assert evidence.grade == "none"
    assert "4 of 6 controls are rejected by the same code (1 undecided, 1 pass as well)." in evidence.reasons(False)


def test_small_data_end_undecided() -> None:
    assert grade_evidence(MEAN_FIELD, **{**ALL, "decades": 1.2}).grade == "undecided"
    assert grade_evidence(MEAN_FIELD, **{**ALL, "difference": OPEN}).grade == "undecided"
    vague = classify(CLASSES["mean_field_dp"].values, np.diag([0.3**2] * 3))
    assert grade_evidence(vague, **ALL).grade == "undecided"


def test_a_small_misfit_of_many_events_is_none() -> None:
    evidence = grade_evidence(MEAN_FIELD, **{**ALL, "p_value": 0.0, "drift": (0.2, 0.05)})
    assert evidence.grade == "strong"
    assert any("changes by only 0.20 ± 0.05" in reason for reason in evidence.reasons(True))


def test_a_p_that_one_true_law_in_ten_has_is_left_open() -> None:
    evidence = grade_evidence(MEAN_FIELD, **{**ALL, "p_value": 0.05, "drift": (0.5, 0.3)})
    assert any("in doubt (p = 0.05" in reason for reason in evidence.reasons(None))
    assert evidence.grade == "consistent with"


def test_the_relation_is_judged_against_what_the_class_reads_on_the_window() -> None:
    shift = np.array([0.0, -0.1, -0.09])  # mean-field branching on [8, 200]: gamma − prediction = .11
    biases = {**EXACT, "mean_field_dp": (WindowBias(shift, np.zeros((3, 3))),)}
    posterior = classify(np.array([1.5, 1.9, 1.91]), ERRORS, biases=biases)
    assert posterior.verdict == "mean_field_dp"
    evidence = grade_evidence(posterior, **{**ALL, "difference": Estimate(0.11, 0.07, 0.15)})
    assert any("holds within its tolerance" in reason and "0.110 of it" in reason for reason in evidence.reasons(True))
    plain = grade_evidence(MEAN_FIELD, **{**ALL, "difference": Estimate(0.11, 0.07, 0.15)})
    assert plain.grade == "none"


def test_a_walk_whose_surrogates_agree_is_called_a_walk() -> None:
    assert grade_evidence(BROWNIAN, **{**ALL, "surrogates_differ": None}).statement.endswith("a Gaussian walk")
    assert "walk" not in grade_evidence(BROWNIAN, **{**ALL, "surrogates_differ": True}).statement
    evidence = grade_evidence(BROWNIAN, **{**ALL, "surrogates_differ": False})
    assert evidence.statement == "Brownian excursion, indistinguishable from a Gaussian walk"
    assert "critical" not in evidence.statement
    assert evidence.grade == "supported"
    # Not so for a class that is no Gaussian signal.
    assert "walk" not in grade_evidence(MEAN_FIELD, **{**ALL, "surrogates_differ": False}).statement


def test_every_finding_is_reported_once() -> None:
    evidence = grade_evidence(BROWNIAN, **ALL)
    topics = [finding.topic for finding in evidence.findings]
    assert len(set(topics)) == len(topics) == 10
    counted = sum(len(evidence.reasons(speaks)) for speaks in (True, False, None))
    assert counted == 10
    assert evidence.grade in GRADES
