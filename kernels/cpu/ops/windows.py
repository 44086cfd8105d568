"""The window family on CPU kernels. Axes: N, H, W, C as in the contract.

Upsampling is pooling turned round: it repeats a pixel over a block, and its adjoint sums over the block. Both are the
kernels of average pooling with windows that do not overlap, without the division.
"""

from ...contract.windows import WindowOps
from ...types import Array, Pair
from .. import windows


class NumbaWindows(WindowOps):
    """Pooling and nearest-neighbour upsampling."""

    def _avg_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        windows.window_mean(x, kernel, stride, kernel[0] * kernel[1], y)

    def _avg_pool2d_grad(self, dy: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        windows.window_mean_adjoint(dy, kernel, stride, kernel[0] * kernel[1], dx)

    def _max_pool2d(self, x: Array, kernel: Pair, stride: Pair, y: Array, index: Array) -> None:
        windows.window_max(x, kernel, stride, y, index)

    def _max_pool2d_grad(self, dy: Array, index: Array, kernel: Pair, stride: Pair, dx: Array) -> None:
        windows.window_pick_adjoint(dy, index, kernel, stride, dx)

    def _max_pool2d_gather(self, x: Array, index: Array, kernel: Pair, stride: Pair, y: Array) -> None:
        windows.window_pick(x, index, kernel, stride, y)

    def _upsample_nearest(self, x: Array, factor: Pair, y: Array) -> None:
        windows.window_mean_adjoint(x, factor, factor, 1, y)

    def _upsample_nearest_grad(self, dy: Array, factor: Pair, dx: Array) -> None:
        windows.window_mean(dy, factor, factor, 1, dx)
