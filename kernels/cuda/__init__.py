"""CUDA kernels of our own, on a GPU through CuPy or on a CPU through an emulator that runs the same sources.

    runtime.py      what launch code is written against: functions, arrays, captured launches
    instances/      every kernel that can be launched, with its threads and shared memory
    source.py       how the .cu files are read
    ops/            the classes behind CudaOps: which kernel, which grid, which memory
    emulator/       the runtime on a CPU

docs/cuda-kernels.md is the way in.
"""

from ..contract import Ops
from .ops.elementwise import CudaElementwise
from .ops.norms import CudaNorms
from .ops.products import CudaProducts
from .ops.updates import CudaUpdates
from .ops.windows import CudaWindows


class CudaOps(CudaProducts, CudaElementwise, CudaNorms, CudaWindows, CudaUpdates, Ops):
    """Every operation on CUDA kernels of our own; the first argument is the runtime, a GPU or the emulator."""


__all__ = ["CudaOps"]
