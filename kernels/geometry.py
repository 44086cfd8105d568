"""Where a convolution's windows lie: sizes and paddings, without touching an array.

Axes: H, W = image height and width; KH, KW = kernel; "out" = number of window positions along an axis.
"""

from collections.abc import Sequence

from .types import Padding, Pads, Pair


def pair(value: int | tuple[int, int] | list[int], what: str, minimum: int = 1) -> Pair:
    """Return `value` as (vertical, horizontal), both at least `minimum`; one number stands for both."""
    both = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, tuple | list) else ()
    if len(both) != 2 or not all(isinstance(v, int) and v >= minimum for v in both):
        raise ValueError(f"{what} must be one or two whole numbers of at least {minimum}, got {value!r}")
    return both[0], both[1]


def as_tuples(stride: Pair, pads: Pads) -> tuple[Pair, Pads]:
    """The same numbers, as tuples also where the caller has lists: kernels' plans are kept by them."""
    (down, across), (top, bottom, left, right) = stride, pads
    return (down, across), (top, bottom, left, right)


def same_pads(out: int, size: int, kernel: int, stride: int) -> Pair:
    """Pads (before, after) for which `size` pixels give `out` windows; the odd pixel goes after.

    total = max((out - 1)*stride + kernel - size, 0). TensorFlow's "same" is this with out = ceil(size/stride).
    """
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def resolve_padding(padding: Padding, size: Pair, kernel: Pair, stride: Pair) -> Pads:
    """Turn any spelling of a padding into (top, bottom, left, right) for images of `size`.

    Deviation: "same" with a stride above 1 follows TensorFlow (output ceil(H/s)), so the pads may differ by one
    between the two sides; PyTorch refuses that case.
    """
    if padding == "same":
        top, bottom = same_pads(-(-size[0] // stride[0]), size[0], kernel[0], stride[0])
        left, right = same_pads(-(-size[1] // stride[1]), size[1], kernel[1], stride[1])
        return top, bottom, left, right
    if padding == "valid":
        return 0, 0, 0, 0
    if isinstance(padding, int) and padding >= 0:
        return padding, padding, padding, padding
    if isinstance(padding, Sequence) and not isinstance(padding, str):
        sides = tuple(padding)
        if len(sides) == 4 and all(isinstance(side, int) and side >= 0 for side in sides):
            return sides[0], sides[1], sides[2], sides[3]
    raise ValueError(f'padding must be "same", "valid", a number >= 0 or (top, bottom, left, right), got {padding!r}')


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> Pair:
    """Number of windows per axis: out = floor((size + pads - kernel)/stride) + 1.

    Raises:
        ValueError: the kernel is larger than the padded image; a stride of 0, or a pad below 0.
    """
    if min(stride) < 1 or min(pads) < 0:
        raise ValueError(f"expected strides of at least 1 and pads of at least 0, got {tuple(stride)}, {tuple(pads)}")
    height, width = size[0] + pads[0] + pads[1], size[1] + pads[2] + pads[3]
    if height < kernel[0] or width < kernel[1]:
        raise ValueError(
            f"a kernel of {kernel[0]}x{kernel[1]} does not fit into an image of {size[0]}x{size[1]} "
            f"with pads (top, bottom, left, right) = {tuple(pads)}"
        )
    return (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1
