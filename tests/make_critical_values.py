"""Write the table of critical values that the search for a window reads (``make critical-values``, about a minute)."""

from __future__ import annotations

import json
from pathlib import Path

import quasicrit.tails
from quasicrit.rng import generator
from quasicrit.tails.critical import tabulate

if __name__ == "__main__":
    path = Path(quasicrit.tails.__file__).with_name("critical_values.json")
    table = tabulate(10_000, generator(0, "critical values"))
    # One line for each exponent, so that a change can be read.
    lines = ",\n".join(f"  {json.dumps(row)}" for row in table["discrete"])
    rows = {name: json.dumps(value) for name, value in table.items()} | {"discrete": f"[\n{lines}\n ]"}
    path.write_text("{\n" + ",\n".join(f' "{name}": {row}' for name, row in rows.items()) + "\n}\n", encoding="utf-8")
