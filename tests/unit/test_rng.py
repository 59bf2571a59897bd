"""Keyed generators and the float32 normal law."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from quasicrit.networks import torch_generator
from quasicrit.rng import generator, normal_float32


def test_a_key_names_one_stream() -> None:
    first = generator(1, "a", 2).random(4)
    np.testing.assert_array_equal(first, generator(1, "a", np.int64(2)).random(4))
    for other in ((2, "a", 2), (1, "b", 2), (1, "a", 3), (1, "a", "2"), (1, "a")):
        assert not np.array_equal(first, generator(*other).random(4))


def test_torch_streams_hold_the_whole_state() -> None:
    """Two keys whose first 32 bits agree would collide under manual_seed; here all 624 words come from the key."""
    drawn = [torch.empty(64).normal_(generator=torch_generator(generator(1, "k", i))) for i in range(3)]
    again = torch.empty(64).normal_(generator=torch_generator(generator(1, "k", 1)))
    assert torch.equal(drawn[1], again)
    assert not torch.equal(drawn[0], drawn[1])
    many = torch.empty(200_000).normal_(generator=torch_generator(generator(3, "moments")))
    # Standard errors 1/√n and √(2/n); 5 of them.
    assert abs(float(many.mean())) < 5 / 200_000**0.5
    assert abs(float(many.var()) - 1) < 5 * (2 / 200_000) ** 0.5


def test_box_muller_is_the_normal_law() -> None:
    n = 2_000_001
    z = normal_float32(generator(4, "normal"), (n,)).astype(np.float64)
    # Moments with standard errors √((E z^2k − (E z^k)²)/n): 1, 2, 15, 96; 5 of them.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - mean) < 5 * (variance / n) ** 0.5
    # sup |F_n − F| of n normal numbers exceeds 2.2/√n with probability 1.3e-4 (Kolmogorov).
    assert stats.kstest(z, "norm").statistic < 2.2 / n**0.5
    # The cosine and the sine of a pair, and neighbours, are uncorrelated.
    for lag in (1, 2, 1 << 14):
        assert abs(np.mean(z[lag:] * z[:-lag])) < 5 / n**0.5


def test_box_muller_power_to_reject_a_wrong_variance() -> None:
    n = 2_000_000
    z = 1.005 * normal_float32(generator(4, "wrong"), (n,)).astype(np.float64)
    assert stats.kstest(z, "norm").statistic > 0.8 / n**0.5
    assert abs((z**2).mean() - 1) > 5 * (2 / n) ** 0.5
