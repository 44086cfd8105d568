"""Convolutions with few taps on whole numbers, in poisoned memory; their tiles against the twins in plain Python."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_implicit_gemm import check as check_patches
from test_implicit_gemm import poisoned
from test_microkernel import GAP, START, lines, width_of
from test_products import Trilinear
from test_weight_grad import check as check_weight_grad
from test_weight_grad import sampling_of

from kernels import activation
from kernels.cpu import NumbaOps, direct, direct_tile, weight_grad
from kernels.cpu.direct_tile import DIRECT_ROWS
from kernels.cpu.microkernel import TILE_BYTES
from minigan.testing import ConvCase, batches, conv_cases, seeds

COLUMNS = TILE_BYTES // 4
CASES = {
    "the first layer of a discriminator": ConvCase((28, 28), (4, 4), (2, 2), (1, 1, 1, 1), 1, 2 * COLUMNS),
    "a kernel of 25": ConvCase((9, 7), (5, 5), (2, 2), (1, 2, 1, 2), 1, COLUMNS + 1),
    "colour": ConvCase((11, 13), (3, 3), (1, 1), "same", 3, COLUMNS - 1),
    "one tap": ConvCase((5, 7), (1, 1), (1, 1), "valid", 1, 1),
    "as many taps as a tile has rows": ConvCase((5, 7), (1, DIRECT_ROWS), (1, 1), "same", 1, 5),
    "one more": ConvCase((5, 7), (DIRECT_ROWS + 1, 1), (1, 1), "same", 1, 5),
    "as many taps as there may be": ConvCase((9, 12), (8, 10), (1, 1), "same", 1, COLUMNS),
    "pixels that no window meets": ConvCase((9, 8), (1, 2), (3, 4), "valid", 2, COLUMNS + 3),
    "windows that lie in the border": ConvCase((2, 3), (2, 2), (2, 1), (5, 4, 3, 6), 1, 3),
    "lines of one window": ConvCase((150, 3), (2, 3), (1, 1), "valid", 1, 2),
    "lines longer than a band": ConvCase((2, 6500), (1, 2), (1, 1), "same", 1, 3),
    "a phase of few taps": ConvCase((9, 11), (3, 3), (2, 2), "same", COLUMNS + 1, 1),
}


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_edges(ops: NumbaOps, case: ConvCase, n: int):
    check_patches(ops, case, n)
    check_weight_grad(ops, case, n)


@given(case=conv_cases(max_side=12, max_channels=3, max_kernel=5), o=st.integers(1, 40), n=batches(1, 4), seed=seeds())
def test_any_geometry(dtype: np.dtype, case: ConvCase, o: int, n: int, seed: int):
    case = case._replace(out_channels=o)
    assert direct.applies_to_weights(sampling_of(case, n), dtype)
    check_patches(poisoned(dtype), case, n, seed)
    check_weight_grad(poisoned(dtype), case, n, seed)


def test_applies_up_to_a_number_of_taps():
    image = ConvCase((9, 9), (4, 5), (1, 1), "same", 1, 1)
    most = direct.MOST_TAPS // 20
    assert [direct.applies(sampling_of(image._replace(in_channels=c), 2)) for c in (1, most, most + 1)] == [
        True,
        True,
        False,
    ]


def test_the_cases_are_what_it_takes(dtype: np.dtype):
    """But the last, whose phases alone have few taps."""
    *cases, last = (sampling_of(case, 3) for case in CASES.values())
    assert all(direct.applies(s) and direct.applies_to_weights(s, dtype) for s in cases)
    assert not direct.applies(last)
    assert not direct.applies_to_weights(last, dtype)


@pytest.mark.parametrize(
    ("width", "filters", "expected"),
    [(14, 64, True), (14, 512, False), (64, 512, True), (64, 528, False), (7, 1024, False), (500, 64, True)],
)
def test_takes_no_weight_gradient_whose_band_is_a_few_pixels(width: int, filters: int, expected: bool):
    """Lines of dy longer than a band are a band of their own."""
    s = sampling_of(ConvCase((9, width), (1, 1), (1, 1), "valid", 3 * DIRECT_ROWS, filters), 2)
    assert direct.applies(s)
    assert direct.applies_to_weights(s, np.dtype("float32")) is expected
    assert weight_grad.packs(s, np.dtype("float32")) is (filters % (TILE_BYTES // 4) > 0)


def test_it_is_what_runs(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch):
    """The products of one image channel, and of none but those that are small enough; forward with any filters."""
    calls: list[str] = []
    for name in ("convolve", "weight_grad"):
        own = getattr(direct, name)
        monkeypatch.setattr(direct, name, lambda *a, own=own, name=name: (calls.append(name), own(*a)))
    for channels, filters in ((1, 3), (direct.MOST_TAPS // 4 + 1, TILE_BYTES // 4), (1, 1040)):
        t = Trilinear(ConvCase((6, 6), (2, 2), (1, 1), "same", channels, filters), 2, ops.dtype, seed=0)
        ops.conv2d(t.x, t.w, *t.geometry)
        ops.conv2d_weight_grad(t.x, t.y, *t.geometry, t.case.kernel)
    assert calls == ["convolve", "weight_grad", "convolve"]


@pytest.mark.parametrize("slope", [0.0, 0.25, None])
def test_the_activation_in_registers_keeps_nan_and_infinity(ops: NumbaOps, slope: float | None):
    """max(z, slope z) of what the bias alone makes of a black image."""
    bias = np.array([-np.inf, -3, 0, 3, np.inf, np.nan], ops.dtype)
    x, w = np.zeros((1, 5, 5, 1), ops.dtype), np.ones((2, 2, 1, bias.size), ops.dtype)
    f = None if slope is None else activation("leaky_relu", slope)
    expected = bias if slope is None else np.maximum(bias, slope * bias if slope else 0)
    y = ops.conv2d(x, w, (1, 1), (0, 0, 0, 0), bias=bias, activation=f)
    np.testing.assert_array_equal(y, np.broadcast_to(expected, y.shape))


def test_a_pixel_that_is_not_finite_reaches_its_windows_and_taps_alone(ops: NumbaOps):
    t = Trilinear(ConvCase((6, 6), (3, 3), (1, 1), "same", 1, 3), 3, ops.dtype, seed=3)
    t.x[1, 0, 5] = np.nan
    wrong = np.isnan(ops.conv2d(t.x, t.w, *t.geometry)).all(axis=3)
    expected = np.zeros((3, 6, 6), bool)
    expected[1, :2, 4:] = True
    np.testing.assert_array_equal(wrong, expected)
    wrong = np.isnan(ops.conv2d_weight_grad(t.x, t.y, *t.geometry, (3, 3))).all(axis=3)
    assert np.argwhere(wrong[:, :, 0]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


@numba.njit
def multiply_taps(k, x, x_at, first, taps, w, w_at, bias, bias_at, slope, y, y_at, y_start, columns, following):
    direct_tile.multiply_taps(
        k, x, x_at, first, taps, w, w_at, bias, bias_at, slope, y, y_at, y_start, columns, following
    )


@pytest.mark.parametrize("k", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_multiply_taps(dtype: np.dtype, k: int, slope: float):
    """Any number of channels, pixels in any order; nothing but them is written."""
    width, rng = width_of(dtype), np.random.default_rng(k)
    x, w = lines(1, 99, 99, dtype), lines(k, width, width, dtype)
    x_at, taps = START + rng.permutation(2 * DIRECT_ROWS), rng.permutation(60)[: max(k, 1)]
    y_at, bias = rng.permutation(2 * DIRECT_ROWS) * (width + GAP), lines(1, width, width, dtype)
    for columns in range(1, width + 2):
        y, expected = (np.full(START + 2 * DIRECT_ROWS * (width + GAP), np.nan, dtype) for _ in range(2))
        before = k, x, x_at, 3, taps, w, START, bias, START, slope
        multiply_taps(*before, y, y_at, START, columns, 0)
        direct_tile._multiply_taps_twin(*before, expected, y_at, START, columns, 0)
        np.testing.assert_array_equal(y, expected)
        assert np.isfinite(y).sum() == DIRECT_ROWS * min(columns, width)


@numba.njit
def outer_products(rows, pixels, x, x_at, taps, first, dy, dy_at, dy_step, c, c_at, ldc, add):
    if rows == DIRECT_ROWS:
        direct_tile.add_outer_products(pixels, x, x_at, taps, first, dy, dy_at, dy_step, c, c_at, ldc, add)
    elif rows == direct_tile.SHORT_TAPS:
        direct_tile.add_short_outer_products(pixels, x, x_at, taps, first, dy, dy_at, dy_step, c, c_at, ldc, add)
    else:
        direct_tile.add_fewer_outer_products(pixels, x, x_at, taps, first, dy, dy_at, dy_step, c, c_at, ldc, add)


def rows_of_tiles(taps: int) -> list[int]:
    """Of all tiles, one after the other."""
    tiles, rows = -(-taps // DIRECT_ROWS), []
    for tile in range(tiles):
        rows.append(direct.taps_of_tile(taps - sum(rows), tiles - tile))
    return rows


@pytest.mark.parametrize("taps", range(1, direct.MOST_TAPS + 1))
def test_tiles_hold_all_taps_and_few_others(taps: int):
    """As many tiles as whole ones would be, and never more rows than with tiles of R and R - 1."""
    rows = rows_of_tiles(taps)
    assert set(rows) <= {direct_tile.SHORT_TAPS, DIRECT_ROWS - 1, DIRECT_ROWS}
    assert taps <= sum(rows) <= max(taps, len(rows) * (DIRECT_ROWS - 1))


def test_sixteen_taps_leave_no_row_empty():
    assert sum(rows_of_tiles(16)) == 16


@pytest.mark.parametrize("rows", [DIRECT_ROWS, DIRECT_ROWS - 1, direct_tile.SHORT_TAPS])
@pytest.mark.parametrize("pixels", [0, 1, 2, 7, 40])
def test_outer_products(dtype: np.dtype, rows: int, pixels: int):
    """Pixels and taps in any order, dy's rows apart; overwritten and added to, and nothing else."""
    width, rng = width_of(dtype), np.random.default_rng(pixels)
    x, dy = lines(1, 99, 99, dtype), lines(pixels, width, width + GAP, dtype)
    x_at, taps = START + rng.permutation(45)[: max(pixels, 1)], rng.permutation(50)[: DIRECT_ROWS + 1]
    product = (
        x[x_at[:pixels, None] + taps[1 : 1 + rows]].T
        @ dy[START : START + pixels * (width + GAP)].reshape(pixels, width + GAP)[:, :width]
    )
    for add in (False, True):
        c = lines(rows, width if add else 0, width + GAP, dtype)
        tile = c[START : START + rows * (width + GAP)].reshape(rows, -1)[:, :width]
        expected = tile + product if add else product
        outer_products(rows, pixels, x, x_at, taps, 1, dy, START, width + GAP, c, START, width + GAP, add)
        np.testing.assert_array_equal(tile, expected)
        assert np.isfinite(c).sum() == rows * width
