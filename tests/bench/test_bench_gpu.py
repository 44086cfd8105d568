"""The GPU's checks and timings, as far as they go without one."""

from functools import partial

import numpy as np
import pytest
from strict_device import StrictRuntime

import kernels
from benchmarks import gpu
from kernels.cuda import CudaOps, emulator


@pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
def test_every_check_passes_in_the_emulator(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--emulator"]) == 0
    count, text = capsys.readouterr().out.split(" ", 1)
    assert text == "checks, 0 failed\n"
    assert int(count) > 100


@pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
def test_a_wrong_kernel_fails_its_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    right = gpu._error
    monkeypatch.setattr(gpu, "_error", lambda actual, expected: right(np.asarray(actual) * 1.01, expected))
    monkeypatch.setattr(gpu, "_operations", lambda *_: iter(()))
    assert gpu.main(["--emulator"]) == 1
    assert "FAILED  matmul naive float32: relative error 1.0e-02, at most 5.0e-06" in capsys.readouterr().out


@pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
def test_captured_steps_are_checked_where_there_are_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernels.BACKENDS, "strict", partial(CudaOps, StrictRuntime()))
    assert [check.passed for check in gpu.captured_steps("strict")] == [True, True]
    assert not list(gpu.captured_steps("cuda-emulator"))


def test_nan_fails() -> None:
    assert not gpu.Check("matmul", float("nan"), 1e-3).passed


def test_without_a_device_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.detect, "why_not", lambda: "no CUDA device")
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == "cuda does not work here: no CUDA device\n"
