"""Packing: copying a block of a matrix into panels, so that the micro-kernel reads nothing but contiguous memory.

    A panel   (k, R): R rows of A side by side, column after column of A     R = TILE_ROWS
    B panel   (k, W): W columns of B side by side, row after row of B        W = tile_width

A transposed operand differs in the packing alone. Where the long axis of a panel runs along the memory of the operand,
the numbers are transposed in registers, L x L at a time (L numbers a vector). Rows that the matrix lacks are filled
with zeros, columns with zeros or whatever follows in memory, so the micro-kernel knows no edges; but of a panel of
SHORT_ROWS rows the short one reads no others. Starts and strides count numbers, not bytes.
"""

from ..types import Array
from .jit import kernel
from .microkernel import SHORT_ROWS, TILE_ROWS, TILE_VECTORS, tile_width
from .target import TARGET
from .vector import clear_run, copy_run, copy_vectors, transpose_of

VECTOR_BYTES = TARGET.vector_bytes

PANEL_PAD = 64
"""Numbers behind each A panel: room for the last transposed block, and an odd number of cache lines between panels."""

HALF_ROWS = VECTOR_BYTES // 8
"""Rows that are transposed at once where there are fewer than L: half a vector of float32."""

_transpose_square = transpose_of(VECTOR_BYTES)
_transpose_half = transpose_of(HALF_ROWS)
_transpose_tile_rows = transpose_of(TILE_ROWS)
_transpose_short_rows = transpose_of(SHORT_ROWS)


@kernel
def pack_rows(source: Array, start: int, stride: int, rows: int, k: int, panel: Array, at: int) -> None:
    """A panel from `rows` <= R rows of k contiguous numbers: panel[p, i] = source[i, p]."""
    lanes = VECTOR_BYTES // source.itemsize
    packed = 0
    if rows == TILE_ROWS and (lanes >= TILE_ROWS or TILE_ROWS % lanes == 0):
        packed = k // lanes * lanes
        for p in range(0, packed, lanes):
            for i in range(0, TILE_ROWS, lanes):
                _transpose_tile_rows(source, start + i * stride + p, stride, panel, at + p * TILE_ROWS + i, TILE_ROWS)
    elif rows == SHORT_ROWS:
        packed = k // lanes * lanes
        for p in range(0, packed, lanes):
            for i in range(0, SHORT_ROWS, lanes):
                _transpose_short_rows(source, start + i * stride + p, stride, panel, at + p * TILE_ROWS + i, TILE_ROWS)
    elif rows < TILE_ROWS:
        clear_run(panel, at, k * TILE_ROWS)
    for i in range(rows):
        for p in range(packed, k):
            copy_run(source, start + i * stride + p, panel, at + p * TILE_ROWS + i, 1)


@kernel
def pack_row_columns(source: Array, start: int, stride: int, rows: int, k: int, panel: Array, at: int) -> None:
    """A panel from k rows of `rows` <= R contiguous numbers, A transposed: panel[p, i] = source[p, i]."""
    if rows == TILE_ROWS:
        for p in range(k):
            copy_run(source, start + p * stride, panel, at + p * TILE_ROWS, TILE_ROWS)
    elif rows == SHORT_ROWS:
        for p in range(k):
            copy_run(source, start + p * stride, panel, at + p * TILE_ROWS, SHORT_ROWS)
    else:
        clear_run(panel, at, k * TILE_ROWS)
        for p in range(k):
            copy_run(source, start + p * stride, panel, at + p * TILE_ROWS, rows)


@kernel
def pack_columns(source: Array, start: int, stride: int, k: int, columns: int, panel: Array, at: int) -> None:
    """B panel from k rows of `columns` <= W contiguous numbers: panel[p, j] = source[p, j].

    Beyond `columns` it reads what follows, as far as the source goes: W numbers at once take a fraction of the time.
    """
    width = tile_width(source)
    whole = k if columns == width else max(0, min(k, (source.size - start - width) // stride + 1))
    for p in range(whole):
        copy_vectors(source, start + p * stride, panel, at + p * width, TILE_VECTORS)
    if whole < k:
        clear_run(panel, at + whole * width, (k - whole) * width)
    for p in range(whole, k):
        copy_run(source, start + p * stride, panel, at + p * width, columns)


@kernel
def pack_column_rows(source: Array, start: int, stride: int, k: int, columns: int, panel: Array, at: int) -> None:
    """B panel from `columns` <= W rows of k contiguous numbers, B transposed: panel[p, j] = source[j, p]."""
    width = tile_width(source)
    lanes = VECTOR_BYTES // source.itemsize
    rows = lanes if columns >= lanes else HALF_ROWS if columns >= HALF_ROWS else 0
    packed = k // lanes * lanes if rows else 0
    if columns < width:
        clear_run(panel, at, k * width)
    for p in range(0, packed, lanes):
        for j in range(0, columns, rows):
            column = min(j, columns - rows)  # blocks overlap where the last one would stick out
            first, to = start + column * stride + p, at + p * width + column
            if rows == lanes:
                _transpose_square(source, first, stride, panel, to, width)
            else:
                _transpose_half(source, first, stride, panel, to, width)
    for j in range(columns):
        for p in range(packed, k):
            copy_run(source, start + j * stride + p, panel, at + p * width + j, 1)
