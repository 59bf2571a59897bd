"""``quasicrit plan``: what a configuration will cost, by stage; and what a finished run cost against what was predicted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from quasicrit.config import Config, load_config
from quasicrit.errors import ConfigError, TableError
from quasicrit.stages.cpu import MAIN, Overhead, overhead_of
from quasicrit.stages.plan import SAVED, Job, digest_of, plan_jobs, sizes_for
from quasicrit.stages.user_table import answer

__all__ = ["Usage", "merge", "plan_report", "plan_text", "read_configuration", "usage_of"]

#: Stages whose jobs are blocks.
_CUT = ("propagate_signals", "record_units", "detect_avalanches", "learn_plane", "predict_learning")


# The configuration ----------------------------------------------------------------------------------------


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two configurations as Snakemake merges them: mappings key by key; anything else, lists too, is replaced."""
    made = dict(base)
    for key, value in over.items():
        below = made.get(key)
        made[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return made


def read_configuration(paths: Sequence[str]) -> Config:
    """The configuration of files (YAML or JSON), the later ones over the earlier.

    Raises ConfigError for a file that is no configuration, and for keys that are missing or wrong in all of them together.
    """
    values: dict[str, Any] = {}
    for path in paths:
        try:
            read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is no YAML: {error}") from None
        if not isinstance(read, Mapping):
            raise ConfigError(f"{path} holds no configuration: its keys and values are missing")
        values = merge(values, read)
    try:
        return load_config(values)
    except ConfigError as error:
        if "this key is missing" in str(error):
            raise ConfigError(
                f"{error}; the files given are all there is, so name the whole configuration (config.yaml) before a preset"
            ) from None
        raise


# What a run used ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usage:
    """Predicted and used of one stage, over its jobs that have a benchmark file: seconds of all, largest memory in MB."""

    jobs: int
    predicted_seconds: float
    used_seconds: float
    predicted_memory: float
    used_memory: float

    @property
    def ratio(self) -> float:
        """Used over predicted seconds."""
        return self.used_seconds / self.predicted_seconds

    @property
    def memory_ratio(self) -> float:
        """Used over predicted memory."""
        return self.used_memory / self.predicted_memory


def usage_of(results: str, jobs: Sequence[Job]) -> dict[str, Usage]:
    """What the jobs used by the benchmark files of a run, by stage.

    The seconds are those on the clock: a job holds its core for as long, and Snakemake's cpu_time misses the last part of a
    job. A job too short for Snakemake to have seen its memory counts with 0.

    Raises TableError for a folder without the benchmark file of any of the jobs, and for a file that is none.
    """
    folder = Path(results) / "benchmarks"
    if not Path(results).is_dir():
        raise TableError(f"{results}: there is no such folder; give the results folder of a finished run")
    found: dict[str, list[tuple[Job, float, float]]] = {}
    for job in jobs:
        path = folder / f"{job.name}.tsv"
        if path.is_file():
            found.setdefault(job.stage, []).append((job, *_read_benchmark(path)))
    if not found:
        raise TableError(
            f"{results}: no benchmark file in {folder} is of a job of this configuration; give the results folder of a finished run"
        )
    return {
        stage: Usage(
            len(rows),
            sum(job.seconds for job, _, _ in rows),
            sum(seconds for _, seconds, _ in rows),
            max(job.memory_mb for job, _, _ in rows),
            max(memory for _, _, memory in rows),
        )
        for stage, rows in found.items()
    }


def _read_benchmark(path: Path) -> tuple[float, float]:
    """Seconds and MB of the last row of a benchmark file."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    try:
        row = dict(zip(lines[0], lines[-1], strict=True))
        seconds, memory = float(row["s"]), row["max_rss"]
        used = 0.0 if memory in ("-", "NA") else float(memory)
    except (IndexError, KeyError, ValueError):
        raise TableError(
            f"{path} is no benchmark file of Snakemake: the columns s and max_rss must hold numbers"
        ) from None
    if len(lines) < 2 or not (math.isfinite(seconds) and seconds >= 0 and math.isfinite(used)):
        raise TableError(f"{path} is no benchmark file of Snakemake: the columns s and max_rss must hold numbers")
    return seconds, used


def _corrected(jobs: Sequence[Job], used: Mapping[str, Usage]) -> list[Job]:
    """The jobs with the factors of a run: a stage that it lacks takes the time factor of all stages together.

    Memory is never corrected downwards, since Snakemake looks at it now and then and misses peaks.
    """
    made = []
    for job in jobs:
        usage = used.get(job.stage)
        memory = 1.0 if usage is None else max(1.0, usage.memory_ratio)
        time = _factor(job.stage, used)
        made.append(replace(job, seconds=time * job.seconds, start=time * job.start, memory_mb=memory * job.memory_mb))
    return made


def _factor(stage: str, used: Mapping[str, Usage]) -> float:
    if stage in used:
        return used[stage].ratio
    together = sum(u.used_seconds for u in used.values()), sum(u.predicted_seconds for u in used.values())
    return together[0] / together[1] if used else 1.0


# The answer -----------------------------------------------------------------------------------------------


def _costs(jobs: Sequence[Job], gpu: bool) -> dict[str, Any]:
    """Jobs, hours of CPU and (``gpu``) of GPU, largest memory and disk in MB, longest job in minutes."""
    return {
        "jobs": len(jobs),
        "cpu_hours": sum(job.seconds for job in jobs) / 3600,
        # What the CPU takes for the same work; such a job holds a core as well.
        "gpu_hours": sum(job.seconds for job in jobs if gpu and job.may_use_gpu) / 3600,
        "memory": max(job.memory_mb for job in jobs),
        "disk": sum(job.disk_mb for job in jobs),
        "longest_minutes": max(job.seconds for job in jobs) / 60,
    }


def plan_report(
    paths: Sequence[str], results: str | None = None, target_minutes: float | None = None, cores: int = 1
) -> dict[str, Any]:
    """What the run of these configuration files will cost, by stage and in all; memory and disk in MB.

    ``results``: a finished run, whose benchmark files are compared with what is predicted for its own configuration (that of
    ``paths`` where it has saved none) and correct the plan; the CPU times in its logs give the share outside the science.
    ``target_minutes``: sizes of blocks with which full jobs take that long. wall_hours is the least that ``cores`` take: all work
    spread evenly, or the longest job.

    Raises ConfigError and TableError with one sentence.
    """
    config = read_configuration(paths)
    jobs = plan_jobs(config)
    notes = []
    used: dict[str, Usage] = {}
    outside: dict[str, Any] | None = None
    if results is not None:
        saved = Path(results) / SAVED
        ran = jobs
        if saved.is_file():
            try:
                content, digest = saved.read_bytes(), digest_of(saved)
                if digest.is_file() and hashlib.sha256(content).hexdigest().encode() != digest.read_bytes()[:64]:
                    raise ConfigError(f"it is altered; delete it and {digest.name}, and run again")
                ran = plan_jobs(load_config(json.loads(content)))
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise ConfigError(
                    f"{saved} is no JSON; delete it, and the files given count as its configuration"
                ) from None
            except ConfigError as error:
                raise ConfigError(f"{saved}: {error}") from None
        used = usage_of(results, ran)
        if not saved.is_file():
            notes.append(f"{results} has no {SAVED}: its jobs are taken for those of the files given")
        compared = sum(u.jobs for u in used.values())
        if compared < len(ran):
            notes.append(
                f"{compared} of the {len(ran)} jobs of {results} have a benchmark file; only they are compared"
            )
        outside = _outside(results, ran, notes)
        jobs = _corrected(jobs, used)
    gpu = _has_gpu(config)
    if gpu:
        notes.append(
            "gpu_hours are hours of CPU for the work that goes to a GPU, where a job holds both: an upper bound for a GPU that is "
            "faster than one core; we have measured none, a finished run on yours corrects them (--from)"
        )
    made: dict[str, Any] = {"stages": {}, **_costs(jobs, gpu), "cores": cores}
    for stage in dict.fromkeys(job.stage for job in jobs):
        made["stages"][stage] = _costs([job for job in jobs if job.stage == stage], gpu)
    made["wall_hours"] = max(made["cpu_hours"] / cores, made["longest_minutes"] / 60)
    if used:
        made["used"] = {
            stage: {
                "jobs": u.jobs,
                "predicted_hours": u.predicted_seconds / 3600,
                "used_hours": u.used_seconds / 3600,
                "ratio": u.ratio,
                "predicted_memory": u.predicted_memory,
                "used_memory": u.used_memory,
                "memory_ratio": u.memory_ratio,
            }
            for stage, u in used.items()
        }
    if outside is not None:
        made["outside"] = outside
    if target_minutes is not None:
        made["target"] = _target(config, target_minutes, used)
    return answer({**made, "notes": notes})


def _has_gpu(config: Config) -> bool:
    """Whether the run computes on a GPU; auto as this machine would decide it."""
    if config.device != "auto":
        return config.device == "cuda"
    from quasicrit.networks.device import resolve_device

    return resolve_device("auto").type == "cuda"


def _outside(results: str, jobs: Sequence[Job], notes: list[str]) -> dict[str, Any] | None:
    """CPU time outside the science by stage and in all; what is missing is added to ``notes``."""
    found = overhead_of(results, jobs)
    if not set(found) - {MAIN}:
        notes.append(f"the logs of {results} hold no CPU times, so the share outside the science is not known")
        return None
    if MAIN not in found:
        notes.append(f"{results} holds no CPU time of Snakemake itself: the share outside the science lacks it")
    every = Overhead(
        sum(row.jobs for row in found.values()),
        sum(row.start_seconds for row in found.values()),
        sum(row.cpu_seconds for row in found.values()),
    )

    def shown(row: Overhead) -> dict[str, Any]:
        return {**asdict(row), "share": row.share}

    return {"stages": {stage: shown(row) for stage, row in found.items()}, **shown(every)}


def _target(config: Config, minutes: float, used: Mapping[str, Usage]) -> dict[str, Any]:
    """Sizes of blocks for jobs of about ``minutes``; with them all jobs, and of those that are blocks the longest and largest, and
    the share of their time that passes before the work begins."""
    factors = {stage: _factor(stage, used) for stage in ("propagate_signals", "learn_plane")}
    block_size, learning = sizes_for(config, minutes, factors)
    plane = config.learning.model_copy(update={"block_size": learning})
    jobs = plan_jobs(config.model_copy(update={"block_size": block_size, "learning": plane}))
    cut = [job for job in _corrected(jobs, used) if job.stage in _CUT]
    costs = _costs(cut, False)
    return {
        "minutes": minutes,
        "block_size": block_size,
        "learning_block_size": learning,
        "jobs": len(jobs),
        **{key: costs[key] for key in ("memory", "longest_minutes")},
        "start_share": sum(job.start for job in cut) / sum(job.seconds for job in cut),
    }


_HEADINGS = {
    "jobs": "jobs", "cpu_hours": "cpu_hours", "gpu_hours": "gpu_hours", "memory": "memory_mb", "disk": "disk_mb",
    "longest_minutes": "longest_min", "predicted_hours": "predicted_hours", "used_hours": "used_hours", "ratio": "ratio",
    "predicted_memory": "predicted_mb", "used_memory": "used_mb", "memory_ratio": "ratio_mb",
    "start_seconds": "start_cpu_s", "cpu_seconds": "cpu_s", "share": "share",
}  # fmt: skip


def plan_text(made: Mapping[str, Any]) -> str:
    """The report as tables for people."""
    total = {key: made[key] for key in next(iter(made["stages"].values()))}
    parts = [_table({**made["stages"], "all": total})]
    parts.append(
        f"{made['wall_hours']:.3g} hours at least on {made['cores']} {'core' if made['cores'] == 1 else 'cores'}."
    )
    if "used" in made:
        parts += [
            "Predicted against used, by the benchmark files (the plan above is corrected by it):",
            _table(made["used"]),
        ]
    if "outside" in made:
        found = made["outside"]
        every = {key: found[key] for key in next(iter(found["stages"].values()))}
        parts += [
            "CPU time outside the science (start and imports of every job, and Snakemake itself):",
            _table({**found["stages"], "all": every}),
        ]
    if "target" in made:
        t = made["target"]
        parts.append(
            f"For jobs of about {t['minutes']:g} minutes: block_size: {_yaml(t['block_size'])}, learning.block_size: "
            f"{_yaml(t['learning_block_size'])}. Then {t['jobs']} jobs; of the blocks the longest takes "
            f"{t['longest_minutes']:.3g} minutes, the largest {t['memory']:.0f} MB, and {100 * t['start_share']:.2g} % of their time "
            "pass before the work begins."
        )
    return "\n".join([*parts, *(f"Note: {note}." for note in made["notes"])])


def _yaml(value: float) -> str:
    """A large number as YAML reads it back."""
    return f"{value:.1e}".replace("e+", "e")


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Lines of a table: the name of each row, then its numbers."""
    keys = list(next(iter(rows.values())))
    cells = [["stage", *(_HEADINGS[key] for key in keys)]]
    for name, row in rows.items():
        cells.append([name, *(_cell(key, row[key]) for key in keys)])
    wide = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        f"{line[0]:<{wide[0]}}  " + "  ".join(f"{text:>{width}}" for text, width in zip(line[1:], wide[1:]))
        for line in cells
    )


def _cell(key: str, value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if "memory" in key and "ratio" not in key:
        return f"{value:.0f}"
    return f"{value:.1f}" if key == "disk" else f"{value:.3f}" if value < 10 else f"{value:.1f}"
