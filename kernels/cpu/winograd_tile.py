"""The micro-kernel that transforms: the first tile of a panel of V makes the panel, and leaves it for the others.

    V (k, W) = sum over t of G[j, t] middle[t] (k, W)          the horizontal transform, its 1 to 3 taps written out
    C (R, W) (+)= U (R, k) V (k, W)

By itself the transform moves 48 KB between the first two caches for a panel of two taps and K = 256, which is then read
from there. Beside multiply-adds its loads take little time of their own: a step takes 16 multiply-adds in place of 12
(R = 6, two vectors). The forward pass of `dcgan`'s second layer takes 2 to 5 % less time so, of the 7 % that panels
which are there already would save. Where the CPU fuses no multiply-adds a product needs a register more, and one
accumulator goes to the stack.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .microkernel import TILE_BYTES, TILE_ROWS, TILE_VECTORS, Tile
from .microkernel_twins import rows_twin
from .vector import Emitter
from .winograd_plan import MOST_TAPS

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
    segments: Any,
    length: Any,
    a: Any,
    a_start: Any,
    rows: Any,
    segment_stride: Any,
    c: Any,
    c_start: Any,
    add: Any,
) -> Any:
    """As multiply_rows with rows of C next to each other and B = panel[at:], which this makes: (segments*length, W).

    The panel is the sum over t < taps of factors[f_start + t] times the numbers from s_start + t*tap_stride on.
    """
    integer = types.intp
    transform = (integer, factors, integer, source, integer, integer, panel, integer)
    signature = types.void(*transform, integer, integer, a, integer, rows, integer, c, integer, types.boolean)

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        taps_, factors_, f_start_, source_, s_start_, tap_stride_, panel_, at_, *arguments = arguments
        segments_, length_, a_, a_start_, rows_, stride_, c_, c_start_, add_ = arguments
        emit = Emitter(context, builder, a.dtype)
        width = TILE_VECTORS * emit.lanes
        image, table = emit.pointer(a, a_, a_start_), emit.pointer(rows, rows_, _INT64(0))
        row = [emit.offset(image, builder.load(emit.offset(table, i))) for i in range(TILE_ROWS)]
        factor, first = emit.pointer(factors, factors_, f_start_), emit.pointer(source, source_, s_start_)
        panel_b = emit.pointer(panel, panel_, at_)

        def product(count: int) -> None:
            tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), _INT64(width), TILE_ROWS)
            tap = [emit.offset(first, builder.mul(tap_stride_, _INT64(t))) for t in range(count)]
            with cgutils.for_range(builder, segments_) as outer:
                segment = [emit.offset(address, builder.mul(outer.index, stride_)) for address in row]
                begin = builder.mul(outer.index, length_)
                with cgutils.for_range(builder, length_) as loop:
                    step = builder.mul(builder.add(begin, loop.index), _INT64(width))
                    sums = [emit.constant(0)] * TILE_VECTORS
                    for t, address in enumerate(tap):
                        # Loaded in each step: in registers the factors would push accumulators out of theirs.
                        weight = emit.broadcast(builder.load(emit.offset(factor, t)))
                        for v in range(TILE_VECTORS):
                            value = emit.load(emit.offset(emit.offset(address, step), v * emit.lanes))
                            sums[v] = emit.multiply_add(weight, value, sums[v]) if t else builder.fmul(weight, value)
                    for v, vector in enumerate(sums):
                        emit.store(vector, emit.offset(emit.offset(panel_b, step), v * emit.lanes))
                    tile.add_outer([emit.offset(address, loop.index) for address in segment], sums)
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
    segments: int,
    length: int,
    a: Array,
    a_start: int,
    rows: Array,
    segment_stride: int,
    c: Array,
    c_start: int,
    add: bool,
) -> None:
    width = TILE_BYTES // c.itemsize
    size = segments * length * width
    panel[at : at + size] = 0
    for t in range(taps):
        panel[at : at + size] += factors[f_start + t] * source[s_start + t * tap_stride :][:size]
    tile = TILE_ROWS, TILE_VECTORS
    rows_twin(*tile, segments, length, a, a_start, rows, 0, segment_stride, panel, at, c, c_start, width, add)


multiply_and_transform = _multiply_and_transform_twin if numba.config.DISABLE_JIT else _multiply_and_transform
