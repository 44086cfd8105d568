"""Convolutions as implicit products on whole numbers, in poisoned memory, at the edges of tiles and blocks.

All of them run the general kernel, those with few taps too; `test_direct` has the kernel that would take these.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from test_products import Integers, Trilinear, assert_exact

import kernels
from kernels import activation
from kernels.activations import FORMULAS
from kernels.cpu import NumbaOps, implicit_gemm, narrow, sampling
from kernels.cpu.microkernel import TILE_BYTES, TILE_ROWS
from minigan.testing import ConvCase, batches, conv_cases, seeds

pytestmark = pytest.mark.usefixtures("general_kernels")

COLUMNS = TILE_BYTES // 4
SAME, WIDE = (5, 7), (COLUMNS + 3, 2 * COLUMNS + 1)
EDGES = {
    "a kernel of one": ConvCase(SAME, (1, 1), (1, 1), "valid", *WIDE),
    "channels that fill their panels": ConvCase(SAME, (3, 3), (1, 1), "same", COLUMNS, 2 * COLUMNS),
    "one channel less": ConvCase(SAME, (3, 3), (1, 1), "same", COLUMNS - 1, 2 * COLUMNS - 1),
    "one channel more": ConvCase(SAME, (3, 3), (1, 1), "same", COLUMNS + 1, 2 * COLUMNS + 1),
    "a kernel as large as the image": ConvCase(SAME, SAME, (1, 1), "valid", *WIDE),
    "pixels that no window meets": ConvCase((9, 8), (1, 2), (3, 4), "valid", *WIDE),
    "windows that lie in the border": ConvCase((2, 3), (2, 2), (2, 1), (5, 4, 3, 6), *WIDE),
    "a stride larger than the image": ConvCase((2, 3), (2, 2), (5, 4), (1, 0, 0, 1), *WIDE),
    "rows too long for the cache": ConvCase(
        (3, 4), (2, 3), (1, 1), "same", implicit_gemm.PANEL_BYTES // 64, COLUMNS - 1
    ),
    "several blocks of rows": ConvCase((23, 41), (2, 2), (1, 1), "same", COLUMNS, COLUMNS - 1),
}


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


def poisoned(dtype: np.dtype) -> NumbaOps:
    """Operations in memory full of NaN that do not take Winograd's transforms."""
    ops = NumbaOps(dtype)
    ops.convolution = "implicit"
    ops.empty((1 << 21,))
    ops.workspace.poison()
    ops.workspace.reset()
    return ops


def guarded(call: Callable[..., np.ndarray], expected: np.ndarray) -> None:
    """Into the middle of NaNs, of which none may change."""
    around = np.full(expected.size + 2 * COLUMNS, np.nan, expected.dtype)
    call(out=around[COLUMNS : COLUMNS + expected.size].reshape(expected.shape))
    assert_exact(around[COLUMNS : COLUMNS + expected.size].reshape(expected.shape), expected)
    assert np.isfinite(around).sum() == expected.size


def check(ops: NumbaOps, case: ConvCase, n: int, seed: int = 0) -> None:
    """Both products that read patches, with bias and ReLU."""
    t, numbers = Trilinear(case, n, ops.dtype, seed), Integers(ops.dtype, seed)
    relu, reference = activation("relu"), kernels.get_ops("numpy", dtype=ops.dtype)
    more = {"bias": numbers(case.out_channels), "activation": relu}
    guarded(
        lambda **out: ops.conv2d(t.x, t.w, *t.geometry, **more, **out),
        reference.conv2d(t.x, t.w, *t.geometry, **more),
    )
    more = {"bias": numbers(case.in_channels), "activation": relu}
    guarded(
        lambda **out: ops.conv2d_input_grad(t.y, t.w, *t.geometry, case.size, **more, **out),
        reference.conv2d_input_grad(t.y, t.w, *t.geometry, case.size, **more),
    )


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", EDGES.values(), ids=EDGES)
def test_edges(ops: NumbaOps, general_kernels: list[tuple[str, Any]], case: ConvCase, n: int):
    general_kernels.clear()
    check(ops, case, n)
    assert {kernel for kernel, _ in general_kernels} == {"implicit_gemm"}


@given(case=conv_cases(max_side=9, max_channels=5, max_kernel=5), n=batches(1, 3), seed=seeds())
def test_any_geometry(dtype: np.dtype, case: ConvCase, n: int, seed: int):
    """With so many channels that the input gradient goes by phases."""
    case = case._replace(in_channels=case.in_channels + COLUMNS)
    assert not narrow.wins(case.in_channels, dtype)
    check(poisoned(dtype), case, n, seed)


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_an_image_without_pixels_is_its_border(ops: NumbaOps, size: tuple[int, int]):
    check(ops, ConvCase(size, (2, 2), (1, 1), (1, 1, 1, 1), COLUMNS, 5), 2)


@pytest.mark.parametrize("name", [None, *(name for name, formula in FORMULAS.items() if formula.keeps == "y")])
def test_every_activation(ops: NumbaOps, name: str | None):
    act = activation(name)
    t = Trilinear(EDGES["one channel more"], 2, ops.dtype, seed=2)
    w, bias = t.w / 64, Integers(ops.dtype, seed=2)(t.case.out_channels)
    z = ops.conv2d(t.x, w, *t.geometry, bias=bias)
    expected = z if act is None else act.f(z)
    actual = ops.conv2d(t.x, w, *t.geometry, bias=bias, activation=act)
    np.testing.assert_allclose(actual, expected, rtol=8 * np.finfo(ops.dtype).eps)


def test_a_pixel_that_is_not_finite_reaches_its_windows_alone(ops: NumbaOps):
    """Next to NaN are windows of another image, and rows that only fill a tile."""
    case = ConvCase((6, 6), (3, 3), (1, 1), "same", COLUMNS, 3)
    t = Trilinear(case, 3, ops.dtype, seed=3)
    t.x[1, 0, 5, 2] = np.nan
    wrong = np.isnan(ops.conv2d(t.x, t.w, *t.geometry)).all(axis=3)
    expected = np.zeros((3, 6, 6), bool)
    expected[1, :2, 4:] = True
    np.testing.assert_array_equal(wrong, expected)


@pytest.mark.parametrize("rows", [0, 1, TILE_ROWS, TILE_ROWS + 1, 1000, 64 * 28 * 28])
def test_blocks_share_the_rows_out(rows: int):
    """A block has at most BLOCK_TILES tiles, and a function of the shape says how many there are."""
    s = sampling.forward((1, rows, 1, 3), (1, 1, 3, 5), (1, rows, 1, 5), (1, 1), (0, 0, 0, 0))
    blocks, tiles = implicit_gemm.row_blocks(s), -(-rows // TILE_ROWS)
    assert 1 <= blocks <= max(tiles, 1)
    assert -(-tiles // blocks) <= implicit_gemm.BLOCK_TILES
