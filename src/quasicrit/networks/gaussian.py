"""Random networks measured on their way: survival of a weak seed, and the susceptibility at finite width. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quasicrit.errors import PropagationError
from quasicrit.networks.chain import apply_in_place
from quasicrit.rng import generator, normal_float32
from quasicrit.theory import get_activation

__all__ = ["SurvivalCount", "count_survivors", "pathwise_susceptibility"]


@dataclass(frozen=True)
class SurvivalCount:
    """``survivors[i]`` of ``seeds`` weak signals stayed above their start through ``depths[i]`` layers."""

    depths: tuple[int, ...]
    survivors: tuple[int, ...]
    seeds: int


def count_survivors(
    activation: str,
    sigma_w: float,
    width: int,
    depths: tuple[int, ...],
    seeds: int,
    m0: float,
    root_seed: int,
    key: tuple[str | int, ...],
    group: int = 8192,
) -> SurvivalCount:
    """Count weak seeds m_0 = ``m0`` whose m_l > m_0 for every l = 1 … L, for each L in ``depths``.

    At sigma_b = 0 a weak signal is multiplied by sigma_w² phi'(0)² chi²_N/N per layer, to a relative error of the order of
    its own strength (m0 ≤ 1e-9 is asked for): one gamma variate a layer. A signal that has fallen to its start is dropped, so
    that the work per seed is Σ_l P(N, l) ~ √L layers. Seeds are drawn in groups of ``group``, each with its own generator.

    Raises PropagationError for an activation with a kink at 0, whose step is another, or an m0 that is not weak.
    """
    phi = get_activation(activation)
    if phi.slope_left != phi.slope_right:
        raise PropagationError(
            f"activation {activation!r} has a kink at 0; survival needs one slope there, as tanh has"
        )
    if not 0 < m0 <= 1e-9:
        raise PropagationError(f"m0 = {m0:g} is not weak; survival of a weak seed needs 0 < m0 <= 1e-9")
    marks = set(depths)
    alive_at = dict.fromkeys(depths, 0)
    for index in range(math.ceil(seeds / group)):
        rng = generator(root_seed, *key, index)
        ratio = np.ones(min(group, seeds - index * group))  # m_l / m_0
        for layer in range(1, max(depths) + 1):
            ratio = ratio * ((sigma_w * phi.slope_right) ** 2 * 2 / width) * rng.standard_gamma(width / 2, len(ratio))
            ratio = ratio[ratio > 1]
            if layer in marks:
                alive_at[layer] += len(ratio)
            if not len(ratio):
                break
    return SurvivalCount(tuple(depths), tuple(alive_at[d] for d in depths), seeds)


def pathwise_susceptibility(
    activation: str,
    sigma_w: tuple[float, ...],
    sigma_b: float,
    width: int,
    nets: int,
    depth: int,
    burn_in: int,
    root_seed: int,
    key: tuple[str | int, ...],
    group: int = 32,
) -> dict[str, np.ndarray]:
    """∂⟨order⟩/∂sigma_w of networks of finite width in their stationary state, per network and sigma_w.

    The derivative is carried along each path of the chain: with q = sigma_w² m + sigma_b², h_i = √q z_i,
    dm' = (2/N) Σ phi(h_i) phi'(h_i) z_i dq / (2√q), dq = 2 sigma_w m dsigma_w + sigma_w² dm; and the same for
    E|x|. The same z serve every sigma_w (common random numbers), so that the position of a maximum over
    sigma_w is far better known than each value. m_0 = 1; layers > ``burn_in`` are averaged.

    Returns {"m", "rms", "abs"}: arrays (nets, len(sigma_w)), chi = ∂m, ∂√m and ∂E|x| over ∂sigma_w.
    """
    phi = apply_in_place(activation)
    w = np.asarray(sigma_w)[:, None]
    parts: dict[str, list[np.ndarray]] = {"m": [], "rms": [], "abs": []}
    for index in range(math.ceil(nets / group)):
        size = min(group, nets - index * group)
        rng = generator(root_seed, *key, index)
        m, dm = np.ones((len(sigma_w), size)), np.zeros((len(sigma_w), size))
        sums = {name: np.zeros_like(m) for name in parts}
        for layer in range(1, depth + 1):
            z = normal_float32(rng, (group, width))[:size]
            root = np.sqrt(w**2 * m + sigma_b**2)
            x = root.astype(np.float32)[..., None] * z
            slope = None if activation == "tanh" else _slope(activation, x)
            phi(x)
            # tanh' = 1 − tanh²: no second transcendental function where it can be had from the first.
            response = 1 - x * x if slope is None else slope
            response *= z
            gain = (w * m + 0.5 * w**2 * dm) / root
            dm = 2 * gain * np.einsum("ijk,ijk->ij", x, response) / width
            m = np.einsum("ijk,ijk->ij", x, x).astype(np.float64) / width
            if layer > burn_in:
                sums["m"] += dm
                sums["rms"] += 0.5 * dm / np.sqrt(m)
                sums["abs"] += gain * np.copysign(response, x * response, out=x).sum(-1) / width
        for name, total in sums.items():
            parts[name].append((total / (depth - burn_in)).T)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _slope(activation: str, h: np.ndarray) -> np.ndarray:
    return np.asarray(get_activation(activation).dphi(h), dtype=np.float32)
