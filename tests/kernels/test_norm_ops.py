"""Norms against their formulas, written once more without shortcuts. Their derivatives: see the layers' checks."""

import numpy as np
import pytest
from hypothesis import given
from on_host import seen_from_host

import kernels
from kernels import Ops, activation
from kernels.activations import FORMULAS
from minigan.testing import batches, feature_shapes, image_shapes, seeds

SHAPES = image_shapes(min_side=2) | feature_shapes(min_features=3)
EPS = 1e-3


class Point:
    """x (N, ..., C), dz, gamma, beta, ..., in the dtype of the operations."""

    def __init__(self, ops: Ops, shape: tuple[int, ...], n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.x, self.dz, self.ddx = (3 + 2 * rng.standard_normal((3, n, *shape))).astype(ops.dtype)
        self.gamma, self.beta, self.mean = rng.standard_normal((3, shape[-1])).astype(ops.dtype)
        self.var = rng.uniform(0.5, 2, shape[-1]).astype(ops.dtype)
        self.tolerance = {"float32": 1e-4, "float64": 1e-12}[ops.dtype.name]

    def assert_close(self, actual: np.ndarray, expected: np.ndarray) -> None:
        np.testing.assert_allclose(actual, expected, rtol=self.tolerance, atol=self.tolerance)


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_batch_norm(new_ops, shape, n: int, seed: int):
    """Channel by channel, with Python's own idea of mean and variance."""
    at = Point(ops := new_ops(), shape, n, seed)
    y, mean, var = ops.batch_norm(at.x, at.gamma, at.beta, EPS, activation("relu"))
    for c in range(shape[-1]):
        values = at.x[..., c].astype(np.float64)
        average = values.sum() / values.size
        spread = ((values - average) ** 2).sum() / values.size
        at.assert_close(mean[c], average)
        at.assert_close(var[c], spread)
        z = at.gamma[c] * (values - average) / np.sqrt(spread + EPS) + at.beta[c]
        at.assert_close(y[..., c], np.maximum(z, 0))


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_layer_norm(new_ops, shape, n: int, seed: int):
    """Sample by sample; a sample's result does not depend on its neighbours."""
    at = Point(ops := new_ops(), shape, n, seed)
    y, mean, var = ops.layer_norm(at.x, at.gamma, at.beta, EPS, activation("relu"))
    for i, sample in enumerate(at.x.astype(np.float64)):
        average, spread = sample.sum() / sample.size, ((sample - sample.mean()) ** 2).sum() / sample.size
        at.assert_close(mean[i], average)
        at.assert_close(var[i], spread)
        at.assert_close(y[i], np.maximum(at.gamma * (sample - average) / np.sqrt(spread + EPS) + at.beta, 0))
        np.testing.assert_array_equal(
            ops.layer_norm(at.x[i : i + 1], at.gamma, at.beta, EPS, activation("relu"))[0], y[i : i + 1]
        )


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_channel_norm_is_affine(new_ops, shape, n: int, seed: int):
    at = Point(ops := new_ops(), shape, n, seed)
    scale = at.gamma / np.sqrt(at.var + EPS)
    at.assert_close(ops.channel_norm(at.x, at.gamma, at.beta, at.mean, at.var, EPS), (at.x - at.mean) * scale + at.beta)
    at.assert_close(ops.channel_norm(at.x, at.gamma, None, None, at.var, EPS), at.x * scale)


def test_channel_norm_with_the_batchs_own_statistics_is_batch_norm(ops: Ops):
    at = Point(ops, (3, 2, 4), 5, seed=0)
    y, mean, var = ops.batch_norm(at.x, at.gamma, at.beta, EPS)
    at.assert_close(ops.channel_norm(at.x, at.gamma, at.beta, mean, var, EPS), y)


@pytest.mark.parametrize(("family", "axes"), [("batch", (0, 1, 2)), ("layer", (1, 2, 3))])
def test_what_normalisation_removes_gets_no_gradient(ops: Ops, family: str, axes: tuple[int, ...]):
    """Shifting or stretching its input changes no output (save for eps), so dx has no part along 1 and along x."""
    at = Point(ops, (3, 4, 2), 5, seed=0)
    _, mean, var = getattr(ops, f"{family}_norm")(at.x, at.gamma, at.beta, 1e-14)
    dx = getattr(ops, f"{family}_norm_grad")(at.dz, at.x, at.gamma, mean, var, 1e-14)
    assert np.abs(dx).max() > 0.1
    at.assert_close(dx.mean(axes), 0)
    at.assert_close((dx * at.x).mean(axes), 0)


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_weight_gradients_are_the_derivatives_of_a_bilinear_form(new_ops, shape, n: int, seed: int):
    """<dz, gamma h + beta> is linear in gamma and in beta: both gradients follow from the forward pass alone."""
    at = Point(ops := new_ops(), shape, n, seed)
    ones, zeros = np.ones_like(at.gamma), np.zeros_like(at.gamma)
    for forward, backward in ((ops.batch_norm, ops.batch_norm_grad), (ops.layer_norm, ops.layer_norm_grad)):
        h, mean, var = forward(at.x, ones, zeros, EPS)
        dgamma, dbeta = at.gamma.copy(), at.beta.copy()
        backward(at.dz, at.x, at.gamma, mean, var, EPS, dgamma=dgamma, dbeta=dbeta)
        at.assert_close(dgamma - at.gamma, (at.dz * h).reshape(-1, shape[-1]).sum(0))
        at.assert_close(dbeta - at.beta, at.dz.reshape(-1, shape[-1]).sum(0))


@pytest.mark.parametrize("name", [name for name, formula in FORMULAS.items() if formula.keeps == "y"])
def test_batch_norm_grad_goes_back_through_the_activation(ops: Ops, name: str):
    """As the two operations do one after the other."""
    at = Point(ops, (3, 4, 2), 5, seed=0)
    act = activation(name)
    y, mean, var = ops.batch_norm(at.x, at.gamma, at.beta, EPS, act)
    results = []
    for dy, more in ((at.dz, {"y": y, "activation": act}), (ops.activation_grad(act, at.dz, y), {})):
        dgamma, dbeta = at.gamma.copy(), at.beta.copy()
        dx = ops.batch_norm_grad(dy, at.x, at.gamma, mean, var, EPS, dgamma=dgamma, dbeta=dbeta, **more)
        results.append((dx, dgamma, dbeta))
    for fused, apart in zip(*results, strict=True):
        at.assert_close(fused, apart)


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_the_second_sweep_is_the_adjoint_of_the_first(new_ops, shape, n: int, seed: int):
    """layer_norm_grad is linear in dz, so <ddx, layer_norm_grad(dz)> = <ddz, dz>, with no derivative involved."""
    at = Point(ops := new_ops(), shape, n, seed)
    _, mean, var = ops.layer_norm(at.x, at.gamma, at.beta, EPS)
    dx = ops.layer_norm_grad(at.dz, at.x, at.gamma, mean, var, EPS)
    ddz, _ = ops.layer_norm_double_grad(at.ddx, at.dz, at.x, at.gamma, mean, var, EPS)
    size = np.abs(dx * at.ddx).sum() + np.abs(ddz * at.dz).sum()
    assert abs(float((dx * at.ddx).sum() - (ddz * at.dz).sum())) <= at.tolerance * size


@pytest.mark.parametrize("family", ["batch", "layer"])
def test_a_constant_input_is_harmless(ops: Ops, family: str):
    """Its variance is 0: eps stands in, y = beta, and nothing divides by zero."""
    x, gamma, beta = np.full((4, 3), 7, ops.dtype), np.full(3, 2, ops.dtype), np.array([1, 2, 3], ops.dtype)
    y, mean, var = getattr(ops, f"{family}_norm")(x, gamma, beta, 1e-5)
    np.testing.assert_array_equal(y, np.tile(beta, (4, 1)))
    dx = getattr(ops, f"{family}_norm_grad")(x, x, gamma, mean, var, 1e-5)
    assert np.isfinite(dx).all()


SIZES = [(1, 7), (3001, 1), (1100, 3), (5000, 64), (33, 513), (7, 1300), (40_000, 2)]
"""Rows and channels: below, at and above whatever number of rows, blocks and columns a backend takes at once."""


@pytest.mark.parametrize(("rows", "channels"), SIZES)
def test_every_size_agrees_with_the_reference(ops: Ops, rows: int, channels: int):
    """In double precision; layer_norm sees the rows as three samples of pixels."""
    exact = kernels.get_ops("numpy", dtype=np.float64)
    at, act = Point(ops, (rows, channels), 3, seed=0), activation("leaky_relu")
    mean, var = at.mean[:1].repeat(3), at.var[:1].repeat(3)

    def run(ops: Ops) -> list[np.ndarray]:
        new = [np.asarray(a, ops.dtype) for a in (at.x, at.dz, at.ddx, at.gamma, at.beta, at.mean, at.var, mean, var)]
        x, dz, ddx, gamma, beta, channel_mean, channel_var, sample_mean, sample_var = new
        weights = [np.zeros_like(gamma) for _ in range(7)]
        channel, sample = (gamma, channel_mean, channel_var, EPS), (gamma, sample_mean, sample_var, EPS)
        y = ops.channel_norm(x, gamma, beta, channel_mean, channel_var, EPS, act)
        results = [
            y,
            *ops.batch_norm(x, gamma, beta, EPS, act),
            ops.batch_norm_grad(dz, x, *channel, y=x, activation=act, dgamma=weights[0], dbeta=weights[1]),
            *ops.layer_norm(x, gamma, beta, EPS, act),
            ops.layer_norm_grad(dz, x, *sample, dgamma=weights[2], dbeta=weights[3]),
            *ops.layer_norm_double_grad(ddx, dz, x, *sample, dgamma=weights[4]),
        ]
        ops.channel_norm_weight_grad(dz, x, *channel[1:], dgamma=weights[5], dbeta=weights[6])
        return results + weights

    for actual, expected in zip(run(ops), run(exact), strict=True):
        tolerance = at.tolerance * max(1, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, rtol=at.tolerance, atol=tolerance)


@pytest.mark.parametrize("family", ["batch", "layer"])
def test_the_variance_survives_a_large_mean(ops: Ops, family: str):
    """Mean of squares minus square of mean would have lost all its digits."""
    mean = {"float32": 1e4, "float64": 1e9}[ops.dtype.name]
    x = (mean + np.random.default_rng(0).standard_normal((3, 500, 4))).astype(ops.dtype)
    y, _, var = getattr(ops, f"{family}_norm")(x, np.ones(4, ops.dtype), np.zeros(4, ops.dtype), EPS)
    axes = {"batch": (0, 1), "layer": (1, 2)}[family]
    np.testing.assert_allclose(var, (x.astype(np.float64) - mean).var(axes), rtol=1e-6)
    assert np.abs(y).max() < 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 700])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_not_finite_spoils_its_own_channel_or_sample(ops: Ops, row: int, bad: float):
    """The mean is `bad`, the variance NaN, in both families; all others stay finite."""
    at = Point(ops, (4,), 1000, seed=0)
    at.x[row, 1] = bad
    for family, spoiled in (("batch", np.arange(4) == 1), ("layer", np.arange(1000) == row)):
        y, mean, var = getattr(ops, f"{family}_norm")(at.x, at.gamma, at.beta, EPS)
        dx = getattr(ops, f"{family}_norm_grad")(at.dz, at.x, at.gamma, mean, var, EPS)
        np.testing.assert_array_equal(mean[spoiled], bad)
        assert np.isnan(var[spoiled]).all()
        for result in (y, dx):
            samples = result.T if family == "batch" else result
            assert np.isnan(samples[spoiled]).all()
            assert np.isfinite(samples[~spoiled]).all()


def test_batch_statistics_keep_their_digits_over_a_quarter_of_a_million_rows(backend: str):
    """Added up one after the other in float32, the mean of a constant 0.1 would be off by a quarter of a percent."""
    ops = seen_from_host(kernels.get_ops(backend, dtype=np.float32))
    x = np.full((64, 64, 64, 4), 0.1, np.float32)
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    y, mean, var = ops.batch_norm(x, ones, zeros, 1e-5)
    np.testing.assert_allclose(mean, 0.1, rtol=1e-6)
    assert var.max() < 1e-12
    assert np.abs(y).max() < 1e-4
    np.testing.assert_allclose(ops.sum_rows(x), 0.1 * 64**3, rtol=1e-6)
