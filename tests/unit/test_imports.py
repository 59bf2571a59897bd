"""The rooms of the house: who may import whom (arrows run downwards only)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import quasicrit

ROOT = Path(quasicrit.__file__).parent
BASE = {"errors", "__init__"}
ALLOWED = {
    "errors": set(),
    "rng": set(),
    "fingerprint": set(),
    "points": set(),
    "tables": set(),
    "values": set(),
    "config": {"families", "points", "theory", "values"},
    "theory": set(),
    "statistics": {"rng"},
    "reference": {"avalanches", "rng"},
    "tails": {"statistics", "rng"},
    "avalanches": {"theory", "rng"},
    "networks": {"theory", "rng", "tables"},
    "families": {"networks", "theory", "values"},
    "learning": {"theory", "networks", "statistics"},
    "scaling": {"tails", "avalanches", "reference", "rng", "statistics"},
    "figures": {"tables"},
    "stages": {
        "avalanches", "config", "families", "figures", "learning", "networks", "points", "reference", "rng", "scaling", "statistics", "tables", "tails", "theory",
    },
    "cli": {"stages"},
    "__main__": {"cli"},
}  # fmt: skip


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports() -> list[tuple[str, str, str]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        here = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "quasicrit":
                names = [node.module] if node.module != "quasicrit" else [f"quasicrit.{a.name}" for a in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.split(".")[0] == "quasicrit"]
            else:
                continue
            found += [(here, room_of(name), str(relative)) for name in names]
    return found


def test_every_room_is_listed() -> None:
    rooms = {
        path.name.removesuffix(".py")
        for path in ROOT.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__"} == set(ALLOWED)


def test_arrows_run_downwards() -> None:
    wrong = [
        f"{file}: {here} imports {there}"
        for here, there, file in imports()
        if here != there and there not in BASE | ALLOWED.get(here, set()) and there in ALLOWED
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["theory", "tails", "statistics", "reference", "avalanches", "figures", "scaling"])
def test_torch_stays_in_networks(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    assert not [path.name for path in files if "import torch" in path.read_text(encoding="utf-8")]


def test_a_configuration_is_checked_and_planned_without_torch() -> None:
    code = "import sys, quasicrit.stages.plan; sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
