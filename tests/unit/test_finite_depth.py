from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.avalanches import CONTINUITY
from quasicrit.avalanches.surrogates import gaussian_surrogate, shuffle_trajectories
from quasicrit.reference.finite_depth import branching_at_depth, population_at_depth, walk_at_depth
from quasicrit.reference.signals import fractional_noise

#: Counts of this file lie within so many of their standard errors; a file of about 60 such checks fails by chance once in 30 000 runs.
SIGMAS = 5.0


def agrees(hits: int, n: int, probability: float) -> bool:
    """Whether a count of ``n`` trials is binomial with that probability."""
    return abs(hits - n * probability) < SIGMAS * math.sqrt(n * probability * (1 - probability))


# Branching ------------------------------------------------------------------------------------------------


def test_trees_of_one_generation_and_small_trees_are_as_borel_says() -> None:
    """Total progeny of Poisson(1) trees: P(s) = e^−s s^(s−1)/s! (Borel 1942), so e^−1, e^−2, 3/2 e^−3, 8/3 e^−4.

    A tree of s ≤ 4 lasts 4 generations at most, so that no root in generations 0 … 10 of 20 sees the end of the network.
    """
    n = 200_000
    size, duration = branching_at_depth(20, 10, n, np.random.default_rng(1))
    assert size.dtype == duration.dtype == np.float64
    assert size.shape == duration.shape
    for s, probability in enumerate([math.exp(-1), math.exp(-2), 1.5 * math.exp(-3), 8 / 3 * math.exp(-4)], 1):
        assert agrees(int((size == s).sum()), n, probability)
    np.testing.assert_array_equal(duration[size == 1], 1.0)
    np.testing.assert_array_equal(size[duration == 1], 1.0)
    assert (size >= duration).all()


@pytest.mark.parametrize("root", [0, 3])
def test_extinction_is_the_iterated_generating_function(root: int) -> None:
    """q_n = exp(q_{n−1} − 1), q_0 = 0, is the share of trees with no one in generation n: those of duration ≤ n."""
    depth, n = 12, 100_000
    _, duration = branching_at_depth(depth, root, n, np.random.default_rng(2))
    # Roots lie in generations 0 … root in equal shares, and have this many generations before the last one of the network.
    ends = [depth - start for start in range(root + 1)]
    extinct = [0.0]
    for _ in range(depth):
        extinct.append(math.exp(extinct[-1] - 1.0))
    for generation in range(1, depth + 1):
        expected = float(np.mean([extinct[min(generation, end)] for end in ends]))
        assert agrees(int((duration <= generation).sum()), n, expected), generation
    assert agrees(len(duration), n, float(np.mean([extinct[end] for end in ends])))


def test_nothing_alive_in_the_last_generation_is_returned() -> None:
    n = 50_000
    for depth in (1, 2, 5):
        _, duration = branching_at_depth(depth, 0, n, np.random.default_rng(3))
        # A tree that ends before generation depth lives in generations 0 … depth − 1 at most.
        assert duration.max() == depth
    # A root in the last generation is alive there, and so is no tree of one individual.
    size, _ = branching_at_depth(1, 1, n, np.random.default_rng(4))
    assert agrees(len(size), n, 0.5 * math.exp(-1))
    size, duration = branching_at_depth(0, 0, n, np.random.default_rng(5))
    assert len(size) == len(duration) == 0


# Walks ----------------------------------------------------------------------------------------------------


def slow_excursions(walks: np.ndarray, threshold: float, last_start: int) -> list[tuple[int, int, int, float]]:
    """(walk, start, duration, size) of every excursion that begins and ends in sight and starts before ``last_start``."""
    z = (walks - walks.mean(0)) / walks.std(0)
    # .5825971579… = −zeta(1/2)/√(2π), Chernoff 1965, times the step into each layer.
    steps = [float(np.std(z[:, layer] - z[:, layer - 1])) for layer in range(1, z.shape[1])]
    extra = 0.5825971579390107 * np.array([steps[0], *steps])
    found = []
    for walk, row in enumerate(z):
        start = None
        for layer, value in enumerate(row):
            if value > threshold and start is None:
                start = layer
            elif value <= threshold and start is not None:
                if 0 < start < last_start:
                    found.append(
                        (walk, start, layer - start, float(np.sum(row[start:layer] - threshold + extra[start:layer])))
                    )
                start = None
    return found


def test_walks_are_what_a_slow_search_finds_in_the_same_walks() -> None:
    for hurst, threshold, last_start in ((0.5, 0.0, 20), (0.75, 1.0, 13), (0.3, 0.5, 1)):
        size, duration, walk = walk_at_depth(40, last_start, 200, threshold, hurst, np.random.default_rng(6))
        walks = np.cumsum(fractional_noise(hurst, 200, 40, np.random.default_rng(6)), axis=1)
        slow = slow_excursions(walks, threshold, last_start)
        assert walk.tolist() == [event[0] for event in slow]
        assert duration.tolist() == [event[2] for event in slow]
        expected = [event[3] for event in slow]
        np.testing.assert_allclose(size, expected, rtol=0, atol=1e-9)
    assert pytest.approx(0.5825971579390107, abs=1e-15) == CONTINUITY


def test_short_excursions_of_a_walk_are_as_many_as_orthants_say() -> None:
    """At threshold 0 an excursion of one layer from layer index a is W_a ≤ 0 < W_{a+1} ≥ … ≤ 0: an orthant of three Gaussians,

    1/8 + (asin r12 + asin r13 + asin r23)/4π with r(W_s, W_t) = √(s/t), the signs of r12 and r23 turned.
    """
    trajectories, last_start = 40_000, 12
    _, duration, walk = walk_at_depth(24, last_start, trajectories, 0.0, 0.5, np.random.default_rng(7))
    expected = 0.0
    for start in range(1, last_start):
        # Layer index a holds the sum of a + 1 steps.
        r12, r13, r23 = (math.sqrt(s / t) for s, t in ((start, start + 1), (start, start + 2), (start + 1, start + 2)))
        expected += 0.125 + (-math.asin(r12) + math.asin(r13) - math.asin(r23)) / (4 * math.pi)
    counts = np.bincount(walk[duration == 1], minlength=trajectories)
    # Walks are independent, events of one walk are not: the error is that of the mean count over walks.
    assert abs(counts.mean() - expected) < SIGMAS * counts.std() / math.sqrt(trajectories)


def test_long_excursions_of_a_walk_last_as_first_passages_do() -> None:
    """P(d ≥ n) ∝ n^−½ for H = ½: twice as long is 1/√2 as likely.

    Layers are enough for an excursion of 511 from the latest start to end in sight, so that nothing is censored. What comes after a start
    does not depend on when it is. Corrections: (overshoot)²/n with overshoots of about a step, 1/64 at most here, and the
    mean over 10 000 walks, which standardising takes off, of 1/100 standard deviation of a layer.
    """
    rng = np.random.default_rng(8)
    duration = np.concatenate([walk_at_depth(768, 256, 10_000, 0.0, 0.5, rng)[1] for _ in range(2)])
    between = [int(((duration >= n) & (duration < 2 * n)).sum()) for n in (64, 128, 256)]
    for shorter, longer, power in ((0, 1, 0.5), (1, 2, 0.5), (0, 2, 1.0)):
        a, b = between[shorter], between[longer]
        # Counts of rare events, nearly Poisson: relative error √(1/a + 1/b). H = ¾ would be off by √2 in the last of the three.
        assert abs(b / a * 2**power - 1) < SIGMAS * math.sqrt(1 / a + 1 / b) + 1 / 64 + 1 / 100


def test_starts_and_ends_of_walks_respect_the_layers() -> None:
    """An excursion from before ``last_start`` that is over has at most layers − 2 layers: one before and one after it."""
    _, duration, _ = walk_at_depth(10, 10, 20_000, 0.0, 0.5, np.random.default_rng(9))
    assert duration.max() == 8
    # Only index 1 is left as a start: one excursion of a walk at most.
    _, duration, walk = walk_at_depth(10, 2, 20_000, 0.0, 0.5, np.random.default_rng(9))
    assert len(np.unique(walk)) == len(walk)
    assert duration.max() == 8
    # None is before index 1, since a run under way at the first layer has no known beginning.
    assert len(walk_at_depth(10, 1, 1000, 0.0, 0.5, np.random.default_rng(9))[0]) == 0


# Surrogates -----------------------------------------------------------------------------------------------


def correlated(n: int, layers: int) -> np.ndarray:
    """Exponentials (far from Gaussian) mixed over layers, each layer with a mean and scale of its own."""
    rng = np.random.default_rng(10)
    noise = rng.exponential(1.0, (n, layers))
    mixed = np.cumsum(noise, axis=1)
    return mixed * np.linspace(0.5, 2.0, layers) + np.linspace(-3.0, 3.0, layers)


def test_shuffled_trajectories_keep_layers_and_lose_memory() -> None:
    activity = correlated(4000, 6)
    kept = activity.copy()
    made = shuffle_trajectories(activity, np.random.default_rng(11))
    np.testing.assert_array_equal(activity, kept)
    np.testing.assert_array_equal(np.sort(made, axis=0), np.sort(activity, axis=0))
    correlation = np.corrcoef(made.T)[~np.eye(6, dtype=bool)]
    # Independent layers: the correlation of n pairs has standard deviation 1/√n.
    assert np.abs(correlation).max() < SIGMAS / math.sqrt(4000)
    assert np.corrcoef(activity.T)[0, 1] > 0.5


def test_gaussian_surrogate_has_means_covariance_and_nothing_else() -> None:
    n, layers = 20_000, 6
    activity = correlated(n, layers)
    made = gaussian_surrogate(activity, np.random.default_rng(12))
    assert made.shape == activity.shape
    covariance = np.cov(activity.T, bias=True)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(made.mean(0) - activity.mean(0)) < SIGMAS * sd / math.sqrt(n)).all()
    # Var of a covariance of n Gaussian pairs: (c_ij² + c_ii c_jj)/n.
    error = np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / n)
    assert (np.abs(np.cov(made.T, bias=True) - covariance) < SIGMAS * error).all()
    z = (made - made.mean(0)) / made.std(0)
    # Skewness of n Gaussians: √(6/n). That of an exponential is 2.
    assert np.abs((z**3).mean(0)).max() < SIGMAS * math.sqrt(6 / n)
    assert ((activity[:, 0] - activity[:, 0].mean()) ** 3).mean() / sd[0] ** 3 > 1.5


def test_gaussian_surrogate_of_fewer_trajectories_than_layers_stays_in_their_span() -> None:
    """Five trajectories span four directions around their mean; the surrogate of a covariance of that rank lies in them."""
    activity = correlated(5, 9)
    made = gaussian_surrogate(activity, np.random.default_rng(13))
    basis = np.linalg.svd(activity - activity.mean(0), full_matrices=False)[2][:4]
    rest = made - activity.mean(0)
    rest -= rest @ basis.T @ basis
    # Eigenvalues that are 0 come out as about 1e-16 of the largest, their roots as 1e-8 of the spread.
    assert np.abs(rest).max() < 1e-6 * activity.std()


def test_populations_are_critical_branching_seen_as_z_scores() -> None:
    """The same draws in loops: Poisson children, z-scores, excursions; and the mean of a critical population stays."""
    layers, last_start, threshold = 20, 12, 0.5
    size, duration, walk = population_at_depth(layers, last_start, 60, threshold, np.random.default_rng(8))
    rng = np.random.default_rng(8)
    activity = [rng.poisson(10.0 * layers, 60).astype(float)]
    for _ in range(layers - 1):
        activity.append(rng.poisson(activity[-1]).astype(float))
    table = np.array(activity).T
    # Variance of A_l: 10 L (l + 1), here summed over layers of 60 populations.
    assert abs(table[:, -1].mean() - 200.0) < 5 * math.sqrt(200.0 * layers / 60)
    slow = slow_excursions(table, threshold, last_start)
    assert walk.tolist() == [event[0] for event in slow]
    assert duration.tolist() == [event[2] for event in slow]
    np.testing.assert_allclose(size, [event[3] for event in slow], rtol=0, atol=1e-9)
