"""Stand-ins for CuPy, as the text of a module: on a machine where all is well, and in every state in which it is not.

The messages of CuPy, NVRTC and the driver are theirs, of CuPy 14.2 and NVRTC 13.0.
"""

import sys

import pytest

CUPY = """
import numpy, types

class Array(list):
    def __iadd__(self, number):
        self[0] += number
        return self

int32, __version__ = "int32", "14.2.0"
zeros = lambda count, dtype: Array([0] * count)

class RawKernel:
    def __init__(self, source, name): pass
    def __call__(self, grid, block, arguments): arguments[0][0] = 41

properties = {"name": b"Some GPU", "major": 9, "minor": 0}
runtime = types.SimpleNamespace(
    getDeviceCount=lambda: 1, getDeviceProperties=lambda number: properties,
    driverGetVersion=lambda: 13010, runtimeGetVersion=lambda: 13020,
)
cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=0))

class CUDARuntimeError(RuntimeError): pass
class CompileException(Exception): pass
class DynamicLibNotFoundError(RuntimeError): pass
"""
"""As much of CuPy as detection asks for."""

SOME = "Some GPU, compute capability 9.0"


def without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget an imported CuPy; what is imported under its name until the end of the test is forgotten then."""
    monkeypatch.setitem(sys.modules, "cupy", None)  # which is undone also where there was none
    del sys.modules["cupy"]


def failing(what: str, error: str) -> str:
    """CUPY, but a function of it raises."""
    return f"{CUPY}\ndef fail(*_): raise {error}\n{what} = fail"


INSUFFICIENT = "CUDARuntimeError('cudaErrorInsufficientDriver: CUDA driver version is insufficient\\nfor')"
NO_DEVICE = "CUDARuntimeError('cudaErrorNoDevice: no CUDA-capable device is detected')"
NO_NVRTC = "DynamicLibNotFoundError('Failure finding \"libnvrtc.so.13 or libnvrtc.so.12\": No such file')"
NO_HEADER = "CompileException('f.cu(1): catastrophic error: could not open source file \"cuda_fp16.h\"')"
UNKNOWN_CHIP = "CompileException('nvrtc: error: invalid value for --gpu-architecture (-arch)\\n')"
NO_BINARY = "RuntimeError('CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device')"

STATES = {
    "wrong library": (
        "raise OSError('libcudart.so.13: wrong ELF class')",
        "CuPy cannot be imported: OSError: libcudart.so.13: wrong ELF class",
    ),
    "part missing": (
        "import no_such_part",
        "CuPy cannot be imported: ModuleNotFoundError: No module named 'no_such_part'",
    ),
    "other NumPy": (
        "import numpy; numpy.int0_",
        "CuPy cannot be imported: AttributeError: module 'numpy' has no attribute 'int0_'",
    ),
    "no driver": (
        failing("runtime.getDeviceCount", INSUFFICIENT) + "\nruntime.driverGetVersion = lambda: 0",
        "no NVIDIA driver is installed",
    ),
    "old driver": (
        failing("runtime.getDeviceCount", INSUFFICIENT) + "\nruntime.driverGetVersion = lambda: 12080",
        "the NVIDIA driver is too old: it is of CUDA 12.8, CuPy 14.2.0 of 13.2",
    ),
    "driver that says nothing": (
        failing("runtime.getDeviceCount", INSUFFICIENT) + "\nruntime.driverGetVersion = fail",
        "no usable driver: CUDARuntimeError: cudaErrorInsufficientDriver: CUDA driver version is insufficient",
    ),
    "broken driver": (
        failing("runtime.getDeviceCount", "CUDARuntimeError('cudaErrorUnknown: unknown error')"),
        "no usable driver: CUDARuntimeError: cudaErrorUnknown: unknown error",
    ),
    "no device, by CuPy": (failing("runtime.getDeviceCount", NO_DEVICE), "no CUDA device"),
    "no device": (f"{CUPY}\nruntime.getDeviceCount = lambda: 0", "no CUDA device"),
    "device that does not answer": (
        failing("runtime.getDeviceProperties", "CUDARuntimeError('cudaErrorECCUncorrectable: uncorrectable ECC')"),
        "a device is there, but does not answer: CUDARuntimeError: cudaErrorECCUncorrectable: uncorrectable ECC",
    ),
    "no compiler": (
        failing("RawKernel.__call__", NO_NVRTC),
        f"{SOME}: NVRTC, the compiler, or its headers are missing: pip install 'minigan[gpu]' "
        '(DynamicLibNotFoundError: Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file)',
    ),
    "no headers": (
        failing("Array.__iadd__", NO_HEADER),
        f"{SOME}: NVRTC, the compiler, or its headers are missing: pip install 'minigan[gpu]' "
        '(CompileException: f.cu(1): catastrophic error: could not open source file "cuda_fp16.h")',
    ),
    "chip unknown to NVRTC": (
        failing("RawKernel.__call__", UNKNOWN_CHIP),
        f"{SOME}: a chip that this NVRTC, or this driver, does not know: "
        "CompileException: nvrtc: error: invalid value for --gpu-architecture (-arch)",
    ),
    "chip unknown to the driver": (
        failing("RawKernel.__call__", NO_BINARY),
        f"{SOME}: a chip that this NVRTC, or this driver, does not know: RuntimeError: CUDA_ERROR_NO_BINARY_FOR_GPU: "
        "no kernel image is available for execution on the device",
    ),
    "busy device": (
        failing("zeros", "CUDARuntimeError('cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy')"),
        f"{SOME}: a kernel does not run: CUDARuntimeError: cudaErrorDevicesUnavailable: "
        "CUDA-capable device(s) is/are busy",
    ),
    "wrong result": (f"{CUPY}\nRawKernel.__call__ = lambda *_: None", f"{SOME}: a kernel gave 1 in place of 42"),
}
"""State -> (the text of cupy.py, the reason that is told)."""
