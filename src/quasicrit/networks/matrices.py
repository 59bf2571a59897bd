"""Samplers that hold vectors of units: the Gram-matrix sampler, and real weight matrices (torch)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from quasicrit.errors import PropagationError
from quasicrit.networks.activations import torch_activation
from quasicrit.networks.propagation import LINEAR_SCALE, Layers, Signals, reduced
from quasicrit.rng import generator

__all__ = ["Gram", "Weights", "torch_generator"]

#: Relative ridge added to the Gram matrix where its Cholesky factor fails without, reported with the blocks.
_JITTER = 1e-13


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator whose whole Mersenne-Twister state is drawn from ``rng``.

    ``torch.Generator.manual_seed`` keeps 32 bits of its seed, too few for thousands of independent streams. The
    state is laid out as: seed, left, seeded, next (24 bytes), then 624 words of 64 bits holding 32 each.
    """
    made = torch.Generator()
    made.manual_seed(0)
    state = made.get_state()
    words = state[24 : 24 + 624 * 8].numpy().view(np.uint64)
    words[:] = rng.integers(0, 2**32, size=624, dtype=np.uint64)
    made.set_state(state)
    return made


class _Matrices:
    """What both share: x (networks, inputs, N) at unit mean square per network, and the logarithm of its scale."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals
        self.phi = torch_activation(signals.activation)
        self.width, self.count, self.nets = signals.width, signals.inputs, signals.nets
        self.orthogonal = signals.orthogonal
        self.sigma_w, self.sigma_b = signals.per_net("sigma_w"), signals.per_net("sigma_b")
        self.generators = [torch_generator(generator(signals.root_seed, *group.key)) for group in signals.replicas]
        self.log_scale = np.full(self.nets, 0.5 * math.log(signals.m0))
        self.jitter = 0.0
        self.x: torch.Tensor

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal numbers (networks, *shape), each group from its own generator."""
        parts = [
            torch.empty(group.size, *shape, dtype=dtype).normal_(generator=made)
            for group, made in zip(self.signals.replicas, self.generators, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def inputs(self) -> torch.Tensor:
        """Independent inputs in random directions, each of mean square 1, float64."""
        x = self.normal(self.count, self.width, dtype=torch.float64)
        return x / torch.sqrt(torch.mean(x * x, dim=2, keepdim=True))

    def strength(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale of the input to a layer, kept above the linear floor without bias, and ln of what was left out."""
        free = self.sigma_b == 0
        exact = np.exp(np.maximum(self.log_scale, -700))
        scale = np.where(free, np.maximum(exact, LINEAR_SCALE), exact)
        return scale, np.where(free, self.log_scale - np.log(scale), 0.0)

    def activate(self, h: torch.Tensor, kept: torch.Tensor, beyond: np.ndarray) -> np.ndarray:
        """Pass h through phi; x is kept at unit mean square per network, its scale in log_scale. Returns ln m (nets, inputs)."""
        x = self.phi(h)
        squares = torch.mean(x.double() * x.double(), dim=2).numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.sqrt(squares.mean(1))
            log_m = np.log(squares) + 2 * beyond[:, None]
            self.log_scale = np.log(scale) + beyond
        x /= torch.from_numpy(scale).to(x.dtype)[:, None, None]
        kept.copy_(x)
        self.x = x
        return np.asarray(log_m)

    def state(self) -> dict[str, np.ndarray]:
        """x and its scale, the generators of the groups, and the largest ridge so far."""
        return {
            "x": self.x.numpy(),
            "log_scale": self.log_scale,
            "generators": np.stack([made.get_state().numpy() for made in self.generators]),
            "jitter": np.array(self.jitter),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such a ``state``."""
        # A copy in torch's own memory: products may depend on the alignment.
        self.x, self.log_scale = torch.from_numpy(state["x"]).clone(), state["log_scale"]
        self.jitter = float(state["jitter"])
        for made, words in zip(self.generators, state["generators"], strict=True):
            made.set_state(torch.from_numpy(words))


class Gram(_Matrices):
    """Several inputs per network without weights: h given the Gram matrix is Gaussian, or a Haar frame."""

    def __init__(self, signals: Signals) -> None:
        super().__init__(signals)
        self.x = self.inputs()

    def advance(self, first: int, count: int, units: bool) -> Layers:
        kept = torch.empty(count, self.nets, self.count, self.width, dtype=torch.float64)
        log_m = np.empty((count, self.nets, self.count))
        log_scale = np.empty((count, self.nets, self.count))
        for layer in range(count):
            gram = self.x @ self.x.transpose(1, 2) / self.width
            scale, beyond = self.strength()
            weights = torch.from_numpy((self.sigma_w * scale) ** 2)[:, None, None]
            bias = torch.from_numpy(self.sigma_b**2)[:, None, None]
            if self.orthogonal:
                frame = torch.linalg.qr(self.normal(self.width, self.count, dtype=torch.float64))
                q = frame.Q * torch.sign(torch.diagonal(frame.R, dim1=1, dim2=2))[:, None, :]
                h = weights.sqrt() * math.sqrt(self.width) * (self._root(gram) @ q.transpose(1, 2))
                h += bias.sqrt() * self.normal(1, self.width, dtype=torch.float64)
            else:
                z = self.normal(self.count, self.width, dtype=torch.float64)
                h = self._root(weights * gram + bias) @ z
            log_m[layer] = self.activate(h, kept[layer], beyond)
            log_scale[layer] = self.log_scale[:, None]
        return reduced(self.signals, first, kept.numpy(), log_scale, log_m, units, self.jitter)

    def _root(self, covariance: torch.Tensor) -> torch.Tensor:
        """Lower Cholesky factor; a relative ridge of 1e-13, or 1e-12 where that fails, is added and reported."""
        mean = torch.diagonal(covariance, dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(self.count, dtype=torch.float64)
        for jitter in (0.0, _JITTER, 10 * _JITTER):
            root, info = torch.linalg.cholesky_ex(covariance + jitter * mean * eye)
            if not info.any():
                self.jitter = max(self.jitter, jitter)
                return root
        raise PropagationError(
            f"the inputs of one network became parallel to 1e-12 (sigma_w = {self.sigma_w.min():g}, width {self.width}): "
            "their Gram matrix has no Cholesky factor; use source: weights"
        )


class Weights(_Matrices):
    """The weight matrices themselves: fresh for every network and layer, used once."""

    def __init__(self, signals: Signals) -> None:
        super().__init__(signals)
        self.x = self.inputs().float()

    def advance(self, first: int, count: int, units: bool) -> Layers:
        kept = torch.empty(count, self.nets, self.count, self.width)
        log_m = np.empty((count, self.nets, self.count))
        log_scale = np.empty((count, self.nets, self.count))
        biased = bool((self.sigma_b > 0).any())
        for layer in range(count):
            w = self.normal(self.width, self.width)
            if self.orthogonal:
                q, r = torch.linalg.qr(w)
                w = q * torch.sign(torch.diagonal(r, dim1=1, dim2=2))[:, None, :]
                gain = self.sigma_w
            else:
                gain = self.sigma_w / math.sqrt(self.width)
            # x_j(input) W_ij summed over j: the strength of the signal is kept apart, in log_scale.
            h = torch.bmm(self.x, w.transpose(1, 2))
            scale, beyond = self.strength()
            h *= torch.from_numpy((gain * scale).astype(np.float32))[:, None, None]
            if biased:
                h += self.normal(1, self.width) * torch.from_numpy(self.sigma_b.astype(np.float32))[:, None, None]
            log_m[layer] = self.activate(h, kept[layer], beyond)
            log_scale[layer] = self.log_scale[:, None]
        return reduced(self.signals, first, kept.numpy(), log_scale, log_m, units, self.jitter)
