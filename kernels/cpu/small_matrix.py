"""Small matrices applied to runs of numbers: what Winograd's transforms are made of.

    target run i (+)= sum over k of matrix[i, k] * source run k          runs of W numbers, W = tile_width

GROUP columns of runs go through all rows of the matrix before the next ones do. For each group a row's numbers are
loaded into registers once, spread over vectors; a vector of the result then costs inputs loads and multiply-adds, and
no loop over inputs: it is written out for 0 to MOST_INPUTS. A group's runs, read once for each row, stay in the
first-level cache, which all columns of one of Winograd's tiles would overflow.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..types import Array
from .emitter import Emitter
from .jit import kernel
from .target import TARGET

MOST_INPUTS = 8
"""Columns that a matrix may have, and numbers from one of its rows to the next."""

GROUP = 4
"""Columns that meet a row of the matrix together: few, to stay in the cache, and enough to load the row for. With 1, 2
and 8 a forward pass or gradient takes 0 to 3 % longer."""

_INT64 = ir.IntType(64)


def _multiply(add: bool) -> Any:
    """Make the product that adds to its target, or the one that overwrites it unread."""

    @intrinsic
    def multiply(
        typing: Any,
        matrix: Any,
        m_start: Any,
        outputs: Any,
        inputs: Any,
        source: Any,
        s_start: Any,
        s_stride: Any,
        s_step: Any,
        target: Any,
        t_start: Any,
        t_stride: Any,
        t_step: Any,
        count: Any,
    ) -> Any:
        integer = types.intp
        numbers = (integer, integer, integer)
        signature = types.void(matrix, *numbers, source, *numbers, target, *numbers, integer)

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
            matrix_, m_start_, outputs_, inputs_, *arguments = arguments
            source_, s_start_, s_stride_, s_step_, target_, t_start_, t_stride_, t_step_, count_ = arguments
            emit = Emitter(context, builder, source.dtype)
            coefficients, first = emit.pointer(matrix, matrix_, m_start_), emit.pointer(source, source_, s_start_)
            out, vectors = emit.pointer(target, target_, t_start_), range(TARGET.tile_vectors)

            def product(inputs: int) -> None:
                strides = [builder.mul(s_stride_, _INT64(k)) for k in range(inputs)]
                most = _INT64(GROUP)
                with cgutils.for_range_slice(builder, _INT64(0), count_, most, _INT64) as (column, _):
                    left = builder.sub(count_, column)
                    columns = builder.select(builder.icmp_signed("<", left, most), left, most)
                    source_group = emit.offset(first, builder.mul(column, s_step_))
                    target_group = emit.offset(out, builder.mul(column, t_step_))
                    with cgutils.for_range(builder, outputs_) as rows:
                        row = emit.offset(coefficients, builder.mul(rows.index, _INT64(MOST_INPUTS)))
                        factors = [emit.broadcast(builder.load(emit.offset(row, k))) for k in range(inputs)]
                        out_row = emit.offset(target_group, builder.mul(rows.index, t_stride_))
                        with cgutils.for_range(builder, columns) as runs:
                            run = emit.offset(source_group, builder.mul(runs.index, s_step_))
                            to = emit.offset(out_row, builder.mul(runs.index, t_step_))
                            for v in vectors:
                                address, total = emit.offset(to, v * emit.lanes), None
                                if add:
                                    total = emit.load(address)
                                elif not inputs:
                                    total = emit.constant(0)
                                for factor, stride in zip(factors, strides, strict=True):
                                    value = emit.load(emit.offset(emit.offset(run, stride), v * emit.lanes))
                                    if total is None:
                                        total = builder.fmul(factor, value)
                                    else:
                                        total = emit.multiply_add(factor, value, total)
                                emit.store(total, address)

            emit.written_out(inputs_, range(MOST_INPUTS + 1), product)
            return context.get_dummy_value()

        return signature, codegen

    def twin(
        matrix: Array,
        m_start: int,
        outputs: int,
        inputs: int,
        source: Array,
        s_start: int,
        s_stride: int,
        s_step: int,
        target: Array,
        t_start: int,
        t_stride: int,
        t_step: int,
        count: int,
    ) -> None:
        width = TARGET.tile_bytes // source.itemsize
        for i in range(outputs):
            for c in range(count):
                run = target[t_start + i * t_stride + c * t_step :][:width]
                total = run.copy() if add else np.zeros(width, source.dtype)
                for k in range(inputs):
                    factor = matrix[m_start + i * MOST_INPUTS + k]
                    total += factor * source[s_start + k * s_stride + c * s_step :][:width]
                run[:] = total

    return twin if numba.config.DISABLE_JIT else multiply


_overwrite, _add = _multiply(add=False), _multiply(add=True)


@kernel
def apply_matrix(
    matrix: Array,
    m_start: int,
    outputs: int,
    inputs: int,
    source: Array,
    s_start: int,
    s_stride: int,
    s_step: int,
    target: Array,
    t_start: int,
    t_stride: int,
    t_step: int,
    count: int,
) -> None:
    """A matrix (outputs, inputs) applied to `count` columns of runs: target = matrix source.

    Column c of the source begins at s_start + c*s_step, and its runs lie s_stride apart; those of the target likewise.
    """
    _overwrite(
        matrix, m_start, outputs, inputs, source, s_start, s_stride, s_step, target, t_start, t_stride, t_step, count
    )


@kernel
def add_matrix(
    matrix: Array,
    m_start: int,
    outputs: int,
    inputs: int,
    source: Array,
    s_start: int,
    s_stride: int,
    s_step: int,
    target: Array,
    t_start: int,
    t_stride: int,
    t_step: int,
    count: int,
) -> None:
    """As `apply_matrix`, added: target += matrix source."""
    _add(matrix, m_start, outputs, inputs, source, s_start, s_stride, s_step, target, t_start, t_stride, t_step, count)
