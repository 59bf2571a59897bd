"""Spike trains: bins, avalanches and shuffles against slow versions; simulated populations against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.avalanches import (
    Counts,
    SpikeTrains,
    bin_spikes,
    error_units,
    mean_interval,
    mean_profiles,
    merge_bins,
    neuronal_avalanches,
    neuronal_profiles,
    shift_units,
    shuffle_bins,
    shuffle_intervals,
)
from quasicrit.errors import AvalancheError, FitError
from quasicrit.reference import (
    LeakyNetwork,
    branching_activity,
    branching_spikes,
    leaky_network,
    poisson_spikes,
    sampled_units,
    subsampled,
)
from quasicrit.rng import generator
from quasicrit.scaling import Estimate, Finding, branching_ratio, classify, grade_evidence, judge_recording


def _trains(*segments: list[tuple[float, int]], stop: float = 1.0, step: float | None = None) -> SpikeTrains:
    rows = [(time, unit, index) for index, segment in enumerate(segments) for time, unit in segment]
    time, unit, segment = (np.array(column) for column in zip(*rows))
    return SpikeTrains(time, unit, segment, int(unit.max()) + 1, np.tile([0.0, stop], (len(segments), 1)), step)


# bins ------------------------------------------------------------------------------------------------------


def test_bins_and_interval() -> None:
    trains = _trains([(0.05, 0), (0.3, 1), (0.3, 0), (0.95, 0)], [(0.2, 1), (0.6, 0)])
    # A time on an edge belongs to the bin that begins there: .3/.1 is 2.9999… in floating point.
    assert [row.tolist() for row in bin_spikes(trains, 0.1).rows] == [
        [1, 0, 0, 2, 0, 0, 0, 0, 0, 1],
        [0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    ]
    # 1 s holds three whole bins of .3 s; the spike at .95 lies after them.
    assert [row.tolist() for row in bin_spikes(trains, 0.3).rows] == [[1, 2, 0], [1, 0, 1]]
    # (.95 − .05 + .6 − .2)/(3 + 1)
    assert mean_interval(trains) == pytest.approx(1.3 / 4)
    merged = merge_bins(bin_spikes(trains, 0.1), 3)
    assert merged.bin == pytest.approx(0.3)
    assert [row.tolist() for row in merged.rows] == [[1, 2, 0], [1, 0, 1]]


def test_bins_are_refused() -> None:
    trains = _trains([(0.05, 0), (0.35, 1)], step=0.1)
    for width, said in (
        (0.0, "above 0"),
        (math.nan, "finite"),
        (0.6, "2 bins"),
        (0.15, "no multiple"),
        (1e-12, "no multiple"),
    ):
        with pytest.raises(AvalancheError, match=said):
            bin_spikes(trains, width)
    with pytest.raises(AvalancheError, match="wider bins"):
        bin_spikes(_trains([(0.05, 0), (0.35, 1)]), 1e-12)
    with pytest.raises(AvalancheError, match="two spikes at different times"):
        mean_interval(_trains([(0.3, 0)], [(0.5, 0), (0.5, 1)]))
    with pytest.raises(AvalancheError, match="2 bins"):
        merge_bins(Counts((np.ones(3),), 1.0), 2)


# avalanches ------------------------------------------------------------------------------------------------


def _slow(rows: tuple[np.ndarray, ...], threshold: float) -> list[tuple[int, int, int, float, int]]:
    """Avalanches one bin at a time."""
    found = []
    for segment, row in enumerate(rows):
        start, size = -1, 0.0
        for index, value in enumerate([*row, -math.inf]):
            if value > threshold:
                start, size = (index if start < 0 else start), size + value - threshold
            elif start >= 0:
                censored = 1 if start == 0 else 2 if index == len(row) else 0
                found.append((segment, start, index - start, size, censored))
                start, size = -1, 0.0
    return found


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5])
def test_avalanches_against_a_slow_version(threshold: float) -> None:
    rng = generator(1, "avalanches", int(2 * threshold))
    rows = tuple(rng.poisson(0.8, length).astype(np.float64) for length in (200, 3, 1, 57))
    if threshold < 0:
        rows = tuple(row - 1.0 for row in rows)
    found = neuronal_avalanches(Counts(rows, 0.1), threshold)
    made = np.column_stack([found.trajectory, found.start, found.duration, found.size_raw, found.censored])
    expected = np.array(_slow(rows, threshold))
    assert made.shape == expected.shape
    assert np.allclose(made, expected)
    assert set(expected[:, 4]) >= {0, 1}


def test_avalanches_need_empty_and_filled_bins() -> None:
    with pytest.raises(AvalancheError, match="narrower bins or a higher threshold"):
        neuronal_avalanches(Counts((np.ones(5), np.ones(3)), 0.1))
    with pytest.raises(AvalancheError, match="give a lower one"):
        neuronal_avalanches(Counts((np.ones(5),), 0.1), 1.0)


def test_profiles_are_those_of_mean_profiles() -> None:
    rng = generator(2, "profiles")
    activity = branching_activity(0.9, 0.2, 6, 1000, rng)
    counts = Counts(tuple(activity), 1.0)
    events = neuronal_avalanches(counts, 0.5)
    bins = np.array([[8, 11], [12, 40]])
    found = neuronal_profiles(counts, 0.5, events, events.trajectory % 3, bins)
    expected = mean_profiles(activity, np.array([0.5]), events, np.arange(6) % 3, 3, bins)
    for name in ("n", "duration", "activity"):
        assert np.allclose(getattr(found, name), getattr(expected, name))
    assert found.n.sum() > 10


def test_error_units_are_segments_or_equal_blocks() -> None:
    counts = Counts((np.zeros(10), np.zeros(25), np.zeros(2)), 0.1)
    assert error_units(counts, None) == [(0, 0, 10), (1, 0, 25), (2, 0, 2)]
    assert error_units(counts, 1.0) == [(0, 0, 10), (1, 0, 12), (1, 12, 25), (2, 0, 2)]


# shuffles --------------------------------------------------------------------------------------------------


def _trains_of(trains: SpikeTrains) -> dict[tuple[int, int], np.ndarray]:
    pairs = set(zip(trains.segment.tolist(), trains.unit.tolist()))
    return {
        (segment, unit): np.sort(trains.time[(trains.segment == segment) & (trains.unit == unit)])
        for segment, unit in pairs
    }


def test_shuffles_keep_what_they_promise() -> None:
    rng = generator(3, "shuffles")
    trains = branching_spikes(0.9, 0.5, 20, 2000, rng, segments=3)
    length = 8.0
    before = _trains_of(trains)
    shifted, shuffled = _trains_of(shift_units(trains, rng)), _trains_of(shuffle_intervals(trains, rng))
    for key, own in before.items():
        for made in (shifted[key], shuffled[key]):
            assert len(made) == len(own)
            assert made.min() >= 0.0
            assert made.max() <= length
        # A shift around the end keeps all intervals around the circle, in their order …
        circle = np.diff(np.append(own, own[0] + length))
        moved = np.diff(np.append(shifted[key], shifted[key][0] + length))
        turn = int(np.argmin([np.abs(np.roll(moved, k) - circle).max() for k in range(len(circle))]))
        assert np.allclose(np.roll(moved, turn), circle)
        # … and a shuffle of intervals keeps all but the one that the end cuts, in another order.
        kept = np.isclose(np.sort(circle)[:, np.newaxis], np.diff(shuffled[key]), atol=1e-9).any(axis=0)
        assert kept.all()
        assert not np.allclose(np.diff(shuffled[key]), circle[: len(circle) - 1])


def test_shuffles_take_away_what_units_share() -> None:
    rng = generator(4, "shared")
    trains = branching_spikes(0.98, 0.1, 500, 20_000, rng)
    fano = {}
    for name, made in (
        ("data", trains),
        ("shift", shift_units(trains, rng)),
        ("intervals", shuffle_intervals(trains, rng)),
    ):
        counts = bin_spikes(made, 0.02).values
        fano[name] = counts.var() / counts.mean()
    # Independent units that spike rarely are a Poisson process: variance = mean.
    assert fano["data"] > 10
    assert fano["shift"] == pytest.approx(1.0, abs=0.15)
    assert fano["intervals"] == pytest.approx(1.0, abs=0.15)


def test_shuffles_leave_a_raster_its_grid() -> None:
    rng = generator(5, "grid")
    at = rng.integers(0, 400, 300)
    trains = SpikeTrains(
        (at + 0.5) * 0.05, rng.integers(0, 9, 300), np.zeros(300, np.int64), 9, np.array([[0.0, 20.0]]), 0.05
    )
    for made in (shift_units(trains, rng), shuffle_intervals(trains, rng)):
        phase = made.time / 0.05 - 0.5
        assert np.allclose(phase, np.round(phase), atol=1e-6)
        assert bin_spikes(made, 0.05).values.sum() == 300
    counts = Counts((np.arange(50.0), np.arange(100.0, 130.0)), 0.1)
    assert [sorted(row.tolist()) for row in shuffle_bins(counts, rng).rows] == [row.tolist() for row in counts.rows]


# branching ratio, evidence ---------------------------------------------------------------------------------


def test_trials_of_different_length() -> None:
    rng = generator(6, "ragged")
    seen = subsampled(branching_activity(0.9, 10.0, 40, 2000, rng), 0.1, rng)
    equal, listed = (branching_ratio(rows, rng=generator(7, "same")) for rows in (seen, list(seen)))
    assert equal == listed
    ragged = [row[: 2000 - 20 * index] for index, row in enumerate(seen)] + [seen[0][:15]]
    found = branching_ratio(ragged, rng=rng)
    # The last is shorter than twice the largest lag.
    assert found.n_units == 40
    assert found.ratio.ci_low < 0.9 < found.ratio.ci_high
    assert found.signal > 10
    with pytest.raises(FitError, match="at least 100 steps"):
        branching_ratio([np.ones(50), np.ones(40), np.ones(300)], rng=rng)


def test_evidence_of_a_branching_ratio_and_of_a_part() -> None:
    posterior = classify([1.5, 2.0, 2.0], np.diag([1e-3] * 3))
    known = {"decades": 2.0, "p_value": 0.5, "favoured": (), "drift": (0.0, 0.1)}
    holds = Estimate(0.0, -0.05, 0.05)
    for speaks, grade in ((True, "consistent with"), (None, "undecided"), (False, "none")):
        made = grade_evidence(posterior, **known, difference=holds, branching=Finding("branching", speaks, "m."))
        assert made.grade == grade
        assert "m." in made.reasons(speaks)
    none = classify([1.9, 2.3, 1.4], np.diag([1e-4] * 3))
    assert none.verdict == "none"
    assert grade_evidence(none, **known).grade == "none"
    part = grade_evidence(none, **known, subsampled=0.05)
    assert part.grade == "undecided"
    assert any("With 5 % of the units seen this may be bias." in sentence for sentence in part.reasons(None))
    assert grade_evidence(none, **known, subsampled=1.0).grade == "none"
    assert grade_evidence(none, **known, subsampled=0.05, controls_rejected=(0, 1)).grade == "none"


def test_impossible_arguments_of_the_verdict() -> None:
    trains = _trains([(0.05, 0), (0.35, 1), (0.4, 0), (0.9, 1)])
    for arguments, said in (
        ({"fraction": 0.0}, "fraction = 0"),
        ({"fraction": 1.5}, "at most 1"),
        ({"step": -1.0}, "step = -1"),
        ({"block": 0.0}, "block = 0"),
        ({"multiples": (0.0,)}, "multiple"),
        ({"width": 2.0}, "narrower bins"),
    ):
        with pytest.raises(AvalancheError, match=said):
            judge_recording(trains, **arguments)  # type: ignore[arg-type]


def test_a_recording_too_short_for_anything_says_so() -> None:
    found = judge_recording(_trains([(0.05, 0), (0.35, 1), (0.4, 0), (0.9, 1)]), width=0.1, step=0.1)
    assert found.main.found is None
    assert "99th percentile" in found.main.reason
    assert found.branching.state == "undecided"
    assert "at least 100 steps" in found.branching.sentence
    assert found.evidence.grade == "undecided"
    assert found.controls == ()


# simulated populations -------------------------------------------------------------------------------------


def test_branching_spikes_are_what_they_say() -> None:
    rng = generator(8, "population")
    trains = branching_spikes(0.9, 0.5, 3000, 50_000, rng, step=0.01)
    step = np.floor(trains.time / 0.01).astype(np.int64)
    # A unit spikes at most once in a step.
    assert len(np.unique(step * 3000 + trains.unit)) == len(trains)
    counts = bin_spikes(trains, 0.01).values
    # A_{t+1} ~ Poisson(.9 A_t + .5), mean .5/.1 = 5, less .1 % for coincidences (A/2N); memory 9.5 steps.
    error = math.sqrt(counts.var() * 2 * 9.5 / len(counts))
    assert abs(counts.mean() - 5.0) < 4 * error + 0.02
    slope = np.cov(counts[:-1], counts[1:])[0, 1] / counts.var()
    assert slope == pytest.approx(0.9, abs=0.01)
    part = sampled_units(trains, 0.1, rng)
    assert part.n_units == 300
    assert set(np.unique(part.unit)) <= set(range(300))
    assert len(part) == pytest.approx(0.1 * len(trains), rel=0.1)


def test_poisson_units_have_their_rate() -> None:
    trains = poisson_spikes(5.0, 40, 50.0, generator(9, "poisson"), segments=3)
    # 40 · 50 · 3 · 5 = 30000 ± 173
    assert abs(len(trains) - 30_000) < 4 * 173
    assert trains.duration == 150.0
    assert mean_interval(trains) == pytest.approx(1 / 200, rel=0.03)


def test_leaky_neurons_against_the_noiseless_rate() -> None:
    # Unconnected and driven 1.5 times over threshold by many small spikes: a period is refractory + tau ln(mu/(mu − theta)),
    # mu = 30 mV, with 2 % for the noise of the drive (variance mu weight/2 = (1.2 mV)² at .1 mV) and the step.
    network = LeakyNetwork(excitatory=40, inhibitory=10, connection=0.0, weight=0.1, drive=1.5)
    trains = leaky_network(network, 20.0, generator(10, "leaky"))
    rate = len(trains) / 20.0 / 50
    assert rate == pytest.approx(1 / (0.002 + 0.020 * math.log(3.0)), rel=0.03)
    refractory = min(np.diff(own).min() for own in _trains_of(trains).values())
    assert refractory > network.refractory


def test_inhibition_slows_a_network_down() -> None:
    rates = []
    for inhibition in (3.0, 8.0):
        trains = leaky_network(LeakyNetwork(inhibition=inhibition), 2.0, generator(11, "inhibition"))
        rates.append(len(trains) / 2.0 / 300)
    assert rates[0] > 1.3 * rates[1] > 0.0
