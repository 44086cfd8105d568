"""Adjoints of what an update does to a gradient: what `Optimizer.back` is made of, for unrolled GANs.

All arrays are flat buffers of one length, as `ParamSet.flat`, unless they are said to be 0-d.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kernels import Ops
from kernels.types import Array

TINY = 1e-30
"""Below any root of a float32 that is not 0."""


class Applied(NamedTuple):
    """What `back` must know of a step; flat buffers."""

    g: Array  # as the step got it
    moments: Mapping[str, Array]  # as it left them
    number: int  # of the step, from 1


def root_quotient_back(ops: Ops, m: Array, v: Array, scale: float, eps: float, dq: Array) -> tuple[Array, Array]:
    """(dm, dv) for q = m/n with n = root + eps, root = sqrt(scale v): dm = dq/n, dv = -dm m/n scale/(2 root).

    Where v is 0, all gradients so far were 0 or too small to be squared, and m is as small: dv, which is multiplied by
    such a gradient, counts as 0.
    """
    root = ops.scale_shift(v, scale)
    np.sqrt(root, out=root)
    n = ops.scale_shift(root, 1.0, eps)
    dm = np.divide(dq, n, out=ops.empty(n.shape))
    inverse = np.sign(root, out=ops.empty(n.shape))
    inverse /= np.maximum(root, TINY, out=root)
    np.divide(m, n, out=n)
    return dm, ops.scale_shift(ops.multiply(ops.multiply(dm, n), inverse), -scale / 2)


def clip_norm_back(ops: Ops, g: Array, norm: Array, limit: float, dg: Array) -> Array:
    """The adjoint of clipping a gradient to `limit`: from dg, of the gradient after it, to that of the one before.

    With g clipped = raw limit/norm, draw = limit/norm (dg - g <g, dg>/limit^2); where norm <= limit, dg.

    Args:
        g: the gradient after clipping.
        norm: |raw|, 0-d.
        limit: what it was clipped to.
        dg: flat like g.
    """
    along = ops.matmul(g.reshape(1, -1), dg.reshape(-1, 1)).reshape(1)  # <g, dg>
    clipped = (norm > limit).reshape(1)
    factor = np.where(clipped, limit / np.maximum(norm, limit), 1).astype(g.dtype)
    share = np.where(clipped, -along / limit**2, 0).astype(g.dtype)
    projected = ops.add(dg, ops.scale_samples(g.reshape(1, -1), share).reshape(g.shape))
    return ops.scale_samples(projected.reshape(1, -1), factor).reshape(g.shape)
