"""What launch code is written against: a GPU and the emulator are two runtimes with one interface.

    add = runtime.function("elementwise.cu", "add<float>")              compiled on first use, then kept
    add((blocks,), (256,), (x, y, out, np.int32(out.size)))              grid, block, arguments
    gemm((n // 128, m // 128), (256,), arguments, shared_bytes=65536)    dynamic shared memory

Launch code computes grid, block and arguments, and never asks which runtime it has. Launches of one runtime take place
in the order in which they were asked for; whoever reads a result calls `to_host`, which waits for them.

An argument is a device array of this runtime (the kernel gets the pointer to its first element), None (a null pointer),
a tensor map of this runtime (tensor_map.py), or a NumPy scalar of exactly the parameter's type: np.int32(n) for an int,
np.float32(x) for a float. CuPy hands a Python int over as eight bytes and a float as a double, which a kernel with
`int` or `float` parameters reads as garbage without a word; here it is a TypeError that names the kernel and the
argument.
"""

import abc
import contextlib
import math
import operator
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..types import Array
from ..workspace import Workspace
from .instances import compiled_with, row
from .source import FOLDER, Instance
from .tensor_map import Layout, TensorMap, layout

MOST_THREADS = 1024
"""Of a block."""

MOST_ALONG = (1024, 1024, 64)
"""Threads of a block along x, y, z."""

MOST_BLOCKS = (2**31 - 1, 65535, 65535)
"""Of a grid along x, y, z."""

MOST_SHARED = 227 * 1024
"""Bytes of shared memory of a block, static and dynamic: what compute capability 9.0 has, the most there is."""

Dimensions: TypeAlias = Sequence[int]
"""One to three ints, x first, as CUDA counts them."""

Three: TypeAlias = tuple[int, int, int]

Argument: TypeAlias = Array | np.generic | TensorMap | None


class Function(abc.ABC):
    """A kernel that can be launched.

    Attributes:
        instance: its row of the table.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @abc.abstractmethod
    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        """Launch it (or record the launch, while a capture is open).

        Args:
            grid: blocks along x, y, z.
            block: threads along x, y, z.
            arguments: one for each parameter; see the module's text.
            shared_bytes: dynamic shared memory of a block.

        Raises:
            TypeError: wrong number or kind of arguments; names the kernel and the argument.
            ValueError: an array that is not C-contiguous; an impossible grid or block; more threads or shared memory
                than the kernel's row allows.
        """

    def shape(self, grid: Dimensions, block: Dimensions, shared_bytes: int) -> tuple[Three, Three]:
        """Grid and block as three ints each, after the checks that every runtime makes."""
        name, row = self.instance.expression, self.instance
        blocks, threads = _three(f"{name}: grid", grid), _three(f"{name}: block", block)
        for what, sizes, most in (("grid", blocks, MOST_BLOCKS), ("block", threads, MOST_ALONG)):
            if any(map(operator.gt, sizes, most)):
                raise ValueError(f"{name}: {what} {sizes} has more than {most} along some axis")
        if math.prod(threads) > row.threads:
            raise ValueError(f"{name}: block {threads} has more than the {row.threads} threads of its row")
        if not 0 <= shared_bytes <= row.shared_bytes:
            raise ValueError(f"{name}: {shared_bytes} bytes of shared memory, its row says at most {row.shared_bytes}")
        return blocks, threads


class Graph(abc.ABC):
    """Launches that were captured, to be run again with the same arguments on the same memory."""

    @abc.abstractmethod
    def launch(self) -> None:
        """Run all launches again, in their order."""


class Runtime(abc.ABC):
    """A device that runs kernels.

    Attributes:
        name: for messages: "cuda" or "cuda-emulator".
        xp: the array module whose arrays are device arrays: cupy or numpy.
        capability: compute capability, (9, 0) of an H100; which instructions there are.
        capturing: whether a capture is open.
        captures_arrays: whether functions of `xp` take part in a capture, as CuPy's do, or run at once, as NumPy's.
    """

    name: str
    xp: ModuleType
    capability: tuple[int, int]
    capturing: bool = False
    captures_arrays: bool = True

    def __init__(self, folder: Path = FOLDER) -> None:
        """`folder`: of other .cu files than the library's; of these any expression may be asked for."""
        self._folder = folder
        self._functions: dict[tuple[str, str], Function] = {}
        self._lock = threading.Lock()

    def function(self, file: str, expression: str) -> Function:
        """A row of `instances.TABLE`, compiled when first asked for; KeyError if there is no such row."""
        key = (file, expression)
        if key not in self._functions:
            with self._lock:  # of several threads that ask for it one compiles
                if key not in self._functions:
                    self._functions[key] = self._load(*self._unit(file, expression))
        return self._functions[key]

    def _unit(self, file: str, expression: str) -> tuple[Path, Instance, tuple[str, ...]]:
        if self._folder != FOLDER:
            return self._folder / file, Instance(file, expression, MOST_THREADS, MOST_SHARED), (expression,)
        instance = row(file, expression)
        return FOLDER / file, instance, compiled_with(instance)

    @abc.abstractmethod
    def _load(self, path: Path, instance: Instance, unit: tuple[str, ...]) -> Function:
        """Compile the expressions of `unit` in the file `path`; the function of one of them, `instance`."""

    @abc.abstractmethod
    def allocate(self, nbytes: int) -> Array:
        """`nbytes` bytes of device memory as an array of uint8, aligned for any vector load."""

    @abc.abstractmethod
    def free_bytes(self) -> int:
        """Device memory that `allocate` may still hand out."""

    def workspace(self) -> Workspace:
        """A new workspace on this device."""
        return Workspace(self.allocate)

    def tensor_map(self, array: Array, columns: int, box: tuple[int, int, int]) -> TensorMap:
        """What TMA has to know of a device array (parts, rows, stride) of float32.

        Args:
            columns: how many numbers of each row count; copies bring zeros in place of the others.
            box: columns, rows and parts that one copy brings; 32 columns, 128 bytes.

        Raises:
            ValueError: TMA cannot copy out of this array, or not this box; says why.
        """
        return TensorMap(array, self._encode(layout(array, self._address(array), columns, box)))

    @abc.abstractmethod
    def _address(self, array: Array) -> int:
        """Of the first element of a device array."""

    @abc.abstractmethod
    def _encode(self, of: Layout) -> Array:
        """A tensor map's 128 bytes."""

    @abc.abstractmethod
    def to_device(self, array: Array) -> Array:
        """A device array with the contents of a NumPy array."""

    @abc.abstractmethod
    def to_host(self, array: Array) -> Array:
        """A NumPy array with the contents of a device array, after all launches before it."""

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Wait for all launches; an error of one of them is raised here at the latest."""

    def capture(self, step: Callable[[], None]) -> Graph:
        """The launches that `step` makes, as a graph. They do not run now; if `step` raises, nothing is captured.

        Everything that `step` touches has to exist before: run it once eagerly, in a workspace that is frozen then.
        """
        self.begin_capture()
        try:
            step()
        except BaseException:
            with contextlib.suppress(Exception):  # what has gone wrong already is what matters
                self.end_capture()
            raise
        return self.end_capture()

    @abc.abstractmethod
    def begin_capture(self) -> None:
        """From now on launches are recorded and not run."""

    @abc.abstractmethod
    def end_capture(self) -> Graph:
        """What was recorded since `begin_capture`.

        The graph keeps the arrays alive that it was captured with.
        """


def _three(what: str, dimensions: Dimensions) -> Three:
    sizes = tuple(int(size) for size in dimensions)
    if not 1 <= len(sizes) <= 3 or min(sizes) < 1:
        raise ValueError(f"{what} {tuple(dimensions)}: expected one to three sizes of at least 1")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def described(argument: Any) -> str:
    """An argument in an error message."""
    if isinstance(argument, np.generic):
        return f"np.{argument.dtype.name}"
    if isinstance(argument, TensorMap):
        return "a tensor map"
    if hasattr(argument, "dtype") and hasattr(argument, "shape"):
        return f"{type(argument).__module__.split('.')[0]} array {argument.dtype} {tuple(argument.shape)}"
    return f"a Python {type(argument).__name__}"
