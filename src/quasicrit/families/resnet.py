"""Residual networks of convolutions (``networks.resnet``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from quasicrit.families.network import Definition, Network, Size
from quasicrit.values import Count, Positive

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ResNetNet"]


class ResNetNet(Network):
    """Residual network of convolutions: blocks and channels by stage; basic or bottleneck; activation after (post) or before (pre)
    the sum; residual_scale "stable" is 1/√blocks."""

    family: Literal["resnet"]
    blocks: Annotated[tuple[Count, ...], Field(min_length=1)]
    channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    block: Literal["basic", "bottleneck"] = "basic"
    norm: Literal["batch", "none"] = "batch"
    order: Literal["post", "pre"] = "post"
    residual_scale: Positive | Literal["stable"] = 1.0
    stem: Literal["cifar", "imagenet"] = "cifar"
    shortcut: Literal["pad", "projection"] = "pad"
    stage: Annotated[int, Field(ge=0)] = 0

    recorded: ClassVar[str] = "Conv2d,BatchNorm2d,ReLU,Add"
    stream: ClassVar[str] = "stages.{stage}.*.add"
    theory: ClassVar[str | None] = "relu"
    lineages: ClassVar[bool] = True

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        from quasicrit.networks.resnet import ResNet

        scale = options.pop("residual_scale", 1.0)
        if scale == "stable":
            scale = 1.0 / math.sqrt(sum(options["blocks"]))
        return ResNet(residual_scale=scale, in_channels=shape[0], classes=classes, **options)

    def options(self) -> dict[str, Any]:
        return {name: value for name, value in super().options().items() if name != "stage"}

    def layers(self, definition: Definition) -> int:
        if definition == "B":
            return self.blocks[self.stage]
        return (3 if self.block == "bottleneck" else 2) * sum(self.blocks) + 1

    @model_validator(mode="after")
    def _possible(self) -> ResNetNet:
        if len(self.blocks) != len(self.channels):
            raise ValueError(
                f"blocks = {list(self.blocks)} and channels = {list(self.channels)}: give one number of each for every stage"
            )
        if self.stage >= len(self.blocks):
            raise ValueError(f"stage = {self.stage}, but the stages are 0 to {len(self.blocks) - 1}")
        projects = self.shortcut == "projection" and (len(self.blocks) > 1 or self.block == "bottleneck")
        if "A" in self.definitions and (self.order == "pre" or projects):
            raise ValueError(
                "definition A needs streams that are rectified and skips without parameters: order: post and shortcut: pad, or leave A out"
            )
        return self

    def size(self, shape: tuple[int, int, int]) -> Size:
        pixels = shape[1] * shape[2] // (16 if self.stem == "imagenet" else 1)
        area = [pixels / 4**stage for stage in range(len(self.blocks))]
        # A bottleneck has a 3 × 3 convolution between 1 × 1 ones to and from four times the channels.
        weights = [(17 if self.block == "bottleneck" else 18) * c**2 * b for b, c in zip(self.blocks, self.channels)]
        per_block = 3 if self.block == "bottleneck" else 2
        return Size(
            multiplications=sum(w * a for w, a in zip(weights, area)),
            parameters=sum(weights),
            units=sum(per_block * b * c * a for b, c, a in zip(self.blocks, self.channels, area)),
            stream=self.blocks[self.stage] * self.channels[self.stage] * area[self.stage],
        )

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        halved = len(self.blocks) - 1 + (2 if self.stem == "imagenet" else 0)
        return f"image = {shape[1]} cannot be halved {halved} times" if shape[1] % 2**halved else None
