"""The command ``quasicrit``: theory, record, detect, fit, crackling, collapse, classify, spikes and advise, on one's own data too; plan.

Every subcommand prints a table for people or, with ``--json``, one JSON object for programs, in which a
number that could not be had is null and ``reasons`` says why under its key. Exit codes: 0 answered; 2 bad
input, with one line on standard error; 1 a bug. Nothing heavy is imported until a subcommand runs.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Literal

import typer

from quasicrit.errors import QuasicritError

__all__ = ["app", "main"]

app = typer.Typer(
    name="quasicrit",
    help="Is this deep network critical? Avalanches, exponents and theory, with errors and reasons.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)

#: A layer of the theory takes some 0.1 ms; more of them are a mistake.
_DEEPEST = 100_000
#: Classes less probable are left out of the table for people.
_UNLIKELY = 0.005

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
_Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
_Cluster = Annotated[
    str | None,
    typer.Option(
        help="Column of the independent units that the bootstrap draws (several: a,b). Default: net, if the "
        "table has it with two values or more. 'none': each event by itself.",
        show_default=False,
    ),
]
_Events = Annotated[str, typer.Argument(help="Table of events: Parquet, CSV or text columns; - is standard input.")]


@dataclass(frozen=True)
class _Shown:
    """What a subcommand hands to ``main``, which prints it: there a reader that leaves early is no error."""

    answer: Mapping[str, Any]
    as_json: bool
    digits: int = 5
    #: The answer for people, where rows of key and value do not show it well.
    text: Callable[[Mapping[str, Any]], str] | None = None


def _print_version(asked: bool) -> None:
    if asked:
        from quasicrit import __version__

        print(f"quasicrit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and leave."),
    ] = False,
) -> None:
    pass


@app.command()
def theory(
    sigma_b: Annotated[float, typer.Option(help="Scale of the biases.", show_default=False)],
    activation: Annotated[str, typer.Option(help="Activation; an unknown name lists those there are.")] = "tanh",
    sigma_w: Annotated[float | None, typer.Option(help="Scale of the weights.")] = None,
    depth: Annotated[int | None, typer.Option(min=1, max=_DEEPEST, help="L: adds the numbers of that layer.")] = None,
    width: Annotated[
        int | None, typer.Option(min=2, help="N: adds sigma_c(N) and the variance of a step of ln m.")
    ] = None,
    m0: Annotated[float, typer.Option(help="Mean square of the input.")] = 1.0,
    edge_of_chaos: Annotated[
        bool, typer.Option("--edge-of-chaos", help="Find the sigma_w at which chi_1 = 1.")
    ] = False,
    ridge: Annotated[
        Literal["m", "rms", "abs"] | None,
        typer.Option(help="Find the sigma_w at which this susceptibility peaks (with --depth: that of the layer)."),
    ] = None,
    j0: Annotated[bool, typer.Option("--j0", help="Find the edge of chaos at depth, J0(L); needs --depth.")] = False,
    residual_blocks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="B: adds the numbers of a stream through B residual blocks, of two inputs that start uncorrelated.",
        ),
    ] = None,
    residual_scale: Annotated[
        float | None, typer.Option(help="Factor of every residual branch. Default: 1.", show_default=False)
    ] = None,
    branch_layers: Annotated[
        int | None, typer.Option(min=1, max=10, help="Layers of a residual branch. Default: 1.", show_default=False)
    ] = None,
    residual_norm: Annotated[
        Literal["layer", "batch"] | None, typer.Option(help="The norm in front of every activation of a branch.")
    ] = None,
    as_json: _Json = False,
) -> _Shown:
    """Mean-field theory at (sigma_w, sigma_b), or where one of its lines crosses sigma_b."""
    lines = [edge_of_chaos, ridge is not None, j0]
    if sum(lines) > 1:
        raise typer.BadParameter("give one of --edge-of-chaos, --ridge and --j0")
    if any(lines):
        for name, value, useless in (
            ("--sigma-w", sigma_w, True),
            ("--width", width, True),
            ("--depth", depth, edge_of_chaos),
            ("--residual-blocks", residual_blocks, True),
        ):
            if useless and value is not None:
                raise typer.BadParameter(f"{name} plays no part in where a line runs; leave it out")
        if depth is None and m0 != 1.0:
            raise typer.BadParameter(
                "--m0 plays no part in where a line runs at infinite depth; leave it out, or give --depth"
            )
        if j0 and depth is None:
            raise typer.BadParameter("--j0 is the edge of chaos at a depth; give --depth")
    elif sigma_w is None:
        raise typer.BadParameter("give --sigma-w, or one of --edge-of-chaos, --ridge and --j0")
    branch_options = (
        ("--residual-scale", residual_scale),
        ("--branch-layers", branch_layers),
        ("--residual-norm", residual_norm),
    )
    for name, given in branch_options:
        if residual_blocks is None and given is not None:
            raise typer.BadParameter(f"{name} is about residual branches; give --residual-blocks")
    from quasicrit.stages.theory_report import Branches, line_report, point_report

    if sigma_w is not None:
        branches = None
        if residual_blocks is not None:
            scale = 1.0 if residual_scale is None else residual_scale
            branches = Branches(residual_blocks, scale, branch_layers or 1, residual_norm)
        made = point_report(activation, sigma_w, sigma_b, depth, width, m0, branches)
    else:
        line: Literal["edge_of_chaos", "ridge", "j0"] = "edge_of_chaos" if edge_of_chaos else "j0" if j0 else "ridge"
        made = line_report(line, activation, sigma_b, ridge, depth, m0)
    return _Shown(made, as_json, digits=8)


@app.command()
def advise(
    depth: Annotated[int, typer.Option(min=1, max=2000, help="L: hidden layers.", show_default=False)],
    width: Annotated[int, typer.Option(min=2, help="N: units of a hidden layer.", show_default=False)],
    activation: Annotated[str, typer.Option(help="Activation; an unknown name lists those there are.")] = "tanh",
    init: Annotated[
        Literal["gaussian", "orthogonal"], typer.Option(help="Distribution of the weights.")
    ] = "orthogonal",
    residual_blocks: Annotated[int, typer.Option(min=0, help="Blocks that add their branch to their input.")] = 0,
    branch_layers: Annotated[
        int | None,
        typer.Option(min=1, help="Layers of a branch; needs --residual-blocks. Default: 1.", show_default=False),
    ] = None,
    as_json: _Json = False,
) -> _Shown:
    """How to initialise a network of this depth: from theory alone, with what it predicts and why."""
    if branch_layers is not None and not residual_blocks:
        raise typer.BadParameter("--branch-layers is about residual branches; give --residual-blocks")
    from quasicrit.stages.advice_report import advice_report

    made = advice_report(activation, depth, width, init, residual_blocks, branch_layers or 1)
    return _Shown(made, as_json)


@app.command()
def record(
    model: Annotated[str, typer.Argument(help="MODULE:FACTORY, a function without arguments (or a model) to import.")],
    inputs: Annotated[str, typer.Option(help="Inputs: .npy, Parquet or text, a row each.", show_default=False)],
    out: Annotated[str, typer.Option(help="Where the activity goes (.parquet).", show_default=False)],
    layers: Annotated[
        str | None,
        typer.Option(
            help="Patterns of module names: 'stages.*.relu2,!stem'. Default: all modules without children.",
            show_default=False,
        ),
    ] = None,
    types: Annotated[str | None, typer.Option(help="Classes of modules: Conv2d,ReLU.", show_default=False)] = None,
    reduce: Annotated[
        str, typer.Option(help="What to keep of each input at each layer; also quantile:p.")
    ] = "log_m,mean_abs,active_fraction",
    shape: Annotated[str | None, typer.Option(help="Shape of one input: 3,32,32.", show_default=False)] = None,
    weights: Annotated[str | None, typer.Option(help="Weights to load (.safetensors).", show_default=False)] = None,
    moments: Annotated[
        str | None, typer.Option(help="Where mean and variance of each unit go (.parquet).", show_default=False)
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Where the activations themselves go (.parquet).", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs at a time.")] = 64,
    net: Annotated[int, typer.Option(min=0, help="Number of the network, for the column net.")] = 0,
    device: Annotated[str, typer.Option(help="auto (cuda if there is one), cpu, cuda or cuda:K.")] = "auto",
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Record the activity of a torch model, layer by layer. MODULE is imported, so its code runs."""
    from quasicrit.stages.record_report import record_report

    made = record_report(
        model,
        inputs,
        out,
        layers=layers,
        types=types,
        reduce=[part.strip() for part in reduce.split(",") if part.strip()],
        shape=shape,
        weights=weights,
        moments=moments,
        units=units,
        batch_size=batch_size,
        net=net,
        device=device,
        seed=seed,
    )
    return _Shown(made, as_json)


@app.command()
def detect(
    activity: Annotated[
        str, typer.Argument(help="Table of activity: Parquet, CSV or text columns; - is standard input.")
    ],
    threshold: Annotated[
        str, typer.Option(help="median, a number, or quantile:p, of each trajectory.", show_default=False)
    ],
    out: Annotated[str, typer.Option(help="Where the events go (.parquet).", show_default=False)],
    column: Annotated[str, typer.Option(help="Column of the activity.")] = "log_m",
    time: Annotated[str, typer.Option(help="Column of the time: whole numbers without gaps.")] = "layer",
    trajectory: Annotated[
        str,
        typer.Option(help="Columns that name a trajectory, joined by commas; '' if the table is one trajectory."),
    ] = "point_id,net,input",
    first: Annotated[
        Literal["include", "drop"],
        typer.Option(help="What becomes of an avalanche under way at the first time."),
    ] = "include",
    standard: Annotated[
        bool,
        typer.Option(
            "--standardise",
            help="Take the activity in standard deviations of its time, across trajectories. This can make a network look "
            "critical that is not: compare with surrogates.",
        ),
    ] = False,
    burn_in: Annotated[int | None, typer.Option(help="Use times from this one on.")] = None,
    max_duration: Annotated[
        int | None, typer.Option(min=1, help="Leave out avalanches that start after the last time less this.")
    ] = None,
    step_sd: Annotated[
        float | None, typer.Option(help="Standard deviation of a step, for the size correction.")
    ] = None,
    as_json: _Json = False,
) -> _Shown:
    """Find avalanches: runs of times in which the activity is above a threshold."""
    from quasicrit.stages.detect_table import detect_table

    made = detect_table(
        activity,
        out,
        column=column,
        time=time,
        trajectory=[part.strip() for part in trajectory.split(",") if part.strip()],
        threshold=threshold,
        standard=standard,
        first=first,
        burn_in=burn_in,
        max_duration=max_duration,
        step_sd=step_sd,
        stream=_standard_input(),
    )
    return _Shown(made, as_json)


@app.command()
def fit(
    events: _Events,
    column: Annotated[str, typer.Option(help="Column to fit.", show_default=False)],
    kind: Annotated[
        Literal["auto", "discrete", "continuous"],
        typer.Option(help="auto: discrete if all are whole numbers."),
    ] = "auto",
    xmin: Annotated[float | None, typer.Option(help="Lower end of the window. Default: the smallest.")] = None,
    xmax: Annotated[float | None, typer.Option(help="Upper end of the window. Default: open.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Choose xmin by the smallest KS distance.")] = False,
    search_range: Annotated[
        bool, typer.Option("--search-range", help="Choose the widest window on which a power law passes.")
    ] = False,
    offset: Annotated[float, typer.Option(help="Fit (x + offset)^-exponent; 0.5 for durations.")] = 0.0,
    cluster: _Cluster = None,
    resamples: Annotated[int, typer.Option(min=1, max=100_000, help="Bootstrap resamples.")] = 200,
    plot: Annotated[str | None, typer.Option(help="Draw density, laws and stability here (.pdf, .png, .svg).")] = None,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Fit a power law, test it, and compare it with what else it could be."""
    if search and search_range:
        raise typer.BadParameter("give --search (of xmin) or --search-range (of both ends), not both")
    from quasicrit.stages.fit_table import fit_table

    made = fit_table(
        events,
        column=column,
        kind=kind,
        xmin=xmin,
        xmax=xmax,
        search="xmin" if search else "range" if search_range else "none",
        offset=offset,
        cluster=cluster,
        resamples=resamples,
        seed=seed,
        plot=plot,
        stream=_standard_input(),
    )
    return _Shown(made, as_json)


@app.command()
def crackling(
    events: _Events,
    size: Annotated[str, typer.Option(help="Column of the sizes.", show_default=False)],
    duration: Annotated[str, typer.Option(help="Column of the durations, in whole steps.", show_default=False)],
    cluster: _Cluster = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Durations a,b to fit. Default: 4 (2 if that is no octave) to their 99th percentile.",
            show_default=False,
        ),
    ] = None,
    offset: Annotated[float, typer.Option(help="Durations enter as (d + offset).")] = 0.5,
    resamples: Annotated[int, typer.Option(min=20, max=100_000, help="Bootstrap resamples.")] = 400,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Test the crackling-noise relation gamma = (tau_d - 1)/(tau_s - 1)."""
    from quasicrit.stages.crackling_table import crackling_table

    made = crackling_table(
        events,
        size=size,
        duration=duration,
        cluster=cluster,
        window=window,
        offset=offset,
        resamples=resamples,
        seed=seed,
        stream=_standard_input(),
    )
    return _Shown(made, as_json)


@app.command()
def collapse(
    size: Annotated[str, typer.Option(help="Column of the system sizes.", show_default=False)],
    data: Annotated[
        str | None, typer.Argument(help="Table of curves: Parquet, CSV or text columns; - is standard input.")
    ] = None,
    control: Annotated[str | None, typer.Option(help="Column of the control parameter.", show_default=False)] = None,
    value: Annotated[str | None, typer.Option(help="Column of what was measured.", show_default=False)] = None,
    error: Annotated[str | None, typer.Option(help="Column of its standard errors.", show_default=False)] = None,
    corrections: Annotated[bool, typer.Option("--corrections", help="Fit corrections to scaling too.")] = False,
    events: Annotated[
        str | None, typer.Option(help="Table of events instead: tau and the cut-off exponent.", show_default=False)
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of the events to scale.", show_default=False)] = None,
    cluster: _Cluster = None,
    xmin: Annotated[float | None, typer.Option(help="Smallest event that counts. Default: the smallest.")] = None,
    resamples: Annotated[int, typer.Option(min=20, max=100_000, help="Bootstrap resamples.")] = 200,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Finite-size scaling: collapse curves value(control) of several sizes, or distributions of events."""
    if (data is None) == (events is None):
        raise typer.BadParameter("give either a table of curves (DATA) or a table of events (--events EVENTS)")
    for name, given, wanted in (("control", control, data), ("value", value, data), ("column", column, events)):
        if wanted is not None and given is None:
            raise typer.BadParameter(f"--{name} is missing: name the column of the table")
        if wanted is None and given is not None:
            raise typer.BadParameter(f"--{name} belongs to a table of {'events' if name == 'column' else 'curves'}")
    for name, unused in (
        ("error", data is None and error is not None),
        ("corrections", data is None and corrections),
        ("cluster", events is None and cluster is not None),
        ("xmin", events is None and xmin is not None),
    ):
        if unused:
            raise typer.BadParameter(
                f"--{name} plays no part in a table of {'events' if data is None else 'curves'}; leave it out"
            )
    from quasicrit.stages.collapse_table import collapse_curve_table, collapse_event_table

    if data is not None:
        made = collapse_curve_table(
            data,
            size=size,
            control=str(control),
            value=str(value),
            error=error,
            corrections=corrections,
            stream=_standard_input(),
        )
    else:
        made = collapse_event_table(
            str(events),
            size=size,
            column=str(column),
            cluster=cluster,
            xmin=xmin,
            resamples=resamples,
            seed=seed,
            stream=_standard_input(),
        )
    return _Shown(made, as_json)


_Measured = tuple[float, float]


@app.command("classify")
def classify_command(
    events: Annotated[
        str | None, typer.Argument(help="Table of events: Parquet, CSV or text columns; - is standard input.")
    ] = None,
    size: Annotated[str, typer.Option(help="Column of the sizes.")] = "size",
    duration: Annotated[str, typer.Option(help="Column of the durations, in whole steps.")] = "duration",
    cluster: _Cluster = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Durations a,b to fit. Default: 4 (2 if that is no octave) to their 99th percentile.",
            show_default=False,
        ),
    ] = None,
    offset: Annotated[float, typer.Option(help="Durations enter as (d + offset).")] = 0.5,
    tau_s: Annotated[_Measured | None, typer.Option(help="Exponent and standard error.", show_default=False)] = None,
    tau_d: Annotated[_Measured | None, typer.Option(help="Exponent and standard error.", show_default=False)] = None,
    gamma: Annotated[_Measured | None, typer.Option(help="Exponent and standard error.", show_default=False)] = None,
    resamples: Annotated[int, typer.Option(min=20, max=100_000, help="Bootstrap resamples.")] = 400,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Universality class of a table of events, or of three exponents, with its probability and the evidence."""
    given = (tau_s, tau_d, gamma)
    if (events is None) == (given == (None, None, None)):
        raise typer.BadParameter("give either a table of events or --tau-s, --tau-d and --gamma, each with its error")
    from quasicrit.stages.classify_table import classify_table, classify_values

    if events is None:
        if tau_s is None or tau_d is None or gamma is None:
            raise typer.BadParameter("--tau-s, --tau-d and --gamma are all needed, each with its error")
        for name, unused in (("cluster", cluster), ("window", window)):
            if unused is not None:
                raise typer.BadParameter(f"--{name} belongs to a table of events; leave it out")
        return _Shown(classify_values(tau_s, tau_d, gamma), as_json)
    made = classify_table(
        events,
        size=size,
        duration=duration,
        cluster=cluster,
        window=window,
        offset=offset,
        resamples=resamples,
        seed=seed,
        stream=_standard_input(),
    )
    return _Shown(made, as_json)


@app.command()
def spikes(
    recording: Annotated[
        str,
        typer.Argument(
            help="Spike trains, raster or activity: Parquet, CSV, text columns (- is standard input) or NWB."
        ),
    ],
    form: Annotated[
        Literal["spikes", "raster", "activity"],
        typer.Option(
            help="A row for each spike; numbers of spikes in bins; or the activity of the population in bins."
        ),
    ] = "spikes",
    time_column: Annotated[
        str, typer.Option(help="Column of the times ('': rows are successive bins of --raster-step).")
    ] = "time",
    unit_column: Annotated[str, typer.Option(help="Column of the units.")] = "unit",
    segment_column: Annotated[
        str | None,
        typer.Option(
            help="Column of segments (trials); of an NWB file its table of intervals. Default: one segment.",
            show_default=False,
        ),
    ] = None,
    count_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the counts of a raster with a row for each time and unit. Default: every column is a unit.",
            show_default=False,
        ),
    ] = None,
    activity_column: Annotated[str, typer.Option(help="Column of the activity (--form activity).")] = "activity",
    time_unit: Annotated[float, typer.Option(help="Seconds in a unit of the times: 0.001 for milliseconds.")] = 1.0,
    raster_step: Annotated[
        float | None,
        typer.Option(help="Seconds between bins. Default: the smallest difference of times.", show_default=False),
    ] = None,
    start: Annotated[float | None, typer.Option(help="Seconds at which every segment starts.")] = None,
    stop: Annotated[float | None, typer.Option(help="Seconds at which every segment stops.")] = None,
    width: Annotated[
        float | None,
        typer.Option(
            "--bin",
            help="Seconds of a bin of avalanches. Default: mean interval between spikes of the population; of an activity its step.",
            show_default=False,
        ),
    ] = None,
    bins: Annotated[str, typer.Option(help="Multiples of the bin to try as well.")] = "0.5,1,2,4",
    threshold: Annotated[
        str, typer.Option(help="A number, median, or quantile:p of the activity in bins; avalanches are above it.")
    ] = "0",
    window: Annotated[
        str | None,
        typer.Option(
            help="Durations a,b to fit, in bins. Default: 4 (2 if that is no octave) to their 99th percentile.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[float, typer.Option(help="Seconds of a step of the branching ratio.")] = 0.004,
    max_lag: Annotated[
        int | None,
        typer.Option(
            help="Steps up to which the branching ratio is fitted. Default: a hundredth of a segment or block, 10 to 200.",
            show_default=False,
        ),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            help="Seconds of a block, the unit of the errors. Default: segments if there are 20, else a fiftieth of the recording.",
            show_default=False,
        ),
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(help="Share of the units that was recorded; below 1 avalanches are biased.", show_default=False),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Where the avalanches of the bin go (.parquet).", show_default=False)
    ] = None,
    plot: Annotated[
        str | None, typer.Option(help="Draw avalanches, controls and correlations here (.pdf, .png, .svg).")
    ] = None,
    resamples: Annotated[int, typer.Option(min=20, max=100_000, help="Bootstrap resamples.")] = 400,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> _Shown:
    """Is a population of neurons critical? Avalanches, branching ratio, controls, class and evidence."""
    from quasicrit.stages.spike_input import Columns
    from quasicrit.stages.spike_table import spike_table

    made = spike_table(
        recording,
        Columns(time_column, unit_column, segment_column, count_column, activity_column),
        form=form,
        time_unit=time_unit,
        raster_step=raster_step,
        start=start,
        stop=stop,
        width=width,
        bins=bins,
        threshold=threshold,
        window=window,
        step=step,
        max_lag=max_lag,
        block=block,
        fraction=fraction,
        resamples=resamples,
        seed=seed,
        out=out,
        plot=plot,
        stream=_standard_input(),
    )
    return _Shown(made, as_json)


@app.command()
def plan(
    configuration: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG...", help="Configuration files, merged as Snakemake merges them; all there is."),
    ],
    results: Annotated[
        str | None,
        typer.Option("--from", help="Results folder of a finished run: predicted against used.", show_default=False),
    ] = None,
    target_minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Sizes of blocks for jobs of this length.", show_default=False)
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores at once. Default: those of this machine.", show_default=False)
    ] = None,
    as_json: _Json = False,
) -> _Shown:
    """What a run will cost: jobs, hours of CPU and GPU, memory and disk of every stage, before it is submitted."""
    if target_minutes is not None and not math.isfinite(target_minutes):
        raise typer.BadParameter(f"--target-minutes is {target_minutes}: give a finite number")
    from quasicrit.stages.plan_report import plan_report, plan_text

    made = plan_report(configuration, results, target_minutes, cores or os.cpu_count() or 1)
    return _Shown(made, as_json, text=plan_text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; a bug leaves as the exception that it is."""
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        done = typer.main.get_command(app).main(args=given, prog_name="quasicrit", standalone_mode=False)
        if isinstance(done, _Shown):
            if done.text is not None and not done.as_json:
                print(done.text(done.answer))
            else:
                _show(done.answer, done.as_json, done.digits)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the rest goes nowhere, so that closing the stream is
        # silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:
        return _refuse(_usage(error, given))
    except QuasicritError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return done if isinstance(done, int) else 0


def _usage(error: typer.TyperException, given: Sequence[str]) -> str:
    """What is wrong with the command line: the value too, which the parser's own message leaves out."""
    message = error.format_message().strip().rstrip(".")
    for option in getattr(getattr(error, "param", None), "opts", ()):
        # Of an option given twice the last one counts.
        for token, following in reversed(list(zip(given, [*given[1:], ""]))):
            if token == option or token.startswith(f"{option}="):
                value = following if token == option else token.removeprefix(f"{option}=")
                message = message.replace(f"Invalid value for '{option}'", f"Invalid value {value!r} for '{option}'")
                break
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "quasicrit"
    choices = getattr(getattr(context, "command", None), "commands", None)
    if choices:
        message += f"; choose one of {', '.join(choices)}"
    return f"{message} (see {path} --help)"


def _refuse(message: str) -> int:
    """One line on standard error, whatever the message held."""
    print(f"quasicrit: {' '.join(message.split()).rstrip('.')}", file=sys.stderr)
    return 2


def _standard_input() -> BinaryIO | None:
    """Bytes, since a table from a pipe may be Parquet; None where the process was started without."""
    return None if sys.stdin is None else sys.stdin.buffer


# What people see -------------------------------------------------------------------------------------------


def _show(answer: Mapping[str, Any], as_json: bool, digits: int) -> None:
    if as_json:
        print(json.dumps(answer, allow_nan=False))
        return
    reasons = answer["reasons"]
    rows = list(_rows(answer, reasons, digits))
    found = answer.get("evidence", {}).get("reasons", {})
    evidence = [f"{side.capitalize()}: {sentence}" for side, sentences in found.items() for sentence in sentences]
    notes = [*answer.get("verdict_reasons", ()), *evidence, *(f"Note: {note}." for note in answer.get("notes", ()))]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(box=box.SIMPLE, show_header=False)
        table.add_column(style="bold")
        table.add_column()
        for label, text in rows:
            table.add_row(label, text)
        console = Console()
        console.print(table, markup=False)
        for note in notes:
            console.print(note, markup=False, highlight=False)
        return
    wide = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{wide}}  {text}")
    for note in notes:
        print(note)


def _rows(
    answer: Mapping[str, Any], reasons: Mapping[str, str], digits: int, above: str = ""
) -> Iterator[tuple[str, str]]:
    """Label and text of each row; an object of plain values takes one row."""
    for key, value in answer.items():
        path = f"{above}{key}"
        if not above and key in ("reasons", "notes", "verdict_reasons"):
            continue
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            # Of entries with a name and a probability: the likely ones.
            for index, entry in enumerate(value, 1):
                if "probability" not in entry:
                    yield (
                        f"{path}.{index}",
                        ", ".join(f"{name} {_text(part, None, digits)}" for name, part in entry.items()),
                    )
                elif entry["probability"] >= _UNLIKELY:
                    own = {name: part for name, part in entry.items() if name != "name"}
                    yield from _rows({entry["name"]: own}, {}, digits, f"{path}.")
        elif not isinstance(value, Mapping):
            yield path, _text(value, reasons.get(path), digits)
        elif any(isinstance(part, Mapping) for part in value.values()):
            parts = {name: part for name, part in value.items() if name != "reasons"}
            yield from _rows(parts, reasons, digits, f"{path}.")
        else:
            why = {name: reasons.get(f"{path}.{name}") for name in value}
            if set(value.values()) == {None} and len(set(why.values())) == 1:
                yield path, _text(None, next(iter(why.values())), digits)
            elif set(value) == {"value", "ci_low", "ci_high"}:
                number, low, high = (_text(value[name], why[name], digits) for name in ("value", "ci_low", "ci_high"))
                yield path, f"{number} [{low}, {high}]"
            elif set(value) == {"value", "error", "ci_low", "ci_high"}:
                number, error, low, high = (_text(part, why[name], digits) for name, part in value.items())
                yield path, f"{number} ± {error} [{low}, {high}]"
            else:
                yield (
                    path,
                    ", ".join(f"{name} {_text(part, why[name], digits)}" for name, part in value.items()),
                )


def _text(value: Any, reason: str | None, digits: int) -> str:
    if value is None:
        return "none" if reason is None else f"none ({reason})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(part, None, digits) for part in value) or "none"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
