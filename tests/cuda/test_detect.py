"""Whether there is a GPU: every way in which there may be none is named, and none of them raises."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cuda import detect

CUPY = """
import numpy, types

class Array(list): pass

int32, __version__ = "int32", "14.2.0"
zeros = lambda count, dtype: Array([0] * count)

class RawKernel:
    def __init__(self, source, name): pass
    def __call__(self, grid, block, arguments): arguments[0][0] = 42

properties = {"name": b"Some GPU", "major": 9, "minor": 0}
runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=lambda number: properties)
cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=0))
"""
"""As much of CuPy as detection asks for, on a machine where all is well."""


def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> tuple[bool, str]:
    """What detection says with this for a CuPy."""
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.delenv(detect.OVERRIDE, raising=False)
    return detect.gpu.__wrapped__()


def test_a_gpu_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "Some GPU, compute capability 9.0, CuPy 14.2.0"
    assert found(tmp_path, monkeypatch, CUPY) == (True, told)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise OSError('libcudart.so.13: wrong ELF class')",
            "CuPy cannot be imported: OSError: libcudart.so.13: wrong",
        ),
        ("import no_such_part", "CuPy cannot be imported: ModuleNotFoundError: No module named 'no_such_part'"),
        (
            "import numpy; numpy.int0_",
            "CuPy cannot be imported: AttributeError: module 'numpy' has no attribute 'int0_'",
        ),
        (
            f"{CUPY}\ndef fail(): raise RuntimeError('cudaErrorInsufficientDriver: too old\\nmore')\n"
            "runtime.getDeviceCount = fail",
            "no usable driver: RuntimeError: cudaErrorInsufficientDriver: too old",
        ),
        (
            f"{CUPY}\ndef fail(): raise RuntimeError('cudaErrorNoDevice: no CUDA-capable device is detected')\n"
            "runtime.getDeviceCount = fail",
            "no CUDA device",
        ),
        (f"{CUPY}\nruntime.getDeviceCount = lambda: 0", "no CUDA device"),
        (
            f"{CUPY}\ndef fail(self, *_): raise RuntimeError('Failure finding libnvrtc.so.13')\n"
            "RawKernel.__call__ = fail",
            "a device is there, but a kernel does not run: RuntimeError: Failure finding libnvrtc.so.13",
        ),
        (f"{CUPY}\nRawKernel.__call__ = lambda *_: None", "a kernel gave 0 in place of 42"),
    ],
    ids=[
        "wrong library",
        "part missing",
        "other NumPy",
        "driver",
        "no device, by CuPy",
        "no device",
        "no compiler",
        "wrong result",
    ],
)
def test_each_way_to_have_none_is_named(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable, text = found(tmp_path, monkeypatch, source)
    assert not usable
    assert text.startswith(reason)
    assert "\n" not in text


def test_no_cupy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert detect.gpu.__wrapped__() == (False, "CuPy is not installed: pip install 'minigan[gpu]'")


def test_the_environment_has_the_first_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path, monkeypatch, CUPY)[0]
    monkeypatch.setenv("MINIGAN_DEVICE", "cpu")
    assert detect.gpu.__wrapped__() == (False, "MINIGAN_DEVICE=cpu")
    monkeypatch.setenv("MINIGAN_DEVICE", "gpu0")
    assert detect.gpu.__wrapped__() == (False, "MINIGAN_DEVICE is 'gpu0': expected auto or cpu")


def test_nothing_is_asked_at_import() -> None:
    program = "import sys, kernels.cuda, kernels.cuda.detect, kernels.cuda.emulator; print('cupy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "False\n"


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_the_real_cupy_gives_a_verdict() -> None:
    """In a process of its own, so that this one can still fork."""
    program = "from kernels.cuda import detect; usable, text = detect.gpu(); print(usable); print(text)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    usable, text = run.stdout.splitlines()
    assert usable == "True" or text.startswith(
        ("no usable driver: CUDARuntimeError: cudaError", "no CUDA device", "a device is there")
    )
