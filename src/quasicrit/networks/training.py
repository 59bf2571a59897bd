"""Many fully connected networks of one width and depth, initialised and trained at once.

Parameters are stacked, [n_nets, out, in], and all products are batched: for small networks this is
several times faster than a loop. The backward pass is written out, which spares autograd's graph.

A network is the same, bit for bit, whichever others it is trained with. Three things make it so:
its random numbers are keyed by its own name; products always run over ``CHUNK_NETS`` networks (a
last chunk is padded), since another batch count may choose another kernel; and inside a chunk each
network's arrays begin on the same alignment, since vector kernels round differently in their tails.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from quasicrit.errors import PropagationError, TableError
from quasicrit.networks.activations import TorchForm, torch_form
from quasicrit.networks.datasets import ImageData
from quasicrit.rng import generator

__all__ = [
    "NetSpec",
    "StackedMLP",
    "TrainingHistory",
    "batch_order",
    "forward_layers",
    "haar_orthogonal",
    "initialise",
    "load_networks",
    "save_networks",
    "train",
]

# Eight networks of width 64 keep one layer's arrays in the cache; it is part of what "the same
# numbers" means, so it is not an option.
CHUNK_NETS = 8
# Elements: 64 bytes in float32, 128 in float64, a multiple of every vector width in use.
_ALIGNMENT = 16
_FILE_KEY = "quasicrit"


@dataclass(frozen=True)
class NetSpec:
    """Which network: its point in the grid, that point's (sigma_w, sigma_b), and its seed there."""

    point_id: str
    sigma_w: float
    sigma_b: float
    seed: int

    def __post_init__(self) -> None:
        # A table's row holds numpy scalars: as a key, numpy's 3 would name another stream than 3.
        for name, kind in (("point_id", str), ("sigma_w", float), ("sigma_b", float), ("seed", int)):
            object.__setattr__(self, name, kind(getattr(self, name)))


@dataclass(frozen=True)
class StackedMLP:
    """Fully connected networks of one shape: h_l = W_l x_{l−1} + b_l, x_l = phi(h_l), l = 1 … L.

    ``weights[l]`` [n_nets, out, in] and ``biases[l]`` [n_nets, out] for the L hidden layers
    (input → width, then L − 1 times width → width) and, last, the linear readout.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    activation: str
    nets: tuple[NetSpec, ...]

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.weights) - 1


@dataclass(frozen=True)
class TrainingHistory:
    """How training went, a row per network.

    ``losses`` [n_nets, steps]: cross entropy (nats) of each step's mini-batch before the step.
    ``accuracy_before`` and ``accuracy_after`` [n_nets]: share of the test images classified
    rightly; an image on which the outputs are not finite counts as wrong. ``diverged`` [n_nets]:
    a loss or a final output was not finite.
    """

    losses: NDArray[np.float64]
    accuracy_before: NDArray[np.float64]
    accuracy_after: NDArray[np.float64]
    diverged: NDArray[np.bool_]


def haar_orthogonal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Draw a [rows, columns] matrix with orthonormal rows or columns, whichever are fewer, uniformly.

    QR of a Gaussian matrix is Haar distributed once the signs of R's diagonal are made positive
    (Mezzadri 2007, Notices of the AMS 54, 592).
    """
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diagonal(r))
    return q if rows >= columns else q.T


def _draw_weight(rng: np.random.Generator, init: str, n_out: int, n_in: int, sigma_w: float) -> NDArray[np.float64]:
    """One weight matrix whose entries have variance sigma_w² / n_in, under both initialisations."""
    if init == "gaussian":
        return sigma_w / math.sqrt(n_in) * rng.standard_normal((n_out, n_in))
    # Orthonormal rows have that variance already. Orthonormal columns (n_out > n_in) would shrink
    # the signal per unit by n_in / n_out, which q = sigma_w² m + sigma_b² does not know of.
    return sigma_w * math.sqrt(max(1.0, n_out / n_in)) * haar_orthogonal(rng, n_out, n_in)


def initialise(
    nets: Sequence[NetSpec],
    *,
    input_dim: int,
    width: int,
    depth: int,
    n_classes: int,
    activation: str,
    init: str,
    root_seed: int,
    dtype: torch.dtype = torch.float32,
) -> StackedMLP:
    """Draw the initial parameters of ``nets``, the readout from the same (sigma_w, sigma_b).

    ``init`` "gaussian": W_ij ~ N(0, sigma_w² / fan-in). "orthogonal": sigma_w times a Haar
    orthogonal matrix; where it is not square its rows (out < in) or columns (out > in, times
    √(out/in)) are orthogonal, so that q = sigma_w² m + sigma_b² holds for every shape. Always
    b_i ~ N(0, sigma_b²). A network's numbers come from the key ("trained", point_id, seed).

    Raises PropagationError for an unknown activation or initialisation.
    """
    torch_form(activation)
    if init not in ("gaussian", "orthogonal"):
        raise PropagationError(f"unknown initialisation {init!r}: choose gaussian or orthogonal.")
    dims = [input_dim, *[width] * depth, n_classes]
    shapes = list(zip(dims[1:], dims))
    weights = [torch.empty(len(nets), n_out, n_in, dtype=dtype) for n_out, n_in in shapes]
    biases = [torch.empty(len(nets), n_out, dtype=dtype) for n_out, _ in shapes]
    for index, net in enumerate(nets):
        rng = generator(root_seed, "trained", net.point_id, net.seed)
        for (n_out, n_in), weight, bias in zip(shapes, weights, biases):
            weight[index] = torch.from_numpy(_draw_weight(rng, init, n_out, n_in, net.sigma_w))
            bias[index] = torch.from_numpy(net.sigma_b * rng.standard_normal(n_out))
    return StackedMLP(weights, biases, activation, tuple(nets))


def batch_order(net: NetSpec, *, n_samples: int, batch_size: int, steps: int, root_seed: int) -> NDArray[np.int64]:
    """Return the samples [steps, batch_size] that ``net`` sees: a new permutation every epoch.

    What is left of an epoch after its whole batches is not used. Key: ("trained-order", point_id,
    seed), so that each network has an order of its own.
    """
    rng = generator(root_seed, "trained-order", net.point_id, net.seed)
    per_epoch = n_samples // batch_size
    epochs = [rng.permutation(n_samples)[: per_epoch * batch_size] for _ in range(-(-steps // per_epoch))]
    return np.concatenate(epochs).reshape(-1, batch_size)[:steps]


def _stack(*shape: int, dtype: torch.dtype) -> Tensor:
    """An empty chunk [CHUNK_NETS, *shape] in which every network begins on an aligned address."""
    size = math.prod(shape)
    return torch.empty(CHUNK_NETS, -(-size // _ALIGNMENT) * _ALIGNMENT, dtype=dtype)[:, :size].unflatten(1, shape)


def _chunks(n_nets: int) -> Iterator[tuple[slice, Tensor]]:
    """The networks of each chunk, and its CHUNK_NETS indices with the last network as padding."""
    for start in range(0, n_nets, CHUNK_NETS):
        stop = min(start + CHUNK_NETS, n_nets)
        yield slice(start, stop), torch.arange(start, start + CHUNK_NETS).clamp_(max=stop - 1)


def _gather(values: Tensor, indices: Tensor) -> Tensor:
    return _stack(*values.shape[1:], dtype=values.dtype).copy_(values[indices])


def _affine(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """h = x Wᵀ + b for one chunk: x [C, B, in], W [C, out, in], b [C, out], h [C, B, out]."""
    return out.copy_(bias.unsqueeze(1)).baddbmm_(x, weight.mT)


def _outputs(x: Tensor, weights: list[Tensor], biases: list[Tensor], form: TorchForm) -> Tensor:
    """Readout [C, B, n_classes] of one chunk for the inputs x [C, B, in]."""
    for weight, bias in zip(weights[:-1], biases[:-1]):
        x = form.apply(_affine(x, weight, bias, _stack(x.shape[1], weight.shape[1], dtype=x.dtype)))
    return _affine(x, weights[-1], biases[-1], _stack(x.shape[1], weights[-1].shape[1], dtype=x.dtype))


def forward_layers(mlp: StackedMLP, inputs: NDArray[np.float64]) -> Iterator[Tensor]:
    """Yield the activations x_l [n_nets, n_inputs, width] of the hidden layers l = 1 … L in turn.

    All networks see the same ``inputs`` [n_inputs, input_dim]. One layer is held at a time; the
    next is computed from it, so it must not be changed.
    """
    form = torch_form(mlp.activation)
    n_nets = len(mlp.nets)
    dtype = mlp.weights[0].dtype
    layer = torch.tensor(inputs, dtype=dtype).expand(n_nets, -1, -1)
    for weight, bias in zip(mlp.weights[:-1], mlp.biases[:-1]):
        below, layer = layer, torch.empty(n_nets, layer.shape[1], weight.shape[1], dtype=dtype)
        for nets, indices in _chunks(n_nets):
            out = _stack(*layer.shape[1:], dtype=dtype)
            _affine(_gather(below, indices), _gather(weight, indices), _gather(bias, indices), out)
            layer[nets] = form.apply(out)[: nets.stop - nets.start]
        yield layer


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as zero: gradients that vanish with depth would be ten times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train(
    mlp: StackedMLP,
    data: ImageData,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int,
    root_seed: int,
) -> TrainingHistory:
    """Train every network of ``mlp``, in place, by plain SGD on the softmax cross entropy.

    W ← W − learning_rate · ∂loss/∂W, the loss being the mean over a mini-batch (see
    ``batch_order``). A network that diverges is reported in the history; the others go on.

    Raises PropagationError if steps or batch_size do not fit the data, or the data not the networks.
    """
    n_samples, input_dim = data.train_x.shape
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
    form = torch_form(mlp.activation)
    dtype = mlp.weights[0].dtype
    train_x, test_x = (torch.tensor(x, dtype=dtype) for x in (data.train_x, data.test_x))
    train_y, test_y = (torch.tensor(y) for y in (data.train_y, data.test_y))
    test_x = test_x.expand(CHUNK_NETS, -1, -1)
    n_nets = len(mlp.nets)
    losses = np.empty((n_nets, steps))
    accuracy_before, accuracy_after = np.empty(n_nets), np.empty(n_nets)
    diverged = np.empty(n_nets, dtype=bool)
    with _flushed_denormals():
        for nets, indices in _chunks(n_nets):
            kept = nets.stop - nets.start
            weights = [_gather(weight, indices) for weight in mlp.weights]
            biases = [_gather(bias, indices) for bias in mlp.biases]
            orders = [
                batch_order(
                    mlp.nets[index],
                    n_samples=n_samples,
                    batch_size=batch_size,
                    steps=steps,
                    root_seed=root_seed,
                )
                for index in indices.tolist()
            ]
            order = torch.from_numpy(np.stack(orders, axis=1))
            accuracy_before[nets] = _accuracy(_outputs(test_x, weights, biases, form), test_y)[:kept]
            losses[nets] = _descend(weights, biases, form, train_x, train_y, order, learning_rate)[:kept]
            outputs = _outputs(test_x, weights, biases, form)
            accuracy_after[nets] = _accuracy(outputs, test_y)[:kept]
            diverged[nets] = ~outputs.isfinite().flatten(1).all(1)[:kept].numpy()
            for stacked, trained in zip([*mlp.weights, *mlp.biases], [*weights, *biases]):
                stacked[nets] = trained[:kept]
    diverged |= ~np.isfinite(losses).all(axis=1)
    return TrainingHistory(losses, accuracy_before, accuracy_after, diverged)


def _accuracy(outputs: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Share [C] of the inputs whose outputs [C, B, n_classes] are finite and largest at the label."""
    right = (outputs.argmax(2) == labels) & outputs.isfinite().all(2)
    return right.double().mean(1).numpy()


def _descend(
    weights: list[Tensor],
    biases: list[Tensor],
    form: TorchForm,
    images: Tensor,
    labels: Tensor,
    order: Tensor,
    learning_rate: float,
) -> NDArray[np.float64]:
    """Run SGD on one chunk in place, over the samples ``order`` [steps, C, B]; return losses [C, steps].

    With delta_l = ∂loss/∂h_l: ∂loss/∂W_l = delta_lᵀ x_{l−1}, ∂loss/∂b_l = Σ_batch delta_l and
    delta_{l−1} = (delta_l W_l) · phi'(h_{l−1}).
    """
    steps, _, batch = order.shape
    dtype = images.dtype
    activations = [_stack(batch, weight.shape[2], dtype=dtype) for weight in weights]
    saved = activations
    if form.saves_input:
        saved = [_stack(batch, weight.shape[2], dtype=dtype) for weight in weights]
    deltas = [_stack(batch, weights[0].shape[1], dtype=dtype) for _ in range(2)]
    outputs, delta_out = (_stack(batch, weights[-1].shape[1], dtype=dtype) for _ in range(2))
    losses = torch.empty(CHUNK_NETS, steps, dtype=torch.float64)
    minus_one = torch.full((CHUNK_NETS, batch, 1), -1.0, dtype=dtype)
    for step in range(steps):
        chosen = order[step].flatten()
        activations[0].copy_(images.index_select(0, chosen).view_as(activations[0]))
        for layer, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1]), start=1):
            h = _affine(activations[layer - 1], weight, bias, activations[layer])
            if form.saves_input:
                saved[layer].copy_(h)
            form.apply(h)
        _affine(activations[-1], weights[-1], biases[-1], outputs)
        target = labels.index_select(0, chosen).view(CHUNK_NETS, batch, 1)
        log_p = torch.log_softmax(outputs, 2)
        losses[:, step] = -log_p.gather(2, target).flatten(1).mean(1)
        delta = torch.exp(log_p, out=delta_out).scatter_add_(2, target, minus_one).div_(batch)
        for layer in range(len(weights) - 1, -1, -1):
            # The gradient below needs the weights of before the step.
            below = torch.bmm(delta, weights[layer], out=deltas[layer % 2]) if layer else delta
            weights[layer].baddbmm_(delta.mT, activations[layer], alpha=-learning_rate)
            biases[layer].add_(delta.sum(1), alpha=-learning_rate)
            delta = form.gradient(below, saved[layer]) if layer else below
    return losses.numpy()


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over everything a file of networks says, in a fixed order."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def save_networks(path: Path, mlp: StackedMLP, metadata: Mapping[str, str]) -> None:
    """Write the parameters, what the networks are, and ``metadata`` to ``path`` (safetensors).

    The same networks give the same bytes. The file appears under its name only when it is whole,
    and carries a SHA-256 of its content. Raises TableError if it cannot be written.
    """
    tensors = {f"weight.{layer:04d}": weight for layer, weight in enumerate(mlp.weights)}
    tensors |= {f"bias.{layer:04d}": bias for layer, bias in enumerate(mlp.biases)}
    content = {
        "activation": mlp.activation,
        "nets": [asdict(net) for net in mlp.nets],
        "metadata": dict(metadata),
    }
    text = json.dumps(content, sort_keys=True)
    # One metadata entry: safetensors writes several in an order that changes from run to run.
    header = {_FILE_KEY: json.dumps({"content": text, "sha256": _digest(text, tensors)}, sort_keys=True)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata=header)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise TableError(
            f"{path} cannot be written ({error}): make room or choose a folder that exists and is writable."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_networks(path: Path) -> tuple[StackedMLP, dict[str, str]]:
    """Read what ``save_networks`` wrote, with its metadata, and verify it.

    Raises TableError if the file is missing, truncated, altered or not one of this package's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            header = json.loads((file.metadata() or {})[_FILE_KEY])
        if _digest(header["content"], tensors) != header["sha256"]:
            raise ValueError("its content does not match its checksum")
    except FileNotFoundError:
        raise TableError(f"{path} does not exist: run the training that writes it.") from None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} is truncated, altered or no file of trained networks ({error}): delete it and run again."
        ) from error
    content = json.loads(header["content"])
    mlp = StackedMLP(
        weights=[tensors[name] for name in sorted(tensors) if name.startswith("weight.")],
        biases=[tensors[name] for name in sorted(tensors) if name.startswith("bias.")],
        activation=content["activation"],
        nets=tuple(NetSpec(**net) for net in content["nets"]),
    )
    return mlp, content["metadata"]
