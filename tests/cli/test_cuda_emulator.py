"""CUDA from the command line, on a machine that need not have a GPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import MagicMock

import numpy as np
import pytest
from command_line import SMALL, CommandLine
from strict_device import StrictRuntime, as_backend

import kernels
from kernels.cuda.emulator import why_not
from minigan.training.checkpoint import load
from minigan.training.pictures import Pictures
from minigan.training.run_dir import RunDirectory


@pytest.fixture
def strict() -> Iterator[None]:
    """A backend of that name, whose arrays cannot be read by accident."""
    with as_backend(StrictRuntime()):
        yield


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
@pytest.mark.usefixtures("strict")
def test_a_device_without_memory_is_told_in_a_line(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(_: StrictRuntime, nbytes: int) -> NoReturn:
        raise MemoryError(f"Out of memory allocating {nbytes:,} bytes")

    monkeypatch.setattr(StrictRuntime, "allocate", allocate)
    told = refused("train", "mlp", "--backend", "strict", "--steps", 1, *SMALL)
    assert told.startswith("not enough memory: Out of memory allocating ")


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("capture", [(), ("--capture",)], ids=["eager", "captured"])
def test_a_whole_run_reads_no_device_by_accident(minigan: CommandLine, capture: tuple[str, ...]) -> None:
    """Metrics, pictures, checkpoints and the health monitor among what it does between steps."""
    flags = ("--backend", "strict", "--steps", 4, "--log-every", 1, *SMALL, *capture)
    code, out, _ = minigan("train", "mlp", *flags, "--out", "run")
    assert (code, out.startswith("Done: run/samples")) == (0, True)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.usefixtures("strict")
def test_a_captured_run_leaves_what_an_eager_one_leaves(
    minigan: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Metrics, measurements and weights; the data set is on the device, and steps come in bundles."""
    monkeypatch.setattr("minigan.training.session.Pictures", MagicMock(Pictures))
    intervals = ("--log-every", 3, "--health-every", 4, "--sample-every", 0, "--checkpoint-every", 5)
    for name, capture in (("eager", ()), ("captured", ("--capture",))):
        flags = ("--backend", "strict", "--steps", 9, *SMALL, *intervals, *capture)
        assert minigan("train", "mlp", *flags, "--out", tmp_path / name).code == 0
    eager, captured = (RunDirectory.open(tmp_path / name) for name in ("eager", "captured"))
    assert without_rates(captured.metrics.read()) == without_rates(eager.metrics.read())
    assert captured.health.read() == eager.health.read()
    for step in (5, 9):
        found, wanted = (load(run.checkpoints / f"step_{step:07}.safetensors") for run in (captured, eager))
        assert found.extra == wanted.extra
        for path, tensor in found.tensors.items():
            np.testing.assert_array_equal(tensor, wanted.tensors[path], err_msg=path)


def without_rates(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "images_per_second"} for record in records]
