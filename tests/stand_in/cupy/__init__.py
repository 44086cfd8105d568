"""CuPy, as far as minigan and its benchmarks ask for it, on the emulator; import it by its folder on the path.

With it the way to a GPU can be walked on a machine without one: detection, GpuRuntime, captures, `python -m
benchmarks.gpu`. Arrays are those of tests/strict_device.py, which refuse what would wait for a device. A module of
kernels has to be the expanded text of one of the library's files, and its kernels run in the emulator. What CuPy passes
without a word, this refuses: a Python number other than a null pointer.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from strict_device import DeviceArray, StrictRuntime

from kernels.cuda.instances import TABLE
from kernels.cuda.source import FOLDER, expand
from kernels.cuda.tensor_map import TensorMap

__version__ = "14.2.0, the stand-in"
ndarray, int32, uint8 = DeviceArray, np.int32, np.uint8
may_share_memory = StrictRuntime.xp.may_share_memory

_runtime = StrictRuntime()
_files = {expand(FOLDER / file): file for file in dict.fromkeys(row.file for row in TABLE)}


def empty(shape: Any, dtype: Any) -> DeviceArray:
    """Memory, within what an allocator lets it have."""
    return _allocators[-1](int(np.prod(shape)) * np.dtype(dtype).itemsize).view(dtype)


class Answer(list[int]):
    """What detection looks at, which is the only one that may."""

    def __iadd__(self, number: Any) -> "Answer":
        self[0] += number
        return self


def zeros(count: int, dtype: Any) -> Answer:
    return Answer([0] * count)


def array(values: Any, order: str = "C") -> DeviceArray:
    return _runtime.to_device(np.array(values, order="C"))


asarray = array


def asnumpy(values: DeviceArray) -> np.ndarray:
    return _runtime.to_host(values)


def matmul(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> None:
    """What a capture refuses: cuBLAS."""
    if _runtime.capturing:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    np.matmul(a._memory, b._memory, out=out._memory)


class Kernel:
    """A kernel of the library, launched as CuPy's are."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, file: str, expression: str) -> None:
        self._name, self._launch = expression, _runtime.function(file, expression)

    def __call__(self, grid: tuple, block: tuple, arguments: Sequence[Any], *, shared_mem: int = 0) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise ValueError(f"{self._name}: {shared_mem} bytes of shared memory, and nobody has asked for them")
        self._launch(grid, block, [_argument(a) for a in arguments], shared_mem)


def _argument(value: Any) -> Any:
    """What the emulator takes for it."""
    if isinstance(value, int) and value == 0:
        return None
    assert isinstance(value, DeviceArray | np.generic | np.ndarray), f"CuPy would pass {value!r} as 8 bytes"
    if isinstance(value, np.ndarray):  # of one element, by value
        assert value.size == 1
        return TensorMap(np.empty(0, np.float32), value)
    return value


class RawModule:
    """The kernels of one file, each of them asked for by name."""

    def __init__(self, code: str, options: tuple[str, ...], name_expressions: Sequence[str]) -> None:
        assert code in _files, "the text of a module is none of the library's files"
        assert options[0] == "-std=c++17"
        self._file, self._names = _files[code], name_expressions

    def get_function(self, name: str) -> Kernel:
        assert name in self._names, f"{name} is not among the names that the module was compiled with"
        return Kernel(self._file, name)


class RawKernel:
    """Detection's first kernel."""

    def __init__(self, code: str, name: str) -> None:
        assert "*answer = 41" in code

    def __call__(self, grid: tuple, block: tuple, arguments: Sequence[Any]) -> None:
        arguments[0][0] = 41


class Stream:
    """The one stream of the emulator."""

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "a blocking stream waits for the default one, which nobody can capture"

    def use(self) -> None: ...

    def synchronize(self) -> None:
        _runtime.synchronize()

    def begin_capture(self) -> None:
        _runtime.begin_capture()

    def end_capture(self) -> Any:
        graph = _runtime.end_capture()
        return SimpleNamespace(upload=lambda _: None, launch=lambda _: graph.launch())


class Event:
    """The host's clock."""

    def record(self, stream: Stream) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None: ...


class OutOfMemoryError(MemoryError):
    """As CuPy's is."""


LIMIT = 1 << 32
"""Bytes of the device, of which one array can have so many."""


def _malloc(nbytes: int) -> DeviceArray:
    if nbytes > LIMIT:
        raise OutOfMemoryError(f"Out of memory allocating {nbytes:,} bytes (allocated so far: 0 bytes, limit: {LIMIT})")
    return _runtime.allocate(nbytes)


_allocators: list[Callable[[int], DeviceArray]] = [_malloc]


@contextlib.contextmanager
def _using(allocator: Callable[[int], DeviceArray]) -> Iterator[None]:
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()


class MemoryPool:
    malloc = staticmethod(_malloc)


def get_default_memory_pool() -> Any:
    return SimpleNamespace(free_bytes=lambda: 0)


def _device() -> Any:
    attributes = {"MaxSharedMemoryPerBlockOptin": 227 << 10}
    return SimpleNamespace(id=0, compute_capability="90", attributes=attributes)


cuda = SimpleNamespace(
    Device=_device,
    Event=Event,
    MemoryPool=MemoryPool,
    Stream=Stream,
    get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda _: {"name": b"The emulator", "major": 9, "minor": 0},
        memGetInfo=lambda: (LIMIT, LIMIT),
    ),
    using_allocator=_using,
)
