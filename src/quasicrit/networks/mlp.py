"""Many fully connected networks of one width and depth, stacked: initialisation, forward pass, files.

Parameters are stacked, [n_nets, out, in], and all products are batched: for small networks this is
several times faster than a loop.

A network is the same, bit for bit, whichever others it is computed with. Three things make it so:
its random numbers are keyed by its own name; products always run over ``CHUNK_NETS`` networks (a
last chunk is padded), since another batch count may choose another kernel; and inside a chunk each
network's arrays begin on the same alignment, since vector kernels round differently in their tails.
On a GPU chunks are as large as its memory allows, and a network is the same within rounding.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
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
from quasicrit.networks.device import Chunker, full_float32, resolve_device
from quasicrit.networks.kernels import layer_activation
from quasicrit.rng import generator
from quasicrit.tables import atomic_path

__all__ = [
    "CHUNK_NETS",
    "INITIALISATIONS",
    "NetSpec",
    "StackedMLP",
    "affine",
    "chunker",
    "forward_layers",
    "gather",
    "haar_orthogonal",
    "initialise",
    "join",
    "load_networks",
    "load_tensors",
    "outputs",
    "padded",
    "part_of",
    "predict",
    "save_networks",
    "save_tensors",
    "stack",
]

# Eight networks of width 64 keep one layer's arrays in the cache; it is part of what "the same
# numbers" means, so it is not an option.
CHUNK_NETS = 8
# Networks that a GPU takes at once: small products leave it waiting for the next call.
_GPU_NETS = 512
# Elements: 64 bytes in float32, 128 in float64, a multiple of every vector width in use.
_ALIGNMENT = 16
_FILE_KEY = "quasicrit"
INITIALISATIONS = ("gaussian", "orthogonal", "uniform", "glorot", "pytorch")


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


def haar_orthogonal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Draw a [rows, columns] matrix with orthonormal rows or columns, whichever are fewer, uniformly.

    QR of a Gaussian matrix is Haar distributed once the signs of R's diagonal are made positive
    (Mezzadri 2007, Notices of the AMS 54, 592).
    """
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diagonal(r))
    return q if rows >= columns else q.T


def _draw_weight(rng: np.random.Generator, init: str, n_out: int, n_in: int, sigma_w: float) -> NDArray[np.float64]:
    """One weight matrix whose entries have variance sigma_w² / n_in (glorot: 2 sigma_w² / (n_in + n_out))."""
    if init == "gaussian":
        return sigma_w / math.sqrt(n_in) * rng.standard_normal((n_out, n_in))
    if init == "orthogonal":
        # Orthonormal rows have that variance already. Orthonormal columns (n_out > n_in) would shrink
        # the signal per unit by n_in / n_out, which q = sigma_w² m + sigma_b² does not know of.
        return sigma_w * math.sqrt(max(1.0, n_out / n_in)) * haar_orthogonal(rng, n_out, n_in)
    fan = (n_in + n_out) / 2 if init == "glorot" else n_in
    return sigma_w * math.sqrt(3.0 / fan) * rng.uniform(-1.0, 1.0, (n_out, n_in))


def _draw_bias(rng: np.random.Generator, init: str, n_out: int, n_in: int, sigma_b: float) -> NDArray[np.float64]:
    """Biases of variance sigma_b²; pytorch: uniform of variance sigma_b² / n_in."""
    if init == "pytorch":
        return sigma_b * math.sqrt(3.0 / n_in) * rng.uniform(-1.0, 1.0, n_out)
    return sigma_b * rng.standard_normal(n_out)


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
    √(out/in)) are orthogonal, so that q = sigma_w² m + sigma_b² holds for every shape. "uniform": as gaussian, but uniform.
    "glorot": uniform with variance 2 sigma_w² / (fan-in + fan-out) (Glorot & Bengio 2010). b_i ~ N(0, sigma_b²). "pytorch": uniform
    weights of variance sigma_w² / fan-in and biases of sigma_b² / fan-in; with sigma_w = sigma_b = 1/√3 that is what torch.nn.Linear
    draws. A network's numbers come from the key ("trained", point_id, seed).

    Raises PropagationError for an unknown activation or initialisation.
    """
    torch_form(activation)
    if init not in INITIALISATIONS:
        raise PropagationError(f"unknown initialisation {init!r}: choose one of {', '.join(INITIALISATIONS)}.")
    dims = [input_dim, *[width] * depth, n_classes]
    shapes = list(zip(dims[1:], dims))
    weights = [torch.empty(len(nets), n_out, n_in, dtype=dtype) for n_out, n_in in shapes]
    biases = [torch.empty(len(nets), n_out, dtype=dtype) for n_out, _ in shapes]
    for index, net in enumerate(nets):
        rng = generator(root_seed, "trained", net.point_id, net.seed)
        for (n_out, n_in), weight, bias in zip(shapes, weights, biases):
            weight[index] = torch.from_numpy(_draw_weight(rng, init, n_out, n_in, net.sigma_w))
            bias[index] = torch.from_numpy(_draw_bias(rng, init, n_out, n_in, net.sigma_b))
    return StackedMLP(weights, biases, activation, tuple(nets))


def stack(*shape: int, like: Tensor) -> Tensor:
    """An empty chunk [C, *shape] for the networks of the chunk ``like`` [C, …], every network on an aligned address."""
    size = math.prod(shape)
    return like.new_empty(len(like), -(-size // _ALIGNMENT) * _ALIGNMENT)[:, :size].unflatten(1, shape)


def chunker(device: torch.device) -> Chunker:
    """How many networks are computed at once: CHUNK_NETS on a CPU, on a GPU more, while its memory allows."""
    return Chunker(CHUNK_NETS if device.type == "cpu" else _GPU_NETS, "network")


def padded(nets: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """The indices of the networks of one chunk; on a CPU also CHUNK_NETS indices with the last network as padding."""
    kept = torch.as_tensor(nets)
    if device.type != "cpu":
        return kept, kept
    return kept, kept[torch.arange(CHUNK_NETS).clamp_(max=len(kept) - 1)]


def gather(values: Tensor, indices: Tensor, device: torch.device | None = None) -> Tensor:
    """The chunk of ``values`` [n_nets, …] at ``indices``, on ``device``; they stay where they are without one."""
    chosen = values[indices].to(device or values.device)
    return stack(*values.shape[1:], like=chosen).copy_(chosen)


def affine(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """h = x Wᵀ + b for one chunk: x [C, B, in], W [C, out, in], b [C, out], h [C, B, out]."""
    return out.copy_(bias.unsqueeze(1)).baddbmm_(x, weight.mT)


def outputs(x: Tensor, weights: list[Tensor], biases: list[Tensor], form: TorchForm) -> Tensor:
    """Readout [C, B, n_classes] of one chunk for the inputs x [C, B, in]."""
    for weight, bias in zip(weights[:-1], biases[:-1]):
        x = torch.bmm(x, weight.mT, out=stack(x.shape[1], weight.shape[1], like=weight))
        layer_activation(form, x, bias)()
    return affine(x, weights[-1], biases[-1], stack(x.shape[1], weights[-1].shape[1], like=weights[-1]))


def predict(mlp: StackedMLP, inputs: NDArray[np.float64], device: str = "cpu") -> NDArray[np.int64]:
    """Classes [n_nets, n_inputs] that the networks give to ``inputs`` [n_inputs, input_dim]; −1 where outputs are not finite.

    Raises DeviceError for a ``device`` that is not there, or has too little memory.
    """
    form, place = torch_form(mlp.activation), resolve_device(device)
    x = torch.tensor(inputs, dtype=mlp.weights[0].dtype, device=place)

    def classes(nets: Sequence[int]) -> NDArray[np.int64]:
        _, indices = padded(nets, place)
        weights, biases = ([gather(p, indices, place) for p in stacked] for stacked in (mlp.weights, mlp.biases))
        made = outputs(x.expand(len(indices), -1, -1), weights, biases, form)
        found = torch.where(made.isfinite().all(2), made.argmax(2), -1)
        return np.asarray(found[: len(nets)].cpu().numpy())

    with full_float32(place):
        return np.concatenate(list(chunker(place).run(range(len(mlp.nets)), classes)))


def part_of(mlp: StackedMLP, nets: range, device: torch.device) -> StackedMLP:
    """The networks ``nets``, numbers that follow each other, on ``device``."""
    low, high = nets.start, nets.stop
    return StackedMLP(
        [w[low:high].to(device) for w in mlp.weights],
        [b[low:high].to(device) for b in mlp.biases],
        mlp.activation,
        mlp.nets[low:high],
    )


def join(parts: Sequence[StackedMLP]) -> StackedMLP:
    """Networks of one shape and activation, drawn in several ways, as one stack in the order given."""
    return StackedMLP(
        [torch.cat(layer) for layer in zip(*(part.weights for part in parts), strict=True)],
        [torch.cat(layer) for layer in zip(*(part.biases for part in parts), strict=True)],
        parts[0].activation,
        tuple(net for part in parts for net in part.nets),
    )


def forward_layers(mlp: StackedMLP, inputs: NDArray[np.float64]) -> Iterator[Tensor]:
    """Yield the activations x_l [n_nets, n_inputs, width] of the hidden layers l = 1 … L in turn.

    All networks see the same ``inputs`` [n_inputs, input_dim]. One layer is held at a time, where the parameters
    are; the next is computed from it, so it must not be changed.
    """
    form = torch_form(mlp.activation)
    n_nets = len(mlp.nets)
    dtype, device = mlp.weights[0].dtype, mlp.weights[0].device
    size = CHUNK_NETS if device.type == "cpu" else n_nets
    layer = torch.tensor(inputs, dtype=dtype, device=device).expand(n_nets, -1, -1)
    for weight, bias in zip(mlp.weights[:-1], mlp.biases[:-1]):
        below, layer = layer, weight.new_empty(n_nets, layer.shape[1], weight.shape[1])
        for low in range(0, n_nets, size):
            nets, indices = padded(range(n_nets)[low : low + size], device)
            x = gather(below, indices)
            h = stack(*layer.shape[1:], like=x)
            torch.bmm(x, gather(weight, indices).mT, out=h)
            layer_activation(form, h, gather(bias, indices))()
            layer[nets] = h[: len(nets)]
        yield layer


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over everything a file of networks says, in a fixed order."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def save_networks(path: Path, mlp: StackedMLP, metadata: Mapping[str, str]) -> None:
    """Write the parameters, what the networks are, and ``metadata`` to ``path`` (safetensors), see ``save_tensors``."""
    tensors = {f"weight.{layer:04d}": weight for layer, weight in enumerate(mlp.weights)}
    tensors |= {f"bias.{layer:04d}": bias for layer, bias in enumerate(mlp.biases)}
    content = {
        "activation": mlp.activation,
        "nets": [asdict(net) for net in mlp.nets],
        "metadata": dict(metadata),
    }
    save_tensors(path, tensors, json.dumps(content, sort_keys=True))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], content: str) -> None:
    """Write ``tensors`` and a text to ``path`` (safetensors).

    The same content gives the same bytes. The file appears under its name only when it is whole,
    and carries a SHA-256 of its content. Raises TableError if it cannot be written.
    """
    # One metadata entry: safetensors writes several in an order that changes from run to run.
    header = {_FILE_KEY: json.dumps({"content": content, "sha256": _digest(content, tensors)}, sort_keys=True)}
    try:
        with atomic_path(path) as temporary:
            save_file(dict(tensors), temporary, metadata=header)
    except SafetensorError as error:
        known = re.search(r"\(os error (\d+)\)", str(error))
        why = os.strerror(int(known[1])) if known else str(error)
        raise TableError(
            f"{path} cannot be written ({why}): make room, or see that its folder is writable, and run again"
        ) from error


def load_networks(path: Path) -> tuple[StackedMLP, dict[str, str]]:
    """Read what ``save_networks`` wrote, with its metadata, and verify it.

    Raises TableError if the file is missing, truncated, altered or not one of this package's.
    """
    tensors, text = load_tensors(path)
    content = json.loads(text)
    mlp = StackedMLP(
        weights=[tensors[name] for name in sorted(tensors) if name.startswith("weight.")],
        biases=[tensors[name] for name in sorted(tensors) if name.startswith("bias.")],
        activation=content["activation"],
        nets=tuple(NetSpec(**net) for net in content["nets"]),
    )
    return mlp, content["metadata"]


def load_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read what ``save_tensors`` wrote, and verify it.

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
    return tensors, str(header["content"])
