"""Element-wise kernels over arrays flattened to one axis, in blocks that stay in the first-level cache.

A thread works on whole blocks, so what is added to what depends on shapes alone.

Floor: memory, which each kernel reads and writes once.
"""

import numpy as np

from ..types import Array
from .activations import IDENTITY, LEAKY_RELU, RELU, activate, derive, derive_twice
from .fork import fork
from .functions import clamp, exp
from .jit import kernel, parallel_kernel
from .lines import fold
from .sums import sum_lanes
from .vector import copy_run

BLOCK = 8192
"""Elements: 32 KiB of float32."""

COLUMNS = 64
"""Of a table whose rows are added to by one thread."""


def blocks_of(size: int) -> int:
    """Number of blocks."""
    return (size + BLOCK - 1) // BLOCK


_blocks_of = kernel(blocks_of)


@kernel
def _activation(block: int, x: Array, y: Array, code: int, parameter: float) -> None:
    start = block * BLOCK
    count = min(BLOCK, y.size - start)
    copy_run(x, start, y, start, count)
    activate(y, start, count, code, parameter)


@parallel_kernel
def activation(x: Array, y: Array, code: int, parameter: float) -> None:
    """y = f(x); y may be x."""
    fork(_activation, _blocks_of(y.size), (x, y, code, parameter))


@kernel
def _straight_grad(dy: Array, kept: Array, extra: Array, dz: Array, slope: float) -> None:
    """dz = dy (1 where kept > 0, else slope) + extra, or no extra: what is made of straight lines needs one pass."""
    one, left = dy.dtype.type(1), dy.dtype.type(slope)
    if extra.size:
        for i in range(dz.size):
            dz[i] = dy[i] * (one if kept[i] > 0 else left) + extra[i]
    else:
        for i in range(dz.size):
            dz[i] = dy[i] * (one if kept[i] > 0 else left)


@kernel
def _times(dy: Array, extra: Array, dz: Array) -> None:
    """dz = dz dy + extra, or no extra."""
    if extra.size:
        for i in range(dz.size):
            dz[i] = dz[i] * dy[i] + extra[i]
    else:
        for i in range(dz.size):
            dz[i] *= dy[i]


@kernel
def _activation_grad(
    block: int,
    dy: Array,
    kept: Array,
    extra: Array,
    dz: Array,
    code: int,
    parameter: float,
    length: int,
    columns: int,
    partial: Array,
) -> None:
    start = block * length
    end = min(start + length, dz.size)
    dy_b, dz_b = dy[start:end], dz[start:end]
    if code in (IDENTITY, RELU, LEAKY_RELU):
        _straight_grad(dy_b, kept[start:end], extra[start:end], dz_b, 1.0 if code == IDENTITY else parameter)
    else:
        copy_run(kept, start, dz, start, end - start)
        derive(dz, start, end - start, code, parameter)
        _times(dy_b, extra[start:end], dz_b)
    if columns:
        sum_lanes(dz_b, partial[block])


@parallel_kernel
def activation_grad(
    dy: Array,
    kept: Array,
    extra: Array,
    dz: Array,
    code: int,
    parameter: float,
    length: int,
    db: Array,
    partial: Array,
) -> None:
    """dz = dy f'(kept) + extra and, unless C is 0, db (C,) += sum of the rows of dz; `partial` as in `sum_rows`."""
    fork(
        _activation_grad,
        partial.shape[0],
        (dy, kept, extra, dz, code, parameter, length, db.size, partial),
    )
    if db.size:
        fold(partial, db.size)
    for c in range(db.size):
        db[c] += partial[0, c]


@kernel
def _activation_double_grad(
    block: int, ddz: Array, dy: Array, kept: Array, extra: Array, code: int, parameter: float
) -> None:
    start = block * BLOCK
    count = min(BLOCK, extra.size - start)
    copy_run(kept, start, extra, start, count)
    derive_twice(extra, start, count, code, parameter)
    end = start + count
    ddz_b, dy_b, extra_b = ddz[start:end], dy[start:end], extra[start:end]
    for i in range(count):
        extra_b[i] *= ddz_b[i] * dy_b[i]


@parallel_kernel
def activation_double_grad(ddz: Array, dy: Array, kept: Array, extra: Array, code: int, parameter: float) -> None:
    """extra = ddz dy f''(kept)."""
    fork(_activation_double_grad, _blocks_of(extra.size), (ddz, dy, kept, extra, code, parameter))


@kernel
def _add(block: int, a: Array, b: Array, y: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    a_b, b_b, y_b = a[at], b[at], y[at]
    for i in range(y_b.size):
        y_b[i] = a_b[i] + b_b[i]


@parallel_kernel
def add(a: Array, b: Array, y: Array) -> None:
    """y = a + b."""
    fork(_add, _blocks_of(y.size), (a, b, y))


@kernel
def _multiply(block: int, a: Array, b: Array, y: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    a_b, b_b, y_b = a[at], b[at], y[at]
    for i in range(y_b.size):
        y_b[i] = a_b[i] * b_b[i]


@parallel_kernel
def multiply(a: Array, b: Array, y: Array) -> None:
    """y = a b."""
    fork(_multiply, _blocks_of(y.size), (a, b, y))


@kernel
def _fill(block: int, x: Array, value: float) -> None:
    number = x.dtype.type(value)
    run = x[block * BLOCK : (block + 1) * BLOCK]
    for i in range(run.size):
        run[i] = number


@parallel_kernel
def fill(x: Array, value: float) -> None:
    """x = value."""
    fork(_fill, _blocks_of(x.size), (x, value))


@kernel
def _scale_shift(block: int, x: Array, scale: float, shift: float, y: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    x_b, y_b = x[at], y[at]
    factor, offset = x.dtype.type(scale), x.dtype.type(shift)
    for i in range(x_b.size):
        y_b[i] = factor * x_b[i] + offset


@parallel_kernel
def scale_shift(x: Array, scale: float, shift: float, y: Array) -> None:
    """y = scale x + shift."""
    fork(_scale_shift, _blocks_of(x.size), (x, scale, shift, y))


@kernel
def _axpy(block: int, alpha: float, x: Array, y: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    x_b, y_b = x[at], y[at]
    factor = x.dtype.type(alpha)
    for i in range(x_b.size):
        y_b[i] += factor * x_b[i]


@parallel_kernel
def axpy(alpha: float, x: Array, y: Array) -> None:
    """y += alpha x."""
    fork(_axpy, _blocks_of(x.size), (alpha, x, y))


@kernel
def _clip(block: int, x: Array, low: float, high: float) -> None:
    x_b = x[block * BLOCK : (block + 1) * BLOCK]
    least, most = x.dtype.type(low), x.dtype.type(high)
    for i in range(x_b.size):
        x_b[i] = clamp(x_b[i], least, most)


@parallel_kernel
def clip(x: Array, low: float, high: float) -> None:
    """x = min(max(x, low), high)."""
    fork(_clip, _blocks_of(x.size), (x, low, high))


@kernel
def _scale_sample(n: int, x: Array, factors: Array, y: Array) -> None:
    features, factor = x.size // factors.size, factors[n]
    sample, scaled = x[n * features : (n + 1) * features], y[n * features : (n + 1) * features]
    for i in range(features):
        scaled[i] = factor * sample[i]


@parallel_kernel
def scale_samples(x: Array, factors: Array, y: Array) -> None:
    """y[n] = factors[n] x[n], for x and y flat."""
    fork(_scale_sample, factors.size, (x, factors, y))


@kernel
def _scatter_add_columns(block: int, dw: Array, index: Array, dy: Array, features: int) -> None:
    first, last = block * COLUMNS, min((block + 1) * COLUMNS, features)
    for n in range(index.size):
        target = dw[index[n] * features + first : index[n] * features + last]
        source = dy[n * features + first : n * features + last]
        for i in range(source.size):
            target[i] += source[i]


@parallel_kernel
def scatter_add_rows(dw: Array, index: Array, dy: Array, features: int) -> None:
    """dw[index[n], :] += dy[n, :] in the order of n; a thread has columns of its own, since rows may repeat."""
    fork(_scatter_add_columns, (features + COLUMNS - 1) // COLUMNS, (dw, index, dy, features))


@kernel
def _cross_entropy_row(n: int, logits: Array, labels: Array, dlogits: Array, losses: Array) -> None:
    rows = labels.size
    classes = logits.size // rows
    at = slice(n * classes, (n + 1) * classes)
    row, gradient = logits[at], dlogits[at]
    largest = row[0]
    for k in range(classes):
        largest = max(largest, row[k])
    for k in range(classes):
        gradient[k] = exp(row[k] - largest)
    total = 0.0
    for k in range(classes):
        total += gradient[k]
    losses[n] = np.log(total) - (row[labels[n]] - largest)
    factor = row.dtype.type(1 / (rows * total))
    for k in range(classes):
        gradient[k] *= factor
    gradient[labels[n]] -= row.dtype.type(1 / rows)


@parallel_kernel
def softmax_cross_entropy(logits: Array, labels: Array, dlogits: Array, losses: Array) -> None:
    """losses[n] = log sum_k exp(l[n, k]) - l[n, label];  dlogits = (softmax(l) - onehot(label))/N."""
    fork(_cross_entropy_row, labels.size, (logits, labels, dlogits, losses))
