"""The block planner: its jobs against Snakemake's, its costs in proportion, its factors on benchmark files made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.settings.enums import Quietness

from quasicrit.cli import main
from quasicrit.config import Config, Grid, blocks, load_config
from quasicrit.errors import ConfigError, TableError
from quasicrit.stages.plan import _ON_GPU, MODELS, Job, plan_jobs, request_memory, request_minutes, save_configuration
from quasicrit.stages.plan_report import merge, plan_report, read_configuration, usage_of

ROOT = Path(__file__).parents[2]
DEFAULT = str(ROOT / "config.yaml")
SMOKE = str(ROOT / "workflow/presets/smoke.yaml")
PAPER = str(ROOT / "workflow/presets/paper.yaml")

Write = Callable[[Mapping[str, Any]], str]


def config(**over: Any) -> Config:
    values = merge(yaml.safe_load(Path(DEFAULT).read_text("utf-8")), yaml.safe_load(Path(SMOKE).read_text("utf-8")))
    return load_config(merge(values, over))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file and return its path."""

    def call(values: Mapping[str, Any]) -> str:
        path = tmp_path / f"over{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
        return str(path)

    return call


def log(results: Path, job: Job, start: float, total: float) -> None:
    path = results / "logs" / f"{job.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'done in 9.9 s\n{{"cpu_start": {start}, "cpu": {total}}}\n', encoding="utf-8")


def benchmark(results: Path, job: Job, seconds: float, memory: str = "100.0") -> None:
    path = results / "benchmarks" / f"{job.name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:00\t{memory}\t0.0\n", encoding="utf-8")


# The jobs --------------------------------------------------------------------------------------------------


def test_the_jobs_are_those_of_snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dry run: the same rules and benchmark files, and resources that the planner's jobs give."""
    monkeypatch.chdir(tmp_path)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[Path(SMOKE)]),
            snakefile=ROOT / "Snakefile",
            workdir=tmp_path,
        )
        workflow.dag(dag_settings=DAGSettings()).execute_workflow(executor="dryrun")
        jobs = [job for job in workflow._workflow.dag.jobs if job.rule.name != "all"]
        asked = {
            (job.rule.name, str(job.benchmark).removeprefix("results/benchmarks/").removesuffix(".tsv")): (
                job.resources["mem_mb"],
                job.resources["runtime"],
            )
            for job in jobs
        }
    planned = {(job.stage, job.name): job for job in plan_jobs(read_configuration([DEFAULT, SMOKE]))}
    logs = {str(log).removeprefix("results/logs/").removesuffix(".log") for job in jobs for log in job.log}
    assert len(asked) == len(jobs)
    assert logs == {name for _, name in asked}  # a job's log and benchmark file have one name
    assert sorted(asked) == sorted(planned)
    assert asked == {key: (request_memory(job), request_minutes(job)) for key, job in planned.items()}
    assert not (tmp_path / "results").exists()


def test_the_groups_of_the_slurm_profile_hold_rules_of_one_device() -> None:
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text("utf-8"))
    devices: dict[str, set[bool]] = {}
    for job in plan_jobs(config()):
        if group := profile["groups"].pop(job.stage, None):
            devices.setdefault(group, set()).add(job.stage in _ON_GPU)
    assert not profile["groups"], "no such rules"
    assert set(profile["group-components"]) <= set(devices)
    assert all(len(kinds) == 1 for kinds in devices.values())


def test_every_model_is_used_and_every_stage_has_one() -> None:
    stages = {job.stage for job in plan_jobs(config())}
    assert {name.split()[0] for name in MODELS} - {"fetch_data"} == stages


def test_fetched_tasks_are_jobs() -> None:
    made = plan_jobs(config(data={"folder": "data", "fetch": True}, training={"task": "mnist"}))
    assert [(job.stage, job.name) for job in made if job.stage.startswith("fetch")] == [
        ("fetch_mnist", "fetch_data/mnist")
    ]
    assert not [job for job in plan_jobs(config()) if job.stage.startswith("fetch")]


# The costs -------------------------------------------------------------------------------------------------


def one_grid(nets: int = 64, width: int = 32, depth: int = 1000, source: str = "gaussian") -> Config:
    grid = Grid(
        name="one", source=source, protocol="T", sigma_w=("critical",), width=(width,), depth=(depth,), nets=nets, window=(4, 16)
    )  # fmt: skip
    return config().model_copy(update={"grids": (grid,), "block_size": 1e30})


def stage_job(made: Config, stage: str) -> Job:
    (job,) = [job for job in plan_jobs(made) if job.stage == stage and "/S/" not in job.name]
    return job


def work(job: Job, model: str) -> float:
    return job.seconds - MODELS[model].start


@pytest.mark.parametrize(
    ("source", "over", "factor"),
    [
        ("gaussian", {"nets": 640}, 10),
        ("gaussian", {"depth": 3000}, 3),
        ("weights", {"nets": 640}, 10),
        ("tabulated", {"width": 96}, 1),
        ("tabulated", {"depth": 3000}, 3),
    ],
)
def test_propagation_costs_in_proportion(source: str, over: dict[str, int], factor: float) -> None:
    small, big = (stage_job(one_grid(source=source, **o), "propagate_signals") for o in ({}, over))
    model = f"propagate_signals {source}"
    assert work(big, model) == pytest.approx(factor * work(small, model))
    assert big.disk_mb == pytest.approx(factor * small.disk_mb)


def test_weights_cost_the_square_of_the_width() -> None:
    rate = MODELS["propagate_signals weights"].rates["units"]
    one, two = (stage_job(one_grid(source="weights", width=width), "propagate_signals") for width in (32, 64))
    assert two.seconds - one.seconds == pytest.approx(64 * 1000 * (64**2 - 32**2) / rate)


def test_detection_holds_its_block_in_memory() -> None:
    one, two = (stage_job(one_grid(nets=nets), "detect_avalanches") for nets in (64, 6400))
    # ln m alone is a float32 a row
    assert two.memory_mb - one.memory_mb >= 4 * (6400 - 64) * 1000 / 1e6
    assert work(two, "detect_avalanches") == pytest.approx(100 * work(one, "detect_avalanches"))


def test_networks_that_only_pad_a_group_cost_nothing() -> None:
    made = one_grid(nets=17).model_copy(update={"group_size": 16})
    assert blocks(made)[0].parts[0][2] == 2
    job = stage_job(made, "propagate_signals")
    assert work(job, "propagate_signals gaussian") == pytest.approx(17000 * (32 / 1.1e8 + 1 / 5e7), rel=1e-6)


def test_training_costs_its_multiplications() -> None:
    def seconds(**learning: Any) -> float:
        made = plan_jobs(config(learning={"block_size": 1e30, **learning}))
        learnt = [job for job in made if job.stage == "learn_plane"]
        return sum(work(job, "learn_plane") for job in learnt)

    assert seconds(width=[32]) == pytest.approx(4 * seconds(width=[16]))
    # 8 points, 30 steps, 2 seeds, 2 rates, depth 5, on two tasks
    expected = 2 * 8 * 64 * 16**2 * (30 * 2 * 2 * 5)
    assert seconds() == pytest.approx(expected / MODELS["learn_plane"].rates["multiplications"])


def test_architectures_cost_their_training_steps() -> None:
    def total(**over: Any) -> dict[str, float]:
        made = plan_jobs(config(architectures=over))
        return {job.name: job.seconds for job in made if job.stage == "train_architecture"}

    few, many = total(steps=3), total(steps=300)
    assert few["train_architecture/blocks"] == many["train_architecture/blocks"]  # not trained
    for name in set(few) - {"train_architecture/blocks"}:
        assert many[name] > few[name]
    one, two = (total(nets=nets)["train_architecture/resnet"] - 2.0 for nets in (6, 12))
    assert two == pytest.approx(2 * one)


def test_resources_have_room_and_a_floor() -> None:
    assert (request_memory(Job("x", "x", 1.0, 10.0)), request_minutes(Job("x", "x", 1.0, 10.0))) == (1000, 5)
    assert (request_memory(Job("x", "x", 3600.0, 4000.0)), request_minutes(Job("x", "x", 3600.0, 4000.0))) == (
        8000,
        180,
    )


# The command -----------------------------------------------------------------------------------------------


def test_files_merge_as_snakemake_merges_them(write: Write) -> None:
    assert merge({"a": {"b": [1, 2], "c": 3}, "d": 4}, {"a": {"b": [5]}, "d": {"e": 6}}) == {
        "a": {"b": [5], "c": 3},
        "d": {"e": 6},
    }
    made = read_configuration([DEFAULT, SMOKE, write({"training": {"seeds": 7}, "theory": {"depths": [20, 40]}})])
    assert made.training.seeds == 7
    assert made.training.steps == 20  # smoke
    assert made.training.learning_rate == 0.03  # config.yaml
    assert made.theory.depths == (20, 40)
    assert [grid.name for grid in made.grids] == [grid.name for grid in config().grids]


def test_json_has_the_keys_of_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", DEFAULT, SMOKE, "--cores", "2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    for costs in (made, *made["stages"].values()):
        assert {"jobs", "cpu_hours", "gpu_hours", "memory", "disk"} <= set(costs)
    assert made["jobs"] == sum(stage["jobs"] for stage in made["stages"].values()) == len(plan_jobs(config()))
    assert made["cpu_hours"] == pytest.approx(sum(stage["cpu_hours"] for stage in made["stages"].values()))
    assert made["memory"] == max(stage["memory"] for stage in made["stages"].values())
    assert made["disk"] == pytest.approx(sum(stage["disk"] for stage in made["stages"].values()))
    assert made["gpu_hours"] == 0
    assert made["wall_hours"] == pytest.approx(made["cpu_hours"] / 2)
    assert made["reasons"] == {}


def test_hours_of_a_gpu_are_those_of_its_stages_on_the_cpu(tmp_path: Path) -> None:
    on_gpu = tmp_path / "gpu.yaml"
    on_gpu.write_text("device: cuda\n", encoding="utf-8")
    made, plain = plan_report([DEFAULT, SMOKE, str(on_gpu)]), plan_report([DEFAULT, SMOKE])
    assert made["cpu_hours"] == plain["cpu_hours"]
    for stage in ("train_networks", "learn_plane", "record_architecture"):
        assert made["stages"][stage]["gpu_hours"] == made["stages"][stage]["cpu_hours"] > 0
    assert 0 < made["stages"]["propagate_signals"]["gpu_hours"] < made["stages"]["propagate_signals"]["cpu_hours"]
    assert made["stages"]["detect_avalanches"]["gpu_hours"] == 0
    assert made["gpu_hours"] == pytest.approx(sum(stage["gpu_hours"] for stage in made["stages"].values()))
    assert any("upper bound" in note and "measured none" in note for note in made["notes"])
    assert plain["notes"] == []


def test_no_run_is_faster_than_its_longest_job() -> None:
    made = plan_report([DEFAULT, SMOKE], cores=10_000)
    assert made["wall_hours"] == pytest.approx(made["longest_minutes"] / 60)


def test_the_table_shows_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", DEFAULT, SMOKE, "--cores", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["stage", "jobs", "cpu_hours", "gpu_hours", "memory_mb", "disk_mb", "longest_min"]
    shown = {line.split()[0]: line.split()[1] for line in lines[1:-1]}
    assert shown["calibrate_classes"] == "2"
    assert shown["all"] == str(len(plan_jobs(config())))
    assert lines[-1].endswith("hours at least on 2 cores.")


def test_blocks_of_a_target_length() -> None:
    """Blocks of the recommended sizes take the time that was asked for, where the grids can fill them."""
    made = plan_report([DEFAULT, PAPER], target_minutes=10)
    target = made["target"]
    assert target["longest_minutes"] == pytest.approx(10, rel=0.1)
    planned = read_configuration([DEFAULT, PAPER])
    plane = planned.learning.model_copy(update={"block_size": target["learning_block_size"]})
    again = plan_jobs(planned.model_copy(update={"block_size": target["block_size"], "learning": plane}))
    assert len(again) == target["jobs"]
    for stage in ("propagate_signals", "learn_plane"):
        assert max(job.seconds for job in again if job.stage == stage) == pytest.approx(600, rel=0.25)


def test_predicted_against_used(tmp_path: Path) -> None:
    """Half of one stage's jobs at 3 times the prediction, all of another at half, the rest never ran."""
    plain = plan_report([DEFAULT, SMOKE])
    jobs = plan_jobs(config())
    slow = [job for job in jobs if job.stage == "detect_avalanches"]
    quick = [job for job in jobs if job.stage == "draw_figure"]
    for job in slow[::2]:
        benchmark(tmp_path, job, 3 * job.seconds, memory=str(2 * job.memory_mb))
    for job in quick:
        benchmark(tmp_path, job, 0.5 * job.seconds, memory="-" if job is quick[0] else "120")
    made = plan_report([DEFAULT, SMOKE], results=str(tmp_path))
    assert set(made["used"]) == {"detect_avalanches", "draw_figure"}
    assert made["used"]["detect_avalanches"]["jobs"] == len(slow[::2]) > 5
    assert made["used"]["detect_avalanches"]["ratio"] == pytest.approx(3)
    assert made["used"]["draw_figure"]["ratio"] == pytest.approx(0.5)
    assert made["used"]["draw_figure"]["used_memory"] == 120
    # The plan is corrected: time by each stage's factor, memory upwards only, a stage that is missing by all of them together.
    factors = {
        stage: costs["cpu_hours"] / plain["stages"][stage]["cpu_hours"] for stage, costs in made["stages"].items()
    }
    assert factors["detect_avalanches"] == pytest.approx(3)
    assert factors["draw_figure"] == pytest.approx(0.5)
    ran = slow[::2], quick
    used = 3 * sum(j.seconds for j in ran[0]) + 0.5 * sum(j.seconds for j in ran[1])
    assert factors["learn_plane"] == pytest.approx(used / sum(j.seconds for part in ran for j in part))
    memory = {stage: costs["memory"] / plain["stages"][stage]["memory"] for stage, costs in made["stages"].items()}
    assert memory["detect_avalanches"] == pytest.approx(2)
    assert memory["draw_figure"] == memory["learn_plane"] == 1
    assert any("no config.json" in note for note in made["notes"])
    assert any(f"{len(slow[::2]) + len(quick)} of the {len(jobs)} jobs" in note for note in made["notes"])


def test_a_run_is_compared_with_its_own_configuration(tmp_path: Path) -> None:
    """The factors of a small run hold for the plan of another configuration."""
    ran = config(results=str(tmp_path / "small"), classes={"confusion_events": 4000})
    save_configuration(ran)
    saved = tmp_path / "small/config.json"
    assert load_config(json.loads(saved.read_text("utf-8"))) == ran
    for job in plan_jobs(ran):
        benchmark(tmp_path / "small", job, 2 * job.seconds)
        log(tmp_path / "small", job, 1.0, 4.0)
    (tmp_path / "small/logs/snakemake.jsonl").write_text('{"cpu": 9.0}\n', encoding="utf-8")
    made = plan_report([DEFAULT, PAPER], results=ran.results)
    assert made["notes"] == []
    assert all(used["ratio"] == pytest.approx(2) for used in made["used"].values())
    assert made["cpu_hours"] == pytest.approx(2 * plan_report([DEFAULT, PAPER])["cpu_hours"])
    # A machine half as fast gets blocks of half the size.
    sizes = [plan_report([DEFAULT, PAPER], r, target_minutes=60)["target"] for r in (None, ran.results)]
    assert sizes[1]["block_size"] == pytest.approx(sizes[0]["block_size"] / 2, rel=0.05)
    assert sizes[1]["learning_block_size"] == pytest.approx(sizes[0]["learning_block_size"] / 2, rel=0.05)


def test_share_of_cpu_time_outside_the_science(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two stages and two runs of Snakemake: shares by stage and in all; failed and missing jobs count for nothing."""
    jobs = plan_jobs(config())
    slow = [job for job in jobs if job.stage == "detect_avalanches"][:4]
    quick = [job for job in jobs if job.stage == "draw_figure"][:2]
    for job in (*slow, *quick):
        benchmark(tmp_path, job, job.seconds)
    for job in slow:
        log(tmp_path, job, 1.0, 10.0)
    (tmp_path / "logs" / f"{slow[3].name}.log").write_text("Traceback\n", encoding="utf-8")
    for job in quick:
        log(tmp_path, job, 1.5, 3.0)
    made = plan_report([DEFAULT, SMOKE], results=str(tmp_path))
    assert any("no CPU time of Snakemake" in note for note in made["notes"])
    assert made["outside"]["share"] == pytest.approx(6 / 36)
    (tmp_path / "logs/snakemake.jsonl").write_text('{"cpu": 5.0}\n{"cpu": 4.0}\n', encoding="utf-8")
    assert main(["plan", DEFAULT, SMOKE, "--from", str(tmp_path), "--json"]) == 0
    outside = json.loads(capsys.readouterr().out)["outside"]
    assert {stage: (row["jobs"], row["share"]) for stage, row in outside["stages"].items()} == {
        "detect_avalanches": (3, pytest.approx(0.1)),
        "draw_figure": (2, pytest.approx(0.5)),
        "snakemake": (0, 1.0),
    }
    assert (outside["jobs"], outside["start_seconds"], outside["cpu_seconds"]) == (5, 15.0, 45.0)
    assert outside["share"] == pytest.approx(1 / 3)
    assert main(["plan", DEFAULT, SMOKE, "--from", str(tmp_path)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stage", "jobs", "start_cpu_s", "cpu_s", "share"] in shown
    assert ["draw_figure", "2", "3.000", "6.000", "0.500"] in shown
    assert ["all", "5", "15.0", "45.0", "0.333"] in shown


def test_a_run_without_cpu_times_says_so(tmp_path: Path) -> None:
    benchmark(tmp_path, plan_jobs(config())[0], 1.0)
    made = plan_report([DEFAULT, SMOKE], results=str(tmp_path))
    assert "outside" not in made
    assert any("hold no CPU times" in note for note in made["notes"])


def test_a_broken_line_of_the_main_process_is_named(tmp_path: Path) -> None:
    job = plan_jobs(config())[0]
    benchmark(tmp_path, job, 1.0)
    log(tmp_path, job, 1.0, 2.0)
    (tmp_path / "logs/snakemake.jsonl").write_text('{"cpu": 5.0}\n{"cp', encoding="utf-8")
    with pytest.raises(TableError, match=r"snakemake\.jsonl: each line must be"):
        plan_report([DEFAULT, SMOKE], results=str(tmp_path))


def test_full_blocks_start_in_a_small_share_of_their_time() -> None:
    """Start over seconds of all blocks, the last and smaller ones too; requirement 5 % at an hour."""
    target = plan_report([DEFAULT, PAPER], target_minutes=60)["target"]
    planned = read_configuration([DEFAULT, PAPER])
    plane = planned.learning.model_copy(update={"block_size": target["learning_block_size"]})
    again = plan_jobs(planned.model_copy(update={"block_size": target["block_size"], "learning": plane}))
    cut = [job for job in again if job.stage in ("propagate_signals", "record_units", "detect_avalanches", "learn_plane", "predict_learning")]  # fmt: skip
    assert target["start_share"] == pytest.approx(sum(job.start for job in cut) / sum(job.seconds for job in cut))
    assert 0 < target["start_share"] <= 0.05
    full = max(cut, key=lambda job: job.seconds)
    assert full.start / full.seconds < 0.001


def test_an_altered_configuration_of_a_run_is_named(tmp_path: Path) -> None:
    save_configuration(config(results=str(tmp_path), seed=2))
    saved = tmp_path / "config.json"
    times = saved.stat().st_mtime_ns
    save_configuration(config(results=str(tmp_path), seed=2))
    assert saved.stat().st_mtime_ns == times
    saved.write_text(saved.read_text("utf-8").replace('"seed": 2,', '"seed": 3,'), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"config\.json: it is altered; delete it and config\.json\.sha256, and run again"
    ):
        plan_report([DEFAULT], results=str(tmp_path))
    save_configuration(config(results=str(tmp_path), seed=2))
    assert load_config(json.loads(saved.read_text("utf-8"))).seed == 2


@pytest.mark.parametrize(
    "text", ["", "s\tmax_rss\n", "s\tmax_rss\n1.0\n", "a\tb\n1\t2\n", "s\tmax_rss\nlong\t1\n", "s\tmax_rss\nnan\t1\n"]
)
def test_a_file_that_is_no_benchmark_is_named(tmp_path: Path, text: str) -> None:
    job = plan_jobs(config())[0]
    benchmark(tmp_path, job, 1.0)
    path = tmp_path / "benchmarks" / f"{job.name}.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match="is no benchmark file of Snakemake"):
        usage_of(str(tmp_path), [job])


def test_missing_keys_say_that_the_files_are_all_there_is() -> None:
    with pytest.raises(ConfigError, match=r"protocols: this key is missing.*the files given are all there is"):
        read_configuration([PAPER])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'CONFIG...'"),
        (("nowhere.yaml",), "nowhere.yaml: No such file"),
        ((DEFAULT, "{broken}"), "is no YAML"),
        ((DEFAULT, "{list}"), "holds no configuration"),
        ((DEFAULT, "{wrong}"), "sead = 3: this key is not known"),
        ((DEFAULT, "--from", "nowhere"), "nowhere: there is no such folder"),
        ((DEFAULT, "--from", "{empty}"), "no benchmark file"),
        ((DEFAULT, "--from", "{saved}"), "config.json is no JSON"),
        ((DEFAULT, "--target-minutes", "0"), "--target-minutes"),
        ((DEFAULT, "--target-minutes", "nan"), "--target-minutes"),
        ((DEFAULT, "--cores", "0"), "--cores"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    for name, text in (("broken", "a: [1"), ("list", "- 1"), ("wrong", "sead: 3")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "config.json").write_text("{", encoding="utf-8")
    given = [str(tmp_path / a[1:-1]) if a.startswith("{") else a for a in arguments]
    assert main(["plan", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
