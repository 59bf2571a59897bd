"""The tutorials, docs/brains.md and README.md do what they say: every block is run, and what pages show is compared with what is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from quasicrit.cli import main
from quasicrit.networks import resnet20
from quasicrit.reference import poisson_spikes, random_walk
from quasicrit.scaling import biases_on, neuronal, window_biases
from quasicrit.stages import classify_table
from tests.documents import Page, run_page

from .conftest import REPOSITORY

TUTORIALS = REPOSITORY / "docs/tutorials"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone of the repository holds, without results."""
    folder = tmp_path / "quasicrit"
    folder.mkdir()
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        if name not in ("results", ".ci"):
            os.symlink(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture
def finished(checkout: Path, smoke: Path) -> Path:
    """The same after a whole run of the smoke preset."""
    for name in ("results", ".snakemake"):
        shutil.copytree(smoke / name, checkout / name, symlinks=True)
    return checkout


@pytest.fixture
def _few_reference_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes calibrated on 1000 events of each process in place of 30,000: of these pages only the exit status counts."""
    monkeypatch.setattr(classify_table, "window_biases", partial(window_biases, n_events=1000))
    monkeypatch.setattr(neuronal, "biases_on", partial(biases_on, n_events=1000))


@pytest.mark.parametrize("name", ["events", "engineer"])
def test_a_tutorial_that_makes_its_own_data(tmp_path: Path, name: str) -> None:
    assert run_page(Page(TUTORIALS / f"{name}.md", tmp_path)) > 8


def test_the_tutorial_of_the_figures(finished: Path) -> None:
    """The run of its first block is there already: the one that the other tests of the workflow use, in ``results``."""
    assert run_page(Page(TUTORIALS / "physicist.md", finished, {"results/smoke": "results"})) > 8


def test_the_tutorial_of_a_cluster(checkout: Path) -> None:
    assert run_page(Page(TUTORIALS / "cluster.md", checkout)) > 5


def test_every_tutorial_is_run() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.md")} == {"events", "engineer", "physicist", "cluster"}


@pytest.mark.usefixtures("_few_reference_events")
def test_the_page_on_brains(tmp_path: Path) -> None:
    """On a thirtieth of the data; the numbers of its table are those of the whole (tests/statistical/test_spikes.py has the verdicts)."""
    shorter = {
        "3_000_000": "100_000",
        "1_000_000": "100_000",
        "--stop 12000": "--stop 400",
        "--stop 4000": "--stop 400",
        "--window 4,140": "--window 2,60",
        "--window 4,60": "--window 2,60",
        "300.0, rng": "60.0, rng",
        "--stop 300": "--stop 60",
    }
    assert run_page(Page(REPOSITORY / "docs/brains.md", tmp_path, shorter)) > 5


@pytest.fixture
def supplies(tmp_path: Path) -> Path:
    """Files of a reader, by the names that README.md gives them."""
    folder = tmp_path / "supplies"
    folder.mkdir()
    rng = np.random.default_rng(1)
    nets, layers = 40, 3000
    walks = pd.DataFrame({"net": np.repeat(np.arange(nets), layers), "layer": np.tile(np.arange(1, layers + 1), nets)})
    walks.assign(input=0, log_m=random_walk(nets, layers, rng).ravel()).to_parquet(folder / "activity.parquet")
    activity, events = str(folder / "activity.parquet"), str(folder / "events.parquet")
    assert main(["detect", activity, "--trajectory", "net,input", "--threshold", "median", "--out", events]) == 0
    size, control = np.repeat([8, 16, 32], 21), np.tile(np.linspace(0.9, 1.1, 21), 3)
    value = size**-0.125 * np.tanh(2 + (control - 1) * size) + rng.normal(0, 1e-3, size.size)
    pd.DataFrame({"L": size, "T": control, "m": value, "dm": 1e-3}).to_csv(folder / "curves.csv", index=False)
    width, duration = np.repeat([32, 64, 128], 2000), np.ceil(rng.pareto(0.5, 6000))
    kept = rng.random(width.size) < np.exp(-duration / (4 * width))
    by_width = pd.DataFrame({"width": width, "duration": duration})
    by_width[kept].to_parquet(folder / "events-by-width.parquet")
    trains = poisson_spikes(5.0, 30, 600.0, rng)
    pd.DataFrame({"time": trains.time, "unit": trains.unit}).to_parquet(folder / "recording.parquet")
    (folder / "mynets.py").write_text("from quasicrit.networks import resnet20 as resnet\n", encoding="utf-8")
    save_file(resnet20().state_dict(), folder / "resnet.safetensors")
    np.save(folder / "images.npy", rng.standard_normal((4, 3, 32, 32), dtype=np.float32))
    return folder


@pytest.mark.usefixtures("_few_reference_events")
@pytest.mark.parametrize(("name", "least"), [("README.md", 10), ("docs/running.md", 3), ("docs/initialisation.md", 1)])
def test_pages_without_data_of_their_own(finished: Path, supplies: Path, name: str, least: int) -> None:
    """Every ``quasicrit`` and every piece of Python in them runs, on the files and the names that they take for given."""
    page = Page(
        REPOSITORY / name,
        finished,
        names={"model": resnet20(), "loader": [torch.zeros(4, 3, 32, 32)]},
        supplies=supplies,
        plain="sh",
        only="quasicrit ",
        # The ResNet has nine such layers, which are too few for exponents.
        refused={"quasicrit classify events.parquet --cluster input"},
    )
    assert run_page(page) >= least
