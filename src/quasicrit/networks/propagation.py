"""Signals through deep random networks: three exact samplers, and a tabulated one, behind one interface.

h_l = W_l x_{l−1} + b_l, x_l = phi(h_l), W_ij ~ N(0, sigma_w²/N) or sigma_w × Haar-orthogonal, b_i ~ N(0, sigma_b²).

* chain: one input per network. m_l = mean x² is exactly a Markov chain (docs/physics.md 2),
  m' = mean_i phi(h_i)², h_i = √(sigma_w² m + sigma_b²) z_i: O(N) per layer, no weight matrix.
  Orthogonal weights turn x into sigma_w |x| times a uniform direction, so h = sigma_w √m √N z/|z| + sigma_b z'.
* tabulated: the law of the chain from a table, at a cost that does not depend on N; ln m alone (``tabulated``).
* gram: B inputs per network. Given K = x xᵀ/N, h = chol(sigma_w² K + sigma_b²) z with z of shape (B, N).
  Orthogonal: h = sigma_w √N chol(K) Qᵀ + sigma_b z', Q an N × B frame with Haar distribution.
* weights: the matrices themselves, many networks at once by batched products.

gram and weights have a second form for GPUs (``device_samplers``). All yield the same blocks of layers, so that memory does not grow with depth. Signals are carried as a
vector and a logarithm: with s = max(√q, 1e-15), phi(s z)/s stays exact when q underflows, so that an ordered network
can be followed for any number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from quasicrit.errors import PropagationError

if TYPE_CHECKING:
    import torch

__all__ = [
    "LINEAR_SCALE",
    "REDUCED",
    "SOURCES",
    "Layers",
    "Propagation",
    "Replicas",
    "Signals",
    "check_finite",
    "propagate",
    "reduced",
]

SOURCES = ("gaussian", "gram", "weights", "tabulated")

#: Scale below which phi(s z) = phi'(0) s z to float32 precision, so that phi(s z)/s no longer depends on s.
LINEAR_SCALE = 1e-15
#: Layers per block, and numbers drawn per layer at once (float32: a layer stays in a typical L2 cache).
_SPAN = 32
_PER_LAYER = 1 << 15
#: Layers per block where a layer of a network is one number.
_LONG_SPAN = 1024


@dataclass(frozen=True)
class Replicas:
    """Networks of one point that share a generator: the unit of reproducible work.

    ``key`` identifies the group for the generator; ``size`` networks are drawn in full, whatever is kept.
    """

    key: tuple[str | int, ...]
    size: int
    sigma_w: float
    sigma_b: float


@dataclass(frozen=True)
class Signals:
    """What every sampler is made from: the networks and where their signals start."""

    activation: str
    orthogonal: bool
    width: int
    inputs: int
    m0: float
    replicas: Sequence[Replicas]
    root_seed: int

    @property
    def nets(self) -> int:
        """Number of networks in all groups."""
        return sum(group.size for group in self.replicas)

    def per_net(self, name: str) -> np.ndarray:
        """``sigma_w`` or ``sigma_b`` of every network, (nets,)."""
        sizes = [group.size for group in self.replicas]
        return np.repeat([getattr(group, name) for group in self.replicas], sizes)


@dataclass(frozen=True)
class Layers:
    """Activity of consecutive layers first … first + n − 1.

    ``log_m``, ``mean_abs``, ``active_fraction``: arrays (networks, inputs, n layers), the networks in the order of
    the replicas; ``mean_abs`` and ``active_fraction`` are NaN where the sampler does not know them. ``units``: (n layers, networks, inputs, N) float32 activations when they were asked for, else None.
    ``jitter``: the largest relative ridge that the Gram sampler needed (0 for the others).
    """

    first: int
    log_m: np.ndarray
    mean_abs: np.ndarray
    active_fraction: np.ndarray
    units: np.ndarray | None
    jitter: float


class _Sampler(Protocol):
    def advance(self, first: int, count: int, units: bool) -> Layers: ...

    def state(self) -> dict[str, np.ndarray]: ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None: ...


class Propagation(Iterator[Layers]):
    """Blocks of layers 1 … depth, one after the other, ``done`` layers so far; ``state`` is all that the others depend on."""

    def __init__(self, samplers: Sequence[_Sampler], depth: int, span: int, units: bool) -> None:
        self._samplers, self._depth, self._span, self._units = samplers, depth, span, units
        self.done = 0

    def __next__(self) -> Layers:
        if self.done == self._depth:
            raise StopIteration
        first, count = self.done + 1, min(self._span, self._depth - self.done)
        parts = [sampler.advance(first, count, self._units) for sampler in self._samplers]
        self.done += count
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in REDUCED}
        full = [part.units for part in parts if part.units is not None]
        return Layers(
            first=first,
            **joined,
            units=np.concatenate(full, axis=1) if full else None,
            jitter=max(part.jitter for part in parts),
        )

    def state(self) -> dict[str, np.ndarray]:
        """The layers that are done, and of every sampler its signals and generators."""
        made = {"done": np.array(self.done)}
        for index, sampler in enumerate(self._samplers):
            made |= {f"{index}.{name}": values for name, values in sampler.state().items()}
        return made

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from the ``state`` of a propagation of the same networks, with the same numbers."""
        self.done = int(state["done"])
        for index, sampler in enumerate(self._samplers):
            prefix = f"{index}."
            sampler.restore({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})


def propagate(
    source: str,
    activation: str,
    init: str,
    width: int,
    depth: int,
    inputs: int,
    m0: float,
    replicas: Sequence[Replicas],
    root_seed: int,
    units: bool = False,
    device: str = "cpu",
) -> Propagation:
    """The activity of ``replicas`` in blocks of layers 1 … depth, which are made as they are asked for.

    source: "gaussian" (chain, one input), "tabulated" (the same law, ln m alone), "gram" or "weights". Inputs have mean x² = ``m0``; several inputs of one
    network are independent random directions. The numbers of a group depend on its key and size alone, not on the
    groups beside it. ``device``: where gram and weights compute (``resolve_device``); on CUDA the law is the same and the random numbers
    are others.

    Raises PropagationError for an unknown source, for a signal that dies or overflows (which network, which layer), or for
    what the table does not hold; DeviceError for a device that is not there, or has too little memory.
    """
    if source not in SOURCES:
        raise PropagationError(f"source = {source!r} is no sampler; allowed are {', '.join(SOURCES)}")
    if source in ("gaussian", "tabulated") and inputs != 1:
        raise PropagationError(f"inputs = {inputs}, but the one-input chain carries one; use gram or weights")
    gpu = None if device == "cpu" else _gpu(source, device)
    units_per_net = {"weights": width**2, "tabulated": 1}.get(source, width)
    per_layer = replicas[0].size * inputs * units_per_net
    span = _LONG_SPAN if source == "tabulated" else _SPAN
    # A GPU takes all groups at once, as far as its memory goes.
    at_once = max(1, _PER_LAYER // per_layer) if gpu is None else len(replicas)
    samplers = []
    for low in range(0, len(replicas), at_once):
        batch = replicas[low : low + at_once]
        signals = Signals(activation, init == "orthogonal", width, inputs, m0, batch, root_seed)
        samplers.append(_sampler(source, signals, gpu))
    return Propagation(samplers, depth, span, units)


#: What is known of a layer of a network besides its units.
REDUCED = ("log_m", "mean_abs", "active_fraction")


def _gpu(source: str, device: str) -> torch.device | None:
    """The GPU that ``device`` means, None for the CPU."""
    if source in ("gaussian", "tabulated"):
        raise PropagationError(f"source: {source} runs on the CPU only; give device: cpu, or source: gram or weights")
    from quasicrit.networks.device import resolve_device

    place = resolve_device(device)
    return None if place.type == "cpu" else place


def _sampler(source: str, signals: Signals, gpu: torch.device | None) -> _Sampler:
    if source == "gaussian":
        from quasicrit.networks.chain import Chain

        return Chain(signals)
    if source == "tabulated":
        from quasicrit.networks.tabulated import Tabulated

        return Tabulated(signals)
    # Only these load torch: the chain needs none, and its jobs start in a fraction of the time.
    if gpu is not None:
        from quasicrit.networks.device_samplers import DeviceSampler

        return DeviceSampler(source, signals, gpu)
    from quasicrit.networks.matrices import Gram, Weights

    return Gram(signals) if source == "gram" else Weights(signals)


def check_finite(signals: Signals, first: int, log_m: np.ndarray) -> None:
    """Raise PropagationError where ln m (layers, networks, inputs), from layer ``first`` on, is not finite."""
    if not np.isfinite(log_m).all():
        layer, net = (int(v[0]) for v in np.nonzero(~np.isfinite(log_m))[:2])
        went = "died (every unit is zero)" if np.isneginf(log_m[layer, net]).any() else "overflowed"
        raise PropagationError(
            f"the signal {went} at layer {first + layer} in a network with activation {signals.activation}, "
            f"sigma_w = {signals.per_net('sigma_w')[net]:g}, width {signals.width}; give a sigma_w closer to critical "
            "or a smaller depth"
        )


def reduced(
    signals: Signals, first: int, x: np.ndarray, log_scale: np.ndarray, log_m: np.ndarray, units: bool, jitter: float
) -> Layers:
    """Reduce x (layers, networks, inputs, N) = activation / exp(log_scale); log_scale and ln m are (…, inputs).

    ``x`` is overwritten. Raises PropagationError where ln m is not finite.
    """
    check_finite(signals, first, log_m)
    full = (x * np.exp(log_scale)[..., None]).astype(np.float32) if units else None
    np.abs(x, out=x)
    # Products with a vector of ones: several times faster than mean and count_nonzero along the last axis.
    rows, ones = x.reshape(-1, x.shape[-1]), np.full(x.shape[-1], 1 / x.shape[-1], x.dtype)
    mean_abs = (rows @ ones).reshape(log_m.shape) * np.exp(np.maximum(log_scale, -700))
    level = np.zeros_like(log_m) if signals.activation == "relu" else 0.1 * np.exp(0.5 * log_m - log_scale)
    active = ((rows > level.reshape(-1, 1).astype(x.dtype)).astype(x.dtype) @ ones).reshape(log_m.shape)
    log_m, mean_abs, active = (v.transpose(1, 2, 0).astype(np.float32) for v in (log_m, mean_abs, active))
    return Layers(first, log_m, mean_abs, active, units=full, jitter=jitter)
