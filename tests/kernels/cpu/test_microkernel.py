"""The micro-kernel against its twin in plain Python, on whole numbers between NaNs."""

from collections.abc import Callable

import numba
import numpy as np
import pytest

from kernels.cpu import block_tile, dot_tile, microkernel, packing_tile, unpacked_tile, winograd_tile
from kernels.cpu.dot_tile import DOT_COLUMNS, DOT_ROWS
from kernels.cpu.microkernel import SHORT_ROWS, THIN_ROWS, TILE_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.cpu.target import TARGET
from kernels.cpu.unpacked_tile import UNPACKED_ROWS, UNPACKED_VECTORS
from kernels.cpu.winograd_plan import MOST_TAPS

START, GAP = 5, 3


def width_of(dtype: np.dtype) -> int:
    return TILE_BYTES // dtype.itemsize


def lines(count: int, length: int, stride: int, dtype: np.dtype) -> np.ndarray:
    """`count` runs of `length` whole numbers, `stride` apart from START on, flat; NaN between and around them."""
    array = np.full(START + count * stride + START, np.nan, dtype)
    runs = array[START : START + count * stride].reshape(count, stride)
    runs[:, :length] = np.random.default_rng(count).integers(-9, 10, (count, length))
    return array


def assert_same(
    own: Callable[..., None],
    twin: Callable[..., None],
    *before: object,
    dtype: np.dtype,
    rows: int,
    vectors: int = TILE_VECTORS,
) -> None:
    """Both on the same C, overwritten (where it is NaN) and added to; what lies around the tile stays NaN."""
    width = vectors * TARGET.vector_bytes // dtype.itemsize
    for ldc in (width, width + GAP):
        for add in (False, True):
            c = lines(rows, width if add else 0, ldc, dtype)
            expected = c.copy()
            own(*before, c, START, ldc, add)
            twin(*before, expected, START, ldc, add)
            np.testing.assert_array_equal(c, expected)
            assert np.isfinite(c).sum() == rows * width


def test_the_tile_is_as_wide_as_it_says(dtype: np.dtype):
    width = microkernel.tile_width(np.empty(1, dtype))
    assert width == width_of(dtype)
    assert width % (TARGET.vector_bytes // dtype.itemsize) == 0


TILES = {TILE_ROWS: microkernel.multiply_tile, SHORT_ROWS: microkernel.multiply_short_tile}


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 5, 31, 64])
@pytest.mark.parametrize("gap", [0, GAP])
@pytest.mark.parametrize("rows", TILES)
def test_multiply_panels(dtype: np.dtype, k: int, gap: int, rows: int):
    """Packed panels (gap 0) and rows of larger matrices."""
    width = width_of(dtype)
    lda, ldb = rows + gap, width + gap
    a, b = lines(k, rows, lda, dtype), lines(k, width, ldb, dtype)
    _, twin = microkernel.panels_product(rows)
    assert_same(TILES[rows], twin, k, a, START, lda, b, START, ldb, dtype=dtype, rows=rows)


@numba.njit
def multiply_rows(segments, length, a, a_start, rows, first, stride, b, b_start, c, c_start, ldc, add):
    microkernel.multiply_rows(segments, length, a, a_start, rows, first, stride, b, b_start, c, c_start, ldc, add)


@numba.njit
def multiply_thin_rows(segments, length, a, a_start, rows, first, stride, b, b_start, c, c_start, ldc, add):
    microkernel.multiply_thin_rows(segments, length, a, a_start, rows, first, stride, b, b_start, c, c_start, ldc, add)


@pytest.mark.parametrize("segments", [0, 1, 3])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 7, 16])
@pytest.mark.parametrize(
    ("rows", "vectors", "own"),
    [(TILE_ROWS, TILE_VECTORS, multiply_rows), (THIN_ROWS, 1, multiply_thin_rows)],
)
def test_multiply_rows(dtype: np.dtype, segments: int, length: int, rows: int, vectors: int, own: Callable[..., None]):
    """Rows in any order that overlap as those of patches do; a part of a table of rows."""
    segment_stride = length + GAP
    places = np.random.default_rng(0).permutation(2 * max(TILE_ROWS, THIN_ROWS))
    image = lines(1, segments * segment_stride + places.size, segments * segment_stride + places.size, dtype)
    table = np.concatenate([[1 << 40], places[:rows], [-(1 << 40)]])
    width = vectors * TARGET.vector_bytes // dtype.itemsize  # of the panel's rows, what is read
    b = lines(segments * length, width, width_of(dtype), dtype)
    _, twin = microkernel.rows_product(rows, vectors)
    operands = segments, length, image, START, table, 1, segment_stride, b, START
    assert_same(own, twin, *operands, dtype=dtype, rows=rows, vectors=vectors)


@numba.njit
def multiply_and_pack(k, a, a_start, b, b_start, ldb, panel, at, c, c_start, ldc, add):
    packing_tile.multiply_and_pack(k, a, a_start, b, b_start, ldb, panel, at, c, c_start, ldc, add)


@pytest.mark.parametrize("k", [0, 1, 2, 5, 64, 150])
@pytest.mark.parametrize("gap", [0, GAP])
def test_multiply_and_pack(dtype: np.dtype, k: int, gap: int):
    """The tile is as that of a packed panel; the panel is b's rows one after the other, and nothing around it."""
    width = width_of(dtype)
    a, b = lines(k, TILE_ROWS, TILE_ROWS, dtype), lines(k, width, width + gap, dtype)
    panel = lines(k, 0, width, dtype)
    _, twin = microkernel.panels_product(TILE_ROWS)

    def own(*c: object) -> None:
        multiply_and_pack(k, a, START, b, START, width + gap, panel, START, *c)

    assert_same(own, lambda *c: twin(k, a, START, TILE_ROWS, b, START, width + gap, *c), dtype=dtype, rows=TILE_ROWS)
    rows = b[START : START + k * (width + gap)].reshape(k, width + gap)[:, :width]
    np.testing.assert_array_equal(panel[START : START + k * width].reshape(k, width), rows)
    assert np.isfinite(panel).sum() == k * width


@numba.njit
def multiply_block(runs, a, a_start, b, b_start, c, c_start, add):
    block_tile.multiply_block(runs, a, a_start, b, b_start, c, c_start, add)


@numba.njit
def multiply_short_block(runs, a, a_start, b, b_start, c, c_start, add):
    block_tile.multiply_short_block(runs, a, a_start, b, b_start, c, c_start, add)


def in_blocks(rows: np.ndarray) -> np.ndarray:
    """(R, runs W) as (runs, R, W), flat, from START on."""
    width = width_of(rows.dtype)
    ordered = rows.reshape(len(rows), -1, width).swapaxes(0, 1).ravel()
    return np.concatenate([np.full(START, np.nan, rows.dtype), ordered])


@pytest.mark.parametrize("runs", [0, 1, 3])
@pytest.mark.parametrize(
    ("rows", "own"), [(TILE_ROWS, multiply_block), (SHORT_ROWS, multiply_short_block)], ids=["tile", "short"]
)
def test_multiply_block(dtype: np.dtype, runs: int, rows: int, own: Callable[..., None]):
    """As the product of the first rows of the block, and as the twin; what lies around the tile stays."""
    width = width_of(dtype)
    a = np.random.default_rng(0).integers(-9, 10, (TILE_ROWS, runs * width)).astype(dtype)
    b = lines(runs * width, width, width, dtype)
    for add in (False, True):
        c = lines(rows, width if add else 0, width, dtype)
        twins, product = c.copy(), a[:rows] @ b[START : START + runs * width * width].reshape(-1, width)
        if add:
            product += c[START : START + rows * width].reshape(rows, width)
        own(runs, in_blocks(a), START, b, START, c, START, add)
        block_tile.block_twin(rows, runs, in_blocks(a), START, b, START, twins, START, add)
        np.testing.assert_array_equal(c, twins)
        np.testing.assert_array_equal(c[START : START + rows * width].reshape(rows, width), product)
        assert np.isfinite(c).sum() == rows * width


@numba.njit
def multiply_and_transform(taps, factors, source, stride, panel, runs, a, c, add):
    at = START
    winograd_tile.multiply_and_transform(taps, factors, at, source, at, stride, panel, at, runs, a, at, c, at, add)


@pytest.mark.parametrize("taps", range(1, MOST_TAPS + 1))
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_multiply_and_transform(dtype: np.dtype, taps: int, runs: int):
    """The panel is the taps' sum, and nothing around it is touched; the tile is its product with a block of rows."""
    width, k = width_of(dtype), runs * width_of(dtype)
    factors, source = lines(1, taps, taps, dtype), lines(taps, k * width, k * width + GAP, dtype)
    a = in_blocks(np.random.default_rng(0).integers(-9, 10, (TILE_ROWS, k)).astype(dtype))
    panel = lines(1, 0, k * width, dtype)
    weights, layers = factors[START:][:taps], source[START : START + taps * (k * width + GAP)].reshape(taps, -1)
    expected = weights @ layers[:, : k * width]

    for add in (False, True):
        c = lines(TILE_ROWS, width if add else 0, width, dtype)
        product = c.copy()
        multiply_and_transform(taps, factors, source, k * width + GAP, panel, runs, a, c, add)
        block_tile.block_twin(TILE_ROWS, runs, a, START, expected, 0, product, START, add)
        np.testing.assert_array_equal(c, product)
        np.testing.assert_array_equal(panel[START : START + k * width], expected)
        assert np.isfinite(panel).sum() == k * width
        panel.fill(np.nan)


@numba.njit
def multiply_unpacked(
    rows, columns, k, rest, a, a_start, row_stride, step, b, b_start, ldb, edge, c, c_start, ldc, add
):
    unpacked_tile.multiply_unpacked(
        rows, columns, k, rest, a, a_start, row_stride, step, b, b_start, ldb, edge, c, c_start, ldc, add
    )


@numba.njit
def multiply_dots(rows, columns, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc, add):
    dot_tile.multiply_dots(rows, columns, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc, add)


def columns_of(dtype: np.dtype) -> list[int]:
    """1, and around each number of whole vectors."""
    lanes = TARGET.vector_bytes // dtype.itemsize
    near = {vectors * lanes + d for vectors in range(1, UNPACKED_VECTORS + 1) for d in (-1, 0, 1)}
    return sorted(n for n in near | {1} if 1 <= n <= UNPACKED_VECTORS * lanes)


def assert_same_rows(
    own: Callable[..., None], twin: Callable[..., None], dtype: np.dtype, rows: int, columns: int, *operands: object
) -> None:
    """Both on the same C (rows, columns), overwritten and added to; what lies around it stays NaN."""
    for ldc in (columns, columns + GAP):
        for add in (False, True):
            c = lines(rows, columns if add else 0, ldc, dtype)
            expected = c.copy()
            own(rows, columns, *operands, c, START, ldc, add)
            twin(rows, columns, *operands, expected, START, ldc, add)
            np.testing.assert_array_equal(c, expected)
            assert np.isfinite(c).sum() == rows * columns


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 8, 19])
@pytest.mark.parametrize("rest", [0, 1, 5])
def test_multiply_unpacked(dtype: np.dtype, k: int, rest: int, transposed: bool):
    """A by rows or by columns; in B's last rows a whole vector has room, and none where they lie in the edge."""
    lanes, depth = TARGET.vector_bytes // dtype.itemsize, k + rest
    for rows in (1, UNPACKED_ROWS - 1, UNPACKED_ROWS, 2 * UNPACKED_ROWS + 1):
        count, length = (depth, rows) if transposed else (rows, depth)
        a = lines(count, length, length + GAP, dtype)
        row_stride, step = (1, length + GAP) if transposed else (length + GAP, 1)
        for columns in columns_of(dtype):
            width = -(-columns // lanes) * lanes
            b, edge = lines(k, columns, width + GAP, dtype), lines(rest, columns, width, dtype)[START:]
            operands = k, rest, a, START, row_stride, step, b, START, width + GAP, edge
            assert_same_rows(multiply_unpacked, unpacked_tile.multiply_unpacked_twin, dtype, rows, columns, *operands)


@pytest.mark.parametrize("k", [0, 1, 3, 4, 7, 8, 16, 33])
def test_multiply_dots(dtype: np.dtype, k: int):
    for rows in (1, DOT_ROWS - 1, DOT_ROWS, 2 * DOT_ROWS + 1):
        for columns in range(1, 2 * DOT_COLUMNS + 1):
            a, b = lines(rows, k, k + GAP, dtype), lines(columns, k, k + 2 * GAP, dtype)
            operands = k, a, START, k + GAP, b, START, k + 2 * GAP
            assert_same_rows(multiply_dots, dot_tile.multiply_dots_twin, dtype, rows, columns, *operands)
