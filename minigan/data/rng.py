"""Random bits as a function of (seed, use, index) alone: a run that resumes has no generator state to restore."""

from zlib import crc32

import numpy as np

from ..errors import UserError


def philox(seed: int, use: str, index: int = 0) -> np.random.Philox:
    """Return the counter-based generator of one stream; other arguments give independent bits.

    Philox-4x64-10 encrypts a counter with a key (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
    1, 2, 3", SC 2011). Here the key is (seed, index), and the CRC-32 of `use` is the highest word of the first counter.
    `random_raw` gives the same bits in every NumPy version, which the methods of `np.random.Generator` do not promise.
    """
    if not 0 <= seed < 2**64:
        raise UserError(f"seed: expected 0 <= seed < 2**64, got {seed}")
    return np.random.Philox(
        key=np.array([seed, index], dtype=np.uint64), counter=np.array([0, 0, 0, crc32(use.encode())], dtype=np.uint64)
    )
