"""Rule measure_susceptibility: the ridge of networks of finite width, by pathwise derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasicrit.networks import pathwise_susceptibility
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["measure_susceptibility"]

#: Networks are averaged within folds, so that the table stays small and a jackknife over folds gives the errors.
FOLDS = 20


def measure_susceptibility(
    params: Mapping[str, Any], width: int, output: Path | str, seed: int, details: Mapping[str, Any]
) -> None:
    """∂⟨order⟩/∂sigma_w of tanh networks of one width over the declared sigma_w, per fold of networks."""
    chi = pathwise_susceptibility(
        "tanh",
        tuple(params["sigma_w"]),
        params["sigma_b"],
        width,
        params["nets"],
        params["depth"],
        params["burn_in"],
        seed,
        ("susceptibility", width, repr(params["sigma_b"]), params["depth"]),
    )
    fold = np.arange(params["nets"]) % FOLDS
    frames = []
    for order, values in chi.items():
        mean = np.stack([values[fold == f].mean(0) for f in range(min(FOLDS, params["nets"]))])
        folds, at = np.indices(mean.shape)
        frames.append(
            pd.DataFrame(
                {
                    "order": order,
                    "width": width,
                    "sigma_b": params["sigma_b"],
                    "sigma_w": np.asarray(params["sigma_w"])[at.ravel()],
                    "fold": folds.ravel(),
                    "chi": mean.ravel(),
                }
            )
        )
    write_table(output, SCHEMAS["susceptibility"], pd.concat(frames), details)
