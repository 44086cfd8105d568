"""Element-wise kernels and sums over arrays flattened to one axis, in blocks that stay in the first-level cache.

One block is one iteration of `prange`, so that what is added to what depends on shapes alone. Sums are taken in
float64, as in the reference.

Floor: memory, which each kernel reads and writes once.

Every kernel slices its arrays itself. A function that returned the slice would hide from Numba that it shares memory
with the array, and a parallel kernel drops what is written to an array that nothing reads again.
"""

import numpy as np
from numba import prange

from ..types import Array
from .activations import activate, derive, derive_twice
from .functions import clamp, exp
from .jit import REASSOCIATE, kernel, parallel_kernel

BLOCK = 8192
"""Elements: 32 KiB of float32."""

COLUMNS = 64
"""Of a table whose rows are added to by one thread."""


@parallel_kernel
def activation(x: Array, y: Array, code: int, parameter: float) -> None:
    """y = f(x)."""
    for b in prange(-(-x.size // BLOCK)):
        at = slice(b * BLOCK, (b + 1) * BLOCK)
        y_b = y[at]
        y_b[:] = x[at]
        activate(y_b, 0, y_b.size, code, parameter)


@parallel_kernel
def activation_grad(
    dy: Array,
    kept: Array,
    extra: Array,
    dz: Array,
    code: int,
    parameter: float,
    block: int,
    db: Array,
    partial: Array,
) -> None:
    """dz = dy f'(kept) + extra and, unless C is 0, db (C,) += sum of the rows of dz; `partial` as in `sum_rows`."""
    for b in prange(partial.shape[0]):
        at = slice(b * block, (b + 1) * block)
        dy_b, dz_b = dy[at], dz[at]
        dz_b[:] = kept[at]
        derive(dz_b, 0, dz_b.size, code, parameter)
        for i in range(dz_b.size):
            dz_b[i] *= dy_b[i]
        if extra.size:
            extra_b = extra[at]
            for i in range(dz_b.size):
                dz_b[i] += extra_b[i]
        if db.size:
            _sum_columns(dz_b, db.size, partial[b])
    if db.size:
        _add_partials(partial, db, True)


@parallel_kernel
def activation_double_grad(ddz: Array, dy: Array, kept: Array, extra: Array, code: int, parameter: float) -> None:
    """extra = ddz dy f''(kept)."""
    for b in prange(-(-extra.size // BLOCK)):
        at = slice(b * BLOCK, (b + 1) * BLOCK)
        ddz_b, dy_b = ddz[at], dy[at]
        extra_b = extra[at]
        extra_b[:] = kept[at]
        derive_twice(extra_b, 0, extra_b.size, code, parameter)
        for i in range(extra_b.size):
            extra_b[i] *= ddz_b[i] * dy_b[i]


@parallel_kernel
def add(a: Array, b: Array, y: Array) -> None:
    """y = a + b."""
    for n in prange(-(-y.size // BLOCK)):
        at = slice(n * BLOCK, (n + 1) * BLOCK)
        a_n, b_n, y_n = a[at], b[at], y[at]
        for i in range(y_n.size):
            y_n[i] = a_n[i] + b_n[i]


@parallel_kernel
def multiply(a: Array, b: Array, y: Array) -> None:
    """y = a b."""
    for n in prange(-(-y.size // BLOCK)):
        at = slice(n * BLOCK, (n + 1) * BLOCK)
        a_n, b_n, y_n = a[at], b[at], y[at]
        for i in range(y_n.size):
            y_n[i] = a_n[i] * b_n[i]


@parallel_kernel
def scale_shift(x: Array, scale: float, shift: float, y: Array) -> None:
    """y = scale x + shift."""
    factor, offset = x.dtype.type(scale), x.dtype.type(shift)
    for b in prange(-(-x.size // BLOCK)):
        at = slice(b * BLOCK, (b + 1) * BLOCK)
        x_b, y_b = x[at], y[at]
        for i in range(x_b.size):
            y_b[i] = factor * x_b[i] + offset


@parallel_kernel
def axpy(alpha: float, x: Array, y: Array) -> None:
    """y += alpha x."""
    factor = x.dtype.type(alpha)
    for b in prange(-(-x.size // BLOCK)):
        at = slice(b * BLOCK, (b + 1) * BLOCK)
        x_b, y_b = x[at], y[at]
        for i in range(x_b.size):
            y_b[i] += factor * x_b[i]


@parallel_kernel
def clip(x: Array, low: float, high: float) -> None:
    """x = min(max(x, low), high)."""
    least, most = x.dtype.type(low), x.dtype.type(high)
    for b in prange(-(-x.size // BLOCK)):
        at = slice(b * BLOCK, (b + 1) * BLOCK)
        x_b = x[at]
        for i in range(x_b.size):
            x_b[i] = clamp(x_b[i], least, most)


@parallel_kernel
def sum_rows(x: Array, block: int, y: Array, partial: Array, accumulate: bool) -> None:
    """y (C,) (+)= sum of the rows of x.

    `partial`, float64 of shape (blocks, lanes), holds the sums of each block of x. Its lanes are a multiple of C, and
    the elements of a block one of the lanes.
    """
    for b in prange(partial.shape[0]):
        at = slice(b * block, (b + 1) * block)
        _sum_columns(x[at], y.size, partial[b])
    _add_partials(partial, y, accumulate)


@kernel
def _sum_columns(x: Array, columns: int, lanes: Array) -> None:
    """lanes[:C] = sum of the rows of x; several rows at a time where they are short, since vectors are long."""
    lanes[:] = 0
    for start in range(0, x.size, lanes.size):
        rows = x[start : start + lanes.size]
        for i in range(rows.size):
            lanes[i] += rows[i]
    for start in range(columns, lanes.size, columns):
        for c in range(columns):
            lanes[c] += lanes[start + c]


@kernel
def _add_partials(partial: Array, y: Array, accumulate: bool) -> None:
    """y (+)= the partial sums of all blocks, in order."""
    total = partial[0]
    for b in range(1, partial.shape[0]):
        for c in range(y.size):
            total[c] += partial[b, c]
    for c in range(y.size):
        y[c] = y[c] + total[c] if accumulate else total[c]


@parallel_kernel(fastmath=REASSOCIATE)
def squared_norms(x: Array, y: Array) -> None:
    """y[n] = sum of x[n, ...]^2, for x flat."""
    features = x.size // y.size
    for n in prange(y.size):
        sample = x[n * features : (n + 1) * features]
        total = 0.0
        for i in range(sample.size):
            total += np.float64(sample[i]) * np.float64(sample[i])
        y[n] = total


@parallel_kernel
def scatter_add_rows(dw: Array, index: Array, dy: Array, features: int) -> None:
    """dw[index[n], :] += dy[n, :] in the order of n; a thread has columns of its own, since rows may repeat."""
    for b in prange(-(-features // COLUMNS)):
        first, last = b * COLUMNS, min((b + 1) * COLUMNS, features)
        for n in range(index.size):
            target = dw[index[n] * features + first : index[n] * features + last]
            source = dy[n * features + first : n * features + last]
            for i in range(source.size):
                target[i] += source[i]


@parallel_kernel
def softmax_cross_entropy(logits: Array, labels: Array, dlogits: Array, losses: Array) -> None:
    """losses[n] = log sum_k exp(l[n, k]) - l[n, label];  dlogits = (softmax(l) - onehot(label))/N."""
    rows = labels.size
    classes = logits.size // rows
    for n in prange(rows):
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
