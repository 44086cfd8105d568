"""Convolutions by windows and taps that meet inside the image, against their definition on whole numbers."""

from itertools import product

import numpy as np
import pytest

from kernels.activations import activation
from kernels.cpu import NumbaOps
from kernels.cpu.kn2row import met, pairs
from kernels.cpu.target import TARGET
from kernels.cpu.winograd_plan import MOST_TILES
from kernels.geometry import output_size
from kernels.reference import naive

# images, (height, width), C and O in panels, kernel, stride, (top, bottom, left, right)
CASES = {
    "4 x 4 to 2 x 2": (7, (4, 4), 2, 5, (5, 5), (2, 2), (1, 2, 1, 2)),
    "a micro-tile of four rows": (10, (2, 2), 1, 1, (3, 3), (1, 1), (1, 1, 1, 1)),
    "several passes": (MOST_TILES + 3, (2, 1), 1, 1, (2, 2), (1, 1), (1, 0, 0, 1)),
    "taps that meet nothing": (3, (2, 2), 1, 1, (3, 5), (2, 2), (0, 1, 3, 0)),
    "pixels that no window sees": (2, (6, 5), 1, 2, (2, 1), (3, 2), (0, 0, 0, 0)),
    "one pixel": (1, (1, 1), 3, 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    "nothing meets": (2, (1, 2), 1, 1, (1, 1), (3, 3), (2, 0, 1, 1)),
}


def brute_force(size: tuple, kernel: tuple, windows: tuple, stride: tuple, pads: tuple) -> list[tuple]:
    """(tap, pixel, window) of every pair."""
    found = []
    for (i, j), (a, b) in product(np.ndindex(kernel), np.ndindex(windows)):
        row, column = a * stride[0] - pads[0] + i, b * stride[1] - pads[2] + j
        if row in range(size[0]) and column in range(size[1]):
            found.append((i * kernel[1] + j, row * size[1] + column, a * windows[1] + b))
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_pairs_are_those_inside_the_image(case: tuple):
    images, size, c, o, kernel, stride, pads = case
    windows = output_size(size, kernel, stride, pads)
    own = pairs((images, *size, c), (*kernel, c, o), windows, stride, pads, np.dtype(np.float32))
    expected = brute_force(size, kernel, windows, stride, pads)
    listed = [(t, *own.places[i]) for t in range(own.taps) for i in range(own.first[t], own.first[t + 1])]
    assert listed == expected
    assert met(size, kernel, windows, stride, pads) == len(expected)
    assert own.passes[:, 1].sum() == images
    assert own.passes[:, 1].max() <= MOST_TILES


def test_of_four_pixels_to_two_windows_half_the_taps_meet_nothing():
    assert met((4, 4), (5, 5), (2, 2), (2, 2), (1, 2, 1, 2)) == 49
    assert met((14, 14), (4, 4), (7, 7), (2, 2), (1, 1, 1, 1)) == 26 * 26


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_three_products_are_exact(case: tuple, dtype: np.dtype):
    images, size, c, o, kernel, stride, pads = case
    width, rng = TARGET.tile_bytes // dtype.itemsize, np.random.default_rng(0)
    windows = output_size(size, kernel, stride, pads)
    x, dy, w, bias_y, bias_x, before = (
        rng.integers(-4, 5, shape).astype(float)
        for shape in (
            (images, *size, c * width),
            (images, *windows, o * width),
            (*kernel, c * width, o * width),
            (o * width,),
            (c * width,),
            (*kernel, c * width, o * width),
        )
    )
    x_, dy_, w_, bias_y_, bias_x_ = (a.astype(dtype) for a in (x, dy, w, bias_y, bias_x))
    own = NumbaOps(dtype)
    own.convolution = "kn2row"
    assert own.algorithm(x.shape, w.shape, dy.shape, stride, pads) == "kn2row"

    own.workspace.empty((1 << 20,), np.dtype(np.float64))  # memory of its own, and below all of it is NaN
    own.workspace.poison()
    own.workspace.reset()
    y, dx, dw = np.full(dy.shape, np.nan, dtype), np.full(x.shape, np.nan, dtype), np.full(w.shape, np.nan, dtype)
    own.conv2d(x_, w_, stride, pads, bias=bias_y_, activation=activation("leaky_relu", 0.5), out=y)
    z = naive.conv2d(x, w, stride, pads) + bias_y
    np.testing.assert_array_equal(y, np.where(z > 0, z, 0.5 * z))
    own.conv2d_input_grad(dy_, w_, stride, pads, size, bias=bias_x_, out=dx)
    np.testing.assert_array_equal(dx, naive.conv2d_input_grad(dy, w, stride, pads, size) + bias_x)
    own.conv2d_weight_grad(x_, dy_, stride, pads, kernel, out=dw)
    gradient = naive.conv2d_weight_grad(x, dy, stride, pads, kernel)
    np.testing.assert_array_equal(dw, gradient)
    dw[...] = before
    own.conv2d_weight_grad(x_, dy_, stride, pads, kernel, out=dw, accumulate=True)
    np.testing.assert_array_equal(dw, before + gradient)


def test_it_is_taken_where_it_has_the_fewest_products():
    """The pairs of a window's border against Winograd's points; in float64, which goes without, against all taps."""
    single, double = NumbaOps(np.float32), NumbaOps(np.float64)
    c = 4 * TARGET.tile_bytes // 4
    lsgan = (64, 4, 4, c), (5, 5, c, 2 * c), (64, 2, 2, 2 * c), (2, 2), (1, 2, 1, 2)
    dcgan = (64, 14, 14, c), (4, 4, c, 2 * c), (64, 7, 7, 2 * c), (2, 2), (1, 1, 1, 1)
    assert single.algorithm(*lsgan) == double.algorithm(*lsgan) == "kn2row"
    assert single.algorithm(*dcgan) == "winograd"
    assert double.algorithm(*dcgan) == "implicit"
    few_images, few_channels = ((8, *lsgan[0][1:]), *lsgan[1:]), ((64, 4, 4, 24), (5, 5, 24, 2 * c), *lsgan[2:])
    assert single.algorithm(*few_images) == single.algorithm(*few_channels) == "implicit"


def test_without_images_there_is_nothing_to_take():
    own = NumbaOps(np.float32)
    own.convolution = "kn2row"
    x, w = np.empty((0, 2, 2, 32), np.float32), np.ones((2, 2, 32, 32), np.float32)
    assert own.conv2d(x, w, (1, 1), (0, 0, 0, 0)).shape == (0, 1, 1, 32)
    dw = own.conv2d_weight_grad(x, np.empty((0, 1, 1, 32), np.float32), (1, 1), (0, 0, 0, 0), (2, 2))
    assert not dw.any()


@pytest.mark.parametrize("way", ["auto", "kn2row"])
def test_images_without_pixels_have_nothing_to_meet(way: str):
    own = NumbaOps(np.float32)
    own.convolution = way
    dy, w = np.ones((16, 2, 4, 48), np.float32), np.ones((3, 3, 48, 48), np.float32)
    assert own.conv2d_input_grad(dy, w, (1, 1), (2, 2, 1, 1), (0, 4)).shape == (16, 0, 4, 48)
    assert not own.conv2d(np.empty((16, 0, 4, 48), np.float32), w, (1, 1), (2, 2, 1, 1)).any()


def test_weights_that_meet_the_border_alone_have_no_part():
    own, channels = NumbaOps(np.float32), 3 * TARGET.tile_bytes // 4
    w = np.ones((3, 3, channels, channels), np.float32)
    own.convolution = "kn2row"
    w[0, 0] = np.nan
    assert (own.conv2d(np.ones((2, 1, 1, channels), np.float32), w, (1, 1), (1, 1, 1, 1)) == channels).all()
