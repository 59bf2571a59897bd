"""Plain convolutional networks (``networks.convolutional``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from quasicrit.families.network import Definition, Network, Size
from quasicrit.theory import ACTIVATIONS
from quasicrit.values import Count

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ConvNetNet"]


class ConvNetNet(Network):
    """Plain convolutional network of one width."""

    family: Literal["conv"]
    depth: Count
    channels: Count
    activation: str = "tanh"

    recorded: ClassVar[str] = "Conv2d,{activation}"
    stream: ClassVar[str] = "layers.*.activation"
    lineages: ClassVar[bool] = True

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        from quasicrit.networks.convolutional import ConvNet

        return ConvNet(in_channels=shape[0], image=shape[1], classes=classes, **options)

    def layers(self, definition: Definition) -> int:
        return self.depth

    def size(self, shape: tuple[int, int, int]) -> Size:
        pixels = shape[1] * shape[2]
        weights = 9.0 * self.channels**2 * self.depth
        units = float(self.depth * self.channels * pixels)
        return Size(weights * pixels, weights, units, units)

    @field_validator("activation")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ACTIVATIONS:
            raise ValueError(f"{value!r} is no activation; allowed are {', '.join(ACTIVATIONS)}")
        return value

    @model_validator(mode="after")
    def _rectified(self) -> ConvNetNet:
        if "A" in self.definitions and self.activation != "relu":
            raise ValueError("definition A follows active units of relu: choose activation: relu, or leave A out")
        return self
