"""The window family on CUDA kernels: windows.cu. Axes: N, H, W, C as in the contract.

Upsampling is pooling turned round: it repeats a pixel over a block, and its adjoint sums over the block. Both are the
kernels of average pooling with windows that do not overlap, without the division.
"""

import numpy as np

from ...contract.windows import WindowOps
from ...types import Array, Pair
from .device import DeviceOps


class CudaWindows(DeviceOps, WindowOps):
    """Pooling and nearest-neighbour upsampling."""

    def _avg_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        self._over(y, "window_sum", x, y, np.int64(y.size), self._area(kernel), *_geometry(x, y, kernel, stride))

    def _avg_pool2d_grad(self, dy: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        geometry = _geometry(dx, dy, kernel, stride)
        self._over(dx, "window_spread", dy, dx, np.int64(dx.size), self._area(kernel), *geometry)

    def _max_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array, index: Array) -> None:
        self._over(y, "window_max", x, y, index, np.int64(y.size), *_geometry(x, y, kernel, stride))

    def _max_pool2d_grad(self, dy: Array, index: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        geometry = _geometry(dx, dy, kernel, stride)
        self._over(dx, "window_pick_adjoint", dy, index, dx, np.int64(dx.size), *geometry)

    def _max_pool2d_gather(self, x: Array, index: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        self._over(y, "window_pick", x, index, y, np.int64(y.size), *_geometry(x, y, kernel, stride))

    def _upsample_nearest(self, x: Array, factor: Pair, y: Array) -> None:
        geometry = _geometry(y, x, factor, factor)
        self._over(y, "window_spread", x, y, np.int64(y.size), self.real(1), *geometry)

    def _upsample_nearest_grad(self, dy: Array, factor: Pair, dx: Array) -> None:
        geometry = _geometry(dy, dx, factor, factor)
        self._over(dx, "window_sum", dy, dx, np.int64(dx.size), self.real(1), *geometry)

    def _area(self, kernel: Pair) -> np.generic:
        return self.real(kernel[0] * kernel[1])

    def _over(self, result: Array, kernel: str, *arguments: Array | np.generic) -> None:
        self.launch_over(result.size, "windows.cu", kernel, *arguments)


def _geometry(image: Array, windows: Array, kernel: Pair, stride: Pair) -> tuple[np.int32, ...]:
    """Height and width, kernel, stride, windows down and across, channels."""
    return tuple(map(np.int32, (*image.shape[1:3], *kernel, *stride, *windows.shape[1:])))
