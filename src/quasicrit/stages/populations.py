"""Rule judge_population: a spiking population, simulated or recorded, through the estimators that networks go through (P8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quasicrit.avalanches import Counts, SpikeTrains
from quasicrit.reference.spiking import LeakyNetwork, branching_spikes, leaky_network, poisson_spikes, sampled_units
from quasicrit.rng import generator
from quasicrit.scaling import RecordingVerdict, judge_recording, log_bins
from quasicrit.stages.classes import read_biases
from quasicrit.stages.spike_input import Columns, read_recording
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["judge_population"]

_EXPONENTS = ("tau_s", "tau_d", "gamma", "difference")

_SIMULATED: Mapping[str, Callable[[Mapping[str, Any], np.random.Generator], SpikeTrains]] = {
    "branching": lambda p, rng: branching_spikes(p["sigma"], p["drive"], p["units"], p["steps"], rng),
    "independent": lambda p, rng: poisson_spikes(p["rate"], p["units"], p["seconds"], rng),
    "leaky": lambda p, rng: leaky_network(LeakyNetwork(), p["seconds"], rng),
}


def judge_population(
    params: Mapping[str, Any],
    biases: Sequence[Path | str],
    out: Path | str,
    curves: Path | str,
    resamples: int,
    tolerance: float,
    seed: int,
    details: Mapping[str, Any],
) -> None:
    """Simulate or read one population and write a row for each share of its units that is seen, and its ``curves``.

    ``params``: an entry of ``populations`` in the configuration; ``biases``: tables of ``calibrate_classes`` that hold its window. Whether
    a share below 1 was seen is known to ``judge_recording``: m decides there, since avalanches of a part have other exponents.

    Raises TableError for a recording that cannot be read, AvalancheError for one that is too short.
    """
    window = (int(params["window"][0]), int(params["window"][1]))
    known = {window: read_biases(biases).get(window, {})}
    rows, lines = [], []
    for fraction, recording in _recordings(params, seed):
        found = judge_recording(
            recording,
            width=params["bin"],
            window=window,
            fraction=fraction,
            n_resamples=resamples,
            tolerance=tolerance,
            biases=known,
            seed=seed,
        )
        rows.append(_row(params, fraction, recording, found, window))
        names = {"population": params["name"], "kind": params["kind"], "fraction": fraction}
        lines += [names | point for point in _curves(found)]
    write_table(out, SCHEMAS["populations"], rows, details)
    write_table(curves, SCHEMAS["population_curves"], lines, details)


def _recordings(params: Mapping[str, Any], seed: int) -> Iterator[tuple[float, SpikeTrains | Counts]]:
    """Each share of the units with what is seen of it."""
    name = params["name"]
    if params["kind"] == "recording":
        columns = Columns(params["time_column"], params["unit_column"], params["segment_column"])
        recording, _ = read_recording(
            params["file"],
            params["form"],
            columns,
            time_unit=params["time_unit"],
            start=params["start"],
            stop=params["stop"],
        )
        yield params["fractions"][0], recording
        return
    whole = _SIMULATED[params["kind"]](params, generator(seed, "population", name))
    for fraction in params["fractions"]:
        part = whole
        if fraction < 1.0:
            part = sampled_units(whole, fraction, generator(seed, "population", name, fraction))
        yield fraction, part


def _curves(found: RecordingVerdict) -> Iterator[dict[str, Any]]:
    """Durations of the recording and of its controls, and the slopes from which m comes."""
    events, units = found.main.events, found.main.units
    if events is not None and units is not None:
        whole = events.censored == 0
        yield from _durations("own", events.duration[whole], units[whole])
    for control in found.controls:
        yield from _durations(control.name, control.durations, None)
    if found.branching.found is not None and found.branching.resolved:
        branching = found.branching.found
        for lag, slope in zip(branching.lags, branching.slopes):
            fitted = branching.amplitude * branching.ratio.value**lag
            for curve, value in (("slopes", slope), ("fitted", fitted)):
                point = {"x": lag * found.branching.step, "value": float(value), "error": None}
                yield {"curve": curve, "signal": "own", **point}


def _durations(signal: str, duration: np.ndarray, units: np.ndarray | None) -> Iterator[dict[str, Any]]:
    """Their density in bins of a third of an octave, with its standard error over units."""
    if not len(duration):
        return
    edges = log_bins(1, int(duration.max()), per_octave=3)
    width = np.diff(edges)
    column = np.searchsorted(edges, duration, side="right") - 1
    counts = np.bincount(column, minlength=len(width))
    errors = np.full(len(width), np.nan)
    if units is not None and units.max() > 0:
        table = np.zeros((int(units.max()) + 1, len(width)))
        np.add.at(table, (units, column), 1)
        # The total over units that are independent of each other.
        errors = np.sqrt(len(table) * table.var(axis=0, ddof=1)) / len(duration) / width
    for index in np.flatnonzero(counts):
        low, high = edges[index], edges[index + 1] - 1
        yield {
            "curve": "durations",
            "signal": signal,
            "x": float(np.sqrt(low * high)),
            "value": float(counts[index] / len(duration) / width[index]),
            "error": None if np.isnan(errors[index]) else float(errors[index]),
        }


def _row(
    params: Mapping[str, Any],
    fraction: float,
    recording: SpikeTrains | Counts,
    found: RecordingVerdict,
    window: tuple[int, int],
) -> dict[str, Any]:
    if isinstance(recording, SpikeTrains):
        n_units, duration = recording.n_units, recording.duration
    else:
        n_units, duration = None, sum(len(activity) for activity in recording.rows) * recording.bin
    main, branching = found.main, found.branching
    first = None if main.found is None else main.found.posterior.classes[0]
    row: dict[str, Any] = {
        "population": params["name"],
        "kind": params["kind"],
        "sigma": params.get("sigma"),
        "fraction": fraction,
        "n_units": n_units,
        "duration": duration,
        "bin": main.width,
        "window_low": window[0],
        "window_high": window[1],
        "n_events": main.n_events,
        "naive_m": None if branching.found is None else branching.found.naive,
        "branching": branching.state,
        "verdict": None if main.found is None else main.found.posterior.verdict,
        "probability": None if first is None else first.probability,
        "controls": len(found.controls),
        "controls_rejected": sum(control.outcome == "rejected" for control in found.controls),
        "grade": found.evidence.grade,
        "statement": found.evidence.statement,
        "reason": main.reason,
    }
    estimates = {} if main.found is None else {name: getattr(main.found.exponents, name) for name in _EXPONENTS}
    if branching.resolved and branching.found is not None:
        estimates["m"] = branching.found.ratio
    for name in (*_EXPONENTS, "m"):
        made = estimates.get(name)
        row |= {
            name: None if made is None else made.value,
            f"{name}_low": None if made is None else made.ci_low,
            f"{name}_high": None if made is None else made.ci_high,
        }
    for word, speaks in (("for", True), ("against", False), ("open", None)):
        row[f"reasons_{word}"] = "\n".join(found.evidence.reasons(speaks))
    return row
