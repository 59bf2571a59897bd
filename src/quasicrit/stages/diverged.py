"""Networks whose training left the finite numbers."""

from __future__ import annotations

from pathlib import Path

from quasicrit.tables import SCHEMAS, read_table

__all__ = ["diverged"]


def diverged(learning: Path | str) -> set[tuple[str, int]]:
    """(member, net) of the networks that diverged, from the table of an entry's learning."""
    table = read_table(learning, SCHEMAS["architecture_learning"], ["member", "net", "diverged"])
    left = table[table["diverged"]]
    return set(zip(left["member"].astype(str), left["net"].astype(int)))
