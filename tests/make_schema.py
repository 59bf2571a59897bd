"""Write the JSON schema of the configuration (``make schema``)."""

import json
from pathlib import Path

from quasicrit.config import json_schema

path = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
