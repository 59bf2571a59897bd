"""Universality classes: their values against the formulas of their sources, and probabilities that mean something."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import CLASSES, WindowBias, classify

ERRORS = np.diag([0.01**2, 0.015**2, 0.012**2])
EXACT = {
    name: (WindowBias(np.zeros(3), np.zeros((3, 3))),) for name in CLASSES
}  # windows so wide that no class is biased on them


def test_values_are_those_of_the_literature() -> None:
    # Reference values: accepted (tau_s, tau_d, gamma), to the digits given there.
    accepted = {
        "mean_field_dp": (1.5, 2.0, 2.0),
        "brownian_excursion": (4 / 3, 1.5, 1.5),
        "dp_1d": (1.1082, 1.1595, 1.4731),
        "dp_2d": (1.268, 1.4505, 1.682),
        "dp_3d": (1.397, 1.732, 1.846),
        "interface_1d": (1.111, 1.175, 1.573),
        "interface_2d": (1.274, 1.483, 1.765),
        "interface_3d": (1.404, 1.774, 1.917),
    }
    for name, values in accepted.items():
        assert CLASSES[name].values == pytest.approx(values, abs=1e-3)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_satisfies_the_crackling_relation(name: str) -> None:
    # Curves and exact classes to rounding; published values of simulations to their spread, times the slope of the ratio.
    universality = CLASSES[name]
    points = [universality.values]
    if universality.curve is not None:
        points += [universality.curve(parameter) for parameter in universality.parameters]
    for tau_s, tau_d, gamma in points:
        assert gamma == pytest.approx((tau_d - 1) / (tau_s - 1), abs=1e-9 + 6 * universality.spread)


def test_curves_leave_out_the_points_that_are_classes_of_their_own() -> None:
    hurst = np.array(CLASSES["gaussian_signal"].parameters)
    assert np.abs(hurst - 0.5).min() > 0.049
    assert min(CLASSES["abbm"].parameters) > 0.0


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_found_again_from_its_noisy_values(name: str) -> None:
    rng = generator(1, "classes", name)
    universality = CLASSES[name]
    right = 0
    replicates = 60
    # Errors of a third of .01: the closest classes (2 + 1 directed percolation and the interface in d = 2) differ by .08.
    errors = ERRORS / 9
    for _ in range(replicates):
        measured = rng.multivariate_normal(universality.values, errors + universality.spread**2 * np.eye(3))
        right += classify(measured, errors, biases=EXACT).verdict == name
    # Every class is at least four errors from the others: a share of .95 is missed with probability below 1e-4 when
    # the true one is .99 or more.
    assert right / replicates >= 0.9


def test_none_of_these_wins_far_from_every_class() -> None:
    posterior = classify([1.4, 1.9, 1.2], ERRORS, biases=EXACT)
    assert posterior.verdict == "none"
    assert posterior.probability("none") > 0.95
    assert classify([0.2, 1.5, 1.5], ERRORS).verdict == "none"
    assert classify([4.0, 4.6, 1.0], ERRORS).probability("none") > 0.99


def test_probabilities_add_up_and_large_errors_leave_them_open() -> None:
    posterior = classify([1.33, 1.5, 1.5], np.diag([0.3**2] * 3))
    assert sum(entry.probability for entry in posterior.classes) == pytest.approx(1.0)
    assert posterior.classes[0].probability < 0.5
    assert [entry.probability for entry in posterior.classes] == sorted(
        (entry.probability for entry in posterior.classes), reverse=True
    )


def test_the_covariance_matters() -> None:
    # The same variances, but errors that move together: off their direction the estimate is excluded.
    sd = np.array([0.03, 0.04, 0.03])
    together = np.outer(sd, sd) * (0.98 + 0.02 * np.eye(3))
    measured = np.array(CLASSES["brownian_excursion"].values) + sd * [1, -1, 1]
    apart = classify(measured, np.diag(sd**2), biases=EXACT)
    joined = classify(measured, together, biases=EXACT)
    index = [entry.name for entry in apart.classes].index("brownian_excursion")
    assert apart.classes[index].distance == pytest.approx(math.sqrt(3), rel=1e-6)
    other = next(entry for entry in joined.classes if entry.name == "brownian_excursion")
    assert other.distance is not None
    assert other.distance > 5


def test_a_bias_on_the_window_moves_the_class_and_calibration_narrows_it() -> None:
    shift = np.array([-0.06, -0.08, 0.05])
    measured = np.array(CLASSES["mean_field_dp"].values) + shift
    biased = {**EXACT, "mean_field_dp": (WindowBias(shift, np.zeros((3, 3))),)}
    assert classify(measured, ERRORS, biases=biased).verdict == "mean_field_dp"
    found = classify(measured, ERRORS, biases=EXACT)
    assert found.probability("mean_field_dp") < 1e-3
    uncalibrated = classify(measured, ERRORS)
    assert uncalibrated.probability("mean_field_dp") > found.probability("mean_field_dp")
    assert not any(entry.calibrated for entry in uncalibrated.classes if entry.name != "none")


def test_a_curve_finds_its_parameter() -> None:
    hurst = 0.7
    posterior = classify([2 / (1 + hurst), 2 - hurst, 1 + hurst], ERRORS, biases=EXACT)
    assert posterior.verdict == "gaussian_signal"
    # The parameter's error is about .009 (three exponents with slopes .69, 1, 1 and errors .01 to .015).
    assert posterior.classes[0].parameter == pytest.approx(hurst, abs=0.02)


@pytest.mark.parametrize(
    ("exponents", "covariance", "message"),
    [
        ([1.3, 1.5], ERRORS, "needs three exponents"),
        ([1.3, np.nan, 1.5], ERRORS, "not a finite number"),
        ([1.3, 1.5, 1.5], np.diag([1e-4, 0.0, 1e-4]), "every exponent needs an error"),
        ([1.3, 1.5, 1.5], np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1]]) * 1e-4, "symmetric and positive"),
    ],
)
def test_bad_input_is_one_clear_sentence(exponents, covariance, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FitError, match=message):
        classify(exponents, covariance)
