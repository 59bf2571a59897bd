"""How should a deep network be initialised? A choice from theory alone, with its reasons; and the usual choices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from quasicrit.errors import AdviceError
from quasicrit.theory import chi_1, critical_window, depth_ridge, edge_of_chaos, get_activation, j0, propagate, xi_c

__all__ = ["Advice", "Init", "Method", "advise", "methods"]

Init = Literal["gaussian", "orthogonal"]
#: A mean-field map of this many layers takes seconds; deeper is a mistake.
_DEEPEST = 2000


@dataclass(frozen=True)
class Advice:
    """An initialisation: weights of variance sigma_w²/fan-in (orthogonal: sigma_w is the gain), biases N(0, sigma_b²).

    ``predicted``: m_depth, log_jacobian, susceptibility_depth, chi_1, xi_c of mean field there, None where there is none or it is
    infinite, and window, the ± of sigma_w that L layers of N units cannot resolve. ``residual_scale``: factor of the last layer of
    every residual branch, 1 without branches.
    """

    activation: str
    depth: int
    width: int
    init: Init
    sigma_w: float
    sigma_b: float
    residual_scale: float
    explanation: str
    predicted: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """An initialisation that networks are compared under; ``init`` as in ``quasicrit.networks.initialise``."""

    name: str
    init: str
    sigma_w: float
    sigma_b: float


def advise(activation: str, depth: int, width: int, init: Init = "orthogonal", *, residual_blocks: int = 0) -> Advice:
    """Choose an initialisation of ``depth`` hidden layers of ``width`` units from the theory of signals.

    tanh and erf: orthogonal weights with the gain at the peak of chi_m(L) = ∂m_L/∂sigma_w, or Gaussian ones at J0(L), where the
    mean squared singular value of the Jacobian is 1 over L layers; no biases. relu, leaky_relu and linear have no peak (the signal
    grows with sigma_w for ever): chi_1 = 1. gelu and silu: the same over the L layers, which is J0(L) again. ``residual_blocks``: a
    network whose blocks add their branch to what they were given; the last layer of each branch is scaled by 1/√blocks, so that
    the sum of all branches has the strength of one.

    Raises TheoryError for an unknown activation, AdviceError for another ``init``, an impossible depth, width or number of
    blocks, and for gelu and silu at depths where no sigma_w keeps a signal.
    """
    act = get_activation(activation)
    if init not in ("gaussian", "orthogonal"):
        raise AdviceError(f"init = {init!r} is not known: choose gaussian or orthogonal.")
    if not isinstance(width, int) or width < 2:
        raise AdviceError(f"width = {width!r} is impossible: it must be a whole number from 2.")
    if not isinstance(residual_blocks, int) or residual_blocks < 0:
        raise AdviceError(f"residual_blocks = {residual_blocks!r} is impossible: it must be a whole number from 0.")
    if not isinstance(depth, int) or not 1 <= depth <= _DEEPEST:
        raise AdviceError(f"depth = {depth!r} cannot be advised on: it must be a whole number from 1 to {_DEEPEST}.")
    if act.saturating and init == "orthogonal":
        # Below the weak-signal edge 1/slope, as the peak of one or two layers is, a signal could only shrink.
        edge, sigma_w = 1.0 / act.slope, depth_ridge(act, "m", depth, 0.0).sigma_w
        reason = (
            f"Orthogonal weights, which keep all directions alike, with the gain {max(sigma_w, edge):.4f} at the peak of chi_m(L) = "
            f"∂m_L/∂sigma_w at L = {depth}: below it the signal dies on the way to the readout, and far above it, from J0(L) = "
            f"{j0(act, depth, 0.0):.4f} on, gradients grow from layer to layer."
        )
        if sigma_w < edge:
            reason += f" The peak itself, {sigma_w:.4f}, lies below the edge of weak signals and is not taken."
        sigma_w = max(sigma_w, edge)
    elif act.homogeneous:
        sigma_w = math.sqrt(2.0 / (act.slope_left**2 + act.slope_right**2))
        reason = f"sigma_w = {sigma_w:.4f}, where chi_1 = 1: signals and gradients keep their length in the mean, at every depth."
    else:
        sigma_w = j0(act, depth, 0.0)
        reason = f"sigma_w = {sigma_w:.4f}, where ln J²(L) = 0 at L = {depth}: gradients keep their length over the layers in the mean."
    if act.saturating:
        reason += " No biases: they are a field, which takes the network off its critical line."
    else:
        reason += f" {act.name} does not saturate, so that chi_m(L) has no peak to choose by. No biases."
    if depth < 10:
        reason += " Networks of fewer than 10 layers were not compared by us: they train from many initialisations."
    end = propagate(act, sigma_w, 0.0, depth)
    predicted = {
        "m_depth": float(end.m[-1]),
        "log_jacobian": float(end.log_jacobian),
        "susceptibility_depth": float(end.susceptibility.m),
        "chi_1": float(chi_1(act, sigma_w, 0.0)),
        "xi_c": float(xi_c(act, sigma_w, 0.0)),
        "window": critical_window(width, depth),
    }
    m_depth = predicted["m_depth"]
    if not act.saturating and not act.homogeneous:
        if not abs(predicted["log_jacobian"]) < 1e-3:
            raise AdviceError(
                f"no sigma_w of double precision keeps signals and gradients of {act.name} over {depth} layers, whose fixed point is "
                "unstable: use norms or residual branches, and ask for the depth of one branch."
            )
        if m_depth < 0.2:
            reason += (
                f" Its signal has no stable strength there: {m_depth:.2g} of the input's is left at the last layer, so that a "
                "network without norms or residual branches is fragile at this depth."
            )
    scale = 1.0 / math.sqrt(residual_blocks) if residual_blocks else 1.0
    if residual_blocks:
        reason += f" {residual_blocks} residual branches, each scaled by {scale:.4f}, add up to the strength of one."
    known = {name: value if math.isfinite(value) else None for name, value in predicted.items()}
    return Advice(act.name, depth, width, init, float(sigma_w), 0.0, scale, reason, known)


def methods(activation: str, depth: int, width: int) -> tuple[Method, ...]:
    """The usual initialisations and the advised ones, the advised orthogonal (where there is one) last.

    PyTorch: what torch.nn.Linear draws. Glorot and Bengio 2010, uniform; LeCun et al. 1998, variance 1/fan-in; He et al. 2015
    (Kaiming), 2/fan-in; the edge of chaos at sigma_b = .05 (Schoenholz et al. 2017); orthogonal of gain 1 (Saxe et al. 2014).
    """
    third = 1.0 / math.sqrt(3.0)
    advised = {init: advise(activation, depth, width, init) for init in ("gaussian", "orthogonal")}
    return (
        Method("PyTorch default", "pytorch", third, third),
        Method("Glorot", "glorot", 1.0, 0.0),
        Method("LeCun", "gaussian", 1.0, 0.0),
        Method("Kaiming", "gaussian", math.sqrt(2.0), 0.0),
        Method("edge of chaos", "gaussian", edge_of_chaos(activation, 0.05), 0.05),
        Method("orthogonal", "orthogonal", 1.0, 0.0),
        *(Method(f"advised {init}", init, choice.sigma_w, choice.sigma_b) for init, choice in advised.items()),
    )
