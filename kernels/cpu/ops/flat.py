"""How the operations hand arrays to kernels: flat, and what is absent as an array of no elements, of the same type.

One type for each argument means one compiled version of each kernel and dtype.
"""

import numpy as np

from ...types import Array

_NOTHING = {kind: np.empty(0, kind) for kind in map(np.dtype, (np.float32, np.float64))}


def flat(a: Array) -> Array:
    """a as one row, without a copy."""
    return a.ravel()


def flat_or_none(a: Array | None, like: Array) -> Array:
    """a as one row; no elements in place of None."""
    return _NOTHING[like.dtype] if a is None else a.ravel()
