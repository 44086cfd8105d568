"""Strategies for what a layer is made from: shapes, kernels, strides, pads, activations."""

from typing import NamedTuple, TypeAlias

from hypothesis import strategies as st

from kernels import Activation, activation
from kernels.geometry import output_size, resolve_padding
from kernels.types import Padding, Pads, Pair, Shape

Draw: TypeAlias = st.DrawFn

LARGEST_PAD = 2


def seeds() -> st.SearchStrategy[int]:
    """Seeds for `check_layer`, `Layer.init` and `kernels.get_ops`."""
    return st.integers(0, 2**32 - 1)


def batches(min_size: int = 2, max_size: int = 4) -> st.SearchStrategy[int]:
    """Batch sizes N; from 2, since a batch of one hides every mistake along N."""
    return st.integers(min_size, max_size)


@st.composite
def image_shapes(
    draw: Draw, min_side: int = 1, max_side: int = 6, min_channels: int = 2, max_channels: int = 4
) -> Shape:
    """Image shapes (H, W, C), each axis drawn by itself, so mostly not square."""
    sides = st.integers(min_side, max_side)
    return draw(sides), draw(sides), draw(st.integers(min_channels, max_channels))


def feature_shapes(min_features: int = 2, max_features: int = 6) -> st.SearchStrategy[Shape]:
    """Shapes (F,) of flat features."""
    return st.tuples(st.integers(min_features, max_features))


def kernel_sizes(largest: int = 4) -> st.SearchStrategy[Pair]:
    """Kernels (KH, KW), mostly not square."""
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


def strides(largest: int = 3) -> st.SearchStrategy[Pair]:
    """Strides (vertical, horizontal), independent of the kernel."""
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


def paddings(largest: int = LARGEST_PAD) -> st.SearchStrategy[Padding]:
    """Every spelling of a padding: "same", "valid", one number, (top, bottom, left, right)."""
    side = st.integers(0, largest)
    return st.one_of(st.sampled_from(("same", "valid")), side, st.tuples(side, side, side, side))


class ConvCase(NamedTuple):
    """A convolution from an image of `size` (H, W) with C channels to `windows` (HO, WO) with O channels."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Padding
    in_channels: int  # C
    out_channels: int  # O

    @property
    def pads(self) -> Pads:
        """The padding as (top, bottom, left, right)."""
        return resolve_padding(self.padding, self.size, self.kernel, self.stride)

    @property
    def windows(self) -> Pair:
        """(HO, WO)."""
        return output_size(self.size, self.kernel, self.stride, self.pads)


@st.composite
def conv_cases(draw: Draw, max_side: int = 6, max_channels: int = 4, max_kernel: int = 4) -> ConvCase:
    """Convolutions that have at least one window.

    For the transposed convolution, exchange `size` with `windows` and the two channel counts.
    """
    size = draw(st.tuples(st.integers(1, max_side), st.integers(1, max_side)))
    kernel, stride, padding = draw(geometries(size, max_kernel))
    channels = st.integers(1, max_channels)
    return ConvCase(size, kernel, stride, padding, draw(channels), draw(channels))


@st.composite
def geometries(draw: Draw, size: Pair, max_kernel: int = 4) -> tuple[Pair, Pair, Padding]:
    """(kernel, stride, padding) of a convolution of an image of `size` (H, W)."""
    stride, padding = draw(strides()), draw(paddings())
    if padding == "same":
        return draw(kernel_sizes(max_kernel)), stride, padding
    top, bottom, left, right = resolve_padding(padding, size, (1, 1), stride)
    room = min(max_kernel, size[0] + top + bottom), min(max_kernel, size[1] + left + right)
    return draw(st.tuples(st.integers(1, room[0]), st.integers(1, room[1]))), stride, padding


@st.composite
def activations(draw: Draw) -> Activation | None:
    """What can be fused into Dense, convolutions and norms; None is the identity."""
    name = draw(st.sampled_from((None, "relu", "leaky_relu", "elu", "tanh", "sigmoid", "softplus")))
    parameter = draw(st.sampled_from((None, 0.1, 0.5))) if name in ("leaky_relu", "elu") else None
    return activation(name, parameter)
