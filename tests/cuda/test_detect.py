"""Whether there is a GPU: every way in which there may be none is named, and none of them raises."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_cupy import CUPY, SOME, STATES, without_cupy

from kernels.cuda import detect

NO_KERNEL = (
    r".+, compute capability \d+\.\d+: "
    "(NVRTC, the compiler, or its headers are missing|a chip that this NVRTC, or this driver, does not know"
    "|a kernel does not run|a kernel gave )"
)
"""How the reason begins where a device is there and answers."""


def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> tuple[bool, str]:
    """What detection says with this for a CuPy."""
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    without_cupy(monkeypatch)
    monkeypatch.delenv(detect.OVERRIDE, raising=False)
    return detect.gpu.__wrapped__()


def test_a_gpu_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "Some GPU, compute capability 9.0, CuPy 14.2.0"
    assert found(tmp_path, monkeypatch, CUPY) == (True, told)


@pytest.mark.parametrize("state", STATES)
def test_each_way_to_have_none_is_named(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, reason = STATES[state]
    assert found(tmp_path, monkeypatch, source) == (False, reason)


def test_where_a_device_answers_each_reason_begins_as_known() -> None:
    reasons = [reason for _, reason in STATES.values() if reason.startswith(SOME)]
    assert len(reasons) > 5
    assert all(re.match(NO_KERNEL, reason) for reason in reasons)


def test_no_cupy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert detect.gpu.__wrapped__() == (False, "CuPy is not installed: pip install 'minigan[gpu]'")


def test_the_environment_has_the_first_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path, monkeypatch, CUPY)[0]
    monkeypatch.setenv("MINIGAN_DEVICE", "cpu")
    assert detect.gpu.__wrapped__() == (False, "MINIGAN_DEVICE=cpu")
    monkeypatch.setenv("MINIGAN_DEVICE", "gpu0")
    assert detect.gpu.__wrapped__() == (False, "MINIGAN_DEVICE is 'gpu0': expected auto or cpu")


def test_the_stand_in_is_forgotten(tmp_path: Path) -> None:
    before = sys.modules.get("cupy")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert found(tmp_path, monkeypatch, CUPY)[0]
        assert sys.modules["cupy"] is not before
    assert sys.modules.get("cupy") is before


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
    assert (
        usable == "True"
        or text.startswith(
            (
                "no usable driver: CUDARuntimeError: cudaError",
                "no CUDA device",
                "no NVIDIA driver",
                "the NVIDIA driver is too",
                "a device is there, but does not answer: CUDARuntimeError: cudaError",
            )
        )
        or re.match(NO_KERNEL, text)
    ), text
