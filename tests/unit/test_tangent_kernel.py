from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from quasicrit.errors import TheoryError
from quasicrit.theory import tangent_descent, tangent_kernel


def empirical(
    phi: torch.nn.Module, width: int, depth: int, sigma_w: float, sigma_b: float, x: torch.Tensor
) -> np.ndarray:
    """Products of the gradients of one output, in the mean over 32 networks: autograd, no theory."""
    total = torch.zeros(len(x), len(x), dtype=torch.float64)
    made = torch.Generator().manual_seed(3)
    dims = [x.shape[1], *[width] * depth, 1]
    for _ in range(32):
        parameters = []
        for n_in, n_out in itertools.pairwise(dims):
            w = sigma_w / n_in**0.5 * torch.randn(n_out, n_in, generator=made, dtype=torch.float64)
            b = sigma_b * torch.randn(n_out, generator=made, dtype=torch.float64)
            parameters += [w.requires_grad_(), b.requires_grad_()]
        rows = []
        for sample in x:
            h = sample
            for layer in range(depth + 1):
                h = parameters[2 * layer] @ h + parameters[2 * layer + 1]
                h = phi(h) if layer < depth else h
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(h.sum(), parameters)]))
        rows = torch.stack(rows)
        total += rows @ rows.T
    return (total / 32).numpy()


@pytest.mark.parametrize("name,phi", [("tanh", torch.nn.Tanh()), ("relu", torch.nn.ReLU()), ("gelu", torch.nn.GELU())])
def test_kernel_is_that_of_wide_networks(name: str, phi: torch.nn.Module) -> None:
    made = torch.Generator().manual_seed(1)
    x = torch.randn(4, 16, generator=made, dtype=torch.float64)
    x = x * (16 / x.square().sum(1, keepdim=True)).sqrt()
    correlation = (x @ x.T / 16).numpy()
    measured = empirical(phi, 400, 2, 1.3, 0.2, x)
    theory = tangent_kernel(name, 1.3, 0.2, 2, 400, 16, correlation)
    scale = np.sqrt(np.outer(np.diag(theory), np.diag(theory)))
    # One network fluctuates by √(5 · 3/400) = .19 (relu; fourth moment 6, three layers); 32 by .034, 3.5 of which are allowed.
    np.testing.assert_allclose(measured / scale, theory / scale, atol=0.12)


def test_linear_networks_have_their_kernel_in_closed_form() -> None:
    # K_l = sigma_w² K_{l−1} + sigma_b², D = 1: T_2 = N K_1 + 1 + sigma_w² (n_0 c + 1).
    c = np.array([-0.5, 0.0, 0.7, 1.0])
    made = tangent_kernel("linear", 1.2, 0.3, 1, 50, 8, c)
    np.testing.assert_allclose(made, 50 * (1.44 * c + 0.09) + 1 + 1.44 * (8 * c + 1), rtol=1e-9)


def test_descent_is_gradient_descent_of_a_linear_model() -> None:
    rng = np.random.default_rng(2)
    x, test = rng.standard_normal((20, 6)), rng.standard_normal((5, 6))
    labels = rng.integers(3, size=20)
    weights = torch.zeros(3, 6, dtype=torch.float64, requires_grad=True)
    for _ in range(7):
        loss = torch.nn.functional.cross_entropy(torch.tensor(x) @ weights.T, torch.tensor(labels))
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - 0.5 * gradient).detach().requires_grad_()
    made = tangent_descent(x @ x.T, test @ x.T, labels, 3, 0.5, 7)
    np.testing.assert_allclose(made, test @ weights.detach().numpy().T, atol=1e-12)


@pytest.mark.parametrize(
    "change", [{"sigma_w": 0.0}, {"correlation": [1.5]}, {"depth": 0}, {"width": 1}, {"activation": "x"}]
)
def test_impossible_values_are_refused(change: dict[str, object]) -> None:
    values = {
        "activation": "tanh",
        "sigma_w": 1.0,
        "sigma_b": 0.0,
        "depth": 2,
        "width": 8,
        "input_dim": 4,
        "correlation": [0.5],
    }
    with pytest.raises(TheoryError):
        tangent_kernel(**(values | change))  # type: ignore[arg-type]
