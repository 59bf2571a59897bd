"""Put the summary of the confusion matrix between its marks in docs/trust.md (``make classes``)."""

from __future__ import annotations

from quasicrit.stages.class_summary import trust_lines
from quasicrit.tables import SCHEMAS, read_table
from tests.readme import ROOT, put

if __name__ == "__main__":
    paths = [str(path) for path in sorted((ROOT / "results/reference/classes/confusion").glob("*.parquet"))]
    table = read_table(paths, SCHEMAS["confusion"])
    put(
        "docs/trust.md",
        "<!-- classes: written by make classes -->",
        "<!-- end of classes -->",
        "\n".join(trust_lines(table)),
    )
