"""The micro-kernel on operands where they stand: no packing, and columns as many as there are.

    C (M, n) (+)= A (M, k) B (k, n)        in tiles of r rows, r = UNPACKED_ROWS, and 1 for those that are left
                                           n columns in V vectors, V <= UNPACKED_VECTORS

Rows of A are a constant apart, and so are the numbers of a row: A may be transposed. Rows of B are read V vectors wide,
whatever follows the n columns there; of C only n numbers are touched, the last vector's through a mask.

Distances that LLVM does not know take a register for each row of A, if it leaves them alone. It would rather keep the
address of each row, and move all of them in each step: with AVX-512 that took three times as long. So every step makes
one address, from which the rows' distances count, and both are opaque to it.
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
from .target import TARGET

UNPACKED_ROWS, UNPACKED_VECTORS = (8, 3) if TARGET.registers >= 32 else (4, 3)
"""Most rows and vectors of a tile. Wider than packed ones, with fewer rows: each of these needs a register for its
distance; and a power of two, as batches are, so that rows are rarely left over and taken one by one. Without fused
multiply-adds the smaller tile keeps one accumulator of twelve on the stack."""

UNPACKED_BYTES = TARGET.vector_bytes * UNPACKED_VECTORS
"""Of a row of a tile, at most."""

_INT64 = ir.IntType(64)


@intrinsic
def _multiply_unpacked(
    typing: Any,
    rows: Any,
    columns: Any,
    k: Any,
    rest: Any,
    a: Any,
    a_start: Any,
    row_stride: Any,
    step: Any,
    b: Any,
    b_start: Any,
    ldb: Any,
    edge: Any,
    c: Any,
    c_start: Any,
    ldc: Any,
    add: Any,
) -> Any:
    """C (rows, columns) (+)= A (rows, k + rest) B (k + rest, columns), with A[i, p] at a_start + i row_stride + p step.

    The `rest`, B's last rows, lie in `edge`, V vectors apart.
    """
    i = types.intp
    signature = types.void(i, i, i, i, a, i, i, i, b, i, i, edge, c, i, i, types.boolean)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        rows_, columns_, k_, rest_, a_, a_start_, row_stride_, step_, b_, b_start_, ldb_, edge_, *target = arguments
        c_, c_start_, ldc_, add_ = target
        emit = Emitter(context, builder, a.dtype)
        first_a, first_b = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)
        last_b, first_c = emit.pointer(edge, edge_, _INT64(0)), emit.pointer(c, c_, c_start_)
        lanes = _INT64(emit.lanes)

        def some_rows(vectors: int, first: ir.Value, count: int) -> None:
            to = emit.offset(first_c, builder.mul(first, ldc_))
            tile = Tile(emit, [emit.offset(to, builder.mul(ldc_, _INT64(row))) for row in range(count)], vectors)
            rows_of_a = emit.offset(first_a, builder.mul(first, row_stride_))
            distances = [emit.opaque(builder.mul(row_stride_, _INT64(row))) for row in range(1, count)]
            at_once = 8 if vectors == 1 else 1  # a step of wider tiles is long enough by itself

            def add_step(p: ir.Value, row_of_b: ir.Value) -> None:
                column = emit.opaque(emit.offset(rows_of_a, builder.mul(p, step_)))
                tile.rank_one([column, *(emit.offset(column, distance) for distance in distances)], row_of_b)

            emit.steps(k_, at_once, lambda p: add_step(p, emit.offset(first_b, builder.mul(p, ldb_))))
            width = _INT64(vectors * emit.lanes)
            emit.steps(rest_, 1, lambda p: add_step(builder.add(k_, p), emit.offset(last_b, builder.mul(p, width))))
            with builder.if_else(builder.icmp_signed("==", columns_, width)) as (all_, some):
                with all_:
                    tile.write(add_)
                with some:
                    tile.write(add_, emit.mask(builder.sub(columns_, _INT64((vectors - 1) * emit.lanes))))

        def all_rows(vectors: int) -> None:
            emit.runs(rows_, (UNPACKED_ROWS, 1), lambda first, count: some_rows(vectors, first, count))

        vectors = builder.sdiv(builder.add(columns_, _INT64(emit.lanes - 1)), lanes)
        emit.written_out(vectors, range(1, UNPACKED_VECTORS + 1), all_rows)
        return context.get_dummy_value()

    return signature, codegen


def multiply_unpacked_twin(
    rows: int,
    columns: int,
    k: int,
    rest: int,
    a: Array,
    a_start: int,
    row_stride: int,
    step: int,
    b: Array,
    b_start: int,
    ldb: int,
    edge: Array,
    c: Array,
    c_start: int,
    ldc: int,
    add: bool,
) -> None:
    """In plain Python; of B it reads no more than it needs."""
    lanes = TARGET.vector_bytes // c.itemsize
    width, depth = -(-columns // lanes) * lanes, k + rest
    starts = [b_start + p * ldb for p in range(k)]
    rows_of_b = [b[at:][:columns] for at in starts] + [edge[p * width :][:columns] for p in range(rest)]
    rows_of_a = [a[a_start + i * row_stride :][: depth * step : step] for i in range(rows)]
    product = np.reshape(rows_of_a, (rows, depth)) @ np.reshape(rows_of_b, (depth, columns))
    write_twin(product.astype(c.dtype), c, c_start, ldc, add)


multiply_unpacked = multiply_unpacked_twin if numba.config.DISABLE_JIT else _multiply_unpacked
