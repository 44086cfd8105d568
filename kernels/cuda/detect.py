"""Is there a GPU that kernels can run on? If not, why not?

A ladder of questions, each asked only when the one before it was answered: is the GPU wanted, is CuPy there and whole,
is there a driver and a device, and do two kernels compile, run and give the right result, one of ours and one of
CuPy's. The last is needed: with a driver and a device but without NVRTC or its headers, or on a GPU that NVRTC does not
know, everything else looks well and the first kernel fails.

Nothing is asked at import time: a process that has used the GPU once cannot fork workers that use it.
"""

import functools
import os
from typing import Any

OVERRIDE = "MINIGAN_DEVICE"
"""The environment may set it to "cpu": then no GPU is looked for."""

_PROBE = 'extern "C" __global__ void probe(int* answer) { *answer = 41; }'

_INSTALL = "pip install 'minigan[gpu]'"

_UNKNOWN_CHIP = ("gpu-architecture", "NO_BINARY_FOR_GPU", "NoKernelImageForDevice", "UNSUPPORTED_PTX", "UnsupportedPtx")
"""In messages of NVRTC and the driver: an architecture that it cannot compile for, or code that it cannot load."""

_NO_NVRTC = ("nvrtc.so", "nvrtc64", "cannot open source file", "could not open source file")
"""In messages of the loader about the compiler's library, and of the compiler about a header."""


@functools.cache
def gpu() -> tuple[bool, str]:
    """Whether a GPU can be used, and which one it is, or the reason why not. Asked once in a process; never raises."""
    wanted = os.environ.get(OVERRIDE, "auto")
    if wanted not in ("auto", "cpu"):
        return False, f"{OVERRIDE} is {wanted!r}: expected auto or cpu"
    if wanted == "cpu":
        return False, f"{OVERRIDE}=cpu"
    try:
        import cupy
    except ImportError as error:
        if error.name == "cupy":
            return False, f"CuPy is not installed: {_INSTALL}"
        return False, f"CuPy cannot be imported: {_first_line(error)}"
    except Exception as error:  # a broken installation raises anything: OSError, AttributeError, RuntimeError
        return False, f"CuPy cannot be imported: {_first_line(error)}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return False, _no_device(cupy, error)
    if count < 1:
        return False, "no CUDA device"
    try:
        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        what = f"{device['name'].decode()}, compute capability {device['major']}.{device['minor']}"
    except Exception as error:
        return False, f"a device is there, but does not answer: {_first_line(error)}"
    try:
        answer = cupy.zeros(1, cupy.int32)
        cupy.RawKernel(_PROBE, "probe")((1,), (1,), (answer,))
        answer += 1  # a kernel that CuPy writes itself: with headers that _PROBE does without
        if int(answer[0]) != 42:
            return False, f"{what}: a kernel gave {int(answer[0])} in place of 42"
    except Exception as error:
        return False, f"{what}: {_no_kernel(error)}"
    return True, f"{what}, CuPy {cupy.__version__}"


def _no_device(cupy: Any, error: Exception) -> str:
    """Why not even the number of devices is known."""
    if "cudaErrorNoDevice" in str(error):
        return "no CUDA device"
    if "cudaErrorInsufficientDriver" not in str(error):
        return f"no usable driver: {_first_line(error)}"
    try:
        has, needs = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    except Exception:
        return f"no usable driver: {_first_line(error)}"
    if not has:
        return "no NVIDIA driver is installed"
    return f"the NVIDIA driver is too old: it is of CUDA {_version(has)}, CuPy {cupy.__version__} of {_version(needs)}"


def _no_kernel(error: Exception) -> str:
    """Why a device that is there runs no kernel."""
    text = str(error)
    if any(sign in text for sign in _UNKNOWN_CHIP):
        return f"a chip that this NVRTC, or this driver, does not know: {_first_line(error)}"
    if any(sign in text for sign in _NO_NVRTC):
        return f"NVRTC, the compiler, or its headers are missing: {_INSTALL} ({_first_line(error)})"
    return f"a kernel does not run: {_first_line(error)}"


def _version(number: int) -> str:
    """13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def why_not() -> str | None:
    """None if a GPU can be used, else the reason why not."""
    usable, text = gpu()
    return None if usable else text


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or repr(error)).splitlines()[0]
    return f"{type(error).__name__}: {text}"
