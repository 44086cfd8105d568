"""The micro-kernel that transforms: the first tile of a panel of V makes the panel, and leaves it for the others.

    V (k, W) = sum over t of G[j, t] middle[t] (k, W)          the horizontal transform, its 1 to 3 taps written out
    C (R, W) (+)= U (R, k) V (k, W)                            U in a block of rows

By itself the transform moves 48 KB between the first two caches for a panel of two taps and K = 256, which is then read
from there. Beside multiply-adds its loads take little time of their own: a step takes 16 multiply-adds in place of 12
(R = 6, two vectors). The forward pass of `dcgan`'s second layer takes 2 to 5 % less time so, of the 7 % that panels
which are there already would save. Where the CPU fuses no multiply-adds a product needs a register more, and one
accumulator goes to the stack.

A core starts the oldest instructions that are ready. A row of V that is made in the step that multiplies by it comes
after the multiply-adds of the step before, and those of its own then wait for it: 22 to 25 cycles a step on Cascade
Lake. Made one step before it takes 19 to 21, where there are registers for both rows (AVX-512).
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .block_tile import block_twin, rows_of_block, run_length
from .emitter import Emitter
from .microkernel import TILE_BYTES, TILE_ROWS, TILE_VECTORS, Tile
from .target import TARGET
from .winograd_plan import MOST_TAPS

MADE_AHEAD = TARGET.registers >= (TILE_ROWS + 2) * TILE_VECTORS + 3
"""Whether a row of V is made one step before it is needed; three more registers hold numbers in between."""

_INT64 = ir.IntType(64)


@intrinsic
def _multiply_and_transform(
    typing: Any,
    taps: Any,
    factors: Any,
    f_start: Any,
    source: Any,
    s_start: Any,
    tap_stride: Any,
    panel: Any,
    at: Any,
    runs: Any,
    a: Any,
    a_start: Any,
    c: Any,
    c_start: Any,
    add: Any,
) -> Any:
    """As multiply_block with B = panel[at:], which this makes: (runs*W, W), at least one run.

    The panel is the sum over t < taps of factors[f_start + t] times the numbers from s_start + t*tap_stride on.
    """
    integer = types.intp
    transform = (integer, factors, integer, source, integer, integer, panel, integer)
    signature = types.void(*transform, integer, a, integer, c, integer, types.boolean)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        taps_, factors_, f_start_, source_, s_start_, tap_stride_, panel_, at_, *arguments = arguments
        runs_, a_, a_start_, c_, c_start_, add_ = arguments
        emit = Emitter(context, builder, a.dtype)
        width = TILE_VECTORS * emit.lanes
        block, tile_of_c = emit.pointer(a, a_, a_start_), emit.pointer(c, c_, c_start_)
        factor, first = emit.pointer(factors, factors_, f_start_), emit.pointer(source, source_, s_start_)
        panel_b, last = emit.pointer(panel, panel_, at_), builder.sub(builder.mul(runs_, _INT64(width)), _INT64(1))
        length = run_length(emit, a, a_)

        def product(count: int) -> None:
            tile = Tile.of_matrix(emit, tile_of_c, _INT64(width), TILE_ROWS)
            tap = [emit.offset(first, builder.mul(tap_stride_, _INT64(t))) for t in range(count)]

            def made(step: ir.Value) -> list[ir.Value]:
                """A row of the panel, in registers and in its place."""
                row, sums = builder.mul(step, _INT64(width)), [emit.constant(0)] * TILE_VECTORS
                for t, address in enumerate(tap):
                    # Loaded in each step: in registers the factors would push accumulators out of theirs.
                    weight = emit.broadcast(builder.load(emit.offset(factor, t)))
                    for v in range(TILE_VECTORS):
                        value = emit.load(emit.offset(emit.offset(address, row), v * emit.lanes))
                        sums[v] = emit.multiply_add(weight, value, sums[v]) if t else builder.fmul(weight, value)
                for v, vector in enumerate(sums):
                    emit.store(vector, emit.offset(emit.offset(panel_b, row), v * emit.lanes))
                return sums

            following = [cgutils.alloca_once(builder, emit.vector) for _ in range(TILE_VECTORS)]
            if MADE_AHEAD:
                for slot, vector in zip(following, made(_INT64(0)), strict=True):
                    builder.store(vector, slot)
            with cgutils.for_range(builder, runs_) as outer:
                rows = rows_of_block(emit, block, outer.index, TILE_ROWS)
                begin = builder.mul(outer.index, _INT64(width))
                with cgutils.for_range(builder, length) as loop:
                    step = builder.add(begin, loop.index)
                    if MADE_AHEAD:
                        row_of_b = [builder.load(slot) for slot in following]
                        more = builder.zext(builder.icmp_signed("<", step, last), _INT64)
                        for slot, vector in zip(following, made(builder.add(step, more)), strict=True):
                            builder.store(vector, slot)
                    else:
                        row_of_b = made(step)
                    tile.add_outer([emit.offset(row, loop.index) for row in rows], row_of_b)
            tile.write(add_)

        emit.written_out(taps_, range(1, MOST_TAPS + 1), product)
        return context.get_dummy_value()

    return signature, codegen


def _multiply_and_transform_twin(
    taps: int,
    factors: Array,
    f_start: int,
    source: Array,
    s_start: int,
    tap_stride: int,
    panel: Array,
    at: int,
    runs: int,
    a: Array,
    a_start: int,
    c: Array,
    c_start: int,
    add: bool,
) -> None:
    width = TILE_BYTES // c.itemsize
    size = runs * width * width
    panel[at : at + size] = 0
    for t in range(taps):
        panel[at : at + size] += factors[f_start + t] * source[s_start + t * tap_stride :][:size]
    block_twin(TILE_ROWS, runs, a, a_start, panel, at, c, c_start, add)


multiply_and_transform = _multiply_and_transform_twin if numba.config.DISABLE_JIT else _multiply_and_transform
