"""Conv2d and ConvTranspose2d: one is the other's input gradient, so three kernels serve both.

Axes: N, H, W, C = batch, height, width, channels; HO, WO = output size; KH, KW = kernel. With the trilinear form
t(x, w, y) = <conv2d(x, w), y> the three kernels are its partial derivatives, and every term below is one of them.
"""

import math
from typing import Any

from kernels import Activation, Ops
from kernels.geometry import output_size, pair, resolve_padding, same_pads
from kernels.types import Array, Padding, Pads, Pair, Shape

from ..initializers import Initializer, transposed
from ..layer import features
from ..params import Spec
from .linear import LinearLayer


class Conv2d(LinearLayer):
    """Cross-correlation: x (N, H, W, C) -> (N, HO, WO, O), W (KH, KW, C, O), b (O,).

        forward          y = f(conv2d(x, W) + b)
        backward         dz = dy f' + extra.z,   dx = conv2d_input_grad(dz, W) + extra.x,
                         dW += conv2d_weight_grad(x, dz)
        double_backward  ddz = conv2d(ddx, W) + conv2d(x, ddW) + ddb,   dW += conv2d_weight_grad(ddx, dz),
                         extra.x = conv2d_input_grad(dz, ddW)

    Args:
        kernel_size, stride: a number or (vertical, horizontal).
        padding: "same" (HO = ceil(H/stride), the odd pixel at the bottom and right, as in TensorFlow), "valid", a
            number or (top, bottom, left, right).
        activation, bias, init: as in Dense.

    Deviation: PyTorch has NCHW images, W (O, C, KH, KW), symmetric pads only, and no "same" for strides above 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: Padding = "same",
        activation: str | Activation | None = None,
        bias: bool = True,
        init: Initializer | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, activation, bias, init)
        self.kernel = pair(kernel_size, "Conv2d: kernel_size")
        self.stride = pair(stride, "Conv2d: stride")
        self.padding = padding
        resolve_padding(padding, (1, 1), self.kernel, self.stride)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) -> (HO, WO, O)."""
        height, width, _ = image_shape(self, in_shape, self.in_features)
        size = output_size((height, width), self.kernel, self.stride, self._pads((height, width)), "Conv2d")
        return (*size, self.out_features), self.params((*self.kernel, self.in_features, self.out_features))

    def flops(self, in_shape: Any) -> int:
        """2 HO WO KH KW C O."""
        return 2 * math.prod(self.spec(in_shape)[0]) * math.prod(self.kernel) * self.in_features

    def apply(self, ops: Ops, w: Array, x: Array, bias: Array | None, activation: Activation | None) -> Array:
        """f(conv2d(x, W) + b)."""
        pads = self._pads((x.shape[1], x.shape[2]))
        return ops.conv2d(x, w, self.stride, pads, bias=bias, activation=activation)

    def apply_adjoint(self, ops: Ops, w: Array, dz: Array, x_shape: Shape) -> Array:
        """conv2d_input_grad(dz, W)."""
        size = (x_shape[1], x_shape[2])
        return ops.conv2d_input_grad(dz, w, self.stride, self._pads(size), size)

    def weight_grad(self, ops: Ops, dw: Array, x: Array, dz: Array, accumulate: bool = True) -> None:
        """dW (+)= conv2d_weight_grad(x, dz)."""
        pads = self._pads((x.shape[1], x.shape[2]))
        ops.conv2d_weight_grad(x, dz, self.stride, pads, self.kernel, out=dw, accumulate=accumulate)

    def _pads(self, size: Pair) -> Pads:
        return resolve_padding(self.padding, size, self.kernel, self.stride)


class ConvTranspose2d(LinearLayer):
    """Transposed convolution, the input gradient of a Conv2d: x (N, H, W, C) -> (N, HO, WO, O), b (O,).

    W is (KH, KW, O, C), exactly the array of the Conv2d that maps O channels to C.

        forward          y = f(conv2d_input_grad(x, W) + b)
        backward         dz = dy f' + extra.z,   dx = conv2d(dz, W) + extra.x,   dW += conv2d_weight_grad(dz, x)
        double_backward  ddz = conv2d_input_grad(ddx, W) + conv2d_input_grad(x, ddW) + ddb,
                         dW += conv2d_weight_grad(dz, ddx),   extra.x = conv2d(dz, ddW)

    The size of the output is that of the Conv2d's input, which a stride s leaves open by s - 1 pixels:

        "same"           HO = s H
        other paddings   HO = (H - 1) s + KH - top - bottom + output_padding
        output_size      HO as given, whatever the padding

    Args:
        output_padding: extra rows and columns at the bottom and right, below the stride; not with "same".
        output_size: (HO, WO) itself; not together with output_padding.
        others: as in Conv2d.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: Padding = "same",
        activation: str | Activation | None = None,
        bias: bool = True,
        output_padding: int | Pair = 0,
        output_size: Pair | None = None,
        init: Initializer | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, activation, bias, init)
        self.kernel = pair(kernel_size, "ConvTranspose2d: kernel_size")
        self.stride = pair(stride, "ConvTranspose2d: stride")
        self.padding = padding
        self.output_padding = pair(output_padding, "ConvTranspose2d: output_padding", minimum=0)
        self.output_size = None if output_size is None else pair(output_size, "ConvTranspose2d: output_size")
        resolve_padding(padding, (1, 1), self.kernel, self.stride)
        if any(self.output_padding) and (padding == "same" or output_size is not None):
            raise ValueError('ConvTranspose2d: output_padding goes neither with padding="same" nor with output_size')
        if any(extra >= stride for extra, stride in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(
                f"ConvTranspose2d: output_padding {self.output_padding} must be below the stride {self.stride}"
            )

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) -> (HO, WO, O)."""
        height, width, _ = image_shape(self, in_shape, self.in_features)
        size, pads = self._geometry((height, width))
        narrow = output_size(size, self.kernel, self.stride, pads, "ConvTranspose2d") if min(size) > 0 else (0, 0)
        if narrow != (height, width):
            raise ValueError(
                f"ConvTranspose2d: no output of {size[0]}x{size[1]} belongs to an input of {height}x{width} "
                f"with kernel {self.kernel}, stride {self.stride}, padding {self.padding!r}: "
                f"a convolution of it gives {narrow}"
            )
        weight = (*self.kernel, self.out_features, self.in_features)
        return (*size, self.out_features), self.params(weight, transposed(self.weight_init))

    def flops(self, in_shape: Any) -> int:
        """2 H W KH KW C O."""
        return 2 * math.prod(in_shape) * math.prod(self.kernel) * self.out_features

    def apply(self, ops: Ops, w: Array, x: Array, bias: Array | None, activation: Activation | None) -> Array:
        """f(conv2d_input_grad(x, W) + b)."""
        size, pads = self._geometry((x.shape[1], x.shape[2]))
        return ops.conv2d_input_grad(x, w, self.stride, pads, size, bias=bias, activation=activation)

    def apply_adjoint(self, ops: Ops, w: Array, dz: Array, x_shape: Shape) -> Array:
        """conv2d(dz, W)."""
        return ops.conv2d(dz, w, self.stride, self._geometry((x_shape[1], x_shape[2]))[1])

    def weight_grad(self, ops: Ops, dw: Array, x: Array, dz: Array, accumulate: bool = True) -> None:
        """dW (+)= conv2d_weight_grad(dz, x): the roles of image and output gradient are exchanged."""
        pads = self._geometry((x.shape[1], x.shape[2]))[1]
        ops.conv2d_weight_grad(dz, x, self.stride, pads, self.kernel, out=dw, accumulate=accumulate)

    def _geometry(self, size: Pair) -> tuple[Pair, Pads]:
        """Output size and pads (those of the Conv2d from output to input) for an input of `size`."""
        if self.padding == "same":
            out = self.output_size or (size[0] * self.stride[0], size[1] * self.stride[1])
            vertical = same_pads(size[0], out[0], self.kernel[0], self.stride[0])
            return out, (*vertical, *same_pads(size[1], out[1], self.kernel[1], self.stride[1]))
        pads = resolve_padding(self.padding, size, self.kernel, self.stride)
        smallest = (
            (size[0] - 1) * self.stride[0] + self.kernel[0] - pads[0] - pads[1],
            (size[1] - 1) * self.stride[1] + self.kernel[1] - pads[2] - pads[3],
        )
        return self.output_size or (smallest[0] + self.output_padding[0], smallest[1] + self.output_padding[1]), pads


def image_shape(layer: Any, in_shape: Any, channels: int) -> Shape:
    """Check that `in_shape` is (H, W, channels); return it."""
    shape = features(layer, in_shape, channels, "channels")
    if len(shape) != 3:
        raise ValueError(f"{type(layer).__name__}: expected an image (H, W, {channels}), got {in_shape}")
    return shape
