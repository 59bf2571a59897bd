"""Modules for operations that would be functions otherwise, so that hooks see them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quasicrit.errors import ConfigError
from quasicrit.networks.activations import FORMS, TorchForm

__all__ = ["Add", "Elementwise", "Multiply", "activation_kinds", "activation_module"]


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


class Elementwise(nn.Module):
    """phi(x) of an activation that torch has no module of."""

    def __init__(self, form: TorchForm) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return self.form.apply(x.clone())


def activation_module(name: str) -> nn.Module:
    """The activation of that name in ``quasicrit.theory`` as a module; ConfigError if there is none."""
    if name not in FORMS:
        raise ConfigError(f"activation = {name!r} is not known: choose one of {', '.join(FORMS)}.")
    form = FORMS[name]
    return Elementwise(form) if form.module is None else form.module()


def activation_kinds() -> list[str]:
    """Names of the classes of all activations' modules, for a recorder; the identity is none."""
    own = [form.module for form in FORMS.values() if form.module is not None and form.module is not nn.Identity]
    return [Elementwise.__name__, *(module.__name__ for module in own)]
