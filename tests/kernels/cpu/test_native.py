"""Calls of kernels as machine code: every kind of argument, other operands, and what is no kernel in between."""

import gc
import math
import os
import weakref
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

import kernels
from kernels.cpu.calls import Call, recorded
from kernels.cpu.elementwise import axpy, scale_shift
from kernels.cpu.jit import parallel_kernel
from kernels.cpu.native import MOST_OPERANDS, KernelFailedError, NativeCalls, is_kernel, joined
from kernels.types import Array

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there is no machine code")


class Shape(NamedTuple):
    rows: int
    table: Array
    inner: tuple[float, bool]


@parallel_kernel
def report(flag: bool, count: int, factor: float, shape: Shape, grid: Array, y: Array) -> None:
    """Each of the arguments, as a number."""
    y[0], y[1], y[2], y[3] = flag, count, factor, shape.rows
    y[4], y[5], y[6] = shape.table[shape.rows], shape.inner[0], shape.inner[1]
    y[7], y[8], y[9] = grid[1, 2], grid.shape[0], grid.shape[1]


def calls_of(work: Any) -> list[Call]:
    with recorded() as calls:
        work()
    return calls


def row(*values: float) -> Array:
    return np.array(values, np.float32)


@pytest.mark.parametrize("flag", [False, True, np.True_])
@pytest.mark.parametrize("factor", [0.1, -math.inf, math.nan, 1e-310])
@pytest.mark.parametrize("count", [-1, 1 << 62, np.int64(7)])
def test_arguments_of_every_kind(flag: bool, factor: float, count: int) -> None:
    y, expected = np.zeros(10), np.zeros(10)
    shape = Shape(2, np.arange(3, 9), (factor, flag))
    grid = np.arange(12.0).reshape(3, 4)
    arguments = bool(flag), count, factor, shape, grid
    report(*arguments, expected)
    NativeCalls(calls_of(lambda: report(*arguments, y)))()
    np.testing.assert_array_equal(y, expected)
    assert y[1] == count


def kernel_of(work: Any) -> Any:
    ((function, _),) = calls_of(work)
    return function


def test_operands_are_those_that_are_given() -> None:
    """In every call that takes them; everything else is as it was."""
    x, y, kept = row(1, 2, 3), row(0, 0, 0), row(0, 0, 0)
    scale, add = kernel_of(lambda: scale_shift(x, 2.0, 1.0, y)), kernel_of(lambda: axpy(1.0, x, y))
    native = NativeCalls([(scale, (x, 2.0, 1.0, y)), (add, (10.0, x, y)), (add, (1.0, x, kept))], operands=(x, y))
    other_x, other_y = row(4, 5, 6), row(7, 7, 7)
    native.launch((other_x, other_y))
    np.testing.assert_array_equal(other_y, 12 * other_x + 1)
    np.testing.assert_array_equal(kept, other_x)
    np.testing.assert_array_equal(y, 0)


def test_wrong_operands_are_refused() -> None:
    x = row(1, 2)
    scale = kernel_of(lambda: scale_shift(x, 2.0, 0.0, x))
    for operands in ([row(1)] * 2, [row(i) for i in range(MOST_OPERANDS + 1)]):
        with pytest.raises(ValueError, match=f"at most {MOST_OPERANDS} different operands, got {len(operands)}"):
            NativeCalls([(scale, (x, 2.0, 0.0, x))], operands)
    with pytest.raises(TypeError, match="expected 1 operands: use launch"):
        NativeCalls([(scale, (x, 2.0, 0.0, x))], [x])()


@parallel_kernel
def refuse(n: int, y: Array) -> None:
    y[0] += 1
    if n > 0:
        raise ValueError("too many")


def test_a_kernel_that_fails_ends_the_calls() -> None:
    """With an exception in place of a crash."""
    x = row(0, 0)
    calls = calls_of(lambda: [refuse(0, x), refuse(1, x), axpy(1.0, row(9, 9), x)])
    with pytest.raises(KernelFailedError, match="a kernel has failed"):
        NativeCalls(calls)()
    np.testing.assert_array_equal(x, [2, 0])
    with pytest.raises(KernelFailedError, match="a kernel has failed"):
        NativeCalls([(calls[1][0], (1, x))], operands=[x]).launch((x,))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's memory from /proc")
def test_code_takes_little_memory() -> None:
    """An engine that generates code keeps 0.7 MB, a plan in a thousand of those 0.7 GB."""
    x, y = row(1, 2), row(0, 0)
    calls = calls_of(lambda: scale_shift(x, 2.0, 0.0, y))
    kept = [NativeCalls(calls) for _ in range(20)]
    before = resident()
    kept += [NativeCalls(calls) for _ in range(100)]
    assert (resident() - before) / 100 < 200_000


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_neighbours_are_joined_and_the_order_stays() -> None:
    x, y, seen = row(1, 2), row(0, 0), []

    def work() -> None:
        scale_shift(x, 3.0, 0.0, y)
        axpy(1.0, x, y)

    calls = calls_of(work)
    look = (lambda: seen.append(y.copy()), ())
    launches = joined([look, *calls, look, *calls[1:], look])
    assert len(launches) == 5
    for _ in range(2):
        for function, arguments in launches:
            function(*arguments)
        for found, factor in zip(seen[-3:], (None, 4, 5), strict=True):
            assert factor is None or (found == factor * x).all()
    assert not is_kernel(look[0])
    assert all(is_kernel(function) for function, _ in calls)
    assert joined([]) == []


def test_what_code_points_to_lives_as_long_as_it_does() -> None:
    """Not longer, and operands not at all."""
    x, y = row(1, 2), row(0, 0)
    scale = kernel_of(partial(scale_shift, x, 2.0, 0.0, y))
    native = NativeCalls([(scale, (x, 2.0, 0.0, y))], operands=(y,))
    kept, given = weakref.ref(x), weakref.ref(y)
    del x, y
    gc.collect()
    assert kept() is not None
    assert given() is None
    del native
    gc.collect()
    assert kept() is None


def test_a_captured_step_is_one_call_where_python_has_nothing_to_do() -> None:
    ops = kernels.get_ops("numba")
    x = row(*range(8)).reshape(2, 4)
    with recorded() as calls:
        ops.sum_rows(ops.scale_shift(x, 2.0, 1.0))
    assert len(joined(calls)) == 1
