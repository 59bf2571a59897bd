"""The verdict on a recording of spikes, or of population activity: avalanches, branching ratio, controls, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from quasicrit.avalanches import (
    PHASES,
    Counts,
    Events,
    SpikeTrains,
    bin_spikes,
    duration_bins,
    error_units,
    mean_interval,
    merge_bins,
    neuronal_avalanches,
    neuronal_profiles,
    shift_units,
    shuffle_bins,
    shuffle_intervals,
)
from quasicrit.errors import AvalancheError, FitError, UncorrelatedError
from quasicrit.rng import generator
from quasicrit.scaling.branching import Branching, branching_ratio
from quasicrit.scaling.classes import WindowBias
from quasicrit.scaling.crackling import default_window
from quasicrit.scaling.events import EventVerdict, classify_events, favoured_over_power_law
from quasicrit.scaling.evidence import Evidence, Finding, grade_evidence
from quasicrit.scaling.shape import ShapeCollapse, collapse_shapes
from quasicrit.scaling.window_bias import biases_on

__all__ = [
    "BRANCHING_STEP",
    "NEAR",
    "BinVerdict",
    "BranchingVerdict",
    "ControlVerdict",
    "RecordingVerdict",
    "judge_recording",
]

Recording = SpikeTrains | Counts

BRANCHING_STEP = 0.004
"""Seconds from a spike to those that it causes, in which m is given (Wilting and Priesemann 2018)."""
NEAR = 0.01
"""The branching ratio of a population of finite size is below 1; 1 − m below this counts as critical."""
#: A recording of fewer segments than this is cut into about so many blocks.
_FEWEST_SEGMENTS, _BLOCKS = 20, 50
#: A block shorter than this many memories is not independent of the next.
_MEMORIES = 10.0
#: One-sided probability at which an activity counts as one with a memory.
_CERTAIN = 0.999
_FOLDS = 10
#: An m below this is a memory of less than a third of a step, of which slopes at whole steps say nothing.
_RESOLVED = 0.05
State = Literal["near 1", "below 1", "undecided", "no memory"]


@dataclass(frozen=True)
class BranchingVerdict:
    """The branching ratio in bins of ``step`` seconds, and what it says. ``found``: None where it could not be had.

    ``state``: "near 1" where the interval of m lies above 1 − ``NEAR``, "below 1" where it lies below that, "no memory" where
    the slopes are not above those of noise, else "undecided".
    """

    found: Branching | None
    step: float
    state: State
    sentence: str

    @property
    def resolved(self) -> bool:
        """Whether the slopes determine m: there is a memory, and it is not shorter than a third of a step."""
        return self.found is not None and self.state != "no memory" and self.found.ratio.value > _RESOLVED

    @property
    def finding(self) -> Finding:
        speaks = {"near 1": True, "below 1": False, "no memory": False, "undecided": None}[self.state]
        return Finding("branching", speaks, self.sentence)


@dataclass(frozen=True)
class BinVerdict:
    """Avalanches in bins of one ``width``, seconds, above ``threshold``.

    ``events`` with ``units``, the error unit of each. ``found`` on ``window``; both None where no exponents can be had, and
    ``reason`` says why. ``branching``: in the same bins.
    """

    width: float
    threshold: float
    counts: Counts | None
    events: Events | None
    units: np.ndarray | None
    window: tuple[int, int] | None
    found: EventVerdict | None
    reason: str
    branching: BranchingVerdict

    @property
    def n_events(self) -> int:
        return 0 if self.events is None else int((self.events.censored == 0).sum())

    @property
    def n_censored(self) -> int:
        return 0 if self.events is None else len(self.events) - self.n_events


@dataclass(frozen=True)
class ControlVerdict:
    """A shuffled recording through the same code, on the window of the recording itself; "rejected" is what it should be.
    ``durations`` of its complete avalanches, bins."""

    name: str
    outcome: Literal["rejected", "undecided", "passes"]
    sentence: str
    durations: np.ndarray


@dataclass(frozen=True)
class RecordingVerdict:
    """``main``: at the bin asked for; ``others``: at its multiples. ``evidence`` grades all of it together.

    ``block``: seconds of a block of the errors, None where segments are their units; ``n_units`` of them.
    ``shape``: collapse of the profiles, None where it cannot be had and ``shape_reason`` says why.
    """

    main: BinVerdict
    others: tuple[BinVerdict, ...]
    branching: BranchingVerdict
    controls: tuple[ControlVerdict, ...]
    shape: ShapeCollapse | None
    shape_reason: str
    evidence: Evidence
    block: float | None
    n_units: int
    notes: tuple[str, ...]


def judge_recording(
    recording: Recording,
    *,
    width: float | None = None,
    multiples: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    threshold: Callable[[np.ndarray], float] = lambda _: 0.0,
    window: tuple[int, int] | None = None,
    step: float = BRANCHING_STEP,
    max_lag: int | None = None,
    block: float | None = None,
    fraction: float | None = None,
    n_resamples: int = 400,
    tolerance: float = 0.1,
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]] | None = None,
    seed: int = 0,
) -> RecordingVerdict:
    """Is this population critical? Avalanches (exponents, relation, shape, class), branching ratio, controls, one grade.

    ``width``: of the bins, seconds; None: the mean interval between spikes of the population (of a raster its nearest multiple;
    of an activity without spikes its own step). ``multiples`` of it are tried as well. ``threshold(activity)``: of the activity
    in bins. ``window``: of durations to fit, in bins, the same for every width; None: ``default_window`` of each.
    ``step``: in which m is given, seconds, with slopes up to ``max_lag`` steps. Errors: over segments, or, where there are fewer than 20,
    over blocks of ``block`` seconds (None: a fiftieth of the recording). ``fraction``: of the units that was recorded, if known; below 1
    the avalanches cannot speak against criticality, since those of a part have other exponents; m is the same for a part.
    Controls: each unit shifted in time, and its intervals shuffled; of an activity, its bins shuffled.
    ``biases``: by window what the classes read there; measured here if None.

    A recording that allows no exponents gets a verdict too, with the reason. Raises AvalancheError for impossible arguments, for
    bins that are no multiple of the recording's, and for a recording that is shorter than two bins.
    """
    if fraction is not None and not 0.0 < fraction <= 1.0:
        raise AvalancheError(
            f"fraction = {fraction:g} is impossible; it is the share of the units that was seen, above 0, at most 1"
        )
    if not (math.isfinite(step) and step > 0.0):
        raise AvalancheError(f"step = {step:g} s is impossible; it must be a finite number above 0")
    if block is not None and not (math.isfinite(block) and block > 0.0):
        raise AvalancheError(f"block = {block:g} s is impossible; it must be a finite number above 0")
    if any(not (math.isfinite(multiple) and multiple > 0.0) for multiple in multiples):
        raise AvalancheError("every multiple of the bin must be a finite number above 0")
    base = _on_grid(recording, _default_width(recording) if width is None else width, exact=width is not None)
    cut = block
    if cut is None and _n_segments(recording) < _FEWEST_SEGMENTS:
        cut = _seconds(recording) / _BLOCKS
    widths = [base]
    notes = []
    for multiple in multiples:
        try:
            other = _on_grid(recording, multiple * base, exact=True)
            binned(recording, other)
        except AvalancheError as error:
            notes.append(f"{multiple:g} times the bin was not tried ({error})")
            continue
        if not any(math.isclose(other, known) for known in widths):
            widths.append(other)
    parts = [_cut(binned(recording, one), threshold, window, cut) for one in widths]
    if biases is None:
        biases = biases_on(tuple(sorted({part.window for part in parts if part.window is not None})), seed=seed)
    made = [
        _judge_bin(recording, part, biases, max_lag, cut, n_resamples, tolerance, generator(seed, "spikes", index))
        for index, part in enumerate(parts)
    ]
    main, others = made[0], made[1:]
    branching = _branching(
        recording, _on_grid(recording, step, exact=False), max_lag, cut, generator(seed, "branching")
    )
    controls = _run_controls(recording, main, biases, threshold, step, max_lag, cut, n_resamples, tolerance, seed)
    shape, shape_reason = _shape(main)
    evidence = _grade(main, others, branching, controls, shape, fraction, tolerance)
    memory = None if branching.found is None else branching.found.memory.value * branching.step
    if cut is not None and memory is not None and branching.state != "no memory" and _MEMORIES * memory > cut:
        notes.append(
            f"blocks of {cut:.3g} s are shorter than {_MEMORIES:g} memories ({memory:.3g} s each), so that they depend on each other "
            "and the errors are too small"
        )
    return RecordingVerdict(
        main,
        tuple(sorted(others, key=lambda one: one.width)),
        branching,
        controls,
        shape,
        shape_reason,
        evidence,
        cut,
        len(error_units(binned(recording, base), cut)),
        tuple(notes),
    )


def binned(recording: Recording, width: float) -> Counts:
    """The activity of the population in bins of ``width`` seconds."""
    if isinstance(recording, SpikeTrains):
        return bin_spikes(recording, width)
    return merge_bins(recording, round(width / recording.bin))


def _grid(recording: Recording) -> float | None:
    return recording.step if isinstance(recording, SpikeTrains) else recording.bin


def _default_width(recording: Recording) -> float:
    return mean_interval(recording) if isinstance(recording, SpikeTrains) else recording.bin


def _on_grid(recording: Recording, width: float, *, exact: bool) -> float:
    """``width`` as a multiple of the recording's own step, the nearest unless ``exact``; any, where times are exact."""
    grid = _grid(recording)
    if not (math.isfinite(width) and width > 0.0):
        raise AvalancheError(f"bin = {width:g} s is impossible; it must be a finite number above 0")
    if grid is None:
        return width
    multiple = max(1, round(width / grid))
    if exact and abs(width / grid - multiple) > 1e-3:
        raise AvalancheError(
            f"a bin of {width:g} s is no multiple of the recording's own step, {grid:g} s; give a whole multiple of it"
        )
    return multiple * grid


def _n_segments(recording: Recording) -> int:
    return len(recording.bounds) if isinstance(recording, SpikeTrains) else len(recording.rows)


def _seconds(recording: Recording) -> float:
    if isinstance(recording, SpikeTrains):
        return recording.duration
    return sum(len(row) for row in recording.rows) * recording.bin


@dataclass(frozen=True)
class _Part:
    """Avalanches at one width, before their window is known to allow a fit."""

    counts: Counts
    threshold: float
    events: Events | None
    units: np.ndarray | None
    window: tuple[int, int] | None
    reason: str


def _cut(
    counts: Counts, threshold: Callable[[np.ndarray], float], window: tuple[int, int] | None, block: float | None
) -> _Part:
    level = threshold(counts.values)
    try:
        events = neuronal_avalanches(counts, level)
    except AvalancheError as error:
        return _Part(counts, level, None, None, None, str(error))
    cuts = error_units(counts, block)
    segment = np.array([unit[0] for unit in cuts])
    begin = np.array([unit[1] for unit in cuts])
    # Units are ordered by segment and start, as are the events: each is of the last unit that begins before it does.
    longest = max(len(row) for row in counts.rows)
    units = (
        np.searchsorted(
            segment * longest + begin, events.trajectory.astype(np.int64) * longest + events.start, side="right"
        )
        - 1
    )
    try:
        complete = events.duration[events.censored == 0]
        if not len(complete):
            raise FitError("no avalanche is complete")
        chosen = window or default_window(complete)
    except FitError as error:
        return _Part(counts, level, events, units, None, str(error))
    return _Part(counts, level, events, units, chosen, "")


def _classified(
    part: _Part,
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]],
    n_resamples: int,
    tolerance: float,
    rng: np.random.Generator,
) -> tuple[EventVerdict | None, str]:
    if part.events is None or part.units is None or part.window is None:
        return None, part.reason
    complete = part.events.censored == 0
    try:
        return classify_events(
            part.events.size_raw[complete],
            part.events.duration[complete],
            part.units[complete],
            window=part.window,
            rng=rng,
            biases=biases[part.window],
            n_resamples=n_resamples,
            tolerance=tolerance,
        ), ""
    except FitError as error:
        return None, str(error)


def _judge_bin(
    recording: Recording,
    part: _Part,
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]],
    max_lag: int | None,
    block: float | None,
    n_resamples: int,
    tolerance: float,
    rng: np.random.Generator,
) -> BinVerdict:
    found, reason = _classified(part, biases, n_resamples, tolerance, rng)
    width = part.counts.bin
    branching = _branching(recording, width, max_lag, block, rng)
    return BinVerdict(
        width, part.threshold, part.counts, part.events, part.units, part.window, found, reason, branching
    )


def _branching(
    recording: Recording, step: float, max_lag: int | None, block: float | None, rng: np.random.Generator
) -> BranchingVerdict:
    counts = binned(recording, step)
    rows = [counts.rows[segment][low:high] for segment, low, high in error_units(counts, block)]
    try:
        found = branching_ratio(rows if len(rows) > 1 else rows[0], max_lag=max_lag, rng=rng)
    except UncorrelatedError as error:
        return BranchingVerdict(None, counts.bin, "no memory", f"The activity has no memory: {error}.")
    except FitError as error:
        return BranchingVerdict(None, counts.bin, "undecided", f"The branching ratio cannot be had: {error}.")
    text = f"m = {found.ratio.value:.4f} [{found.ratio.ci_low:.4f}, {found.ratio.ci_high:.4f}] in steps of {1e3 * counts.bin:.3g} ms"
    if found.signal < float(stdtrit(found.n_units - 1, _CERTAIN)):
        return BranchingVerdict(
            found,
            counts.bin,
            "no memory",
            f"The activity has no memory: slopes up to {found.lags[-1]} steps are {found.signal:.1f} standard errors above 0.",
        )
    if found.ratio.value <= _RESOLVED:
        return BranchingVerdict(
            found,
            counts.bin,
            "below 1",
            f"The memory of the activity is shorter than a step of {1e3 * counts.bin:.3g} ms (m below {_RESOLVED:g}).",
        )
    if found.ratio.ci_low > 1.0 - NEAR:
        return BranchingVerdict(
            found,
            counts.bin,
            "near 1",
            f"The branching ratio is within {NEAR:g} of 1 ({text}), whatever share of the units is seen.",
        )
    if found.ratio.ci_high < 1.0 - NEAR:
        return BranchingVerdict(
            found,
            counts.bin,
            "below 1",
            f"The branching ratio is below 1 ({text}): subcritical, whatever share of the units is seen.",
        )
    return BranchingVerdict(
        found, counts.bin, "undecided", f"The branching ratio may be within {NEAR:g} of 1 or below ({text})."
    )


def _controls_of(recording: Recording, seed: int) -> dict[str, Recording]:
    rng = generator(seed, "controls")
    if isinstance(recording, SpikeTrains):
        return {
            "each unit shifted in time": shift_units(recording, rng),
            "intervals of each unit shuffled": shuffle_intervals(recording, rng),
        }
    return {"bins shuffled": shuffle_bins(recording, rng)}


def _run_controls(
    recording: Recording,
    main: BinVerdict,
    biases: Mapping[tuple[int, int], Mapping[str, Sequence[WindowBias]]],
    threshold: Callable[[np.ndarray], float],
    step: float,
    max_lag: int | None,
    block: float | None,
    n_resamples: int,
    tolerance: float,
    seed: int,
) -> tuple[ControlVerdict, ...]:
    """Each control on the window of the recording. It is rejected where it has no exponents there, or its grade is none."""
    if main.window is None:
        return ()
    made = []
    for name, control in _controls_of(recording, seed).items():
        rng = generator(seed, "control", name)
        part = _cut(binned(control, main.width), threshold, main.window, block)
        found, reason = _classified(part, biases, n_resamples, tolerance, rng)
        durations = np.empty(0) if part.events is None else part.events.duration[part.events.censored == 0]
        if found is None:
            made.append(
                ControlVerdict(name, "rejected", f"no exponents on the window of the recording: {reason}", durations)
            )
            continue
        branching = _branching(control, _on_grid(control, step, exact=False), max_lag, block, rng)
        evidence = _evidence(found, tolerance, branching=branching.finding)
        outcome: Literal["rejected", "undecided", "passes"] = "passes"
        if evidence.grade in ("none", "undecided"):
            outcome = "rejected" if evidence.grade == "none" else "undecided"
        against = evidence.reasons(False) or evidence.reasons(None)
        made.append(ControlVerdict(name, outcome, against[0] if outcome != "passes" else evidence.statement, durations))
    return tuple(made)


def _shape(main: BinVerdict) -> tuple[ShapeCollapse | None, str]:
    if main.counts is None or main.events is None or main.units is None or main.window is None:
        return None, main.reason
    bins = duration_bins(*main.window)
    if len(bins) < 2:
        return (
            None,
            f"the window {main.window[0]} to {main.window[1]} holds fewer than 2 half-octaves of 8 bins or more",
        )
    profiles = neuronal_profiles(main.counts, main.threshold, main.events, main.units % _FOLDS, bins)
    n = profiles.n
    filled = np.maximum(n, 1.0)
    try:
        return collapse_shapes(n, profiles.duration / filled, profiles.activity / filled[:, :, np.newaxis], PHASES), ""
    except FitError as error:
        return None, str(error)


def _evidence(found: EventVerdict, tolerance: float, branching: Finding, **tests: object) -> Evidence:
    return grade_evidence(
        found.posterior,
        decades=found.law.populated_decades,
        p_value=found.p_value,
        drift=(found.drift.value, found.drift.error),
        favoured=favoured_over_power_law({name: other.favours for name, other in found.comparisons.items()}),
        difference=found.exponents.difference,
        tolerance=tolerance,
        branching=branching,
        **tests,  # type: ignore[arg-type]
    )


def _grade(
    main: BinVerdict,
    others: Sequence[BinVerdict],
    branching: BranchingVerdict,
    controls: Sequence[ControlVerdict],
    shape: ShapeCollapse | None,
    fraction: float | None,
    tolerance: float,
) -> Evidence:
    if main.found is None:
        finding = branching.finding
        against = finding.speaks is False
        law = Finding("law", None, f"Avalanches allow no exponents: {main.reason}.")
        return Evidence(
            "none" if against else "undecided", "no evidence of criticality" if against else "undecided", (law, finding)
        )
    tried = [
        other.found.posterior.verdict == main.found.posterior.verdict for other in others if other.found is not None
    ]
    outcomes = [control.outcome for control in controls]
    collapses, how = None, ""
    if shape is not None:
        gamma = main.found.exponents.gamma.value
        collapses = abs(shape.growth.value + 1.0 - gamma) <= tolerance and shape.spread <= tolerance
        how = (
            f"growth {shape.growth.value:.2f}, gamma − 1 = {gamma - 1.0:.2f}; spread about one curve {100 * shape.spread:.1f} % of its "
            f"mean, {math.sqrt(shape.misfit):.1f} of their errors"
        )
    return _evidence(
        main.found,
        tolerance,
        branching.finding,
        shape_collapses=collapses,
        shape=how,
        controls_rejected=(outcomes.count("rejected"), len(outcomes)),
        controls_undecided=outcomes.count("undecided"),
        same_class=(sum(tried), len(tried)) if tried else None,
        varied="widths of the bins",
        subsampled=fraction,
    )
