"""What the contract asks for beyond a plain product, around the rungs of the ladder that compute nothing else.

Transposed operands are copied, sums are added and bias and activation applied in passes of their own.
"""

import numpy as np

from ...activations import Activation
from ...contract.products import ProductOps
from ...types import Array, Pads, Pair
from .. import elementwise
from ..calls import run
from ..epilogue import fused
from ..ladder.conv import FORWARD
from ..ladder.finish import finish_rows
from ..ladder.matmul import PRODUCTS
from .flat import flat, flat_or_none


def matmul(
    ops: ProductOps,
    rung: str,
    a: Array,
    b: Array,
    bias: Array | None,
    act: Activation | None,
    trans_a: bool,
    trans_b: bool,
    y: Array,
    accumulate: bool,
) -> None:
    """y = f(op(a) op(b) + bias), or y += op(a) op(b)."""
    with ops.scratch():
        a, b = _transposed(ops, a) if trans_a else a, _transposed(ops, b) if trans_b else b
        product = ops.empty(y.shape) if accumulate else y
        run(PRODUCTS[rung], a, b, product)
        if accumulate:
            elementwise.axpy(1.0, flat(product), flat(y))
    _finish(bias, act, y)


def conv2d(
    ops: ProductOps,
    rung: str,
    x: Array,
    w: Array,
    stride: Pair,
    pads: Pads,
    bias: Array | None,
    act: Activation | None,
    y: Array,
) -> None:
    """y = f(x * w + bias)."""
    FORWARD[rung](ops, x, w, stride, pads, y)
    _finish(bias, act, y)


def _transposed(ops: ProductOps, a: Array) -> Array:
    copy = ops.empty(a.shape[::-1])
    run(np.copyto, copy, a.T)
    return copy


def _finish(bias: Array | None, act: Activation | None, y: Array) -> None:
    if bias is not None or act is not None:
        finish_rows(flat(y), y.shape[-1], flat_or_none(bias, y), fused(act))
