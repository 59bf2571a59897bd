"""Modules for operations that would be functions otherwise, so that hooks see them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quasicrit.errors import ConfigError
from quasicrit.theory import LEAKY_SLOPE

__all__ = ["Add", "Erf", "Multiply", "activation_module"]


class Add(nn.Module):
    """x + scale · branch."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return torch.add(x, branch, alpha=self.scale)


class Multiply(nn.Module):
    """x · y, elementwise."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y


class Erf(nn.Module):
    """erf(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(x)


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "erf": Erf,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "linear": nn.Identity,
}


def activation_module(name: str) -> nn.Module:
    """The activation of that name in ``quasicrit.theory`` as a module; ConfigError if there is none."""
    if name not in _ACTIVATIONS:
        raise ConfigError(f"activation = {name!r} is not known: choose one of {', '.join(_ACTIVATIONS)}.")
    return _ACTIVATIONS[name]()
