"""The weight gradient on whole numbers, in poisoned memory: blocks of rows, chunks of the sum, and both.

All cases run the general kernel, those with few taps too; `test_direct` has the kernel that would take these.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from test_implicit_gemm import guarded, poisoned
from test_products import Trilinear, assert_exact

import kernels
from kernels.cpu import NumbaOps, sampling, weight_grad
from kernels.cpu.microkernel import TILE_BYTES, TILE_ROWS
from kernels.cpu.sampling import Sampling
from kernels.cpu.weight_grad import DEPTH
from minigan.testing import ConvCase, batches, conv_cases, seeds

pytestmark = pytest.mark.usefixtures("general_kernels")

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


def sampling_of(case: ConvCase, n: int) -> Sampling:
    x, w, y = (n, *case.size, case.in_channels), (*case.kernel, case.in_channels, case.out_channels), case.windows
    return sampling.forward(x, w, (n, *y, case.out_channels), case.stride, case.pads)


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
def test_edges(ops: NumbaOps, general_kernels: list[tuple[str, Any]], case: ConvCase, n: int):
    general_kernels.clear()
    check(ops, case, n)
    assert {kernel for kernel, _ in general_kernels} == {"weight_grad"}


@given(case=conv_cases(max_side=12, max_channels=9, max_kernel=5), n=batches(1, 4), seed=seeds())
def test_any_geometry(dtype: np.dtype, case: ConvCase, n: int, seed: int):
    check(poisoned(dtype), case, n, seed)


@pytest.mark.parametrize("patches", [DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH - 1, 2 * DEPTH, 2 * DEPTH + 1])
def test_where_chunks_begin(ops: NumbaOps, patches: int):
    check(ops, ConvCase((1, patches), (1, 1), (1, 1), "valid", 2, 3), 1)


def test_an_image_without_pixels_has_none_to_learn_from(ops: NumbaOps):
    check(ops, ConvCase((0, 4), (2, 2), (1, 1), (1, 1, 1, 1), 3, 5), 2)


def test_the_cases_are_what_they_say(ops: NumbaOps, general_kernels: list[tuple[str, Any]]):
    """dw is cut one way, the other and both."""
    general_kernels.clear()
    for name in ("chunks of the sum", "chunks and blocks", "blocks alone"):
        t = Trilinear(CASES[name], 3, ops.dtype, seed=0)
        ops.conv2d_weight_grad(t.x, t.y, *t.geometry, t.case.kernel)
    few, both, many = (partition for _, partition in general_kernels)
    assert few.row_blocks == 1 < few.chunks
    assert both.row_blocks > 1
    assert both.chunks > 1
    assert many.row_blocks >= weight_grad.ITEMS
    assert many.chunks == 1


def test_dy_is_packed_unless_one_block_reads_whole_panels(dtype: np.dtype):
    as_it_stands = CASES["rows that end inside a segment"]
    assert not weight_grad.packs(sampling_of(as_it_stands, 3), dtype)
    assert weight_grad.packs(sampling_of(as_it_stands._replace(out_channels=COLUMNS + 1), 3), dtype)
    assert weight_grad.packs(sampling_of(as_it_stands._replace(in_channels=BLOCK_ROWS), 3), dtype)


def test_a_patch_that_is_not_finite_reaches_its_own_entries_alone(ops: NumbaOps):
    t = Trilinear(ConvCase((3, 3), (2, 2), (2, 2), (0, 1, 0, 1), 3, 4), 2, ops.dtype, seed=1)
    t.x[0, 2, 0, 1] = np.nan
    wrong = np.isnan(ops.conv2d_weight_grad(t.x, t.y, *t.geometry, t.case.kernel)).all(axis=3)
    assert np.argwhere(wrong).tolist() == [[0, 0, 1]]
