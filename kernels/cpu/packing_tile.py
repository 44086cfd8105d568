"""The micro-kernel that packs: the first tile of a panel of B reads B itself and leaves the panel for the others.

         source: rows of B, ldb apart          panel (k, W) for the tiles below
         +-----+-----+ - -                     +-----+-----+
         |  b0 |  b1 |        W numbers are    |  b0 |  b1 |
         +-----+-----+ - -    loaded once,     +-----+-----+
         |     |     |        for both   ->    |     |     |

A copy of its own loads each number and stores it, and the first tile loads it again. Here the tile's loads are the only
ones, and the stores go beside multiply-adds, which leave room for them. On one core, weights 1024 x 784 (M = 64: eleven
tiles use a panel): 1.49 ms before, 1.31 so, 1.07 if all panels were there.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .microkernel import TILE_BYTES, TILE_ROWS, TILE_VECTORS, Tile
from .microkernel_twins import tile_twin, write_twin
from .vector import CACHE_LINE

ROWS_AHEAD = 64
"""How many rows before it needs them `multiply_and_pack` asks for rows of B: those that are late would stop its
multiply-adds, of which fewer steps fit the CPU's window than of a copy."""

_INT64 = ir.IntType(64)


@intrinsic
def _multiply_and_pack(
    typing: Any,
    k: Any,
    a: Any,
    a_start: Any,
    b: Any,
    b_start: Any,
    ldb: Any,
    panel: Any,
    at: Any,
    c: Any,
    c_start: Any,
    ldc: Any,
    add: Any,
) -> Any:
    """As multiply_panels with rows of B ldb apart, of which panel[at:] gets the panel (k, W)."""
    integer = types.intp
    signature = types.void(integer, a, integer, b, integer, integer, panel, integer, c, integer, integer, types.boolean)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        k_, a_, a_start_, b_, b_start_, ldb_, panel_, at_, c_, c_start_, ldc_, add_ = arguments
        emit = Emitter(context, builder, a.dtype)
        tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), ldc_, TILE_ROWS)
        panel_a, rows_b = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)
        panel_b, width = emit.pointer(panel, panel_, at_), TILE_VECTORS * emit.lanes

        def step(index: ir.Value) -> None:
            step_a = emit.offset(panel_a, builder.mul(index, _INT64(TILE_ROWS)))
            step_b = emit.offset(rows_b, builder.mul(index, ldb_))
            copy = emit.offset(panel_b, builder.mul(index, _INT64(width)))
            ahead = emit.offset(step_b, builder.mul(ldb_, _INT64(ROWS_AHEAD)))
            for first in range(0, width, CACHE_LINE // emit.size):
                emit.prefetch(emit.offset(ahead, first), write=False)
            tile.rank_one([emit.offset(step_a, i) for i in range(TILE_ROWS)], step_b, copy)

        emit.steps(k_, tile.steps_at_once, step)
        tile.write(add_)
        return context.get_dummy_value()

    return signature, codegen


def _multiply_and_pack_twin(
    k: int,
    a: Array,
    a_start: int,
    b: Array,
    b_start: int,
    ldb: int,
    panel: Array,
    at: int,
    c: Array,
    c_start: int,
    ldc: int,
    add: bool,
) -> None:
    width = TILE_BYTES // c.itemsize
    for p in range(k):
        panel[at + p * width :][:width] = b[b_start + p * ldb :][:width]
    write_twin(tile_twin(k, TILE_ROWS, a, a_start, TILE_ROWS, panel, at, width), c, c_start, ldc, add)


multiply_and_pack = _multiply_and_pack_twin if numba.config.DISABLE_JIT else _multiply_and_pack
