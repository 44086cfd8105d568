"""CUDA from the command line, on a machine that need not have a GPU."""

from functools import partial

import pytest
from command_line import SMALL, CommandLine
from strict_device import StrictRuntime

import kernels
from kernels.cuda import CudaOps
from kernels.cuda.emulator import why_not


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_run_of_the_emulator_can_be_sampled_and_resumed(minigan: CommandLine) -> None:
    flags = ("--backend", "cuda-emulator", "--steps", 3, *SMALL, "--out", "run")
    code, out, _ = minigan("train", "mlp", *flags)
    assert (code, out.startswith("Done: run/samples")) == (0, True)
    assert minigan("sample", "run", "--count", 4).code == 0
    assert minigan("train", "--resume", "run", "--steps", 4).code == 0


@pytest.mark.parametrize("backend", ["cuda", "cuda-emulator"])
def test_info_tells_whether_it_works_or_why_not(minigan: CommandLine, backend: str) -> None:
    reason = kernels.available()[backend]
    expected = f"backend {backend}: {'works' if reason is None else f'not here: {reason}'}"
    assert expected in minigan("info").out.splitlines()


@pytest.mark.skipif(kernels.available()["cuda"] is None, reason="there is a GPU")
def test_a_backend_that_is_not_here_is_refused_with_the_reason(minigan: CommandLine) -> None:
    code, out, err = minigan("train", "mlp", "--backend", "cuda", "--steps", 1, *SMALL)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"minigan: backend: cuda is not here: {kernels.available()['cuda']}"


@pytest.mark.parametrize("backend", ["numpy", "cuda-emulator"])
def test_capture_is_refused_where_nothing_is_recorded(minigan: CommandLine, backend: str) -> None:
    code, _, err = minigan("train", "mlp", "--backend", backend, "--capture", "--steps", 1, *SMALL)
    assert (code, err.splitlines()[-1].startswith(f"minigan: capture: {backend} ")) == (2, True)


def test_gradient_checks_ask_for_memory_of_the_host(minigan: CommandLine) -> None:
    code, out, err = minigan("gradcheck", "--backend", "cuda")
    assert (code, out) == (2, "")
    assert "cuda-emulator runs the same kernels" in err


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("capture", [(), ("--capture",)], ids=["eager", "captured"])
def test_a_whole_run_reads_no_device_by_accident(
    minigan: CommandLine, monkeypatch: pytest.MonkeyPatch, capture: tuple[str, ...]
) -> None:
    """Metrics, pictures, checkpoints and the health monitor among what it does between steps."""
    monkeypatch.setitem(kernels.BACKENDS, "strict", partial(CudaOps, StrictRuntime()))
    flags = ("--backend", "strict", "--steps", 4, "--log-every", 1, *SMALL, *capture)
    code, out, _ = minigan("train", "mlp", *flags, "--out", "run")
    assert (code, out.startswith("Done: run/samples")) == (0, True)
