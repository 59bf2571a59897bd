"""Put the summary of results/calibration/calibration.parquet between its marks in README.md (``make calibrate``)."""

from __future__ import annotations

from pathlib import Path

from quasicrit.stages.calibrate import readme_table
from quasicrit.tables import SCHEMAS, read_table

BEGIN, END = "<!-- calibration: written by make calibrate -->", "<!-- end of calibration -->"

if __name__ == "__main__":
    root = Path(__file__).parents[1]
    table = read_table(root / "results/calibration/calibration.parquet", SCHEMAS["calibration"])
    readme = root / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = f"{before}{BEGIN}\n{readme_table(table.to_dict('records'))}\n{END}{after}"
    readme.write_text(text, encoding="utf-8")
