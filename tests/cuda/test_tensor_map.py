"""Tensor maps: what TMA cannot copy is refused, the driver is asked rightly, and kernels take maps and nothing else."""

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.cuda import emulator, tensor_map
from kernels.cuda.emulator import EmulatorRuntime
from kernels.cuda.tensor_map import Layout, layout, of_driver
from kernels.types import Array

PROGRAMS = Path(__file__).parent / "programs"
needs_emulator = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))
BOX = (32, 128, 1)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def test_a_layout_counts_from_the_inner_axis_out() -> None:
    assert layout(ones(2, 50, 36), 4096, 33, (32, 64, 2)) == Layout(4096, (33, 50, 2), (144, 7200), (32, 64, 2))


@pytest.mark.parametrize(
    ("array", "address", "columns", "box", "message"),
    [
        (ones(4, 4), 0, 4, BOX, "a tensor map takes C-contiguous float32 of three axes, got float32 (4, 4)"),
        (np.ones((1, 4, 4)), 0, 4, BOX, "a tensor map takes C-contiguous float32 of three axes, got float64 (1, 4, 4)"),
        (ones(4, 4, 4).T, 0, 4, BOX, "a tensor map takes C-contiguous float32"),
        (ones(1, 4, 4), 8, 4, BOX, "multiples of 16 bytes, got the address 8 and rows of 16 bytes"),
        (ones(1, 4, 5), 0, 4, BOX, "multiples of 16 bytes, got the address 0 and rows of 20 bytes"),
        (ones(1, 4, 4), 0, 5, BOX, "a tensor map of 5 columns of an array (1, 4, 4)"),
        (ones(1, 4, 4), 0, 0, BOX, "a tensor map of 0 columns of an array (1, 4, 4)"),
        (ones(1, 0, 4), 0, 4, BOX, "a tensor map of 4 columns of an array (1, 0, 4)"),
        (ones(1, 4, 4), 0, 4, (16, 8, 1), "32 columns and at most 256 rows and parts, got (16, 8, 1)"),
        (ones(1, 4, 4), 0, 4, (32, 257, 1), "32 columns and at most 256 rows and parts, got (32, 257, 1)"),
    ],
)
def test_what_tma_cannot_copy_is_refused(
    array: Array, address: int, columns: int, box: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        layout(array, address, columns, box)


def test_the_driver_is_asked_for_a_swizzle_of_128_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map, type, rank, address, sizes, strides, box, steps; then interleave, swizzle, promotion and fill."""
    asked: list[Any] = []

    def encode(to: ctypes.c_void_p, kind: int, rank: ctypes.c_uint32, address: ctypes.c_void_p, *rest: Any) -> int:
        asked.extend([to.value, kind, rank.value, address.value])
        asked.extend(list(value) if isinstance(value, ctypes.Array) else value for value in rest)
        assert to.value is not None
        ctypes.memset(to.value, 7, 128)
        return 0

    monkeypatch.setattr(tensor_map, "_encoder", lambda: encode)
    encoded = of_driver(Layout(1 << 40, (33, 50, 2), (144, 7200), (32, 64, 2)))
    assert encoded.tobytes() == bytes([7]) * 128
    assert encoded.size == 1
    place, *others = asked
    assert place == encoded.ctypes.data
    assert place % 64 == 0
    assert others == [7, 3, 1 << 40, [33, 50, 2], [144, 7200], [32, 64, 2], [1, 1, 1], 0, 3, 3, 0]


def test_what_the_driver_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_map, "_encoder", lambda: lambda *_: 1)
    with pytest.raises(RuntimeError, match=r"cuTensorMapEncodeTiled: error 1 for Layout\(address=16, "):
        of_driver(Layout(16, (1, 1, 1), (16, 16), BOX))


def test_without_a_driver_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    tensor_map._encoder.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(RuntimeError, match=r"tensor maps need a driver of CUDA 12 or later: libcuda\.so\.1: cannot"):
        of_driver(Layout(16, (1, 1, 1), (16, 16), BOX))


@needs_emulator
def test_a_kernel_takes_a_map_for_a_map_and_for_nothing_else() -> None:
    runtime = EmulatorRuntime(folder=PROGRAMS)
    ring = runtime.function("ring.cu", "ring")
    x, y = runtime.to_device(ones(1, 128, 32)), runtime.to_device(ones(64, 128))
    a = runtime.tensor_map(x, 32, BOX)
    for arguments, message in (
        ((x, a, y, np.int32(1)), "ring: argument 0: expected a tensor map, got numpy array float32 (1, 128, 32)"),
        ((a, a, a, np.int32(1)), "ring: argument 2 is a pointer: expected a NumPy array or None, got a tensor map"),
        ((a, a, y, a), "ring: argument 3: expected np.int32, got a tensor map"),
    ):
        with pytest.raises(TypeError, match=re.escape(message)):
            ring((1,), (160,), arguments)  # type: ignore[arg-type]


@needs_emulator
def test_a_copy_beyond_the_array_of_a_map_brings_zeros_and_touches_nothing() -> None:
    """The array ends at memory that may not be touched; rows and steps beyond it are zeros, not NaN."""
    runtime = EmulatorRuntime(build="checked", guard="end", folder=PROGRAMS)
    a, b = (np.random.default_rng(0).integers(-9, 10, (rows, 36)).astype(np.float32) for rows in (50, 100))
    maps = [runtime.tensor_map(runtime.to_device(x[None]), 35, (32, rows, 1)) for x, rows in ((a, 64), (b, 128))]
    y = runtime.to_device(np.full((64, 128), np.nan, np.float32))
    runtime.function("ring.cu", "ring")((1,), (160,), (*maps, y, np.int32(2)), shared_bytes=2 * 192 * 32 * 4 + 1024)
    expected = np.zeros((64, 128), np.float32)
    expected[:50, :100] = a[:, :35] @ b[:, :35].T
    np.testing.assert_array_equal(y, expected)
