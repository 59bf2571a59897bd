"""Initialise a torch module in place, as the advisor says."""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from quasicrit.errors import AdviceError
from quasicrit.learning.advisor import Advice, Init, advise
from quasicrit.networks import haar_orthogonal
from quasicrit.networks.activations import FORMS
from quasicrit.theory import LEAKY_SLOPE

__all__ = ["initialise_module"]

#: Activations by their module; the identity is a place holder more often than an activation.
_MODULES: dict[type[nn.Module], str] = {
    form.module: name for name, form in FORMS.items() if form.module is not None and form.module is not nn.Identity
}
#: Modules of torch.nn.modules.activation that are no activation function of a layer.
_NO_ACTIVATION = (nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax, nn.MultiheadAttention)
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
    "blocks.*.conv2"; those are scaled by 1/√(their number), and the layers of a branch are counted as ``_branch_layers`` says. The
    fan-in of a convolution is channels per group × kernel; its
    weight is orthogonal as a matrix [out, fan-in]. Norms, embeddings, attention's packed in_proj and everything else stay as they are.

    Raises AdviceError if there is nothing to initialise, a weight cannot be set (lazy, reparametrised, shared, without memory), the
    activation is not found or ambiguous, or the pattern fits no layer; and as ``advise``.
    """
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, _LAYERS)]
    if not layers:
        raise AdviceError("the model has no linear or convolutional layer, so there is nothing to initialise.")
    _check_layers(model, layers)
    if activation is None:
        activation = _activation_of(model)
    scaled = [name for name, _ in layers if residual is not None and fnmatch.fnmatchcase(name, residual)]
    if residual is not None and not scaled:
        raise AdviceError(
            f"residual = {residual!r} fits the name of no layer; they are {', '.join(name for name, _ in layers[:6])}…"
        )
    hidden = layers[:-1] or layers
    width = Counter(_matrix_shape(layer)[0] for _, layer in hidden).most_common(1)[0][0]
    chosen = advise(
        activation,
        depth if depth is not None else len(hidden),
        max(width, 2),
        init,
        residual_blocks=len(scaled),
        branch_layers=_branch_layers([name for name, _ in layers], scaled),
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


def _check_layers(model: nn.Module, layers: Sequence[tuple[str, nn.Module]]) -> None:
    """Raise AdviceError for a layer whose weight cannot simply be written."""
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for name, layer in layers:
        weight = layer._parameters.get("weight")
        if weight is None:
            raise AdviceError(f"the weight of layer {name!r} is reparametrised: initialise the model before that.")
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise AdviceError(f"layer {name!r} has no shape yet: run the model once on a batch, then initialise it.")
        if weight.is_meta or not weight.numel():
            raise AdviceError(
                f"the weight of layer {name!r} holds no numbers: make the model on a device, without empty layers."
            )
        if len(owners[id(weight)]) > 1:
            raise AdviceError(
                f"layer {name!r} shares its weight ({', '.join(owners[id(weight)])}): tie weights after the initialisation."
            )


def _branch_layers(names: Sequence[str], scaled: Sequence[str]) -> int:
    """Layers of one branch, from the names: those that stand beside a scaled layer in the same module, itself included.

    "blocks.3.conv1" and "blocks.3.conv2" make two; what lies deeper, as "blocks.3.shortcut.0", is not counted. Where blocks differ the
    commonest number counts, and without a module around the layer, or without branches, it is 1.
    """
    beside = Counter(name.rpartition(".")[0] for name in names)
    ends = Counter(name.rpartition(".")[0] for name in scaled)
    counts = Counter(beside[block] // ends[block] for block in ends if block)
    return counts.most_common(1)[0][0] if counts else 1


def _activation_of(model: nn.Module) -> str:
    """The one activation among the modules."""
    found = set()
    for module in model.modules():
        kind = type(module)
        if kind.__module__ != nn.Tanh.__module__ or isinstance(module, _NO_ACTIVATION):
            continue
        slope = isinstance(module, nn.LeakyReLU) and module.negative_slope != LEAKY_SLOPE
        found.add(f"LeakyReLU({module.negative_slope:g})" if slope else _MODULES.get(kind, kind.__name__))
    if len(found) != 1 or not found <= set(_MODULES.values()):
        seen = f"its modules are {', '.join(sorted(found))}" if found else "none is among its modules"
        known = ", ".join(_MODULES.values())
        raise AdviceError(f"the activation of the model is not clear ({seen}; known are {known}): give activation=.")
    return found.pop()


def _matrix_shape(layer: nn.Module) -> tuple[int, int]:
    """Outputs and fan-in of a layer."""
    shape = tuple(getattr(layer, "weight").shape)  # noqa: B009
    return int(shape[0]), math.prod(shape[1:])
