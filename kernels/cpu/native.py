"""Calls of kernels as machine code: a function whose constants are their arguments.

A kernel that Python calls finds its arguments in Python's objects, the address and the sizes of every array, the
numbers of a plan one by one. With these objects in the caches that takes a few microseconds; after a convolution that
had the caches to itself, 60 to 100. And every time it finds the same. So what is called again and again is written out

        f(n = 64, a = 0x7f3a40, panels = 0x7f3b00, ...)        g(...)        g(...)

and compiled once, in 3 to 4 ms for one kernel and about 1 ms for each more, with LLVM's optimiser off: there is nothing
to optimise. A launch of it all is one call from Python, which needs 20 us where one kernel took 70 to 100 (a
convolution, two cores of Cascade Lake). The code takes 50 KB: LLVM makes an object file of it, since an engine that
generates code itself keeps 0.7 MB for that.
"""

import ctypes
import functools
import threading
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.callconv import RETCODE_OK
from numba.core.registry import CPUDispatcher, cpu_target
from numba.extending import intrinsic

from ..types import Array
from .calls import Call
from .jit import compiled

MOST_OPERANDS = 4

_ADDRESS, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_STATUS = ir.IntType(32)
_WITH_OPERANDS = ir.FunctionType(_STATUS, [_BYTES] * MOST_OPERANDS)
_ARRAY = tuple(cpu_target.target_context.data_model_manager[types.float32[::1]]._fields)


def is_kernel(function: object) -> bool:
    """Whether calls of it can be compiled: not where the JIT is off, nor where launches have to take turns."""
    return isinstance(function, CPUDispatcher)


class KernelFailedError(RuntimeError):
    """A kernel has raised an exception, such as for want of memory; which one is lost on the way."""

    def __init__(self) -> None:
        super().__init__("a kernel has failed: a first call of it, or a step without capture, says how")


class NativeCalls:
    """Calls of kernels, one after the other.

    Args:
        calls: each of a kernel, with all its arguments.
        operands: different arrays of one dimension; where an argument is one of these objects, a launch takes another
            as large.

    Raises:
        ValueError: more operands than MOST_OPERANDS, or one of them twice.
    """

    def __init__(self, calls: Sequence[Call], operands: Sequence[Array] = ()) -> None:
        if len({id(operand) for operand in operands}) < len(operands) or len(operands) > MOST_OPERANDS:
            raise ValueError(f"expected at most {MOST_OPERANDS} different operands, got {len(operands)}")
        module = ir.Module()
        function = ir.Function(module, _WITH_OPERANDS, "calls")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        given = {id(operand): pointer for operand, pointer in zip(operands, function.args, strict=False)}
        for kernel, arguments in calls:
            _emit_call(builder, kernel, arguments, given)
        builder.ret(RETCODE_OK)
        # What the code points to: arrays that live as long as it does, and kernels that are never unloaded.
        self._calls = [(kernel, tuple(a for a in arguments if id(a) not in given)) for kernel, arguments in calls]
        self._operands = len(operands)
        self._engine = _loaded(str(module))
        self._address = self._engine.get_function_address("calls")
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * MOST_OPERANDS)(self._address)

    def __call__(self) -> None:
        """Make the calls.

        Raises:
            KernelFailedError: one of them has; those behind it are not made.
            TypeError: they need operands.
        """
        if self._operands:
            raise TypeError(f"expected {self._operands} operands: use launch")
        if self._function(*[None] * MOST_OPERANDS):
            raise KernelFailedError

    def launch(self, operands: tuple[Array, ...]) -> None:
        """Make the calls with as many operands as at first, C-contiguous, of any shape; raises as `()`."""
        if _launch(self._address, *operands, *operands[-1:] * (MOST_OPERANDS - self._operands)):
            raise KernelFailedError


def joined(calls: Sequence[Call]) -> list[Call]:
    """The same calls, neighbours among them that are of kernels as one; a signal such as Ctrl-C waits for its end."""
    result: list[Call] = []
    for of_kernels, group in groupby(calls, lambda call: is_kernel(call[0])):
        neighbours = list(group)
        result += [(NativeCalls(neighbours), ())] if of_kernels else neighbours
    return result


_one_at_a_time = threading.Lock()


@functools.cache
def _machine() -> Any:
    return binding.Target.from_default_triple().create_target_machine(opt=0)


def _loaded(text: str) -> Any:
    """An engine with a module's machine code, which lives as long as the engine."""
    with _one_at_a_time:
        code = _machine().emit_object(binding.parse_assembly(text))
    own = binding.Target.from_default_triple().create_target_machine(opt=0)  # an engine keeps it
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), own)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _emit_call(builder: ir.IRBuilder, kernel: Any, arguments: tuple[Any, ...], given: dict[int, ir.Value]) -> None:
    """A call, behind which the function ends if it has failed."""
    kinds = tuple(map(numba.typeof, arguments))
    kernel.compile(kinds)
    version = kernel.overloads[kinds]
    convention = cpu_target.target_context.call_conv
    type_ = convention.get_function_type(version.fndesc.restype, version.fndesc.argtypes)
    address = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
    result, exception, *places = type_.args
    outcome = [cgutils.alloca_once(builder, place.pointee) for place in (result, exception)]
    values = [value for argument in arguments for value in _fields(argument, given)]
    status = builder.call(
        builder.inttoptr(_ADDRESS(address), type_.as_pointer()),
        outcome + [_as(builder, value, place) for value, place in zip(values, places, strict=True)],
    )
    with builder.if_then(builder.icmp_signed("!=", status, RETCODE_OK), likely=False):
        builder.ret(status)


def _fields(value: Any, given: dict[int, ir.Value]) -> list[Any]:
    """What a kernel takes in the place of the value: numbers and addresses, one by one."""
    if isinstance(value, tuple):
        return [number for field in value for number in _fields(field, given)]
    if not isinstance(value, np.ndarray):
        return [value]
    found = {
        "meminfo": 0,  # nobody counts references to it
        "parent": 0,
        "nitems": value.size,
        "itemsize": value.itemsize,
        "data": given.get(id(value), value.ctypes.data),
        "shape": value.shape,
        "strides": value.strides,
    }
    return [number for name in _ARRAY for number in _fields(found[name], {})]


def _as(builder: ir.IRBuilder, value: Any, place: ir.Type) -> ir.Value:
    if isinstance(value, ir.Value):
        return builder.bitcast(value, place)
    if isinstance(place, ir.PointerType):
        return builder.inttoptr(_ADDRESS(value), place)
    return place(int(value) if isinstance(place, ir.IntType) else float(value))


@intrinsic
def _call(typing: Any, address: Any, operands: Any) -> Any:
    def codegen(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], _WITH_OPERANDS.as_pointer())
        arrays = zip(operands.types, cgutils.unpack_tuple(builder, arguments[1]), strict=True)
        pointers = [context.make_array(kind)(context, builder, array).data for kind, array in arrays]
        return builder.call(function, [builder.bitcast(pointer, _BYTES) for pointer in pointers])

    return types.int32(types.intp, operands), codegen


@compiled
def _launch(address: int, a: Array, b: Array, c: Array, d: Array) -> int:
    """The function at an address with the data of these."""
    return _call(address, (a, b, c, d))
