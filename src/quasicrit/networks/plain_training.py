"""Training of one network of any kind by a plain loop: where batching many of them does not pay."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quasicrit.networks.device import Chunker, enough_memory, model_device

__all__ = ["PlainHistory", "accuracy", "train_plainly"]


@dataclass(frozen=True)
class PlainHistory:
    """``losses``: mini-batch cross entropy (nats) before each step, shape (steps done,); ``diverged``: it left the finite numbers."""

    losses: NDArray[np.float64]
    diverged: bool


def train_plainly(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
    momentum: float = 0.9,
    clip: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> PlainHistory:
    """Train ``model`` in place by SGD with ``momentum`` on cross entropy: inputs x (n, …), classes y (n,).

    Batches are drawn without replacement within an epoch, their order by ``rng``. The gradient's norm is cut at ``clip``, so that
    deep networks without norms survive their first steps. Training stops at a loss or a gradient that is not finite, with the
    parameters and buffers (running statistics of norms) from before it. Either way the model is left in the mode for use (eval).
    Batches go to the device of the model, whole: those of norms cannot be cut.

    Raises DeviceError where its memory does not hold one.
    """
    device = model_device(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    losses: list[float] = []
    order = np.empty(0, np.int64)
    model.train()
    with enough_memory(f"batch of {batch_size} inputs"):
        for step in range(steps):
            if len(order) < batch_size:
                order = rng.permutation(len(x))
            batch, order = torch.from_numpy(order[:batch_size]), order[batch_size:]
            # A forward pass that overflows would leave NaN in the running statistics of norms.
            buffers = [buffer.clone() for buffer in model.buffers()]
            loss = nn.functional.cross_entropy(model(x[batch].to(device)), y[batch].to(device))
            losses.append(float(loss.detach()))
            finite = math.isfinite(losses[-1])
            if finite:
                optimiser.zero_grad()
                loss.backward()
                # A gradient cut by an infinite norm is 0 or NaN.
                finite = math.isfinite(float(nn.utils.clip_grad_norm_(model.parameters(), clip)))
            if not finite:
                for buffer, before in zip(model.buffers(), buffers):
                    buffer.copy_(before)
                model.eval()
                return PlainHistory(np.array(losses), True)
            optimiser.step()
            if progress is not None:
                progress(step + 1)
    model.eval()
    return PlainHistory(np.array(losses), False)


def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """Share of inputs classified rightly, in the mode for use (eval); on the device of the model, in smaller batches where it is short."""
    device = model_device(model)
    model.eval()

    def hits(rows: range) -> Tensor:
        chosen = slice(rows.start, rows.stop)
        return (model(x[chosen].to(device)).argmax(1) == y[chosen].to(device)).sum()

    with torch.no_grad():
        found = list(Chunker(batch_size, "input").run(range(len(x)), hits))
    return float(sum(found)) / len(x)
