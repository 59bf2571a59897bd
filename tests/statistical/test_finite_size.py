"""Finite-size collapse where the answer is exact: the two-dimensional Ising model, and laws with a known cut-off."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import Any

import numba
import numpy as np
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.scaling import collapse_curves, collapse_events, finite_size
from quasicrit.tails import Distribution, Support

K_C = 0.5 * math.log(1.0 + math.sqrt(2.0))


@numba.njit(cache=True)
def _wolff(side, coupling, warm, batches, per_batch, rng):  # type: ignore[no-untyped-def]
    """Means of |m| and m² over batches of cluster updates (Wolff 1989) of the Ising model on a torus."""
    n = side * side
    near = np.empty((n, 4), np.int64)
    for site in range(n):
        i, j = site // side, site % side
        near[site, 0] = (i + 1) % side * side + j
        near[site, 1] = (i - 1) % side * side + j
        near[site, 2] = i * side + (j + 1) % side
        near[site, 3] = i * side + (j - 1) % side
    spins = np.ones(n, np.int8)
    stack = np.empty(n, np.int64)
    p = 1.0 - math.exp(-2.0 * coupling)
    total = n
    out = np.zeros((batches, 2))
    for step in range(-warm, batches * per_batch):
        seed = int(rng.random() * n)
        old = spins[seed]
        spins[seed] = -old
        stack[0] = seed
        count = 1
        flipped = 1
        while count:
            count -= 1
            here = stack[count]
            for k in range(4):
                other = near[here, k]
                if spins[other] == old and rng.random() < p:
                    spins[other] = -old
                    stack[count] = other
                    count += 1
                    flipped += 1
        total -= 2 * old * flipped
        if step >= 0:
            m = abs(total) / n
            out[step // per_batch, 0] += m / per_batch
            out[step // per_batch, 1] += m * m / per_batch
    return out


def _ising() -> tuple[np.ndarray, ...]:
    """Columns L, K, |m| and its error, chi = N⟨m²⟩ and its error, within |K − K_c| L ≤ .15, where corrections are small."""
    rows = []
    rng = generator(5, "ising")
    for side in (16, 24, 32, 48, 64):
        for x in np.linspace(-0.15, 0.15, 9):
            made = _wolff(side, K_C + x / side, 400, 30, 2500, rng)
            mean = made.mean(0)
            error = made.std(0, ddof=1) / math.sqrt(len(made))
            rows.append((side, K_C + x / side, mean[0], error[0], side**2 * mean[1], side**2 * error[1]))
    return tuple(np.array(rows).T)


def test_ising_exponents_and_critical_point() -> None:
    """Onsager: K_c = ½ ln(1 + √2), nu = 1, beta/nu = 1/8, gamma/nu = 7/4."""
    size, coupling, m, dm, chi, dchi = _ising()
    for value, error, ratio in ((m, dm, -0.125), (chi, dchi, 1.75)):
        found = collapse_curves(size, coupling, value, error)
        assert abs(found.critical_point.value - K_C) < 3e-4
        for estimate, exact in ((found.critical_point, K_C), (found.nu, 1.0), (found.zeta_over_nu, ratio)):
            sd = (estimate.ci_high - estimate.ci_low) / 3.92
            assert abs(estimate.value - exact) < 3 * sd
            assert sd < 0.05 * abs(exact)
        assert found.quality < 2.0


SIZES = np.repeat([16.0, 24.0, 32.0, 48.0, 64.0], 20)


def _curves(rng: np.random.Generator, relative: float = 0.01) -> tuple[np.ndarray, ...]:
    t = np.tile(np.linspace(0.85, 1.15, 20), 5)
    v = SIZES ** (-0.4 / 1.3) * (2 / (1 + np.exp(-(t - 1.0) * SIZES ** (1 / 1.3) / 1.5)) + 0.3)
    return SIZES, t, v * (1 + relative * rng.standard_normal(100)), relative * v


def test_errors_of_a_curve_collapse_cover() -> None:
    pulls = []
    for replicate in range(40):
        found = collapse_curves(*_curves(generator(6, "curves", replicate)))
        for estimate, exact in ((found.critical_point, 1.0), (found.nu, 1.3), (found.zeta, -0.4)):
            pulls.append((estimate.value - exact) / ((estimate.ci_high - estimate.ci_low) / 3.92))
    # χ² of 40 × 3 pulls, three of a kind strongly dependent: their mean square is 1 ± √(2/40) or less.
    assert np.mean(np.square(pulls)) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 40))
    assert np.abs(np.mean(pulls)) < 4 / math.sqrt(40)


def test_without_errors_the_scatter_gives_them() -> None:
    size, t, v, e = _curves(generator(7, "no errors"))
    with_errors = collapse_curves(size, t, v, e)
    without = collapse_curves(size, t, v)
    assert without.quality == pytest.approx(1.0, abs=0.2)
    wide = without.nu.ci_high - without.nu.ci_low
    assert wide == pytest.approx(with_errors.nu.ci_high - with_errors.nu.ci_low, rel=0.4)
    assert abs(without.nu.value - 1.3) < 2 * wide


def test_corrections_to_scaling_widen_and_mend() -> None:
    rng = generator(8, "corrections")
    t = np.tile(np.linspace(0.85, 1.15, 20), 5)
    x = (t - 1.0) * SIZES
    v = SIZES**-0.125 * ((1.5 - np.tanh(x / 3)) * (1 + 1.5 / SIZES) - 0.6 * x / SIZES)
    e = 0.002 * v
    v = v + e * rng.standard_normal(100)
    plain, mended = collapse_curves(SIZES, t, v, e), collapse_curves(SIZES, t, v, e, corrections=True)
    assert mended.omega is not None
    assert plain.omega is None
    assert mended.quality < plain.quality
    for estimate, exact in ((mended.critical_point, 1.0), (mended.nu, 1.0), (mended.zeta_over_nu, -0.125)):
        sd = (estimate.ci_high - estimate.ci_low) / 3.92
        assert abs(estimate.value - exact) < 3 * sd


def test_no_critical_point_is_not_found() -> None:
    # Curves that do not know the size at all, and values that are noise.
    rng = generator(9, "nothing")
    t = np.tile(np.linspace(0.0, 1.0, 20), 5)
    for v in (np.exp(-t) + 0.01 * rng.standard_normal(100), 1 + 0.01 * rng.standard_normal(100)):
        with contextlib.suppress(FitError):  # the likelihood may have no maximum, and says so
            found = collapse_curves(SIZES, t, v, np.full(100, 0.01))
            # 1/nu = 0: curves of all sizes are one.
            assert found.inverse_nu.ci_low < 0.3


@pytest.mark.parametrize(
    ("tau", "cut", "kind"), [(1.5, 1.2, "continuous"), (1.33, 1.5, "continuous"), (1.5, 1.2, "discrete")]
)
def test_event_collapse_finds_tau_and_cut_off(tau: float, cut: float, kind: str) -> None:
    sizes, values = [], []
    rng = generator(10, "events", tau, kind)
    for size in (16, 32, 64, 128):
        law = Distribution("truncated_power_law", Support(kind, 1), {"alpha": tau, "rate": 0.3 / size**cut})  # type: ignore[arg-type]
        values.append(law.sample(20_000, rng))
        sizes.append(np.full(20_000, size))
    found = collapse_events(np.concatenate(sizes), np.concatenate(values), rng=rng)
    for estimate, exact in ((found.tau, tau), (found.cutoff_exponent, cut), (found.cutoff_moments, cut)):
        assert abs(estimate.value - exact) < 3 * (estimate.ci_high - estimate.ci_low) / 3.92
        assert estimate.ci_high - estimate.ci_low < 0.6
    assert found.quality < 2
    assert found.stable


def test_a_law_without_cut_off_growth_has_none() -> None:
    rng = generator(11, "fixed")
    law = Distribution("truncated_power_law", Support("continuous", 1), {"alpha": 1.5, "rate": 0.02})
    size = np.repeat([16, 32, 64, 128], 5000)
    found = collapse_events(size, law.sample(20_000, rng), rng=rng)
    assert abs(found.cutoff_exponent.value) < 3 * (found.cutoff_exponent.ci_high - found.cutoff_exponent.ci_low) / 3.92
    assert found.cutoff_exponent.ci_high < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [1.0, 2.0] * 50}, "at least 3 sizes"),
        ({"value": np.full(100, np.nan)}, "every value"),
        ({"error": np.zeros(100)}, "above 0"),
        ({"control": np.zeros(100)}, "vary"),
        ({"control": np.zeros(99)}, "differ in length"),
    ],
)
def test_bad_curves_are_refused(change: dict[str, Any], message: str) -> None:
    size, t, v, e = _curves(generator(12, "bad"))
    given = {"size": size, "control": t, "value": v, "error": e} | change
    with pytest.raises(FitError, match=message):
        collapse_curves(**given)


def test_no_critical_point_without_the_smallest_size_is_unstable_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = finite_size._fit_curves, []

    def flat_when_fewer(*arguments: Any) -> Any:
        made = real(*arguments)
        calls.append(len(arguments[0]))
        if len(arguments[0]) == 80:  # without the smallest of five sizes
            made = dataclasses.replace(made, parameters=made.parameters * np.array([1.0, -1.0, 1.0]))
        return made

    monkeypatch.setattr(finite_size, "_fit_curves", flat_when_fewer)
    found = collapse_curves(*_curves(generator(14, "unstable")))
    assert calls == [100, 80]
    assert found.stable is False
    assert found.without_smallest is None


def test_bad_events_are_refused() -> None:
    rng = generator(13, "bad events")
    x = 1 + rng.pareto(1.0, 400)
    for size, value, message in (
        (np.repeat([1, 2], 200), x, "at least 3 sizes"),
        (np.repeat([1, 2, 3, 4], 100), -x, "above 0"),
        (np.ones(3), x, "differ in length"),
    ):
        with pytest.raises(FitError, match=message):
            collapse_events(size, value, rng=rng)
    for xmin in (0.0, -1.0, np.inf):
        with pytest.raises(FitError, match="above 0"):
            collapse_events(np.repeat([1, 2, 3, 4], 100), x, xmin=xmin, rng=rng)
    with pytest.raises(FitError, match="two clusters"):
        collapse_events(np.repeat([1, 2, 3, 4], 100), x, np.repeat([1, 2, 3, 4], 100), rng=rng)
