"""What a class reads on a window: measured on its processes, and put together by class."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.reference import IMPOSTORS, PROCESSES
from quasicrit.rng import generator
from quasicrit.scaling import WindowBias, class_biases, classify, measure_biases

SMALL = 1e-8 * np.eye(3)


def test_a_walk_is_hardly_biased_and_windows_it_does_not_reach_say_so() -> None:
    rng = generator(1, "bias")
    found = measure_biases(PROCESSES["walk"], [(8, 500), (8, 5000)], 30_000, rng, 100)
    assert isinstance(found[0], WindowBias)
    assert np.abs(found[0].shift / np.sqrt(np.diag(found[0].covariance))).max() < 4
    assert np.abs(found[0].shift).max() < 0.06
    assert isinstance(found[1], FitError)
    assert "up to durations of 1000" in str(found[1])
    # Without the offset short durations are read as steeper, on the reference as on the data.
    (plain,) = measure_biases(PROCESSES["walk"], [(8, 500)], 30_000, generator(1, "bias"), 100, offset=0.0)
    assert isinstance(plain, WindowBias)
    assert plain.shift[1] < found[0].shift[1] - 0.01
    few = measure_biases(PROCESSES["walk"], [(400, 900)], 500, rng, 100)
    assert isinstance(few[0], FitError)
    with pytest.raises(FitError, match="no exact exponents"):
        measure_biases(IMPOSTORS["iid"], [(4, 32)], 1000, rng)


def test_members_of_a_class_are_averaged_and_their_spread_is_an_error() -> None:
    one, other = np.array([0.0, -0.1, -0.08]), np.array([0.01, -0.04, -0.05])
    made = class_biases({"galton_watson": WindowBias(one, SMALL), "abbm_0": WindowBias(other, SMALL)})
    (bias,) = made["mean_field_dp"]
    np.testing.assert_allclose(bias.shift, (one + other) / 2)
    difference, mean = one - other, (one + other) / 2
    expected = SMALL / 2 + np.outer(difference, difference) / 2 + np.outer(mean, mean) / 4
    np.testing.assert_allclose(bias.covariance, expected)
    # ABBM at no drive is the end of its curve as well.
    (knot,) = made["abbm"]
    assert knot.parameter == 0.0


def test_a_curve_is_biased_by_its_parameter() -> None:
    shifts = {"fractional_0.3": 0.1, "walk": 0.0, "fractional_0.7": -0.1}
    biases = class_biases({name: WindowBias(np.array([0, 0, shift]), SMALL) for name, shift in shifts.items()})
    assert [knot.parameter for knot in biases["gaussian_signal"]] == [0.3, 0.5, 0.7]
    hurst = 0.4
    measured = [2 / (1 + hurst), 2 - hurst, 1 + hurst + 0.05]
    found = classify(measured, np.diag([0.004**2] * 3), biases=biases)
    assert found.verdict == "gaussian_signal"
    assert found.classes[0].parameter == pytest.approx(hurst, abs=0.03)
    assert found.classes[0].calibrated
