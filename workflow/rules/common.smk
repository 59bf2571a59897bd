# Helpers only: the typed configuration, its blocks, and what jobs depend on.

import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from quasicrit.config import (
    architecture_params,
    blocks,
    learning_blocks,
    load_config,
    points,
    training_blocks,
    training_points,
)
from quasicrit.errors import QuasicritError
from quasicrit.fingerprint import fingerprint as fingerprint_now
from quasicrit.reference import IMPOSTORS, PROCESSES
from quasicrit.stages.cpu import note_main_process
from quasicrit.stages.fetch import SOURCES, fetched_files
from quasicrit.stages.figure_tables import FIGURE_TABLES
from quasicrit.stages.plan import (
    on_gpu,
    plan_jobs,
    request_memory,
    request_minutes,
    save_configuration,
)
from quasicrit.stages.run_device import run_device
from quasicrit.stages.run_owner import begin

try:
    RUN = load_config(config)
    DEVICE = run_device(RUN.device, workflow.is_main_process)
except QuasicritError as error:
    # One sentence, no traceback: the configuration is the user's.
    print(error, file=sys.stderr)
    sys.exit(2)


def begin_run():
    """Once the folder is locked: whose it is, whether it can be written, and the configuration (for quasicrit plan --from)."""
    try:
        begin(Path.cwd(), Path(RESULTS))
        save_configuration(RUN)
    except QuasicritError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


RESULTS = RUN.results
FIGURES = list(FIGURE_TABLES)
FORMATS = ["pdf", "png", "svg", "csv"]

SIMULATED = {(b.source, b.protocol, b.width, b.depth, b.index): b for b in blocks(RUN)}
LEARNED = {
    (b.source, b.protocol, b.width, b.depth, b.index): b for b in training_blocks(RUN)
}
BLOCKS = SIMULATED | LEARNED
# Reference processes that calibrate the classes, by job; and those that are confused with each other, impostors included.
CALIBRATED = RUN.classes.parts(PROCESSES)
CONFUSED = RUN.classes.parts([*PROCESSES, *IMPOSTORS])
BIASES = [f"{RESULTS}/classes/bias/part={k}.parquet" for k in range(len(CALIBRATED))]
CONFUSIONS = [
    f"{RESULTS}/classes/confusion/part={k}.parquet" for k in range(len(CONFUSED))
]
POINTS = [
    *points(RUN),
    *(p for source in ("initial", "trained") for p in training_points(RUN, source)),
]
KINDS = sorted({(p.source, p.protocol) for p in POINTS})
PLANE = learning_blocks(RUN)
ARCHITECTURES = architecture_params(RUN)
POPULATIONS = {p.name: p.model_dump(mode="json") for p in RUN.populations}
PLANE_PATH = (
    "{task}/width={width}/depth={depth}/optimiser={optimiser}/block={block}.parquet"
)
PATH = "{source}/{protocol}/width={width}/depth={depth}/block={block}.parquet"
# Whole points: every block that holds one of the chosen grids.
DEFINED_GRIDS = {grid.name for grid in RUN.grids if grid.map_definitions}
DEFINED = [b for b in SIMULATED.values() if b.parts[0][0].grid in DEFINED_GRIDS]
UNIT_GRIDS = {grid.name for grid in RUN.grids if grid.record_units}


def path_of(stage, block):
    name = PATH.format(
        source=block.source,
        protocol=block.protocol,
        width=block.width,
        depth=block.depth,
        block=block.index,
    )
    return f"{RESULTS}/{stage}/{name}"


UNIT_FILES = [
    path_of("activations", b)
    for b in SIMULATED.values()
    if b.parts[0][0].grid in UNIT_GRIDS
]


def fingerprint(stage):
    """What a rule's numbers depend on in its code; read for the rules that run alone, since every job reads the rules."""
    return lambda wildcards: fingerprint_now(stage)


def block_params(wildcards):
    """What the numbers of one block depend on."""
    key = (
        wildcards.source,
        wildcards.protocol,
        int(wildcards.width),
        int(wildcards.depth),
        int(wildcards.block),
    )
    return BLOCKS[key].params()


def learned_params(source, wildcards):
    return LEARNED[source, "S", int(wildcards.width), int(wildcards.depth), 0].params()


def task_params():
    return {"task": RUN.training.task, **data_params(RUN.training.task)}


def data_params(task):
    """Where the files of a task lie, and what they must be; nothing for a task that needs none."""
    filed = task in SOURCES
    return {
        "folder": os.path.join(RUN.data.folder, task) if filed else None,
        "sha256": RUN.data.sha256 if filed else {},
    }


def data_files(*tasks):
    """The files that jobs of these tasks wait for, if they are fetched."""
    return [
        os.path.join(RUN.data.folder, task, name)
        for task in tasks
        if RUN.data.fetch and task in SOURCES
        for name in fetched_files(task)
    ]


def plane_params(wildcards):
    """What the numbers of one block of the learning plane depend on."""
    w = wildcards
    return PLANE[w.task, int(w.width), int(w.depth), w.optimiser, int(w.block)]


def follow_params():
    f = RUN.learning.follow
    return {
        "task": RUN.learning.tasks[0],
        "width": RUN.learning.width[0],
        "batch_size": RUN.learning.batch_size,
        **f.model_dump(),
    }


def advisor_params(wildcards):
    runs = {run.depth: run for run in RUN.advisor.runs}
    return {
        "task": wildcards.task,
        **RUN.advisor.model_dump(exclude={"tasks", "runs"}),
        **runs[int(wildcards.depth)].model_dump(),
    }


def part_of(entry, *keys, member=()):
    """An entry's values that a rule depends on; of every member its label and ``member``."""
    members = [{k: m[k] for k in ("label", *member)} for m in entry["members"]]
    return {**{k: entry[k] for k in keys}, "members": members}


#: What the networks themselves are made from.
BUILT = ("family", "task", "shape", "image", "nets", "trained")


def trained_params(network):
    """What an entry's networks depend on."""
    keys = (*BUILT, "init", "sigma_w", "sigma_b", "training")
    return part_of(ARCHITECTURES[network], *keys, member=["options"])


def recorded_params(network):
    """What the recordings of an entry's networks depend on."""
    entry = ARCHITECTURES[network]
    made = part_of(entry, *BUILT, "nulls", "stage", member=["options"])
    return {**made, "inputs": {k: v for k, v in entry["inputs"].items() if k != "A"}}


def detected_params(network, definition):
    """What one definition's avalanches in an entry's networks depend on."""
    entry = ARCHITECTURES[network]
    if definition == "A":
        made = part_of(entry, *BUILT, "nulls", "lineage_roots", member=["options"])
        return {**made, "inputs": {"A": entry["inputs"]["A"]}}
    made = part_of(entry, "nulls", "threshold", "other_thresholds", member=["windows"])
    return {
        **made,
        "members": [
            {**m, "windows": {definition: m["windows"][definition]}}
            for m in made["members"]
        ],
    }


def fitted_params(network):
    """What the fits of an entry's avalanches depend on."""
    keys = (
        "name",
        "family",
        "nets",
        "trained",
        "definitions",
        "threshold",
        "lineage_roots",
    )
    return part_of(ARCHITECTURES[network], *keys, member=["size", "windows"])


def cascade_source(wildcards):
    """What a definition reads: the networks, their unit streams or the activity of their layers."""
    folder = f"{RESULTS}/recorded/{wildcards.network}"
    if wildcards.definition == "A":
        return {
            "states": f"{RESULTS}/architectures/{wildcards.network}/states.safetensors",
            "learning": f"{RESULTS}/architectures/{wildcards.network}/architecture_learning.parquet",
            "files": data_files(ARCHITECTURES[wildcards.network]["task"]),
        }
    if wildcards.definition == "B":
        return {"units": f"{folder}/unit_stream.parquet"}
    return {"activity": f"{folder}/layer_activity.parquet"}


def training_params(wildcards):
    t = RUN.training
    return {
        **task_params(),
        **learned_params("trained", wildcards),
        "steps": t.steps,
        "learning_rate": t.learning_rate,
        "optimiser": t.optimiser,
        "momentum": t.momentum,
        "batch_size": t.batch_size,
    }


def kind_files(stage):
    """The files of one stage that hold the points of (source, protocol)."""

    def files(wildcards):
        kind = (wildcards.source, wildcards.protocol)
        return [
            path_of(stage, b) for b in BLOCKS.values() if (b.source, b.protocol) == kind
        ]

    return files


def kind_params(wildcards):
    kind = (wildcards.source, wildcards.protocol)
    return {
        "points": [p.params() for p in POINTS if (p.source, p.protocol) == kind],
        "other_windows": RUN.protocols.other_windows.get(wildcards.protocol, ()),
        "min_layers_per_width": RUN.protocols.min_layers_per_width,
        "resamples": RUN.resamples,
        "tolerance": RUN.criteria.tolerance,
    }


def every(stage, name):
    """One file per (source, protocol)."""
    return [
        f"{RESULTS}/{stage}/{source}/{protocol}/{name}.parquet"
        for source, protocol in KINDS
    ]


def other_windows():
    """Windows besides a point's own, by protocol; "width" is the point's, and is its own window's end already."""
    return {
        protocol: [w for w in windows if "width" not in w]
        for protocol, windows in RUN.protocols.other_windows.items()
    }


def class_windows():
    """Every window on which something is classified: points, definitions, reference processes, impostors."""
    own = {p.window for p in POINTS if p.exponents}
    other = {tuple(w) for windows in other_windows().values() for w in windows}
    declared = {p.window for p in [*PROCESSES.values(), *IMPOSTORS.values()]}
    cascades = {
        tuple(window)
        for entry in ARCHITECTURES.values()
        for member in entry["members"]
        for window in member["windows"].values()
    }
    neuronal = {p.window for p in RUN.populations}
    return sorted(own | other | declared | cascades | neuronal)


def recording_files(population):
    """The file that a population is read from, if it is."""
    entry = POPULATIONS[population]
    return [entry["file"]] if "file" in entry else []


def raster_block():
    """The block whose trajectories figure 1 shows: the first of protocol T at sigma_c(N) without bias."""
    wanted = ("gaussian", "T", "critical")
    found = [
        b
        for b in SIMULATED.values()
        if (b.source, b.protocol, b.parts[0][0].sigma_w_rule) == wanted
    ]
    return (found or list(SIMULATED.values()))[0]


def device_of(stage, source=""):
    """Where a rule's jobs compute, all of a stage on one device."""
    return DEVICE if on_gpu(stage, source) else "cpu"


def gpu(stage):
    """Resources: one GPU for a job that computes there, nothing in a run on the CPU."""
    if DEVICE == "cpu":
        return {}
    return {
        "gpu": lambda wildcards: int(
            device_of(stage, wildcards.get("source", "")) == "cuda"
        )
    }


# Of this file, not of a workflow that imports it as a module.
CAPTIONS = os.path.join(str(workflow.current_basedir), "../report")
DOCS = os.path.join(str(workflow.current_basedir), "../../docs")


def caption(wildcards):
    """The text below a figure in the report."""
    with open(f"{CAPTIONS}/{wildcards.figure}.rst", encoding="utf-8") as file:
        return file.read()


def memory(megabytes):
    """Memory in MB, doubled with every attempt."""
    return lambda wildcards, attempt: megabytes * 2 ** (attempt - 1)


def minutes(count):
    return lambda wildcards, attempt: count * 2 ** (attempt - 1)


@cache
def planned():
    """Every job of the plan by the name of its benchmark file."""
    return {job.name: job for job in plan_jobs(RUN)}


def predicted_memory(pattern):
    """Memory in MB by the planner's prediction for a job, doubled with every attempt; ``pattern``: the benchmark file's name."""
    return lambda wildcards, attempt: request_memory(
        planned()[pattern.format(**dict(wildcards.items()))]
    ) * 2 ** (attempt - 1)


def predicted_minutes(pattern):
    """The same for the time."""
    return lambda wildcards, attempt: request_minutes(
        planned()[pattern.format(**dict(wildcards.items()))]
    ) * 2 ** (attempt - 1)


wildcard_constraints:
    width=r"\d+",
    depth=r"\d+",
    block=r"\d+",
    part=r"\d+",
    task="digits|breast_cancer|wine|teacher|mnist|fashion_mnist|cifar10",
    optimiser="sgd|adam",
    definition="[ABC]",
    network=r"[a-z][a-z0-9_]*",
    population=r"[a-z][a-z0-9_]*",
    source=r"[a-z]+",
    protocol=r"[A-Za-z]+",
