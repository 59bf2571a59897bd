"""Residual networks of convolutions: CIFAR and ImageNet types, basic and bottleneck blocks, before or after the activation.

Every operation that changes a signal is a module, sums and activations too, so that hooks see them: ``Add`` is x + scale · branch.
Sources: He et al. 2016, arXiv:1512.03385 (post-activation) and arXiv:1603.05027 (pre-activation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from quasicrit.errors import ConfigError
from quasicrit.networks.modules import Add

__all__ = [
    "ResNet",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet110",
]

BlockKind = Literal["basic", "bottleneck"]
Norm = Literal["batch", "none"]
Order = Literal["post", "pre"]
Shortcut = Literal["pad", "projection"]
Stem = Literal["cifar", "imagenet"]


class Pad(nn.Module):
    """A parameter-free shortcut (He et al.'s option A): every ``stride``-th pixel, and empty channels behind the old ones."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, extra

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class Block(nn.Module):
    """A residual block: two 3 × 3 convolutions (basic), or 1 × 1, 3 × 3, 1 × 1 with four times the channels out (bottleneck)."""

    def __init__(
        self,
        n_in: int,
        channels: int,
        stride: int,
        *,
        bottleneck: bool,
        norm: Norm,
        order: Order,
        scale: float,
        shortcut: Shortcut,
    ) -> None:
        super().__init__()
        self.order, n_out = order, channels * (4 if bottleneck else 1)
        sizes = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [n_in, *([channels] * (len(sizes) - 1)), n_out]
        self.depth = len(sizes)
        for index, (kernel, step) in enumerate(sizes, start=1):
            before, after = widths[index - 1], widths[index]
            # Made in the order in which they run, so that a listing of the modules reads as the network does.
            parts = [
                (f"conv{index}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=norm == "none")),
                (f"norm{index}", _norm(norm, after if order == "post" else before)),
            ]
            last = index == self.depth and order == "post"
            parts = parts if order == "post" else [parts[1], (f"relu{index}", nn.ReLU()), parts[0]]
            for name, module in parts:
                self.add_module(name, module)
            if order == "post" and not last:
                self.add_module(f"relu{index}", nn.ReLU())
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            if shortcut == "pad" and n_out >= n_in:
                self.shortcut = Pad(stride, n_out - n_in)
            else:
                projection = nn.Conv2d(n_in, n_out, 1, stride, bias=norm == "none")
                self.shortcut = nn.Sequential(projection, _norm(norm, n_out)) if order == "post" else projection
        self.add = Add(scale)
        if order == "post":
            self.add_module(f"relu{self.depth}", nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        get = self.get_submodule
        branch = x
        for index in range(1, self.depth + 1):
            if self.order == "pre":
                branch = get(f"conv{index}")(get(f"relu{index}")(get(f"norm{index}")(branch)))
                continue
            branch = get(f"norm{index}")(get(f"conv{index}")(branch))
            if index < self.depth:
                branch = get(f"relu{index}")(branch)
        total = self.add(self.shortcut(x), branch)
        return total if self.order == "pre" else get(f"relu{self.depth}")(total)


def _norm(norm: Norm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


class ResNet(nn.Module):
    """``blocks`` residual blocks in each stage, ``channels`` in each; from the second stage on the first block halves the image.

    Input (batch, in_channels, height, width), output (batch, classes). ``stem``: cifar, a 3 × 3 convolution; imagenet, 7 × 7 with
    stride 2 and a maximum over 3 × 3. ``shortcut``: how a block with other shapes passes its input, pad (no parameters) or projection.
    ``residual_scale`` multiplies every branch.

    Raises ConfigError where blocks and channels do not say the same number of stages, and for options that are not known.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (9, 9, 9),
        channels: Sequence[int] = (16, 32, 64),
        *,
        block: BlockKind = "basic",
        norm: Norm = "batch",
        order: Order = "post",
        residual_scale: float = 1.0,
        stem: Stem = "cifar",
        shortcut: Shortcut = "pad",
        in_channels: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        if len(blocks) != len(channels) or not blocks or min(*blocks, *channels) < 1:
            raise ConfigError(
                f"blocks = {list(blocks)} and channels = {list(channels)}: give one number from 1 of each for every stage."
            )
        for name, value, kind in (
            ("block", block, BlockKind),
            ("norm", norm, Norm),
            ("order", order, Order),
            ("stem", stem, Stem),
            ("shortcut", shortcut, Shortcut),
        ):
            if value not in get_args(kind):
                raise ConfigError(f"{name} = {value!r} is not known: choose one of {', '.join(get_args(kind))}.")
        first = channels[0]
        if stem == "cifar":
            self.conv = nn.Conv2d(in_channels, first, 3, 1, 1, bias=norm == "none")
        else:
            self.conv = nn.Conv2d(in_channels, first, 7, 2, 3, bias=norm == "none")
        # Pre-activation blocks normalise and rectify what they get; an ImageNet stem does so before its maximum.
        stem_active = order == "post" or stem == "imagenet"
        self.norm = _norm(norm, first) if stem_active else nn.Identity()
        self.relu = nn.ReLU() if stem_active else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        n_in, stages = first, []
        for stage, (count, width) in enumerate(zip(blocks, channels)):
            made = []
            for index in range(count):
                made.append(
                    Block(
                        n_in,
                        width,
                        2 if stage and not index else 1,
                        bottleneck=block == "bottleneck",
                        norm=norm,
                        order=order,
                        scale=residual_scale,
                        shortcut=shortcut,
                    )
                )
                n_in = width * (4 if block == "bottleneck" else 1)
            stages.append(nn.Sequential(*made))
        self.stages = nn.Sequential(*stages)
        self.last_norm = _norm(norm, n_in) if order == "pre" else nn.Identity()
        self.last_relu = nn.ReLU() if order == "pre" else nn.Identity()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.readout = nn.Linear(n_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.conv(x))))
        x = self.last_relu(self.last_norm(self.stages(x)))
        return self.readout(self.flatten(self.mean(x)))


def _cifar(per_stage: int) -> ResNet:
    return ResNet((per_stage,) * 3, (16, 32, 64))


def resnet20() -> ResNet:
    """ResNet-20 for images of 3 × 32 × 32: three stages of three basic blocks, 16, 32 and 64 channels (He et al. 2016, table 6)."""
    return _cifar(3)


def resnet56() -> ResNet:
    """ResNet-56 for images of 3 × 32 × 32: three stages of nine basic blocks."""
    return _cifar(9)


def resnet110() -> ResNet:
    """ResNet-110 for images of 3 × 32 × 32: three stages of eighteen basic blocks."""
    return _cifar(18)


def _imagenet(blocks: Sequence[int], block: BlockKind) -> ResNet:
    return ResNet(blocks, (64, 128, 256, 512), block=block, stem="imagenet", shortcut="projection", classes=1000)


def resnet18() -> ResNet:
    """ResNet-18 for ImageNet (He et al. 2016, table 1), untrained."""
    return _imagenet((2, 2, 2, 2), "basic")


def resnet34() -> ResNet:
    """ResNet-34 for ImageNet, untrained."""
    return _imagenet((3, 4, 6, 3), "basic")


def resnet50() -> ResNet:
    """ResNet-50 for ImageNet with bottleneck blocks, untrained."""
    return _imagenet((3, 4, 6, 3), "bottleneck")
