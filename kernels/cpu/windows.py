"""Pooling as passes over the pixels of a window, each a loop over the channels that LLVM vectorises.

Axes: x, dx (N, H, W, C); y, dy (N, HO, WO, C); `window` = (KH, KW), `stride` = (SH, SW). Each work item writes one
sample. The adjoints write each pixel once too: it collects from the windows that hold it.
"""

import numpy as np

from ..types import Array, Pair
from .fork import fork
from .jit import kernel, parallel_kernel

# Else LLVM would leave out "+ 0" in _copy_where and store under a mask, which takes twice as long.
WITH_SIGNED_ZEROS = frozenset({"contract"})


@kernel
def _window_mean(n: int, x: Array, window: Pair, stride: Pair, divisor: int, y: Array) -> None:
    for i, j in np.ndindex(y.shape[1:3]):
        _fill(y[n, i, j], 0)
        for a, b in np.ndindex(window):
            _add(x[n, i * stride[0] + a, j * stride[1] + b], y[n, i, j])
        _divide(y[n, i, j], divisor)


@parallel_kernel
def window_mean(x: Array, window: Pair, stride: Pair, divisor: int, y: Array) -> None:
    """y[n, i, j] = sum_{a, b} x[n, i SH + a, j SW + b]/divisor."""
    fork(_window_mean, len(y), (x, window, stride, divisor, y))


@kernel
def _window_mean_adjoint(n: int, dy: Array, window: Pair, stride: Pair, divisor: int, dx: Array) -> None:
    for h in range(dx.shape[1]):
        top, bottom = _windows_around(h, window[0], stride[0], dy.shape[1])
        for w in range(dx.shape[2]):
            left, right = _windows_around(w, window[1], stride[1], dy.shape[2])
            _fill(dx[n, h, w], 0)
            for i in range(top, bottom):
                for j in range(left, right):
                    _add(dy[n, i, j], dx[n, h, w])
            _divide(dx[n, h, w], divisor)


@parallel_kernel
def window_mean_adjoint(dy: Array, window: Pair, stride: Pair, divisor: int, dx: Array) -> None:
    """dx[n, h, w] = sum of dy[n, i, j]/divisor over the windows (i, j) that hold the pixel (h, w)."""
    fork(_window_mean_adjoint, len(dx), (dy, window, stride, divisor, dx))


@kernel
def _window_max(n: int, x: Array, window: Pair, stride: Pair, y: Array, index: Array) -> None:
    for i, j in np.ndindex(y.shape[1:3]):
        _fill(y[n, i, j], -np.inf)
        _fill(index[n, i, j], 0)
        for a, b in np.ndindex(window):
            pixel = x[n, i * stride[0] + a, j * stride[1] + b]
            _keep_larger(pixel, a * window[1] + b, y[n, i, j], index[n, i, j])


@parallel_kernel
def window_max(x: Array, window: Pair, stride: Pair, y: Array, index: Array) -> None:
    """y[n, i, j] = max_{a, b} x[n, i SH + a, j SW + b], index = a KW + b of the first entry that attains it."""
    fork(_window_max, len(y), (x, window, stride, y, index))


@kernel
def _window_pick(n: int, x: Array, index: Array, window: Pair, stride: Pair, y: Array) -> None:
    for i, j in np.ndindex(y.shape[1:3]):
        _fill(y[n, i, j], 0)
        for a, b in np.ndindex(window):
            pixel = x[n, i * stride[0] + a, j * stride[1] + b]
            _copy_where(index[n, i, j], a * window[1] + b, pixel, y[n, i, j])


@parallel_kernel
def window_pick(x: Array, index: Array, window: Pair, stride: Pair, y: Array) -> None:
    """y[n, i, j] = x[n, i SH + a, j SW + b] with a KW + b = index[n, i, j]."""
    fork(_window_pick, len(y), (x, index, window, stride, y))


@kernel
def _window_pick_adjoint(n: int, dy: Array, index: Array, window: Pair, stride: Pair, dx: Array) -> None:
    for h in range(dx.shape[1]):
        top, bottom = _windows_around(h, window[0], stride[0], dy.shape[1])
        for w in range(dx.shape[2]):
            left, right = _windows_around(w, window[1], stride[1], dy.shape[2])
            _fill(dx[n, h, w], 0)
            for i in range(top, bottom):
                for j in range(left, right):
                    offset = (h - i * stride[0]) * window[1] + w - j * stride[1]
                    _add_where(index[n, i, j], offset, dy[n, i, j], dx[n, h, w])


@parallel_kernel
def window_pick_adjoint(dy: Array, index: Array, window: Pair, stride: Pair, dx: Array) -> None:
    """dx[n, h, w] = sum of dy[n, i, j] over the windows (i, j) whose index points at the pixel (h, w)."""
    fork(_window_pick_adjoint, len(dx), (dy, index, window, stride, dx))


@kernel
def _windows_around(place: int, window: int, stride: int, count: int) -> Pair:
    """The range of windows k < count that hold a place along one axis: k S <= place < k S + K."""
    return max((place - window) // stride + 1, 0), min(place // stride + 1, count)


@kernel
def _fill(y: Array, value: float) -> None:
    for c in range(y.size):
        y[c] = value


@kernel
def _add(x: Array, y: Array) -> None:
    for c in range(y.size):
        y[c] += x[c]


@kernel
def _divide(y: Array, divisor: int) -> None:
    number = y.dtype.type(divisor)
    for c in range(y.size):
        y[c] /= number


@kernel
def _keep_larger(x: Array, offset: int, y: Array, index: Array) -> None:
    """NaN goes through: once y is NaN no comparison is true any more. Offsets come in rising order."""
    place, none = index.dtype.type(offset), index.dtype.type(0)
    for c in range(y.size):
        new, old = x[c], y[c]
        larger = new > old
        index[c] = max(index[c], place if larger else none)
        y[c] = new if larger | (new != new) else old


@kernel(fastmath=WITH_SIGNED_ZEROS)
def _copy_where(index: Array, offset: int, x: Array, y: Array) -> None:
    """y, zero before, becomes x where index = offset."""
    place, zero = index.dtype.type(offset), y.dtype.type(0)
    for c in range(y.size):
        new = x[c]
        y[c] += new if index[c] == place else zero


@kernel
def _add_where(index: Array, offset: int, dy: Array, dx: Array) -> None:
    place = index.dtype.type(offset)
    for c in range(dx.size):
        dx[c] += dy[c] * (index[c] == place)
