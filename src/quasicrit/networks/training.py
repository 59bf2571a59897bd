"""Training of many fully connected networks at once, by SGD, momentum or Adam, each at its own learning rate.

The backward pass is written out, which spares autograd's graph, and its products are batched. A network's losses are the same,
bit for bit, whichever others it is trained with (see ``quasicrit.networks.mlp``). Training goes in rounds: after each,
networks whose loss is no longer finite, or in which no input reaches the readout any more, leave, the others are packed
anew, and the state may be written to a checkpoint from which a killed run goes on to the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quasicrit.errors import PropagationError, TableError
from quasicrit.networks.activations import TorchForm, torch_form
from quasicrit.networks.datasets import ImageData
from quasicrit.networks.device import Chunker, full_float32, resolve_device
from quasicrit.networks.kernels import layer_activation, layer_gradient
from quasicrit.networks.mlp import (
    NetSpec,
    StackedMLP,
    affine,
    chunker,
    gather,
    load_tensors,
    outputs,
    padded,
    save_tensors,
    stack,
)
from quasicrit.rng import generator

__all__ = ["SGD", "Optimiser", "TrainingHistory", "batch_order", "train"]

Fate = Literal["trained", "diverged", "dead"]
#: Steps of a round when nothing else ends it, and seconds between two checkpoints.
_ROUND, _CHECKPOINT_SECONDS = 50, 30.0


@dataclass(frozen=True)
class Optimiser:
    """How a gradient g_t becomes a step, at learning rate η.

    sgd: v_t = momentum · v_{t−1} + g_t, p ← p − η v_t. adam: with m_t and s_t the running means of g and g² (β_1, β_2, corrected for
    their start), p ← p − η m_t/(√s_t + epsilon) (Kingma and Ba 2015, arXiv:1412.6980). As in ``torch.optim``.
    """

    name: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        if self.name not in ("sgd", "adam"):
            raise PropagationError(f"unknown optimiser {self.name!r}: choose sgd or adam.")
        if not 0.0 <= self.momentum < 1.0 or (self.momentum and self.name == "adam"):
            raise PropagationError(
                f"momentum = {self.momentum:g} of {self.name} is impossible: it must be from 0 to below 1, and adam has its own."
            )

    @property
    def buffers(self) -> int:
        """Arrays of the size of the parameters that it carries from step to step."""
        return 2 if self.name == "adam" else int(self.momentum > 0.0)


SGD = Optimiser()
"""Plain stochastic gradient descent."""


@dataclass(frozen=True)
class TrainingHistory:
    """How training went, a row per network.

    ``losses`` [n_nets, steps]: cross entropy (nats) of each step's mini-batch before the step, NaN from where a network left.
    ``accuracy`` [n_nets, len(accuracy_steps)]: share of the test images classified rightly after so many
    steps; an image on which the outputs are not finite counts as wrong. ``fate``: trained; diverged, a loss or a final
    output was not finite; dead, the activity of the last hidden layer was 0 for every input of a batch.
    ``stopped`` [n_nets]: steps done. ``observed``: by step what ``observe`` returned.
    """

    losses: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    accuracy_steps: tuple[int, ...]
    fate: tuple[Fate, ...]
    stopped: NDArray[np.int64]
    observed: Mapping[int, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Which networks diverged."""
        return np.array([fate == "diverged" for fate in self.fate])


def batch_order(net: NetSpec, *, n_samples: int, batch_size: int, steps: int, root_seed: int) -> NDArray[np.int64]:
    """Return the samples [steps, batch_size] that ``net`` sees: a new permutation every epoch.

    What is left of an epoch after its whole batches is not used. Key: ("trained-order", point_id,
    seed), so that each network has an order of its own.
    """
    rng = generator(root_seed, "trained-order", net.point_id, net.seed)
    per_epoch = n_samples // batch_size
    epochs = [rng.permutation(n_samples)[: per_epoch * batch_size] for _ in range(-(-steps // per_epoch))]
    return np.concatenate(epochs).reshape(-1, batch_size)[:steps]


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as zero: gradients that vanish with depth would be ten times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@dataclass
class _State:
    """Everything that training carries on: parameters and buffers in place, results so far, steps done."""

    mlp: StackedMLP
    buffers: list[list[Tensor]]
    losses: Tensor
    accuracy: Tensor
    stopped: Tensor
    fate: list[Fate]
    step: int = 0
    observed: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        made = {"losses": self.losses, "accuracy": self.accuracy, "stopped": self.stopped}
        for kind, arrays in (
            ("weight", self.mlp.weights),
            ("bias", self.mlp.biases),
            *((f"buffer.{index}", arrays) for index, arrays in enumerate(self.buffers)),
        ):
            made |= {f"{kind}.{layer:04d}": array for layer, array in enumerate(arrays)}
        return made


def train(
    mlp: StackedMLP,
    data: ImageData,
    *,
    steps: int,
    learning_rate: float | Sequence[float],
    batch_size: int,
    root_seed: int,
    optimiser: Optimiser = SGD,
    evaluate: Sequence[int] = (),
    checkpoint: Path | None = None,
    device: str = "cpu",
    observe: Callable[[], Mapping[str, NDArray[Any]]] | None = None,
) -> TrainingHistory:
    """Train every network of ``mlp``, in place, on the softmax cross entropy, the mean over a mini-batch (``batch_order``).

    ``learning_rate``: one for all, or one a network; networks of the same name at several rates start from the same
    parameters and see the same batches. ``evaluate``: steps after which the accuracy on the test images is taken, besides 0
    and ``steps``; ``observe`` is called after each of them, when ``mlp`` is as it is then, and returns arrays by name. ``checkpoint``: a file that is
    written on the way, from which the same call goes on, and removed at the end.

    ``device`` (``resolve_device``): where the networks are trained, in chunks; parameters and batches are the same on each, and so are the
    numbers within rounding, for as long as training does not amplify it. ``mlp`` stays where it is, on the CPU. A GPU keeps
    denormal numbers, which are zero here, so that a network whose signal vanishes may be called dead some steps later.

    Raises PropagationError if steps, rates or batch_size are impossible, or the data do not fit the networks; DeviceError for a device
    that is not there, or has too little memory.
    """
    n_samples, input_dim = data.train_x.shape
    n_nets = len(mlp.nets)
    if steps < 1 or not 1 <= batch_size <= n_samples:
        raise PropagationError(
            f"steps = {steps} with batch_size = {batch_size} cannot be trained on {data.name}: "
            f"steps must be at least 1 and batch_size from 1 to {n_samples}."
        )
    if (mlp.weights[0].shape[2], mlp.weights[-1].shape[1]) != (input_dim, data.n_classes):
        raise PropagationError(
            f"networks with {mlp.weights[0].shape[2]} inputs and {mlp.weights[-1].shape[1]} outputs do not "
            f"fit {data.name}: initialise them with input_dim = {input_dim} and n_classes = {data.n_classes}."
        )
    rates = np.broadcast_to(np.asarray(learning_rate, np.float64), (n_nets,))
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise PropagationError("every learning rate must be a finite number above 0.")
    place = resolve_device(device)
    marks = tuple(sorted({0, steps, *(int(step) for step in evaluate if 0 <= step <= steps)}))
    tools = _Tools(data, torch_form(mlp.activation), mlp.weights[0].dtype, place, chunker(place))
    parameters = [*mlp.weights, *mlp.biases]
    state = _State(
        mlp,
        [[torch.zeros_like(p) for p in parameters] for _ in range(optimiser.buffers)],
        torch.full((n_nets, steps), torch.nan, dtype=torch.float64),
        torch.full((n_nets, len(marks)), torch.nan, dtype=torch.float64),
        torch.full((n_nets,), steps),
        ["trained"] * n_nets,
    )
    key = ""
    if checkpoint is not None:
        # Of the untouched parameters, so that a checkpoint of other networks, data or settings is not taken up.
        key = _key(mlp, data, [steps, rates.tolist(), batch_size, root_seed, asdict(optimiser), marks, place.type])
        _resume(checkpoint, key, state)
    ends = sorted({*marks[1:], *range(_ROUND, steps, _ROUND)})
    saved = time.monotonic()
    with _flushed_denormals(), full_float32(place):
        if state.step == 0:
            _evaluate(state, tools, list(range(n_nets)), 0)
            if observe is not None:
                state.observed[0] = dict(observe())
        for end in ends:
            if end <= state.step:
                continue
            alive = [index for index, fate in enumerate(state.fate) if fate == "trained"]
            _round(state, tools, alive, end, rates, batch_size, root_seed, optimiser, steps)
            state.step = end
            if end in marks:
                alive = [index for index, fate in enumerate(state.fate) if fate == "trained"]
                _evaluate(state, tools, alive, marks.index(end))
                if observe is not None:
                    state.observed[end] = dict(observe())
            if checkpoint is not None and end < steps and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                _save(checkpoint, key, state)
                saved = time.monotonic()
        gone = [index for index, fate in enumerate(state.fate) if fate != "trained"]
        _evaluate(state, tools, gone, len(marks) - 1)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return TrainingHistory(
        state.losses.numpy(), state.accuracy.numpy(), marks, tuple(state.fate), state.stopped.numpy(), state.observed
    )


def _key(mlp: StackedMLP, data: ImageData, settings: list[object]) -> str:
    digest = hashlib.sha256(json.dumps([mlp.activation, [asdict(net) for net in mlp.nets], settings]).encode())
    for array in (
        data.train_x,
        data.train_y,
        data.test_x,
        data.test_y,
        *(t.numpy() for t in [*mlp.weights, *mlp.biases]),
    ):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _save(checkpoint: Path, key: str, state: _State) -> None:
    seen = [(step, name, values) for step, made in state.observed.items() for name, values in made.items()]
    tensors = state.tensors() | {f"seen.{index}": torch.from_numpy(values) for index, (*_, values) in enumerate(seen)}
    content = {"key": key, "step": state.step, "fate": state.fate, "seen": [[step, name] for step, name, _ in seen]}
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(checkpoint, tensors, json.dumps(content))


def _resume(checkpoint: Path, key: str, state: _State) -> None:
    """Put the checkpoint into ``state`` if there is one of the same run; one that is damaged or another's is not used."""
    try:
        tensors, text = load_tensors(checkpoint)
    except TableError:
        return
    content = json.loads(text)
    if content["key"] != key:
        return
    for name, array in state.tensors().items():
        array.copy_(tensors[name])
    state.step, state.fate = int(content["step"]), list(content["fate"])
    for index, (step, name) in enumerate(content["seen"]):
        state.observed.setdefault(step, {})[name] = tensors[f"seen.{index}"].numpy()


@dataclass(frozen=True)
class _Tools:
    """What every round needs: the data as tensors on the device, the activation, and how many networks go at once."""

    data: ImageData
    form: TorchForm
    dtype: torch.dtype
    device: torch.device
    chunker: Chunker
    train_x: Tensor = field(init=False)
    train_y: Tensor = field(init=False)
    test_x: Tensor = field(init=False)
    test_y: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for name in ("train_x", "test_x"):
            object.__setattr__(self, name, torch.tensor(getattr(self.data, name), dtype=self.dtype, device=self.device))
        for name in ("train_y", "test_y"):
            object.__setattr__(self, name, torch.tensor(getattr(self.data, name), device=self.device))


def _evaluate(state: _State, tools: _Tools, nets: Sequence[int], column: int) -> None:
    """Accuracy of ``nets`` on the test images; a network whose outputs are not finite has diverged."""

    def judge(chunk: Sequence[int]) -> tuple[Tensor, Tensor]:
        _, indices = padded(chunk, tools.device)
        weights, biases = (
            [gather(p, indices, tools.device) for p in stacked] for stacked in (state.mlp.weights, state.mlp.biases)
        )
        made = outputs(tools.test_x.expand(len(indices), -1, -1), weights, biases, tools.form)
        finite = made.isfinite()
        right = (made.argmax(2) == tools.test_y) & finite.all(2)
        return right.double().mean(1)[: len(chunk)].cpu(), finite.flatten(1).all(1)[: len(chunk)].cpu()

    done = 0
    for accuracy, good in tools.chunker.run(nets, judge):
        for index, share, fine in zip(nets[done : done + len(good)], accuracy, good.tolist()):
            state.accuracy[index, column] = share
            if not fine and column:
                state.fate[index] = "diverged"
        done += len(good)


def _round(
    state: _State,
    tools: _Tools,
    nets: Sequence[int],
    end: int,
    rates: NDArray[np.float64],
    batch_size: int,
    root_seed: int,
    optimiser: Optimiser,
    steps: int,
) -> None:
    """Take networks from the state's step to ``end``, chunk by chunk, and see which are to leave."""
    mlp, start = state.mlp, state.step

    def advance(chunk: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """One chunk with its parameters and buffers, losses, and which networks are silent; the state is left alone."""
        kept, indices = padded(chunk, tools.device)
        weights, biases = ([gather(p, indices, tools.device) for p in stacked] for stacked in (mlp.weights, mlp.biases))
        buffers = [[gather(p, indices, tools.device) for p in arrays] for arrays in state.buffers]
        orders = [
            batch_order(
                mlp.nets[index], n_samples=len(tools.train_y), batch_size=batch_size, steps=steps, root_seed=root_seed
            )[start:end]
            for index in indices.tolist()
        ]
        order = torch.from_numpy(np.stack(orders, axis=1)).to(tools.device)
        rate = torch.as_tensor(rates[indices.numpy()], dtype=tools.dtype, device=tools.device).view(-1, 1, 1)
        losses, silent = _descend(weights, biases, buffers, tools, order, rate, optimiser, start)
        arrays = [*weights, *biases, *(p for moments in buffers for p in moments)]
        return kept, [array[: len(kept)].cpu() for array in arrays], losses[: len(kept)].cpu(), silent.cpu()

    for kept, arrays, losses, silent in tools.chunker.run(nets, advance):
        for stacked, array in zip([*mlp.weights, *mlp.biases, *(p for held in state.buffers for p in held)], arrays):
            stacked[kept] = array
        state.losses[kept, start:end] = losses
        for row, index in enumerate(kept.tolist()):
            bad = torch.nonzero(~losses[row].isfinite())
            if len(bad):
                state.fate[index], state.stopped[index] = "diverged", start + int(bad[0])
                state.losses[index, state.stopped[index] :] = torch.nan
            elif silent[row]:
                state.fate[index], state.stopped[index] = "dead", end


def _descend(
    weights: list[Tensor],
    biases: list[Tensor],
    buffers: list[list[Tensor]],
    tools: _Tools,
    order: Tensor,
    rate: Tensor,
    optimiser: Optimiser,
    done: int,
) -> tuple[Tensor, Tensor]:
    """Take one chunk in place through the samples ``order`` [steps, C, B]; losses [C, steps], and which nets are silent.

    With delta_l = ∂loss/∂h_l: ∂loss/∂W_l = delta_lᵀ x_{l−1}, ∂loss/∂b_l = Σ_batch delta_l and
    delta_{l−1} = (delta_l W_l) · phi'(h_{l−1}). All are linear in the last delta, so that SGD multiplies that by the rate.
    """
    steps, nets, batch = order.shape
    form, like, count = tools.form, weights[0], len(weights)
    activations = [stack(batch, weight.shape[2], like=like) for weight in weights]
    saved = activations
    if form.saves_input:
        saved = [stack(batch, weight.shape[2], like=like) for weight in weights]
    readout, last = (stack(batch, weights[-1].shape[1], like=like) for _ in range(2))
    # delta_l and its sum over the batch; two suffice for the hidden layers.
    pair = [stack(batch, weights[0].shape[1], like=like) for _ in range(2)]
    deltas = [pair[layer % 2] for layer in range(count - 1)] + [last]
    sums = [stack(bias.shape[1], like=like) for bias in (biases[0], biases[-1])]
    totals = [sums[0]] * (count - 1) + [sums[1]]
    # Bound once: in small networks a step is short beside the calls that it makes.
    forward = [
        (x, weight.mT, bias.unsqueeze(1), h, h_saved, layer_activation(form, h, bias))
        for x, weight, bias, h, h_saved in zip(activations, weights, biases, activations[1:], saved[1:])
    ]
    into_layer = [layer_gradient(form, delta, x, sums[0]) for delta, x in zip(deltas, saved[1:])]
    update = _UPDATES[optimiser.name](weights, biases, buffers, deltas, totals, activations, rate, optimiser, done)
    losses = torch.empty(nets, steps, dtype=torch.float64, device=like.device)
    minus_one = torch.full((nets, batch, 1), -1.0, dtype=like.dtype, device=like.device)
    for step in range(steps):
        chosen = order[step].flatten()
        activations[0].copy_(tools.train_x.index_select(0, chosen).view_as(activations[0]))
        for x, weight_t, bias_row, h, h_saved, activate in forward:
            torch.bmm(x, weight_t, out=h)
            if form.saves_input:
                torch.add(h, bias_row, out=h_saved)
            activate()
        affine(activations[-1], weights[-1], biases[-1], readout)
        target = tools.train_y.index_select(0, chosen).view(nets, batch, 1)
        log_p = torch.log_softmax(readout, 2)
        losses[:, step] = -log_p.gather(2, target).flatten(1).mean(1)
        torch.exp(log_p, out=last).scatter_add_(2, target, minus_one).div_(batch)
        update.begin(last)
        torch.sum(last, 1, out=totals[-1])
        for layer in range(count - 1, 0, -1):
            # The gradient below needs the weights of before the step.
            torch.bmm(deltas[layer], weights[layer], out=deltas[layer - 1])
            update.step(layer)
            into_layer[layer - 1]()
        update.step(0)
    silent = ~activations[-1].flatten(1).any(1)
    return losses, silent


class _Update(ABC):
    """The parameters of one chunk, their gradients as deltas and activations, and the step along them."""

    def __init__(
        self,
        weights: list[Tensor],
        biases: list[Tensor],
        buffers: list[list[Tensor]],
        deltas: list[Tensor],
        totals: list[Tensor],
        activations: list[Tensor],
        rate: Tensor,
        optimiser: Optimiser,
        done: int,
    ) -> None:
        self.weights, self.biases, self.buffers = weights, biases, buffers
        self.deltas, self.totals, self.activations = [delta.mT for delta in deltas], totals, activations
        self.rate, self.optimiser, self.done = rate, optimiser, done

    @abstractmethod
    def begin(self, delta: Tensor) -> None:
        """Count the step; the last delta, in which all gradients are linear, may be scaled."""

    @abstractmethod
    def step(self, layer: int) -> None:
        """Update weights and biases of ``layer`` by their gradient."""


class _SGD(_Update):
    """Gradients are linear in the last delta: that is multiplied by the rate."""

    def begin(self, delta: Tensor) -> None:
        delta.mul_(self.rate)

    def step(self, layer: int) -> None:
        weight, bias = self.weights[layer], self.biases[layer]
        if not self.buffers:
            weight.baddbmm_(self.deltas[layer], self.activations[layer], alpha=-1.0)
            bias.sub_(self.totals[layer])
            return
        v, v_bias = self.buffers[0][layer], self.buffers[0][len(self.weights) + layer]
        weight.sub_(v.mul_(self.optimiser.momentum).baddbmm_(self.deltas[layer], self.activations[layer]))
        bias.sub_(v_bias.mul_(self.optimiser.momentum).add_(self.totals[layer]))


class _Adam(_Update):
    """Running means of the gradient and its square."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        shapes = {w.shape[1:]: stack(*w.shape[1:], like=w) for w in self.weights}
        self.gradients = [shapes[w.shape[1:]] for w in self.weights]

    def begin(self, delta: Tensor) -> None:
        self.done += 1
        first, second = self.optimiser.betas
        self.size = self.rate / (1.0 - first**self.done)
        self.norm = (1.0 - second**self.done) ** 0.5

    def step(self, layer: int) -> None:
        gradient = torch.bmm(self.deltas[layer], self.activations[layer], out=self.gradients[layer])
        self._move(self.weights[layer], gradient, layer, self.size)
        self._move(self.biases[layer], self.totals[layer], len(self.weights) + layer, self.size[:, :, 0])

    def _move(self, p: Tensor, gradient: Tensor, index: int, size: Tensor) -> None:
        first, second = self.optimiser.betas
        mean, square = self.buffers[0][index], self.buffers[1][index]
        mean.lerp_(gradient, 1.0 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        denominator = torch.sqrt(square, out=gradient).div_(self.norm).add_(self.optimiser.epsilon)
        p.sub_(torch.div(mean, denominator, out=denominator).mul_(size))


_UPDATES: dict[str, type[_Update]] = {"sgd": _SGD, "adam": _Adam}
