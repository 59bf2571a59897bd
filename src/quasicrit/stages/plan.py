"""The block planner: every job of a run with its predicted time, memory and disk, before anyone submits.

seconds = start + Σ work / rate. The work is counted from the configuration by the functions that cut it into jobs: unit
updates (networks × layers × units) for propagation, multiplications for training, rows for detection, windows ×
resamples for fits. Starts and rates are in ``MODELS``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quasicrit.config import (
    BranchingPopulation,
    Config,
    IndependentPopulation,
    LeakyPopulation,
    Population,
    RecordedPopulation,
    architecture_params,
    blocks,
    learning_blocks,
    points,
    training_blocks,
    training_points,
    unit_cost,
)
from quasicrit.families import network_members
from quasicrit.points import Block, Point
from quasicrit.reference import IMPOSTORS, PROCESSES
from quasicrit.stages.fetch import SOURCES
from quasicrit.stages.figure_tables import FIGURE_TABLES
from quasicrit.tables import atomic_path

__all__ = [
    "MODELS",
    "SAVED",
    "Job",
    "Model",
    "digest_of",
    "on_gpu",
    "plan_jobs",
    "request_memory",
    "request_minutes",
    "save_configuration",
    "sizes_for",
]


@dataclass(frozen=True)
class Model:
    """What a job of one kind takes: seconds before its work begins, work per second by kind, MB without its arrays."""

    start: float
    rates: Mapping[str, float]
    memory: float

    def seconds(self, **work: float) -> float:
        """start + Σ work / rate."""
        return self.start + sum(amount / self.rates[kind] for kind, amount in work.items())


#: Measured from the benchmark files of default runs (two jobs on two cores of an AMD EPYC, one thread each, the CPU build of torch):
#: start and MB from the smallest jobs, rates from the largest. Those of confuse_classes and calibrate_classes from ``make classes`` as
#: well, of the architectures from ``make architectures-large``; tabulated, gram and record_units from single jobs of some seconds.
#: Larger networks than those multiply faster: what is predicted for them is an upper bound. ``quasicrit plan --from`` corrects
#: for another machine.
MODELS: Mapping[str, Model] = {
    # units: unit updates, for weights N² a layer; rows: (network, input, layer), each a row of the table
    "propagate_signals gaussian": Model(0.45, {"units": 1.1e8, "rows": 5e7}, 125),
    "propagate_signals tabulated": Model(1.2, {"rows": 2e7}, 290),
    "propagate_signals gram": Model(1.8, {"units": 1.2e7, "rows": 5e7}, 320),
    "propagate_signals weights": Model(1.8, {"units": 1e8, "rows": 5e7}, 315),
    "propagate_signals process": Model(1.2, {"rows": 2.8e6}, 150),
    # layers: (network, layer), each a row group
    "record_units": Model(1.8, {"units": 1e8, "layers": 5e3}, 365),
    "detect_avalanches": Model(1.1, {"rows": 2e7}, 245),
    # windows: of durations, times bootstrap resamples; rows: of the activity in which the events were found
    "fit_exponents": Model(1.2, {"windows": 1.2e4, "rows": 2e7}, 235),
    "measure_susceptibility": Model(0.95, {"units": 3.7e8}, 150),
    "measure_survival": Model(0.6, {"seeds": 2e7}, 115),
    # multiplications of forward passes
    "train_networks": Model(2.6, {"multiplications": 8.2e9}, 430),
    "record_networks": Model(2.3, {"multiplications": 8.2e9}, 430),
    "learn_plane": Model(2.5, {"multiplications": 8.2e9}, 520),
    "follow_training": Model(4.0, {"multiplications": 8.2e9}, 600),
    "compare_initialisations": Model(2.5, {"multiplications": 8.2e9}, 520),
    # entries of the tangent kernel, by layer
    "predict_learning": Model(2.0, {"entries": 4.8e7}, 460),
    # points × resamples, by cell (task, width, learning rate)
    "rank_predictors": Model(1.2, {"points": 1.05e4}, 230),
    # layers: passes of a batch through a layer; multiplications: all passes, so three times those of the forward in training
    "train_architecture": Model(2.0, {"multiplications": 1e10, "layers": 1e4}, 520),
    "record_architecture": Model(1.7, {"multiplications": 2e10, "layers": 1.25e3}, 520),
    # units: of every layer that is followed (A), or of the stream (B), by network, state and input; rows: layers of C
    "detect_cascades A": Model(2.0, {"units": 9e5}, 520),
    "detect_cascades B": Model(1.2, {"units": 1.3e7}, 240),
    "detect_cascades C": Model(1.2, {"rows": 1e6}, 245),
    # member × state × definition, times resamples
    "fit_cascades": Model(1.2, {"fits": 7e2}, 330),
    # fits: shares of the units that are looked at, times resamples
    "judge_population": Model(2.0, {"fits": 4e2, "spikes": 6e5}, 400),
    "solve_theory": Model(0.7, {"points": 930}, 165),
    "list_points": Model(0.5, {}, 130),
    "calibrate_classes": Model(1.1, {"events": 2.2e4}, 390),
    "confuse_classes": Model(1.2, {"events": 6e4}, 370),
    "classify_points": Model(1.0, {"points": 70}, 280),
    "map_definitions": Model(1.2, {"fits": 2.9e3}, 250),
    "measure_scaling": Model(1.0, {"points": 1e5}, 315),
    "judge_claims": Model(1.5, {}, 290),
    "draw_figure": Model(3.4, {}, 300),
    "tabulate_initialisations": Model(0.6, {}, 130),
    "tabulate_architectures": Model(1.9, {}, 255),
    # a task's files over the network
    "fetch_data": Model(60.0, {}, 300),
}

#: Bytes in memory per row of the activity whose avalanches are looked for: many events (a threshold at the median), or few.
_MANY, _FEW = 20.0, 8.0
#: Bytes in memory while one row of a row group is written, and layers of a row group (``networks.propagation``).
_WRITTEN = 250.0
_SPAN, _LONG_SPAN = 32, 1024
#: Bytes on disk per row: of the activity (the tabulated chain knows ln m alone), of the events.
_ROW, _LOG_M_ROW = 12.7, 4.4
_EVENT_ROW, _RARE_EVENT_ROW = 1.5, 0.2
#: Bytes per unit of a recorded stream (B): of the recording, its cascades, and in memory while they are fitted.
_STREAM, _CASCADE, _FITTED = 4.5, 2.6, 50.0
#: Initialisations that are compared (``learning.methods``).
_METHODS = 8
#: Training samples that set the norms of a network; test samples for its accuracy; samples in a batch of a recording.
_CALIBRATION, _TESTED, _BATCH = 512, 360, 64
#: Spikes a second of the network of leaky integrate-and-fire neurons.
_LEAKY_RATE = 1500.0
_MB = 1e6


#: Stages that compute on a GPU in a run with device: cuda, and from which sources (empty: all).
_ON_GPU: Mapping[str, tuple[str, ...]] = {
    "propagate_signals": ("gram", "weights"),
    "record_units": ("gram", "weights"),
    "train_networks": (),
    "record_networks": (),
    "learn_plane": (),
    "follow_training": (),
    "compare_initialisations": (),
    "train_architecture": (),
    "record_architecture": (),
}

#: Where a run writes its configuration, in its results folder.
SAVED = "config.json"


@dataclass(frozen=True)
class Job:
    """One job: its rule, the name of its benchmark file (without .tsv, below benchmarks/; of its log below logs/), and what it is
    predicted to take; ``start`` of its seconds pass before its work begins."""

    stage: str
    name: str
    seconds: float
    memory_mb: float
    disk_mb: float = 0.01
    start: float = 0.0

    @property
    def may_use_gpu(self) -> bool:
        """Whether it computes on a GPU where the run's device is one."""
        return on_gpu(self.stage, (self.name.split("/")[1:] or [""])[0])


def plan_jobs(config: Config) -> list[Job]:
    """Every job of ``rule all``, in the order of the stages."""
    return [
        *_theory(config),
        *_training(config),
        *_learning(config),
        *_propagation(config),
        *_fits(config),
        *_classes(config),
        *_architectures(config),
        *_populations(config),
        *(_constant("draw_figure", f"draw_figure/{name}", disk=0.8) for name in FIGURE_TABLES),
        *_fetched(config),
    ]


def on_gpu(stage: str, source: str = "") -> bool:
    """Whether the jobs of a stage, for a ``source`` of signals where it has several, have a form for GPUs."""
    sources = _ON_GPU.get(stage)
    return sources is not None and (not sources or source in sources)


def request_memory(job: Job) -> int:
    """MB to ask for: twice the prediction, and 1000 at least."""
    return max(1000, math.ceil(2 * job.memory_mb))


def request_minutes(job: Job) -> int:
    """Minutes to ask for: three times the prediction, since machines differ and share their cores, and 5 at least."""
    return max(5, math.ceil(3 * job.seconds / 60))


def _job(stage: str, name: str, work: Mapping[str, float], kind: str = "", memory: float = 0, disk: float = 1e4) -> Job:
    """A job by its model; ``memory`` and ``disk`` in bytes, memory beside the model's own."""
    model = MODELS[f"{stage} {kind}".strip()]
    return Job(stage, name, model.seconds(**work), model.memory + memory / _MB, disk / _MB, model.start)


def _constant(stage: str, name: str, disk: float = 0.01) -> Job:
    return _job(stage, name, {}, disk=disk * _MB)


def _theory(config: Config) -> Iterator[Job]:
    chosen, weak = config.susceptibility, config.survival
    yield _job("solve_theory", "solve_theory", {"points": config.theory.points**2})
    yield _constant("list_points", "list_points")
    for width in dict.fromkeys(chosen.width):
        units = float(chosen.nets * chosen.depth * width * len(chosen.sigma_w))
        yield _job("measure_susceptibility", f"measure_susceptibility/width={width}", {"units": units})
    # A seed dies before layer l but for some 1/√l of them, which is √L updates a seed.
    seeds = (weak.seeds * (0 in weak.x)) * math.sqrt(max(weak.depth))
    seeds += weak.scaled_seeds * sum(x != 0 for x in weak.x) * sum(math.sqrt(depth) for depth in weak.depth)
    for width in dict.fromkeys(weak.width):
        yield _job("measure_survival", f"measure_survival/width={width}", {"seeds": seeds})


def _training(config: Config) -> Iterator[Job]:
    t = config.training
    nets = len(t.sigma_w) * len(t.sigma_b) * t.seeds
    for width in dict.fromkeys(t.width):
        for depth in dict.fromkeys(t.depth):
            name = f"width={width}_depth={depth}"
            forward = float(depth * width**2 * nets)
            learnt = {"multiplications": forward * t.steps * t.batch_size}
            held = 4 * forward
            yield _job("train_networks", f"train_networks/{name}", learnt, memory=2 * held, disk=2 * held)
            seen = {"multiplications": 2 * forward * t.images}
            rows = float(2 * nets * t.images * depth)
            yield _job("record_networks", f"record_networks/{name}", seen, memory=2 * held, disk=_ROW * rows)


def _learning(config: Config) -> Iterator[Job]:
    plane, follow, advisor = config.learning, config.learning.follow, config.advisor
    cells = 0.0
    for (task, width, depth, optimiser, index), block in learning_blocks(config).items():
        name = f"{task}/width={width}/depth={depth}/optimiser={optimiser}/block={index}.parquet"
        nets, rates = len(block["points"]) * block["seeds"], len(block["learning_rate"])
        mults = float(nets * rates * block["steps"] * plane.batch_size * depth * width**2)
        # The parameters of all networks of one rate, and with Adam their two moments.
        held = 4.0 * nets * depth * width**2 * (3 if optimiser == "adam" else 1)
        yield _job(
            "learn_plane",
            f"learn_plane/{name}",
            {"multiplications": mults},
            memory=1.2 * held,
            disk=100.0 * nets * rates,
        )
        entries = float(len(block["points"]) * depth * plane.kernel_samples**2)
        held = 4.0 * depth * width**2 * nets
        yield _job("predict_learning", f"predict_learning/{name}", {"entries": entries}, memory=held)
        cells += len(block["points"]) * rates
    nets = len(follow.sigma_w) * follow.seeds
    mults = float(nets * follow.marks[-1] * plane.batch_size * follow.depth * plane.width[0] ** 2)
    yield _job("follow_training", "follow_training/followed", {"multiplications": mults})
    yield _job("rank_predictors", "rank_predictors/ranks", {"points": cells * config.resamples})
    runs = {run.depth: run for run in advisor.runs}
    for task in dict.fromkeys(advisor.tasks):
        for depth, run in runs.items():
            nets = _METHODS * (advisor.tuning_seeds * len(run.learning_rate) + advisor.seeds)
            forward = float(nets * depth * advisor.width**2)
            yield _job(
                "compare_initialisations",
                f"compare_initialisations/{task}_depth={depth}",
                {"multiplications": forward * run.steps * advisor.batch_size},
                memory=4 * forward,
            )
    yield _constant("tabulate_initialisations", "tabulate_initialisations")


def _path(block: Block) -> str:
    return f"{block.source}/{block.protocol}/width={block.width}/depth={block.depth}/block={block.index}.parquet"


def _nets(block: Block, group_size: int) -> int:
    """Networks of a block that are kept."""
    return sum(min((f + n) * group_size, p.nets) - f * group_size for p, f, n in block.parts)


def _propagation(config: Config) -> Iterator[Job]:
    recorded = {grid.name for grid in config.grids if grid.record_units}
    simulated = blocks(config)
    for block in simulated:
        yield _propagate(block, config.group_size)
    for block in simulated:
        if block.parts[0][0].grid in recorded:
            yield _units(block, config.group_size)
    for block in [*simulated, *training_blocks(config)]:
        yield _detect(block, config.group_size)


def _propagate(block: Block, group_size: int) -> Job:
    nets, inputs = _nets(block, group_size), block.parts[0][0].inputs
    rows = float(nets * inputs * block.depth)
    name = f"propagate_signals/{_path(block)}"
    if block.source == "process":  # in one piece
        return _job("propagate_signals", name, {"rows": rows}, "process", memory=50 * rows, disk=_ROW * rows)
    if block.source == "tabulated":
        memory = _WRITTEN * nets * min(_LONG_SPAN, block.depth)
        return _job("propagate_signals", name, {"rows": rows}, "tabulated", memory=memory, disk=_LOG_M_ROW * rows)
    # Every network has N² weights a layer, which its inputs share.
    units = float(nets * block.depth * block.width**2) if block.source == "weights" else rows * block.width
    memory = nets * inputs * (_WRITTEN * min(_SPAN, block.depth) + 8.0 * block.width)
    return _job("propagate_signals", name, {"units": units, "rows": rows}, block.source, memory, disk=_ROW * rows)


def _units(block: Block, group_size: int) -> Job:
    nets, inputs = _nets(block, group_size), block.parts[0][0].inputs
    values = float(nets * inputs * block.depth * block.width)
    units = values * block.width if block.source == "weights" else values
    layers = float(nets * block.depth)
    span = float(nets * inputs * min(_SPAN, block.depth) * block.width)
    return _job(
        "record_units",
        f"record_units/{_path(block)}",
        {"units": units, "layers": layers},
        memory=12 * span,
        disk=4 * values + 700 * layers,
    )


def _few_events(protocol: str) -> bool:
    """A threshold at the start of a walk: most networks have left it for good."""
    return protocol in ("W", "F")


def _detect(block: Block, group_size: int) -> Job:
    rows = float(_nets(block, group_size) * block.parts[0][0].inputs * block.depth)
    few = _few_events(block.protocol)
    return _job(
        "detect_avalanches",
        f"detect_avalanches/{_path(block)}",
        {"rows": rows},
        memory=rows * (_FEW if few else _MANY),
        disk=1e5 + rows * (_RARE_EVENT_ROW if few else _EVENT_ROW),
    )


def _all_points(config: Config) -> list[Point]:
    return [*points(config), *(p for source in ("initial", "trained") for p in training_points(config, source))]


def _fits(config: Config) -> Iterator[Job]:
    every = _all_points(config)
    every_block = [*blocks(config), *training_blocks(config)]
    for source, protocol in sorted({(p.source, p.protocol) for p in every}):
        members = [p for p in every if (p.source, p.protocol) == (source, protocol)]
        others = sum(len(w) for name, w in config.protocols.other_windows.items() if name == protocol)
        windows = sum(p.exponents * (1 + others * p.vary_window) for p in members)
        rows = float(sum(p.nets * p.inputs * p.depth for p in members))
        # The events of one block and of one point.
        own = [b for b in every_block if (b.source, b.protocol) == (source, protocol)]
        held = max(p.nets * p.inputs * p.depth for p in members)
        held += max(_nets(b, config.group_size) * b.parts[0][0].inputs * b.depth for b in own)
        yield _job(
            "fit_exponents",
            f"fit_exponents/{source}_{protocol}",
            {"windows": windows * config.resamples, "rows": rows},
            memory=held * (3 if _few_events(protocol) else 17),
        )
    yield _job("measure_scaling", "measure_scaling", {"points": len(every) * config.resamples})
    yield _constant("judge_claims", "judge_claims")


def _classes(config: Config) -> Iterator[Job]:
    c = config.classes
    for part, processes in enumerate(c.parts(PROCESSES)):
        # Fractional noise holds the most; the others a third of it.
        memory = 1100.0 * max(0, c.events - 50_000)
        events = float(len(processes) * c.events)
        yield _job("calibrate_classes", f"calibrate_classes/part={part}", {"events": events}, memory=memory)
    for part, processes in enumerate(c.parts([*PROCESSES, *IMPOSTORS])):
        events = float(len(processes) * c.replicates * c.confusion_events)
        yield _job("confuse_classes", f"confuse_classes/part={part}", {"events": events})
    yield _job("classify_points", "classify_points", {"points": len(_all_points(config))})
    chosen = {grid.name for grid in config.grids if grid.map_definitions}
    defined = [block for block in blocks(config) if block.parts[0][0].grid in chosen]
    rows = sum(_nets(b, config.group_size) * b.parts[0][0].inputs * b.depth for b in defined)
    members = {(p.source, p.protocol, p.point_id) for b in defined for p, _, _ in b.parts}
    fits = len(members) * len(config.definitions.thresholds) * config.resamples
    yield _job("map_definitions", "map_definitions", {"fits": fits}, memory=20.0 * rows)


def _spikes(population: Population) -> float:
    """Expected spikes of a population; each takes some 16 bytes of a file."""
    match population:
        case BranchingPopulation():
            # Coincidences among N units end what sigma = 1 would let live: avalanches of some 3 √N generations.
            lived = min(1.0 / max(abs(1.0 - population.sigma), 1e-9), 3.0 * math.sqrt(population.units))
            return population.drive * population.steps * lived
        case IndependentPopulation():
            return population.rate * population.units * population.seconds
        case LeakyPopulation():
            return _LEAKY_RATE * population.seconds
        case RecordedPopulation():
            path = Path(population.file)
            return path.stat().st_size / 16.0 if path.is_file() else 0.0


def _populations(config: Config) -> Iterator[Job]:
    for population in config.populations:
        work = {"fits": float(len(population.fractions) * config.resamples), "spikes": _spikes(population)}
        yield _job("judge_population", f"judge_population/{population.name}", work, memory=150.0 * work["spikes"])


def _architectures(config: Config) -> Iterator[Job]:
    for net in config.architectures.chosen():
        entry = architecture_params(config)[net.name]
        members = [member for _, member in network_members(net)]
        sizes = [member.size((entry["shape"][0], net.image, net.image)) for member in members]
        nets, inputs, definitions = entry["nets"], entry["inputs"], entry["definitions"]
        states = 1 + net.trained + net.nulls
        layers = nets * sum(member.layers("C") for member in members)
        mults = nets * sum(s.multiplications for s in sizes)
        parameters = nets * sum(s.parameters for s in sizes)
        batch = entry["training"]["batch_size"]
        # Each state of the norms takes a pass of the calibration samples; training three passes a step, then a test.
        once = (1 + net.trained) * _CALIBRATION + net.trained * _TESTED
        steps = net.trained * entry["training"]["steps"]
        yield _job(
            "train_architecture",
            f"train_architecture/{net.name}",
            {
                "multiplications": mults * (once + 3.0 * steps * batch),
                "layers": layers * (once / _BATCH + steps),
            },
            # Activations of a batch, kept for the gradient.
            memory=net.kept * (batch if net.trained else _BATCH) * max(s.units for s in sizes) + 12 * parameters,
            disk=4 * (1 + net.trained) * parameters,
        )
        stream = float(nets * states * inputs.get("B", 0) * sum(s.stream for s in sizes))
        if {"B", "C"} & set(definitions):
            seen = max(inputs.get("B", 0), inputs.get("C", 0))
            yield _job(
                "record_architecture",
                f"record_architecture/{net.name}",
                {"multiplications": mults * states * seen, "layers": layers * states * math.ceil(seen / _BATCH)},
                memory=8 * parameters,
                disk=_STREAM * stream,
            )
        for definition in definitions:
            work: dict[str, float] = {"units": stream}
            memory, disk = 12 * stream, _CASCADE * stream
            if definition == "A":
                work = {"units": float(nets * states * inputs["A"] * sum(s.units for s in sizes))}
                memory = disk = 0.0
            elif definition == "C":
                work = {"rows": float(layers * states * inputs["C"])}
                memory, disk = 100 * work["rows"], 2 * work["rows"]
            yield _job("detect_cascades", f"detect_cascades/{definition}/{net.name}", work, definition, memory, disk)
        fits = len(sizes) * states * len(definitions) * config.resamples
        yield _job("fit_cascades", f"fit_cascades/{net.name}", {"fits": fits}, memory=_FITTED * stream)
    yield _constant("tabulate_architectures", "tabulate_architectures")


def _fetched(config: Config) -> Iterator[Job]:
    if not config.data.fetch:
        return
    nets = config.architectures.chosen()
    used = {config.training.task, *config.learning.tasks, *config.advisor.tasks}
    used |= {net.task or config.architectures.task for net in nets}
    for task in sorted(used & set(SOURCES)):
        made = _constant("fetch_data", f"fetch_data/{task}", disk=180 if task == "cifar10" else 55)
        yield Job(f"fetch_{task}", made.name, made.seconds, made.memory_mb, made.disk_mb)


def save_configuration(config: Config) -> None:
    """Write the configuration of a run, if it is not there yet, and its SHA-256 to its results folder, for ``quasicrit plan --from``.

    Raises TableError if they cannot be written.
    """
    path = Path(config.results) / SAVED
    text = config.model_dump_json(indent=1) + "\n"
    digest = f"{hashlib.sha256(text.encode()).hexdigest()}  {SAVED}\n"
    for file, content in ((path, text), (digest_of(path), digest)):
        if not file.is_file() or file.read_bytes() != content.encode():
            with atomic_path(file) as temporary:
                temporary.write_text(content, encoding="utf-8")


def digest_of(path: Path) -> Path:
    """Where the SHA-256 of a saved configuration lies, as sha256sum writes it."""
    return path.with_name(f"{path.name}.sha256")


def sizes_for(config: Config, minutes: float, factors: Mapping[str, float]) -> tuple[float, float]:
    """``block_size`` and ``learning.block_size`` with which full jobs take ``minutes``.

    ``factors``: of the predicted seconds, by stage. The first is that of the source with the most hours of
    propagation: sources differ in seconds per unit update.
    """
    hours: dict[str, float] = {}
    rates: dict[str, float] = {}
    for block in blocks(config):
        job = _propagate(block, config.group_size)
        cost = sum(
            config.group_size * count * point.inputs * block.depth * unit_cost(point) for point, _, count in block.parts
        )
        start = MODELS[f"propagate_signals {block.source}"].start
        hours[block.source] = hours.get(block.source, 0.0) + job.seconds
        rates[block.source] = max(rates.get(block.source, 0.0), (job.seconds - start) / cost)
    source = max(hours, key=lambda name: hours[name])
    learn = MODELS["learn_plane"]

    def room(start: float, stage: str) -> float:
        return max(60 * minutes / factors.get(stage, 1.0) - start, 1.0)

    simulated = room(MODELS[f"propagate_signals {source}"].start, "propagate_signals") / rates[source]
    return _rounded(simulated), _rounded(room(learn.start, "learn_plane") * learn.rates["multiplications"])


def _rounded(value: float) -> float:
    """To two digits."""
    return float(f"{value:.1e}")
