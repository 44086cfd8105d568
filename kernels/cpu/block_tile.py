"""The micro-kernel on a block of rows (see `row_blocks`), where every distance is known when it is compiled.

    C (r, W) (+)= A (r, runs W) B (runs W, W)        A in a block (runs, R, W), r <= R; rows of B and of C W apart

Rows that may lie anywhere need a table of where they begin, and a register each for their addresses. In a block they
lie a constant apart: no table, and one register serves them all. This tile fits the registers either way; the one that
makes V beside its multiply-adds (`winograd_tile`) needs more, and with AVX-512, with its 12 rows, it took 5 to 7
addresses from the stack in every step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .microkernel import SHORT_ROWS, TILE_BYTES, TILE_ROWS, TILE_VECTORS, Tile
from .microkernel_twins import rows_twin

_INT64 = ir.IntType(64)


def run_length(emit: Emitter, kind: types.Array, array: ir.Value) -> ir.Value:
    """W, as a number that LLVM does not know: it would write out a loop of W steps, and run out of registers for it."""
    itemsize = emit.context.make_array(kind)(emit.context, emit.builder, array).itemsize
    return emit.builder.udiv(_INT64(TILE_BYTES), itemsize)


def rows_of_block(emit: Emitter, block: ir.Value, run: ir.Value, rows: int) -> list[ir.Value]:
    """Addresses of the first numbers of a run of W columns, in each of the first rows of a block."""
    width = TILE_VECTORS * emit.lanes
    first = emit.offset(block, emit.builder.mul(run, _INT64(TILE_ROWS * width)))
    return [emit.offset(first, i * width) for i in range(rows)]


def block_product(tile_rows: int) -> tuple[Any, Callable[..., None]]:
    """Make `multiply_block` for micro-tiles of that many rows, and its twin."""

    @intrinsic
    def multiply_block(
        typing: Any, runs: Any, a: Any, a_start: Any, b: Any, b_start: Any, c: Any, c_start: Any, add: Any
    ) -> Any:
        """C, from c_start on, (+)= A, from a_start on, times B, from b_start on."""
        integer = types.intp
        signature = types.void(integer, a, integer, b, integer, c, integer, types.boolean)

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            runs_, a_, a_start_, b_, b_start_, c_, c_start_, add_ = arguments
            emit = Emitter(context, builder, a.dtype)
            width = TILE_VECTORS * emit.lanes
            tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), _INT64(width), tile_rows)
            block, panel = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)
            length = run_length(emit, a, a_)
            with cgutils.for_range(builder, runs_) as outer:
                rows = rows_of_block(emit, block, outer.index, tile_rows)
                rows_of_b = emit.offset(panel, builder.mul(outer.index, _INT64(width * width)))

                def step(index: ir.Value) -> None:
                    row_of_b = emit.offset(rows_of_b, builder.mul(index, _INT64(width)))
                    tile.rank_one([emit.offset(row, index) for row in rows], row_of_b)

                emit.steps(length, tile.steps_at_once, step)
            tile.write(add_)
            return context.get_dummy_value()

        return signature, codegen

    return multiply_block, partial(block_twin, tile_rows)


def block_twin(
    tile_rows: int, runs: int, a: Array, a_start: int, b: Array, b_start: int, c: Array, c_start: int, add: bool
) -> None:
    """`multiply_block` for tiles of that many rows, in plain Python."""
    width = TILE_BYTES // c.itemsize
    rows, apart = np.arange(tile_rows) * width, TILE_ROWS * width
    rows_twin(tile_rows, TILE_VECTORS, runs, width, a, a_start, rows, 0, apart, b, b_start, c, c_start, width, add)


_DEBUGGING = int(numba.config.DISABLE_JIT)
multiply_block, multiply_short_block = (block_product(rows)[_DEBUGGING] for rows in (TILE_ROWS, SHORT_ROWS))
