"""The activation functions phi of ``quasicrit.theory`` as torch operations, with their gradients.

A further activation is one more entry in ``FORMS``, besides the one in ``theory.ACTIVATIONS``: everything in torch follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quasicrit.errors import PropagationError

__all__ = ["FORMS", "TorchForm", "torch_activation", "torch_form"]

_aten = torch.ops.aten

#: Slope of leaky_relu below zero; theory.LEAKY_SLOPE, written out so that a job that propagates loads no scipy.
LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class TorchForm:
    """One activation: ``apply`` overwrites h with phi(h); ``gradient`` overwrites g with g · phi'(h).

    Both work in place and return their tensor; ``apply`` is made of operations that autograd knows. ``gradient(g, saved)``
    takes as ``saved`` the pre-activation h if ``saves_input``, else the activation phi(h), which then need not be kept twice.
    ``module``: torch's own module of it, if there is one.
    """

    apply: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    saves_input: bool
    module: type[nn.Module] | None = None


def _erf_gradient(grad: Tensor, h: Tensor) -> Tensor:
    return grad.mul_(torch.square(h).neg_().exp_()).mul_(2.0 / math.sqrt(math.pi))


# The backward kernels are those that autograd calls: one pass over memory, in place.
FORMS: dict[str, TorchForm] = {
    "tanh": TorchForm(torch.tanh_, lambda g, x: _aten.tanh_backward(g, x, grad_input=g), False, nn.Tanh),
    "erf": TorchForm(torch.erf_, _erf_gradient, True),
    "relu": TorchForm(torch.relu_, lambda g, x: _aten.threshold_backward(g, x, 0, grad_input=g), False, nn.ReLU),
    "leaky_relu": TorchForm(
        lambda h: torch.nn.functional.leaky_relu_(h, LEAKY_SLOPE),
        lambda g, x: _aten.leaky_relu_backward(g, x, LEAKY_SLOPE, True, grad_input=g),
        False,
        nn.LeakyReLU,
    ),
    "gelu": TorchForm(_aten.gelu_, lambda g, h: _aten.gelu_backward(g, h, grad_input=g), True, nn.GELU),
    "silu": TorchForm(_aten.silu_, lambda g, h: _aten.silu_backward(g, h, grad_input=g), True, nn.SiLU),
    "linear": TorchForm(lambda h: h, lambda g, x: g, False, nn.Identity),
}


def torch_form(name: str) -> TorchForm:
    """Return activation ``name`` with its gradient; PropagationError if there is none of that name."""
    try:
        return FORMS[name]
    except KeyError:
        raise PropagationError(f"unknown activation {name!r}: choose one of {', '.join(FORMS)}.") from None


def torch_activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return phi as a function of a pre-activation tensor of any shape, elementwise.

    The argument is overwritten to save memory: use what is returned. gelu is the exact one,
    h Phi(h); leaky_relu has theory's LEAKY_SLOPE below zero. Raises PropagationError for an unknown name.
    """
    return torch_form(name).apply
