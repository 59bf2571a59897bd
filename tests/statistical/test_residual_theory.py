"""The theory of residual networks against networks with real random weights."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quasicrit.rng import generator
from quasicrit.theory import ResidualNorm, get_activation, propagate_residual

BLOCKS, W, B, C = 8, 1.3, 0.2, 0.3
BATCH = 128


def normalised(x: np.ndarray, norm: ResidualNorm | None) -> np.ndarray:
    """What phi sees of x (units, inputs), whose last column is the changed copy and not counted in the batch."""
    if norm == "batch":
        counted = x[:, :-1]
        return (x - counted.mean(axis=1, keepdims=True)) / counted.std(axis=1, keepdims=True)
    if norm == "layer":
        return x / np.sqrt(np.mean(x**2, axis=0))
    return x


def measure(
    activation: str, width: int, nets: int, layers: int, scale: float, norm: ResidualNorm | None = None
) -> np.ndarray:
    """q_b, c_b and the squared growth of a small difference in ``nets`` networks: shape (nets, 3, BLOCKS + 1).

    Inputs have mean square 1 and correlation C: two of them, or a batch. The difference is followed as x + 1e-3 t for a random
    direction t in double precision: what is not linear in it is of order 1e-3 of its length and of either sign.
    """
    act, inputs, step = get_activation(activation), BATCH if norm == "batch" else 2, 1e-3
    made = np.empty((nets, 3, BLOCKS + 1))
    for net in range(nets):
        rng = generator(11, "residual", activation, width, net)
        common, own = rng.standard_normal((width, 1)), rng.standard_normal((width, inputs))
        x = math.sqrt(C) * common + math.sqrt(1.0 - C) * own
        x = np.column_stack([x, x[:, 0] + step * rng.standard_normal(width)])
        first = np.sum((x[:, -1] - x[:, 0]) ** 2)
        for block in range(BLOCKS + 1):
            q = np.mean(x[:, :-1] ** 2)
            differing = np.mean(x[:, :-1].var(axis=1, ddof=1))  # q (1 - c), in the mean over all pairs
            made[net, :, block] = q, 1.0 - differing / q, np.sum((x[:, -1] - x[:, 0]) ** 2) / first
            branch = x
            for _ in range(layers):
                weights = rng.standard_normal((width, width), dtype=np.float32).astype(float) * (W / math.sqrt(width))
                branch = weights @ act.phi(normalised(branch, norm)) + B * rng.standard_normal((width, 1))
            x = x + scale * branch
    return made


def errors_of_steps(
    made: np.ndarray, activation: str, layers: int, scale: float, norm: ResidualNorm | None = None
) -> np.ndarray:
    """Measured less predicted ln(q_b/q_{b-1}), c_b and ln J^2_b when every block is predicted from what is measured in front of it;
    means over the blocks, shape (nets, 3). Only the noise of one block is left in them, not that of the whole trajectory."""
    off = np.empty((len(made), BLOCKS, 3))
    for net, (q, c, grown) in enumerate(made):
        for block in range(BLOCKS):
            one = propagate_residual(
                activation, W, B, 1, scale=scale, branch_layers=layers, q0=q[block], correlation=c[block], norm=norm
            )
            assert one.correlation is not None
            off[net, block] = (
                math.log(q[block + 1] / q[block]) - one.log_growth,
                c[block + 1] - one.correlation[1],
                math.log(grown[block + 1] / grown[block]) - one.log_jacobian,
            )
    return off.mean(axis=1)


@pytest.mark.parametrize("scale", [1.0, 1.0 / math.sqrt(BLOCKS)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_streams_of_wide_networks(activation: str, layers: int, scale: float) -> None:
    """q_b, c_b and the squared Jacobian through 8 blocks of 512 units, and block by block.

    Allowed are 6 standard errors over the 16 networks (Student's t of 15 degrees: P < 5e-5 each) and the O(1/N) of finite width.
    From 3000 networks of 32 and 1500 of 64 units: at most 5/N of q_8 and of J^2 (gelu, relu at scale 1), 1.7/N for c_8; block by
    block 2.0/N for ln q (the variance of a logarithm), 0.6/N for c, 1.6/N for ln J^2.
    """
    width, nets = 512, 16
    made = measure(activation, width, nets, layers, scale)
    theory = propagate_residual(activation, W, B, BLOCKS, scale=scale, branch_layers=layers, correlation=C)
    assert theory.correlation is not None
    expected = np.stack([theory.q, theory.correlation, np.cumprod([1.0, *theory.jacobian])])
    mean, error = made.mean(axis=0), made.std(axis=0, ddof=1) / math.sqrt(nets)
    allowed = 6.0 * error + np.array([5.0, 1.7, 5.0])[:, None] / width * np.stack(
        [theory.q, np.ones(BLOCKS + 1), expected[2]]
    )
    assert np.all(np.abs(mean - expected) <= allowed)
    off = errors_of_steps(made, activation, layers, scale)
    error = off.std(axis=0, ddof=1) / math.sqrt(nets)
    assert np.all(np.abs(off.mean(axis=0)) <= 6.0 * error + np.array([2.0, 0.6, 1.6]) / width)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_streams_with_norms(norm: ResidualNorm, activation: str, layers: int) -> None:
    """Block by block as above, with norms: O(1/N) as above, and for a batch of n samples O(1/n).

    From 300 networks of 64 units at n = 32 and 128: at most 0.13/n of ln q, 0.22/n of c, 1.45/n of ln J^2.
    """
    width, nets = 512, 12
    off = errors_of_steps(measure(activation, width, nets, layers, 1.0, norm), activation, layers, 1.0, norm)
    error = off.std(axis=0, ddof=1) / math.sqrt(nets)
    finite_batch = np.array([0.13, 0.22, 1.45]) / BATCH if norm == "batch" else 0.0
    # Student's t of 11 degrees: P(|t| > 6) < 1e-4
    assert np.all(np.abs(off.mean(axis=0)) <= 6.0 * error + np.array([2.0, 0.6, 1.6]) / width + finite_batch)


def test_a_relu_stream_with_batch_norm_parts_faster_than_with_layer_norm() -> None:
    """The two norms are told apart: ln J^2 of 8 blocks is 2.78 in theory for batch norm, 2.01 for layer norm."""
    cases: tuple[tuple[ResidualNorm, float], ...] = (("layer", 0.0), ("batch", 1.45 * BLOCKS / BATCH))
    for norm, finite_batch in cases:
        grown = np.log(measure("relu", 512, 12, 1, 1.0, norm)[:, 2, -1])
        expected = propagate_residual("relu", W, B, BLOCKS, correlation=C, norm=norm).log_jacobian
        error = grown.std(ddof=1) / math.sqrt(12)
        assert abs(grown.mean() - expected) <= 6.0 * error + 1.6 * BLOCKS / 512 + finite_batch
        assert error < 0.06  # so that the two lie apart by more than is allowed
