"""Pooling and upsampling in NumPy, one pass per offset inside the window. Axes: N, H, W, C as in the contract."""

from collections.abc import Iterator

import numpy as np

from ..contract.windows import WindowOps
from ..types import Array, Pair
from .products import window_rows


class NumpyWindows(WindowOps):
    """The window family."""

    def _avg_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        """y = mean over the window."""
        y.fill(0)
        for _, rows, columns in _offsets(kernel, stride, y):
            y += x[:, rows, columns]
        y /= kernel[0] * kernel[1]

    def _avg_pool2d_grad(self, dy: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        """dx = sum over the windows that hold the pixel of dy/(KH KW)."""
        share = dy / (kernel[0] * kernel[1])
        dx.fill(0)
        for _, rows, columns in _offsets(kernel, stride, dy):
            dx[:, rows, columns] += share

    def _max_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array, index: Array) -> None:
        """y = max over the window, index = a*KW + b of the first entry (a, b) that attains it."""
        y.fill(-np.inf)
        index.fill(0)
        for offset, rows, columns in _offsets(kernel, stride, y):
            candidate = x[:, rows, columns]
            larger = candidate > y
            np.copyto(index, offset, where=larger)
            np.maximum(y, candidate, out=y)  # NaN goes through

    def _max_pool2d_grad(self, dy: Array, index: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        """dx[where the maximum stood] += dy."""
        dx.fill(0)
        for offset, rows, columns in _offsets(kernel, stride, dy):
            dx[:, rows, columns] += dy * (index == offset)

    def _max_pool2d_gather(self, x: Array, index: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        """y = x where the maximum stood."""
        y.fill(0)
        for offset, rows, columns in _offsets(kernel, stride, y):
            np.copyto(y, x[:, rows, columns], where=index == offset)

    def _upsample_nearest(self, x: Array, factor: Pair, y: Array) -> None:
        """y[n, i, j] = x[n, i // FH, j // FW]."""
        _blocks(y, factor)[...] = x[:, :, None, :, None, :]

    def _upsample_nearest_grad(self, dy: Array, factor: Pair, dx: Array) -> None:
        """dx = sum over the block."""
        np.sum(_blocks(dy, factor), axis=(2, 4), out=dx)


def _offsets(kernel: Pair, stride: Pair, windows: Array) -> Iterator[tuple[int, slice, slice]]:
    """(a*KW + b, rows, columns) for each entry (a, b) of the window; `windows` is (N, HO, WO, C)."""
    for a, rows in window_rows(kernel[0], windows.shape[1], stride[0]):
        for b, columns in window_rows(kernel[1], windows.shape[2], stride[1]):
            yield a * kernel[1] + b, rows, columns


def _blocks(y: Array, factor: Pair) -> Array:
    """(N, H*FH, W*FW, C) -> (N, H, FH, W, FW, C), a view."""
    n, h, w, c = y.shape
    return y.reshape(n, h // factor[0], factor[0], w // factor[1], factor[1], c)
