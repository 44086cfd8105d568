"""Matrix product y (M, N) = f(op(a) (M, K) op(b) (K, N) + bias) of operands that stand where they are.

    in parallel over blocks of y, some rows by some columns
        for each W columns                        W = UNPACKED_VECTORS vectors
            for each block of K                   of DEPTH_BYTES at most
                for each tile of rows             columns of B, or dot products with rows of a transposed B,
                                                  from A and B in registers, and from there to y
            bias and activation, while the rows of y are still near

`gemm` copies both operands into panels, A's for all threads before the first product begins. That pays when panels are
read often, and when what they are made of would not stay in a cache. It does not pay for few columns, where B has a
panel or two and packing A is as much work as the product, nor for a small B, which the first caches hold as it is: on a
Cascade Lake core (64 x 1000) x (8 x 1000)^T took 21 us in place of 35, (256 x 64) x 128 of a transposed A 45 of 76.

Only M x N is partitioned and the order of the sum over K is fixed, so the bits do not depend on the number of threads.

Floor: 2 M N K FLOPs, N rounded up to whole vectors; the bytes of a, b and y once each.
"""

from typing import NamedTuple

import numba
import numpy as np

from ..types import Array
from .dot_tile import DOT_ROWS, multiply_dots
from .epilogue import finish
from .fork import fork
from .gemm import Product
from .jit import kernel, parallel_kernel
from .target import TARGET
from .unpacked_tile import UNPACKED_BYTES, UNPACKED_ROWS, UNPACKED_VECTORS, multiply_unpacked
from .vector import copy_run

VECTOR_BYTES = TARGET.vector_bytes

MOST_B_BYTES = 1 << 17
"""Most bytes of a B of many columns: it stays near a core, in whatever order it is read."""

PRODUCTS_PER_ITEM = 1 << 17
"""Multiply-adds in an item, about: some two microseconds. Fewer are not worth a thread's waking up."""

MOST_ITEMS = 16
"""Items of a larger product, about. More would mean more of what each takes besides, a quarter of a microsecond."""

DEPTH_BYTES = 1 << 14
"""Bytes of a tile's part of B in a block of K, or for dot products of its rows of A: half of a first cache."""


def wins(n: int, k: int, trans_a: bool, trans_b: bool, dtype: np.dtype) -> bool:
    """Whether packing would be more work than it saves; dot products of columns of A would read across its rows."""
    if trans_b:
        return not trans_a and n * dtype.itemsize <= UNPACKED_BYTES
    return n * dtype.itemsize <= UNPACKED_BYTES or n * k * dtype.itemsize <= MOST_B_BYTES


def scratch_size(dtype: np.dtype) -> int:
    """Numbers of scratch for each thread: a tile's width of the rows of B that reach beyond it, fewer than lanes."""
    return VECTOR_BYTES // dtype.itemsize * UNPACKED_BYTES // dtype.itemsize


class Blocks(NamedTuple):
    """What an item has to know and does not work out again: a division takes as long as fifty multiply-adds."""

    lanes: int  # of a vector
    width: int  # columns of a tile
    rows: int  # of y in an item
    columns: int  # of y in an item
    across: int  # items that share columns
    depth: int  # of the blocks of K


@kernel
def _blocks(p: Product, y: Array) -> Blocks:
    n, k = max(p.n, 1), max(p.k, 1)
    lanes = VECTOR_BYTES // y.itemsize
    width = lanes * UNPACKED_VECTORS
    products = max(PRODUCTS_PER_ITEM, p.m * n * k // MOST_ITEMS)
    tiles = min(products // (UNPACKED_ROWS * min(n, width) * k), (p.m + UNPACKED_ROWS - 1) // UNPACKED_ROWS)
    rows = max(1, tiles) * UNPACKED_ROWS
    columns = max(1, products // (rows * width * k)) * width
    numbers = DEPTH_BYTES // y.itemsize
    deepest = numbers // DOT_ROWS if p.trans_b else numbers // min(width, (n + lanes - 1) // lanes * lanes)
    blocks_of_k = (k + deepest - 1) // deepest
    depth = ((k + blocks_of_k - 1) // blocks_of_k + lanes - 1) // lanes * lanes
    return Blocks(lanes, width, rows, columns, (p.m + rows - 1) // rows, depth)


@kernel
def _multiply_columns(
    q: int, columns: int, first: int, end: int, p: Product, blocks: Blocks, a: Array, b: Array, y: Array, edge: Array
) -> None:
    """Rows first..end-1 of the columns from q on, a tile's or fewer."""
    row_stride, step = (1, p.lda) if p.trans_a else (p.lda, 1)
    padded = columns
    if columns < blocks.width:
        padded = (columns + blocks.lanes - 1) // blocks.lanes * blocks.lanes
    k0 = 0
    while k0 < p.k or k0 == 0:  # a range of steps that are not known would divide
        depth, add, start = min(blocks.depth, p.k - k0), p.accumulate or k0 > 0, k0 * p.ldb + q
        whole = depth
        if columns < padded:
            # Vectors that begin in the last rows may reach beyond B: these rows are copied.
            whole = max(0, min(depth, (b.size - start - padded) // p.ldb + 1))
            for i in range(depth - whole):
                copy_run(b, start + (whole + i) * p.ldb, edge, i * padded, columns)
        at, to = first * row_stride + k0 * step, first * p.n + q
        multiply_unpacked(
            end - first, columns, whole, depth - whole, a, at, row_stride, step, b, start, p.ldb, edge, y, to, p.n, add
        )
        k0 += blocks.depth


@kernel
def _multiply_dots(
    q: int, columns: int, first: int, end: int, p: Product, blocks: Blocks, a: Array, b: Array, y: Array
) -> None:
    """The same of a transposed B."""
    k0, rows, to = 0, end - first, first * p.n + q
    while k0 < p.k or k0 == 0:
        depth, add = min(blocks.depth, p.k - k0), p.accumulate or k0 > 0
        multiply_dots(rows, columns, depth, a, first * p.lda + k0, p.lda, b, q * p.ldb + k0, p.ldb, y, to, p.n, add)
        k0 += blocks.depth


@kernel
def _multiply_item(
    item: int, p: Product, blocks: Blocks, a: Array, b: Array, bias: Array, y: Array, edges: Array
) -> None:
    """A block of y."""
    along = item // blocks.across
    column, first = along * blocks.columns, (item - along * blocks.across) * blocks.rows
    end = min(p.m, first + blocks.rows)
    q, behind = column, min(p.n, column + blocks.columns)
    while q < behind:
        columns = min(blocks.width, p.n - q)
        if p.trans_b:
            _multiply_dots(q, columns, first, end, p, blocks, a, b, y)
        else:
            _multiply_columns(q, columns, first, end, p, blocks, a, b, y, edges[numba.get_thread_id()])
        if bias.size or p.slope != 1:
            for row in range(first, end):
                finish(y, row * p.n + q, columns, bias, q, p.slope)
        q += blocks.width


@parallel_kernel
def matmul(
    m: int,
    n: int,
    k: int,
    lda: int,
    ldb: int,
    trans_a: bool,
    trans_b: bool,
    accumulate: bool,
    slope: float,
    edges: Array,
    a: Array,
    b: Array,
    bias: Array,
    y: Array,
) -> None:
    """A `gemm.Product`; `edges` has a row of `scratch_size` for each thread."""
    p = Product(m, n, k, lda, ldb, trans_a, trans_b, accumulate, slope)
    blocks = _blocks(p, y)
    along = (n + blocks.columns - 1) // blocks.columns
    fork(_multiply_item, blocks.across * along, (p, blocks, a, b, bias, y, edges))
