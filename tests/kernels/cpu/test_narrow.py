"""The input gradient onto few channels on whole numbers, in poisoned memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_implicit_gemm import guarded, poisoned
from test_products import Integers, Trilinear, assert_exact

import kernels
from kernels import activation
from kernels.cpu import NumbaOps, narrow
from kernels.cpu.microkernel import TILE_BYTES, TILE_ROWS
from kernels.cpu.ops import implicit
from kernels.cpu.ops.scratch import THREADS
from minigan.testing import ConvCase, batches, conv_cases, seeds

COLUMNS, LANES = TILE_BYTES // 4, narrow.VECTOR_BYTES // 4
CASES = {
    "the last layer of a generator": ConvCase((14, 14), (4, 4), (2, 2), (1, 1, 1, 1), 1, 33),
    "rows of whole vectors, and a border beside them": ConvCase((32, 32), (4, 4), (2, 2), (1, 1, 1, 1), 1, 3),
    "a tile of windows": ConvCase((1, TILE_ROWS), (1, 1), (1, 1), "valid", 1, 1),
    "entries for a vector": ConvCase((5, 20), (1, LANES), (1, 1), "same", 1, 3),
    "one more": ConvCase((20, 5), (LANES + 1, 1), (1, 1), "same", 1, 3),
    "entries for a panel and a vector": ConvCase((7, 9), (4, 3), (2, 1), "same", (COLUMNS + LANES) // 12, 2),
    "one window": ConvCase((3, 5), (3, 5), (1, 1), "valid", 2, 7),
    "pixels that no window meets": ConvCase((7, 9), (1, 2), (3, 4), "valid", 1, 5),
    "windows that lie in the border": ConvCase((2, 1), (2, 3), (1, 2), (6, 5, 4, 7), 1, 5),
}


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


def check(ops: NumbaOps, case: ConvCase, n: int, seed: int = 0) -> None:
    """With bias and without, with an activation of straight lines and without."""
    assert narrow.wins(case.in_channels, ops.dtype)
    t, numbers = Trilinear(case, n, ops.dtype, seed), Integers(ops.dtype, seed)
    reference = kernels.get_ops("numpy", dtype=ops.dtype)
    arguments = t.y, t.w, *t.geometry, case.size
    for more in ({}, {"bias": numbers(case.in_channels), "activation": activation("leaky_relu", 0.25)}):
        expected = reference.conv2d_input_grad(*arguments, **more)
        guarded(lambda more=more, **out: ops.conv2d_input_grad(*arguments, **more, **out), expected)


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_edges(ops: NumbaOps, case: ConvCase, n: int):
    check(ops, case, n)


@given(case=conv_cases(max_side=9, max_channels=1, max_kernel=5), o=st.integers(1, 40), n=batches(1, 3), seed=seeds())
def test_any_geometry(dtype: np.dtype, case: ConvCase, o: int, n: int, seed: int):
    most = TILE_BYTES // dtype.itemsize // 2
    check(poisoned(dtype), case._replace(in_channels=1 + seed % most, out_channels=o), n, seed)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_scratch_is_as_large_as_what_is_written(ops: NumbaOps, case: ConvCase, monkeypatch: pytest.MonkeyPatch):
    """Poison cannot tell: what a thread writes behind its columns would be its planes, or another thread's columns."""
    made, guard = [], 512

    def for_each_thread(ops: NumbaOps, count: int, dtype: np.typing.DTypeLike | None = None) -> np.ndarray:
        made.append(np.full((THREADS, count + guard), 77, dtype or ops.dtype))
        return made[-1]

    monkeypatch.setattr(implicit, "for_each_thread", for_each_thread)
    check(ops, case, 3)
    assert made
    for array in made:
        np.testing.assert_array_equal(array[:, -guard:], 77)


LAST = ConvCase((28, 28), (3, 3), (1, 1), "same", 32, 1)
TURNED = {
    "the last layer of a generator of stride 1": LAST,
    "two channels": ConvCase((6, 9), (5, 4), (1, 1), (2, 1, 0, 3), 33, 2),
    "no border": ConvCase((4, 7), (3, 2), (1, 1), "valid", 50, 1),
    "as wide a border as there can be": ConvCase((3, 2), (3, 4), (1, 1), (2, 2, 3, 3), 40, 2),
    "one window": ConvCase((3, 5), (3, 5), (1, 1), "valid", 30, 1),
}


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each kernel that is turned."""
    calls: list[int] = []
    turn = narrow.turn
    monkeypatch.setattr(narrow, "turn", lambda *arguments: calls.append(1) or turn(*arguments))
    return calls


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", TURNED.values(), ids=TURNED)
def test_a_convolution_of_stride_one_onto_few_channels(ops: NumbaOps, turned: list[int], case: ConvCase, n: int):
    t, numbers = Trilinear(case, n, ops.dtype, 0), Integers(ops.dtype, 0)
    reference = kernels.get_ops("numpy", dtype=ops.dtype)
    for more in ({}, {"bias": numbers(case.out_channels), "activation": activation("leaky_relu", 0.25)}):
        expected = reference.conv2d(t.x, t.w, *t.geometry, **more)
        guarded(lambda more=more, **out: ops.conv2d(t.x, t.w, *t.geometry, **more, **out), expected)
    assert turned


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("case", TURNED.values(), ids=TURNED)
def test_the_weight_gradient_of_such_a_convolution(ops: NumbaOps, turned: list[int], case: ConvCase, n: int):
    t, reference = Trilinear(case, n, ops.dtype, 0), kernels.get_ops("numpy", dtype=ops.dtype)
    expected = reference.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel)
    guarded(lambda **out: ops.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel, **out), expected)
    dw = t.w.copy()
    ops.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel, out=dw, accumulate=True)
    assert_exact(dw, t.w + expected)
    assert len(turned) == 2


@pytest.mark.parametrize(
    "case",
    [
        LAST._replace(stride=(1, 2)),
        LAST._replace(padding=(3, 0, 1, 1)),  # a window that lies above the image as a whole
        LAST._replace(out_channels=TILE_BYTES // 4),
        LAST._replace(in_channels=8),  # few taps
    ],
)
def test_other_convolutions_are_products_of_patches(ops: NumbaOps, turned: list[int], case: ConvCase):
    t = Trilinear(case, 2, ops.dtype, 0)
    expected = kernels.get_ops("numpy", dtype=ops.dtype).conv2d(t.x, t.w, *t.geometry)
    guarded(lambda **out: ops.conv2d(t.x, t.w, *t.geometry, **out), expected)
    expected = kernels.get_ops("numpy", dtype=ops.dtype).conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel)
    guarded(lambda **out: ops.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel, **out), expected)
    assert turned == []


def test_columns_of_a_kernel_of_one_save_nothing(dtype: np.dtype):
    assert [narrow.turned_wins((k, k), 1, dtype) for k in (1, 2, 3, 5)] == [False, True, True, True]


def test_wins_up_to_half_a_tile(dtype: np.dtype):
    half = TILE_BYTES // dtype.itemsize // 2
    assert [narrow.wins(channels, dtype) for channels in (1, half, half + 1)] == [True, True, False]


def test_a_window_that_is_not_finite_reaches_its_own_pixels_alone(ops: NumbaOps):
    t = Trilinear(ConvCase((6, 6), (2, 2), (2, 2), "valid", 1, 4), 3, ops.dtype, seed=1)
    t.y[1, 2, 0, 3] = np.inf
    dx = ops.conv2d_input_grad(t.y, np.ones_like(t.w), *t.geometry, t.case.size)
    assert sorted(map(tuple, np.argwhere(np.isinf(dx)).tolist())) == [(1, i, j, 0) for i in (4, 5) for j in (0, 1)]
