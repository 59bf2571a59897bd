"""The typed configuration: what a run is, checked in full before the DAG is built.

The JSON schema in workflow/schemas is generated from these models (``make schema``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from quasicrit.errors import ConfigError
from quasicrit.families import Definition, ImageTask, Net, Network, network_members
from quasicrit.points import Block, Point, burn_in
from quasicrit.theory import ACTIVATIONS, LEAST_LAW_WIDTH, edge_of_chaos, ridge, sigma_c, step_variance
from quasicrit.values import Count, Model, NonNegative, Positive, Share

__all__ = [
    "Config",
    "Grid",
    "architecture_params",
    "blocks",
    "json_schema",
    "learning_blocks",
    "load_config",
    "points",
    "resolve_sigma_w",
    "resolve_window",
    "training_blocks",
    "training_points",
    "unit_cost",
]

#: Named values of sigma_w: "critical" is sigma_c(N), "ridge" the ridge of the rms susceptibility at the
#: point's sigma_b, "edge_of_chaos" where chi_1 = 1; each may carry an offset, for example "ridge-0.05".
SIGMA_W_RULE = re.compile(r"^(critical|ridge|edge_of_chaos)([+-]\d*\.?\d+)?$")

Source = Literal["gaussian", "gram", "weights", "tabulated", "process"]
ProtocolName = Literal["W", "T", "F", "S", "layerwise"]
Window = tuple[int, int | Literal["width"]]


class Grid(Model):
    """One named grid: every combination of its lists is a point (source × protocol × … × depth), and every point goes through every stage.

    ``source``: gaussian, the exact one-input chain; tabulated, the same from a table, at a cost that no width changes; gram, several ``inputs`` by
    their Gram matrix; weights, real weight matrices; process, a control (``process``, with ``memory`` for ar1) in place of a
    network. ``sigma_w``: a number, or critical (sigma_c(N)), ridge (of the rms susceptibility at sigma_b) or edge_of_chaos (chi_1 = 1), each
    with an offset if wanted (ridge-0.05). ``nets``: networks at each point. ``window``: durations over which exponents are fitted,
    the protocol's own if none. ``vary_window``: fit them on the protocol's other windows too. ``record_units``: keep the activation of
    every unit. ``map_definitions``: take the points into the map of definitions.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    source: Source = "gaussian"
    protocol: ProtocolName
    activation: tuple[str, ...] = ("tanh",)
    init: tuple[Literal["gaussian", "orthogonal"], ...] = ("gaussian",)
    process: tuple[Literal["iid", "shuffled", "ar1"], ...] = ()
    memory: tuple[Positive, ...] = ()
    sigma_w: tuple[Positive | str, ...] = ()
    sigma_b: tuple[NonNegative, ...] = (0.0,)
    width: tuple[Annotated[int, Field(ge=2)], ...]
    depth: tuple[Count, ...]
    nets: Count
    inputs: Count = 1
    window: Window | None = None
    vary_window: bool = True
    record_units: bool = False
    map_definitions: bool = False

    @field_validator("activation", "width", "depth", "sigma_b")
    @classmethod
    def _not_empty(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("the list is empty, so the grid has no points; give at least one value")
        if len(set(value)) != len(value):
            raise ValueError("the list names a value twice; give each value once")
        return value

    @field_validator("activation")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in ACTIVATIONS:
                raise ValueError(f"{name!r} is no activation; allowed are {', '.join(ACTIVATIONS)}")
        return value

    @field_validator("sigma_w")
    @classmethod
    def _rules(cls, value: tuple[float | str, ...]) -> tuple[float | str, ...]:
        for rule in value:
            if isinstance(rule, str) and not SIGMA_W_RULE.match(rule):
                raise ValueError(
                    f"{rule!r} is no value of sigma_w; allowed are a number above 0, critical, ridge or "
                    "edge_of_chaos, the names also with an offset such as ridge-0.05"
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Grid:
        if self.source == "process":
            if not self.process:
                raise ValueError("a grid of processes needs the key process: iid, shuffled or ar1")
            if ("ar1" in self.process) != bool(self.memory):
                raise ValueError("the key memory belongs to the process ar1, which needs it")
            if self.sigma_w:
                raise ValueError("sigma_w belongs to networks; a process has none")
        else:
            if not self.sigma_w:
                raise ValueError("the list sigma_w is empty, so the grid has no points; give a value")
            if self.process or self.memory:
                raise ValueError("the keys process and memory belong to source: process")
        if self.inputs > 1 and self.source in ("gaussian", "tabulated"):
            raise ValueError(
                f"inputs = {self.inputs}, but the one-input chain (source: {self.source}) carries one; use source: gram or weights"
            )
        if self.source == "gram" and self.inputs > min(self.width) // 2:
            raise ValueError(
                f"inputs = {self.inputs} is more than half of width = {min(self.width)}, where the Gram "
                "matrix is not safely positive; use source: weights"
            )
        if self.source == "tabulated":
            if "orthogonal" in self.init:
                raise ValueError("init = orthogonal has no table of its law; use gaussian, or source: gaussian")
            if min(self.width) < LEAST_LAW_WIDTH:
                raise ValueError(
                    f"width = {min(self.width)} is too small for source: tabulated; give at least {LEAST_LAW_WIDTH}, "
                    "or use source: gaussian"
                )
        if self.record_units and self.source not in ("weights", "gaussian"):
            raise ValueError("record_units works with source: gaussian or weights")
        if self.source != "process":
            allowed = {name for name, entry in ACTIVATIONS.items() if entry.saturating}
            if self.protocol == "F":
                allowed.add("linear")
            wrong = [name for name in self.activation if name not in allowed]
            if self.protocol in ("T", "F", "layerwise") and wrong:
                raise ValueError(
                    f"activation has {', '.join(wrong)}, but protocol {self.protocol} needs a ceiling to have a "
                    f"stationary state; allowed are {', '.join(sorted(allowed))}, or use protocol W"
                )
        return self


class Protocols(Model):
    """The constants of the avalanche protocols: W weak signal, T strong input, F fixed depth, S too shallow for exponents, layerwise (a control).

    ``weak_m0``: where weak signals start. ``kappa``: threshold of F, in units of 1/N. ``min_layers_per_width``: layers that T asks for, in widths.
    ``windows``: durations over which exponents are fitted, by protocol ("width" is the point's); ``other_windows``: those that show how
    the answer moves.
    """

    weak_m0: Annotated[float, Field(gt=0, le=1e-9)] = 1e-12
    kappa: Annotated[float, Field(ge=0.05, le=0.2)] = 0.2
    min_layers_per_width: Annotated[int, Field(ge=1)] = 10
    windows: dict[ProtocolName, Window]
    other_windows: dict[ProtocolName, tuple[Window, ...]] = Field(default={})

    def least_depth(self, protocol: str, width: int, widest: int) -> int:
        """Smallest depth that a protocol allows: T and layerwise 10 N, F 16 times the widest N, else 2."""
        if protocol in ("T", "layerwise"):
            return self.min_layers_per_width * width
        return 16 * widest if protocol == "F" else 2

    @model_validator(mode="after")
    def _ordered(self) -> Protocols:
        every = [*self.windows.values(), *(w for group in self.other_windows.values() for w in group)]
        for low, high in every:
            if low < 1 or (high != "width" and high <= 2 * low):
                raise ValueError(f"the window [{low}, {high}] must start at 1 or more and end above twice that")
        return self


class Theory(Model):
    """The map of the mean-field susceptibility: ``points`` values per axis, and the lines on it."""

    sigma_w: tuple[Positive, Positive] = (0.8, 2.0)
    sigma_b: tuple[NonNegative, NonNegative] = (0.0, 0.5)
    points: Annotated[int, Field(ge=5, le=400)] = 81
    depths: tuple[Count, ...] = (10, 30, 100)


class Susceptibility(Model):
    """Finite-width susceptibility by pathwise derivative, with common random numbers along sigma_w."""

    sigma_b: NonNegative = 0.1
    sigma_w: tuple[Positive, ...]
    width: tuple[Annotated[int, Field(ge=2)], ...]
    nets: Count
    depth: Count
    burn_in: Count
    fit_points: Annotated[int, Field(ge=5)] = 7

    @model_validator(mode="after")
    def _enough(self) -> Susceptibility:
        if self.burn_in >= self.depth:
            raise ValueError(f"burn_in = {self.burn_in} must be below depth = {self.depth}")
        if len(self.sigma_w) < self.fit_points:
            raise ValueError(f"sigma_w needs at least fit_points = {self.fit_points} values to find a peak")
        if list(self.sigma_w) != sorted(set(self.sigma_w)):
            raise ValueError("sigma_w must rise, each value once")
        if self.sigma_b == 0:
            raise ValueError("sigma_b = 0 has no ridge away from the critical point; give a value above 0")
        return self


class Survival(Model):
    """Survival of a weak seed: ``seeds`` at x = 0, ``scaled_seeds`` at each other x."""

    width: tuple[Annotated[int, Field(ge=2)], ...]
    depth: tuple[Count, ...]
    x: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = (-2, -1, 0, 1, 2)
    seeds: Count
    scaled_seeds: Count


#: Test samples of the tasks that need no files.
_TEST_SAMPLES = {"digits": 360, "breast_cancer": 113, "wine": 35, "teacher": 360}


Task = Literal["digits", "breast_cancer", "wine", "teacher", "mnist", "fashion_mnist", "cifar10"]


class Data(Model):
    """Files of the tasks that are read from files: those of ``task`` lie in ``folder``/task, or are fetched to there.

    ``sha256``: digests that files must have, by file name, besides the pinned ones of files that are fetched.
    """

    folder: str | None = None
    fetch: bool = False
    sha256: dict[str, Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]] = Field(default={})

    @model_validator(mode="after")
    def _fetched_to_a_folder(self) -> Data:
        if self.fetch and self.folder is None:
            raise ValueError("fetch = true needs folder, where the files are put")
        return self


class Training(Model):
    """Tanh networks on a task, recorded before and after training on the same ``images`` test samples.

    ``seeds``: networks at each point of sigma_w × sigma_b × width × depth. ``momentum`` is that of sgd.
    """

    task: Task = "digits"
    sigma_w: tuple[Positive, ...]
    sigma_b: tuple[NonNegative, ...]
    width: tuple[Annotated[int, Field(ge=2)], ...]
    depth: tuple[Count, ...]
    seeds: Count
    steps: Count
    batch_size: Count = 64
    learning_rate: Positive
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    images: Annotated[int, Field(ge=2, le=10_000)]

    @model_validator(mode="after")
    def _fits_the_task(self) -> Training:
        most = _TEST_SAMPLES.get(self.task, 10_000)
        if self.images > most:
            raise ValueError(f"images = {self.images} is more than the {most} test samples of {self.task}")
        return self

    @model_validator(mode="after")
    def _momentum_of_sgd(self) -> Training:
        if self.optimiser == "adam" and self.momentum:
            raise ValueError("momentum belongs to sgd; adam has moments of its own: leave momentum out")
        return self

    @field_validator("sigma_w", "sigma_b", "width", "depth")
    @classmethod
    def _not_empty(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("the list is empty, so nothing would be trained; give at least one value")
        return value


class LearningRun(Model):
    """One way of training every network of the plane: depth, optimiser, learning rates, steps, seeds at each point."""

    depth: Count
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[tuple[Positive, ...], Field(min_length=1)]
    steps: Count
    seeds: Count


class Follow(Model):
    """Points that are followed through training, on the first task."""

    sigma_w: Annotated[tuple[Positive, ...], Field(min_length=1)]
    sigma_b: NonNegative
    depth: Annotated[int, Field(ge=3)]
    learning_rate: Positive
    marks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)]
    seeds: Annotated[int, Field(ge=2)]
    images: Annotated[int, Field(ge=2)] = 60

    @model_validator(mode="after")
    def _rising(self) -> Follow:
        if list(self.marks) != sorted(set(self.marks)) or self.marks[0] != 0:
            raise ValueError("marks are steps in rising order, the first of them 0")
        return self


class LearningPlane(Model):
    """Which initialisations learn (P4): networks over (sigma_w, sigma_b), by width, task and run.

    ``bias_split`` parts the plane into weak and strong biases; ``chance_margin``: accuracies below the largest class's share
    plus this are tied. Both are declared before the run.
    """

    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    sigma_w: Annotated[tuple[Positive, ...], Field(min_length=2)]
    sigma_b: Annotated[tuple[NonNegative, ...], Field(min_length=1)]
    width: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]
    runs: Annotated[tuple[LearningRun, ...], Field(min_length=1)]
    batch_size: Count = 64
    block_size: Positive = 4e11
    bias_split: Positive = 0.1
    chance_margin: Annotated[float, Field(ge=0, lt=1)] = 0.1
    fluctuation_nets: Annotated[int, Field(ge=2)] = 256
    kernel_samples: Annotated[int, Field(ge=2)] = 512
    follow: Follow

    @model_validator(mode="after")
    def _enough_points(self) -> LearningPlane:
        if len(set(self.sigma_w)) * len(set(self.sigma_b)) < 5:
            raise ValueError("sigma_w × sigma_b gives fewer than 5 points, too few to rank; give more values")
        kinds = [(run.depth, run.optimiser) for run in self.runs]
        if len(set(kinds)) < len(kinds):
            raise ValueError("runs: two have the same depth and optimiser; put their learning rates into one")
        return self


class AdvisorDepth(Model):
    """Steps at one depth, the same for every initialisation, and the learning rates tried."""

    depth: Count
    steps: Count
    learning_rate: Annotated[tuple[Positive, ...], Field(min_length=1)]


class Advisor(Model):
    """The advised initialisations (P7) against the usual ones, each at the learning rate that is best for it."""

    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    width: Annotated[int, Field(ge=2)] = 64
    runs: Annotated[tuple[AdvisorDepth, ...], Field(min_length=1)]
    optimiser: Literal["sgd", "adam"] = "sgd"
    batch_size: Count = 64
    tuning_seeds: Count = 2
    seeds: Annotated[int, Field(ge=2)] = 5


#: Of images of a task: channels, height, width.
_IMAGES: dict[str, tuple[int, int, int]] = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
}


class Architectures(Model):
    """P6: other architectures, by three definitions of avalanches with their nulls, before and after training.

    ``only_tasks``: networks of other tasks are left out (those whose files are not at hand). ``inputs``: test samples that each definition looks at in each network. ``threshold``: k, in standard deviations over inputs, of B
    and C; ``other_thresholds`` show how the answer moves. ``lineage_roots``: the share of the layers in which lineages (A) begin; a
    window that too many of them are cut off in has no exponents. ``learnt_above``: trained networks of a lower mean accuracy are
    marked, and count for nothing. ``windows``: durations to fit, declared before the run. Six networks at least, since
    the covariance of three exponents is estimated over them.
    """

    task: ImageTask = "digits"
    only_tasks: tuple[ImageTask, ...] | None = None
    nets: Annotated[int, Field(ge=6)] = 8
    steps: Count = 60
    batch_size: Count = 64
    learning_rate: Positive = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    inputs: dict[Definition, Annotated[int, Field(ge=3)]] = Field(default={"A": 8, "B": 30, "C": 200})
    threshold: Annotated[float, Field(ge=-3, le=3)] = 1.0
    other_thresholds: tuple[Annotated[float, Field(ge=-3, le=3)], ...] = (0.5, 2.0)
    lineage_roots: Annotated[float, Field(gt=0, le=0.5)] = 0.125
    learnt_above: Share = 0.3
    windows: dict[Definition, tuple[int, int]] = Field(default={"A": (2, 8), "B": (2, 8), "C": (2, 12)})
    reference_events: Annotated[int, Field(ge=1000)] = 50_000
    networks: tuple[Net, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> Architectures:
        names = [net.name for net in self.networks]
        for net in self.networks:
            task = net.task or self.task
            side = _IMAGES[task][1]
            most = _TEST_SAMPLES.get(task, 10_000)
            for definition in net.definitions:
                count = self.inputs.get(definition)
                if count is None:
                    raise ValueError(
                        f"networks.{net.name}: definition {definition} has no inputs: give inputs.{definition}"
                    )
                if count > most:
                    raise ValueError(f"inputs.{definition} = {count} is more than the {most} test samples of {task}")
            if names.count(net.name) > 1:
                raise ValueError(f"networks: the name {net.name!r} is given twice; each network needs its own")
            if net.image % side:
                raise ValueError(
                    f"networks.{net.name}: image = {net.image} is no multiple of the {side} pixels of an image of {task}"
                )
            for label, member in network_members(net):
                self._check(label, member)
        return self

    def _check(self, label: str, net: Network) -> None:
        channels = _IMAGES[net.task or self.task][0]
        if fault := net.misfit((channels, net.image, net.image)):
            raise ValueError(f"networks.{label}: {fault}")
        for definition in net.definitions:
            window = self.window(net, definition)
            layers = net.layers(definition)
            if not 1 <= window[0] < window[1] or window[1] <= 2 * window[0]:
                raise ValueError(
                    f"networks.{label}: the window {list(window)} of definition {definition} must start at 1 or more and end above twice that"
                )
            if (window[1] > layers // 2 and definition != "C") or window[1] > layers:
                raise ValueError(
                    f"networks.{label}: the window {list(window)} of definition {definition} is too long for its {layers} layers: events "
                    "must have time to end after half of them; give the network a window of its own, or leave the definition out"
                )

    def chosen(self) -> tuple[Network, ...]:
        """The networks that run."""
        only = self.only_tasks
        return tuple(net for net in self.networks if only is None or (net.task or self.task) in only)

    def window(self, net: Network, definition: Definition) -> tuple[int, int]:
        """The window of durations of a definition on a network: its own, or the common one."""
        found = net.windows.get(definition, self.windows.get(definition))
        if found is None:
            raise ValueError(f"networks.{net.name}: definition {definition} has no window: give windows.{definition}")
        return found


class _Population(Model):
    """What every population has: a name, and how it is looked at.

    ``fractions``: shares of its units that are seen, each analysed by itself. ``bin``: seconds; the mean interval between spikes if none.
    ``window``: durations to fit, bins, declared before the run.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: str
    fractions: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    bin: Positive | None = None
    window: tuple[int, int]

    @model_validator(mode="after")
    def _window_holds_durations(self) -> _Population:
        low, high = self.window
        if not 1 <= low < high:
            raise ValueError(f"window = [{low}, {high}]: give two durations, the first at least 1 and below the second")
        return self


class BranchingPopulation(_Population):
    """Branching of spikes among ``units`` neurons for ``steps`` steps of 4 ms: Poisson(``sigma``) from each, ``drive`` a step from outside."""

    kind: Literal["branching"]
    sigma: Positive
    drive: Positive
    units: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1000)]
    bin: Positive | None = 0.004


class IndependentPopulation(_Population):
    """Independent Poisson neurons of ``rate`` spikes a second."""

    kind: Literal["independent"]
    rate: Positive
    units: Annotated[int, Field(ge=2)]
    seconds: Positive


class LeakyPopulation(_Population):
    """The sparse network of 300 leaky integrate-and-fire neurons of ``quasicrit.reference.LeakyNetwork``."""

    kind: Literal["leaky"]
    seconds: Positive


class RecordedPopulation(_Population):
    """A recording, as ``quasicrit spikes`` reads it: ``file`` (Parquet, CSV, text; NWB). ``fractions``: one, the share of the units that it holds."""

    kind: Literal["recording"]
    file: Annotated[str, Field(min_length=1)]
    form: Literal["spikes", "raster", "activity"] = "spikes"
    time_column: str = "time"
    unit_column: str = "unit"
    segment_column: str | None = None
    time_unit: Positive = 1.0
    start: float | None = None
    stop: float | None = None

    @model_validator(mode="after")
    def _one_fraction(self) -> RecordedPopulation:
        if len(self.fractions) > 1:
            raise ValueError("fractions: a recording holds one share of the units; give one number")
        return self


Population = Annotated[
    BranchingPopulation | IndependentPopulation | LeakyPopulation | RecordedPopulation, Field(discriminator="kind")
]


class Classes(Model):
    """Reference processes: events for the bias of a class on a window, and realisations for the confusion matrix."""

    events: Annotated[int, Field(ge=1000)] = 20_000
    replicates: Annotated[int, Field(ge=2)] = 10
    confusion_events: Annotated[int, Field(ge=1000)] = 5000
    processes_per_job: Annotated[int, Field(ge=1)] = 1

    def parts(self, processes: Iterable[str]) -> list[list[str]]:
        """Processes by job, at most ``processes_per_job`` in each; neighbours in different jobs, since they cost alike."""
        names = list(processes)
        jobs = math.ceil(len(names) / self.processes_per_job)
        return [names[job::jobs] for job in range(jobs)]


class Definitions(Model):
    """The map of definitions: points of the grids that ask for it (map_definitions) are detected and fitted again.

    ``thresholds``: shifts of the protocol's own threshold, in standard deviations of each trajectory; 0 is the protocol's.
    """

    thresholds: tuple[Annotated[float, Field(ge=-3, le=3)], ...] = (-0.5, 0.0, 0.5)

    @model_validator(mode="after")
    def _own_threshold(self) -> Definitions:
        if 0.0 not in self.thresholds:
            raise ValueError("thresholds must contain 0, the protocol's own threshold")
        return self


class Criteria(Model):
    """The rules by which controls are judged and scaling is read, declared before the run."""

    saturates_below: Positive = 0.25
    memories_needed: Positive = 40
    tolerance: Positive = 0.1
    drifts_below: Positive = 0.25
    depth_shift: Share = 0.05


class Config(Model):
    """A whole run."""

    seed: Annotated[int, Field(ge=0)] = 2509
    results: Annotated[str, Field(min_length=1)] = "results"
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    group_size: Annotated[int, Field(ge=16, multiple_of=16)] = 64
    block_size: Positive = 1e9
    resamples: Annotated[int, Field(ge=100)] = 400
    protocols: Protocols
    grids: tuple[Grid, ...]
    theory: Theory = Theory()
    susceptibility: Susceptibility
    survival: Survival
    data: Data = Data()
    training: Training
    learning: LearningPlane
    advisor: Advisor
    architectures: Architectures = Architectures()
    populations: tuple[Population, ...] = ()
    classes: Classes = Classes()
    definitions: Definitions = Definitions()
    criteria: Criteria = Criteria()

    @model_validator(mode="after")
    def _files_have_a_folder(self) -> Config:
        for key, tasks in (
            ("training.task", (self.training.task,)),
            ("learning.tasks", self.learning.tasks),
            ("advisor.tasks", self.advisor.tasks),
            ("architectures", tuple(net.task or self.architectures.task for net in self.architectures.chosen())),
        ):
            filed = [task for task in tasks if task not in _TEST_SAMPLES]
            if filed and self.data.folder is None:
                raise ValueError(
                    f"{key}: {filed[0]!r} is read from files: give data.folder, the folder that holds {filed[0]}/"
                )
        return self

    @model_validator(mode="after")
    def _populations_named_once(self) -> Config:
        names = [population.name for population in self.populations]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"populations: the name {name!r} is given twice; each population needs its own")
        return self

    @model_validator(mode="after")
    def _grids_consistent(self) -> Config:
        if not self.grids:
            raise ValueError("grids: the list is empty; give at least one grid")
        names = [grid.name for grid in self.grids]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"grids: the name {name!r} is given twice; each grid needs its own")
        seen: dict[tuple[str, str, str], str] = {}
        for grid in self.grids:
            for width in grid.width:
                for depth in grid.depth:
                    needed = self.protocols.least_depth(grid.protocol, width, max(grid.width))
                    if depth < needed:
                        raise ValueError(
                            f"grids.{grid.name}: depth = {depth} is below what protocol {grid.protocol} needs at "
                            f"width = {width}; give at least {needed}, or use protocol S (no exponents)"
                        )
                    low, high = resolve_window(self.protocols, grid, width)
                    beyond = depth // 2 if grid.protocol == "F" else depth - burn_in(grid.protocol, width)
                    if high >= beyond:
                        raise ValueError(
                            f"grids.{grid.name}: the window [{low}, {high}] reaches beyond the {beyond} layers "
                            f"that protocol {grid.protocol} leaves at width = {width}, depth = {depth}; "
                            "give a smaller window or a larger depth"
                        )
                    if high <= 2 * low:
                        raise ValueError(
                            f"grids.{grid.name}: the window [{low}, {high}] at width = {width} must end above "
                            "twice its start; give the grid a window of its own"
                        )
        for point in points(self):
            key = (point.source, point.protocol, point.point_id)
            if key in seen:
                raise ValueError(
                    f"grids.{point.grid} repeats a point of grids.{seen[key]} (source {point.source}, protocol "
                    f"{point.protocol}, width {point.width}, depth {point.depth}, sigma_w {point.sigma_w}, "
                    f"sigma_b {point.sigma_b:g}); give each point once"
                )
            seen[key] = point.grid
        return self


@cache
def resolve_sigma_w(rule: float | str, activation: str, width: int, sigma_b: float) -> float:
    """sigma_w as a number: "critical" is sigma_c(N), "ridge" the mean-field ridge of the rms susceptibility at sigma_b,
    "edge_of_chaos" where chi_1 = 1; plus the offset, if any.

    Raises ConfigError when the rule leads to a value that is not above 0, TheoryError where there is no such point.
    """
    if not isinstance(rule, str):
        return float(rule)
    match = SIGMA_W_RULE.match(rule)
    if match is None:
        raise ConfigError(f"sigma_w = {rule!r} is neither a number nor critical, ridge or edge_of_chaos")
    name, offset = match.group(1), float(match.group(2) or 0)
    value = sigma_c(activation, width) if name == "critical" else _mean_field_sigma_w(name, activation, sigma_b)
    if value + offset <= 0:
        raise ConfigError(f"sigma_w = {rule!r} gives {value + offset:.4g}; it must be above 0")
    return value + offset


@cache
def _mean_field_sigma_w(name: str, activation: str, sigma_b: float) -> float:
    """The ridge or the edge of chaos, which all widths and offsets share."""
    return ridge(activation, "rms", sigma_b).sigma_w if name == "ridge" else edge_of_chaos(activation, sigma_b)


@cache
def _step_sd(activation: str, init: str, width: int) -> float:
    """sigma_1 of a weak signal; 0 for orthogonal weights, which keep its length."""
    return 0.0 if init == "orthogonal" else math.sqrt(step_variance(activation, width))


def resolve_window(protocols: Protocols, grid: Grid, width: int) -> tuple[int, int]:
    """The window of durations of ``grid`` at ``width``: its own, or its protocol's."""
    window = grid.window or protocols.windows.get(grid.protocol)
    if window is None:
        raise ValueError(
            f"grids.{grid.name}: protocol {grid.protocol} has no window; give protocols.windows.{grid.protocol} "
            "or the grid's own window"
        )
    low, high = window
    return low, width if high == "width" else high


def points(config: Config) -> list[Point]:
    """Every simulated point of the configuration, in its order."""
    return [point for grid in config.grids for point in _grid_points(config, grid)]


def training_points(config: Config, source: str) -> list[Point]:
    """The trained networks as points of protocol S: ``source`` is initial or trained, nets are the seeds."""
    training = config.training
    return [
        Point(
            grid="training",
            source=source,
            protocol="S",
            activation="tanh",
            init="gaussian",
            process="none",
            memory=0.0,
            sigma_w_rule=repr(sigma_w),
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            width=width,
            depth=depth,
            nets=training.seeds,
            inputs=training.images,
            m0=1.0,
            level=None,
            step_sd=_step_sd("tanh", "gaussian", width),
            window=(1, depth),
            vary_window=False,
            exponents=False,
        )
        for width in training.width
        for depth in training.depth
        for sigma_b in training.sigma_b
        for sigma_w in training.sigma_w
    ]


def training_blocks(config: Config) -> list[Block]:
    """One block per width and depth of the trained networks, before (initial) and after (trained)."""
    made = []
    groups = math.ceil(config.training.seeds / config.group_size)
    for source in ("initial", "trained"):
        members = training_points(config, source)
        for width in config.training.width:
            for depth in config.training.depth:
                parts = tuple((p, 0, groups) for p in members if (p.width, p.depth) == (width, depth))
                made.append(Block(source, "S", width, depth, 0, parts))
    return made


def _grid_points(config: Config, grid: Grid) -> Iterator[Point]:
    protocols = config.protocols
    if grid.source == "process":
        kinds = [(name, memory) for name in grid.process for memory in (grid.memory if name == "ar1" else (0.0,))]
        cases: list[tuple[str, str, str, float, float | str, float]] = [
            ("tanh" if name == "shuffled" else "none", "none", name, memory, "none", 0.0) for name, memory in kinds
        ]
    else:
        cases = [
            (activation, init, "none", 0.0, rule, sigma_b)
            for activation in grid.activation
            for init in grid.init
            for sigma_b in grid.sigma_b
            for rule in grid.sigma_w
        ]
    for width in grid.width:
        m0, level = 1.0, None
        if grid.protocol == "W":
            m0, level = protocols.weak_m0, math.log(protocols.weak_m0)
        elif grid.protocol == "F":
            m0, level = 1.0 / width, math.log(protocols.kappa / width)
        window = resolve_window(protocols, grid, width)
        for depth in grid.depth:
            for activation, init, process, memory, rule, sigma_b in cases:
                yield Point(
                    grid=grid.name,
                    source=grid.source,
                    protocol=grid.protocol,
                    activation=activation,
                    init=init,
                    process=process,
                    memory=memory,
                    sigma_w_rule=rule if isinstance(rule, str) else repr(rule),
                    sigma_w=0.0 if process != "none" else resolve_sigma_w(rule, activation, width, sigma_b),
                    sigma_b=sigma_b,
                    width=width,
                    depth=depth,
                    nets=grid.nets,
                    inputs=grid.inputs,
                    m0=m0,
                    level=level,
                    step_sd=1.0 if process in ("iid", "ar1") else _step_sd(activation, init, width),
                    window=window,
                    vary_window=grid.vary_window,
                    exponents=depth >= protocols.min_layers_per_width * width,
                )


def blocks(config: Config) -> list[Block]:
    """Cut the grids into blocks of at most ``block_size`` unit updates (nets × inputs × layers × units).

    Blocks hold whole groups of ``group_size`` networks. Their indices run on over the grids that share source,
    protocol, width and depth, in the order of the configuration: a grid appended at the end adds blocks.
    """
    made: list[Block] = []
    next_index: dict[tuple[str, str, int, int], int] = {}
    for grid in config.grids:
        by_shape: dict[tuple[str, str, int, int], list[Point]] = {}
        for point in _grid_points(config, grid):
            by_shape.setdefault((point.source, point.protocol, point.width, point.depth), []).append(point)
        for key, members in by_shape.items():
            parts: list[tuple[Point, int, int]] = []
            room = config.block_size
            for point in members:
                cost = config.group_size * point.inputs * point.depth * unit_cost(point)
                first, total = 0, math.ceil(point.nets / config.group_size)
                while first < total:
                    fits = max(int(room // cost), 0 if parts else 1)
                    count = min(total - first, fits)
                    if count:
                        parts.append((point, first, count))
                        first += count
                        room -= count * cost
                    if first < total:
                        made.append(_close(key, parts, next_index))
                        parts, room = [], config.block_size
            if parts:
                made.append(_close(key, parts, next_index))
    return made


def learning_blocks(config: Config) -> dict[tuple[str, int, int, str, int], dict[str, Any]]:
    """The jobs of the learning plane by (task, width, depth, optimiser, block), as plain data for a rule's params.

    A block trains the points [sigma_w, sigma_b] of one run at all of its learning rates and seeds, and holds at most
    ``block_size`` multiplications of the forward pass.
    """
    plane = config.learning
    made: dict[tuple[str, int, int, str, int], dict[str, Any]] = {}
    points = [[sigma_w, sigma_b] for sigma_b in plane.sigma_b for sigma_w in plane.sigma_w]
    for task in plane.tasks:
        for width in plane.width:
            for run in plane.runs:
                cost = run.steps * plane.batch_size * run.depth * width**2 * run.seeds * len(run.learning_rate)
                size = max(1, int(plane.block_size // cost))
                for index, start in enumerate(range(0, len(points), size)):
                    made[task, width, run.depth, run.optimiser, index] = {
                        **run.model_dump(),
                        "task": task,
                        "width": width,
                        "batch_size": plane.batch_size,
                        "points": points[start : start + size],
                    }
    return made


def architecture_params(config: Config) -> dict[str, dict[str, Any]]:
    """By name of an entry what the numbers of its networks depend on, as plain data for a rule's params."""
    chosen = config.architectures
    made = {}
    for net in chosen.chosen():
        members = [
            {
                "label": label,
                "options": member.options(),
                "size": _size_of(net, member),
                "windows": {d: list(chosen.window(member, d)) for d in member.definitions},
            }
            for label, member in network_members(net)
        ]
        made[net.name] = {
            "name": net.name,
            "family": net.family,
            "task": net.task or chosen.task,
            "shape": list(_IMAGES[net.task or chosen.task]),
            "image": net.image,
            "init": net.init,
            "sigma_w": net.sigma_w,
            "sigma_b": net.sigma_b,
            "stage": getattr(net, "stage", 0),
            "nets": net.nets or chosen.nets,
            "trained": net.trained,
            "nulls": net.nulls,
            "definitions": list(net.definitions),
            "members": members,
            "training": {
                "steps": net.training_steps or chosen.steps,
                "batch_size": chosen.batch_size,
                "learning_rate": net.learning_rate or chosen.learning_rate,
                "momentum": chosen.momentum,
            },
            "inputs": {definition: chosen.inputs[definition] for definition in net.definitions},
            "lineage_roots": chosen.lineage_roots,
            "threshold": chosen.threshold,
            "other_thresholds": list(chosen.other_thresholds),
        }
    return made


def _size_of(net: Network, member: Network) -> int:
    """What varies among an entry's networks, as one number: blocks of all stages, channels of the first, depth, width; else 0."""
    for option in net.vary:
        value = member.options()[option]
        if option == "blocks":
            return int(sum(value))
        if isinstance(value, int):
            return value
        if isinstance(value, tuple | list):
            return int(value[0])
    return 0


def unit_cost(point: Point) -> float:
    """Unit updates per layer: N for the chains, N² / inputs for real weights, 1 for a process.

    A tabulated layer takes the time of some ten units: it counts as 512 for the memory of its block, 4e6 layers in 2e9.
    """
    if point.source == "process":
        return 1.0
    if point.source == "tabulated":
        return 512.0
    return float(point.width**2) / point.inputs if point.source == "weights" else float(point.width)


def _close(
    key: tuple[str, str, int, int],
    parts: list[tuple[Point, int, int]],
    next_index: dict[tuple[str, str, int, int], int],
) -> Block:
    index = next_index.get(key, 0)
    next_index[key] = index + 1
    return Block(*key, index, tuple(parts))


def load_config(values: Mapping[str, Any]) -> Config:
    """Check ``values`` (the merged configuration) and return it typed.

    Raises ConfigError with one line per fault: the key, the value, what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        where = [str(part) for part in fault["loc"] if not str(part).startswith(("constrained", "float", "str"))]
        if where[:1] == ["grids"] and len(where) > 1:
            where[1] = f"[{where[1]}]"
        key = ".".join(where).replace(".[", "[") or "the configuration"
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "this key is not known; check its spelling against workflow/schemas/config.schema.json"
        elif fault["type"] == "missing":
            message = "this key is missing; config.yaml shows it with its meaning"
        shown = fault.get("input")
        if len(where) == 2 and where[0] == "grids" and isinstance(shown, dict) and "name" in shown:
            key = f"grids.{shown['name']}"
        value = f" = {shown!r}" if isinstance(shown, str | int | float | bool) else ""
        line = f"{key}{value}: {message[:1].lower()}{message[1:]}"
        if key == "the configuration":
            line = message
        if line not in lines:
            lines.append(line)
    return "configuration: " + "; ".join(lines)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the configuration."""
    return Config.model_json_schema()
