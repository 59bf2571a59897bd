"""``quasicrit theory``: one point of the mean-field theory, or where one of its lines runs."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from quasicrit import theory
from quasicrit.errors import TheoryError
from quasicrit.stages.user_table import answer

__all__ = ["line_report", "point_report"]

Line = Literal["edge_of_chaos", "ridge", "j0"]

_AT_DEPTH = ("depth", "m_depth", "susceptibility_depth", "log_jacobian")
_AT_WIDTH = ("width", "sigma_c", "log_m_step_variance")


def point_report(
    activation: str, sigma_w: float, sigma_b: float, depth: int | None, width: int | None, m0: float
) -> dict[str, Any]:
    """Everything about one point; with ``depth`` that layer's numbers, with ``width`` the random walk's.

    Raises TheoryError for an unknown activation or a value outside its range.
    """
    point = dataclasses.asdict(theory.theory_point(activation, sigma_w, sigma_b, depth=depth, width=width, m0=m0))
    hidden = {"reasons", *(_AT_DEPTH if depth is None else ()), *(_AT_WIDTH if width is None else ())}
    return answer({key: value for key, value in point.items() if key not in hidden}, point["reasons"])


def line_report(
    line: Line, activation: str, sigma_b: float, order: theory.Order | None, depth: int | None, m0: float
) -> dict[str, Any]:
    """The sigma_w at which a line crosses ``sigma_b``.

    The line is the edge of chaos, the ridge of ``order`` (with ``depth`` that of the layer) or J0 of
    ``depth``. Where it does not exist sigma_w is null, with the reason.

    Raises TheoryError for an unknown activation or a value outside its range.
    """
    # Raises for impossible values; what the theory refuses after this is a line that does not exist.
    theory.propagate(activation, 1.0, sigma_b, 1 if depth is None else depth, m0)
    made: dict[str, Any] = {"line": line, "activation": activation, "sigma_b": sigma_b}
    if depth is not None:
        made |= {"depth": depth, "m0": m0}
    reasons: dict[str, str] = {}
    if order is not None:
        made |= {"order": order, "sigma_w": None, "susceptibility": None}
    else:
        made["sigma_w"] = None
    try:
        if order is not None:
            top = (
                theory.ridge(activation, order, sigma_b)
                if depth is None
                else theory.depth_ridge(activation, order, depth, sigma_b, m0)
            )
            made |= {"sigma_w": top.sigma_w, "susceptibility": top.susceptibility}
        elif line == "j0":
            made["sigma_w"] = theory.j0(activation, 1 if depth is None else depth, sigma_b, m0)
        else:
            made["sigma_w"] = theory.edge_of_chaos(activation, sigma_b)
    except TheoryError as error:
        reasons = {key: str(error) for key in ("sigma_w", "susceptibility") if key in made}
    return answer(made, reasons)
