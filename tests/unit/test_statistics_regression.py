"""Weighted lines against numpy's solver, and their errors against repeated data."""

from __future__ import annotations

import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.statistics import weighted_line


def test_lines_match_the_normal_equations() -> None:
    rng = generator(1, "lines")
    x, y = rng.normal(size=(2, 7, 12))
    weights = rng.uniform(0.5, 3.0, size=(7, 12))
    fit = weighted_line(x, y, weights)
    for row in range(7):
        design = np.stack([np.ones(12), x[row]], axis=1)
        information = design.T @ (weights[row, :, np.newaxis] * design)
        solution = np.linalg.solve(information, design.T @ (weights[row] * y[row]))
        errors = np.sqrt(np.diag(np.linalg.inv(information)))
        np.testing.assert_allclose([fit.intercept[row], fit.slope[row]], solution, rtol=1e-10)
        np.testing.assert_allclose([fit.intercept_error[row], fit.slope_error[row]], errors, rtol=1e-10)
        residual = y[row] - design @ solution
        np.testing.assert_allclose(fit.chi_squared[row], weights[row] @ residual**2, rtol=1e-10)
        assert fit.degrees_of_freedom[row] == 10


def test_slope_error_is_the_spread_of_slopes() -> None:
    rng = generator(2, "spread")
    x = np.linspace(0.0, 3.0, 9)
    sigma = np.linspace(0.1, 0.5, 9)
    y = 1.0 + 2.0 * x + sigma * rng.normal(size=(4000, 9))
    fit = weighted_line(x, y, 1.0 / sigma**2)
    error = float(fit.slope_error[0])
    # Mean within 4 errors of the mean; s.d. of 4000 values is known to 1.1 %.
    assert fit.slope.mean() == pytest.approx(2.0, abs=4 * error / np.sqrt(4000))
    assert fit.slope.std() == pytest.approx(error, rel=4 * 0.0112)
    assert fit.chi_squared.mean() == pytest.approx(7.0, abs=4 * np.sqrt(14 / 4000))


def test_points_of_weight_zero_take_no_part() -> None:
    x = np.array([0.0, 1.0, np.nan, 2.0])
    y = np.array([1.0, 3.0, np.nan, 5.0])
    fit = weighted_line(x, y, [1.0, 1.0, 0.0, 1.0])
    assert float(fit.slope) == pytest.approx(2.0)
    assert float(fit.intercept) == pytest.approx(1.0)
    assert int(fit.degrees_of_freedom) == 1


def test_a_line_without_two_abscissae_is_nan() -> None:
    fit = weighted_line([[1.0, 2.0, 3.0], [0.1, 0.1, 0.1]], [1.0, 2.0, 3.0], [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    assert np.isnan(fit.slope).all()
    assert np.isnan(fit.slope_error).all()


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(FitError, match="weights must be finite"):
        weighted_line([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], weights)


def test_one_point_is_refused() -> None:
    with pytest.raises(FitError, match="at least 2 points"):
        weighted_line([1.0], [1.0], [1.0])
