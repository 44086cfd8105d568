"""EmulatorRuntime: builds kernels, checks arguments, runs launches one after another."""

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...types import Array
from ...workspace import aligned_bytes
from ..instances import expressions
from ..runtime import Argument, Dimensions, Function, Graph, Runtime, described, three
from ..source import FOLDER
from .build import build

ORDERS = {"forward": 0, "reverse": 1, "random": 2}

_LOCK = threading.Lock()
"""Held during a launch: a library keeps the state of its fibers in static memory, and signals belong to the process."""


class _Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("poison", ctypes.c_int),
    )


class EmulatorRuntime(Runtime):
    """CUDA kernels on a CPU.

    Args:
        order: in which order threads run between two barriers: "forward", "reverse" or "random:SEED".
        folder: where the .cu files lie.
    """

    name = "cuda-emulator"
    xp = np

    def __init__(self, order: str = "forward", folder: Path = FOLDER) -> None:
        kind, _, seed = order.partition(":")
        if kind not in ORDERS or (seed and not seed.isdecimal()):
            raise ValueError(f"unknown thread order {order!r}: {', '.join(ORDERS)}:SEED")
        self.order, self.seed = ORDERS[kind], int(seed or 0)
        self.folder = folder
        self._functions: dict[tuple[str, str], EmulatedFunction] = {}
        self._recorded: list[Callable[[], None]] | None = None

    def function(self, file: str, expression: str) -> Function:
        """A kernel; its whole file is built when the first one of it is asked for."""
        key = (file, expression)
        if key not in self._functions:
            self._functions[key] = EmulatedFunction(self, file, expression)
        return self._functions[key]

    def allocate(self, nbytes: int) -> Array:
        """Host memory."""
        return aligned_bytes(nbytes)

    def to_device(self, array: Array) -> Array:
        """An aligned copy."""
        copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def to_host(self, array: Array) -> Array:
        """A copy."""
        return array.copy()

    def synchronize(self) -> None:
        """Nothing to wait for: a launch returns when it is done."""

    def begin_capture(self) -> None:
        """Record launches until `end_capture`."""
        if self._recorded is not None:
            raise RuntimeError("a capture is open already")
        self._recorded = []

    def end_capture(self) -> Graph:
        """The recorded launches."""
        if self._recorded is None:
            raise RuntimeError("there is no open capture")
        launches, self._recorded = self._recorded, None
        return _Recording(launches)

    def submit(self, launch: Callable[[], None]) -> None:
        """Run a launch, or record it."""
        if self._recorded is None:
            launch()
        else:
            self._recorded.append(launch)


class _Recording(Graph):
    def __init__(self, launches: list[Callable[[], None]]) -> None:
        self._launches = launches

    def launch(self) -> None:
        for launch in self._launches:
            launch()


class EmulatedFunction(Function):
    """A kernel in a library that the emulator has built."""

    def __init__(self, runtime: EmulatorRuntime, file: str, expression: str) -> None:
        path = runtime.folder / file
        known = expressions(file) if runtime.folder == FOLDER else (expression,)
        if expression not in known:
            raise KeyError(f"{expression} of {file} is not in kernels/cuda/instances: {', '.join(known) or 'no rows'}")
        number = known.index(expression)
        self.expression = expression
        self._runtime = runtime
        self._library = build(path, known, ("-O2",))
        self._library.mg_error.restype = ctypes.c_char_p
        signature = getattr(self._library, f"mg_sig_{number}")
        signature.restype = ctypes.c_char_p
        self.parameters = tuple(signature().decode().split(",")) if signature() else ()
        self._run = getattr(self._library, f"mg_launch_{number}")

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        """Check the arguments against the kernel's signature; then run it, one block after another."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.expression}: {len(arguments)} arguments for {len(self.parameters)} parameters")
        values = [self._value(i, a, p) for i, (a, p) in enumerate(zip(arguments, self.parameters, strict=True))]
        pointers = (ctypes.c_void_p * max(1, len(values)))(*[value.ctypes.data for value in values])
        how = _Launch(
            three("grid", grid), three("block", block), shared_bytes, self._runtime.order, self._runtime.seed, 1
        )

        def launch(_alive: Any = (tuple(arguments), values)) -> None:
            with _LOCK:
                if self._run(ctypes.byref(how), pointers):
                    raise RuntimeError(f"{self.expression}: {self._library.mg_error().decode()}")

        self._runtime.submit(launch)

    def _value(self, number: int, argument: Argument, parameter: str) -> Array:
        """The bytes of an argument, as an array of one number: of a pointer its address."""
        where = f"{self.expression}: argument {number}"
        if parameter.startswith("*"):
            if argument is None:
                return np.zeros(1, np.uint64)
            if not isinstance(argument, np.ndarray):
                raise TypeError(f"{where} is a pointer: expected a NumPy array or None, got {described(argument)}")
            if not argument.flags.c_contiguous:
                raise ValueError(f"{where}: {described(argument)} is not C-contiguous")
            if parameter[1:] not in ("", argument.dtype.str[1:]):
                raise TypeError(f"{where}: expected an array of {np.dtype(parameter[1:])}, got {described(argument)}")
            return np.array([argument.ctypes.data], np.uint64)
        expected = np.dtype(parameter)
        if not isinstance(argument, np.generic) or argument.dtype != expected:
            raise TypeError(f"{where}: expected np.{expected.name}, got {described(argument)}")
        return np.array([argument])
