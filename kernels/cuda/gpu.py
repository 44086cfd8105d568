"""GpuRuntime: kernels on a GPU through CuPy, which compiles them with NVRTC and keeps them on disk.

Everything runs on one stream of the runtime's own, not on the default stream, which cannot be captured. It becomes
CuPy's current stream in each thread that uses the runtime, so that what CuPy itself does with the arrays, a fill or a
copy, takes its turn with the launches.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from ..types import Array
from .detect import why_not
from .nvrtc import OPTIONS
from .resources import committed
from .runtime import Argument, Dimensions, Function, Graph, Runtime, described
from .source import FOLDER, Instance, expand
from .tensor_map import Layout, TensorMap, of_driver

PLAIN_SHARED = 48 * 1024
"""Bytes of shared memory that a kernel gets without asking for them first."""


class GpuRuntime(Runtime):
    """CUDA kernels on the current device of CuPy, which must be there for this module to be imported.

    Raises:
        RuntimeError: there is no usable GPU; says why.
    """

    name = "cuda"
    xp = cupy

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(folder)
        if reason := why_not():
            raise RuntimeError(f"no usable GPU: {reason}")
        major, minor = divmod(int(cupy.cuda.Device().compute_capability), 10)
        self.capability = major, minor
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()
        self._captured: list[tuple[Argument, ...]] | None = None
        self._pool: Any = None
        self._allocator = contextlib.ExitStack()

    def _load(self, path: Path, instance: Instance, unit: tuple[str, ...]) -> Function:
        return GpuFunction(self, path, instance, unit)

    def allocate(self, nbytes: int) -> Array:
        """Device memory out of CuPy's pool, whose pieces begin at multiples of 512 bytes."""
        self.stream.use()
        return cupy.empty(nbytes, cupy.uint8)

    def free_bytes(self) -> int:
        """What the device has left, and what CuPy's pool holds and nobody uses."""
        return cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes()

    def _address(self, array: Array) -> int:
        memory: Any = array.data
        return int(memory.ptr)

    def _encode(self, of: Layout) -> Array:
        return of_driver(of)

    def to_device(self, array: Array) -> Array:
        """A copy on the device."""
        self._refuse_during_capture("to_device")
        self.stream.use()
        return cupy.array(array, order="C")

    def to_host(self, array: Array) -> Array:
        """A copy on the host, after all that the stream has been asked for before."""
        self._refuse_during_capture("to_host")
        self.stream.use()
        return cupy.asnumpy(array)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._refuse_during_capture("synchronize")
        self.stream.synchronize()

    def begin_capture(self) -> None:
        """Record launches until `end_capture`. Kernels must have run once before: CuPy loads them on first use.

        What functions of CuPy make on the way lies in a pool of the graph's own: nobody else gets that memory later.
        """
        self._refuse_during_capture("begin_capture")
        self.stream.use()
        pool = cupy.cuda.MemoryPool()
        with contextlib.ExitStack() as stack:
            stack.enter_context(cupy.cuda.using_allocator(pool.malloc))
            self.stream.begin_capture()
            self._pool, self._allocator = pool, stack.pop_all()
        self._captured, self.capturing = [], True

    def end_capture(self) -> Graph:
        """The recorded launches as a CUDA graph."""
        if self._captured is None:
            raise RuntimeError("end_capture: no capture is open")
        alive = self._captured, self._pool
        self._captured, self._pool, self.capturing = None, None, False
        with self._allocator:
            graph = self.stream.end_capture()
        return _CudaGraph(self.stream, graph, alive)

    def keep(self, arguments: tuple[Argument, ...]) -> None:
        """While a capture is open, remember what a launch was given: a CUDA graph keeps no array alive."""
        if self._captured is not None:
            self._captured.append(arguments)

    def _refuse_during_capture(self, what: str) -> None:
        if self._captured is not None:
            raise RuntimeError(f"{what} during a capture")


class _CudaGraph(Graph):
    def __init__(self, stream: Any, graph: Any, alive: Any) -> None:
        self._stream = stream
        self._graph = graph
        self._alive = alive
        graph.upload(stream)

    def launch(self) -> None:
        self._graph.launch(self._stream)


class GpuFunction(Function):
    """A kernel that CuPy compiles when it is launched for the first time."""

    def __init__(self, runtime: GpuRuntime, path: Path, instance: Instance, unit: tuple[str, ...]) -> None:
        super().__init__(instance)
        self._runtime = runtime
        # CuPy itself adds the device's architecture and the other options of OPTIONS. Of two architectures NVRTC takes
        # the more specific one: sm_90a beside sm_90.
        only = (f"-arch={instance.architecture}",) if instance.architecture else ()
        module = cupy.RawModule(code=expand(path), options=(OPTIONS[0], *only), name_expressions=unit)
        self._kernel = module.get_function(instance.expression)
        self._granted = PLAIN_SHARED
        report = committed().get((instance.file, instance.expression))
        self._parameters = next(iter(report.values())).parameters if report else None

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        """Check the arguments; then put the launch on the runtime's stream."""
        blocks, threads = self.shape(grid, block, shared_bytes)
        self._check(arguments)
        self._runtime.keep(tuple(arguments))
        self._runtime.stream.use()
        if shared_bytes > self._granted:
            self._kernel.max_dynamic_shared_size_bytes = _at_most_there_is(shared_bytes)
            self._granted = shared_bytes
        self._kernel(blocks, threads, tuple(map(_passed, arguments)), shared_mem=shared_bytes)

    def _check(self, arguments: Sequence[Argument]) -> None:
        """A kernel takes what it is given for what it expects, whatever it is."""
        name = self.instance.expression
        if self._parameters is not None and len(arguments) != len(self._parameters):
            raise TypeError(f"{name}: {len(arguments)} arguments for {len(self._parameters)} parameters")
        for i, argument in enumerate(arguments):
            where = f"{name}: argument {i}"
            if isinstance(argument, cupy.ndarray):
                if not argument.flags.c_contiguous:
                    raise ValueError(f"{where}: {described(argument)} is not C-contiguous")
            elif argument is not None and not isinstance(argument, np.generic | TensorMap):
                raise TypeError(f"{where}: expected a CuPy array, None or a NumPy scalar, got {described(argument)}")
            if self._parameters is not None and _width(argument) != self._parameters[i]:
                raise TypeError(f"{where}: expected {_WORDS[self._parameters[i]]}, got {described(argument)}")


_WORDS = {
    "u64": "an array, None or an integer of 64 bits",
    "u32": "an integer of 32 bits",
    "u16": "an integer of 16 bits",
    "u8": "a bool or an integer of 8 bits",
    "b8[128]": "a tensor map",
    "f32": "np.float32",
    "f64": "np.float64",
}


def _passed(argument: Argument) -> Any:
    """What CuPy is given."""
    if argument is None:
        return 0
    return argument.encoded if isinstance(argument, TensorMap) else argument


def _width(argument: Argument) -> str:
    """How PTX declares a parameter that this argument fits; signs make no difference there."""
    if isinstance(argument, TensorMap):
        return "b8[128]"
    if not isinstance(argument, np.generic):
        return "u64"
    bits = 8 * argument.dtype.itemsize
    return f"f{bits}" if argument.dtype.kind == "f" else f"u{bits}"


def _at_most_there_is(shared_bytes: int) -> int:
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    if shared_bytes > most:
        raise RuntimeError(f"a kernel wants {shared_bytes} bytes of shared memory, the device has {most} for a block")
    return shared_bytes
