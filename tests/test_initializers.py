"""Initial values: their statistics, and that each parameter has a stream of its own."""

import math

import numpy as np
import pytest

import kernels
from minigan.initializers import (
    fans,
    generator,
    glorot_uniform,
    he_normal,
    normal,
    ones,
    orthogonal,
    zeros,
)
from minigan.layers import ConvTranspose2d

DENSE, CONV = (80, 120), (3, 5, 20, 30)


def draw(init, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.asarray(init(shape, generator(seed, "W")))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 7), (5, 7)), ((3, 2, 5, 7), (3 * 2 * 5, 3 * 2 * 7)), ((1, 1, 5, 7), (5, 7))],
)
def test_fans_count_connections(shape: tuple[int, ...], expected: tuple[int, int]):
    assert fans(shape) == expected


@pytest.mark.parametrize("shape", [(), (5,)])
def test_vectors_have_no_fans(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="at least two axes"):
        fans(shape)


@pytest.mark.parametrize("shape", [DENSE, CONV])
class TestMoments:
    """Means and standard deviations to four standard errors of a sample of this size (9,000 or more)."""

    def assert_close(self, values: np.ndarray, std: float, mean: float = 0.0) -> None:
        assert abs(values.mean() - mean) < 4 * std / math.sqrt(values.size)
        assert abs(values.std() / std - 1) < 4 / math.sqrt(2 * values.size)

    def test_normal(self, shape: tuple[int, ...]):
        self.assert_close(draw(normal(), shape), 0.02)
        self.assert_close(draw(normal(0.3, mean=1.5), shape), 0.3, 1.5)

    def test_glorot_balances_both_directions(self, shape: tuple[int, ...]):
        """Variance 2/(fan_in + fan_out), and nothing beyond the limit of the uniform distribution."""
        values, limit = draw(glorot_uniform(2.0), shape), 2 * math.sqrt(6 / sum(fans(shape)))
        self.assert_close(values, limit / math.sqrt(3))
        assert 0.99 * limit < np.abs(values).max() < limit

    def test_he_keeps_the_variance_behind_a_relu(self, shape: tuple[int, ...]):
        self.assert_close(draw(he_normal(), shape), math.sqrt(2 / fans(shape)[0]))
        self.assert_close(draw(he_normal(0.2), shape), math.sqrt(2 / 1.04 / fans(shape)[0]))


def test_he_in_action():
    """Ten layers deep the second moment behind leaky ReLUs is still about 1, where 0.02 has let it vanish."""
    x = np.random.default_rng(0).standard_normal((200, 256))
    kept, lost = x, x
    for layer in range(10):
        kept = kept @ draw(he_normal(0.2), (256, 256), layer)
        lost = lost @ draw(normal(0.02), (256, 256), layer)
        kept, lost = (np.where(y > 0, y, 0.2 * y) for y in (kept, lost))
    assert 0.5 < (kept**2).mean() < 2
    assert (lost**2).mean() < 1e-4


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 2, 2, 5), (1, 1, 2, 7)])
def test_orthogonal(shape: tuple[int, ...]):
    """Orthonormal columns, or rows where there are fewer of them, times the gain."""
    w = draw(orthogonal(1.5), shape).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 1.5**2 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_is_uniform_over_the_group():
    """Without the correction of signs, QR's Q leans to one side: the diagonal's mean would be far from 0."""
    entries = [draw(orthogonal(), (3, 3), seed)[0, 0] for seed in range(500)]
    assert abs(np.mean(entries)) < 4 / math.sqrt(3 * 500)


@pytest.mark.parametrize(("init", "value"), [(zeros, 0), (ones, 1)])
def test_constants(init, value: float):
    np.testing.assert_array_equal(draw(init, (2, 3)), np.full((2, 3), value))


@pytest.mark.parametrize("build", [normal, glorot_uniform, he_normal, orthogonal])
class TestStreams:
    def test_the_same_seed_and_name_give_the_same_values(self, build):
        np.testing.assert_array_equal(draw(build(), DENSE), draw(build(), DENSE))

    @pytest.mark.parametrize(("seed", "path"), [(1, "W"), (0, "conv2d1/W"), (0, "w")])
    def test_another_seed_or_name_gives_others(self, build, seed: int, path: str):
        other = build()(DENSE, generator(seed, path))
        correlation = np.corrcoef(draw(build(), DENSE).ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 4 / math.sqrt(math.prod(DENSE))


@pytest.mark.parametrize(("channels", "out"), [(96, 4), (4, 96)])
def test_he_keeps_the_variance_through_a_transposed_convolution(channels, out):
    """Its W holds output channels before input channels; with stride 1 and fans the right way round, var(y) = 2."""
    layer = ConvTranspose2d(channels, out, 3, init=he_normal(), bias=False)
    p, ops = layer.init(0, (12, 12, channels)), kernels.get_ops()
    x = np.random.default_rng(0).standard_normal((4, 12, 12, channels)).astype(np.float32)
    y, _ = layer.forward(ops, p, x)
    assert 1.5 < y[:, 2:-2, 2:-2].var() < 2.5
