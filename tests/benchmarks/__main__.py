"""``python -m tests.benchmarks``: everything, to results/benchmarks.md and docs/running.md; with ``SECTION …``: those, printed only.

The page is always of one run, since its numbers are compared with each other.
"""

from __future__ import annotations

import datetime
import importlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from tests.readme import put

from .measure import Row

#: One module of this package each, in the order of the page.
SECTIONS = (
    "samplers", "detection", "tails", "collapse", "training", "recording", "parquet", "pipeline", "scaling", "cuda",
)  # fmt: skip
PAGE = Path(__file__).parents[2] / "results/benchmarks.md"
LIBRARIES = ("numpy", "scipy", "numba", "pyarrow", "torch", "snakemake", "powerlaw")


def measured(section: str) -> tuple[str, list[Row]]:
    """Title and rows of a section, printed as they come."""
    module = importlib.import_module(f"{__package__}.{section}")
    print(f"\n{module.TITLE}", flush=True)
    found = []
    for row in module.rows():
        print(f"  {row.name}: {row.shown}  [{row.range}]  {row.required}{_verdict(row)}", flush=True)
        found.append(row)
    return module.TITLE, found


def _verdict(row: Row) -> str:
    return {True: "", False: "  MISSED", None: ""}[row.met]


def page(sections: Sequence[tuple[str, list[Row]]], took: float) -> str:
    """The page in Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    required = [row for _, found in sections for row in found if row.met is not None]
    lines = [
        "# Benchmarks",
        "",
        f"{datetime.datetime.now():%Y-%m-%d %H:%M}; {processor()}, {os.cpu_count()} cores, of which one is used (one thread); "
        f"{took / 60:.0f} minutes.",
        f"quasicrit {metadata.version('quasicrit')}, Python {platform.python_version()}, {versions}.",
        "",
        "CPU time; a ratio is the median over repetitions that take both sides in turn, with its range. "
        f"{sum(bool(row.met) for row in required)} of {len(required)} requirements are met; bounds that are only expected are not counted. Made by `make benchmarks`.",
    ]
    for title, found in sections:
        lines += ["", f"## {title}"]
        lines += ["", "| what | median | range | required, or expected |", "|---|---|---|---|"] if found else []
        for row in found:
            mark = "" if row.met is not False else " (**missed**)"
            lines.append(f"| {row.name} | {row.shown} | {row.range} | {row.required}{mark} |")
    return "\n".join(lines) + "\n"


def processor() -> str:
    """Name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(chosen: Sequence[str]) -> int:
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        print(f"{unknown[0]!r} is no section: choose from {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    start = time.monotonic()
    sections = [measured(name) for name in chosen or SECTIONS]
    if not chosen:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        text = page(sections, time.monotonic() - start)
        PAGE.write_text(text, encoding="utf-8")
        # Below a heading of the page there: without the title, and a level lower.
        body = text.split("\n", 2)[2].replace("\n## ", "\n### ").strip()
        put("docs/running.md", "<!-- speed: written by make benchmarks -->", "<!-- end of speed -->", body)
        print(f"\n{PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
