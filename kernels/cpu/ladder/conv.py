"""The ladder of the convolution, as far as it has kernels of its own: the definition, and patches written out.

y (N, HO, WO, O) from x (N, H, W, C) and w (KH, KW, C, O), `stride` and `pads` as in the contract: 2 N HO WO KH KW C O
FLOPs. The third rung is `kernels/cpu/implicit_gemm.py`, the fourth `kernels/cpu/winograd.py`.
"""

from collections.abc import Callable

from ...contract.products import ProductOps
from ...types import Array, Pads, Pair
from ..calls import run
from ..fork import fork
from ..jit import kernel, parallel_kernel
from ..ops.scratch import padded
from ..vector import copy_run


@kernel
def _naive(x: Array, w: Array, stride: Pair, pads: Pads, y: Array) -> None:
    (_, height, width, channels), (kh, kw, _, _) = x.shape, w.shape
    images, rows, columns, filters = y.shape
    for n in range(images):
        for i in range(rows):
            for j in range(columns):
                for o in range(filters):
                    total = y.dtype.type(0)
                    for a in range(kh):
                        for b in range(kw):
                            row, column = i * stride[0] + a - pads[0], j * stride[1] + b - pads[2]
                            if 0 <= row < height and 0 <= column < width:
                                for c in range(channels):
                                    total += x[n, row, column, c] * w[a, b, c, o]
                    y[n, i, j, o] = total


def naive(_: ProductOps, x: Array, w: Array, stride: Pair, pads: Pads, y: Array) -> None:
    """The definition, y[n, i, j, o] = sum_{a, b, c} x[n, i SH + a - top, j SW + b - left, c] w[a, b, c, o], as loops.

    Bytes: as the naive product, for the inner loops walk down a column of w as a matrix (KH KW C, O): a cache line for
    each number. And every number of a window is loaded once more for each of the O filters.
    """
    run(_naive, x, w, stride, pads, y)


@kernel
def _write_patches(
    item: int, image: Array, size: tuple[int, int, int], kernel: Pair, stride: Pair, windows: Pair, patches: Array
) -> None:
    """The patches of one row of windows, item = n HO + i; `image` (N, *size) with its border, flat."""
    height, width, channels = size
    n, i = item // windows[0], item % windows[0]
    run = kernel[1] * channels  # the numbers under one row of the kernel lie side by side in the image
    for j in range(windows[1]):
        for a in range(kernel[0]):
            start = ((n * height + i * stride[0] + a) * width + j * stride[1]) * channels
            copy_run(image, start, patches, ((item * windows[1] + j) * kernel[0] + a) * run, run)


@parallel_kernel
def write_patches(
    image: Array, size: tuple[int, int, int], kernel: Pair, stride: Pair, windows: Pair, patches: Array
) -> None:
    """patches (N HO WO, KH KW C), flat: what lies under each window."""
    rows = image.size // max(size[0] * size[1] * size[2], 1) * windows[0]
    fork(_write_patches, rows, (image, size, kernel, stride, windows, patches))


def im2col(ops: ProductOps, x: Array, w: Array, stride: Pair, pads: Pads, y: Array) -> None:
    """Patches written out as a matrix, then one product: y = patches (N HO WO, KH KW C) w (KH KW C, O).

    Faster: all that was gained on the ladder of the product is gained here, for one copy.
    Bytes: the patches, KH KW/(SH SW) times the image, written and read again. With few filters that is what the time
    goes to: for each number of a patch there are only 2 O FLOPs.
    """
    (n, height, width, channels), (kh, kw, _, filters) = x.shape, w.shape
    size = height + pads[0] + pads[1], width + pads[2] + pads[3], channels
    with ops.scratch():
        patches = ops.empty((n * y.shape[1] * y.shape[2], kh * kw * channels))
        write_patches(padded(ops, x, pads), size, (kh, kw), stride, (y.shape[1], y.shape[2]), patches.reshape(-1))
        ops.matmul(patches, w.reshape(-1, filters), out=y.reshape(-1, filters))


FORWARD: dict[str, Callable[[ProductOps, Array, Array, Pair, Pads, Array], None]] = {"naive": naive, "im2col": im2col}
"""Forward convolution by rung: overwrites y, with scratch memory and the product of `ops`."""
