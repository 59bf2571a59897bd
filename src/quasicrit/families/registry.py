"""The registry of families, and what is asked of them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from quasicrit.errors import ConfigError
from quasicrit.families.convolutional import ConvNetNet
from quasicrit.families.network import Network
from quasicrit.families.resnet import ResNetNet
from quasicrit.families.sequences import LSTMNet, RNNNet, TransformerNet
from quasicrit.theory import edge_of_chaos

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FAMILIES", "Net", "build_network", "critical_sigma_w"]

#: The families. One that stands here can be configured, planned, trained, recorded.
Net = Annotated[ResNetNet | ConvNetNet | RNNNet | LSTMNet | TransformerNet, Field(discriminator="family")]

FAMILIES: Mapping[str, type[Network]] = {
    get_args(model.model_fields["family"].annotation)[0]: model for model in get_args(get_args(Net)[0])
}
"""By name."""


def build_network(family: str, shape: tuple[int, int, int], classes: int, options: Mapping[str, Any]) -> nn.Module:
    """The network of that family for inputs (batch, *shape), with the parameters that torch gives it.

    Raises ConfigError for an unknown family, and values that its network refuses; unknown options are a TypeError.
    """
    if family not in FAMILIES:
        raise ConfigError(f"family = {family!r} is not known: choose one of {', '.join(FAMILIES)}.")
    return FAMILIES[family].build(shape, classes, **options)


def critical_sigma_w(family: str, options: Mapping[str, Any], sigma_b: float) -> float:
    """The sigma_w at which chi_1 = 1 for the family's activation and ``sigma_b``, by mean field.

    Pre-norm encoders and LSTMs have no such line of their own: 1, where linear maps keep their input's strength.
    """
    activation = FAMILIES[family].theory or str(options.get("activation", "tanh"))
    return 1.0 if activation == "linear" else edge_of_chaos(activation, sigma_b)
