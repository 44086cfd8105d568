"""A convolution's padding, in the words that others have for it."""

from typing import NamedTuple, TypeAlias

from kernels.geometry import resolve_padding, same_pads
from kernels.types import Pads, Pair, Shape

from ...layers import Conv2d, ConvTranspose2d

Convolution: TypeAlias = Conv2d | ConvTranspose2d


def wide_pads(layer: Convolution, in_shape: Shape) -> Pads:
    """(top, bottom, left, right) on the wide side: around the input of a Conv2d, cut off a ConvTranspose2d's output."""
    size = (in_shape[0], in_shape[1])
    if isinstance(layer, Conv2d):
        return resolve_padding(layer.padding, size, layer.kernel, layer.stride)
    if layer.padding != "same":
        return resolve_padding(layer.padding, size, layer.kernel, layer.stride)
    out = layer.spec(in_shape)[0]
    vertical = same_pads(size[0], out[0], layer.kernel[0], layer.stride[0])
    return (*vertical, *same_pads(size[1], out[1], layer.kernel[1], layer.stride[1]))


class SymmetricForm(NamedTuple):
    """A convolution whose own padding is the same on both sides, and what that leaves to be done apart.

    Attributes:
        padding: vertical and horizontal.
        output_padding: of a transposed one, rows and columns at the end.
        border: (left, right, top, bottom) to be added before a Conv2d, or (below 0) cut off after a ConvTranspose2d.
    """

    padding: Pair
    output_padding: Pair
    border: tuple[int, int, int, int]


def symmetric_form(layer: Convolution, in_shape: Shape) -> SymmetricForm:
    """What PyTorch, which pads both sides alike, must be told."""
    top, bottom, left, right = wide_pads(layer, in_shape)
    if isinstance(layer, Conv2d):
        if (top, left) == (bottom, right):
            return SymmetricForm((top, left), (0, 0), (0, 0, 0, 0))
        return SymmetricForm((0, 0), (0, 0), (left, right, top, bottom))
    out = layer.spec(in_shape)[0]
    missing = [
        out[axis] - ((in_shape[axis] - 1) * layer.stride[axis] + layer.kernel[axis] - 2 * (top, left)[axis])
        for axis in range(2)
    ]
    more, less = [max(rows, 0) for rows in missing], [min(rows, 0) for rows in missing]
    return SymmetricForm((top, left), (more[0], more[1]), (0, less[1], 0, less[0]))
