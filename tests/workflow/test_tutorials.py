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


@pytest.mark.usefixtures("_few_reference_events")
def test_the_readme(finished: Path) -> None:
    """Every ``quasicrit`` and every piece of Python in it runs, on the files that it names."""
    import torch
    from safetensors.torch import save_file

    from quasicrit.networks import resnet20

    rng = np.random.default_rng(1)
    walks = random_walk(40, 3000, rng)
    pd.DataFrame(
        {
            "net": np.repeat(np.arange(40), 3000),
            "input": 0,
            "layer": np.tile(np.arange(1, 3001), 40),
            "log_m": walks.ravel(),
        }
    ).to_parquet(finished / "activity.parquet")
    sizes = np.repeat([8.0, 16.0, 32.0], 21)
    control = np.tile(np.linspace(0.9, 1.1, 21), 3)
    value = sizes**-0.125 * np.tanh(2 + (control - 1) * sizes) + rng.normal(0, 1e-3, sizes.size)
    curves = pd.DataFrame({"L": sizes.astype(int), "T": control, "m": value, "dm": 1e-3})
    curves.to_csv(finished / "curves.csv", index=False)
    widths = np.repeat([32, 64, 128], 2000)
    durations = np.ceil(rng.pareto(0.5, widths.size))
    kept = rng.random(widths.size) < np.exp(-durations / (4 * widths))
    by_width = pd.DataFrame({"width": widths, "duration": durations})[kept]
    by_width.to_parquet(finished / "events-by-width.parquet")
    trains = poisson_spikes(5.0, 30, 600.0, rng)
    pd.DataFrame({"time": trains.time, "unit": trains.unit}).to_parquet(finished / "recording.parquet")
    (finished / "mynets.py").write_text("from quasicrit.networks import resnet20 as resnet\n", encoding="utf-8")
    model = resnet20()
    save_file(model.state_dict(), finished / "resnet.safetensors")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    np.save(finished / "images.npy", images.numpy())
    ran = run_page(
        Page(
            REPOSITORY / "README.md",
            finished,
            names={"model": model, "loader": [images]},
            plain="sh",
            only="quasicrit ",
            # A ResNet of nine layers, which is too short for exponents.
            refused={"quasicrit classify events.parquet --cluster input"},
        )
    )
    assert ran > 10
