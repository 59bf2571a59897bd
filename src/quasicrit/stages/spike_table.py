"""``quasicrit spikes``: is the population behind a recording critical? Bins, avalanches, branching ratio, controls, verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from quasicrit.avalanches import CENSORED, SpikeTrains
from quasicrit.errors import AvalancheError, FitError
from quasicrit.scaling import BinVerdict, BranchingVerdict, Estimate, RecordingVerdict, judge_recording
from quasicrit.stages.classify_table import class_entries
from quasicrit.stages.crackling_table import parse_window
from quasicrit.stages.detect_table import check_events_name, parse_threshold, write_events
from quasicrit.stages.spike_input import Columns, Form, read_recording
from quasicrit.stages.user_table import answer, table_name

__all__ = ["parse_multiples", "spike_table"]

_SUFFIXES = (".pdf", ".png", ".svg")
_EXPONENTS = ("tau_s", "tau_d", "gamma", "difference")
_SHAPE = ("growth", "power", "asymmetry")
_SHARED = "a slow drive that all units share looks like a memory as well; look at the rate in time, or give stationary pieces as segments"


def parse_multiples(text: str) -> tuple[float, ...]:
    """``"0.5,1,2,4"`` as numbers; raises AvalancheError unless all are finite and above 0."""
    try:
        made = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        made = (0.0,)
    if any(not 0.0 < multiple < float("inf") for multiple in made):
        raise AvalancheError(f"bins = {text!r} is not understood; give multiples of the bin above 0, such as 0.5,1,2,4")
    return made


def spike_table(
    path: str,
    columns: Columns,
    *,
    form: Form = "spikes",
    time_unit: float = 1.0,
    raster_step: float | None = None,
    start: float | None = None,
    stop: float | None = None,
    width: float | None = None,
    bins: str = "0.5,1,2,4",
    threshold: str = "0",
    window: str | None = None,
    step: float = 0.004,
    max_lag: int | None = None,
    block: float | None = None,
    fraction: float | None = None,
    resamples: int = 400,
    seed: int = 0,
    out: str | None = None,
    plot: str | None = None,
    stream: BinaryIO | None = None,
) -> dict[str, Any]:
    """Read a recording (``read_recording``), judge it (``quasicrit.scaling.judge_recording``), draw it to ``plot``.

    ``width`` (of a bin), ``step``, ``block``: seconds; ``bins``: multiples of the bin to try; ``threshold``: as in ``quasicrit detect``, of the binned
    activity of all segments. ``out``: where the avalanches of the bin go, with their segment and block.

    Raises TableError for a recording that cannot be read, AvalancheError and FitError for arguments that are impossible.
    """
    chosen = None if window is None else parse_window(window)
    multiples = parse_multiples(bins)
    rule = _threshold(threshold)
    if plot is not None and Path(plot).suffix not in _SUFFIXES:
        raise FitError(f"plot = {plot!r} cannot be drawn; its name must end in {', '.join(_SUFFIXES)}")
    if out is not None:
        check_events_name(path, out)
    recording, notes = read_recording(
        path, form, columns, time_unit=time_unit, raster_step=raster_step, start=start, stop=stop, stream=stream
    )
    try:
        found = judge_recording(
            recording,
            width=width,
            multiples=multiples,
            threshold=rule,
            window=chosen,
            step=step,
            max_lag=max_lag,
            block=block,
            fraction=fraction,
            n_resamples=resamples,
            seed=seed,
        )
    except (AvalancheError, FitError) as error:
        raise type(error)(f"{table_name(path)}: {error}") from None
    if out is not None:
        _write(out, found, {"made_by": "quasicrit spikes", "bin": found.main.width, "threshold": threshold})
    if plot is not None:
        _draw(plot, found)
    trains = isinstance(recording, SpikeTrains)
    rate = len(recording) / recording.duration if isinstance(recording, SpikeTrains) else None
    bin_rule = "given" if width is not None else "mean interval between spikes" if trains else "step of the recording"
    reasons = (
        {}
        if trains
        else dict.fromkeys(("n_units", "n_spikes", "rate"), "the recording is of an activity, not of spikes")
    )
    values, why = _exponents(found)
    verdict = found.main.found.posterior.verdict if found.main.found is not None else None
    if verdict is None:
        reasons["verdict"] = found.main.reason
    if found.block is None:
        reasons["block"] = "segments are the units of the errors"
    if fraction is None:
        reasons["fraction"] = "not given"
    memory, unknown = _memory(found.branching)
    every = sorted((found.main, *found.others), key=lambda one: one.width)
    for index, one in enumerate(every):
        reasons |= {f"bins.{index}.{key}": reason for key, reason in _bin_reasons(one).items()}
    return answer(
        {
            "verdict": verdict,
            "statement": found.evidence.statement,
            "branching": {"state": found.branching.state, **memory},
            "evidence": {
                "grade": found.evidence.grade,
                "reasons": {
                    "for": list(found.evidence.reasons(True)),
                    "against": list(found.evidence.reasons(False)),
                    "open": list(found.evidence.reasons(None)),
                },
            },
            **values,
            "bins": [_bin(one) for one in every],
            "controls": [
                {"name": control.name, "outcome": control.outcome, "reason": control.sentence}
                for control in found.controls
            ],
            "form": form,
            "n_units": recording.n_units if isinstance(recording, SpikeTrains) else None,
            "n_segments": len(recording.bounds) if isinstance(recording, SpikeTrains) else len(recording.rows),
            "n_spikes": len(recording) if isinstance(recording, SpikeTrains) else None,
            "rate": rate,
            "fraction": fraction,
            "bin": found.main.width,
            "bin_rule": bin_rule,
            "threshold": found.main.threshold,
            "n_events": found.main.n_events,
            "n_censored": found.main.n_censored,
            "error_unit": "segments" if found.block is None else "blocks",
            "n_error_units": found.n_units,
            "block": found.block,
            "resamples": resamples,
            "seed": seed,
            "notes": [*notes, *found.notes, *_caveats(found, fraction, trains)],
        },
        reasons | why | unknown,
    )


def _threshold(text: str) -> Callable[[np.ndarray], float]:
    rule, level = parse_threshold(text)
    if rule == "value":
        return lambda _: level
    return lambda values: float(np.quantile(values, level))


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}


def _memory(branching: BranchingVerdict) -> tuple[dict[str, Any], dict[str, str]]:
    """m, memory in seconds and amplitude; null, with the reason, where the slopes do not determine them."""
    found = branching.found
    common = {"step": branching.step}
    if found is None or not branching.resolved:
        names = [*(f"{key}.{part}" for key in ("m", "memory") for part in ("value", "ci_low", "ci_high")), "amplitude"]
        blank = dict.fromkeys(("value", "ci_low", "ci_high"))
        naive = None if found is None else found.naive
        why = {f"branching.{key}": branching.sentence.rstrip(".") for key in names}
        if naive is None:
            why["branching.naive"] = branching.sentence.rstrip(".")
        return {"m": dict(blank), "memory": dict(blank), "amplitude": None, "naive": naive, **common}, why
    memory = {key: value * branching.step for key, value in _interval(found.memory).items()}
    return {
        "m": _interval(found.ratio),
        "memory": memory,
        "amplitude": found.amplitude,
        "naive": found.naive,
        **common,
    }, {}


def _exponents(found: RecordingVerdict) -> tuple[dict[str, Any], dict[str, str]]:
    """Classes, exponents, law, relation and shape at the bin, and the reasons of those that are null."""
    main = found.main
    why: dict[str, str] = {}
    blank = dict.fromkeys(("value", "ci_low", "ci_high"))
    values: dict[str, Any] = {}
    if main.found is None:
        values |= {"classes": [], **{name: dict(blank) for name in _EXPONENTS}, "p_value": None, "decades": None}
        values["drift"] = {"value": None, "error": None}
        why |= {f"{name}.{part}": main.reason for name in _EXPONENTS for part in blank}
        why |= dict.fromkeys(("p_value", "decades", "drift.value", "drift.error"), main.reason)
    else:
        fitted = main.found
        values["classes"], nothing = class_entries(fitted.posterior)
        why |= nothing
        values |= {name: _interval(getattr(fitted.exponents, name)) for name in _EXPONENTS}
        values |= {"p_value": fitted.p_value, "decades": fitted.law.populated_decades}
        values["drift"] = {"value": fitted.drift.value, "error": fitted.drift.error}
    values["window"] = None if main.window is None else list(main.window)
    if main.window is None:
        why["window"] = main.reason
    if found.shape is None:
        values["shape"] = {**{name: dict(blank) for name in _SHAPE}, "spread": None, "misfit": None}
        why |= {f"shape.{name}.{part}": found.shape_reason for name in _SHAPE for part in blank}
        why |= dict.fromkeys(("shape.spread", "shape.misfit"), found.shape_reason)
    else:
        values["shape"] = {name: _interval(getattr(found.shape, name)) for name in _SHAPE}
        values["shape"] |= {"spread": found.shape.spread, "misfit": found.shape.misfit}
    return values, why


def _bin(one: BinVerdict) -> dict[str, Any]:
    made: dict[str, Any] = {"bin": one.width, "n_events": one.n_events, "n_censored": one.n_censored}
    made["window"] = None if one.window is None else list(one.window)
    for name in _EXPONENTS[:3]:
        made[name] = None if one.found is None else getattr(one.found.exponents, name).value
    made["verdict"] = None if one.found is None else one.found.posterior.verdict
    found = one.branching.found if one.branching.resolved else None
    made["m"] = None if found is None else found.ratio.value
    made["memory"] = None if found is None else found.memory.value * one.width
    made["reason"] = one.reason or None
    return made


def _bin_reasons(one: BinVerdict) -> dict[str, str]:
    """Why values of ``_bin`` are null, by key."""
    unfitted = (*_EXPONENTS[:3], "verdict") if one.found is None else ()
    unresolved = () if one.branching.resolved else ("m", "memory")
    return {
        **({"window": one.reason} if one.window is None else {}),
        **dict.fromkeys(unfitted, one.reason),
        **dict.fromkeys(unresolved, one.branching.sentence.rstrip(".")),
    }


def _caveats(found: RecordingVerdict, fraction: float | None, trains: bool) -> list[str]:
    notes = []
    if fraction is None and trains:
        notes.append(
            "the share of the units that was recorded is not known (--fraction); if it is below 1, the avalanches are those of a part, whose "
            "exponents are biased, whereas the branching ratio is not"
        )
    elif fraction is not None and fraction < 1.0:
        notes.append(
            f"with {100 * fraction:.3g} % of the units seen, avalanches break up or merge as bins are narrow or wide, and their exponents are "
            "biased; they cannot speak against criticality here, and the branching ratio, which is not biased, decides"
        )
    if found.branching.state == "near 1":
        notes.append(_SHARED)
    branching = found.main.branching
    memory = branching.found.memory.value if branching.found is not None and branching.resolved else np.inf
    if found.main.window is not None and found.main.found is not None and found.main.window[1] > memory:
        notes.append(
            f"the window reaches to {found.main.window[1]} bins and the memory of the population is {memory:.3g}; beyond it a finite or "
            "subcritical population bends the laws (give --window a,b that ends below)"
        )
    return notes


def _write(out: str, found: RecordingVerdict, details: dict[str, Any]) -> None:
    events, units = found.main.events, found.main.units
    if events is None or units is None:
        raise AvalancheError(f"there are no avalanches to write to {out}: {found.main.reason}")
    table = pd.DataFrame(
        {
            "segment": events.trajectory.astype(np.int64),
            "block": units.astype(np.int64),
            "start": events.start.astype(np.int64),
            "duration": events.duration.astype(np.int64),
            "size": events.size_raw,
            "censored": pd.Categorical.from_codes(events.censored, list(CENSORED)),
        }
    )
    write_events(out, table, details)


def _draw(plot: str, found: RecordingVerdict) -> None:
    # Loaded here: matplotlib takes a second, and few ask for a picture.
    from quasicrit.figures.spikes import SpikePicture, draw_spikes

    every = sorted((found.main, *found.others), key=lambda one: one.width)
    sizes, durations = {}, {}
    for one in every:
        if one.events is not None:
            complete = one.events.censored == 0
            sizes[one.width], durations[one.width] = one.events.size_raw[complete], one.events.duration[complete]
    fitted = [one for one in every if one.found is not None]
    exponents = {
        name: np.array(
            [
                [one.width, *dataclasses.astuple(getattr(one.found.exponents, name))]
                for one in fitted
                if one.found is not None
            ]
        ).reshape(-1, 4)
        for name in _EXPONENTS[:3]
    }
    branching = found.branching.found
    draw_spikes(
        plot,
        SpikePicture(
            bin=found.main.width,
            sizes=sizes,
            durations=durations,
            controls={control.name: control.durations for control in found.controls},
            window=found.main.window,
            lags=np.empty(0) if branching is None else np.array(branching.lags) * found.branching.step,
            slopes=np.empty(0) if branching is None else np.array(branching.slopes),
            fitted=np.empty(0)
            if branching is None
            else branching.amplitude * branching.ratio.value ** np.array(branching.lags),
            sentence=found.branching.sentence,
            exponents=exponents,
        ),
    )
