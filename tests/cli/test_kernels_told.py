"""What a user is told about the kernels that are compiled on the way, and by `info` about those of the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import SMALL, CommandLine

import kernels
from kernels import NumpyOps
from kernels.compiling import announce
from minigan.training.progress import first_compilation


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of compiled kernels; from now on every product in NumPy pretends to be compiled for it."""
    compute: Callable[..., None] = NumpyOps._matmul

    def compile_and_compute(*arguments: Any) -> None:
        announce("matmul", tmp_path)
        compute(*arguments)

    monkeypatch.setattr(NumpyOps, "_matmul", compile_and_compute)
    return tmp_path


def test_training_says_once_that_kernels_are_compiled(minigan: CommandLine, folder: Path) -> None:
    code, _, err = minigan("train", "mlp-small", "--steps", 1, "--backend", "numpy", *SMALL)
    assert code == 0
    assert err.splitlines()[1] == first_compilation(folder)
    assert err.count("compiling") == 1


def test_sampling_says_once_that_kernels_are_compiled(minigan: CommandLine, folder: Path) -> None:
    assert minigan("train", "mlp-small", "--steps", 1, "--backend", "numpy", *SMALL, "--out", "run").code == 0
    code, out, err = minigan("sample", "run")
    assert (code, out, err) == (0, "run/plots/sample-seed0.png\n", f"minigan: {first_compilation(folder)}\n")


def test_gradcheck_says_once_that_kernels_are_compiled(minigan: CommandLine, folder: Path) -> None:
    code, _, err = minigan("gradcheck", "--seeds", 1, "--directions", 1, "--backend", "numpy")
    assert (code, err) == (0, f"minigan: {first_compilation(folder)}\n")


def test_nobody_is_told_afterwards(minigan: CommandLine, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    minigan("gradcheck", "--seeds", 1, "--directions", 1, "--backend", "numpy")
    announce("matmul", folder)
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(kernels.available().get("numba", "no") is not None, reason="the numba backend is not here")
def test_info_tells_what_kernels_are_compiled_for(minigan: CommandLine) -> None:
    from kernels.cpu.jit import cache_folder
    from kernels.cpu.target import TARGET

    code, out, _ = minigan("info")
    assert code == 0
    assert f"compiled for {TARGET.name}, vectors of {8 * TARGET.vector_bytes} bits; " in out
    assert f"kernels are kept in {cache_folder()}\n" in out
