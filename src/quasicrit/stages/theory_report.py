"""``quasicrit theory``: one point of the mean-field theory, or where one of its lines runs."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any, Literal

from quasicrit import theory
from quasicrit.errors import TheoryError
from quasicrit.stages.user_table import answer

__all__ = ["Branches", "line_report", "point_report"]

Line = Literal["edge_of_chaos", "ridge", "j0"]

_AT_DEPTH = ("depth", "m_depth", "susceptibility_depth", "log_jacobian")
_LOG_LARGEST = math.log(sys.float_info.max)
_AT_WIDTH = ("width", "sigma_c", "log_m_step_variance")


@dataclasses.dataclass(frozen=True)
class Branches:
    """Residual branches of a network: ``blocks`` of ``layers`` each, scaled by ``scale``, behind a ``norm`` or none."""

    blocks: int
    scale: float
    layers: int
    norm: theory.ResidualNorm | None


def point_report(
    activation: str,
    sigma_w: float,
    sigma_b: float,
    depth: int | None,
    width: int | None,
    m0: float,
    branches: Branches | None = None,
) -> dict[str, Any]:
    """Everything about one point; with ``depth`` that layer's numbers, with ``width`` the random walk's.

    With ``branches`` the residual stream's, which starts with mean square ``m0``.

    Raises TheoryError for an unknown activation or a value outside its range.
    """
    point = dataclasses.asdict(theory.theory_point(activation, sigma_w, sigma_b, depth=depth, width=width, m0=m0))
    hidden = {"reasons", *(_AT_DEPTH if depth is None else ()), *(_AT_WIDTH if width is None else ())}
    made = {key: value for key, value in point.items() if key not in hidden}
    reasons = dict(point["reasons"])
    if branches is not None:
        stream, why = _stream(activation, sigma_w, sigma_b, m0, branches)
        made, reasons = made | stream, reasons | why
    return answer(made, reasons)


def _stream(
    activation: str, sigma_w: float, sigma_b: float, m0: float, branches: Branches
) -> tuple[dict[str, Any], dict[str, str]]:
    """Numbers of the last block of a residual stream, and reasons: what is too large is told by its logarithm.

    Two inputs are followed from correlation 0.
    """
    end = theory.propagate_residual(
        activation,
        sigma_w,
        sigma_b,
        branches.blocks,
        scale=branches.scale,
        branch_layers=branches.layers,
        q0=m0,
        correlation=0.0,
        norm=branches.norm,
    )
    assert end.correlation is not None
    values = {
        "stream_variance": float(end.q[-1]),
        "stream_growth": math.exp(end.log_growth) if end.log_growth < _LOG_LARGEST else math.inf,
        "log_jacobian_residual": end.log_jacobian,
        "susceptibility_residual": float(end.m_slope[-1]),
        "correlation_residual": float(end.correlation[-1]),
        "correlation_slope_residual": float(end.correlation_slope[-1]),
    }
    logarithms = {
        "stream_variance": end.log_q[-1],
        "stream_growth": end.log_growth,
        "susceptibility_residual": end.log_q[-1],
    }
    reasons = {
        key: f"too large to be given: the stream's {'growth' if key == 'stream_growth' else 'variance'} is e^{logarithm:.6g}"
        for key, logarithm in logarithms.items()
        if math.isinf(values[key])
    }
    setting = {
        "residual_blocks": branches.blocks,
        "residual_scale": branches.scale,
        "branch_layers": branches.layers,
        "residual_norm": branches.norm or "none",
    }
    return setting | values, reasons


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
