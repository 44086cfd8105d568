"""The micro-kernel: the innermost loop of every product, in LLVM's intermediate representation.

This is the one place where a reader needs to know LLVM, and very little of it. A compiler does not keep a tile of C in
vector registers over a loop unless it is told to; the functions below tell it. What they compute is said by their twins
in plain Python (`microkernel_twins`), which run with NUMBA_DISABLE_JIT=1 and which the tests compare.

    C (R, W) (+)= A (R, k) B (k, W)            R = TILE_ROWS, W = tile_width(array), one micro-tile

                 B  k x W, packed: row after row of W contiguous numbers
                 +-----+-----+
                 |  b0 |  b1 |        one step: load W numbers of B as vectors, broadcast one number of A to a vector,
         +---+   +-----+-----+        multiply and add into the register of that row. R broadcasts and W/lanes loads
       A | a |   |acc00|acc01|        for R W multiply-adds.
         | a |   |acc10|acc11|
         +---+   +-----+-----+

Two forms, which differ in where A lies: `multiply_panels` reads a packed panel (k, R); `multiply_rows` reads R rows
where they stand in an image, in segments, which is a convolution without a copy of its patches. `block_tile` has one
for rows in blocks, `packing_tile` one that packs B, `winograd_tile` one that makes it of others, and `direct_tile` two
for convolutions with few taps.

The rows of C are prefetched before the loop: at its end the stores then find them in the cache. On a Zen 3 core this
alone took a product of 1024^3 from 85 to 92 GFLOP/s of the core's 102.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .jit import kernel
from .microkernel_twins import rows_twin, tile_twin, write_twin
from .target import TARGET

TILE_ROWS = TARGET.tile_rows
TILE_VECTORS = TARGET.tile_vectors
TILE_BYTES = TARGET.tile_bytes

SHORT_ROWS = 4
"""Rows of a short micro-tile, for what is left of a batch: a power of two is no multiple of 6 or 12 rows. The last tile
of 64 rows takes two thirds of the time, and needs no edge."""

_INT64 = ir.IntType(64)


@kernel
def tile_width(array: Array) -> int:
    """Columns of a micro-tile, W: as many numbers of the array's type as TILE_BYTES hold."""
    return TILE_BYTES // array.itemsize


class Tile:
    """A micro-tile in registers: `vectors` accumulators for each of its rows, given by the address that it goes to."""

    def __init__(self, emit: Emitter, rows: list[ir.Value], vectors: int = TILE_VECTORS) -> None:
        self.emit, self.rows, self.vectors = emit, rows, vectors
        # Several steps load their rows of B before the first is used: they must fit beside the tile.
        spare = TARGET.registers - 3 - len(rows) * vectors
        self.steps_at_once = max(1, min(4, spare) // vectors)
        # Stack slots that nobody takes the address of: LLVM turns them into registers.
        self.slots = [[cgutils.alloca_once(emit.builder, emit.vector) for _ in range(vectors)] for _ in rows]
        for slots in self.slots:
            for slot in slots:
                emit.builder.store(emit.constant(0), slot)

    @classmethod
    def of_matrix(
        cls, emit: Emitter, c: ir.Value, row_stride: ir.Value, rows: int, vectors: int = TILE_VECTORS
    ) -> "Tile":
        """A tile of C, whose rows are asked for."""
        tile = cls(emit, [emit.offset(c, emit.builder.mul(row_stride, _INT64(i))) for i in range(rows)], vectors)
        tile.ask_for(tile.rows)
        return tile

    def ask_for(self, rows: list[ir.Value]) -> None:
        """Prefetch what a tile of these rows will write."""
        last = self.vectors * self.emit.lanes - 1
        for row in rows:
            self.emit.prefetch(row, write=True)
            self.emit.prefetch(self.emit.offset(row, last), write=True)

    def rank_one(self, a: list[ir.Value], b: ir.Value, copy: ir.Value | None = None) -> None:
        """Add the product of R numbers of A, given by address, and W contiguous numbers of B, and copy these."""
        emit = self.emit
        row_of_b = [emit.load(emit.offset(b, v * emit.lanes)) for v in range(self.vectors)]
        for v, vector in enumerate(row_of_b if copy is not None else []):
            emit.store(vector, emit.offset(copy, v * emit.lanes))
        self.add_outer(a, row_of_b)

    def add_outer(self, a: list[ir.Value], row_of_b: list[ir.Value]) -> None:
        """Add the product of R numbers of A, given by address, and W of B in registers."""
        for address, slots in zip(a, self.slots, strict=True):
            self.add_products(self.emit.broadcast(self.emit.builder.load(address)), row_of_b, slots)

    def add_products(self, value: ir.Value, vectors: list[ir.Value], slots: list[ir.Value]) -> None:
        """Add a vector times others, lane by lane, to a row of accumulators."""
        builder = self.emit.builder
        for slot, vector in zip(slots, vectors, strict=True):
            builder.store(self.emit.multiply_add(value, vector, builder.load(slot)), slot)

    def write(self, accumulate: ir.Value, mask: ir.Value | None = None) -> None:
        """C = tile, or C += tile where `accumulate`; of the last vectors the lanes of the mask alone."""
        emit, builder = self.emit, self.emit.builder
        with builder.if_else(accumulate) as (add, overwrite):
            with add:
                self._store(lambda value, address, lanes: builder.fadd(emit.load(address, lanes), value), mask)
            with overwrite:
                self._store(lambda value, *_: value, mask)

    def _store(
        self, combine: Callable[[ir.Value, ir.Value, ir.Value | None], ir.Value], mask: ir.Value | None = None
    ) -> None:
        for row, slots in zip(self.rows, self.slots, strict=True):
            for v, slot in enumerate(slots):
                address, lanes = self.emit.offset(row, v * self.emit.lanes), mask if v == self.vectors - 1 else None
                self.emit.store(combine(self.emit.builder.load(slot), address, lanes), address, lanes)


def panels_product(tile_rows: int) -> tuple[Any, Callable[..., None]]:
    """Make `multiply_panels` for micro-tiles of that many rows, and its twin."""

    @intrinsic
    def multiply_panels(
        typing: Any,
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
        """C (R, W) (+)= A (k, R)^T B (k, W); `add` says whether to add to C or to overwrite it.

        lda, ldb are the distances from one step to the next: R and W where A and B are packed panels.
        """
        integer = types.intp
        signature = types.void(integer, a, integer, integer, b, integer, integer, c, integer, integer, types.boolean)

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            k_, a_, a_start_, lda_, b_, b_start_, ldb_, c_, c_start_, ldc_, add_ = arguments
            emit = Emitter(context, builder, a.dtype)
            tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), ldc_, tile_rows)
            panel_a, panel_b = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)

            def step(index: ir.Value) -> None:
                step_a = emit.offset(panel_a, builder.mul(index, lda_))
                step_b = emit.offset(panel_b, builder.mul(index, ldb_))
                tile.rank_one([emit.offset(step_a, i) for i in range(tile_rows)], step_b)

            emit.steps(k_, tile.steps_at_once, step)
            tile.write(add_)
            return context.get_dummy_value()

        return signature, codegen

    def twin(
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
        write_twin(tile_twin(k, tile_rows, a, a_start, lda, b, b_start, ldb), c, c_start, ldc, add)

    return multiply_panels, twin


def rows_product(tile_rows: int, vectors: int = TILE_VECTORS) -> tuple[Any, Callable[..., None]]:
    """Make `multiply_rows` for micro-tiles of that many rows, and its twin; of fewer vectors than W they read a part of
    each row of B.
    """

    @intrinsic
    def multiply_rows(
        typing: Any,
        segments: Any,
        length: Any,
        a: Any,
        a_start: Any,
        rows: Any,
        first_row: Any,
        segment_stride: Any,
        b: Any,
        b_start: Any,
        c: Any,
        c_start: Any,
        ldc: Any,
        add: Any,
    ) -> Any:
        """As multiply_panels, with row i of A at a_start + rows[first_row + i], in segments of `length` numbers.

        Segment s of a row begins s*segment_stride numbers behind its first; B panel (segments*length, W) runs on.
        """
        integer = types.intp
        signature = types.void(
            integer, integer, a, integer, rows, integer, integer, b, integer, c, integer, integer, types.boolean
        )

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            segments_, length_, a_, a_start_, rows_, first_, stride_, b_, b_start_, c_, c_start_, ldc_, add_ = arguments
            emit = Emitter(context, builder, a.dtype)
            tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), ldc_, tile_rows, vectors)
            image, panel_b = emit.pointer(a, a_, a_start_), emit.pointer(b, b_, b_start_)
            table = emit.pointer(rows, rows_, first_)
            row = [emit.offset(image, builder.load(emit.offset(table, i))) for i in range(tile_rows)]
            width = TILE_VECTORS * emit.lanes
            with cgutils.for_range(builder, segments_) as outer:
                along = builder.mul(outer.index, stride_)
                segment = [emit.offset(address, along) for address in row]
                segment_b = emit.offset(panel_b, builder.mul(builder.mul(outer.index, length_), _INT64(width)))

                def step(index: ir.Value) -> None:
                    step_b = emit.offset(segment_b, builder.mul(index, _INT64(width)))
                    tile.rank_one([emit.offset(address, index) for address in segment], step_b)

                emit.steps(length_, tile.steps_at_once, step)
            tile.write(add_)
            return context.get_dummy_value()

        return signature, codegen

    return multiply_rows, partial(rows_twin, tile_rows, vectors)


THIN_ROWS = 12
"""Rows of a thin micro-tile, of one vector each, for a last panel of few columns: a wide one computes 16 or 32."""

_DEBUGGING = int(numba.config.DISABLE_JIT)
multiply_panels, multiply_short_panels = (panels_product(rows)[_DEBUGGING] for rows in (TILE_ROWS, SHORT_ROWS))
multiply_rows = rows_product(TILE_ROWS)[_DEBUGGING]
multiply_thin_rows = rows_product(THIN_ROWS, vectors=1)[_DEBUGGING]


@kernel
def multiply_tile(
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
    """`multiply_panels` as a function: compiled once, whatever the number of places that call it."""
    multiply_panels(k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc, add)


@kernel
def multiply_short_tile(
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
    """`multiply_short_panels` as a function."""
    multiply_short_panels(k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc, add)
