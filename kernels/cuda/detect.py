"""Is there a GPU that kernels can run on? If not, why not?

A ladder of questions, each asked only when the one before it was answered: is the GPU wanted, is CuPy there and whole,
is there a driver and a device, and does a kernel compile, run and give the right result. The last is needed: with a
driver and a device but without NVRTC, or on a GPU that NVRTC does not know, everything else looks well and the first
kernel fails.

Nothing is asked at import time: a process that has used the GPU once cannot fork workers that use it.
"""

import functools
import os

OVERRIDE = "MINIGAN_DEVICE"
"""The environment may set it to "cpu": then no GPU is looked for."""

_PROBE = 'extern "C" __global__ void probe(int* answer) { *answer = 42; }'


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
            return False, "CuPy is not installed: pip install 'minigan[gpu]'"
        return False, f"CuPy cannot be imported: {_first_line(error)}"
    except Exception as error:  # a broken installation raises anything: OSError, AttributeError, RuntimeError
        return False, f"CuPy cannot be imported: {_first_line(error)}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        if "cudaErrorNoDevice" in str(error):
            return False, "no CUDA device"
        return False, f"no usable driver: {_first_line(error)}"
    if count < 1:
        return False, "no CUDA device"
    try:
        answer = cupy.zeros(1, cupy.int32)
        cupy.RawKernel(_PROBE, "probe")((1,), (1,), (answer,))
        if int(answer[0]) != 42:
            return False, f"a kernel gave {int(answer[0])} in place of 42"
        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    except Exception as error:
        return False, f"a device is there, but a kernel does not run: {_first_line(error)}"
    capability = f"{device['major']}.{device['minor']}"
    return True, f"{device['name'].decode()}, compute capability {capability}, CuPy {cupy.__version__}"


def why_not() -> str | None:
    """None if a GPU can be used, else the reason why not."""
    usable, text = gpu()
    return None if usable else text


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or repr(error)).splitlines()[0]
    return f"{type(error).__name__}: {text}"
