"""What ``quasicrit advise`` answers."""

from __future__ import annotations

from typing import Any

from quasicrit.learning.advisor import Init, advise
from quasicrit.stages.user_table import answer

__all__ = ["advice_report"]


def advice_report(
    activation: str, depth: int, width: int, init: Init, residual_blocks: int, branch_layers: int
) -> dict[str, Any]:
    """The advice as plain data; orthogonal weights have a gain where Gaussian ones have sigma_w.

    Raises TheoryError for an unknown activation, AdviceError for an impossible width.
    """
    made = advise(activation, depth, width, init, residual_blocks=residual_blocks, branch_layers=branch_layers)
    reasons = {f"predicted.{name}": "infinite" for name, value in made.predicted.items() if value is None}
    residual = (
        {
            "residual_blocks": residual_blocks,
            "branch_layers": branch_layers,
            "residual_scale": made.residual_scale,
            "path_depth": made.path_depth,
        }
        if residual_blocks
        else {}
    )
    return answer(
        {
            "activation": made.activation,
            "depth": made.depth,
            "width": made.width,
            "init": made.init,
            "gain" if made.init == "orthogonal" else "sigma_w": made.sigma_w,
            "sigma_b": made.sigma_b,
            **residual,
            "predicted": made.predicted,
            "explanation": made.explanation,
        },
        reasons,
    )
