"""Pooling and nearest-neighbour upsampling.

Axes: N, H, W, C = batch, height, width, channels; HO, WO = window positions; KH, KW = window. No padding: windows that
would cross the border are left out, as in "valid" convolution.
"""

from abc import abstractmethod

import numpy as np

from ..geometry import output_size, pair
from ..types import Array, Pair
from .base import OpsBase

NO_PADS = (0, 0, 0, 0)


def _sizes(op: str, kernel: Pair, stride: Pair) -> tuple[Pair, Pair]:
    return pair(kernel, f"{op}: kernel"), pair(stride, f"{op}: stride")


class WindowOps(OpsBase):
    """avg_pool2d, max_pool2d, upsample_nearest, each with its adjoint."""

    def avg_pool2d(self, x: Array, kernel: Pair, stride: Pair) -> Array:
        """Mean of each window: x (N, H, W, C) -> (N, HO, WO, C)."""
        kernel, stride = _sizes("avg_pool2d", kernel, stride)
        y = self.empty(self._pooled("avg_pool2d", x, kernel, stride))
        self.calls["avg_pool2d"] += 1
        self._avg_pool2d(x, kernel, stride, y)
        return y

    def avg_pool2d_grad(self, dy: Array, size: Pair, kernel: Pair, stride: Pair) -> Array:
        """Adjoint of avg_pool2d: dy (N, HO, WO, C) -> (N, H, W, C) with (H, W) = size."""
        kernel, stride = _sizes("avg_pool2d_grad", kernel, stride)
        size = pair(size, "avg_pool2d_grad: size")
        self._check_pooled("avg_pool2d_grad", dy, size, kernel, stride)
        self.calls["avg_pool2d_grad"] += 1
        dx = self.empty((dy.shape[0], *size, dy.shape[3]))
        self._avg_pool2d_grad(dy, kernel, stride, dx)
        return dx

    def max_pool2d(self, x: Array, kernel: Pair, stride: Pair) -> tuple[Array, Array]:
        """(y, index): maximum of each window and where it stands in it, row by row (int32); the first of equals."""
        kernel, stride = _sizes("max_pool2d", kernel, stride)
        shape = self._pooled("max_pool2d", x, kernel, stride)
        self.calls["max_pool2d"] += 1
        y, index = self.empty(shape), self.empty(shape, np.int32)
        self._max_pool2d(x, kernel, stride, y, index)
        return y, index

    def max_pool2d_grad(self, dy: Array, index: Array, size: Pair, kernel: Pair, stride: Pair) -> Array:
        """dx (N, H, W, C): each dy added where its window's maximum stood."""
        kernel, stride = _sizes("max_pool2d_grad", kernel, stride)
        size = pair(size, "max_pool2d_grad: size")
        self._check_pooled("max_pool2d_grad", dy, size, kernel, stride)
        if index.shape != dy.shape:
            raise ValueError(f"max_pool2d_grad: dy is {dy.shape}, index {index.shape}")
        self.calls["max_pool2d_grad"] += 1
        dx = self.empty((dy.shape[0], *size, dy.shape[3]))
        self._max_pool2d_grad(dy, index, kernel, stride, dx)
        return dx

    def max_pool2d_gather(self, x: Array, index: Array, kernel: Pair, stride: Pair) -> Array:
        """x at the places of `index`: the adjoint of max_pool2d_grad, (N, H, W, C) -> (N, HO, WO, C)."""
        kernel, stride = _sizes("max_pool2d_gather", kernel, stride)
        shape = self._pooled("max_pool2d_gather", x, kernel, stride)
        if index.shape != shape:
            raise ValueError(f"max_pool2d_gather: x {x.shape} gives windows {shape}, index is {index.shape}")
        self.calls["max_pool2d_gather"] += 1
        y = self.empty(shape)
        self._max_pool2d_gather(x, index, kernel, stride, y)
        return y

    def upsample_nearest(self, x: Array, factor: Pair) -> Array:
        """Repeat every pixel factor[0] times down and factor[1] times across."""
        factor = pair(factor, "upsample_nearest: factor")
        self.check_float("upsample_nearest", x=x)
        if x.ndim != 4:
            raise ValueError(f"upsample_nearest: expected (N, H, W, C), got {x.shape}")
        self.calls["upsample_nearest"] += 1
        y = self.empty((x.shape[0], x.shape[1] * factor[0], x.shape[2] * factor[1], x.shape[3]))
        self._upsample_nearest(x, factor, y)
        return y

    def upsample_nearest_grad(self, dy: Array, factor: Pair) -> Array:
        """Adjoint of upsample_nearest: the sum over each block of repeats."""
        op = "upsample_nearest_grad"
        factor = pair(factor, f"{op}: factor")
        self.check_float(op, dy=dy)
        if not (dy.ndim == 4 and dy.shape[1] % factor[0] == 0 and dy.shape[2] % factor[1] == 0):
            raise ValueError(f"{op}: dy {dy.shape} is not a whole number of {factor[0]}x{factor[1]} blocks")
        self.calls[op] += 1
        dx = self.empty((dy.shape[0], dy.shape[1] // factor[0], dy.shape[2] // factor[1], dy.shape[3]))
        self._upsample_nearest_grad(dy, factor, dx)
        return dx

    def _pooled(self, op: str, x: Array, kernel: Pair, stride: Pair) -> tuple[int, ...]:
        self.check_float(op, x=x)
        if x.ndim != 4:
            raise ValueError(f"{op}: expected x (N, H, W, C), got {x.shape}")
        return (x.shape[0], *output_size(x.shape[1:3], kernel, stride, NO_PADS, op), x.shape[3])

    def _check_pooled(self, op: str, dy: Array, size: Pair, kernel: Pair, stride: Pair) -> None:
        self.check_float(op, dy=dy)
        expected = output_size(size, kernel, stride, NO_PADS, op)
        if not (dy.ndim == 4 and tuple(dy.shape[1:3]) == expected):
            raise ValueError(
                f"{op}: dy is {dy.shape}, an image of {size[0]}x{size[1]} has {expected[0]}x{expected[1]} windows"
            )

    @abstractmethod
    def _avg_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array) -> None: ...
    @abstractmethod
    def _avg_pool2d_grad(self, dy: Array, kernel: Pair, stride: Pair, dx: Array) -> None: ...
    @abstractmethod
    def _max_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array, index: Array) -> None: ...
    @abstractmethod
    def _max_pool2d_grad(self, dy: Array, index: Array, kernel: Pair, stride: Pair, dx: Array) -> None: ...
    @abstractmethod
    def _max_pool2d_gather(self, x: Array, index: Array, kernel: Pair, stride: Pair, y: Array) -> None: ...
    @abstractmethod
    def _upsample_nearest(self, x: Array, factor: Pair, y: Array) -> None: ...
    @abstractmethod
    def _upsample_nearest_grad(self, dy: Array, factor: Pair, dx: Array) -> None: ...
