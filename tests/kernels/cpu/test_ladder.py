"""Every rung of both ladders against the definition, exactly on whole numbers; and that the right rung runs."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import kernels
from kernels import activation
from kernels.cpu import NumbaOps
from kernels.cpu.ladder import CONV2D, MATMUL, NotApplicableError, conv, matmul
from kernels.cpu.microkernel import TILE_BYTES, TILE_ROWS
from kernels.reference import naive
from minigan.testing import ConvCase, batches, conv_cases, seeds

SIDES = st.sampled_from((1, 2, 3, 5, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 13, 15, 16, 17, 31))
PLAIN_MATMUL, PLAIN_CONV2D = list(matmul.PRODUCTS), list(conv.FORWARD)
EXACT_CONV2D = [name for name in CONV2D if name != "winograd"]
LARGEST = 1024 if not numba.config.DISABLE_JIT else 64

CASE = ConvCase((7, 6), (3, 2), (2, 1), (1, 0, 0, 2), 3, 5)
VECTORS = TILE_BYTES // 4  # numbers in the vectors of a tile's row, which Winograd's channels are whole multiples of
THREE_BY_THREE = ((2, 6, 5, 2 * VECTORS), (3, 3, 2 * VECTORS, VECTORS), (1, 1), (1, 1, 1, 1))


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in [-4, 4], as integers, so that no product of ours or of NumPy's rounds."""
    return rng.integers(-4, 5, shape)


def assert_exact(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(actual, expected.astype(actual.dtype), strict=True)


def assert_product(rung: str, dtype: np.dtype, m: int, k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, y = whole(rng, m, k), whole(rng, k, n), np.full((m, n), np.nan, dtype)
    MATMUL[rung].run(a.astype(dtype), b.astype(dtype), y)
    assert_exact(y, a @ b)


@pytest.mark.parametrize("rung", MATMUL)
@given(m=SIDES, k=SIDES, n=SIDES, seed=seeds())
@example(m=2, k=0, n=3, seed=0)
@example(m=0, k=2, n=3, seed=0)
@example(m=2, k=3, n=0, seed=0)
def test_products(rung: str, dtype: np.dtype, m: int, k: int, n: int, seed: int):
    assert_product(rung, dtype, m, k, n, seed)


@pytest.mark.parametrize("rung", MATMUL)
def test_products_at_every_edge_of_a_block(rung: str, dtype: np.dtype):
    width = TILE_BYTES // dtype.itemsize
    edges = (
        (TILE_ROWS, matmul.BLOCK_PANELS * TILE_ROWS),
        (matmul.DEPTH, matmul.PANEL_DEPTH),
        (width, 2 * width, matmul.WIDTH),
    )
    for axis, blocks in enumerate(edges):
        for side in (block + more for block in blocks for more in (-1, 0, 1) if block < LARGEST):
            assert_product(rung, dtype, *(side if i == axis else odd for i, odd in enumerate((7, 11, 19))), seed=side)


def test_the_definition_of_both_ladders_is_that_of_the_reference(dtype: np.dtype):
    rng = np.random.default_rng(0)
    a, b, y = whole(rng, 5, 7), whole(rng, 7, 3), np.empty((5, 3), dtype)
    MATMUL["naive"].run(a.astype(dtype), b.astype(dtype), y)
    assert_exact(y, naive.matmul(a, b))


@pytest.mark.parametrize("rung", EXACT_CONV2D)
@given(case=conv_cases(), n=batches(1, 3), seed=seeds())
def test_convolutions(rung: str, dtype: np.dtype, case: ConvCase, n: int, seed: int):
    rng = np.random.default_rng(seed)
    x, w = whole(rng, n, *case.size, case.in_channels), whole(rng, *case.kernel, case.in_channels, case.out_channels)
    y = np.full((n, *case.windows, case.out_channels), np.nan, dtype)
    CONV2D[rung].run(x.astype(dtype), w.astype(dtype), case.stride, case.pads, y)
    assert_exact(y, naive.conv2d(x, w, case.stride, case.pads))


def test_winograd_convolves_where_it_applies(dtype: np.dtype):
    """Not exactly: its transforms hold thirds."""
    x_shape, w_shape, *geometry = THREE_BY_THREE
    rng = np.random.default_rng(0)
    x, w, y = whole(rng, *x_shape), whole(rng, *w_shape), np.full((2, 6, 5, VECTORS), np.nan, dtype)
    CONV2D["winograd"].run(x.astype(dtype), w.astype(dtype), *geometry, y)
    expected = np.empty(y.shape)
    conv.naive(NumbaOps(np.float64), x.astype(np.float64), w.astype(np.float64), *geometry, expected)
    np.testing.assert_allclose(y, expected, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(expected).max())


def test_winograd_says_why_it_does_not_apply(dtype: np.dtype):
    x, w, y = (np.zeros(shape, dtype) for shape in ((1, 6, 6, 16), (5, 5, 16, 16), (1, 2, 2, 16)))
    message = (
        r"Winograd's transforms do not take x \(1, 6, 6, 16\), w \(5, 5, 16, 16\), .*: they need two or three taps"
    )
    with pytest.raises(NotApplicableError, match=message) as error:
        CONV2D["winograd"].run(x, w, (1, 1), (0, 0, 0, 0), y)
    assert isinstance(error.value, ValueError)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plain rungs that ran, in turn."""
    names: list[str] = []

    def recording(name: str, function: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            names.append(name)
            function(*arguments)

        return run

    for rungs in (matmul.PRODUCTS, conv.FORWARD):
        for name, function in list(rungs.items()):
            monkeypatch.setitem(rungs, name, recording(name, function))
    return names


@pytest.mark.parametrize("rung", PLAIN_MATMUL)
def test_operations_compute_on_the_rung_asked_for(rung: str, dtype: np.dtype, called: list[str]):
    """All that the contract asks of a product, transposed, added, with a bias and any activation."""
    ops = NumbaOps(dtype)
    ops.matmul_rung = rung
    rng = np.random.default_rng(0)
    a, b, bias = whole(rng, 7, 5), whole(rng, 5, 9), whole(rng, 9)
    mine_a, mine_b, mine_bias = (v.astype(dtype) for v in (a, b, bias))
    for trans_a, trans_b in itertools.product((False, True), repeat=2):
        stored_a, stored_b = (np.ascontiguousarray(v.T) if t else v for v, t in ((mine_a, trans_a), (mine_b, trans_b)))
        flags = {"trans_a": trans_a, "trans_b": trans_b}
        assert_exact(ops.matmul(stored_a, stored_b, bias=mine_bias, **flags), a @ b + bias)
        out = np.ones((7, 9), dtype)
        assert_exact(ops.matmul(stored_a, stored_b, out=out, accumulate=True, **flags), a @ b + 1)
    assert_exact(ops.matmul(mine_a, mine_b, activation=activation("relu")), np.maximum(a @ b, 0))
    y = ops.matmul(mine_a, mine_b, bias=mine_bias, activation=activation("tanh"))
    np.testing.assert_allclose(y, np.tanh(a @ b + bias), rtol=4 * np.finfo(dtype).eps)
    assert called == [rung] * 10
    ops.matmul_rung = "parallel"
    assert_exact(ops.matmul(mine_a, mine_b), a @ b)
    assert called == [rung] * 10


@pytest.mark.parametrize("rung", PLAIN_CONV2D)
def test_operations_convolve_on_the_rung_asked_for(rung: str, dtype: np.dtype, called: list[str]):
    """Forward; the two gradients are none of these rungs' business."""
    ops = NumbaOps(dtype)
    ops.convolution = rung
    rng = np.random.default_rng(0)
    x, w, bias, dy = whole(rng, 2, 7, 6, 3), whole(rng, 3, 2, 3, 5), whole(rng, 5), whole(rng, 2, *CASE.windows, 5)
    mine_x, mine_w, mine_dy = (v.astype(dtype) for v in (x, w, dy))
    geometry = CASE.stride, CASE.pads
    y = ops.conv2d(mine_x, mine_w, *geometry, bias=bias.astype(dtype), activation=activation("relu"))
    assert_exact(y, np.maximum(naive.conv2d(x, w, *geometry) + bias, 0))
    dx = ops.conv2d_input_grad(mine_dy, mine_w, *geometry, CASE.size)
    assert_exact(dx, naive.conv2d_input_grad(dy, w, *geometry, CASE.size))
    dw = ops.conv2d_weight_grad(mine_x, mine_dy, *geometry, CASE.kernel)
    assert_exact(dw, naive.conv2d_weight_grad(x, dy, *geometry, CASE.kernel))
    assert called == [rung]
    assert ops.calls["matmul"] == (rung == "im2col")


def test_the_product_of_im2col_is_on_the_rung_asked_for(called: list[str]):
    ops = NumbaOps(np.float32)
    ops.matmul_rung, ops.convolution = "blocked", "im2col"
    ops.conv2d(np.zeros((1, 4, 4, 2), np.float32), np.zeros((3, 3, 2, 1), np.float32), (1, 1), (0, 0, 0, 0))
    assert called == ["im2col", "blocked"]


@pytest.mark.parametrize("name", ["implicit", "winograd", "kn2row"])
def test_convolutions_go_the_way_asked_for_where_it_applies(name: str):
    ops, stride, pads = NumbaOps(np.float32), (1, 1), (1, 1, 1, 1)
    ops.convolution = name
    assert ops.algorithm((2, 6, 5, 96), (3, 3, 96, 192), (2, 6, 5, 192), stride, pads) == name
    assert ops.algorithm((2, 6, 5, 1), (3, 3, 1, 16), (2, 6, 5, 16), stride, pads) == "implicit"


def test_the_way_can_be_asked_for_with_lists():
    ops, shapes = NumbaOps(np.float32), ([16, 6, 5, 96], [3, 3, 96, 96], [16, 6, 5, 96])
    assert ops.algorithm(*shapes, [1, 1], [1, 1, 1, 1]) == "winograd"
    assert ops.algorithm([16, 6, 5, 96], [3, 3, 96, 96], [16, 2, 2, 96], [3, 3], [0, 0, 0, 1]) == "implicit"


def test_a_rung_asks_for_no_more_memory_the_second_time(dtype: np.dtype):
    ops = NumbaOps(dtype)
    ops.matmul_rung, ops.convolution = "packed", "im2col"
    a, x, w, y = (np.ones(shape, dtype) for shape in ((40, 40), (2, 9, 9, 3), (3, 3, 3, 40), (2, 7, 7, 40)))

    def step() -> None:
        ops.begin_step(1)
        ops.matmul(a, a, trans_a=True, trans_b=True)
        ops.matmul(a, a, out=a.copy(), accumulate=True)
        ops.conv2d(x, w, (1, 1), (0, 0, 0, 0), out=y)

    step()
    held = ops.workspace.nbytes
    ops.workspace.freeze()
    step()
    assert ops.workspace.nbytes == held > 0


def test_only_known_names_are_taken():
    ops, other = NumbaOps(np.float32), NumbaOps(np.float32)
    with pytest.raises(ValueError, match=r"matmul_rung is one of parallel, naive, .*, microkernel, got 'fast'"):
        ops.matmul_rung = "fast"
    with pytest.raises(
        ValueError, match="convolution is one of auto, implicit, winograd, kn2row, naive, im2col, got 'fft'"
    ):
        ops.convolution = "fft"
    ops.matmul_rung, ops.convolution = "naive", "im2col"
    assert (ops.matmul_rung, ops.convolution) == ("naive", "im2col")
    assert (other.matmul_rung, other.convolution) == ("parallel", "auto")


def test_every_rung_can_be_selected_and_knows_its_name():
    assert set(MATMUL) == {"parallel", *PLAIN_MATMUL}
    assert set(CONV2D) == {"implicit", "winograd", *PLAIN_CONV2D}
    for ladder in (MATMUL, CONV2D):
        assert [rung.name for rung in ladder.values()] == list(ladder)
        assert all(rung.idea for rung in ladder.values())


PYTHON_ALONE = """
import numpy as np
from kernels.cpu.ladder import CONV2D, MATMUL
a, b = np.arange(-35.0, 35).reshape(7, 10), np.arange(-45.0, 45).reshape(10, 9)
x, w, y = np.arange(-54.0, 54).reshape(2, 6, 3, 3), np.arange(-18.0, 18).reshape(2, 3, 3, 2), np.empty((2, 3, 3, 2))
for rung in MATMUL.values():
    rung.run(a, b, c := np.empty((7, 9)))
    assert (c == a @ b).all(), rung
for name in ("naive", "im2col", "implicit"):
    CONV2D[name].run(x, w, (2, 1), (0, 0, 1, 1), y)
    first = y.copy() if name == "naive" else first
    assert (y == first).all(), name
"""


def test_rungs_can_be_stepped_through_in_python():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(kernels.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", PYTHON_ALONE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
