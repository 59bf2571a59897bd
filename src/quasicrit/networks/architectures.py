"""What is done to a network whatever its architecture: initialisation, norms, shuffled weights, and how its states are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from quasicrit.errors import ConfigError, TableError
from quasicrit.networks.device import enough_memory, model_device
from quasicrit.networks.mlp import haar_orthogonal, load_tensors, save_tensors

__all__ = [
    "calibrate_norms",
    "initialise_network",
    "load_states",
    "save_states",
    "shuffle_weights",
    "to_images",
]

#: Standard deviation of learnt positions at initialisation, as in GPT and BERT.
_POSITIONS = 0.02


def initialise_network(model: nn.Module, init: str, sigma_w: float, sigma_b: float, rng: np.random.Generator) -> None:
    """Draw the weights of every linear and convolutional layer with variance sigma_w²/fan-in, and biases N(0, sigma_b²), in place.

    ``init``: gaussian or orthogonal (as a matrix [out, fan-in], times √(out/fan-in) if it is taller than wide). Norms keep scale 1 and
    shift 0; other parameters (positions) are N(0, .02²).

    Raises ConfigError for another ``init``.
    """
    if init not in ("gaussian", "orthogonal"):
        raise ConfigError(f"init = {init!r} is not known: choose one of gaussian, orthogonal.")
    done: set[int] = set()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
                done.update(id(parameter) for parameter in layer.parameters())
            if not isinstance(layer, nn.Linear | nn.Conv2d):
                continue
            n_out, fan_in = layer.weight.shape[0], math.prod(layer.weight.shape[1:])
            if init == "orthogonal":
                weight = haar_orthogonal(rng, n_out, fan_in) * math.sqrt(max(1.0, n_out / fan_in))
            else:
                weight = rng.standard_normal((n_out, fan_in)) / math.sqrt(fan_in)
            layer.weight.copy_(torch.from_numpy(sigma_w * weight).reshape(layer.weight.shape))
            done.add(id(layer.weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(sigma_b * rng.standard_normal(n_out)))
                done.add(id(layer.bias))
        for parameter in model.parameters():
            if id(parameter) not in done:
                parameter.copy_(torch.from_numpy(_POSITIONS * rng.standard_normal(tuple(parameter.shape))))


def shuffle_weights(model: nn.Module, rng: np.random.Generator) -> None:
    """Permute the entries of every weight tensor, in place: the same values without structure, as if drawn independently."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                order = torch.from_numpy(rng.permutation(layer.weight.numel()))
                layer.weight.copy_(layer.weight.flatten()[order].reshape(layer.weight.shape))


def calibrate_norms(model: nn.Module, inputs: Tensor, batch_size: int = 64) -> None:
    """Set the running means and variances of every batch norm to those of ``inputs``, in place, the weights left as they are.

    The mean over batches of the batches' statistics (momentum None); momentum and modes are put back, or training would go on with
    means that never forget. A network without batch norms is left alone. Raises DeviceError where the model's device does not hold a batch.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    modes = [(layer, layer.training) for layer in model.modules()]
    momenta = [layer.momentum for layer in norms]
    device = model_device(model)
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with torch.no_grad(), enough_memory(f"batch of {batch_size} inputs"):
            for low in range(0, len(inputs) - len(inputs) % batch_size or len(inputs), batch_size):
                model(inputs[low : low + batch_size].to(device))
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def to_images(samples: np.ndarray, shape: tuple[int, int, int], side: int) -> Tensor:
    """Samples (n, pixels) as float32 images (n, channels, side, side), each pixel of ``shape`` repeated side/height times.

    Raises ConfigError for images that are not square, and a side that is no multiple of the image's own.
    """
    channels, height, width = shape
    if height != width:
        raise ConfigError(f"images of {height} × {width} pixels are not square: give images as high as they are wide.")
    if side % height:
        raise ConfigError(f"image = {side} is no multiple of the {height} pixels that images of this task have a side.")
    images = samples.reshape(-1, *shape).astype(np.float32)
    images = images.repeat(side // height, axis=2).repeat(side // height, axis=3)
    return torch.from_numpy(np.ascontiguousarray(images)).reshape(-1, channels, side, side)


def save_states(path: Path | str, states: Mapping[str, Sequence[nn.Module]]) -> None:
    """Write the parameters and buffers of networks, by state (initial, trained), into one file, see ``mlp.save_tensors``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{state}.{index}.{name}": value.detach().contiguous()
        for state, models in states.items()
        for index, model in enumerate(models)
        for name, value in model.state_dict().items()
    }
    save_tensors(path, tensors, "states")


def load_states(path: Path | str, state: str, models: Sequence[nn.Module]) -> None:
    """Fill ``models`` with what ``save_states`` wrote of them; TableError for a file that is missing, damaged or of others."""
    tensors, _ = load_tensors(Path(path))
    for index, model in enumerate(models):
        prefix = f"{state}.{index}."
        try:
            model.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        except RuntimeError as error:
            text = " ".join(str(error).split())[:160]
            raise TableError(f"{path} holds other networks ({text}): delete it and run again to remake it") from None
