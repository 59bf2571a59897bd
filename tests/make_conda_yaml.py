"""Write envs/quasicrit.yaml from envs/lock.txt (``make lock``): the same versions, for conda; untested."""

import re
from pathlib import Path

envs = Path(__file__).parents[1] / "envs"
pins = re.findall(r"^([a-z0-9._-]+==[^ \\;]+)", (envs / "lock.txt").read_text(encoding="utf-8"), flags=re.M)
torch = re.search(r'"(torch==[^"]+)"', (envs.parent / "pyproject.toml").read_text(encoding="utf-8"))
lines = [
    "# Generated from envs/lock.txt by `make lock`; untested: the project's own set-up is `make`.",
    "channels:",
    "  - conda-forge",
    "dependencies:",
    "  - python=3.11",
    "  - pip",
    "  - pip:",
    *(f"      - {pin}" for pin in [*pins, torch.group(1) if torch else "torch"]),
]
(envs / "quasicrit.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
