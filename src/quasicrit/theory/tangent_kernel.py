"""The neural tangent kernel of infinitely wide networks, and what gradient descent in that limit predicts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quasicrit.errors import TheoryError
from quasicrit.theory.activations import Activation, get_activation, half_line_nodes, quadrature_tier
from quasicrit.theory.finite_width import check_width
from quasicrit.theory.mean_field import check_depth

__all__ = ["tangent_descent", "tangent_kernel"]

Floats = NDArray[np.float64]
_ORDERS = 120


def _hermite_squares(activation: Activation, q: float) -> Floats:
    """a_k², k = 0 … , with phi(√q z) = Σ a_k h_k(z) in the orthonormal Hermite polynomials; what is missing, at the last.

    E phi(u) phi(v) = Σ a_k² c^k for u, v ~ N(0, q) of correlation c (Daniely, Frostig & Singer 2016, arXiv:1602.05897).
    """
    z, weights = half_line_nodes(int(quadrature_tier(max(np.sqrt(q), 9.0))))
    z, weights = np.concatenate([z, -z]), np.concatenate([weights, weights])
    phi = activation.phi(np.sqrt(q) * z)
    # h_k exp(−z²/4), the Hermite functions: their recurrence neither over- nor underflows.
    previous, current = np.zeros_like(z), np.exp(-0.25 * z * z) / (2.0 * np.pi) ** 0.25
    measure = weights * np.exp(-0.25 * z * z) / (2.0 * np.pi) ** 0.25
    squares = np.empty(_ORDERS)
    for order in range(_ORDERS):
        squares[order] = np.sum(measure * phi * current) ** 2
        previous, current = current, (z * current - np.sqrt(order) * previous) / np.sqrt(order + 1.0)
    total = float(np.sum(weights * np.exp(-0.5 * z * z) * phi**2) / np.sqrt(2.0 * np.pi))
    squares[-1] += max(total - squares.sum(), 0.0)
    return squares


def tangent_kernel(
    activation: str | Activation,
    sigma_w: float,
    sigma_b: float,
    depth: int,
    width: int,
    input_dim: int,
    correlation: ArrayLike,
    m0: float = 1.0,
) -> Floats:
    """Θ(x, x') of one output of a network of large width N, for inputs of strength ``m0`` and the given correlations.

    For W_ij ~ N(0, sigma_w²/fan-in), b_i ~ N(0, sigma_b²), and a step along the plain gradient in W and b (the parameters as
    they are, so that Θ grows with N), in ``depth`` hidden layers and a linear readout:

        T_1 = n_0 K_0 + 1,   T_{l+1} = N K_l + 1 + sigma_w² D_l T_l,   Θ = T_{L+1},

    with K_0 = m_0 c, K_l = E phi(u) phi(v), D_l = E phi'(u) phi'(v) at pre-activations of variance q_l and covariance
    sigma_w² K_{l−1} + sigma_b². Jacot, Gabriel & Hongler 2018, arXiv:1806.07572; Lee et al. 2019, arXiv:1902.06720.

    Raises TheoryError for an unknown activation or a value outside its range.
    """
    act = get_activation(activation)
    depth, width = check_depth(depth), check_width(width)
    c = np.asarray(correlation, np.float64)
    if not (np.isfinite(c).all() and (np.abs(c) <= 1.0 + 1e-9).all()):
        raise TheoryError("a correlation between inputs must lie from −1 to 1.")
    if not (sigma_w > 0.0 and sigma_b >= 0.0 and m0 > 0.0 and input_dim >= 1):
        raise TheoryError(
            f"sigma_w = {sigma_w:g}, sigma_b = {sigma_b:g}, m0 = {m0:g}, input_dim = {input_dim}: "
            "sigma_w and m0 must be above 0, sigma_b at least 0, input_dim at least 1."
        )
    c = np.clip(c, -1.0, 1.0)
    m, mean_product = float(m0), m0 * c
    tangent = input_dim * mean_product + 1.0
    for _ in range(depth):
        q = sigma_w**2 * m + sigma_b**2
        squares = _hermite_squares(act, q)
        rho = np.clip((sigma_w**2 * mean_product + sigma_b**2) / q, -1.0, 1.0)
        m = float(squares.sum())
        mean_product = np.asarray(np.polynomial.polynomial.polyval(rho, squares), np.float64)
        slopes = np.polynomial.polynomial.polyval(rho, squares[1:] * np.arange(1, _ORDERS)) / q
        tangent = width * mean_product + 1.0 + sigma_w**2 * slopes * tangent
    return tangent


def tangent_descent(
    kernel: Floats, kernel_test: Floats, labels: NDArray[np.int64], n_classes: int, learning_rate: float, steps: int
) -> Floats:
    """Outputs [n_test, n_classes] of an infinitely wide network after ``steps`` of full-batch descent on the cross entropy.

        f ← f − η Θ (softmax f − y)/n,   f = 0 at the start: its mean over initialisations.

    ``kernel`` [n, n] between the training samples, ``kernel_test`` [n_test, n] from the test samples to them.
    """
    n = len(labels)
    target = np.eye(n_classes)[labels]
    f, f_test = np.zeros((n, n_classes)), np.zeros((len(kernel_test), n_classes))
    both = np.concatenate([kernel, kernel_test]) * (learning_rate / n)
    for _ in range(steps):
        p = np.exp(f - f.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        change = both @ (p - target)
        f -= change[:n]
        f_test -= change[n:]
    return f_test
