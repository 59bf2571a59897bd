"""Numbers that are known before training, each of which is said to tell how well a network will learn.

From theory: susceptibilities, and distances to what "critical" may mean. Measured on untrained networks: fluctuations, gradients, the
topology of the weights. From the infinite-width limit: the accuracy that its tangent kernel predicts. For all of them more is better, as
far as whoever proposed it says so; PREDICTORS says what each is and where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from quasicrit.networks import ImageData, StackedMLP, torch_activation
from quasicrit.theory import (
    Trajectory,
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
    "PREDICTORS",
    "Candidate",
    "Predictor",
    "fluctuation",
    "gradient_norm",
    "neural_persistence",
    "tangent_accuracy",
]


@dataclass(frozen=True)
class Candidate:
    """What is known before training of the networks at one point, and how they will be trained.

    ``networks``: the untrained ones, all seeds. ``data``: their task. ``learning_rates``: those that will be tried, for ``steps`` steps
    each. ``rng(name)``: a generator that the root seed, this name and the point make. ``fluctuation_nets``, ``kernel_samples``: networks
    and training samples of the measurements that need a number of their own.
    """

    activation: str
    sigma_w: float
    sigma_b: float
    width: int
    depth: int
    networks: StackedMLP
    data: ImageData
    learning_rates: tuple[float, ...]
    steps: int
    fluctuation_nets: int
    kernel_samples: int
    rng: Callable[[str], np.random.Generator]

    @cached_property
    def signal(self) -> Trajectory:
        """Mean field through the layers, from m_0 = 1."""
        return propagate(self.activation, self.sigma_w, self.sigma_b, self.depth)

    @cached_property
    def chi_m(self) -> float:
        """∂m_L/∂sigma_w at the last layer."""
        return float(self.signal.susceptibility.m)

    @cached_property
    def log_jacobian(self) -> float:
        """ln J²(L)."""
        return float(self.signal.log_jacobian)

    @cached_property
    def length(self) -> float:
        """xi_c, in layers; infinite at the edge of chaos."""
        return xi_c(self.activation, self.sigma_w, self.sigma_b)

    @cached_property
    def reach(self) -> float:
        """min(1, 6 xi_c/L)."""
        return min(1.0, 6.0 * self.length / self.depth)


@dataclass(frozen=True)
class Predictor:
    """One predictor: its name, what it is, and its ``value`` for a candidate, one number or one for each learning rate.

    A value may be infinite; NaN is no value, and ``absent`` then says why, as the text of a TheoryError does where theory has none.
    """

    name: str
    meaning: str
    value: Callable[[Candidate], ArrayLike]
    absent: str = "not defined at this point"


def _chi_sqrt_q(c: Candidate) -> float:
    end = c.signal
    q_slope = 2.0 * c.sigma_w * end.m[-2] + c.sigma_w**2 * end.m_slope[-2]
    return float(q_slope / (2.0 * np.sqrt(end.q[-1]))) if end.q[-1] > 0.0 else 0.0


def _stationary(c: Candidate) -> float:
    """At the critical point, where m* has no derivative, its limit from above."""
    found = float(susceptibility(c.activation, c.sigma_w, c.sigma_b).m)
    return float(susceptibility(c.activation, c.sigma_w * (1.0 + 1e-6), c.sigma_b).m) if np.isnan(found) else found


def _persistence(c: Candidate) -> float:
    """Of the first network alone, since it does not see the scale of the weights."""
    mlp = c.networks
    first = StackedMLP([w[:1] for w in mlp.weights], [b[:1] for b in mlp.biases], mlp.activation, mlp.nets[:1])
    return float(neural_persistence(first)[0])


PREDICTORS: Mapping[str, Predictor] = {
    made.name: made
    for made in (
        Predictor("chi_m(L)", "∂m_L/∂sigma_w from m_0 = 1, mean field at finite depth", lambda c: c.chi_m),
        Predictor("chi_rms(L)", "∂√m_L/∂sigma_w, the same", lambda c: float(c.signal.susceptibility.rms)),
        Predictor("chi_abs(L)", "∂E|x_L|/∂sigma_w, the same", lambda c: float(c.signal.susceptibility.abs)),
        Predictor("chi_sqrt_q(L)", "∂√q_L/∂sigma_w, of the pre-activations, the same; it has no peak", _chi_sqrt_q),
        Predictor("chi_m", "∂m*/∂sigma_w, stationary", _stationary),
        Predictor(
            "-|chi_1 - 1|",
            "closeness to the edge of chaos, by chi_1",
            lambda c: -abs(float(chi_1(c.activation, c.sigma_w, c.sigma_b)) - 1.0),
        ),
        Predictor(
            "log xi_c",
            "correlation length (Schoenholz et al. 2017, arXiv:1611.01232)",
            lambda c: float(np.log(c.length)) if c.length > 0.0 else np.nan,
        ),
        Predictor(
            "min(1, 6 xi_c/L)",
            "whether the depth is within six correlation lengths, from the same",
            lambda c: c.reach,
        ),
        Predictor(
            "-|ln J²(L)|",
            "closeness of the squared singular values of the Jacobian to 1 in the mean, at finite depth",
            lambda c: -abs(c.log_jacobian),
        ),
        Predictor(
            "-|sigma_w - sigma_EOC|",
            "closeness to the edge of chaos, in sigma_w at the same sigma_b",
            lambda c: -abs(c.sigma_w - edge_of_chaos(c.activation, c.sigma_b)),
        ),
        Predictor(
            "-distance to (1, 0)",
            "closeness to the critical point sigma_w = 1, sigma_b = 0",
            lambda c: -float(np.hypot(c.sigma_w - 1.0 / get_activation(c.activation).slope, c.sigma_b)),
        ),
        Predictor(
            "chi_m(L) min(1, 6 xi_c/L)",
            "susceptibility, where correlations reach the readout",
            lambda c: c.chi_m * c.reach,
        ),
        Predictor(
            "chi_m(L)/(1 + |ln J²(L)|)",
            "susceptibility, where gradients keep their size",
            lambda c: c.chi_m / (1.0 + abs(c.log_jacobian)),
        ),
        Predictor(
            "N Var m",
            "variance over networks of the signal at the last layer, times the width",
            lambda c: fluctuation(
                c.activation, c.sigma_w, c.sigma_b, c.width, c.depth, c.fluctuation_nets, c.rng("fluctuation")
            ),
        ),
        Predictor(
            "gradient norm",
            "norm of the loss's gradient at initialisation, over 256 training samples",
            lambda c: float(gradient_norm(c.networks, c.data).mean()),
        ),
        Predictor("neural persistence", "Rieck et al. 2019, arXiv:1812.09764, at initialisation", _persistence),
        Predictor(
            "tangent kernel",
            "accuracy of the infinite-width network after the same steps of full-batch descent",
            lambda c: [
                tangent_accuracy(
                    c.activation, c.sigma_w, c.sigma_b, c.width, c.depth, c.data, rate, c.steps, c.kernel_samples
                )
                for rate in c.learning_rates
            ],
            "the descent overflows",
        ),
    )
}
"""The predictors, by name: one entry makes one."""


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
