"""The samplers that hold vectors of units on a GPU: the equations of ``matrices``, with random numbers made where they are used.

The weights of a layer are used once, so that drawing them on the CPU would take as long as all the rest. The networks of a
group are drawn in packs, each from a generator of its own on the device: which networks are computed at once changes a
number by rounding only. Against the CPU the law is the same and the random numbers are others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quasicrit.errors import PropagationError
from quasicrit.networks.activations import torch_activation
from quasicrit.networks.device import Chunker, full_float32
from quasicrit.networks.propagation import LINEAR_SCALE, Layers, Replicas, Signals, check_finite
from quasicrit.rng import generator

__all__ = ["DeviceSampler"]

#: Random numbers of a pack in one layer: enough to fill a GPU, few enough to fit it. Part of what the numbers are.
_PACK = 1 << 22
#: Random numbers of one layer at once, while memory allows (4 or 8 bytes each).
_AT_ONCE = 1 << 27
#: Relative ridges of a Gram matrix without Cholesky factor, in turn.
_JITTERS = (1e-13, 1e-12)


@dataclass
class _Pack:
    """Some networks of one group with their generator, and what they were at the end of the last block of layers.

    ``x`` (networks, inputs, N): activations at unit mean square per network, ``log_scale`` (networks,) the logarithm of what
    they were divided by; None before the first layer.
    """

    replicas: Replicas
    made: torch.Generator
    state: Tensor
    x: Tensor | None = None
    log_scale: Tensor | None = None


def _stream(root_seed: int, key: tuple[str | int, ...], device: torch.device) -> torch.Generator:
    """The generator of a pack on the device; the generators of CUDA keep 64 bits of their seed."""
    seed = int(generator(root_seed, *key).integers(2**63))
    return torch.Generator(device).manual_seed(seed)


def _fill(out: Tensor, made: torch.Generator) -> None:
    out.normal_(generator=made)


class DeviceSampler:
    """Real weights (``source`` weights) or the Gram matrix (gram) of many networks on ``device``."""

    def __init__(self, source: str, signals: Signals, device: torch.device) -> None:
        self._source, self._signals, self._device = source, signals, device
        self._phi = torch_activation(signals.activation)
        self._dtype = torch.float32 if source == "weights" else torch.float64
        per_net = signals.width * (signals.width if source == "weights" else signals.inputs)
        size = max(1, _PACK // per_net)
        self._packs: list[_Pack] = []
        for group in signals.replicas:
            for index, low in enumerate(range(0, group.size, size)):
                key = (*group.key, device.type, index)
                made = _stream(signals.root_seed, key, device)
                part = Replicas(key, min(size, group.size - low), group.sigma_w, group.sigma_b)
                self._packs.append(_Pack(part, made, made.get_state()))
        largest = max(pack.replicas.size for pack in self._packs)
        self._chunker = Chunker(
            max(1, _AT_ONCE // (largest * per_net)), f"pack of {largest} networks of width {signals.width}"
        )

    def advance(self, first: int, count: int, units: bool) -> Layers:
        """Propagate through layers first … first + count − 1.

        Raises PropagationError where a signal dies or overflows or inputs become parallel, DeviceError for too little memory.
        """
        jitter = 0.0
        parts: list[tuple[np.ndarray, np.ndarray | None]] = []
        with torch.no_grad(), full_float32(self._device):
            for reduced, full, ridge in self._chunker.run(
                self._packs, lambda packs: self._advance(packs, count, units)
            ):
                parts.append((reduced, full))
                jitter = max(jitter, ridge)
        # (ln m, E|x|, active share; layers, networks, inputs)
        log_m, mean_abs, active = np.concatenate([reduced for reduced, _ in parts], axis=2)
        check_finite(self._signals, first, log_m)
        made = [full for _, full in parts if full is not None]
        log_m, mean_abs, active = (v.transpose(1, 2, 0).astype(np.float32) for v in (log_m, mean_abs, active))
        return Layers(first, log_m, mean_abs, active, np.concatenate(made, axis=1) if made else None, jitter)

    def state(self) -> dict[str, np.ndarray]:
        """x, its scale and the generator of every pack, none of them before the first layer."""
        made: dict[str, np.ndarray] = {}
        for index, pack in enumerate(self._packs):
            if pack.x is not None and pack.log_scale is not None:
                made[f"{index}.x"] = pack.x.cpu().numpy()
                made[f"{index}.log_scale"] = pack.log_scale.cpu().numpy()
                made[f"{index}.generator"] = pack.state.cpu().numpy()
        return made

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such a ``state``."""
        for index, pack in enumerate(self._packs):
            pack.x, pack.log_scale = (
                torch.tensor(state[f"{index}.{name}"], device=self._device) for name in ("x", "log_scale")
            )
            pack.state = torch.tensor(state[f"{index}.generator"])

    def _advance(self, packs: Sequence[_Pack], count: int, units: bool) -> tuple[np.ndarray, np.ndarray | None, float]:
        """One block of layers of some packs: reductions, units if asked for, ridge. The packs change at the end, all at once."""
        signals, device = self._signals, self._device
        for pack in packs:
            pack.made.set_state(pack.state)
        sizes = [pack.replicas.size for pack in packs]
        nets = sum(sizes)
        sigma_w, sigma_b = (
            torch.tensor(np.repeat([getattr(pack.replicas, name) for pack in packs], sizes), device=device)
            for name in ("sigma_w", "sigma_b")
        )
        free = sigma_b == 0
        x, log_scale = self._start(packs)
        reduced = torch.empty(3, count, nets, signals.inputs, dtype=torch.float64, device=device)
        full = np.empty((count, nets, signals.inputs, signals.width), np.float32) if units else None
        ridge = 0.0
        for layer in range(count):
            exact = log_scale.clamp(min=-700).exp()
            scale = torch.where(free, exact.clamp(min=LINEAR_SCALE), exact)
            beyond = torch.where(free, log_scale - scale.log(), 0.0)
            if self._source == "weights":
                h = self._by_weights(packs, x, sigma_w * scale)
            else:
                h, needed = self._by_gram(packs, x, sigma_w * scale, sigma_b)
                ridge = max(ridge, needed)
            x = self._phi(h)
            squares = x.double().square().mean(2)
            rms = squares.mean(1).sqrt()
            log_m = squares.log() + 2 * beyond[:, None]
            log_scale = rms.log() + beyond
            x /= rms.to(x.dtype)[:, None, None]
            size = x.abs()
            level = torch.zeros_like(log_m)
            if signals.activation != "relu":
                level = 0.1 * torch.exp(0.5 * log_m - log_scale[:, None])
            reduced[0, layer] = log_m
            reduced[1, layer] = size.mean(2, dtype=torch.float64) * log_scale.clamp(min=-700).exp()[:, None]
            reduced[2, layer] = (size > level.to(x.dtype)[:, :, None]).double().mean(2)
            if full is not None:
                full[layer] = (x * log_scale.exp()[:, None, None]).float().cpu().numpy()
        found = reduced.cpu().numpy()
        states = [pack.made.get_state() for pack in packs]
        for pack, state, own, scales in zip(packs, states, x.split(sizes), log_scale.split(sizes), strict=True):
            pack.state, pack.x, pack.log_scale = state, own, scales
        return found, full, ridge

    def _start(self, packs: Sequence[_Pack]) -> tuple[Tensor, Tensor]:
        """x and log_scale at the start of the block; before the first layer, independent inputs of mean square m0."""
        held = [(pack.x, pack.log_scale) for pack in packs if pack.x is not None and pack.log_scale is not None]
        if held:
            return torch.cat([x for x, _ in held]), torch.cat([scale for _, scale in held])
        x = self._normal(packs, self._signals.inputs, self._signals.width, dtype=torch.float64)
        x /= x.square().mean(2, keepdim=True).sqrt()
        start = 0.5 * math.log(self._signals.m0)
        return x.to(self._dtype), torch.full((len(x),), start, dtype=torch.float64, device=self._device)

    def _normal(self, packs: Sequence[_Pack], *shape: int, dtype: torch.dtype, biased_only: bool = False) -> Tensor:
        """Normal numbers (networks, *shape), each pack from its own generator; ``biased_only``: 0 where sigma_b is."""
        out = torch.zeros(sum(pack.replicas.size for pack in packs), *shape, dtype=dtype, device=self._device)
        at = 0
        for pack in packs:
            if pack.replicas.sigma_b > 0 or not biased_only:
                _fill(out[at : at + pack.replicas.size], pack.made)
            at += pack.replicas.size
        return out

    def _by_weights(self, packs: Sequence[_Pack], x: Tensor, gain: Tensor) -> Tensor:
        """h of the next layer from weights that are drawn for it; ``gain`` (networks,) = sigma_w times the scale of x."""
        width = self._signals.width
        w = self._normal(packs, width, width, dtype=torch.float32)
        if self._signals.orthogonal:
            w = _frames(w)
        else:
            gain = gain / math.sqrt(width)
        h = torch.bmm(x, w.mT)
        h *= gain.float()[:, None, None]
        if any(pack.replicas.sigma_b > 0 for pack in packs):
            sigma_b = torch.cat([torch.full((pack.replicas.size,), pack.replicas.sigma_b) for pack in packs])
            bias = self._normal(packs, 1, width, dtype=torch.float32, biased_only=True)
            h += bias * sigma_b.to(h.device)[:, None, None]
        return h

    def _by_gram(self, packs: Sequence[_Pack], x: Tensor, gain: Tensor, sigma_b: Tensor) -> tuple[Tensor, float]:
        """h of the next layer given the Gram matrix of this one, and the ridge that its factor needed."""
        width, inputs = self._signals.width, self._signals.inputs
        gram = x @ x.mT / width
        weights, bias = gain.square()[:, None, None], sigma_b.square()[:, None, None]
        if not self._signals.orthogonal:
            root, ridge = self._root(weights * gram + bias)
            return root @ self._normal(packs, inputs, width, dtype=torch.float64), ridge
        q = _frames(self._normal(packs, width, inputs, dtype=torch.float64))
        root, ridge = self._root(gram)
        h = weights.sqrt() * math.sqrt(width) * (root @ q.mT)
        return h + bias.sqrt() * self._normal(packs, 1, width, dtype=torch.float64), ridge

    def _root(self, covariance: Tensor) -> tuple[Tensor, float]:
        """Lower Cholesky factors; networks that have none get a relative ridge of 1e-13, or 1e-12, which is reported."""
        root, info = torch.linalg.cholesky_ex(covariance)
        if not info.any():
            return root, 0.0
        mean = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
        for jitter in _JITTERS:
            again, left = torch.linalg.cholesky_ex(covariance + jitter * mean * eye)
            bad = info != 0
            root, info = torch.where(bad[:, None, None], again, root), torch.where(bad, left, info)
            if not info.any():
                return root, jitter
        raise PropagationError(
            "the inputs of one network became parallel to 1e-12 (sigma_w = "
            f"{min(group.sigma_w for group in self._signals.replicas):g}, width {self._signals.width}): "
            "their Gram matrix has no Cholesky factor; use source: weights"
        )


def _frames(z: Tensor) -> Tensor:
    """Orthonormal columns with Haar distribution from normal numbers (networks, rows, columns)."""
    q, r = torch.linalg.qr(z)
    return q * torch.sign(r.diagonal(dim1=1, dim2=2))[:, None, :]
