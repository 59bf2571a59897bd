"""Numbers that are known before training, each of which is said to tell how well a network will learn.

From theory: susceptibilities, and distances to what "critical" may mean. Measured on untrained networks: fluctuations, gradients, the
topology of the weights. From the infinite-width limit: the accuracy that its tangent kernel predicts. For all of them more is better, as
far as whoever proposed it says so; PREDICTORS says what each is and where it comes from.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from quasicrit.networks import ImageData, StackedMLP, torch_activation
from quasicrit.theory import (
    chi_1,
    edge_of_chaos,
    get_activation,
    propagate,
    susceptibility,
    tangent_descent,
    tangent_kernel,
    xi_c,
)

__all__ = [
    "MEASURED",
    "PREDICTORS",
    "THEORETICAL",
    "fluctuation",
    "gradient_norm",
    "neural_persistence",
    "tangent_accuracy",
    "theory_predictors",
]

#: What each predictor is; names of those from theory and of those measured are kept apart below.
PREDICTORS = {
    "chi_m(L)": "∂m_L/∂sigma_w from m_0 = 1, mean field at finite depth",
    "chi_rms(L)": "∂√m_L/∂sigma_w, the same",
    "chi_abs(L)": "∂E|x_L|/∂sigma_w, the same",
    "chi_sqrt_q(L)": "∂√q_L/∂sigma_w, of the pre-activations, the same; it has no peak",
    "chi_m": "∂m*/∂sigma_w, stationary",
    "-|chi_1 - 1|": "closeness to the edge of chaos, by chi_1",
    "log xi_c": "correlation length (Schoenholz et al. 2017, arXiv:1611.01232)",
    "min(1, 6 xi_c/L)": "whether the depth is within six correlation lengths, from the same",
    "-|ln J²(L)|": "closeness of the squared singular values of the Jacobian to 1 in the mean, at finite depth",
    "-|sigma_w - sigma_EOC|": "closeness to the edge of chaos, in sigma_w at the same sigma_b",
    "-distance to (1, 0)": "closeness to the critical point sigma_w = 1, sigma_b = 0",
    "chi_m(L) min(1, 6 xi_c/L)": "susceptibility, where correlations reach the readout",
    "chi_m(L)/(1 + |ln J²(L)|)": "susceptibility, where gradients keep their size",
    "N Var m": "variance over networks of the signal at the last layer, times the width",
    "gradient norm": "norm of the loss's gradient at initialisation, over 256 training samples",
    "neural persistence": "Rieck et al. 2019, arXiv:1812.09764, at initialisation",
    "tangent kernel": "accuracy of the infinite-width network after the same steps of full-batch descent",
}
THEORETICAL = tuple(PREDICTORS)[:13]
MEASURED = tuple(PREDICTORS)[13:]


def theory_predictors(activation: str, sigma_w: float, sigma_b: float, depth: int) -> dict[str, float]:
    """The THEORETICAL predictors of one point; infinite where one diverges. At the critical point, where m* has no derivative,
    the stationary susceptibility is its limit from above.

    Raises TheoryError for an unknown activation, or values outside their range.
    """
    act = get_activation(activation)
    end = propagate(act, sigma_w, sigma_b, depth)
    chi, log_jacobian = float(end.susceptibility.m), float(end.log_jacobian)
    q_slope = 2.0 * sigma_w * end.m[-2] + sigma_w**2 * end.m_slope[-2]
    stationary = float(susceptibility(act, sigma_w, sigma_b).m)
    if np.isnan(stationary):
        stationary = float(susceptibility(act, sigma_w * (1.0 + 1e-6), sigma_b).m)
    length = xi_c(act, sigma_w, sigma_b)
    reach = min(1.0, 6.0 * length / depth)
    values = (
        chi,
        float(end.susceptibility.rms),
        float(end.susceptibility.abs),
        float(q_slope / (2.0 * np.sqrt(end.q[-1]))) if end.q[-1] > 0.0 else 0.0,
        stationary,
        -abs(float(chi_1(act, sigma_w, sigma_b)) - 1.0),
        float(np.log(length)) if length > 0.0 else np.nan,
        reach,
        -abs(log_jacobian),
        -abs(sigma_w - edge_of_chaos(act, sigma_b)),
        -float(np.hypot(sigma_w - 1.0 / act.slope, sigma_b)),
        chi * reach,
        chi / (1.0 + abs(log_jacobian)),
    )
    return dict(zip(THEORETICAL, values, strict=True))


def fluctuation(
    activation: str, sigma_w: float, sigma_b: float, width: int, depth: int, nets: int, rng: np.random.Generator
) -> float:
    """N Var m_L over ``nets`` networks of one input of strength 1, by the exact chain m' = mean phi(√(sigma_w² m + sigma_b²) z)²."""
    act = get_activation(activation)
    m = np.ones((nets, 1))
    for _ in range(depth):
        m = np.mean(act.phi(np.sqrt(sigma_w**2 * m + sigma_b**2) * rng.standard_normal((nets, width))) ** 2, 1)[:, None]
    return float(width * m.var(ddof=1))


def gradient_norm(mlp: StackedMLP, data: ImageData, samples: int = 256) -> NDArray[np.float64]:
    """√Σ (∂loss/∂p)² over all parameters of each network, at the mean cross entropy of the first training samples: [n_nets]."""
    dtype = mlp.weights[0].dtype
    x = torch.tensor(data.train_x[:samples], dtype=dtype).expand(len(mlp.nets), -1, -1)
    y = torch.tensor(data.train_y[:samples]).expand(len(mlp.nets), -1)
    phi = torch_activation(mlp.activation)
    parameters = [p.detach().clone().requires_grad_() for p in [*mlp.weights, *mlp.biases]]
    weights, biases = parameters[: len(mlp.weights)], parameters[len(mlp.weights) :]
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        x = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
        if layer < mlp.depth:
            x = phi(x)
    # Summed over the networks, whose parameters are their own; a mean over the samples of each.
    loss = torch.nn.functional.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum") / y.shape[1]
    squares = [g.double().square().flatten(1).sum(1) for g in torch.autograd.grad(loss, parameters)]
    return torch.stack(squares).sum(0).sqrt().numpy()


def neural_persistence(mlp: StackedMLP) -> NDArray[np.float64]:
    """Normalised neural persistence of each network, the mean over its layers: [n_nets], from 0 to 1.

    A layer is the bipartite graph of its inputs and outputs; edges enter in falling order of w' = |w|/max |w|, and joining two
    components at w' makes a pair (1, w'): these are the edges of the maximum spanning tree. NP = (Σ (1 − w')²)^½/(|V| − 1)^½.
    Source: Rieck et al. 2019, arXiv:1812.09764, equations 1 and 2 with p = 2. max |w| is the layer's own, so that sigma_w drops out.
    """
    made = np.zeros((len(mlp.nets), len(mlp.weights)))
    for layer, weight in enumerate(mlp.weights):
        for net, matrix in enumerate(weight.double().abs().numpy()):
            n_out, n_in = matrix.shape
            # The tree of the smallest 2 − w' is that of the largest w'; no edge may have the weight 0.
            cost = np.zeros((n_out + n_in, n_out + n_in))
            cost[:n_out, n_out:] = 2.0 - matrix / matrix.max()
            tree = minimum_spanning_tree(csr_array(cost))
            made[net, layer] = np.sqrt(np.sum((tree.data - 1.0) ** 2) / (n_out + n_in - 1))
    return made.mean(1)


def tangent_accuracy(
    activation: str,
    sigma_w: float,
    sigma_b: float,
    width: int,
    depth: int,
    data: ImageData,
    learning_rate: float,
    steps: int,
    samples: int = 512,
) -> float:
    """Share of the test samples that ``tangent_descent`` classifies rightly, trained on the first ``samples``.

    All samples have |x|² = dim, so that the kernel is a function of the angle between them alone: it is solved on 240 angles, close
    together near 0, where in chaos it has a spike, and interpolated linearly. NaN if the descent overflows.
    """
    dim = data.train_x.shape[1]
    train, labels = data.train_x[:samples], data.train_y[:samples]
    angles = np.concatenate([[0.0], np.geomspace(1e-6, 0.05, 59, endpoint=False), np.linspace(0.05, np.pi, 180)])
    kernel = tangent_kernel(activation, sigma_w, sigma_b, depth, width, dim, np.cos(angles))
    of_train, of_test = (
        np.interp(np.arccos(np.clip(x @ train.T / dim, -1.0, 1.0)), angles, kernel) for x in (train, data.test_x)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        f = tangent_descent(of_train, of_test, labels, data.n_classes, learning_rate, steps)
    return float(np.mean(f.argmax(1) == data.test_y)) if np.isfinite(f).all() else np.nan
