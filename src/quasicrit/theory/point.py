"""Everything that theory says about one point (activation, sigma_w, sigma_b), with a reason for each gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from quasicrit.theory.activations import get_activation
from quasicrit.theory.finite_width import sigma_c, step_variance
from quasicrit.theory.mean_field import (
    Order,
    Phase,
    Susceptibility,
    chi_1,
    fixed_point,
    mean_abs,
    phase_of,
    propagate,
    susceptibility,
    xi_c,
    xi_q,
)

__all__ = ["TheoryPoint", "theory_point"]

_INFINITE = "infinite"
_NO_FIXED_POINT = "the signal grows without bound: there is no finite fixed point"


@dataclass(frozen=True)
class TheoryPoint:
    """The numbers of one point; None where one does not exist, with the reason in ``reasons`` under its key.

    ``susceptibility`` and ``susceptibility_depth`` map m, rms, abs to numbers; their keys in ``reasons`` are
    such as "susceptibility.rms". Infinite values are None with the reason "infinite". ``m_depth``,
    ``susceptibility_depth``, ``log_jacobian`` are None without a reason if no depth was asked for,
    ``sigma_c`` and ``log_m_step_variance`` if no width was.
    """

    activation: str
    sigma_w: float
    sigma_b: float
    m0: float
    depth: int | None
    width: int | None
    q_star: float | None
    m_star: float | None
    mean_abs: float | None
    chi_1: float | None
    xi_q: float | None
    xi_c: float | None
    phase: Phase | None
    susceptibility: dict[str, float | None]
    m_depth: float | None = None
    susceptibility_depth: dict[str, float | None] | None = None
    log_jacobian: float | None = None
    sigma_c: float | None = None
    log_m_step_variance: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def theory_point(
    activation: str,
    sigma_w: float,
    sigma_b: float,
    depth: int | None = None,
    width: int | None = None,
    m0: float = 1.0,
) -> TheoryPoint:
    """The theory at one point: stationary values, with ``depth`` that layer's, with ``width`` the random
    walk's.

    Raises TheoryError for an unknown activation or a value outside its range (see ``fixed_point``; depth >=
    1, width >= 2).
    """
    act = get_activation(activation)
    reasons: dict[str, str] = {}

    def known(key: str, value: float, absent: str) -> float | None:
        if np.isfinite(value):
            return float(value)
        reasons[key] = _INFINITE if np.isinf(value) else absent
        return None

    def by_order(key: str, values: Susceptibility, absent: str) -> dict[str, float | None]:
        return {order: known(f"{key}.{order}", getattr(values, order), absent) for order in get_args(Order)}

    point = fixed_point(act, sigma_w, sigma_b, m0)
    q, m = float(point.q), float(point.m)
    finite = bool(np.isfinite(q))
    chi = float(chi_1(act, sigma_w, sigma_b, m0))
    if np.isnan(chi):
        reasons["phase"] = _NO_FIXED_POINT
    jump = "m* is 0 below the critical point and rises from it: no derivative there"
    stationary = {
        "q_star": known("q_star", q, ""),
        "m_star": known("m_star", m, ""),
        "mean_abs": known("mean_abs", float(mean_abs(act, q)) if finite else np.inf, ""),
        "chi_1": known("chi_1", chi, _NO_FIXED_POINT),
        "xi_q": known("xi_q", xi_q(act, sigma_w, sigma_b, m0), _NO_FIXED_POINT),
        "xi_c": known("xi_c", xi_c(act, sigma_w, sigma_b, m0), _NO_FIXED_POINT),
    }
    slopes = by_order("susceptibility", susceptibility(act, sigma_w, sigma_b, m0), jump if finite else _NO_FIXED_POINT)

    at_depth: dict[str, float | None] = {}
    by_depth: dict[str, float | None] | None = None
    if depth is not None:
        end = propagate(act, sigma_w, sigma_b, depth, m0)
        at_depth["m_depth"] = known("m_depth", float(end.m[-1]), "")
        at_depth["log_jacobian"] = known("log_jacobian", float(end.log_jacobian), "")
        by_depth = by_order("susceptibility_depth", end.susceptibility, "")
    return TheoryPoint(
        activation=act.name,
        sigma_w=float(sigma_w),
        sigma_b=float(sigma_b),
        m0=float(m0),
        depth=depth,
        width=width,
        q_star=stationary["q_star"],
        m_star=stationary["m_star"],
        mean_abs=stationary["mean_abs"],
        chi_1=stationary["chi_1"],
        xi_q=stationary["xi_q"],
        xi_c=stationary["xi_c"],
        phase=None if np.isnan(chi) else phase_of(chi),
        susceptibility=slopes,
        m_depth=at_depth.get("m_depth"),
        susceptibility_depth=by_depth,
        log_jacobian=at_depth.get("log_jacobian"),
        sigma_c=None if width is None else sigma_c(act, width),
        log_m_step_variance=None if width is None else step_variance(act, width),
        reasons=reasons,
    )
