from __future__ import annotations

import numpy as np
import torch

from quasicrit.networks.kernels import bias_tanh, tanh_gradient


def tanh(x: np.ndarray) -> np.ndarray:
    h = x.astype(np.float32).reshape(1, 1, -1).copy()
    bias_tanh(h, np.zeros((1, x.size), np.float32))
    return h.ravel()


def test_tanh_is_right_to_a_few_units_in_the_last_place_at_every_scale() -> None:
    x = np.concatenate([np.linspace(-12, 12, 400_001), np.geomspace(1e-30, 1, 100_000)]).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    error = np.abs(tanh(x) - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() < 6.0
    assert error.mean() < 0.8


def test_tanh_is_odd_bounded_and_keeps_what_is_not_a_number() -> None:
    x = np.array([0.0, 1e-38, 3.0, 9.0, 9.03, 1e30, np.inf, np.nan])
    y = tanh(x)
    np.testing.assert_array_equal(tanh(-x), -y)
    assert np.abs(y[:-1]).max() <= 1.0
    assert y[6] > 1.0 - 1e-6
    assert np.isnan(y[-1])


def test_bias_and_gradient_are_those_of_autograd() -> None:
    rng = np.random.default_rng(5)
    h = torch.tensor(rng.normal(0, 2, (8, 24, 16)), dtype=torch.float32, requires_grad=True)
    bias = torch.tensor(rng.normal(0, 1, (8, 16)), dtype=torch.float32, requires_grad=True)
    grad = torch.tensor(rng.normal(0, 1, (8, 24, 16)), dtype=torch.float32)
    x = torch.tanh(h + bias.unsqueeze(1))
    x.backward(grad)
    ours = h.detach().numpy().copy()
    bias_tanh(ours, bias.detach().numpy())
    np.testing.assert_allclose(ours, x.detach().numpy(), atol=5e-7)
    made, total = grad.numpy().copy(), np.empty((8, 16), np.float32)
    tanh_gradient(made, ours, total)
    np.testing.assert_allclose(made, h.grad.numpy(), atol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_allclose(total, bias.grad.numpy(), atol=1e-4)  # type: ignore[union-attr]
