"""Exponents and their intervals: on samples drawn here by inversion, never with the package's own
samplers."""

from __future__ import annotations

import math

import numpy as np
import powerlaw
import pytest

from quasicrit.errors import FitError
from quasicrit.rng import generator
from quasicrit.statistics import cluster_codes, resampled_sums
from quasicrit.tails import fit_power_law, power_law_exponents, window_sums


def continuous(alpha: float, xmin: float, xmax: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Inverse transform of the density x^−alpha on [xmin, xmax], xmax finite or not; alpha ≠ 1."""
    upper = 0.0 if math.isinf(xmax) else xmax ** (1 - alpha)
    lower = xmin ** (1 - alpha)
    return (lower - rng.random(n) * (lower - upper)) ** (1 / (1 - alpha))


def discrete(alpha: float, xmin: int, xmax: int, n: int, rng: np.random.Generator, offset: float = 0.0) -> np.ndarray:
    """Search in the table of the distribution function of (x + offset)^−alpha."""
    x = np.arange(xmin, xmax + 1)
    running = np.cumsum((x + offset) ** -alpha)
    return x[np.searchsorted(running, rng.random(n) * running[-1])]


def repeated(values: np.ndarray, n: int, chance: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each value again with the given chance; the label of the draw is the cluster."""
    times = rng.geometric(1 - chance, values.size)
    labels = np.repeat(np.arange(values.size), times)
    return np.repeat(values, times)[:n], labels[:n]


CASES = [
    ("continuous", 1.3333, 2.0, 800.0, 0.0),
    ("continuous", 1.2, 1.0, math.inf, 0.0),
    ("continuous", 3.5, 1.0, math.inf, 0.0),
    ("continuous", 0.5, 1.0, 100.0, 0.0),
    ("discrete", 1.5, 8, 500, 0.5),
    ("discrete", 1.2, 1, 100, 0.0),
    ("discrete", 0.5, 1, 100, 0.0),
    ("discrete", 2.5, 1, 1000, 0.0),
]


@pytest.mark.parametrize(("kind", "alpha", "xmin", "xmax", "offset"), CASES)
def test_exponents_are_recovered(kind, alpha, xmin, xmax, offset) -> None:  # type: ignore[no-untyped-def]
    rng = generator(1, kind, str(alpha))
    n = 20_000
    x = discrete(alpha, xmin, xmax, n, rng, offset) if kind == "discrete" else continuous(alpha, xmin, xmax, n, rng)
    fit = fit_power_law(x, xmin=xmin, xmax=xmax, offset=offset)
    assert fit.kind == kind
    # 4.5 standard errors: 7e-6 for each case; the bias is of order 1/n.
    assert abs(fit.exponent - alpha) < 4.5 * fit.standard_error
    assert fit.n == n
    assert fit.n_clusters is None
    assert fit.ci_high - fit.ci_low == pytest.approx(2 * 1.96 * fit.standard_error, rel=1e-3)
    top = min(xmax, x.max())
    assert fit.decades == pytest.approx(math.log10(top / xmin))
    # The KS distance of a true law: 1.95/√n is exceeded in .1 % before, and much less after, fitting.
    assert fit.ks < 1.95 / math.sqrt(n)


def test_steep_laws_are_not_clamped() -> None:
    # Discrete alpha = 3.5, where other software stops at 3. The table to 10^5 leaves out a share below 1e-12.
    x = discrete(3.5, 1, 100_000, 50_000, generator(2, "steep"))
    fit = fit_power_law(x)
    assert math.isinf(fit.xmax)
    assert abs(fit.exponent - 3.5) < 4.5 * fit.standard_error
    assert fit.exponent > 3.3


def test_truncated_fits_normalise_over_the_window_and_not_over_what_was_seen() -> None:
    # On 1 … 10^4 few of the large values are seen; normalising over those seen gave 1.377 for 1.5 elsewhere.
    rng = generator(3, "truncated")
    estimates = [fit_power_law(discrete(1.5, 1, 10_000, 500, rng), xmin=1, xmax=10_000) for _ in range(200)]
    exponents = np.array([fit.exponent for fit in estimates])
    error = exponents.std() / math.sqrt(200)
    # The bias of maximum likelihood is of order 1/n = .002.
    assert abs(exponents.mean() - 1.5) < 4 * error + 0.002
    assert exponents.std() == pytest.approx(np.mean([fit.standard_error for fit in estimates]), rel=4 / math.sqrt(400))


@pytest.mark.parametrize(
    ("kind", "alpha", "xmin", "xmax"),
    [("continuous", 1.5, 1.0, 100.0), ("discrete", 1.5, 4, 64), ("continuous", 2.5, 1.0, math.inf)],
)
def test_intervals_of_independent_events_cover(kind, alpha, xmin, xmax) -> None:  # type: ignore[no-untyped-def]
    rng = generator(4, kind, str(xmax))
    draw = discrete if kind == "discrete" else continuous
    replicates = 300
    covered = 0
    for _ in range(replicates):
        fit = fit_power_law(draw(alpha, xmin, xmax, 500, rng), kind=kind, xmin=xmin, xmax=xmax)
        covered += fit.ci_low <= alpha <= fit.ci_high
    # Binomial s.d. .0126: 4 of them are .05. Coverage of .85, as where (alpha − 1)/√n is used on these
    # windows, would be found with probability .99.
    assert covered / replicates == pytest.approx(0.95, abs=4 * 0.0126)


def test_intervals_over_clusters_cover_where_others_do_not() -> None:
    rng = generator(5, "clusters")
    replicates, alpha = 300, 1.5
    covered = naive_covered = 0
    widths = np.empty((replicates, 2))
    for index in range(replicates):
        x, labels = repeated(continuous(alpha, 1.0, 1000.0, 800, rng), 800, 0.5, rng)
        fit = fit_power_law(x, xmin=1.0, xmax=1000.0, clusters=labels, n_resamples=200, rng=rng)
        naive = fit_power_law(x, xmin=1.0, xmax=1000.0)
        covered += fit.ci_low <= alpha <= fit.ci_high
        naive_covered += naive.ci_low <= alpha <= naive.ci_high
        widths[index] = fit.ci_high - fit.ci_low, naive.ci_high - naive.ci_low
        assert fit.exponent == naive.exponent
    # Binomial s.d. .0126 at .95. The repeats raise the variance by E k²/E k = 3, so the independent interval
    # covers P(|z| < 1.96/√3) = .742.
    assert covered / replicates == pytest.approx(0.95, abs=4 * 0.0126)
    assert naive_covered / replicates == pytest.approx(0.742, abs=4 * 0.0253)
    assert widths[:, 0].mean() / widths[:, 1].mean() == pytest.approx(math.sqrt(3.0), rel=0.05)


def test_one_cluster_for_each_event_gives_the_independent_interval() -> None:
    rng = generator(6, "singles")
    x = discrete(1.5, 1, 500, 3000, rng)
    alone = fit_power_law(x, xmin=1, xmax=500)
    clustered = fit_power_law(x, xmin=1, xmax=500, clusters=np.arange(3000), n_resamples=1000, rng=rng)
    # The s.d. of 1000 resamples is known to 2.2 %.
    assert clustered.standard_error == pytest.approx(alone.standard_error, rel=4 * 0.0224 + 0.02)
    assert clustered.n_clusters == 3000


def test_window_sums_reproduce_the_fit_of_every_resample() -> None:
    rng = generator(7, "sums")
    x = discrete(1.5, 1, 2000, 3000, rng, 0.5)
    codes, n_clusters = cluster_codes(rng.integers(0, 40, 3000))
    sums = window_sums(x, codes, n_clusters, xmin=4, xmax=500, offset=0.5)
    assert sums.shape == (n_clusters, 2)
    n, sumlog = sums.sum(axis=0)
    whole = power_law_exponents(n, sumlog, 4, 500, kind="discrete", offset=0.5)
    assert float(whole) == pytest.approx(fit_power_law(x, xmin=4, xmax=500, offset=0.5).exponent, rel=1e-10)
    drawn = resampled_sums(sums, 5, generator(7, "draw"))
    exponents = power_law_exponents(drawn[:, 0], drawn[:, 1], 4, 500, kind="discrete", offset=0.5)
    # The slow way: gather the events of the clusters drawn, and fit them.
    picks = generator(7, "draw").integers(0, n_clusters, size=(5, n_clusters))
    for row, chosen in enumerate(picks):
        events = np.concatenate([x[codes == cluster] for cluster in chosen])
        slow = fit_power_law(events, xmin=4, xmax=500, offset=0.5)
        assert exponents[row] == pytest.approx(slow.exponent, rel=1e-9)


def test_offset_matters_and_is_recovered() -> None:
    x = discrete(1.5, 1, 500, 30_000, generator(8, "offset"), 0.5)
    right = fit_power_law(x, xmin=1, xmax=500, offset=0.5)
    wrong = fit_power_law(x, xmin=1, xmax=500)
    assert abs(right.exponent - 1.5) < 4.5 * right.standard_error
    assert abs(wrong.exponent - 1.5) > 8 * wrong.standard_error
    zeros = fit_power_law(x - 1, xmax=499, offset=1.5)
    assert zeros.exponent == pytest.approx(right.exponent, rel=1e-10)
    assert zeros.xmin == 0.0


def test_agrees_with_powerlaw_on_continuous_data() -> None:
    x = continuous(2.2, 1.0, math.inf, 5000, generator(9, "oracle"))
    theirs = powerlaw.Fit(x, xmin=1.5, parameter_ranges={"alpha": [1.01, 20]}, estimate_discrete=False, verbose=0)
    ours = fit_power_law(x, xmin=1.5)
    assert ours.exponent == pytest.approx(theirs.power_law.alpha, rel=1e-5)
    assert ours.ks == pytest.approx(theirs.power_law.D, abs=1.0 / ours.n)


def test_huge_values_do_not_overflow() -> None:
    x = continuous(1.5, 1.0, 1e6, 500, generator(10, "huge"))
    plain = fit_power_law(x, xmin=1.0, xmax=1e6)
    huge = fit_power_law(x * 1e300, kind="continuous", xmin=1e300, xmax=1e306)
    assert huge.exponent == pytest.approx(plain.exponent, rel=1e-9)
    assert huge.decades == pytest.approx(plain.decades, rel=1e-9)
    # All floats that large are whole numbers, so auto takes them for discrete.
    assert fit_power_law(x * 1e300).kind == "discrete"
    assert fit_power_law(x * 1e300).exponent == pytest.approx(fit_power_law(x).exponent, rel=1e-9)


COUNTS = np.arange(1, 61)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([], {}, "the column is empty"),
        ([1, 2, 3], {}, "3 of 3 lie in"),
        (COUNTS, {"xmin": 55}, "at least 10 events in its window, and 6 of 60"),
        ([1.0, np.nan] * 10, {}, "10 of 20 values are NaN"),
        ([1.0, np.inf] * 10, {}, "10 of 20 values are infinite"),
        ([0, 1, 2] * 10, {}, "10 of 30 values are not positive"),
        ([-1, 1, 2] * 10, {"offset": 0.5}, "10 of 30 values are not positive"),
        ([7] * 20, {}, "are equal to 7"),
        ([1.5, 2.0] * 10, {"kind": "discrete"}, "not whole numbers"),
        (COUNTS, {"xmin": 9, "xmax": 9}, "xmin = 9 must be below xmax = 9"),
        (COUNTS, {"xmin": 20, "xmax": 9}, "xmin = 20 must be below xmax = 9"),
        (COUNTS, {"xmin": math.nan}, "finite xmin"),
        (COUNTS, {"kind": "integer"}, "must be 'auto', 'discrete' or 'continuous'"),
        (COUNTS, {"clusters": np.zeros(60)}, "at least 2 clusters"),
        (COUNTS, {"clusters": np.zeros(59)}, "60 values and 59 cluster labels"),
        (COUNTS, {"clusters": COUNTS < 5, "xmin": 10}, "come from one"),
        (COUNTS, {"clusters": COUNTS % 7}, "pass rng"),
        (np.ones((4, 5)), {}, "one column"),
        (["a"] * 20, {}, "must be numbers"),
    ],
)
def test_bad_input_is_one_clear_sentence(values, arguments, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FitError, match=message) as caught:
        fit_power_law(values, **arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
