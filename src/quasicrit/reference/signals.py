"""Signals whose memory is known: noise, autoregressions, walks, driven branching. All return (trials, steps)."""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "autoregressive",
    "branching_activity",
    "fractional_noise",
    "independent",
    "poisson_counts",
    "random_walk",
    "subsampled",
]


def independent(trajectories: int, layers: int, rng: np.random.Generator) -> np.ndarray:
    """Independent standard normal values (trajectories, layers): above its median, P(d) = 2^−d exactly."""
    return rng.standard_normal((trajectories, layers))


def random_walk(trials: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random walks of unit steps that start at 0; (trials, steps), the first value being the first step."""
    return np.cumsum(rng.standard_normal((trials, steps)), axis=1)


def autoregressive(memory: float, trajectories: int, layers: int, rng: np.random.Generator) -> np.ndarray:
    """AR(1), y_t = a y_{t−1} + e_t, a = exp(−1/memory), e ~ N(0, 1), started in its stationary state.

    Within its memory it is a random walk with the exponents of the Brownian excursion; beyond, P(d) falls
    exponentially. Sampled at these steps it is the Ornstein–Uhlenbeck process of that relaxation time, exactly.
    Returns (trajectories, layers).
    """
    a = math.exp(-1.0 / memory)
    noise = rng.standard_normal((trajectories, layers))
    noise[:, 0] /= math.sqrt(1 - a * a)
    for layer in range(1, layers):
        noise[:, layer] += a * noise[:, layer - 1]
    return noise


def fractional_noise(hurst: float, trials: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Fractional Gaussian noise of unit variance, (trials, steps), exactly, by circulant embedding.

    Its autocovariance is ½(|k+1|^{2H} − 2|k|^{2H} + |k−1|^{2H}); its sum is fractional Brownian motion.
    Source: Davies and Harte 1987, Biometrika 74, 95.
    """
    lag = np.arange(steps + 1, dtype=np.float64)
    covariance = 0.5 * (np.abs(lag + 1) ** (2 * hurst) - 2 * lag ** (2 * hurst) + np.abs(lag - 1) ** (2 * hurst))
    # The eigenvalues of the circulant are positive for every H (Craigmile 2003), rounding apart.
    spectrum = np.maximum(np.fft.rfft(np.concatenate([covariance, covariance[-2:0:-1]])).real, 0.0)
    size = 2 * steps
    parts = rng.standard_normal((trials, spectrum.size, 2))
    parts *= np.sqrt(spectrum * size / 2)[:, np.newaxis]
    # The two ends of the spectrum are real.
    parts[:, [0, -1], 0] *= math.sqrt(2.0)
    parts[:, [0, -1], 1] = 0.0
    return np.fft.irfft(parts.view(np.complex128)[:, :, 0], n=size, axis=1)[:, :steps]


def poisson_counts(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts with the given rate (trials, steps), as floats."""
    return rng.poisson(rate).astype(np.float64)


def branching_activity(mean: float, drive: float, trials: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Driven branching, A_{t+1} ~ Poisson(mean A_t + drive), after 20/(1 − mean) steps from its mean drive/(1 − mean).

    Its autocorrelation is mean^k. Returns (trials, steps).
    """
    warm = math.ceil(20.0 / (1.0 - mean))
    activity = np.empty((trials, steps))
    now = np.full(trials, drive / (1.0 - mean))
    for step in range(-warm, steps):
        now = rng.poisson(mean * now + drive).astype(np.float64)
        if step >= 0:
            activity[:, step] = now
    return activity


def subsampled(activity: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Each unit of activity (trials, steps) seen with probability ``share``, independently."""
    return rng.binomial(activity.astype(np.int64), share).astype(np.float64)
