"""Winograd convolutions: the matrices and cuts on paper, and the three products against their definition."""

from itertools import product

import numpy as np
import pytest

from kernels.cpu import NumbaOps
from kernels.cpu.target import TARGET
from kernels.cpu.winograd_plan import (
    FEWEST_TAPS,
    LARGEST_TILE,
    M_H,
    M_V,
    MOST_TAPS,
    MOST_TILES,
    ORDER,
    TILES,
    apart,
    cut,
    matrices,
    plan,
)
from kernels.cpu.winograd_transforms import inside
from kernels.geometry import output_size
from kernels.reference import NumpyOps

TAPS = range(FEWEST_TAPS, MOST_TAPS + 1)

MANY_TILES = "more tiles an image than a block has"

# images, (height, width), C, O, kernel, stride, (top, bottom, left, right)
CASES = {
    "one tile an image": (64, (14, 14), 64, 128, 4, 2, (1, 1, 1, 1)),
    "several passes": (3 * MOST_TILES // 2, (14, 14), 32, 32, 4, 2, (1, 1, 1, 1)),
    "two lengths of tile an axis": (17, (17, 30), 32, 32, 3, 1, (1, 1, 1, 1)),
    "phases of two and three taps": (20, (7, 9), 32, 64, 5, 2, (2, 2, 2, 2)),
    MANY_TILES: (2, (80, 80), 32, 32, 3, 1, (0, 0, 0, 0)),
    "pads of every kind": (18, (12, 5), 32, 32, 4, 2, (0, 3, 2, 1)),
    "tiles that lie in the border": (16, (3, 3), 32, 32, 3, 1, (20, 3, 0, 25)),
    "pixels that no window sees": (16, (12, 11), 32, 32, 4, 2, (0, 0, 0, 0)),
    "windows that see no pixel of a column": (16, (3, 1), 32, 32, 6, 3, (1, 7, 10, 0)),
    "more than a block at each of several places": (29, (18, 17), 32, 32, 3, 1, (1, 1, 1, 1)),
}


def relative(result: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(result - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(("m", "taps"), [(m, r) for r in TAPS for m in range(1, ORDER + 2 - r)])
def test_the_matrices_correlate(m: int, taps: int):
    at, g, bt = matrices(m, taps)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(m + taps - 1), rng.standard_normal(taps)
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ x)), np.correlate(x, w), atol=1e-12)


@pytest.mark.parametrize("taps", TAPS)
def test_cuts_are_as_few_tiles_as_there_can_be(taps: int):
    for size in range(2, 60):
        tiles = cut(size, taps)
        assert sum(tiles) == size
        assert max(tiles) + taps - 1 <= ORDER
        assert min(tiles) >= 2
        assert max(tiles) - min(tiles) <= 1
        assert len(tiles) == -(-size // (ORDER + 1 - taps))
    assert max(max(cut(size, r)) for r in TAPS for size in range(2, 60)) == LARGEST_TILE


def test_what_lies_inside():
    for first, step, count, size in product(range(-9, 9), (1, 2, 3), range(6), range(6)):
        found = range(*inside(first, step, count, size))
        assert list(found) == [k for k in range(count) if 0 <= first + k * step < size]


@pytest.mark.parametrize("itemsize", [4, 8])
def test_points_lie_five_lines_beyond_a_multiple_of_a_page(itemsize: int):
    for rows, stride in ((1, 80), (64, 272), (66, 144), (7, 528)):
        distance = apart(rows, stride, itemsize)
        assert distance >= rows * stride
        assert distance * itemsize % 4096 == 320


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_passes_take_each_tile_once(case: tuple):
    images, size, c, o, kernel, stride, pads = case
    outputs = output_size(size, (kernel, kernel), (stride, stride), pads)
    own = plan((images, *size), (kernel, kernel, c, o), outputs, (stride, stride), pads, np.dtype(np.float32))
    taken = [(number, image) for number, first, count in own.passes for image in range(first, first + count)]
    assert sorted(taken) == list(product(range(len(own.kinds)), range(images)))
    if case is CASES[MANY_TILES]:
        assert own.kinds[:, TILES].max() > MOST_TILES
    pixels = sum(kind[TILES] * kind[M_V] * kind[M_H] for kind in own.kinds)
    assert pixels == outputs[0] * outputs[1]


# Sums of up to 25*128 products; tiles of 7 lose a digit (`winograd_plan`).
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_three_products(case: tuple, dtype: type, bound: float):
    images, size, c, o, kernel, stride, pads = case
    if TARGET.tile_bytes // np.dtype(dtype).itemsize > min(c, o):
        pytest.skip("fewer channels than a micro-tile of this CPU is wide")
    images, steps, rng = min(images, 100), (stride, stride), np.random.default_rng(0)
    own, reference = NumbaOps(dtype), NumpyOps(np.float64)
    own.convolution = "winograd"
    windows = output_size(size, (kernel, kernel), steps, pads)
    x, dy = rng.standard_normal((images, *size, c)), rng.standard_normal((images, *windows, o))
    w, bias_y, bias_x = rng.standard_normal((kernel, kernel, c, o)), rng.standard_normal(o), rng.standard_normal(c)
    before = rng.standard_normal(w.shape)
    assert own.algorithm(x.shape, w.shape, dy.shape, steps, pads) == "winograd"
    x_, dy_, w_, bias_y_, bias_x_, dw = (a.astype(dtype) for a in (x, dy, w, bias_y, bias_x, before))

    y = own.conv2d(x_, w_, steps, pads, bias=bias_y_)
    assert relative(y, reference.conv2d(x, w, steps, pads, bias=bias_y)) < bound
    dx = np.full(x.shape, np.nan, dtype)  # every pixel is written, those too that no window sees
    own.conv2d_input_grad(dy_, w_, steps, pads, size, bias=bias_x_, out=dx)
    assert relative(dx, reference.conv2d_input_grad(dy, w, steps, pads, size, bias=bias_x)) < bound
    own.conv2d_weight_grad(x_, dy_, steps, pads, (kernel, kernel), out=dw, accumulate=True)
    expected = before + reference.conv2d_weight_grad(x, dy, steps, pads, (kernel, kernel))
    assert relative(dw, expected) < bound
