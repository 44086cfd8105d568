"""Where a convolution's windows lie: sizes and paddings, without touching an array.

Axes: H, W = image height and width; KH, KW = kernel; "out" = number of window positions along an axis.
"""

from collections.abc import Sequence
from operator import index

import numpy as np

from .types import Padding, Pads, Pair


def pair(value: int | Sequence[int], what: str, minimum: int = 1) -> Pair:
    """Return `value` as (vertical, horizontal), both at least `minimum`; one number stands for both."""
    both = _integers((value, value) if isinstance(value, (int, np.integer)) else value)
    if len(both) != 2 or min(both) < minimum:
        raise ValueError(f"{what} must be one or two whole numbers of at least {minimum}, got {value!r}")
    return both[0], both[1]


def four_pads(value: Sequence[int], what: str) -> Pads:
    """Return `value` as (top, bottom, left, right), none below 0."""
    sides = _integers(value)
    if len(sides) != 4 or min(sides) < 0:
        raise ValueError(f"{what} must be four whole numbers of at least 0, got {value!r}")
    return sides[0], sides[1], sides[2], sides[3]


def _integers(values: object) -> tuple[int, ...]:
    """Python's own integers, none if `values` are no sequence of whole numbers.

    A tuple also where the caller has a list, since kernels' plans are kept by them; of NumPy's integers, which count as
    well, sums of small types would overflow.
    """
    try:
        return tuple(map(index, values))  # type: ignore[call-overload]
    except TypeError:
        return ()


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
    if isinstance(padding, str) and padding == "same":
        top, bottom = same_pads(-(-size[0] // stride[0]), size[0], kernel[0], stride[0])
        left, right = same_pads(-(-size[1] // stride[1]), size[1], kernel[1], stride[1])
        return top, bottom, left, right
    if isinstance(padding, str) and padding == "valid":
        return 0, 0, 0, 0
    sides = _integers((padding,) * 4 if isinstance(padding, (int, np.integer)) else padding)
    if len(sides) != 4 or min(sides) < 0:
        raise ValueError(
            f'padding must be "same", "valid", a number >= 0 or (top, bottom, left, right), got {padding!r}'
        )
    return sides[0], sides[1], sides[2], sides[3]


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads, what: str = "convolution") -> Pair:
    """Number of windows per axis: out = floor((size + pads - kernel)/stride) + 1; `what` begins an error's message.

    Raises:
        ValueError: the kernel is larger than the padded image, or empty.
    """
    if min(kernel) < 1:
        raise ValueError(f"{what}: expected a kernel of at least 1x1, got {kernel[0]}x{kernel[1]}")
    height, width = size[0] + pads[0] + pads[1], size[1] + pads[2] + pads[3]
    if height < kernel[0] or width < kernel[1]:
        raise ValueError(
            f"{what}: a kernel of {kernel[0]}x{kernel[1]} does not fit into an image of {size[0]}x{size[1]} "
            f"with pads (top, bottom, left, right) = {tuple(pads)}"
        )
    return (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1
