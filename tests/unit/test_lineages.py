from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from quasicrit.errors import RecordingError
from quasicrit.networks.architectures import initialise_network
from quasicrit.networks.convolutional import ConvNet
from quasicrit.networks.lineages import (
    NULLS,
    Descent,
    Generation,
    Trees,
    descent_of,
    draw_parents,
    gaussian_layers,
    shuffle_inputs,
    shuffle_order,
    shuffle_units,
    trees,
)
from quasicrit.networks.resnet import ResNet
from quasicrit.networks.sequences import RNN, Transformer

#: Random quantities of this file lie within so many of their standard errors.
SIGMAS = 5.0


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def drawn(model: nn.Module, seed: int = 2, shift: float = 1.0) -> nn.Module:
    """The model in eval mode with Gaussian weights; norms and biases have ``shift`` times random numbers, scales of either sign."""
    rng = np.random.default_rng(seed)
    initialise_network(model, "gaussian", math.sqrt(2), 0.3 * shift, rng)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                n = module.num_features
                module.weight.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, n) * rng.choice([-1, 1], n)))
                module.running_var.copy_(torch.from_numpy(rng.uniform(0.3, 2.0, n)))  # type: ignore[union-attr]
                for part in (module.bias, module.running_mean):
                    part.copy_(torch.from_numpy(0.3 * shift * rng.standard_normal(n)))  # type: ignore[union-attr]
    return model.eval()


# What the layers and their parents are ---------------------------------------------------------------------


def test_generations_describe_the_network() -> None:
    """Without biases and shifts each layer is relu(skip + scale · conv(layer before)), by the generation's own numbers."""
    cases: list[tuple[nn.Module, Tensor, int]] = [
        (ResNet((2, 2), (6, 9), residual_scale=0.6), images(2, 3, 9, 9), 9),
        (ResNet((1, 2), (6, 8), block="bottleneck", residual_scale=1.3), images(2, 3, 8, 8), 10),
        (ResNet((2, 1), (6, 8), norm="none"), images(2, 3, 8, 8), 7),
        (ResNet((1, 1), (6, 8), stem="imagenet"), images(2, 3, 32, 32), 5),
        # Asked for projections, but with nothing to project.
        (ResNet((2,), (6,), shortcut="projection"), images(2, 3, 8, 8), 5),
        (ConvNet(4, 8, "relu", image=5), images(2, 1, 5, 5), 4),
    ]
    for model, x, layers in cases:
        descent = descent_of(drawn(model, shift=0.0), x)
        assert len(descent.active) == layers == len(descent.generations) + 1
        for number, generation in enumerate(descent.generations, 1):
            before, here = (torch.from_numpy(descent.active[n]) for n in (number - 1, number))
            pad = generation.weight.shape[2] // 2
            padded = F.pad(before, (pad,) * 4, mode="circular" if generation.wrap else "constant")
            made = generation.scale * F.conv2d(padded, torch.from_numpy(generation.weight), None, generation.stride)
            if generation.skip:
                source = torch.from_numpy(descent.active[number - generation.skip])
                source = source[:, :, :: generation.skip_stride, :: generation.skip_stride]
                made[:, : source.shape[1]] += source
            # float32 of numbers of order 1.
            torch.testing.assert_close(here, torch.relu(made), rtol=1e-4, atol=1e-5)
            assert (here > 0).any()
        # Hooks are gone.
        assert not any(module._forward_hooks for module in model.modules())


def likely_parents(descent: Descent, number: int, image: int, unit: int, y: int, x: int) -> dict[int, float]:
    """P of each parent of a unit of layer ``number``, by the formula in the module's docstring, in loops over the receptive field.

    A source beyond the border is the one on the other side if images wrap around, and otherwise none.
    """
    generation = descent.generations[number - 1]
    before = descent.active[number - 1][image].astype(np.float64)
    weight = generation.weight[unit].astype(np.float64)
    channels, rows, columns = before.shape
    half = weight.shape[1] // 2
    flow: Counter[int] = Counter()
    for channel in range(channels):
        for i in range(-half, half + 1):
            for j in range(-half, half + 1):
                row, column = y * generation.stride + i, x * generation.stride + j
                if generation.wrap:
                    row, column = row % rows, column % columns
                elif not (0 <= row < rows and 0 <= column < columns):
                    continue
                share = generation.scale * weight[channel, i + half, j + half] * before[channel, row, column]
                if share > 0:
                    flow[(channel * rows + row) * columns + column] += share
    if generation.skip:
        source = descent.active[number - generation.skip][image]
        if unit < len(source):
            row, column = y * generation.skip_stride, x * generation.skip_stride
            held = float(source[unit, row, column])
            if held > 0:
                flow[-3 - int(np.ravel_multi_index((unit, row, column), source.shape))] += held
    total = sum(flow.values())
    return {parent: value / total for parent, value in flow.items()}


CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    # Stride 2 with a shortcut to more channels, an odd number of pixels, batch norm and a scale.
    "stages": (lambda: ResNet((1, 1), (4, 6), residual_scale=0.6, in_channels=1), (1, 1, 5, 5)),
    "bottleneck": (lambda: ResNet((1, 1), (5, 6), block="bottleneck", norm="none", in_channels=1), (1, 1, 4, 4)),
    "imagenet": (lambda: ResNet((1,), (6,), stem="imagenet", in_channels=1), (1, 1, 14, 14)),
    # Two pixels a side: the field of 3 × 3 wraps around onto pixels that it has already.
    "wrapped": (lambda: ConvNet(4, 10, "relu", image=2), (1, 1, 2, 2)),
    "wider": (lambda: ConvNet(3, 6, "relu", image=4), (1, 1, 4, 4)),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_parents_are_drawn_with_the_probabilities_of_the_rule(case: str) -> None:
    """Pearson's chi² of all units of a layer together, over draws for the same image; and nothing that has no probability is drawn."""
    draws = 3000
    make, shape = CASES[case]
    one = descent_of(drawn(make()), images(*shape))
    many = Descent(tuple(np.repeat(layer, draws, axis=0) for layer in one.active), one.generations)
    parents = draw_parents(many, np.random.default_rng(3))
    strides, choices = set(), 0
    for number, generation in enumerate(one.generations, 1):
        here, found = one.active[number][0], parents[number - 1]
        assert found.shape == (draws, here.size)
        chi, freedom, variance = 0.0, 0, 0.0
        for unit in range(here.size):
            place = np.unravel_index(unit, here.shape)
            seen = Counter(found[:, unit].tolist())
            if here[place] <= 0:
                assert seen == {-1: draws}
                continue
            expected = likely_parents(one, number, 0, *(int(index) for index in place))
            if not expected:
                assert seen == {-2: draws}
                continue
            assert set(seen) <= set(expected)
            # Parents with fewer than 5 draws expected count as one.
            cells = [(seen[parent], p) for parent, p in expected.items() if draws * p >= 5]
            rest = [(seen[parent], p) for parent, p in expected.items() if draws * p < 5]
            if rest:
                hits, p = sum(hit for hit, _ in rest), sum(p for _, p in rest)
                if draws * p >= 5 or not cells:
                    cells.append((hits, p))
                else:
                    cells[-1] = (cells[-1][0] + hits, cells[-1][1] + p)
            k = len(cells)
            chi += sum((hits - draws * p) ** 2 / (draws * p) for hits, p in cells)
            freedom += k - 1
            # Of Pearson's statistic of n draws in k cells (Haldane 1937): 2(k − 1) + (Σ 1/p − k² − 2k + 2)/n.
            variance += 2 * (k - 1) + (sum(1 / p for _, p in cells) - k * k - 2 * k + 2) / draws
        assert abs(chi - freedom) <= SIGMAS * math.sqrt(variance), (number, chi, freedom)
        choices += freedom
        strides.add((generation.stride, generation.skip > 0, generation.skip_stride))
    assert choices > 100
    if case == "stages":
        assert {(1, True, 1), (2, False, 1), (1, True, 2)} <= strides


def test_every_active_unit_has_one_parent_or_none_and_padding_has_no_children() -> None:
    """All shares are positive here, also those of the border, so that a zero of the padding would be taken for a source on the other side."""
    layers = tuple(np.abs(images(200, 2, 3, 3, seed=seed).numpy()) + 0.1 for seed in range(3))
    weight = np.abs(images(2, 2, 3, 3, seed=9).numpy()) + 0.1
    descent = Descent(layers, (Generation(weight, 1, False), Generation(weight, 1, False)))
    for parents in draw_parents(descent, np.random.default_rng(4)):
        assert parents.min() >= 0
        for unit in range(18):
            y, x = divmod(unit % 9, 3)
            rows, columns = (parents[:, unit] % 9) // 3, parents[:, unit] % 3
            assert (np.abs(rows - y) <= 1).all()
            assert (np.abs(columns - x) <= 1).all()
    # No positive share, and not active: the two are told apart.
    descent = Descent((layers[0], np.where(layers[1] > 0.5, layers[1], 0)), (Generation(-weight, 1, False),))
    (parents,) = draw_parents(descent, np.random.default_rng(4))
    np.testing.assert_array_equal(parents, np.where(descent.active[1].reshape(200, -1) > 0, -2, -1))


def test_one_generator_draws_one_family() -> None:
    descent = descent_of(drawn(ResNet((2,), (4,))), images(3, 3, 6, 6))
    first, second, other = (draw_parents(descent, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_networks_without_rectified_streams_are_refused() -> None:
    x = images(2, 1, 8, 8)
    refused: list[tuple[nn.Module, str]] = [
        (ResNet((1,), (4,), order="pre", in_channels=1), "order: pre or with projections"),
        (ResNet((1, 1), (4, 8), shortcut="projection", in_channels=1), "order: pre or with projections"),
        (ConvNet(3, 4, "tanh"), "in a ConvNet: they need rectified convolutions"),
        (Transformer(1, 8, steps=4, pixels=64), "in a Transformer"),
        (RNN(8, "relu", steps=8, pixels=64), "in a RNN"),
    ]
    for model, message in refused:
        with pytest.raises(
            RecordingError, match=f"lineages cannot be drawn in a.*{message}|{message}.*leave definition A out"
        ):
            descent_of(model, x)


# Trees ----------------------------------------------------------------------------------------------------


def slow_trees(descent: Descent, parents: list[np.ndarray]) -> list[tuple[int, int, int, int, int, bool, bool]]:
    """Rows of ``Trees`` by recursion over children, individuals found by following copies back to the first of them."""
    last, rows = len(descent.active) - 1, []
    for image in range(len(descent.active[0])):

        def first(number: int, unit: int, image: int = image) -> tuple[int, int]:
            code = int(parents[number - 1][image, unit]) if number else -2
            return first(number - descent.generations[number - 1].skip, -3 - code) if code <= -3 else (number, unit)

        children: dict[tuple[int, int], list[tuple[int, int]]] = {}
        end: dict[tuple[int, int], int] = {}
        for number, layer in enumerate(descent.active):
            for unit in np.flatnonzero(layer[image].ravel() > 0).tolist():
                one = first(number, unit)
                end[one] = max(end.get(one, number), number)
                children.setdefault(one, [])
                code = int(parents[number - 1][image, unit]) if number else -2
                if one == (number, unit) and code >= 0:
                    children[first(number - 1, code)].append(one)

        def measure(one: tuple[int, int], children: Any = children, end: Any = end) -> tuple[int, int, int]:
            below = [measure(child) for child in children[one]]
            return (
                1 + sum(size for size, _, _ in below),
                1 + max((generations for _, generations, _ in below), default=0),
                max([end[one], *(final for _, _, final in below)]),
            )

        for number, unit in children:
            size, generations, final = measure((number, unit))
            orphan = number == 0 or int(parents[number - 1][image, unit]) == -2
            rows.append((image, number, size, generations, final - number + 1, final < last, orphan))
    return sorted(rows)


def rows_of(found: Trees) -> list[tuple[Any, ...]]:
    columns = (found.input, found.layer, found.size, found.generations, found.layers, found.complete, found.orphan)
    return sorted(zip(*(column.tolist() for column in columns)))


@pytest.mark.parametrize("case", sorted(CASES))
def test_trees_are_what_recursion_finds(case: str) -> None:
    make, shape = CASES[case]
    x = images(4, *shape[1:], seed=7)
    for seed in (1, 2, 3):
        descent = descent_of(drawn(make(), seed), x)
        parents = draw_parents(descent, np.random.default_rng(seed))
        assert rows_of(trees(descent, parents)) == slow_trees(descent, parents)


def test_deep_trees_are_what_recursion_finds_with_copies_and_orphans() -> None:
    descent = descent_of(drawn(ResNet((4, 3), (3, 4), residual_scale=0.5)), images(3, 3, 6, 6))
    # Units of the first channel get no positive share from the layer before, as where a shift alone makes them active.
    weights = [generation.weight.copy() for generation in descent.generations]
    for weight in weights:
        weight[0] = -np.abs(weight[0])
    made = tuple(replace(generation, weight=weight) for generation, weight in zip(descent.generations, weights))
    descent = replace(descent, generations=made)
    parents = draw_parents(descent, np.random.default_rng(8))
    codes = np.concatenate([layer.ravel() for layer in parents])
    assert (codes <= -3).any()
    assert (codes == -2).any()
    found = trees(descent, parents)
    assert rows_of(found) == slow_trees(descent, parents)
    active = sum(int((layer > 0).sum()) for layer in descent.active)
    assert len(found.size) == active - (codes <= -3).sum()
    # Roots are those without a parent, and every individual descends from exactly one.
    assert found.size[found.orphan].sum() == len(found.size)


def layer_of(*active: float) -> np.ndarray:
    return np.array(active, np.float32).reshape(1, 1, 1, -1)


NONE = Generation(np.zeros((1, 1, 1, 1), np.float32), 1, False)


def test_a_family_by_hand() -> None:
    """Four layers of three units, the third layer with a skip from the first.

    A = (0, 0) lives on as (2, 0). Children: C = (1, 0) and D = (1, 1) of A; F = (2, 1) and G = (2, 2) of D; H = (3, 0) of the copy of A;
    I = (3, 2) of G. B = (0, 1) has none; E = (1, 2) has no parent.
    """
    descent = Descent(
        (layer_of(1, 1, 0), layer_of(1, 1, 1), layer_of(1, 1, 1), layer_of(1, 0, 1)),
        (NONE, Generation(NONE.weight, 1, False, skip=2), NONE),
    )
    parents = [np.array([row], np.int32) for row in ([0, 0, -2], [-3, 1, 1], [0, -1, 2])]
    found = trees(descent, parents)
    #                                            A  B  C  D  E  F  G  H  I
    np.testing.assert_array_equal(found.input, 0)
    assert found.layer.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert found.size.tolist() == [7, 1, 1, 4, 1, 1, 2, 1, 1]
    assert found.generations.tolist() == [4, 1, 1, 3, 1, 1, 2, 1, 1]
    assert found.layers.tolist() == [4, 1, 1, 3, 1, 1, 2, 1, 1]
    assert found.complete.tolist() == [False, True, True, False, True, True, False, False, False]
    assert found.orphan.tolist() == [True, True, False, False, True, False, False, False, False]


def test_what_a_skip_hands_on_is_one_individual() -> None:
    """One unit through two skips: one individual of one generation in five layers; another one, born in the last, its child."""
    skip = Generation(NONE.weight, 1, False, skip=2)
    descent = Descent(
        (layer_of(1, 0), layer_of(0, 0), layer_of(1, 0), layer_of(0, 0), layer_of(1, 0), layer_of(0, 1)),
        (NONE, skip, NONE, skip, NONE),
    )
    codes = [[-1, -1], [-3, -1], [-1, -1], [-3, -1], [-1, 0]]
    found = trees(descent, [np.array([row], np.int32) for row in codes])
    assert (found.layer.tolist(), found.size.tolist()) == ([0, 5], [2, 1])
    assert (found.generations.tolist(), found.layers.tolist()) == ([2, 1], [6, 1])
    codes[-1] = [-1, -2]
    found = trees(descent, [np.array([row], np.int32) for row in codes])
    assert (found.size.tolist(), found.generations.tolist(), found.layers.tolist()) == ([1, 1], [1, 1], [5, 1])
    assert found.complete.tolist() == [True, False]
    assert found.orphan.tolist() == [True, True]


def test_wide_random_networks_branch_near_one() -> None:
    """The mean number of children is the ratio of active units of successive layers, ½/½ in wide networks without biases.

    Units of a layer are active with probability ½ and independent over channels; were all pixels alike, a share would have the variance ¼/(C nets), and
    the ratio of two of them a relative one of 2/(C nets).
    """
    channels, nets, depth = 128, 16, 4
    active, children = np.zeros(depth), np.zeros(depth)
    for seed in range(nets):
        model = ConvNet(depth, channels, "relu", image=4)
        initialise_network(model, "gaussian", math.sqrt(2), 0.0, np.random.default_rng([10, seed]))
        descent = descent_of(model, images(1, 1, 4, 4, seed=seed))
        parents = draw_parents(descent, np.random.default_rng([11, seed]))
        # Without biases a unit is active only if some share is positive: no orphans but in layer 0.
        found = trees(descent, parents)
        assert (found.layer[found.orphan] == 0).all()
        for number in range(depth):
            active[number] += (descent.active[number] > 0).sum()
            if number:
                assert (parents[number - 1] >= 0).sum() == (descent.active[number] > 0).sum()
                children[number - 1] += len(np.nonzero(parents[number - 1] >= 0)[0])
    np.testing.assert_allclose(children[:-1] / active[:-1], active[1:] / active[:-1], rtol=1e-12)
    assert (np.abs(children[:-1] / active[:-1] - 1) < SIGMAS * math.sqrt(2 / (channels * nets))).all()


# Nulls ----------------------------------------------------------------------------------------------------


def staged() -> Descent:
    return descent_of(drawn(ResNet((3, 3), (4, 6), residual_scale=0.8)), images(6, 3, 8, 8))


@pytest.mark.parametrize("name", sorted(NULLS))
def test_nulls_keep_shapes_and_draw_parents_within_the_layers(name: str) -> None:
    """Of every null: parents are active units that exist, so that trees count each individual once."""
    descent = staged()
    kept = [layer.copy() for layer in descent.active]
    changed = False
    for seed in range(5):
        made = NULLS[name](descent, np.random.default_rng(seed))
        assert [layer.shape for layer in made.active] == [layer.shape for layer in descent.active]
        assert [layer.dtype for layer in made.active] == [np.float32] * len(made.active)
        changed |= not all(np.array_equal(a, b) for a, b in zip(made.active, descent.active))
        for number, generation in enumerate(made.generations, 1):
            if generation.skip:
                height = made.active[number].shape[2]
                assert made.active[number - generation.skip].shape[2] == height * generation.skip_stride
        parents = draw_parents(made, np.random.default_rng(seed))
        for number, codes in enumerate(parents, 1):
            image, unit = np.nonzero(codes >= 0)
            before = made.active[number - 1].reshape(len(codes), -1)
            assert (before[image, codes[image, unit]] > 0).all()
            image, unit = np.nonzero(codes <= -3)
            if len(image):
                source = made.active[number - made.generations[number - 1].skip].reshape(len(codes), -1)
                assert (-3 - codes[image, unit] < source.shape[1]).all()
                assert (source[image, -3 - codes[image, unit]] > 0).all()
        found = trees(made, parents)
        assert found.size[found.orphan].sum() == len(found.size)
    assert changed
    assert all(np.array_equal(a, b) for a, b in zip(kept, descent.active))


def test_shuffled_inputs_and_units_keep_the_values_of_each_layer() -> None:
    descent = staged()
    mixed = shuffle_inputs(descent, np.random.default_rng(1))
    before: list[int] | None = None
    for made, layer in zip(mixed.active, descent.active):
        # Whole inputs in another order, and none of them where it was in the layer before.
        order = [next(j for j in range(6) if np.array_equal(row, layer[j])) for row in made]
        assert sorted(order) == list(range(6))
        assert before is None or all(one != other for one, other in zip(order, before))
        before = order
    assert mixed.generations == descent.generations
    mixed = shuffle_units(descent, np.random.default_rng(2))
    for made, layer in zip(mixed.active, descent.active):
        np.testing.assert_array_equal(np.sort(made.reshape(6, -1)), np.sort(layer.reshape(6, -1)))
        assert not np.array_equal(made, layer)
    for one, other in zip(mixed.generations, descent.generations):
        np.testing.assert_array_equal(np.sort(one.weight.ravel()), np.sort(other.weight.ravel()))
        assert not np.array_equal(one.weight, other.weight)
        assert (one.stride, one.skip, one.skip_stride) == (other.stride, other.skip, other.skip_stride)


def test_shuffled_order_moves_layers_with_their_weights() -> None:
    descent = staged()
    orders = []
    for seed in range(5):
        made = shuffle_order(descent, np.random.default_rng(seed))
        order = [next(n for n, own in enumerate(descent.active) if own is layer) for layer in made.active]
        assert order[0] == 0
        assert sorted(order) == list(range(len(order)))
        for place, number in enumerate(order[1:]):
            assert made.generations[place] is descent.generations[number - 1]
        orders.append(order)
    assert any(order != sorted(order) for order in orders)


def test_gaussian_layers_keep_share_and_mean_of_every_layer() -> None:
    """Active shares and means of independent rectified Gaussians, with a layer that is never and one that is always active."""
    n, generator = 3000, np.random.default_rng(12)
    shares = (0.5, 0.9, 0.1, 0.0, 1.0)
    layers = []
    for share in shares:
        layer = generator.exponential(1.0, (n, 2, 2, 3)) + 0.1
        layer[generator.random(layer.shape) >= share] = 0.0
        layers.append(layer.astype(np.float32))
    made = gaussian_layers(Descent(tuple(layers), (NONE,) * 4), np.random.default_rng(13))
    count = layers[0].size
    for layer, own in zip(made.active, layers):
        assert layer.min() >= 0
        share = (own > 0).mean()
        # Binomial error of the share of independent numbers.
        assert abs((layer > 0).mean() - share) <= SIGMAS * math.sqrt(share * (1 - share) / count) + 1e-12
        error = layer.astype(np.float64).std() / math.sqrt(count)
        assert abs(layer.mean(dtype=np.float64) - own.mean(dtype=np.float64)) <= SIGMAS * error + 1e-12


def test_gaussian_layers_keep_the_covariance_between_layers() -> None:
    """All units active, where the level is 8 standard deviations below and rectification does nothing: layers covary as they did."""
    n, units = 3000, 12
    rng = np.random.default_rng(14)
    walk = np.cumsum(rng.exponential(1.0, (4, n, units)), axis=0)
    walk = (walk - walk.mean((1, 2), keepdims=True)) / walk.std((1, 2), keepdims=True)
    layers = tuple(layer.reshape(n, 3, 2, 2).astype(np.float32) for layer in 8.0 + walk)
    other = np.abs(rng.standard_normal((n, 1, 2, 2))).astype(np.float32)
    made = gaussian_layers(Descent((*layers, other), (NONE,) * 4), np.random.default_rng(15))
    # x = c (g + 8) with c = mean/8.
    found = np.stack(
        [8.0 * layer.reshape(-1) / own.mean() - 8.0 for layer, own in zip(made.active[:4], layers)]
    ).astype(np.float64)
    own = walk.reshape(4, -1)
    expected = own @ own.T / own.shape[1]
    # √((c² + 1)/N) of a covariance of N pairs of unit variance.
    error = np.sqrt((expected**2 + 1) / own.shape[1])
    assert (np.abs(found @ found.T / own.shape[1] - expected) < SIGMAS * error).all()
    # The correlation of √((a + 1)/(b + 1)) of a walk: ½√2 of the first and second layer.
    assert expected[0, 1] == pytest.approx(math.sqrt(0.5), abs=0.05)
    # A layer of another shape is drawn alone.
    lone = made.active[4].reshape(n, -1)
    close = found[0].reshape(n, -1)[:, : lone.shape[1]]
    correlation = [np.corrcoef(lone[:, k], close[:, k])[0, 1] for k in range(lone.shape[1])]
    assert np.abs(correlation).max() < SIGMAS / math.sqrt(n)
