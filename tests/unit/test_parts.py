"""Long jobs that are killed go on where they stopped, to the same bytes; what is damaged or of another job is not used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from quasicrit.config import blocks, load_config, points
from quasicrit.learning import predictors
from quasicrit.networks import plain_training, training
from quasicrit.networks.propagation import Propagation
from quasicrit.stages import architectures, exponents, initialisations, learn, parts, rank
from quasicrit.stages.parts import Parts
from quasicrit.stages.propagate import propagate_block
from quasicrit.tables import SCHEMAS, write_table

from .test_cascades import NO_FILES, entry
from .test_config import merged
from .test_learning_stages import PLANE


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is kept as soon as it is done."""
    monkeypatch.setattr(parts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(plain_training, "_CHECKPOINT_SECONDS", 0.0)


class Stopper:
    """Counts the calls of a function of a module, and stops the job at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: ModuleType | type, name: str, at: int) -> None:
        self.calls, self.at = 0, at
        real = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        patch.setattr(owner, name, counted)


def interrupted(
    folder: Path,
    work: Callable[[Path], None],
    patch: pytest.MonkeyPatch,
    owner: ModuleType | type,
    name: str,
    at: int,
) -> int:
    """Run ``work`` in a folder, stopped at a call, and again; returns the calls of the second run. Its files must be those of ``work`` alone."""
    (folder / "whole").mkdir()
    (folder / "stopped").mkdir()
    work(folder / "whole")
    with patch.context() as own:
        stopper = Stopper(own, owner, name, at)
        with pytest.raises(KeyboardInterrupt):
            work(folder / "stopped")
        assert list((folder / "stopped").glob(".*.parts/*/*"))
        stopper.calls, stopper.at = 0, 0
        work(folder / "stopped")
    names = sorted(path.name for path in (folder / "whole").iterdir())
    # Nothing is left beside the files of an undisturbed run.
    assert sorted(path.name for path in (folder / "stopped").iterdir()) == names
    for each in names:
        assert (folder / "stopped" / each).read_bytes() == (folder / "whole" / each).read_bytes()
    return stopper.calls


# The pieces themselves --------------------------------------------------------------------------------------


def pieces(path: Path, made: list[int], stop: int | None = None, key: str = "a", inputs: tuple[Path, ...] = ()) -> Any:
    def one(index: int) -> dict[str, Any]:
        if index == stop:
            raise KeyboardInterrupt
        made.append(index)
        array = np.array([0.1 * index, np.nan, -0.0])
        return {"array": array, "rows": [{"x": np.float64(0.1 * index), "n": np.int64(3), "none": None}], "at": index}

    with Parts(path, key, inputs=inputs) as kept:
        return [kept.keep(str(index), lambda index=index: one(index)) for index in range(6)]


def test_only_what_is_left_is_done(tmp_path: Path, eager: None) -> None:
    made: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        pieces(tmp_path / "table", made, stop=4)
    assert made == [0, 1, 2, 3]
    found = pieces(tmp_path / "table", made)
    assert made == [0, 1, 2, 3, 4, 5]
    expected = pieces(tmp_path / "other", [])
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["array"].tobytes() == theirs["array"].tobytes()
        assert (mine["rows"], mine["at"]) == (theirs["rows"], theirs["at"])
    assert not list(tmp_path.iterdir())


def test_a_short_job_writes_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pieces(tmp_path / "table", [], stop=5)
    assert not list(tmp_path.iterdir())


def test_parts_of_another_job_are_not_used(tmp_path: Path, eager: None) -> None:
    source = tmp_path / "events"
    source.write_text("1")
    with pytest.raises(KeyboardInterrupt):
        pieces(tmp_path / "table", [], stop=4, inputs=(source,))
    for key, content in (("b", "1"), ("a", "23")):
        source.write_text(content)
        made: list[int] = []
        with pytest.raises(KeyboardInterrupt):
            pieces(tmp_path / "table", made, stop=4, key=key, inputs=(source,))
        assert made == [0, 1, 2, 3]
        # What the other job had kept is gone.
        assert len(list((tmp_path / ".table.parts").iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b"", lambda b: b[:90] + b"?" + b[91:]])
def test_damaged_parts_are_made_again(tmp_path: Path, eager: None, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        pieces(tmp_path / "table", [], stop=4)
    third = sorted(tmp_path.glob(".table.parts/*/*"))[2]
    third.write_bytes(damage(third.read_bytes()))
    made: list[int] = []
    pieces(tmp_path / "table", made)
    assert made == [2, 4, 5]


# The stages -------------------------------------------------------------------------------------------------


def block(source: str, **changes: Any) -> dict[str, Any]:
    values = merged("smoke.yaml")
    depth = 5000 if source == "tabulated" else 320
    grid = {"name": "only", "protocol": "T", "source": source, "sigma_w": [1.1, 0.9], "sigma_b": [0.1], "width": [32]}
    values["grids"] = [grid | {"depth": [depth], "nets": 20} | changes]
    return blocks(load_config(values))[0].params()


BLOCKS = {
    "chain": block("gaussian"),
    "orthogonal chain": block("gaussian", init=["orthogonal"]),
    "two kinds": block("gaussian", activation=["tanh", "erf"]),
    "tabulated": block("tabulated"),
    "gram": block("gram", inputs=3),
    "orthogonal gram": block("gram", inputs=3, init=["orthogonal"]),
    "weights": block("weights", inputs=2),
    "orthogonal weights": block("weights", init=["orthogonal"]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_propagation_goes_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    def work(folder: Path) -> None:
        if folder.name == "whole":
            monkeypatch.setattr(parts, "SAVE_SECONDS", 1e9)
        propagate_block(BLOCKS[name], folder / "activity.parquet", 9, 16, {"by": "a test"})
        monkeypatch.setattr(parts, "SAVE_SECONDS", 0.0)

    streams = 2 if name == "two kinds" else 1
    spans = 5 if name == "tabulated" else 10
    done = 4 * streams
    # The first layers, before the record begins, are made again; one more call ends the first stream.
    left = streams * (spans + 1) - done + 1
    assert interrupted(tmp_path, work, monkeypatch, Propagation, "__next__", done + 1) == left


@pytest.mark.parametrize("damaged", ["state.npz", "layers-00001.part"])
def test_propagation_starts_again_from_damaged_parts(
    damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    path = tmp_path / "activity.parquet"
    with monkeypatch.context() as own:
        Stopper(own, Propagation, "__next__", 5)
        with pytest.raises(KeyboardInterrupt):
            propagate_block(BLOCKS["chain"], path, 9, 16, {})
    (part,) = tmp_path.glob(f".activity.parquet.parts/*/{damaged}")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    stopper = Stopper(monkeypatch, Propagation, "__next__", 0)
    propagate_block(BLOCKS["chain"], path, 9, 16, {})
    assert stopper.calls == 10 + 1
    monkeypatch.setattr(parts, "SAVE_SECONDS", 1e9)
    propagate_block(BLOCKS["chain"], tmp_path / "whole.parquet", 9, 16, {})
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_job_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    """SIGKILL in the middle of the fifth span of layers."""
    program = f"""
import os, signal
from pathlib import Path
from quasicrit.networks.chain import Chain
from quasicrit.stages import parts
from quasicrit.stages.propagate import propagate_block
parts.SAVE_SECONDS = 0.0
real, calls = Chain.advance, []
def advance(*arguments):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
Chain.advance = advance
propagate_block({BLOCKS["chain"]!r}, Path("stopped.parquet"), 9, 16, {{}})
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=dict(os.environ), check=False)
    assert run.returncode == -signal.SIGKILL
    # What is left is hidden, and no table by its name.
    assert [path.name for path in tmp_path.iterdir()] == [".stopped.parquet.parts"]
    assert not list(tmp_path.rglob("*.parquet"))
    monkeypatch.chdir(tmp_path)
    stopper = Stopper(monkeypatch, Propagation, "__next__", 0)
    propagate_block(BLOCKS["chain"], Path("stopped.parquet"), 9, 16, {})
    assert stopper.calls == 1 + 6 + 1
    propagate_block(BLOCKS["chain"], Path("whole.parquet"), 9, 16, {})
    assert Path("stopped.parquet").read_bytes() == Path("whole.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped.parquet", "whole.parquet"]


def test_the_learning_plane_goes_on_after_the_rates_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    def work(folder: Path) -> None:
        learn.learn_plane(PLANE | {"learning_rate": [0.05, 0.1, 0.2]}, NO_FILES, folder / "learned.parquet", 5, {})

    assert interrupted(tmp_path, work, monkeypatch, learn, "train", 3) == 1


def test_predictors_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    def work(folder: Path) -> None:
        learn.predict_learning(PLANE, NO_FILES, folder / "predictors.parquet", 5, {})

    assert interrupted(tmp_path, work, monkeypatch, predictors, "fluctuation", 6) == 3


def test_ranking_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    inputs = [str(tmp_path / f"{name}.parquet") for name in ("learned", "predictors")]
    learn.learn_plane(PLANE, NO_FILES, inputs[0], 5, {})
    learn.predict_learning(PLANE, NO_FILES, inputs[1], 5, {})
    params = {"bias_split": 0.1, "chance_margin": 0.1, "resamples": 50, "data": {"wine": NO_FILES}}

    def work(folder: Path) -> None:
        made = [folder / f"{name}.parquet" for name in ("ranking", "contests", "lines")]
        rank.rank_predictors(params, inputs[:1], inputs[1:], *made, 5, {})

    # Two rates and the best of them, three groups of biases, two outcomes.
    assert interrupted(tmp_path, work, monkeypatch, rank, "compare_ranks", 12) == 18 - 11


def test_followed_training_goes_on_with_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    params = {
        "task": "wine", "width": 10, "depth": 5, "sigma_w": [1.0, 1.6], "sigma_b": 0.05, "seeds": 2, "learning_rate": 0.1,
        "marks": [0, 4, 9, 60, 120], "images": 8, "batch_size": 32,
    }  # fmt: skip

    def work(folder: Path) -> None:
        learn.follow_training(params, NO_FILES, folder / "followed.parquet", 3, {})

    assert interrupted(tmp_path, work, monkeypatch, learn, "_state", 4) == 2


def test_the_comparison_of_initialisations_is_not_tuned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    params = {
        "task": "wine", "width": 12, "depth": 6, "steps": 40, "learning_rate": [0.3, 0.05], "optimiser": "sgd", "batch_size": 32,
        "tuning_seeds": 2, "seeds": 3,
    }  # fmt: skip

    def work(folder: Path) -> None:
        made = [folder / f"{name}.parquet" for name in ("initialisations", "advice")]
        initialisations.compare_initialisations(params, NO_FILES, *made, 7, {})

    assert interrupted(tmp_path, work, monkeypatch, initialisations, "train", 2) == 1


@pytest.mark.parametrize(("owner", "name", "at", "left"), [
    (architectures, "train_plainly", 3, 2),
    # The second step of the third network.
    (plain_training.nn.functional, "cross_entropy", 12, 5 * 4 - 11 ),
])  # fmt: skip
def test_trained_networks_are_not_trained_again(
    owner: Any, name: str, at: int, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    params = entry()
    params = params | {"nets": 4, "training": params["training"] | {"steps": 5}}

    def work(folder: Path) -> None:
        architectures.train_architecture(
            params, NO_FILES, folder / "states.safetensors", folder / "learning.parquet", 7, {}
        )

    assert interrupted(tmp_path, work, monkeypatch, owner, name, at) == left


def test_fitted_points_are_not_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    some = [point for point in points(load_config(merged("smoke.yaml"))) if point.exponents][:3]
    rng = np.random.default_rng(4)
    events, moments = [], []
    for point in some:
        own = {"source": point.source, "protocol": point.protocol, "point_id": point.point_id}
        low, high = point.window
        for net in range(8):
            duration = np.minimum(np.ceil(rng.pareto(0.5, 400) * low / 2), high).astype(int) + 1
            size = duration**1.5 * rng.lognormal(0, 0.1, 400)
            events += [
                {
                    **own,
                    "net": net,
                    "input": 0,
                    "start": 5 * i,
                    "duration": d,
                    "size": s,
                    "size_raw": s,
                    "censored": "none",
                }
                for i, (d, s) in enumerate(zip(duration.tolist(), size.tolist()))
            ]
            sums = {"d1": duration.sum(), "d2": (duration**2).sum(), "s1": size.sum(), "s2": (size**2).sum()}
            moments += [
                {**own, **sums, "net": net, "depth": depth, "n": 400, "n_censored": 0}
                for depth in (point.depth // 2, point.depth)
            ]  # fmt: skip
    for name, rows in (("events", events), ("moments", moments)):
        write_table(tmp_path / f"{name}.parquet", SCHEMAS[name], rows, {})
    params = {
        "points": [asdict(point) for point in some], "other_windows": (), "min_layers_per_width": 10, "resamples": 40, "tolerance": 0.1,
    }  # fmt: skip

    def work(folder: Path) -> None:
        names = ("exponents", "covariances", "comparisons", "distributions", "cutoffs")
        made = [folder / f"{name}.parquet" for name in names]
        exponents.fit_exponents(params, [tmp_path / "events.parquet"], [tmp_path / "moments.parquet"], *made, 5, {})

    assert interrupted(tmp_path, work, monkeypatch, exponents, "crackling", 3) == 1
