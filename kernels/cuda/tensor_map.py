"""Tensor maps: how a kernel tells TMA, the copy engine of compute capability 9.0, which array it copies out of.

A map holds address, sizes, strides and the box that one instruction copies, 128 bytes in a form that is the driver's
secret. A kernel gets it by value. The emulator's maps are of its own form, with the same contents.
"""

import ctypes
import functools
from typing import Any, NamedTuple

import numpy as np

from ..types import Array

BYTES, ALIGNMENT = 128, 64
"""Of a map."""

LINE = 128
"""Bytes of a line of the box: what the swizzle of 128 bytes permutes."""

UNIT = 16
"""Bytes that the array's address and strides are multiples of."""

MOST_ALONG = 256
"""Of a box, along each axis."""

_KIND = 0x70616D726F736E74  # TensorMap::KIND of emulator/engine/engine.h


class TensorMap(NamedTuple):
    """A map, and the array that it describes, which has to stay alive as long as the map is used.

    Attributes:
        array: (parts, rows, stride), float32.
        encoded: 128 bytes as an array of one element, which CuPy passes by value.
    """

    array: Array
    encoded: Array


class Layout(NamedTuple):
    """What a map says, from the inner axis out: columns, rows, parts.

    Attributes:
        address: of the first number.
        sizes: numbers along each axis; beyond them a copy brings zeros.
        strides: bytes from row to row and from part to part.
        box: numbers that one copy brings, along each axis.
    """

    address: int
    sizes: tuple[int, int, int]
    strides: tuple[int, int]
    box: tuple[int, int, int]


def layout(array: Array, address: int, columns: int, box: tuple[int, int, int]) -> Layout:
    """The layout of an array (parts, rows, stride) of which the first `columns` numbers of each row count.

    Raises:
        ValueError: the array is none that TMA can copy out of, or the box none that it copies; says why.
    """
    if array.ndim != 3 or array.dtype != np.float32 or not array.flags.c_contiguous:
        raise ValueError(f"a tensor map takes C-contiguous float32 of three axes, got {array.dtype} {array.shape}")
    parts, rows, stride = array.shape
    if address % UNIT or 4 * stride % UNIT:
        raise ValueError(
            f"TMA takes addresses and rows that are multiples of {UNIT} bytes, "
            f"got the address {address} and rows of {4 * stride} bytes"
        )
    if not 0 < columns <= stride or not rows or not parts:
        raise ValueError(f"a tensor map of {columns} columns of an array {array.shape}")
    if 4 * box[0] != LINE or not all(1 <= size <= MOST_ALONG for size in box):
        raise ValueError(f"a box has {LINE // 4} columns and at most {MOST_ALONG} rows and parts, got {box}")
    return Layout(address, (columns, rows, parts), (4 * stride, 4 * stride * rows), box)


def of_emulator(of: Layout) -> Array:
    """TensorMap of emulator/engine/engine.h."""
    words = np.array([_KIND, of.address, *of.sizes, *of.strides], np.uint64).tobytes()
    words += np.array(of.box, np.uint32).tobytes()
    return np.frombuffer(words.ljust(BYTES, b"\0"), f"V{BYTES}")


def of_driver(of: Layout) -> Array:
    """The driver's own, with the swizzle of 128 bytes.

    Raises:
        RuntimeError: there is no driver, it is too old for TMA, or it refuses the layout.
    """
    memory = np.zeros(BYTES + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    encoded = memory[start : start + BYTES]
    u32, u64 = ctypes.c_uint32, ctypes.c_uint64
    status = _encoder()(
        ctypes.c_void_p(encoded.ctypes.data),
        _FLOAT32,
        u32(3),
        ctypes.c_void_p(of.address),
        (u64 * 3)(*of.sizes),
        (u64 * 2)(*of.strides),
        (u32 * 3)(*of.box),
        (u32 * 3)(1, 1, 1),  # every number, none left out
        _NO_INTERLEAVE,
        _SWIZZLE_128,
        _PROMOTE_TO_256,
        _ZEROS_OUTSIDE,
    )
    if status:
        raise RuntimeError(f"cuTensorMapEncodeTiled: error {status} for {of}")
    return encoded.view(f"V{BYTES}")


# Of the driver's enumerations CUtensorMapDataType, ...Interleave, ...Swizzle, ...L2promotion and ...FloatOOBfill.
_FLOAT32, _NO_INTERLEAVE, _SWIZZLE_128, _PROMOTE_TO_256, _ZEROS_OUTSIDE = 7, 0, 3, 3, 0


@functools.cache
def _encoder() -> Any:
    """cuTensorMapEncodeTiled of the driver, which is there wherever a kernel runs; CuPy does not wrap it."""
    try:
        return ctypes.CDLL("libcuda.so.1").cuTensorMapEncodeTiled
    except (OSError, AttributeError) as error:
        raise RuntimeError(f"tensor maps need a driver of CUDA 12 or later: {error}") from None
