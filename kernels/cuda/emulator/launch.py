"""EmulatorRuntime: builds kernels, checks arguments, runs launches one after another."""

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...types import Array
from ...workspace import Workspace, aligned_bytes
from ..runtime import Argument, Dimensions, Function, Graph, Runtime, described
from ..source import FOLDER, Instance
from ..tensor_map import Layout, TensorMap, of_emulator
from .build import BUILDS, Library, build
from .guard import SIDES, GuardedWorkspace, guarded, guarded_bytes

ORDERS = ("forward", "reverse", "random", "warps")
"""As `Order` in engine/fibers.h numbers them."""

_LOCK = threading.Lock()
"""Held during a launch: a library keeps the state of its fibers in static memory, and signals belong to the process."""


class KernelError(RuntimeError):
    """A kernel did what it must not do; says what, and names the kernel, the line, the block and the thread."""


class EmulatorRuntime(Runtime):
    """CUDA kernels on a CPU. Every argument has a variable of the environment, which is its default.

    Args:
        order: in which order threads run (MINIGAN_EMULATOR_ORDER): "forward" (the default) and "reverse" from one
            barrier to the next, "random:SEED", or "warps": each warp as far as it can before the next one starts.
        build: "fast" (the default), "checked" or "debug" (MINIGAN_EMULATOR_BUILD); see build.py.
        guard: "end" or "front" (MINIGAN_EMULATOR_GUARD): arrays from `to_device`, `allocate` and `workspace` end, or
            begin, at memory that may not be touched; "" (the default): they do not.
        folder: of other .cu files than the library's; of these any expression may be asked for.
    """

    name = "cuda-emulator"
    xp = np
    capability = (9, 0)
    captures_arrays = False

    def __init__(
        self, order: str | None = None, build: str | None = None, guard: str | None = None, folder: Path = FOLDER
    ) -> None:
        super().__init__(folder)
        order = _setting("ORDER", order, "forward")
        kind, _, seed = order.partition(":")
        if kind not in ORDERS or (kind == "random") != seed.isdecimal():
            raise ValueError(f"thread order {order!r}: expected forward, reverse, warps or random:SEED")
        self.order, self.seed = ORDERS.index(kind), int(seed or 0)
        self.build = _one_of("build", _setting("BUILD", build, "fast"), tuple(BUILDS))
        self.guard = _one_of("guard", _setting("GUARD", guard, ""), ("", *SIDES))
        self._recorded: list[Callable[[], None]] | None = None

    def _load(self, path: Path, instance: Instance, unit: tuple[str, ...]) -> Function:
        return EmulatedFunction(self, instance, build(path, unit, self.build), unit.index(instance.expression))

    def allocate(self, nbytes: int) -> Array:
        """Host memory."""
        return guarded_bytes(nbytes, self.guard) if self.guard else aligned_bytes(nbytes)

    def free_bytes(self) -> int:
        """Of the host's memory."""
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def workspace(self) -> Workspace:
        """A workspace; with guards each of its buffers has its own."""
        return GuardedWorkspace(self.guard) if self.guard else Workspace(self.allocate)

    def _address(self, array: Array) -> int:
        return array.ctypes.data

    def _encode(self, of: Layout) -> Array:
        return of_emulator(of)

    def to_device(self, array: Array) -> Array:
        """An aligned copy."""
        self._refuse_during_capture("to_device")
        if self.guard:
            return guarded(array, self.guard)
        copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def to_host(self, array: Array) -> Array:
        """A copy."""
        self._refuse_during_capture("to_host")
        return array.copy()

    def synchronize(self) -> None:
        """Nothing to wait for: a launch returns when it is done."""
        self._refuse_during_capture("synchronize")

    def begin_capture(self) -> None:
        """Record launches until `end_capture`."""
        self._refuse_during_capture("begin_capture")
        self._recorded, self.capturing = [], True

    def end_capture(self) -> Graph:
        """The recorded launches."""
        if self._recorded is None:
            raise RuntimeError("end_capture: no capture is open")
        launches, self._recorded, self.capturing = self._recorded, None, False
        return _Recording(launches)

    def submit(self, launch: Callable[[], None]) -> None:
        """Run a launch, or record it."""
        if self._recorded is None:
            launch()
        else:
            self._recorded.append(launch)

    def _refuse_during_capture(self, what: str) -> None:
        """What a GPU refuses, too: nothing runs during a capture, so there is nothing to wait for or to read."""
        if self._recorded is not None:
            raise RuntimeError(f"{what} during a capture")


class _Recording(Graph):
    def __init__(self, launches: list[Callable[[], None]]) -> None:
        self._launches = launches

    def launch(self) -> None:
        for launch in self._launches:
            launch()


class _Array(ctypes.Structure):
    """mg::Array of engine/engine.h."""

    _fields_ = (("address", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("argument", ctypes.c_int))


class _Launch(ctypes.Structure):
    """mg::Launch of engine/engine.h."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("arrays", ctypes.c_int),
        ("array", ctypes.POINTER(_Array)),
    )


class EmulatedFunction(Function):
    """A kernel in a library that the emulator has built.

    Attributes:
        parameters: the type of each as NumPy writes it, with a star for a pointer: "*f4", "i4"; of a tensor map "V128".
    """

    def __init__(self, runtime: EmulatorRuntime, instance: Instance, library: Library, number: int) -> None:
        super().__init__(instance)
        self._runtime = runtime
        self._library = library
        self._run = getattr(library.handle, f"mg_launch_{number}")
        self.parameters = _parameters(getattr(library.handle, f"mg_parameter_{number}"))
        for i, parameter in enumerate(self.parameters):
            if parameter == "?":
                raise TypeError(f"{instance.expression}: parameter {i} is neither a pointer nor a number")

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        """Check the arguments against the kernel's signature; then run it, one block after another."""
        name = self.instance.expression
        blocks, threads = self.shape(grid, block, shared_bytes)
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{name}: {len(arguments)} arguments for {len(self.parameters)} parameters")
        values = [self._value(i, a, p) for i, (a, p) in enumerate(zip(arguments, self.parameters, strict=True))]
        pointers = (ctypes.c_void_p * max(1, len(values)))(*[value.ctypes.data for value in values])
        arrays = [
            _Array(array.ctypes.data, array.nbytes, i)
            for i, array in enumerate(a.array if isinstance(a, TensorMap) else a for a in arguments)
            if isinstance(array, np.ndarray) and array.nbytes
        ]
        how = _Launch(
            blocks,
            threads,
            shared_bytes,
            self._runtime.order,
            self._runtime.seed,
            len(arrays),
            (_Array * len(arrays))(*arrays),
        )

        def launch(_alive: Any = (tuple(arguments), values)) -> None:
            with _LOCK:
                if self._run(ctypes.byref(how), pointers):
                    raise KernelError(f"{name}: {self._library.message()}")

        self._runtime.submit(launch)

    def _value(self, number: int, argument: Argument, parameter: str) -> Array:
        """The bytes of an argument, as an array of one number: of a pointer its address."""
        where = f"{self.instance.expression}: argument {number}"
        if not parameter.startswith("*"):
            expected = np.dtype(parameter)
            if isinstance(argument, TensorMap) and expected == argument.encoded.dtype:
                return argument.encoded
            if expected.kind == "V":
                raise TypeError(f"{where}: expected a tensor map, got {described(argument)}")
            if not isinstance(argument, np.generic) or argument.dtype != expected:
                raise TypeError(f"{where}: expected np.{expected.name}, got {described(argument)}")
            return np.array([argument])
        if argument is None:
            return np.zeros(1, np.uint64)
        if not isinstance(argument, np.ndarray):
            raise TypeError(f"{where} is a pointer: expected a NumPy array or None, got {described(argument)}")
        if parameter != "*?" and np.dtype(parameter[1:]) != argument.dtype:
            raise TypeError(f"{where}: expected an array of {np.dtype(parameter[1:])}, got {described(argument)}")
        if not argument.flags.c_contiguous:
            raise ValueError(f"{where}: {described(argument)} is not C-contiguous")
        if not argument.flags.aligned:
            raise ValueError(f"{where}: {described(argument)} does not begin at a multiple of its numbers' size")
        return np.array([argument.ctypes.data], np.uint64)


def _parameters(parameter: Any) -> tuple[str, ...]:
    parameter.restype = ctypes.c_char_p
    pointer = ctypes.c_bool()
    codes: list[str] = []
    while code := parameter(len(codes), ctypes.byref(pointer)):
        codes.append("*" * pointer.value + code.decode())
    return tuple(codes)


def _setting(name: str, argument: str | None, default: str) -> str:
    return argument if argument is not None else os.environ.get(f"MINIGAN_EMULATOR_{name}", default)


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{what} {value!r}: expected one of {', '.join(map(repr, choices))}")
    return value
