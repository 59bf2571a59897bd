"""The recipes of docs/contributing.md, followed to the letter in a copy of the package: every new entry works, and without it none does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quasicrit

from .contributed import RECIPES

ROOT = Path(__file__).parents[2]
PACKAGE = Path(quasicrit.__file__).parent
PAGE = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
#: Kind, path from the root, and content of every block that says which file it belongs to.
BLOCKS = re.findall(r"^```(diff|python) (src/\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def changed(text: str, diff: str) -> str:
    """``text`` with one change made, written as context and lines that begin with - and +; its place must be the only one."""
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] or line for line in lines if line[0] != sign) for sign in "+-")
    assert text.count(before) == 1, f"found {text.count(before)} times:\n{before}"
    return text.replace(before, after)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the package in which all recipes were followed."""
    root = tmp_path_factory.mktemp("house")
    # With its caches, or numba would compile everything again.
    shutil.copytree(PACKAGE, root / "src/quasicrit")
    for kind, path, content in BLOCKS:
        file = root / path
        assert file.exists() == (kind == "diff"), path
        file.write_text(content if kind == "python" else changed(file.read_text("utf-8"), content), encoding="utf-8")
    return root


def run(package: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.contributed"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert made.pop("package") == str(package)
    return made


@pytest.fixture(scope="module")
def outcome(house: Path) -> dict[str, str]:
    return run(house / "src/quasicrit")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_all_that_a_new_entry_needs(recipe: str, outcome: dict[str, str]) -> None:
    assert f"\n## {recipe}\n" in PAGE
    assert outcome[recipe] == ""


def test_without_the_recipes_nothing_works() -> None:
    assert all(run(PACKAGE).values())


def test_the_code_of_the_page_is_as_the_house_writes_it(house: Path) -> None:
    files = sorted({str(house / path) for _, path, _ in BLOCKS})
    shutil.copy(ROOT / "pyproject.toml", house)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *files], capture_output=True, text=True, check=False, cwd=house
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_recipe_is_two_entries_or_a_file_and_an_entry() -> None:
    for recipe in RECIPES:
        _, _, section = PAGE.partition(f"\n## {recipe}\n")
        own = re.findall(r"^```(diff|python) (src/\S+)$", section.partition("\n## ")[0], re.MULTILINE)
        assert 1 <= len({path for _, path in own}) <= (3 if recipe == "A universality class" else 2)


def test_a_change_needs_its_place() -> None:
    assert changed("a\nb\nc\n", " b\n+d\n-c\n") == "a\nb\nd\n"
    for text in ("a\n", "b\nc\nb\nc\n"):
        with pytest.raises(AssertionError, match=r"found [02] times"):
            changed(text, " b\n+d\n-c\n")


def test_every_path_of_the_page_is_there() -> None:
    made = {path for kind, path, _ in BLOCKS if kind == "python"}
    for name in re.findall(r"`((?:[a-z_]+/)+[a-zA-Z_]+\.(?:py|smk|md|yaml))`", PAGE):
        assert any((folder / name).is_file() for folder in (ROOT, PACKAGE)) or f"src/quasicrit/{name}" in made, name
