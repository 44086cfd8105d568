"""The idx format of MNIST: two zero bytes, type, number of dimensions, each size as big-endian uint32, then the values.

Source: "The MNIST database", LeCun, Cortes and Burges. Only type 8, unsigned byte, occurs in MNIST and Fashion-MNIST.
"""

from math import prod
from pathlib import Path

import numpy as np

from ..errors import UserError
from .dataset import ByteArray

UNSIGNED_BYTE = 8


def parse_idx(content: bytes, ndim: int, source: Path) -> ByteArray:
    """Return the `ndim`-dimensional array of unsigned bytes in `content`, which was read from `source`."""
    magic = bytes((0, 0, UNSIGNED_BYTE, ndim))
    if content[:4] != magic:
        raise UserError(
            f"{source}: expected the idx magic number {magic.hex(' ')} (unsigned bytes, {ndim} dimensions), "
            f"got {content[:4].hex(' ') or 'an empty file'}"
        )
    header = 4 + 4 * ndim
    if len(content) < header:
        raise UserError(f"{source}: truncated: expected an idx header of {header} bytes, got {len(content)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(content, dtype=">u4", count=ndim, offset=4))
    expected = header + prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "trailing bytes"
        raise UserError(f"{source}: {fault}: expected {expected} bytes for idx shape {shape}, got {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
