"""Rule measure_survival: how long a weak seed stays above its start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quasicrit.networks import count_survivors
from quasicrit.tables import SCHEMAS, write_table
from quasicrit.theory import sigma_c, survival_amplitude

__all__ = ["measure_survival"]


def measure_survival(
    params: Mapping[str, Any], width: int, output: Path | str, seed: int, details: Mapping[str, Any]
) -> None:
    """Count survivors of weak seeds at sigma_c(N), and at the scaled distances x = ln(sigma_w²/sigma_c²) √(NL/2)."""
    rows = []
    critical = sigma_c("tanh", width)

    def add(x: float, sigma_w: float, depths: tuple[int, ...], seeds: int) -> None:
        key = ("survival", width, repr(x), "-".join(map(str, depths)))
        counted = count_survivors("tanh", sigma_w, width, depths, seeds, params["m0"], seed, key)
        for depth, survivors in zip(counted.depths, counted.survivors, strict=True):
            p = survivors / seeds
            rows.append(
                {
                    "activation": "tanh",
                    "width": width,
                    "depth": depth,
                    "x": x,
                    "sigma_w": sigma_w,
                    "n_seeds": seeds,
                    "survivors": survivors,
                    "value": math.sqrt(depth) * p,
                    "error": math.sqrt(depth * p * (1 - p) / seeds),
                    "theory": survival_amplitude("tanh", width) if x == 0 else None,
                }
            )

    for x in params["x"]:
        if x == 0:
            add(0.0, critical, tuple(params["depth"]), params["seeds"])
        else:
            for depth in params["depth"]:
                sigma_w = critical * math.exp(0.5 * x / math.sqrt(width * depth / 2))
                add(float(x), sigma_w, (depth,), params["scaled_seeds"])
    write_table(output, SCHEMAS["survival"], rows, details)
