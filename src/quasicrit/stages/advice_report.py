"""What ``quasicrit advise`` answers."""

from __future__ import annotations

from typing import Any

from quasicrit.learning.advisor import Init, advise
from quasicrit.stages.user_table import answer

__all__ = ["advice_report"]


def advice_report(activation: str, depth: int, width: int, init: Init, residual_blocks: int) -> dict[str, Any]:
    """The advice as plain data; orthogonal weights have a gain where Gaussian ones have sigma_w.

    Raises TheoryError for an unknown activation, AdviceError for an impossible width.
    """
    made = advise(activation, depth, width, init, residual_blocks=residual_blocks)
    reasons = {f"predicted.{name}": "infinite" for name, value in made.predicted.items() if value is None}
    scale = {"residual_scale": made.residual_scale} if residual_blocks else {}
    return answer(
        {
            "activation": made.activation,
            "depth": made.depth,
            "width": made.width,
            "init": made.init,
            "gain" if made.init == "orthogonal" else "sigma_w": made.sigma_w,
            "sigma_b": made.sigma_b,
            **scale,
            "predicted": made.predicted,
            "explanation": made.explanation,
        },
        reasons,
    )
