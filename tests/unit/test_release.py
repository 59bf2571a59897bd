"""The release says one version, on one day, everywhere; and can be cited."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import quasicrit
from quasicrit.cli import main

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def citation() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8")))


def newest() -> tuple[str, str]:
    """Version and date of the topmost heading of the changelog."""
    heading = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert heading
    return heading[1], heading[2]


def test_one_version() -> None:
    version = project()["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    # Of an installation that is older than pyproject.toml this fails: make setup.
    assert quasicrit.__version__ == version
    assert str(citation()["version"]) == version
    assert newest()[0] == version
    with pytest.raises(AttributeError, match="no attribute 'version'"):
        _ = quasicrit.version


def test_no_module_says_the_version_again() -> None:
    stated = [
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if re.search(rf"[\"']{re.escape(project()['version'])}[\"']", path.read_text(encoding="utf-8"))
    ]
    assert stated == []


def test_the_command_prints_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"quasicrit {project()['version']}\n", "")
    module = subprocess.run(
        [sys.executable, "-m", "quasicrit", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout == f"quasicrit {project()['version']}\n"


def test_citation_has_what_the_format_requires() -> None:
    found = citation()
    # Citation File Format 1.2.0: these four, and of a reference authors, title and type.
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert found["cff-version"] == "1.2.0"
    assert found["type"] == "software"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(found["date-released"]))
    assert str(found["date-released"]) == newest()[1]
    for reference in found["references"]:
        assert {"authors", "title", "type"} <= set(reference)
    for author in [*found["authors"], *(one for reference in found["references"] for one in reference["authors"])]:
        assert author.get("name") or author.get("family-names")
    assert "https://arxiv.org/abs/2509.22649" in {reference["url"] for reference in found["references"]}


def test_one_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith(f"{project()['license']} License")
    assert citation()["license"] == project()["license"]
    # Who holds the rights is who is named as author.
    [author] = [one["name"] for one in project()["authors"]]
    assert author in text
    assert author in {one.get("name") for one in citation()["authors"]}
