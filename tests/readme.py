"""Tables in README.md that commands write between two marks."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "put"]

ROOT = Path(__file__).parents[1]


def put(begin: str, end: str, text: str) -> None:
    """Replace what README.md holds between the marks."""
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
