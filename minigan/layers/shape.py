"""Layers that only rearrange, repeat or average: Reshape, Flatten, Upsample2d, AvgPool2d, and MaxPool2d beside them.

Axes: N, H, W, C = batch, height, width, channels.
"""

import math
from typing import Any, NamedTuple

from kernels import Ops
from kernels.geometry import output_size, pair
from kernels.types import Array, Pair, Shape

from ..layer import Layer, Note, Params, is_shape
from ..params import Spec
from .fixed_linear import FixedLinear

NO_PADS = (0, 0, 0, 0)


class Reshape(FixedLinear):
    """The same elements in another shape: Reshape(7, 7, 128) maps (N, 6272) to (N, 7, 7, 128). Aliases its input."""

    def __init__(self, *shape: int) -> None:
        if not shape or any(not isinstance(size, int) or size < 1 for size in shape):
            raise ValueError(f"Reshape: expected whole numbers of at least 1, got {shape}")
        self.shape = shape

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """Any shape with as many elements."""
        if not is_shape(in_shape) or math.prod(in_shape) != math.prod(self.shape):
            raise ValueError(f"Reshape: an input {in_shape} cannot become {self.shape}")
        return self.shape, {}

    def apply(self, ops: Ops, x: Array) -> Array:
        """(N, ...) -> (N, *shape)."""
        return x.reshape(x.shape[0], *self.shape)

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """Back to the shape of x."""
        return dy.reshape(x_shape)


class Flatten(FixedLinear):
    """(N, ...) -> (N, F), all features on one axis. Aliases its input."""

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(...) -> (F,)."""
        if not is_shape(in_shape):
            raise ValueError(f"Flatten: expected one input, got {in_shape}")
        return (math.prod(in_shape),), {}

    def apply(self, ops: Ops, x: Array) -> Array:
        """(N, ...) -> (N, F)."""
        return x.reshape(x.shape[0], -1)

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """Back to the shape of x."""
        return dy.reshape(x_shape)


class Upsample2d(FixedLinear):
    """Nearest-neighbour upsampling: every pixel becomes a block of factor[0] x factor[1].

    dx = sum over the block.
    """

    def __init__(self, factor: int | Pair = 2) -> None:
        self.factor = pair(factor, "Upsample2d: factor")

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) -> (H factor[0], W factor[1], C)."""
        height, width, channels = image(self, in_shape)
        return (height * self.factor[0], width * self.factor[1], channels), {}

    def apply(self, ops: Ops, x: Array) -> Array:
        """Repeat."""
        return ops.upsample_nearest(x, self.factor)

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """Sum over blocks."""
        return ops.upsample_nearest_grad(dy, self.factor)


class AvgPool2d(FixedLinear):
    """Mean over windows of `kernel_size`, every `stride` pixels (by default side by side), without padding.

    dx = sum of dy/(KH KW) over the windows that hold the pixel.
    """

    def __init__(self, kernel_size: int | Pair = 2, stride: int | Pair | None = None) -> None:
        self.kernel = pair(kernel_size, "AvgPool2d: kernel_size")
        self.stride = self.kernel if stride is None else pair(stride, "AvgPool2d: stride")

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) -> (HO, WO, C)."""
        height, width, channels = image(self, in_shape)
        return (*output_size((height, width), self.kernel, self.stride, NO_PADS, "AvgPool2d"), channels), {}

    def apply(self, ops: Ops, x: Array) -> Array:
        """Average."""
        return ops.avg_pool2d(x, self.kernel, self.stride)

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """Share each dy among its window."""
        return ops.avg_pool2d_grad(dy, (x_shape[1], x_shape[2]), self.kernel, self.stride)


class MaxPoolNote(NamedTuple):
    """Kept by forward and passed on by backward."""

    where: Array  # (N, HO, WO, C) int32: which entry of its window was the maximum
    size: Pair  # (H, W) of x


class MaxPool2d(Layer):
    """Maximum over windows of `kernel_size`, every `stride` pixels (by default side by side), without padding.

    Piecewise a selection, linear while the winners stay the same:

        backward         dx = dy, added where the maximum stood (the first of equals)
        double_backward  ddy = ddx at the same places, no extra
    """

    def __init__(self, kernel_size: int | Pair = 2, stride: int | Pair | None = None) -> None:
        self.kernel = pair(kernel_size, "MaxPool2d: kernel_size")
        self.stride = self.kernel if stride is None else pair(stride, "MaxPool2d: stride")

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) -> (HO, WO, C)."""
        height, width, channels = image(self, in_shape)
        return (*output_size((height, width), self.kernel, self.stride, NO_PADS, "MaxPool2d"), channels), {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, MaxPoolNote]:
        """y = max over the window; keeps where it stood."""
        y, index = ops.max_pool2d(x, self.kernel, self.stride)
        return y, MaxPoolNote(index, (x.shape[1], x.shape[2]))

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: MaxPoolNote,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, MaxPoolNote]:
        """Scatter dy."""
        dx = ops.max_pool2d_grad(dy, cache.where, cache.size, self.kernel, self.stride) if need_dx else None
        return dx, cache

    def double_backward(
        self, ops: Ops, p: Params, tape: MaxPoolNote, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, Note]:
        """Gather ddx."""
        return (None if ddx is None else ops.max_pool2d_gather(ddx, tape.where, self.kernel, self.stride)), None


def image(layer: Layer, in_shape: Any) -> Shape:
    """Check that `in_shape` is (H, W, C); return it."""
    if not is_shape(in_shape) or len(in_shape) != 3:
        raise ValueError(f"{type(layer).__name__}: expected an image (H, W, C), got {in_shape}")
    return tuple(in_shape)
