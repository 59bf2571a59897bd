"""Reference processes against what is exactly known of them, and against slow simulations of the same definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from quasicrit.avalanches import phase_randomised, shuffle_increments
from quasicrit.reference import (
    IMPOSTORS,
    PROCESSES,
    Signal,
    autoregressive,
    branching_activity,
    fractional_noise,
    random_walk,
    subsampled,
)
from quasicrit.reference.abbm import abbm
from quasicrit.reference.directed_percolation import directed_percolation
from quasicrit.reference.excursions import excursions, sample_excursions
from quasicrit.reference.interfaces import _depin
from quasicrit.reference.mixtures import superposed_exponentials
from quasicrit.reference.seeds import galton_watson
from quasicrit.rng import generator
from quasicrit.scaling import CLASSES

ALL = {**PROCESSES, **IMPOSTORS}


@pytest.mark.parametrize("name", ALL)
def test_every_process_is_what_it_declares(name: str) -> None:
    process = ALL[name]
    made = process.sample(600, generator(1, "reference", name))
    assert len(made.size) == len(made.duration) == len(made.cluster) >= 590
    assert (made.size > 0).all()
    assert (made.duration >= 1).all()
    assert (made.duration == np.round(made.duration)).all()
    assert made.duration.max() <= max(process.longest, 16_384)
    assert len(np.unique(made.cluster)) >= 2 or process.signal is not None
    assert process.window[1] <= process.longest
    assert process.source
    again = process.sample(600, generator(1, "reference", name))
    np.testing.assert_array_equal(made.size, again.size)
    if process.universality is None:
        assert name in IMPOSTORS
        assert process.exponents is None
    else:
        # A process carries the exponents of its class, those of a curve at its parameter.
        universality = CLASSES[process.universality]
        expected = universality.values
        if universality.curve is not None:
            assert process.curve is not None
            expected = universality.curve(process.curve[1])
        assert process.exponents == pytest.approx(expected, abs=1e-3)


def test_sizes_of_branching_follow_borel_law() -> None:
    n, mean = 40_000, 0.9
    made = galton_watson(mean, n, generator(2, "borel"))
    s = np.arange(1, 15)
    borel = np.exp(-mean * s + (s - 1) * np.log(mean * s) - special.gammaln(s + 1))
    seen = np.array([(made.size == k).sum() for k in s])
    rest = n - seen.sum()
    expected = n * np.append(borel, 1 - borel.sum())
    assert stats.chisquare(np.append(seen, rest), expected).pvalue > 1e-3
    # Extinction by generation t: q_t = exp(m (q_{t−1} − 1)).
    alive = np.array([(made.duration >= t).mean() for t in range(2, 12)])
    q = [0.0]
    for _ in range(11):
        q.append(math.exp(mean * (q[-1] - 1)))
    exact = 1 - np.array(q[1:11])
    assert np.abs((alive - exact) / np.sqrt(exact * (1 - exact) / n)).max() < 4


def test_abbm_avalanches_have_the_exact_transition_law() -> None:
    # 2 v' is noncentral chi² with 2 c degrees of freedom and noncentrality 2 v; an avalanche of one step is a step from the
    # level ½ to above it, then one from there to below.
    drive, n = 0.1, 20_000  # weak, so that the avalanches left out as too long are fewer than a thousandth
    made = abbm(drive, n, generator(3, "abbm"))
    law = stats.ncx2(2 * drive, 2 * 0.5)
    v = np.linspace(0.5, 60.0, 20_001)[1:]
    density = law.pdf(2 * v) * 2
    falls = stats.ncx2(2 * drive, 2 * v).cdf(2 * 0.5)
    joint = density * falls
    one = np.trapezoid(joint, v) / law.sf(2 * 0.5)
    assert (made.duration == 1).mean() == pytest.approx(one, abs=4 * math.sqrt(one / n))
    cumulative = np.cumsum(joint) / joint.sum()
    sizes = made.size[made.duration == 1]
    assert stats.kstest(sizes, lambda x: np.interp(x, v, cumulative)).pvalue > 1e-3


def test_percolation_below_and_above_is_what_its_first_steps_say() -> None:
    # A seed with two bonds: dead at once with (1 − p)², in 2 + 1 dimensions with (1 − p)⁴.
    for dimension, bonds in ((1, 2), (2, 4)):
        n, p = 20_000, 0.2
        made = directed_percolation(dimension, n, generator(4, dimension), 50, p)
        dead = (1 - p) ** bonds
        assert (made.duration == 1).mean() == pytest.approx(dead, abs=4 * math.sqrt(dead * (1 - dead) / n))
        assert (made.size >= made.duration).all()
        assert (made.size[made.duration == 1] == 1).all()
        # Two generations: j wet sites in the first that wet none; shared neighbours matter from the third step on.
        chance = stats.binom.pmf(1, bonds, p) * dead
        exactly = ((made.duration == 2) & (made.size == 2)).mean()
        assert exactly == pytest.approx(chance, abs=4 * math.sqrt(chance / n))


@pytest.mark.parametrize(("dimension", "p"), [(1, 0.66), (2, 0.3)])
def test_percolation_is_that_of_sets_of_sites(dimension: int, p: float) -> None:
    """Size and duration against a simulation site by site, long enough to need several words of bits."""
    longest, n = 100, 1000
    made = directed_percolation(dimension, 20 * n, generator(8, dimension), longest, p)
    rng = generator(9, dimension)
    steps = [(0,), (1,)] if dimension == 1 else [(0, 0), (1, 0), (0, 1), (1, 1)]
    found: list[tuple[int, int]] = []
    while len(found) < n:
        wet, total = {(0,) * dimension}, 1
        for duration in range(1, longest):
            wet = {tuple(x + dx for x, dx in zip(site, step)) for site in wet for step in steps if rng.random() < p}
            if not wet:
                found.append((total, duration))
                break
            total += len(wet)
    slow = np.array(found)
    assert stats.ks_2samp(made.size, slow[:, 0]).pvalue > 1e-3
    assert stats.ks_2samp(made.duration, slow[:, 1]).pvalue > 1e-3
    late = made.duration > 60
    assert stats.ks_2samp(made.size[late], slow[slow[:, 1] > 60, 0]).pvalue > 1e-3


def test_percolation_survives_and_grows_with_the_published_exponents() -> None:
    """Σ over seeds of wet sites at t grows as t^theta, survival falls as t^−delta, at the critical probability."""
    for dimension, delta in ((1, 0.159464), (2, 0.4505)):
        longest = 200
        made = directed_percolation(dimension, 20_000, generator(5, dimension), longest)
        alive = np.array([(made.duration >= t).mean() for t in (20, 80)])
        # Seeds alive at the end are left out: their share relative to the others is (t/longest)^−delta less one.
        lost = (np.array([20, 80]) / longest) ** delta
        slope = -np.log((alive[1] / (1 - lost[1])) / (alive[0] / (1 - lost[0]))) / np.log(4)
        assert slope == pytest.approx(delta, abs=0.05)


def _forces(height: np.ndarray, pinning: np.ndarray, dimension: int, side: int, stiffness: float) -> np.ndarray:
    h = height.reshape((side,) * dimension)
    laplacian = sum(np.roll(h, shift, axis) - h for axis in range(dimension) for shift in (1, -1))
    return np.asarray(laplacian).ravel() - stiffness * height + pinning


@pytest.mark.parametrize(("dimension", "side"), [(1, 40), (2, 12)])
def test_interface_is_the_automaton_of_its_definition(dimension: int, side: int) -> None:
    """Heights and forces recomputed from scratch at every step, with the same random numbers."""
    sites, stiffness, n, warm = side**dimension, 0.05, 60, 500
    size, duration = np.empty(n), np.empty(n)
    _depin(dimension, side, stiffness, warm, np.random.default_rng(6), size, duration)
    rng = np.random.default_rng(6)
    pinning = np.array([rng.standard_normal() for _ in range(sites)])
    height = np.zeros(sites)
    found: list[tuple[int, int]] = []
    moved = 0
    while len(found) < n:
        f = _forces(height, pinning, dimension, side, stiffness)
        active = [int(np.argmax(f))]
        limit = f[active[0]]
        s = d = 0
        while active:
            d += 1
            s += len(active)
            for site in active:
                height[site] += 1
                pinning[site] = rng.standard_normal()
            f = _forces(height, pinning, dimension, side, stiffness)
            near = [other for site in active for other in (site, *_neighbours(site, side, dimension))]
            active = [other for other in dict.fromkeys(near) if f[other] > limit + 1e-9]
        moved += s
        if moved > warm:
            found.append((s, d))
    np.testing.assert_array_equal(np.column_stack([size, duration]), found)


def _neighbours(site: int, side: int, dimension: int) -> list[int]:
    if dimension == 1:
        return [(site + 1) % side, (site - 1) % side]
    row, column = divmod(site, side)
    return [
        row * side + (column + 1) % side,
        row * side + (column - 1) % side,
        (row + 1) % side * side + column,
        (row - 1) % side * side + column,
    ]


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7])
def test_fractional_noise_has_its_covariance(hurst: float) -> None:
    x = fractional_noise(hurst, 4000, 64, generator(7, "fractional", hurst))
    k = np.arange(8.0)
    exact = 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))
    measured = np.array([(x[:, : 64 - int(j)] * x[:, int(j) :]).mean(1).mean() for j in k])
    error = np.array([(x[:, : 64 - int(j)] * x[:, int(j) :]).mean(1).std() for j in k]) / math.sqrt(4000)
    assert np.abs((measured - exact) / error).max() < 4
    # The sum over t steps has the variance t^2H, whatever t.
    total = x.sum(1)
    assert total.var() == pytest.approx(64 ** (2 * hurst), rel=4 * math.sqrt(2 / 4000))


def test_excursions_of_signals_by_hand() -> None:
    signal = np.array([[1.0, 2.0, -1.0, 3.0, -1.0, 1.0, 1.0, -2.0, 1.0, 1.0]])
    zero = Signal(lambda trials, rng: signal, "zero", 0.5)
    size, duration, trial = excursions(signal, zero, 1)
    np.testing.assert_allclose(duration, [2, 1, 2])
    np.testing.assert_allclose(size, np.array([3.0, 3.0, 2.0]) + 0.5825971579390107 * 0.5 * duration)
    assert trial.tolist() == [0, 0, 0]
    # Below the median (1) the first run counts as under way; here it is 2 at index 1, and 3.
    median = Signal(zero.make, "median", 0.0, "exponential")
    size, duration, _ = excursions(signal, median, 1)
    np.testing.assert_allclose(size, np.exp([2.0, 3.0]) - math.e)
    np.testing.assert_allclose(duration, [1, 1])


def test_walk_durations_are_those_of_sparre_andersen() -> None:
    """Excursions of a symmetric walk: P(the first lasts at least k steps above 0) = C(2k, k)/4^k."""
    n = 40_000
    walks = random_walk(n, 24, generator(8, "walk"))
    size, duration, trial = excursions(walks, PROCESSES["walk"].signal, 0)  # type: ignore[arg-type]
    assert len(size)
    for k in (1, 3, 8):
        exact = special.binom(2 * k, k) / 4**k
        assert (walks[:, :k] > 0).all(1).mean() == pytest.approx(exact, abs=4 * math.sqrt(exact / n))
    first = np.unique(trial, return_index=True)[1]
    assert len(first) <= n
    assert duration[first].min() == 1


def test_driven_branching_and_its_subsample_have_their_moments() -> None:
    mean, drive = 0.9, 5.0
    a = branching_activity(mean, drive, 200, 400, generator(9, "branching"))
    level = drive / (1 - mean)
    variance = level / (1 - mean**2)  # Var' = m² Var + mean activity, Poisson offspring
    assert a.mean() == pytest.approx(level, abs=4 * math.sqrt(variance * (1 + mean) / (1 - mean) / a.size))
    assert a.var() == pytest.approx(variance, rel=0.1)
    centred = a - a.mean()
    assert (centred[:, 1:] * centred[:, :-1]).mean() / a.var() == pytest.approx(mean, abs=0.02)
    seen = subsampled(a, 0.1, generator(9, "seen"))
    assert seen.mean() == pytest.approx(0.1 * level, rel=0.03)
    assert seen.var() == pytest.approx(0.01 * variance + 0.09 * level, rel=0.1)


def test_superposed_exponentials_have_the_declared_exponent_of_scales() -> None:
    # P(D > d) = E (1 − 1/T)^d over p(T) ~ T^−1.6 on [2, 200].
    made = superposed_exponentials(2.0, 200.0, 1.6, 40_000, generator(10, "superposed"))
    t = np.geomspace(2, 200, 20_001)
    weight = t**-1.6
    weight /= np.trapezoid(weight, t)
    for d in (1, 5, 30, 100):
        exact = np.trapezoid(weight * (1 - 1 / t) ** d, t)
        assert (made.duration > d).mean() == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))


def test_surrogates_keep_what_they_promise() -> None:
    rng = generator(11, "surrogates")
    for layers in (63, 64):
        y = autoregressive(5.0, 6, layers, rng)
        shuffled = shuffle_increments(y, rng)
        np.testing.assert_allclose(shuffled[:, [0, -1]], y[:, [0, -1]], atol=1e-9)
        np.testing.assert_allclose(np.sort(np.diff(shuffled), axis=1), np.sort(np.diff(y), axis=1), atol=1e-9)
        assert np.abs(shuffled - y).max() > 0.1
        random = phase_randomised(y, rng)
        line = np.linspace(0, 1, layers)
        closed = y - y[:, :1] - (y[:, -1:] - y[:, :1]) * line
        np.testing.assert_allclose(
            np.abs(np.fft.rfft(random))[:, 1:], np.abs(np.fft.rfft(closed))[:, 1:], rtol=1e-7, atol=1e-9
        )
        assert np.abs(random - closed).max() > 0.1


def test_surrogates_of_a_walk_are_sampled_through_the_same_detection() -> None:
    walk = PROCESSES["walk"].signal
    assert walk is not None
    made = sample_excursions(walk, 200, 3000, generator(12, "surrogate"), "shuffled_increments")
    assert len(made.size) >= 3000
    with pytest.raises(KeyError):
        sample_excursions(walk, 200, 10, generator(12, "surrogate"), "reversed")
