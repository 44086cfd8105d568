"""Pooling and upsampling, exactly: against loops, against convolution, and by adjoint identities in whole numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import Ops
from kernels.geometry import output_size
from minigan.testing import batches, image_shapes, kernel_sizes, seeds, strides

NO_PADS = (0, 0, 0, 0)
IMAGES = image_shapes(max_side=7, min_channels=1)


@st.composite
def pools(draw: st.DrawFn):
    """(image shape (H, W, C), kernel, stride) with at least one window."""
    shape = draw(IMAGES)
    return shape, (draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))), draw(strides())


def integers(dtype: np.dtype, seed: int, *shape: int, unit: int = 1) -> np.ndarray:
    """Multiples of `unit`, few enough that equal ones occur."""
    return (unit * np.random.default_rng(seed).integers(-5, 6, shape)).astype(dtype)


def dot(a: np.ndarray, b: np.ndarray) -> int:
    return int((a.astype(np.int64) * b.astype(np.int64)).sum())


def windows(x: np.ndarray, kernel, stride):
    """((n, i, j, c), window) for every window, as a list of its entries row by row."""
    height, width = output_size(x.shape[1:3], kernel, stride, NO_PADS)
    for n, i, j, c in itertools.product(range(len(x)), range(height), range(width), range(x.shape[3])):
        top, left = i * stride[0], j * stride[1]
        yield (n, i, j, c), x[n, top : top + kernel[0], left : left + kernel[1], c].ravel().tolist()


@given(pool=pools(), n=batches(1, 2), seed=seeds())
def test_max_pool_takes_the_first_largest_of_each_window(new_ops, pool, n: int, seed: int):
    ops, (shape, kernel, stride) = new_ops(), pool
    x = integers(ops.dtype, seed, n, *shape)
    y, index = ops.max_pool2d(x, kernel, stride)
    found = {place: (y[place], index[place]) for place in np.ndindex(y.shape)}
    assert found == {place: (max(window), window.index(max(window))) for place, window in windows(x, kernel, stride)}


@given(pool=pools(), n=batches(1, 2), seed=seeds())
def test_avg_pool_is_the_mean_of_each_window(new_ops, pool, n: int, seed: int):
    ops, (shape, kernel, stride) = new_ops(), pool
    area = kernel[0] * kernel[1]
    x = integers(ops.dtype, seed, n, *shape, unit=area)  # so that every mean is a whole number
    y = ops.avg_pool2d(x, kernel, stride)
    means = {place: sum(window) / area for place, window in windows(x, kernel, stride)}
    assert {place: y[place] for place in np.ndindex(y.shape)} == means


@given(shape=IMAGES, factor=kernel_sizes(3), n=batches(1, 2), seed=seeds())
def test_upsampling_repeats_pixels(new_ops, shape, factor, n: int, seed: int):
    ops = new_ops()
    x = integers(ops.dtype, seed, n, *shape)
    expected = x.repeat(factor[0], axis=1).repeat(factor[1], axis=2)
    np.testing.assert_array_equal(ops.upsample_nearest(x, factor), expected, strict=True)


@given(pool=pools(), n=batches(1, 2), seed=seeds())
def test_pooling_adjoints(new_ops, pool, n: int, seed: int):
    """<A x, y> = <x, A^T y>; max pooling is linear too once the index is given."""
    ops, (shape, kernel, stride) = new_ops(), pool
    size, area = shape[:2], kernel[0] * kernel[1]
    x = integers(ops.dtype, seed, n, *shape, unit=area)
    pooled, index = ops.max_pool2d(x, kernel, stride)
    y = integers(ops.dtype, seed + 1, *pooled.shape, unit=area)
    other = integers(ops.dtype, seed + 2, n, *shape)
    np.testing.assert_array_equal(ops.max_pool2d_gather(x, index, kernel, stride), pooled)
    gathered = dot(ops.max_pool2d_gather(other, index, kernel, stride), y)
    assert gathered == dot(other, ops.max_pool2d_grad(y, index, size, kernel, stride))
    assert dot(ops.avg_pool2d(x, kernel, stride), y) == dot(x, ops.avg_pool2d_grad(y, size, kernel, stride))


@given(shape=IMAGES, factor=kernel_sizes(3), n=batches(1, 2), seed=seeds())
def test_upsampling_adjoint(new_ops, shape, factor, n: int, seed: int):
    ops = new_ops()
    x = integers(ops.dtype, seed, n, *shape)
    y = integers(ops.dtype, seed + 1, n, shape[0] * factor[0], shape[1] * factor[1], shape[2])
    assert dot(ops.upsample_nearest(x, factor), y) == dot(x, ops.upsample_nearest_grad(y, factor))


def test_average_pooling_undoes_upsampling(ops: Ops):
    x = integers(ops.dtype, 0, 2, 3, 5, 4)
    np.testing.assert_array_equal(ops.avg_pool2d(ops.upsample_nearest(x, (2, 4)), (2, 4), (2, 4)), x)


def test_average_pooling_is_a_convolution_with_a_constant_kernel(ops: Ops):
    x = integers(ops.dtype, 0, 2, 6, 7, 1)
    kernel, stride = (2, 4), (1, 3)
    constant = np.full((*kernel, 1, 1), 1 / 8, ops.dtype)
    np.testing.assert_array_equal(ops.avg_pool2d(x, kernel, stride), ops.conv2d(x, constant, stride, NO_PADS))


def test_windows_that_would_cross_the_border_are_left_out(ops: Ops):
    x = np.arange(5, dtype=ops.dtype).reshape(1, 1, 5, 1)
    assert ops.max_pool2d(x, (1, 2), (1, 2))[0].ravel().tolist() == [1, 3]
    dy = np.ones((1, 1, 2, 1), ops.dtype)
    assert ops.avg_pool2d_grad(dy, (1, 5), (1, 2), (1, 2)).ravel().tolist() == [0.5, 0.5, 0.5, 0.5, 0]


@pytest.mark.parametrize("place", [(0, 0), (1, 1)])
def test_a_nan_does_not_hide_in_a_maximum(ops: Ops, place: tuple[int, int]):
    x = np.ones((1, 2, 2, 1), ops.dtype)
    x[0, *place, 0] = np.nan
    assert np.isnan(ops.max_pool2d(x, (2, 2), (2, 2))[0]).all()


def test_all_minus_infinity_still_has_a_place(ops: Ops):
    """The gradient goes to the first entry of the window, not to nowhere."""
    x = np.full((1, 2, 2, 1), -np.inf, ops.dtype)
    y, index = ops.max_pool2d(x, (2, 2), (2, 2))
    assert (y.item(), index.item()) == (-np.inf, 0)


def all_of(ops: Ops, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every operation of the family on x (N, 6, 8, C)."""
    pool = {"kernel": (3, 2), "stride": (2, 1)}
    pooled, index = ops.max_pool2d(x, **pool)
    return {
        "avg": ops.avg_pool2d(x, **pool),
        "avg grad": ops.avg_pool2d_grad(pooled, (6, 8), **pool),
        "max": pooled,
        "index": index,
        "max grad": ops.max_pool2d_grad(pooled, index, (6, 8), **pool),
        "gather": ops.max_pool2d_gather(x + 1, index, **pool),
        "up": ops.upsample_nearest(x, (2, 3)),
        "up grad": ops.upsample_nearest_grad(x, (2, 4)),
    }


def test_channels_do_not_mix(ops: Ops):
    """37 channels, whole vectors and a rest, give what each gives alone."""
    x = integers(ops.dtype, 0, 2, 6, 8, 37, unit=6)
    together = all_of(ops, x)
    for c in range(37):
        for name, alone in all_of(ops, x[..., c : c + 1].copy()).items():
            np.testing.assert_array_equal(alone, together[name][..., c : c + 1], name)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_gathering_leaves_neighbours_alone(ops: Ops, number: float):
    """What stands beside the chosen entry does not matter."""
    x = np.array([1, number, number, number], ops.dtype).reshape(1, 2, 2, 1)
    index = np.zeros((1, 1, 1, 1), np.int32)
    assert ops.max_pool2d_gather(x, index, (2, 2), (2, 2)).item() == 1
