"""Lineages of active units in rectified convolutional networks: who descends from whom, by the z+ rule of relevance.

An active unit (rectified output y > 0) has one parent. It is the unit v of the layer before with probability ∝ max(0, w x_v), w with
the scale of the batch norm behind it; in a residual block it is the skip's own unit with

    P = x_skip / (x_skip + scale · Σ max(0, w x)).

The z+ rule is that of layer-wise relevance propagation (Montavon et al. 2017, arXiv:1512.02479). A unit and the copy of it that a skip
hands on are one individual. An avalanche is the tree of an individual's descendants. Each child has exactly one parent, so that all
active units of a layer descend from those before it: without skips the mean number of children is the ratio of the numbers of active
units whatever the weights are, with skips it is so for a block as a whole. A branching ratio near 1 by construction (neutral drift,
Martinello et al. 2017, arXiv:1703.05079) is no tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quasicrit.errors import RecordingError
from quasicrit.networks.convolutional import ConvNet
from quasicrit.networks.resnet import Block, Pad, ResNet

__all__ = ["Descent", "Generation", "Trees", "descent_of", "draw_parents", "trees"]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Generation:
    """How one layer of units comes from those before: a convolution of the last layer, and perhaps a skip from ``skip`` layers before.

    ``weight`` (out, in, k, k) with the norm's scale in it; ``wrap``: circular padding, else zeros. ``scale``: of the branch beside
    the skip. Layers are (channels, height, width); a skip takes every ``stride``-th pixel, channels without a source have none.
    """

    weight: FloatArray
    stride: int
    wrap: bool
    skip: int = 0
    scale: float = 1.0
    skip_stride: int = 1


@dataclass(frozen=True)
class Descent:
    """A network as generations: ``active`` holds the rectified outputs of its layers 0 … L, each (inputs, channels, height, width)."""

    active: tuple[FloatArray, ...]
    generations: tuple[Generation, ...]


@dataclass(frozen=True)
class Trees:
    """One row per individual, arrays (n,): where it first appears, and its descendants, itself included.

    ``input``, ``layer`` 0 … L; ``size`` individuals; ``generations`` and ``layers`` from the first to the last of them, at least 1;
    ``complete``: none of them lives in the last layer. ``orphan``: active without any parent.
    """

    input: NDArray[np.int32]
    layer: NDArray[np.int32]
    size: NDArray[np.int64]
    generations: NDArray[np.int32]
    layers: NDArray[np.int32]
    complete: NDArray[np.bool_]
    orphan: NDArray[np.bool_]


def descent_of(model: nn.Module, inputs: Tensor) -> Descent:
    """The rectified layers of ``model`` on ``inputs`` (n, …), in the mode for use, and how each comes from the one before.

    Raises RecordingError for a network that is none of rectified convolutions: ``ConvNet`` with relu, or ``ResNet`` with the
    activation after the sum and shortcuts without parameters.
    """
    layers: list[nn.Module]
    if isinstance(model, ResNet):
        layers, generations = _residual(model)
    elif isinstance(model, ConvNet) and any(isinstance(module, nn.ReLU) for module in model.modules()):
        convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
        layers = [*(module for module in model.modules() if isinstance(module, nn.ReLU))]
        generations = [Generation(_folded(conv, None), 1, True) for conv in convs[1:]]
    else:
        raise RecordingError(
            f"lineages cannot be drawn in a {type(model).__name__}: they need rectified convolutions, a conv network with relu or a "
            "resnet; leave definition A out."
        )
    kept: list[FloatArray] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> None:
        kept.append(output.detach().float().cpu().numpy().copy())

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        model.eval()
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not all(np.isfinite(layer).all() for layer in kept):
        raise RecordingError(
            "an activation is NaN or infinite, so that no lineage can be drawn; leave that network out."
        )
    return Descent(tuple(kept), tuple(generations))


def _residual(model: ResNet) -> tuple[list[nn.Module], list[Generation]]:
    # What the first block gets; without a maximum in the stem, pool is the identity.
    layers: list[nn.Module] = [model.pool]
    generations: list[Generation] = []
    for block in (module for module in model.modules() if isinstance(module, Block)):
        if block.order != "post" or any(True for _ in block.shortcut.parameters()):
            raise RecordingError(
                "lineages cannot be drawn in a resnet with order: pre or with projections as shortcuts: the streams of such "
                "networks are not rectified; leave definition A out."
            )
        for index in range(1, block.depth + 1):
            conv, norm = block.get_submodule(f"conv{index}"), block.get_submodule(f"norm{index}")
            assert isinstance(conv, nn.Conv2d)
            made = Generation(_folded(conv, norm), conv.stride[0], False)
            if index == block.depth:
                stride = block.shortcut.stride if isinstance(block.shortcut, Pad) else 1
                made = replace(made, skip=block.depth, scale=block.add.scale, skip_stride=stride)
            generations.append(made)
            layers.append(block.get_submodule(f"relu{index}"))
    return layers, generations


def _folded(conv: nn.Conv2d, norm: nn.Module | None) -> FloatArray:
    weight = conv.weight.detach().float()
    if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
        scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        weight = weight * scale[:, None, None, None]
    return np.ascontiguousarray(weight.cpu().numpy())


def draw_parents(descent: Descent, rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """For each layer 1 … L the parents (inputs, units): an index into the layer before; −1 of a unit that is not active, −2 of one
    that has none; −3 − index for a unit that the skip hands on, the index into the layer that the skip comes from."""
    drawn = []
    for number, generation in enumerate(descent.generations, start=1):
        before, here = descent.active[number - 1], descent.active[number]
        pad = generation.weight.shape[2] // 2
        mode = "wrap" if generation.wrap else "constant"
        padded = np.pad(before, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode)  # type: ignore[call-overload]
        skipped = descent.active[number - generation.skip] if generation.skip else here[:, :0]
        parents = np.full(here.shape, -1, np.int32)
        _draw(
            padded,
            generation.weight,
            here,
            np.ascontiguousarray(skipped),
            rng.random(here.shape, dtype=np.float32),
            generation.stride,
            pad,
            generation.scale,
            generation.skip_stride,
            parents,
        )
        drawn.append(parents.reshape(len(here), -1))
    return drawn


@numba.njit(cache=True, nogil=True)
def _draw(padded, weight, here, skipped, uniform, stride, pad, scale, skip_stride, parents):  # type: ignore[no-untyped-def]
    images, n_out, height, width = here.shape
    n_in, side = weight.shape[1], weight.shape[2]
    rows, columns = padded.shape[2] - 2 * pad, padded.shape[3] - 2 * pad
    for image in range(images):
        for unit in range(n_out):
            for y in range(height):
                for x in range(width):
                    if here[image, unit, y, x] <= 0.0:
                        continue
                    total = 0.0
                    for channel in range(n_in):
                        for i in range(side):
                            for j in range(side):
                                total += max(
                                    0.0,
                                    weight[unit, channel, i, j]
                                    * padded[image, channel, y * stride + i, x * stride + j],
                                )
                    total *= scale
                    carried = 0.0
                    if unit < skipped.shape[1]:
                        carried = skipped[image, unit, y * skip_stride, x * skip_stride]
                    if total + carried <= 0.0:
                        parents[image, unit, y, x] = -2
                        continue
                    left = uniform[image, unit, y, x] * (total + carried)
                    if left < carried:
                        source = (unit * skipped.shape[2] + y * skip_stride) * skipped.shape[3] + x * skip_stride
                        parents[image, unit, y, x] = -3 - source
                        continue
                    left -= carried
                    last = -2
                    found = False
                    for channel in range(n_in):
                        for i in range(side):
                            for j in range(side):
                                share = scale * (
                                    weight[unit, channel, i, j] * padded[image, channel, y * stride + i, x * stride + j]
                                )
                                if share <= 0.0:
                                    continue
                                # Padding by wrapping has sources on the other side; zeros are never drawn.
                                row = (y * stride + i - pad) % rows
                                column = (x * stride + j - pad) % columns
                                last = (channel * rows + row) * columns + column
                                left -= share
                                if left < 0.0:
                                    found = True
                                    break
                            if found:
                                break
                        if found:
                            break
                    # Rounding may leave a rest behind the last share, which is that one's.
                    parents[image, unit, y, x] = last


def trees(descent: Descent, parents: Sequence[NDArray[np.int32]]) -> Trees:
    """Every individual of ``descent`` and its descendants, by the ``parents`` of layers 1 … L."""
    last = len(descent.active) - 1
    alive = [layer.reshape(len(layer), -1) > 0 for layer in descent.active]
    size = [np.ones(mask.shape, np.int64) for mask in alive]
    generations = [np.ones(mask.shape, np.int32) for mask in alive]
    end = [np.full(mask.shape, number, np.int32) for number, mask in enumerate(alive)]
    for number in range(last, 0, -1):
        skip = descent.generations[number - 1].skip
        _gather(
            parents[number - 1],
            size[number],
            generations[number],
            end[number],
            size[number - 1],
            generations[number - 1],
            end[number - 1],
            size[number - skip],
            generations[number - skip],
            end[number - skip],
        )
    columns: list[list[NDArray]] = [[] for _ in range(7)]
    for number, mask in enumerate(alive):
        own = mask if number == 0 else mask & (parents[number - 1] > -3)
        image, unit = np.nonzero(own)
        orphan = np.ones(len(image), bool) if number == 0 else parents[number - 1][image, unit] == -2
        found = (
            image.astype(np.int32),
            np.full(len(image), number, np.int32),
            size[number][image, unit],
            generations[number][image, unit],
            end[number][image, unit] - number + 1,
            end[number][image, unit] < last,
            orphan,
        )
        for column, values in zip(columns, found):
            column.append(values)
    return Trees(*(np.concatenate(column) for column in columns))


@numba.njit(cache=True, nogil=True)
def _gather(parents, size, generations, end, size_1, generations_1, end_1, size_s, generations_s, end_s):  # type: ignore[no-untyped-def]
    """Hand the descendants of one layer on to its parents, one layer before or at the other end of a skip."""
    for image in range(parents.shape[0]):
        for unit in range(parents.shape[1]):
            parent = parents[image, unit]
            if parent >= 0:
                size_1[image, parent] += size[image, unit]
                generations_1[image, parent] = max(generations_1[image, parent], generations[image, unit] + 1)
                end_1[image, parent] = max(end_1[image, parent], end[image, unit])
            elif parent <= -3:
                source = -3 - parent
                size_s[image, source] += size[image, unit] - 1
                generations_s[image, source] = max(generations_s[image, source], generations[image, unit])
                end_s[image, source] = max(end_s[image, source], end[image, unit])


_NORMAL = NormalDist()
#: Standard deviations that no Gaussian number of a run lies beyond.
_FAR_LEVEL = 8.0

#: A null of definition A: the layers (and weights) put in other places.
Null = Callable[[Descent, np.random.Generator], Descent]


def shuffle_inputs(descent: Descent, rng: np.random.Generator) -> Descent:
    """Each layer as other inputs made it: inputs in an order drawn for every layer, shifted by one place more than the layer before."""
    order = rng.permutation(len(descent.active[0]))
    active = []
    for layer in descent.active:
        active.append(layer[order])
        # No input stands where it did in the layer before.
        order = np.roll(order, int(rng.integers(1, max(2, len(order)))))
    return replace(descent, active=tuple(active))


def shuffle_order(descent: Descent, rng: np.random.Generator) -> Descent:
    """Layers of one shape in another order, each with the weights that led to it where these fit: those of one kind of skip."""
    kinds: dict[tuple[int, ...], list[int]] = {}
    for number, layer in enumerate(descent.active):
        if number:
            generation = descent.generations[number - 1]
            key = (*layer.shape, *generation.weight.shape, generation.stride, generation.skip, generation.skip_stride)
            kinds.setdefault(key, []).append(number)
    order = np.arange(len(descent.active))
    for members in kinds.values():
        order[members] = rng.permutation(members)
    return Descent(
        tuple(descent.active[number] for number in order),
        tuple(descent.generations[number - 1] for number in order[1:]),
    )


def shuffle_units(descent: Descent, rng: np.random.Generator) -> Descent:
    """Units permuted within each layer and weights within each tensor: independent numbers of the same distributions.

    The skip hands on what the shuffled layer holds, so that sums and skips see the same units.
    """
    active = tuple(rng.permuted(layer.reshape(len(layer), -1), axis=1).reshape(layer.shape) for layer in descent.active)
    weights = (rng.permutation(g.weight.ravel()).reshape(g.weight.shape) for g in descent.generations)
    return Descent(active, tuple(replace(g, weight=w) for g, w in zip(descent.generations, weights)))


def gaussian_layers(descent: Descent, rng: np.random.Generator) -> Descent:
    """Rectified Gaussian layers: every layer's mean and share of active units are kept, and the covariance between layers of one shape.

    x_l = c_l max(0, g_l − t_l), independent for every input and unit, with Gaussian g of unit variance whose covariance over l is that
    of the activations z-scored over all inputs and units of a layer; t_l and c_l are set by the share and the mean. What units have of
    their own, and what units of one layer share, is lost.
    """
    made: list[FloatArray] = [np.empty(0, np.float32)] * len(descent.active)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, layer in enumerate(descent.active):
        shapes.setdefault(layer.shape, []).append(number)
    for members in shapes.values():
        stack = np.stack([descent.active[number] for number in members]).reshape(len(members), -1).astype(np.float64)
        spread = stack.std(1, keepdims=True)
        score = np.divide(stack - stack.mean(1, keepdims=True), spread, out=np.zeros_like(stack), where=spread > 0)
        values, vectors = np.linalg.eigh(score @ score.T / stack.shape[1])
        drawn = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.standard_normal(stack.shape)
        for number, g, own in zip(members, drawn, stack):
            share = float((own > 0).mean())
            # All units active: a level that no number falls below.
            level = _NORMAL.inv_cdf(1.0 - share) if 0.0 < share < 1.0 else math.copysign(_FAR_LEVEL, 0.5 - share)
            excess = _NORMAL.pdf(level) - level * (1.0 - _NORMAL.cdf(level))
            scaled = own.mean() / excess * np.maximum(0.0, g - level) if share > 0.0 else np.zeros_like(g)
            made[number] = scaled.astype(np.float32).reshape(descent.active[number].shape)
    return replace(descent, active=tuple(made))


#: Nulls of definition A by name.
NULLS: dict[str, Null] = {
    "input shuffle": shuffle_inputs,
    "layer shuffle": shuffle_order,
    "Gaussian surrogate": gaussian_layers,
    "i.i.d. weights": shuffle_units,
}
