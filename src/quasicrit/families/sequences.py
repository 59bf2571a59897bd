"""Networks over the tokens of an image (``networks.sequences``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from quasicrit.families.network import Definition, Network, Size
from quasicrit.values import Count, Positive

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LSTMNet", "RNNNet", "TransformerNet"]


class _Sequence(Network):
    width: Count
    steps: Annotated[int, Field(ge=2)] = 64

    def layers(self, definition: Definition) -> int:
        return self.steps

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        values = math.prod(shape)
        return f"steps = {self.steps} does not divide the {values} values of an image" if values % self.steps else None

    def _recurrent(self, shape: tuple[int, int, int], gates: int) -> Size:
        """Of one recurrent layer: each of ``gates`` matrices takes the state and a token."""
        weights = float(gates) * self.width * (self.width + math.prod(shape) / self.steps)
        units = float(self.steps * self.width)
        return Size(self.steps * weights, weights, units, units)


class RNNNet(_Sequence):
    """Vanilla recurrent network, unrolled over ``steps`` tokens of an image."""

    family: Literal["rnn"]
    activation: Literal["tanh", "relu"] = "tanh"

    recorded: ClassVar[str] = "Linear,Add,{activation}"
    stream: ClassVar[str] = "activation"

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        from quasicrit.networks.sequences import RNN

        return RNN(pixels=math.prod(shape), classes=classes, **options)

    def size(self, shape: tuple[int, int, int]) -> Size:
        return self._recurrent(shape, 1)


class LSTMNet(_Sequence):
    """LSTM, unrolled over ``steps`` tokens of an image."""

    family: Literal["lstm"]

    recorded: ClassVar[str] = "Linear,Sigmoid,Tanh,Multiply,Add"
    stream: ClassVar[str] = "cell"
    theory: ClassVar[str | None] = "linear"

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        from quasicrit.networks.sequences import LSTM

        return LSTM(pixels=math.prod(shape), classes=classes, **options)

    def size(self, shape: tuple[int, int, int]) -> Size:
        return self._recurrent(shape, 4)


class TransformerNet(_Sequence):
    """Pre-norm transformer encoder over ``steps`` tokens of an image."""

    family: Literal["transformer"]
    depth: Count
    heads: Count = 4
    steps: Annotated[int, Field(ge=2)] = 16
    residual_scale: Positive = 1.0

    recorded: ClassVar[str] = "Linear,LayerNorm,GELU,Add"
    stream: ClassVar[str] = "layers.*.add2"
    theory: ClassVar[str | None] = "linear"
    #: Attention and its MLP keep many times what other layers keep.
    kept: ClassVar[float] = 280.0

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        from quasicrit.networks.sequences import Transformer

        return Transformer(pixels=math.prod(shape), classes=classes, **options)

    def layers(self, definition: Definition) -> int:
        return self.depth

    def size(self, shape: tuple[int, int, int]) -> Size:
        weights = 12.0 * self.width**2 * self.depth
        units = float(self.depth * self.steps * self.width)
        return Size(self.steps * (weights + 2.0 * self.steps * self.width * self.depth), weights, units, units)

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        uneven = f"heads = {self.heads} does not divide width = {self.width}" if self.width % self.heads else None
        return super().misfit(shape) or uneven
