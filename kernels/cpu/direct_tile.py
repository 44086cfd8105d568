"""The innermost loops of a convolution with few taps: tiles in registers that read the image where it stands.

A tap is a number of a patch: KH*KW*C of them, 16 for a 4x4 kernel on a grey image. With so few a micro-tile is hardly
begun when it is over, so what comes before and after its loop decides. Here nothing does that can be avoided: the
accumulators begin as the bias, the activation is applied to them, and each goes straight to its pixel.

    multiply_taps        forward           R pixels x W channels, a step of the loop is a tap
    add_outer_products   weight gradient   R taps x W channels, a step is a pixel

Both read numbers of the image at pixel + tap, two offsets from two tables, and broadcast them. Per step they load
R + V vectors for R V multiply-adds (8 for 12 on AVX2: 4 cycles of loads in 6 of arithmetic), R = DIRECT_ROWS.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .microkernel import TILE_BYTES, TILE_ROWS, TILE_VECTORS, Tile

DIRECT_ROWS = min(TILE_ROWS, 9)
"""Rows of a tile, R. Each has an address of its own, and the loop needs six more of the 15 general registers of x86.
For 12 rows LLVM found no order of loads that leaves the accumulators where they are: on AVX-512 it kept 6 to 8 of the
24 on the stack. Convolutions of one channel took 1.15 to 1.35 times as long, and so did weight gradients of 9 taps."""

SHORT_TAPS = DIRECT_ROWS * 2 // 3
"""Taps of a short tile of a weight gradient."""

_INT64 = ir.IntType(64)


class PixelTile(Tile):
    """A tile of R pixels that begins as the bias and is activated before it is written."""

    def begin(self, row: list[ir.Value]) -> None:
        """Each row of the tile = `row`, of V vectors."""
        for slots in self.slots:
            for slot, value in zip(slots, row, strict=True):
                self.emit.builder.store(value, slot)

    def rectify(self, slope: ir.Value) -> None:
        """Each number z of the tile = max(z, slope z); 0 for slope z where the slope is 0, since 0 inf is NaN."""
        emit, builder = self.emit, self.emit.builder
        steep = emit.broadcast(slope if emit.size == 8 else builder.fptrunc(slope, emit.scalar))
        bent = builder.fcmp_unordered("!=", slope, ir.Constant(slope.type, 1))
        flat = builder.fcmp_ordered("==", slope, ir.Constant(slope.type, 0))
        with builder.if_then(bent), builder.if_else(flat) as (rectified, leaky):
            with rectified:
                self._raise(lambda _: emit.constant(0))
            with leaky:
                self._raise(lambda z: builder.fmul(steep, z))

    def _raise(self, bound_of: Callable[[ir.Value], ir.Value]) -> None:
        """Each number z of the tile = max(z, its bound); NaN stays."""
        builder = self.emit.builder
        for slots in self.slots:
            for slot in slots:
                z = builder.load(slot)
                bound = bound_of(z)
                builder.store(builder.select(builder.fcmp_ordered(">", bound, z), bound, z), slot)

    def write_columns(self, columns: ir.Value) -> None:
        """The first `columns` of each row = tile."""
        emit, builder = self.emit, self.emit.builder
        whole = builder.icmp_signed(">=", columns, _INT64(TILE_VECTORS * emit.lanes))
        with builder.if_else(whole) as (all_, some):
            with all_:
                self._store(lambda value, *_: value)
            with some:
                self._write_singly(columns)

    def _write_singly(self, columns: ir.Value) -> None:
        """By way of the stack, number by number: stores under a mask take longer than a whole tile on Zen."""
        emit, builder = self.emit, self.emit.builder
        row_of_tile = cgutils.alloca_once(builder, emit.scalar, size=_INT64(TILE_VECTORS * emit.lanes))
        for row, slots in zip(self.rows, self.slots, strict=True):
            for v, slot in enumerate(slots):
                emit.store(builder.load(slot), emit.offset(row_of_tile, v * emit.lanes))
            with cgutils.for_range(builder, columns) as loop:
                builder.store(builder.load(emit.offset(row_of_tile, loop.index)), emit.offset(row, loop.index))


def _entries(
    emit: Emitter, array_type: types.Array, array: ir.Value, start: ir.Value, count: int = DIRECT_ROWS
) -> list[ir.Value]:
    """R numbers of a table from `start` on."""
    table = emit.pointer(array_type, array, start)
    return [emit.builder.load(emit.offset(table, i)) for i in range(count)]


@intrinsic
def multiply_taps(
    typing: Any,
    k: Any,
    x: Any,
    x_at: Any,
    first: Any,
    taps: Any,
    w: Any,
    w_start: Any,
    bias: Any,
    bias_start: Any,
    slope: Any,
    y: Any,
    y_at: Any,
    y_start: Any,
    columns: Any,
    following: Any,
) -> Any:
    """R pixels of y = f(bias + sum over taps of x w), `columns` <= W channels of them.

    Pixel i reads x[x_at[first + i] + taps[t]] for t < k and is written to y[y_start + y_at[first + i]].
    w: panel (k, W). bias: W numbers. f = max(z, slope z), the identity with slope 1.
    """
    integer = types.intp
    signature = types.void(
        integer, x, x_at, integer, taps, w, integer, bias, integer, types.float64, y, y_at, integer, integer, integer
    )

    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        k_, x_, x_at_, first_, taps_, w_, w_start_, bias_, bias_start_, slope_, y_, y_at_, y_start_, columns_, next_ = (
            arguments
        )
        emit = Emitter(context, builder, x.dtype)
        image, target = emit.pointer(x, x_, _INT64(0)), emit.pointer(y, y_, y_start_)
        pixels = [emit.offset(image, at) for at in _entries(emit, x_at, x_at_, first_)]
        tile = PixelTile(emit, [emit.offset(target, at) for at in _entries(emit, y_at, y_at_, first_)])
        tile.ask_for([emit.offset(target, at) for at in _entries(emit, y_at, y_at_, next_)])
        shift = emit.pointer(bias, bias_, bias_start_)
        tile.begin([emit.load(emit.offset(shift, v * emit.lanes)) for v in range(TILE_VECTORS)])
        panel, table = emit.pointer(w, w_, w_start_), emit.pointer(taps, taps_, _INT64(0))
        with cgutils.for_range(builder, k_) as loop:
            tap = builder.load(emit.offset(table, loop.index))
            step = emit.offset(panel, builder.mul(loop.index, _INT64(TILE_VECTORS * emit.lanes)))
            tile.rank_one([emit.offset(pixel, tap) for pixel in pixels], step)
        tile.rectify(slope_)
        tile.write_columns(columns_)
        return context.get_dummy_value()

    return signature, codegen


def _outer_products(rows: int) -> Any:
    """Make the tile of a weight gradient for so many taps."""

    @intrinsic
    def outer_products(
        typing: Any,
        pixels: Any,
        x: Any,
        x_at: Any,
        taps: Any,
        first_tap: Any,
        dy: Any,
        dy_start: Any,
        dy_step: Any,
        c: Any,
        c_start: Any,
        ldc: Any,
        add: Any,
    ) -> Any:
        """C (R, W) (+)= sum over so many pixels of x (R taps) times dy (W channels).

        Pixel j: x[x_at[j] + taps[first_tap + i]] for tap i, and row j of dy, rows dy_step apart.
        """
        integer = types.intp
        signature = types.void(
            integer, x, x_at, taps, integer, dy, integer, integer, c, integer, integer, types.boolean
        )

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            pixels_, x_, x_at_, taps_, tap_, dy_, dy_start_, dy_step_, c_, c_start_, ldc_, add_ = arguments
            emit = Emitter(context, builder, x.dtype)
            image, table = emit.pointer(x, x_, _INT64(0)), emit.pointer(x_at, x_at_, _INT64(0))
            seen = [emit.offset(image, tap) for tap in _entries(emit, taps, taps_, tap_, rows)]
            tile = Tile.of_matrix(emit, emit.pointer(c, c_, c_start_), ldc_, rows)
            first = emit.pointer(dy, dy_, dy_start_)
            # One loop over all pixels: one for each line, 14 steps in dcgan, took a fifth longer.
            with cgutils.for_range(builder, pixels_) as loop:
                pixel = builder.load(emit.offset(table, loop.index))
                step = emit.offset(first, builder.mul(loop.index, dy_step_))
                tile.rank_one([emit.offset(address, pixel) for address in seen], step)
            tile.write(add_)
            return context.get_dummy_value()

        return signature, codegen

    def twin(
        pixels: int,
        x: Array,
        x_at: Array,
        taps: Array,
        first_tap: int,
        dy: Array,
        dy_start: int,
        dy_step: int,
        c: Array,
        c_start: int,
        ldc: int,
        add: bool,
    ) -> None:
        width = TILE_BYTES // c.itemsize
        tile = np.zeros((rows, width), c.dtype)
        for j in range(pixels):
            tile += x[x_at[j] + taps[first_tap:][:rows], None] * dy[dy_start + j * dy_step :][:width]
        for i in range(rows):
            target = c[c_start + i * ldc :][:width]
            target[...] = target + tile[i] if add else tile[i]

    return twin if numba.config.DISABLE_JIT else outer_products


add_outer_products, add_fewer_outer_products, add_short_outer_products = (
    _outer_products(rows) for rows in (DIRECT_ROWS, DIRECT_ROWS - 1, SHORT_TAPS)
)


def _multiply_taps_twin(
    k: int,
    x: Array,
    x_at: Array,
    first: int,
    taps: Array,
    w: Array,
    w_start: int,
    bias: Array,
    bias_start: int,
    slope: float,
    y: Array,
    y_at: Array,
    y_start: int,
    columns: int,
    following: int,
) -> None:
    width = TILE_BYTES // y.itemsize
    panel, shift = w[w_start:][: k * width].reshape(k, width), bias[bias_start:][:width]
    columns = min(columns, width)
    for i in range(first, first + DIRECT_ROWS):
        z = (shift + x[x_at[i] + taps[:k]] @ panel)[:columns]
        start = y_start + y_at[i]
        y[start : start + columns] = np.maximum(z, 0 if slope == 0 else y.dtype.type(slope) * z)


if numba.config.DISABLE_JIT:
    multiply_taps = _multiply_taps_twin
