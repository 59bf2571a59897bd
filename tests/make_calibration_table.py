"""Put the summary of results/calibration/calibration.parquet between its marks in docs/trust.md (``make calibrate``)."""

from __future__ import annotations

from quasicrit.stages.calibrate import trust_table
from quasicrit.tables import SCHEMAS, read_table
from tests.readme import ROOT, put

if __name__ == "__main__":
    table = read_table(ROOT / "results/calibration/calibration.parquet", SCHEMAS["calibration"])
    put(
        "docs/trust.md",
        "<!-- calibration: written by make calibrate -->",
        "<!-- end of calibration -->",
        trust_table(table.to_dict("records")),
    )
