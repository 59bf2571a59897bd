"""Surrogates of a signal: what is left of a result when order, or all but the spectrum, is taken away."""

from __future__ import annotations

import numpy as np

__all__ = [
    "gaussian_surrogate",
    "phase_randomised",
    "shuffle_increments",
    "shuffle_layers",
    "shuffle_trajectories",
]


def shuffle_layers(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute the layers of each trajectory (trajectories, layers, …) independently: same values, no memory."""
    if activity.ndim == 2:
        return rng.permuted(activity, axis=1)
    order = rng.permuted(np.tile(np.arange(activity.shape[1]), (len(activity), 1)), axis=1)
    return np.asarray(activity[np.arange(len(activity))[:, np.newaxis], order])


def shuffle_increments(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute the increments of each trajectory (trajectories, layers): same start, end and steps, a walk in all else.

    What it leaves unchanged needs no more than independent steps.
    """
    steps = rng.permuted(np.diff(activity, axis=1), axis=1)
    return np.concatenate([activity[:, :1], activity[:, :1] + np.cumsum(steps, axis=1)], axis=1)


def phase_randomised(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian-like signals with the power spectrum of each trajectory (trajectories, layers) and random phases.

    The straight line from first to last value is taken off before, since a period that does not close has a spectrum of its own,
    and is not put back. What it leaves unchanged needs no more than a Gaussian signal. Source: Theiler et al. 1992, Physica D 58, 77.
    """
    layers = activity.shape[1]
    line = np.linspace(0.0, 1.0, layers)
    closed = activity - activity[:, :1] - (activity[:, -1:] - activity[:, :1]) * line
    spectrum = np.fft.rfft(closed, axis=1)
    phases = np.exp(2j * np.pi * rng.random(spectrum.shape))
    phases[:, 0] = 1.0
    if layers % 2 == 0:
        phases[:, -1] = 1.0
    return np.fft.irfft(spectrum * phases, n=layers, axis=1)


def shuffle_trajectories(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute each layer of (trajectories, layers, …) across trajectories: every layer keeps its values, no memory is left."""
    order = rng.permuted(np.tile(np.arange(len(activity)), (activity.shape[1], 1)), axis=1).T
    return np.asarray(activity[order, np.arange(activity.shape[1])])


def gaussian_surrogate(activity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian trajectories, as many, with the means and covariances of ``activity`` (trajectories, layers, …) over its trajectories.

    Each is mean + Σ_i g_i (y_i − mean)/√n with independent normal g_i: a Gaussian vector of exactly the covariance of the n
    trajectories, between layers and between all that is behind them. What it leaves unchanged needs no more than second-order statistics.
    """
    mean = activity.mean(axis=0)
    centred = (activity - mean).reshape(len(activity), -1)
    mixed = rng.standard_normal((len(activity), len(activity))) @ centred / np.sqrt(len(activity))
    return np.asarray(mean + mixed.reshape(activity.shape))
