"""The micro-kernel of dot products: both operands along the axis that is summed over, as they stand.

    C (M, N) (+)= A (M, k) B (N, k)^T        in tiles of DOT_ROWS x DOT_COLUMNS, and of fewer for what is left

         B rows   b0 ========>           one step: load L numbers of each row of A and of B, multiply and add into
    A rows                               the vector of each pair. Behind the last step each vector is added up to
      a0 ====>   s00                     one number of C, which costs as much as four steps.
      a1 ====>   s10

Nothing is transposed, and C may have as few columns as it wants: a tile along the columns of C would fill a vector with
8 or 10 of them, and read B^T across its rows.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .microkernel import Tile
from .microkernel_twins import write_twin
from .unpacked_tile import UNPACKED_ROWS, UNPACKED_VECTORS

DOT_ROWS, DOT_COLUMNS = UNPACKED_ROWS, UNPACKED_VECTORS
"""As many accumulators as there, and for the same reasons."""

_INT64 = ir.IntType(64)


@intrinsic
def _multiply_dots(
    typing: Any,
    rows: Any,
    columns: Any,
    k: Any,
    a: Any,
    a_start: Any,
    lda: Any,
    b: Any,
    b_start: Any,
    ldb: Any,
    c: Any,
    c_start: Any,
    ldc: Any,
    add: Any,
) -> Any:
    """C (rows, columns) (+)= A B^T; rows begin lda, ldb and ldc apart."""
    i = types.intp
    signature = types.void(i, i, i, a, i, i, b, i, i, c, i, i, types.boolean)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        rows_, columns_, k_, a_, a_start_, lda_, b_, b_start_, ldb_, c_, c_start_, ldc_, add_ = arguments
        emit = Emitter(context, builder, a.dtype)
        first_a, first_b = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)
        first_c, lanes = emit.pointer(c, c_, c_start_), _INT64(emit.lanes)
        rest = builder.srem(k_, lanes)
        whole, mask = builder.sub(k_, rest), emit.mask(rest)

        def lines(first: ir.Value, index: ir.Value, stride: ir.Value, count: int) -> list[ir.Value]:
            return [emit.offset(first, builder.mul(builder.add(index, _INT64(i)), stride)) for i in range(count)]

        def some_dots(row: ir.Value, height: int, column: ir.Value, width: int) -> None:
            rows_of_a, rows_of_b = lines(first_a, row, lda_, height), lines(first_b, column, ldb_, width)
            tile = Tile(emit, [emit.offset(line, column) for line in lines(first_c, row, ldc_, height)], width)

            def step(at: ir.Value, mask: ir.Value | None = None) -> None:
                own_of_b = [emit.load(emit.offset(line, at), mask) for line in rows_of_b]
                for line, slots in zip(rows_of_a, tile.slots, strict=True):
                    tile.add_products(emit.load(emit.offset(line, at), mask), own_of_b, slots)

            emit.steps(builder.sdiv(whole, lanes), 1, lambda index: step(builder.mul(index, lanes)))
            with builder.if_then(builder.icmp_signed(">", rest, _INT64(0))):
                step(whole, mask)
            for line, slots in zip(tile.rows, tile.slots, strict=True):
                for j, slot in enumerate(slots):
                    address, total = emit.offset(line, j), emit.total(builder.load(slot))
                    before = builder.select(add_, builder.load(address), emit.scalar(0))
                    builder.store(builder.fadd(before, total), address)

        def some_rows(row: ir.Value, height: int) -> None:
            columns = range(DOT_COLUMNS, 0, -1)
            emit.runs(columns_, columns, lambda column, width: some_dots(row, height, column, width))

        emit.runs(rows_, (DOT_ROWS, 1), some_rows)
        return context.get_dummy_value()

    return signature, codegen


def multiply_dots_twin(
    rows: int,
    columns: int,
    k: int,
    a: Array,
    a_start: int,
    lda: int,
    b: Array,
    b_start: int,
    ldb: int,
    c: Array,
    c_start: int,
    ldc: int,
    add: bool,
) -> None:
    """In plain Python."""
    rows_of_a = [a[a_start + i * lda :][:k] for i in range(rows)]
    rows_of_b = [b[b_start + j * ldb :][:k] for j in range(columns)]
    product = np.reshape(rows_of_a, (rows, k)) @ np.reshape(rows_of_b, (columns, k)).T
    write_twin(product.astype(c.dtype), c, c_start, ldc, add)


multiply_dots = multiply_dots_twin if numba.config.DISABLE_JIT else _multiply_dots
