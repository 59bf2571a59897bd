"""How tests run the workflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def snakemake(folder: Path, *arguments: str, preset: str | None = "smoke.yaml", **options: object) -> list[str]:
    """The command line of a run in ``folder``."""
    configured = ["--configfile", str(REPOSITORY / "workflow/presets" / preset)] if preset else []
    return [
        str(Path(sys.executable).with_name("snakemake")),
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(folder),
        "--scheduler",
        "greedy",
        *arguments,
        *configured,
    ]


def run(folder: Path, *arguments: str, preset: str | None = "smoke.yaml") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        snakemake(folder, *arguments, preset=preset),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=900,
    )
