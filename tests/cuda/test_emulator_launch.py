"""Launching kernels on the emulator: arguments, shapes of launches, captures."""

from pathlib import Path

import numpy as np
import pytest

from kernels.cuda import emulator
from kernels.cuda.emulator import EmulatorRuntime

PROGRAMS = Path(__file__).parent / "programs"
pytestmark = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))


def scale(x: object, y: object, n: object, a: object) -> None:
    EmulatorRuntime(folder=PROGRAMS).function("scale.cu", "scale<float>")((1,), (32,), (x, y, n, a))  # type: ignore[arg-type]


def test_a_kernel_runs() -> None:
    x, y = np.arange(20, dtype=np.float32), np.full(20, np.nan, np.float32)
    scale(x, y, np.int32(20), np.float32(3))
    np.testing.assert_array_equal(y, 3 * x)


@pytest.mark.parametrize(
    ("position", "argument", "error", "message"),
    [
        (2, 4, TypeError, "scale<float>: argument 2: expected np.int32, got a Python int"),
        (2, np.int64(4), TypeError, "scale<float>: argument 2: expected np.int32, got np.int64"),
        (3, 1.0, TypeError, "scale<float>: argument 3: expected np.float32, got a Python float"),
        (1, np.zeros(4), TypeError, r"argument 1: expected an array of float32, got numpy array float64 \(4,\)"),
        (0, [1.0], TypeError, "argument 0 is a pointer: expected a NumPy array or None, got a Python list"),
        (
            0,
            np.zeros((4, 4), np.float32).T,
            ValueError,
            r"argument 0: numpy array float32 \(4, 4\) is not C-contiguous",
        ),
    ],
)
def test_a_wrong_argument_is_named(position: int, argument: object, error: type[Exception], message: str) -> None:
    arguments: list[object] = [np.ones(4, np.float32), np.ones(4, np.float32), np.int32(4), np.float32(1)]
    arguments[position] = argument
    with pytest.raises(error, match=message):
        scale(*arguments)


def test_a_capture_runs_nothing_and_its_graph_runs_all_again() -> None:
    runtime = EmulatorRuntime(folder=PROGRAMS)
    double = runtime.function("scale.cu", "scale<float>")
    x = np.ones(4, np.float32)
    runtime.begin_capture()
    double((1,), (32,), (x, x, np.int32(4), np.float32(2)))
    double((1,), (32,), (x, x, np.int32(3), np.float32(2)))
    graph = runtime.end_capture()
    np.testing.assert_array_equal(x, 1)
    graph.launch()
    graph.launch()
    np.testing.assert_array_equal(x, [16, 16, 16, 4])
