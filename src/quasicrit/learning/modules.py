"""Initialise a torch module in place, as the advisor says."""

from __future__ import annotations

import fnmatch
import math
from collections import Counter

import numpy as np
import torch
from torch import nn

from quasicrit.errors import AdviceError
from quasicrit.learning.advisor import Advice, Init, advise
from quasicrit.networks import haar_orthogonal

__all__ = ["initialise_module"]

_MODULES: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
}
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def initialise_module(
    model: nn.Module,
    *,
    activation: str | None = None,
    depth: int | None = None,
    init: Init = "orthogonal",
    residual: str | None = None,
    seed: int = 0,
) -> Advice:
    """Initialise the linear and convolutional layers of ``model`` in place, as ``advise`` says, and return the advice.

    ``activation``: found from the model's modules (Tanh, ReLU, LeakyReLU, GELU, SiLU) if they agree. ``depth``: the number of layers
    less the readout, if it is not given. ``residual``: a pattern for the names of the last layer of each residual branch, as
    "blocks.*.conv2"; those are scaled by 1/√(their number). The fan-in of a convolution is channels per group × kernel; its
    weight is orthogonal as a matrix [out, fan-in]. Norms, embeddings and everything else stay as they are.

    Raises AdviceError if there is nothing to initialise, or the activation is not found, ambiguous, or the pattern fits no layer.
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, _LAYERS)]
    if not layers:
        raise AdviceError("the model has no linear or convolutional layer, so there is nothing to initialise.")
    for name, layer in layers:
        if isinstance(layer.weight, nn.parameter.UninitializedParameter):
            raise AdviceError(f"layer {name!r} has no shape yet: run the model once on a batch, then initialise it.")
    if activation is None:
        found = sorted({_MODULES[type(module)] for module in model.modules() if type(module) in _MODULES})
        if len(found) != 1:
            seen = f"its modules are {', '.join(found)}" if found else "none is among its modules"
            raise AdviceError(f"the activation of the model is not clear ({seen}): give activation=.")
        activation = found[0]
    scaled = [name for name, _ in layers if residual is not None and fnmatch.fnmatchcase(name, residual)]
    if residual is not None and not scaled:
        raise AdviceError(
            f"residual = {residual!r} fits the name of no layer; they are {', '.join(name for name, _ in layers[:6])}…"
        )
    hidden = layers[:-1] or layers
    width = Counter(_matrix_shape(layer)[0] for _, layer in hidden).most_common(1)[0][0]
    chosen = advise(
        activation, depth if depth is not None else len(hidden), max(width, 2), init, residual_blocks=len(scaled)
    )
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, layer in layers:
            n_out, fan_in = _matrix_shape(layer)
            if chosen.init == "orthogonal":
                weight = haar_orthogonal(rng, n_out, fan_in) * math.sqrt(max(1.0, n_out / fan_in))
            else:
                weight = rng.standard_normal((n_out, fan_in)) / math.sqrt(fan_in)
            weight *= chosen.sigma_w * (chosen.residual_scale if name in scaled else 1.0)
            layer.weight.copy_(torch.from_numpy(weight).reshape(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(chosen.sigma_b * rng.standard_normal(n_out)))
    return chosen


def _matrix_shape(layer: nn.Module) -> tuple[int, int]:
    """Outputs and fan-in of a layer."""
    shape = tuple(getattr(layer, "weight").shape)  # noqa: B009
    return int(shape[0]), math.prod(shape[1:])
