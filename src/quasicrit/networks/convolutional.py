"""Plain convolutional networks: layers of one width, without skips or norms, as signal propagation describes them."""

from __future__ import annotations

from torch import Tensor, nn

from quasicrit.networks.modules import activation_module

__all__ = ["ConvNet"]


class ConvNet(nn.Module):
    """``depth`` layers of 3 × 3 convolutions with ``channels`` channels and an activation, then a readout of all units.

    Images are wrapped around (circular padding), so that every pixel has the same fan-in 9 · channels and the variance map is that
    of a fully connected network. Input (batch, in_channels, image, image), output (batch, classes).
    Source: Xiao et al. 2018, arXiv:1806.05393.
    """

    def __init__(
        self,
        depth: int,
        channels: int,
        activation: str = "tanh",
        *,
        in_channels: int = 1,
        image: int = 8,
        classes: int = 10,
    ) -> None:
        super().__init__()
        layers = []
        for index in range(depth):
            layer = nn.Sequential()
            layer.add_module(
                "conv",
                nn.Conv2d(channels if index else in_channels, channels, 3, 1, 1, padding_mode="circular"),
            )
            layer.add_module("activation", activation_module(activation))
            layers.append(layer)
        self.layers = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.readout = nn.Linear(channels * image**2, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.flatten(self.layers(x)))
