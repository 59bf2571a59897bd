"""How should a deep network be initialised? A choice from theory alone, with its reasons; and the usual choices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from quasicrit.errors import AdviceError
from quasicrit.theory import (
    chi_1,
    critical_window,
    depth_ridge,
    edge_of_chaos,
    get_activation,
    j0,
    propagate,
    propagate_residual,
    xi_c,
)

__all__ = ["Advice", "Init", "Method", "advise", "methods"]

Init = Literal["gaussian", "orthogonal"]
#: A mean-field map of this many layers takes seconds; deeper is a mistake.
_DEEPEST = 2000


@dataclass(frozen=True)
class Advice:
    """An initialisation: weights of variance sigma_w²/fan-in (orthogonal: sigma_w is the gain), biases N(0, sigma_b²).

    ``residual_scale``: factor of the last layer of every residual branch, 1 without branches. ``path_depth``: the layers that
    sigma_w was chosen for, those that a typical path through the network takes: ``depth`` without branches. ``predicted``: m_depth,
    log_jacobian, susceptibility_depth, chi_1, xi_c of mean field along such a path, None where there is none or it is infinite, and
    window, the ± of sigma_w that so many layers of N units cannot resolve. With branches also of the residual stream, from a mean
    square of 1 through all blocks: stream_growth q_B/q_0, log_jacobian_residual and susceptibility_residual ∂m_B/∂sigma_w.
    """

    activation: str
    depth: int
    width: int
    init: Init
    sigma_w: float
    sigma_b: float
    residual_scale: float
    path_depth: int
    explanation: str
    predicted: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """An initialisation that networks are compared under; ``init`` as in ``quasicrit.networks.initialise``."""

    name: str
    init: str
    sigma_w: float
    sigma_b: float


def advise(
    activation: str,
    depth: int,
    width: int,
    init: Init = "orthogonal",
    *,
    residual_blocks: int = 0,
    branch_layers: int = 1,
) -> Advice:
    """Choose an initialisation of ``depth`` hidden layers of ``width`` units from the theory of signals.

    tanh and erf: orthogonal weights with the gain at the peak of chi_m(L) = ∂m_L/∂sigma_w, or Gaussian ones at J0(L), where the
    mean squared singular value of the Jacobian is 1 over L layers; no biases. relu, leaky_relu and linear have no peak (the signal
    grows with sigma_w for ever): chi_1 = 1. gelu and silu: the same over the L layers, which is J0(L) again.

    ``residual_blocks``: B blocks that add their branch of ``branch_layers`` layers, with the activation before every weight, to what
    they were given; the last layer of each branch is scaled by 1/√B. The squared Jacobian of the stream, (1 + chi/B)^B, then is a
    sum over paths through n = 0, 1, 2, … branches with the weights chi^n/n!, so that a path takes chi branches in the mean: about one
    (0.3 to 1.5 at the sigma_w chosen here). Hence sigma_w is chosen for the layers outside of branches (depth − B branch_layers, or
    none if that is negative) and one branch, not for all ``depth``.

    Raises TheoryError for an unknown activation, AdviceError for another ``init``, an impossible depth, width, number of blocks or
    of layers in a branch, and for gelu and silu at depths where no sigma_w keeps a signal.
    """
    act = get_activation(activation)
    if init not in ("gaussian", "orthogonal"):
        raise AdviceError(f"init = {init!r} is not known: choose gaussian or orthogonal.")
    if not isinstance(width, int) or width < 2:
        raise AdviceError(f"width = {width!r} is impossible: it must be a whole number from 2.")
    for name, value, least in (
        ("depth", depth, 1),
        ("residual_blocks", residual_blocks, 0),
        ("branch_layers", branch_layers, 1),
    ):
        if not isinstance(value, int) or not least <= value <= _DEEPEST:
            raise AdviceError(
                f"{name} = {value!r} cannot be advised on: it must be a whole number from {least} to {_DEEPEST}."
            )
    if residual_blocks * branch_layers > _DEEPEST:
        raise AdviceError(
            f"{residual_blocks} residual blocks of {branch_layers} layers cannot be advised on: together they may have at most "
            f"{_DEEPEST} layers."
        )
    path_depth = max(depth - residual_blocks * branch_layers, 0) + branch_layers if residual_blocks else depth
    if act.saturating and init == "orthogonal":
        # Below the weak-signal edge 1/slope, as the peak of one or two layers is, a signal could only shrink.
        edge, sigma_w = 1.0 / act.slope, depth_ridge(act, "m", path_depth, 0.0).sigma_w
        reason = (
            f"Orthogonal weights, which keep all directions alike, with the gain {max(sigma_w, edge):.4f} at the peak of chi_m(L) = "
            f"∂m_L/∂sigma_w at L = {path_depth}: below it the signal dies on the way to the readout, and far above it, from J0(L) = "
            f"{j0(act, path_depth, 0.0):.4f} on, gradients grow from layer to layer."
        )
        if sigma_w < edge:
            reason += f" The peak itself, {sigma_w:.4f}, lies below the edge of weak signals and is not taken."
        sigma_w = max(sigma_w, edge)
    elif act.homogeneous:
        sigma_w = math.sqrt(2.0 / (act.slope_left**2 + act.slope_right**2))
        reason = f"sigma_w = {sigma_w:.4f}, where chi_1 = 1: signals and gradients keep their length in the mean, at every depth."
    else:
        sigma_w = j0(act, path_depth, 0.0)
        reason = f"sigma_w = {sigma_w:.4f}, where ln J²(L) = 0 at L = {path_depth}: gradients keep their length over the layers in the mean."
    if act.saturating:
        reason += " No biases: they are a field, which takes the network off its critical line."
    else:
        reason += f" {act.name} does not saturate, so that chi_m(L) has no peak to choose by. No biases."
    if residual_blocks:
        reason += " Residual networks were not compared by us: this is theory alone."
    elif depth < 10:
        reason += " Networks of fewer than 10 layers were not compared by us: they train from many initialisations."
    end = propagate(act, sigma_w, 0.0, path_depth)
    predicted: dict[str, float] = {
        "m_depth": float(end.m[-1]),
        "log_jacobian": float(end.log_jacobian),
        "susceptibility_depth": float(end.susceptibility.m),
        "chi_1": float(chi_1(act, sigma_w, 0.0)),
        "xi_c": float(xi_c(act, sigma_w, 0.0)),
        "window": critical_window(width, path_depth),
    }
    m_depth = predicted["m_depth"]
    if not act.saturating and not act.homogeneous:
        if not abs(predicted["log_jacobian"]) < 1e-3:
            raise AdviceError(
                f"no sigma_w of double precision keeps signals and gradients of {act.name} over {path_depth} layers, whose fixed point is "
                "unstable: use norms, or residual branches and give their number, residual_blocks."
            )
        if m_depth < 0.2:
            reason += (
                f" Its signal has no stable strength there: {m_depth:.2g} of the input's is left at the last layer, so that a "
                "network without norms or residual branches is fragile at this depth."
            )
    scale = 1.0 / math.sqrt(residual_blocks) if residual_blocks else 1.0
    if residual_blocks:
        scaled, plain = (
            propagate_residual(act, sigma_w, 0.0, residual_blocks, scale=factor, branch_layers=branch_layers)
            for factor in (scale, 1.0)
        )
        predicted |= {
            "stream_growth": math.exp(scaled.log_growth),
            "log_jacobian_residual": scaled.log_jacobian,
            "susceptibility_residual": float(scaled.m_slope[-1]),
        }
        reason += (
            f" L = {path_depth} are the layers of a typical path, those outside of branches and one branch of {branch_layers}, with the activation before each weight. "
            f"{residual_blocks} residual branches, each scaled by {scale:.4f} = 1/√{residual_blocks}, add up to the strength of one: "
            f"through all blocks the stream's mean square grows by e^{scaled.log_growth:.2f} and squared gradients by "
            f"e^{scaled.log_jacobian:.2f}; unscaled they would grow by e^{plain.log_growth:.2f} and e^{plain.log_jacobian:.2f}."
        )
    known = {name: value if math.isfinite(value) else None for name, value in predicted.items()}
    return Advice(act.name, depth, width, init, float(sigma_w), 0.0, scale, path_depth, reason, known)


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
