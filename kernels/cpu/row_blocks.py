"""Matrices in blocks of rows, (rows/R, columns/W, R, W): the left operand of many products, as a micro-tile reads it.

With R = TILE_ROWS a micro-tile's rows are one run of memory, which the CPU foresees. Rows one after the other are R
short runs: from the third-level cache the products of a Winograd line (64 rows, K = 256) took 1.37 times as long so as
from the first, in blocks 1.16 times. Where such a matrix is summed over its rows, A^T B, all of them are one block, and
then the columns of a panel are one run. W = numbers of a micro-tile's row, which `columns` are a multiple of.
"""

from ..types import Array
from .block_tile import multiply_block, multiply_short_block
from .jit import kernel
from .microkernel import SHORT_ROWS, TILE_ROWS, tile_width


@kernel
def rows_in_one(rows: int) -> int:
    """Rows of a block that holds all, an odd number: the runs of a row then spread over the sets of a cache."""
    return rows | 1


@kernel
def row_in_blocks(row: int, per_block: int, columns: int, run: int) -> int:
    """Where a row begins in blocks of per_block = R rows; its runs lie R*W apart."""
    return row // per_block * per_block * columns + row % per_block * run


@kernel
def whole_tiles(rows: int) -> int:
    """Rows in whole micro-tiles."""
    return (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS


@kernel
def multiply_blocks(
    first: int,
    rows: int,
    k: int,
    a: Array,
    at: int,
    panel: Array,
    products: Array,
    product: int,
    add: bool,
) -> None:
    """products (rows in whole tiles, W), from `product` on, (+)= a (rows, k), from `at` on, times the panel (k, W).

    a lies in blocks of TILE_ROWS rows. What the last block has beyond `rows` is undefined, and so are its products.
    Rows before `first`, whole blocks of them, are left out.
    """
    run, r = tile_width(a), first
    while r < rows:
        start, to = at + r * k, product + r * run
        if rows - r > SHORT_ROWS:
            multiply_block(k // run, a, start, panel, 0, products, to, add)
            r += TILE_ROWS
        else:
            multiply_short_block(k // run, a, start, panel, 0, products, to, add)
            r += SHORT_ROWS
