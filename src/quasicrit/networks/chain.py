"""The one-input chain: a network's signal strength without its weights, O(N) per layer. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from quasicrit.errors import PropagationError
from quasicrit.networks.propagation import LINEAR_SCALE, Layers, Signals, reduced
from quasicrit.rng import generator, generator_state, normal_float32, restore_generator

__all__ = ["Chain", "apply_in_place"]


def apply_in_place(activation: str) -> Callable[[np.ndarray], object]:
    """phi as an operation that overwrites a float32 array. Raises PropagationError for an unknown name."""
    if activation == "tanh":
        return lambda h: np.tanh(h, out=h)
    if activation == "linear":
        return lambda h: h
    if activation == "relu":
        return lambda h: np.maximum(h, np.float32(0), out=h)
    from quasicrit.theory import ACTIVATIONS  # scipy loads slowly: only where its functions are used

    if activation not in ACTIVATIONS:
        raise PropagationError(f"unknown activation {activation!r}; allowed are {', '.join(ACTIVATIONS)}")
    phi = ACTIVATIONS[activation].phi

    def overwrite(h: np.ndarray) -> None:
        h[...] = phi(h)

    return overwrite


class Chain:
    """One input per network: m' = mean_i phi(h_i)², h_i = √(sigma_w² m + sigma_b²) z_i.

    Orthogonal weights: h = sigma_w √m √N z/|z| + sigma_b z'.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._phi = apply_in_place(signals.activation)
        self._generators = [generator(signals.root_seed, *group.key) for group in signals.replicas]
        self._log_m = np.full(signals.nets, math.log(signals.m0))
        self._log_w = 2 * np.log(signals.per_net("sigma_w"))
        self._sigma_b = signals.per_net("sigma_b")
        self._biased = bool((self._sigma_b > 0).any())

    def advance(self, first: int, count: int, units: bool) -> Layers:
        """Propagate through layers first … first + count − 1."""
        turned = self._signals.orthogonal
        x = self._normal(count)
        bias = self._normal(count) if turned and self._biased else None
        width, variance = self._signals.width, self._sigma_b**2
        log_m, log_scale = np.empty((2, count, self._signals.nets))
        for layer in range(count):
            h = x[layer]
            log_q = self._log_w + self._log_m
            if self._biased and not turned:
                log_q = np.log(np.exp(log_q) + variance)
            scale = np.exp(0.5 * log_q)
            if bias is None:
                scale = np.maximum(scale, LINEAR_SCALE)
                with np.errstate(invalid="ignore"):  # an overflow or a death is reported by ``reduced``
                    log_scale[layer] = 0.5 * log_q - np.log(scale)
            else:
                log_scale[layer] = 0.0
            factor = scale
            if turned:
                factor = scale * math.sqrt(width) / np.sqrt(np.einsum("ij,ij->i", h, h, dtype=np.float64))
            np.multiply(h, factor.astype(np.float32)[:, None], out=h)
            if bias is not None:
                h += bias[layer] * self._sigma_b.astype(np.float32)[:, None]
            self._phi(h)
            squares = np.einsum("ij,ij->i", h, h)
            with np.errstate(divide="ignore"):
                self._log_m = np.log(squares.astype(np.float64) / width) + 2 * log_scale[layer]
            log_m[layer] = self._log_m
        return reduced(self._signals, first, x[:, :, None, :], log_scale[..., None], log_m[..., None], units, 0.0)

    def state(self) -> dict[str, np.ndarray]:
        """ln m of every network, and the generators of the groups."""
        return {"log_m": self._log_m, "generators": np.stack([generator_state(made) for made in self._generators])}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such a ``state``."""
        self._log_m = state["log_m"]
        for made, words in zip(self._generators, state["generators"], strict=True):
            restore_generator(made, words)

    def _normal(self, count: int) -> np.ndarray:
        """Normal numbers (count, networks, N), each group from its own generator, whatever groups are beside it."""
        width = self._signals.width
        x = np.empty((count, self._signals.nets, width), np.float32)
        at = 0
        for group, made in zip(self._signals.replicas, self._generators, strict=True):
            x[:, at : at + group.size] = normal_float32(made, (count, group.size, width))
            at += group.size
        return x
