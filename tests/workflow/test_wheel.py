"""What is released: the wheel alone answers outside the repository, and the source build holds the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quasicrit
from tests.workflow.conftest import REPOSITORY, snakemake

UV = str(Path(sys.executable).with_name("uv"))
NAME = f"quasicrit-{quasicrit.__version__}"
#: What a source build holds, besides single files.
FOLDERS = ("src", "workflow", "scripts", "envs", "tests", "docs")
FILES = (
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
    "Snakefile",
    "config.yaml",
    "Makefile",
    "pyproject.toml",
)
#: Several commands in one process, in which the opening of any file of the repository is an error, as the last two lines show.
WATCHED = """
import json, sys
files, installed, commands = json.loads(sys.argv[1])
def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(tuple(files)):
        raise RuntimeError(f"{arguments[0]} is a file of the repository")
sys.addaudithook(refuse)
import quasicrit.cli
assert quasicrit.cli.__file__.startswith(installed), quasicrit.cli.__file__
for command in commands:
    assert quasicrit.cli.main(command) == 0
try: open(files[-1])
except RuntimeError: print("watched")
"""


def built(folder: Path, *options: str) -> Path:
    """Build into ``folder``, with the hatchling that is installed here and no network."""
    command = [UV, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--out-dir", str(folder), *options, str(REPOSITORY)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source build, and the wheel that was made from it."""
    return built(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def installed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    [wheel] = release.glob("*.whl")
    command = [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def elsewhere(installed: Path, tmp_path: Path) -> dict[str, Any]:
    """How to start a process in an unrelated folder that knows the installed wheel only."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # Libraries lie in the environment; byte code of the wheel stays out of it.
    return {"cwd": tmp_path, "env": {**inherited, "PYTHONPATH": str(installed)}, "text": True, "check": False}


def own_files(folder: Path) -> set[str]:
    """Files below ``folder``, without byte code and what tools leave behind."""
    return {
        path.relative_to(REPOSITORY).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
    }


def test_the_source_build_holds_what_a_run_needs_and_no_results(release: Path, tmp_path: Path) -> None:
    with tarfile.open(release / f"{NAME}.tar.gz") as archive:
        held = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    wanted = set.union(set(FILES), *(own_files(REPOSITORY / folder) for folder in FOLDERS))
    assert wanted <= held
    # Beside it: what is written about results, and what the build adds.
    assert held - wanted == {"PKG-INFO", ".gitignore", "results/README.md"}
    # Its workflow can be read and planned.
    program, *arguments = snakemake(tmp_path / "run", "-n", "--quiet")
    unpacked = [part.replace(str(REPOSITORY), str(tmp_path / NAME)) for part in arguments]
    planned = subprocess.run([program, *unpacked], capture_output=True, text=True, check=False, timeout=120)
    assert planned.returncode == 0, planned.stdout + planned.stderr


def test_the_wheel_is_the_same_from_the_source_build_and_from_the_repository(release: Path, tmp_path: Path) -> None:
    [through_source] = release.glob("*.whl")
    [direct] = built(tmp_path / "direct", "--wheel").glob("*.whl")
    contents = []
    for path in (through_source, direct):
        with zipfile.ZipFile(path) as wheel:
            contents.append({name: wheel.read(name) for name in wheel.namelist()})
    assert contents[0] == contents[1]
    # The package whole, data included; no tests, no workflow.
    package = {name for name in contents[0] if not name.startswith(f"{NAME}.dist-info/")}
    assert package == {name.removeprefix("src/") for name in own_files(REPOSITORY / "src")}
    assert f"{NAME}.dist-info/licenses/LICENSE" in contents[0]


def test_the_installed_command_answers_outside_the_repository(
    installed: Path, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    # A continuous power law of exponent 2.5 from 1.
    size = (1 - np.random.default_rng(5).random(2000)) ** (-1 / 1.5)
    (tmp_path / "events.csv").write_text("size\n" + "\n".join(map(str, size)) + "\n", encoding="utf-8")
    files = [*(str(REPOSITORY / folder) + os.sep for folder in FOLDERS), *(str(REPOSITORY / name) for name in FILES)]
    of_size = ["fit", "events.csv", "--column", "size", "--resamples", "50", "--json"]
    commands = [
        ["theory", "--sigma-w", "1.1", "--sigma-b", "0.1", "--json"],
        [*of_size, "--xmin", "1"],
        [*of_size, "--search-range"],
    ]
    arguments = json.dumps([files, str(installed), commands])
    done = subprocess.run([sys.executable, "-c", WATCHED, arguments], capture_output=True, timeout=120, **elsewhere)
    assert done.returncode == 0, done.stderr
    *answers, watched = done.stdout.splitlines()
    theory, fit, searched = map(json.loads, answers)
    assert theory["phase"] == "ordered"
    assert fit["ci_low"] < 2.5 < fit["ci_high"]
    # The search for a range needs the data of the package, its critical values.
    assert searched["n"] > 100
    assert watched == "watched"
    # Both other ways to start it.
    for command in ([str(installed / "bin" / "quasicrit")], [sys.executable, "-m", "quasicrit"]):
        done = subprocess.run([*command, "--version"], capture_output=True, timeout=120, **elsewhere)
        assert (done.returncode, done.stdout) == (0, f"quasicrit {quasicrit.__version__}\n"), done.stderr
