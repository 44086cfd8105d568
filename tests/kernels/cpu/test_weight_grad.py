"""The weight gradient on whole numbers, in poisoned memory: blocks of rows, chunks of the sum, and both."""

import numpy as np
import pytest
from hypothesis import given
from test_implicit_gemm import guarded, poisoned
from test_products import Trilinear, assert_exact

import kernels
from kernels.cpu import NumbaOps, sampling, weight_grad
from kernels.cpu.microkernel import TILE_BYTES, TILE_ROWS
from kernels.cpu.weight_grad import DEPTH, Partition
from minigan.testing import ConvCase, batches, conv_cases, seeds

COLUMNS = TILE_BYTES // 4
BLOCK_ROWS = weight_grad.BLOCK_PANELS * TILE_ROWS
CASES = {
    "one row of dw": ConvCase((5, 7), (1, 1), (1, 1), "valid", 1, COLUMNS + 1),
    "rows that end inside a segment": ConvCase((5, 7), (2, 3), (1, 1), "same", 3, COLUMNS),
    "rows that are one channel each": ConvCase((5, 7), (4, 1), (1, 1), "same", 1, COLUMNS - 1),
    "segments as long as a panel": ConvCase((5, 7), (3, 1), (1, 1), "same", TILE_ROWS, 5),
    "chunks of the sum": ConvCase((41, 43), (2, 2), (1, 1), "same", 1, 5),
    "chunks and blocks": ConvCase((41, 43), (3, 3), (1, 1), "same", BLOCK_ROWS // 4, COLUMNS + 1),
    "blocks alone": ConvCase((3, 3), (2, 2), (1, 1), "same", 4 * BLOCK_ROWS + 1, 3),
    "strides": ConvCase((19, 23), (4, 3), (3, 2), (2, 1, 0, 3), 5, COLUMNS + 2),
}


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


def partition_of(case: ConvCase, n: int) -> Partition:
    x, w, y = (n, *case.size, case.in_channels), (*case.kernel, case.in_channels, case.out_channels), case.windows
    return weight_grad.partition(sampling.forward(x, w, (n, *y, case.out_channels), case.stride, case.pads))


def check(ops: NumbaOps, case: ConvCase, n: int, seed: int = 0) -> None:
    """Written, and added to."""
    t = Trilinear(case, n, ops.dtype, seed)
    arguments = t.x, t.y, *t.geometry, case.kernel
    expected = kernels.get_ops("numpy", dtype=ops.dtype).conv2d_weight_grad(*arguments)
    guarded(lambda **out: ops.conv2d_weight_grad(*arguments, **out), expected)
    out = t.w.copy()
    assert_exact(ops.conv2d_weight_grad(*arguments, out=out, accumulate=True), t.w + expected)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_edges(ops: NumbaOps, case: ConvCase, n: int):
    check(ops, case, n)


@given(case=conv_cases(max_side=12, max_channels=9, max_kernel=5), n=batches(1, 4), seed=seeds())
def test_any_geometry(dtype: np.dtype, case: ConvCase, n: int, seed: int):
    check(poisoned(dtype), case, n, seed)


@pytest.mark.parametrize("patches", [DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH - 1, 2 * DEPTH, 2 * DEPTH + 1])
def test_where_chunks_begin(ops: NumbaOps, patches: int):
    check(ops, ConvCase((1, patches), (1, 1), (1, 1), "valid", 2, 3), 1)


def test_an_image_without_pixels_has_none_to_learn_from(ops: NumbaOps):
    check(ops, ConvCase((0, 4), (2, 2), (1, 1), (1, 1, 1, 1), 3, 5), 2)


def test_the_cases_are_what_they_say():
    """dw is cut one way, the other and both."""
    few, both, many = (
        partition_of(CASES[name], 3) for name in ("chunks of the sum", "chunks and blocks", "blocks alone")
    )
    assert few.row_blocks == 1 < few.chunks
    assert both.row_blocks > 1
    assert both.chunks > 1
    assert many.row_blocks >= weight_grad.ITEMS
    assert many.chunks == 1


def test_a_patch_that_is_not_finite_reaches_its_own_entries_alone(ops: NumbaOps):
    t = Trilinear(ConvCase((3, 3), (2, 2), (2, 2), (0, 1, 0, 1), 3, 4), 2, ops.dtype, seed=1)
    t.x[0, 2, 0, 1] = np.nan
    wrong = np.isnan(ops.conv2d_weight_grad(t.x, t.y, *t.geometry, t.case.kernel)).all(axis=3)
    assert np.argwhere(wrong).tolist() == [[0, 0, 1]]
