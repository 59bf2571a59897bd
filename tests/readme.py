"""Texts in pages that commands write between two marks."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "put"]

ROOT = Path(__file__).parents[1]


def put(page: str, begin: str, end: str, text: str) -> None:
    """Replace what a page of the repository holds between the marks."""
    path = ROOT / page
    before, rest = path.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
