"""Training of one network of any kind by a plain loop: where batching many of them does not pay."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quasicrit.errors import TableError
from quasicrit.networks.device import Chunker, enough_memory, model_device
from quasicrit.networks.mlp import load_tensors, save_tensors

__all__ = ["PlainHistory", "accuracy", "train_plainly"]

#: Seconds between two checkpoints.
_CHECKPOINT_SECONDS = 30.0


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
    checkpoint: Path | None = None,
) -> PlainHistory:
    """Train ``model`` in place by SGD with ``momentum`` on cross entropy: inputs x (n, …), classes y (n,).

    Batches are drawn without replacement within an epoch, their order by ``rng``. The gradient's norm is cut at ``clip``, so that
    deep networks without norms survive their first steps. Training stops at a loss or a gradient that is not finite, with the
    parameters and buffers (running statistics of norms) from before it. Either way the model is left in the mode for use (eval).
    Batches go to the device of the model, whole: those of norms cannot be cut. ``checkpoint``: a file that is written on the way, from
    which the same call goes on, and removed at the end.

    Raises DeviceError where the device's memory does not hold a batch.
    """
    device = model_device(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum)
    losses: list[float] = []
    key = ""
    if checkpoint is not None:
        settings = [steps, batch_size, learning_rate, momentum, clip, str(rng.bit_generator.state), device.type]
        key = _key([*model.state_dict().values(), x, y], settings)
        _resume(checkpoint, key, model, optimiser, losses)
    done, diverged = len(losses), False
    order = np.empty(0, np.int64)
    saved = time.monotonic()
    model.train()
    with enough_memory(f"batch of {batch_size} inputs"):
        for step in range(steps):
            if len(order) < batch_size:
                order = rng.permutation(len(x))
            batch, order = torch.from_numpy(order[:batch_size]), order[batch_size:]
            if step < done:
                continue
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
                diverged = True
                break
            optimiser.step()
            if progress is not None:
                progress(step + 1)
            if checkpoint is not None and step + 1 < steps and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                _save(checkpoint, key, model, optimiser, losses)
                saved = time.monotonic()
    model.eval()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return PlainHistory(np.array(losses), diverged)


def _key(tensors: Sequence[Tensor], settings: list[object]) -> str:
    """Hash of what a training depends on, so that a checkpoint of other networks, data or settings is not taken up."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()


def _save(
    checkpoint: Path, key: str, model: nn.Module, optimiser: torch.optim.Optimizer, losses: Sequence[float]
) -> None:
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for index, parameter in enumerate(model.parameters()):
        velocity = optimiser.state[parameter].get("momentum_buffer")
        if velocity is not None:
            tensors[f"velocity.{index}"] = velocity.cpu().contiguous()
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(checkpoint, tensors, key)


def _resume(
    checkpoint: Path, key: str, model: nn.Module, optimiser: torch.optim.Optimizer, losses: list[float]
) -> None:
    """Put the checkpoint into all that is given if there is one of the same training; one that is damaged or another's is not used."""
    try:
        tensors, found = load_tensors(checkpoint)
    except TableError:
        return
    if found != key:
        return
    model.load_state_dict({n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")})
    for index, parameter in enumerate(model.parameters()):
        if f"velocity.{index}" in tensors:
            optimiser.state[parameter]["momentum_buffer"] = tensors[f"velocity.{index}"].clone().to(parameter.device)
    losses.extend(tensors["losses"].tolist())


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
