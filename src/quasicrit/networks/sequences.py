"""Networks over sequences: a transformer encoder, and recurrent networks unrolled in time.

An image (batch, height, width) is read as ``steps`` tokens of height · width / steps pixels each, row by row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quasicrit.errors import ConfigError
from quasicrit.networks.modules import Add, Multiply, activation_module

__all__ = ["LSTM", "RNN", "Transformer"]


def _tokens(x: Tensor, steps: int) -> Tensor:
    """(batch, …) → (batch, steps, values of a token)."""
    return x.reshape(len(x), steps, -1)


def _token_size(pixels: int, steps: int) -> int:
    if pixels % steps:
        raise ConfigError(f"steps = {steps} does not divide the {pixels} values of an input: choose a divisor.")
    return pixels // steps


class Attention(nn.Module):
    """Self-attention of ``heads`` heads, softmax(q kᵀ/√(width/heads)) v, between linear maps of ``width`` units."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.reshape(batch, steps, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        weights = self.softmax(q @ k.transpose(-1, -2) / math.sqrt(width / self.heads))
        return self.out((weights @ v).transpose(1, 2).reshape(batch, steps, width))


class EncoderLayer(nn.Module):
    """Pre-norm: x + attention(norm x), then x + W2 gelu(W1 norm x) with four times the units between."""

    def __init__(self, width: int, heads: int, scale: float) -> None:
        super().__init__()
        self.norm1, self.attention, self.add1 = nn.LayerNorm(width), Attention(width, heads), Add(scale)
        self.norm2, self.linear1 = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.activation, self.linear2, self.add2 = nn.GELU(), nn.Linear(4 * width, width), Add(scale)

    def forward(self, x: Tensor) -> Tensor:
        x = self.add1(x, self.attention(self.norm1(x)))
        return self.add2(x, self.linear2(self.activation(self.linear1(self.norm2(x)))))


class Transformer(nn.Module):
    """A pre-norm transformer encoder: tokens embedded with learnt positions, ``depth`` layers, a norm, the mean over tokens, a readout.

    Input (batch, …) of ``pixels`` values, output (batch, classes). Sources: Vaswani et al. 2017, arXiv:1706.03762; Xiong et al. 2020,
    arXiv:2002.04745 (pre-norm). Raises ConfigError for steps that do not divide the pixels, or heads that do not divide the width.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        *,
        heads: int = 4,
        steps: int = 16,
        pixels: int = 256,
        classes: int = 10,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"heads = {heads} does not divide width = {width}: choose a divisor.")
        self.steps = steps
        self.embedding = nn.Linear(_token_size(pixels, steps), width)
        self.positions = nn.Parameter(torch.zeros(steps, width))
        self.place = Add()
        self.layers = nn.Sequential(*(EncoderLayer(width, heads, residual_scale) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(_tokens(x, self.steps))
        x = self.place(x, self.positions.expand_as(x))
        return self.readout(self.norm(self.layers(x)).mean(1))


class RNN(nn.Module):
    """x_t = phi(W x_{t−1} + U u_t + b) over ``steps`` tokens u_t of the input; the readout is of the last state.

    The same modules run at every step, so that a recorder counts each of their calls as a layer. Input (batch, …) of ``pixels``
    values, output (batch, classes).
    """

    def __init__(
        self,
        width: int,
        activation: str = "tanh",
        *,
        steps: int = 64,
        pixels: int = 256,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.steps, self.width = steps, width
        self.drive = nn.Linear(_token_size(pixels, steps), width, bias=False)
        self.recurrent = nn.Linear(width, width)
        self.add = Add()
        self.activation = activation_module(activation)
        self.readout = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = _tokens(x, self.steps)
        state = tokens.new_zeros(len(x), self.width)
        for step in range(self.steps):
            state = self.activation(self.add(self.recurrent(state), self.drive(tokens[:, step])))
        return self.readout(state)


class LSTM(nn.Module):
    """Long short-term memory over ``steps`` tokens u_t: c_t = f c_{t−1} + i g, x_t = o tanh c_t; the readout is of the last x_t.

    The gates i, f, o are sigmoids and g a tanh of one linear map of (x_{t−1}, u_t). Input and output as of ``RNN``.
    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 (forget gate).
    """

    def __init__(self, width: int, *, steps: int = 64, pixels: int = 256, classes: int = 10) -> None:
        super().__init__()
        self.steps, self.width = steps, width
        self.gates = nn.Linear(width + _token_size(pixels, steps), 4 * width)
        self.gate, self.candidate = nn.Sigmoid(), nn.Tanh()
        self.keep, self.write, self.cell = Multiply(), Multiply(), Add()
        self.squash, self.emit = nn.Tanh(), Multiply()
        self.readout = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = _tokens(x, self.steps)
        state = cell = tokens.new_zeros(len(x), self.width)
        for step in range(self.steps):
            made = self.gates(torch.cat([state, tokens[:, step]], dim=1))
            open_gates, candidate = made.split([3 * self.width, self.width], dim=1)
            write, keep, emit = self.gate(open_gates).chunk(3, dim=1)
            cell = self.cell(self.keep(cell, keep), self.write(self.candidate(candidate), write))
            state = self.emit(self.squash(cell), emit)
        return self.readout(state)
