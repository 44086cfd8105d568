"""The runtime on a CPU: the same .cu files and the same launch code, one fiber for each CUDA thread.

    from kernels.cuda.emulator import EmulatorRuntime
    runtime = EmulatorRuntime(order="random:7")

docs/cuda-kernels.md tells how it works and what it finds.
"""

from .build import CompilerMissingError, why_not
from .guard import GuardedWorkspace, guarded, guarded_bytes
from .launch import EmulatorRuntime, KernelError

__all__ = [
    "CompilerMissingError",
    "EmulatorRuntime",
    "GuardedWorkspace",
    "KernelError",
    "guarded",
    "guarded_bytes",
    "why_not",
]
