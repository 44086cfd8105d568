"""Hypothesis strategies for property tests of layers: ours, and yours.

    @given(shape=image_shapes(), seed=seeds())
    def test_my_layer(shape, seed):
        check_layer(MyLayer(shape[-1]), shape, seed=seed).require()

Everything drawn is small, so that a test can afford dozens of cases, and covers what breaks layers: sides of 1, images
that are not square, strides that do not divide, kernels larger and smaller than the stride, pads that differ from side
to side. Axes: N = batch, H, W, C = height, width, channels, F = features; shapes are without the batch axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from hypothesis import strategies as st

from kernels import Activation, activation
from kernels.geometry import output_size, resolve_padding
from kernels.types import Padding, Pads, Pair, Shape

from .layer import Layer, Sequential, is_shape
from .layers import (
    ELU,
    GRU,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    DiffAugment,
    Dropout,
    Embedding,
    Flatten,
    Fork,
    InstanceNoise,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    MinibatchStddev,
    Pack,
    Parallel,
    Projection,
    ReLU,
    Reshape,
    Residual,
    ScaleShift,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    Upsample2d,
)
from .layers.augmentation import KINDS as AUGMENTATIONS
from .params import ParamSet

Draw: TypeAlias = st.DrawFn
LayerAndShape: TypeAlias = tuple[Layer, Any]

LABELS = 3
"""Every drawn Embedding has at least as many rows."""

LARGEST_PAD = 2
LARGE = 4
"""Sides above it are not enlarged further."""


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
    kernel, stride, padding = draw(_geometries(size, max_kernel))
    channels = st.integers(1, max_channels)
    return ConvCase(size, kernel, stride, padding, draw(channels), draw(channels))


@st.composite
def _geometries(draw: Draw, size: Pair, max_kernel: int = 4) -> tuple[Pair, Pair, Padding]:
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


def random_inputs(in_shape: Any, batch: int, seed: int, dtype: np.typing.DTypeLike = np.float64) -> Any:
    """Standard normal arrays (N, *shape), nested as the shapes are; labels (N,) in [0, LABELS) where a shape is ()."""
    return _random_inputs(in_shape, batch, np.random.default_rng(seed), np.dtype(dtype))


def _random_inputs(in_shape: Any, batch: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Any:
    if in_shape == ():
        return rng.integers(0, LABELS, batch)
    if is_shape(in_shape):
        return rng.standard_normal((batch, *in_shape)).astype(dtype)
    return tuple(_random_inputs(member, batch, rng, dtype) for member in in_shape)


def random_like(value: Any, seed: int) -> Any:
    """Standard normal arrays of the shapes and dtypes of `value`, an array or nested tuples of them: a dy for a y."""
    rng = np.random.default_rng(seed)

    def draw(member: Any) -> Any:
        if isinstance(member, tuple):
            return tuple(draw(m) for m in member)
        return rng.standard_normal(member.shape).astype(member.dtype)

    return draw(value)


def random_params(layer: Layer, in_shape: Any, seed: int, dtype: np.typing.DTypeLike = np.float64) -> ParamSet:
    """Initial values plus noise, so that no gain is 1 and no bias 0; state stays as it is at the start."""
    p, rng = layer.init(seed, in_shape, dtype), np.random.default_rng(seed)
    for view in p.trainable().values():
        view += 0.5 * rng.standard_normal(view.shape)
    return p


# A builder draws a layer of one kind for inputs of a given shape.

Builder: TypeAlias = Callable[[Draw, Shape], Layer]


def _conv(draw: Draw, shape: Shape) -> Layer:
    kernel, stride, padding = draw(_geometries((shape[0], shape[1])))
    out, bias = draw(_channels()), draw(st.booleans())
    return Conv2d(shape[2], out, kernel, stride, padding, draw(activations()), bias)


def _conv_transpose(draw: Draw, shape: Shape) -> Layer:
    """Every way to say how large the output is: "same", pads with output_padding, or output_size."""
    kernel, stride = draw(kernel_sizes()), draw(strides())
    spare = draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1))
    arguments: dict[str, Any] = {"activation": draw(activations()), "bias": draw(st.booleans())}
    if draw(st.booleans()):
        if any(spare):
            arguments["output_size"] = shape[0] * stride[0] - spare[0], shape[1] * stride[1] - spare[1]
        return ConvTranspose2d(shape[2], draw(_channels()), kernel, stride, "same", **arguments)
    full = (shape[0] - 1) * stride[0] + kernel[0], (shape[1] - 1) * stride[1] + kernel[1]  # without pads
    pads = (*draw(_crops(full[0])), *draw(_crops(full[1])))
    size = full[0] - pads[0] - pads[1] + spare[0], full[1] - pads[2] - pads[3] + spare[1]
    arguments |= {"output_size": size} if draw(st.booleans()) else {"output_padding": spare}
    padding: Padding = "valid" if not any(pads) else pads[0] if len(set(pads)) == 1 else pads
    return ConvTranspose2d(shape[2], draw(_channels()), kernel, stride, padding, **arguments)


@st.composite
def _crops(draw: Draw, full: int) -> Pair:
    """Pads (before, after) that leave at least one of `full` pixels."""
    before = draw(st.integers(0, min(LARGEST_PAD, full - 1)))
    return before, draw(st.integers(0, min(LARGEST_PAD, full - 1 - before)))


def _dense(draw: Draw, shape: Shape) -> Layer:
    return Dense(shape[-1], draw(_channels()), draw(activations()), draw(st.booleans()))


def _layer_norm(draw: Draw, shape: Shape) -> Layer:
    return LayerNorm(shape[-1], draw(_norm_eps()), draw(activations()))


def _instance_norm(draw: Draw, shape: Shape) -> Layer:
    return InstanceNorm(shape[-1], draw(_norm_eps()), draw(activations()))


def _batch_norm(draw: Draw, shape: Shape) -> Layer:
    return BatchNorm(shape[-1], draw(st.sampled_from((0.1, 0.5, 1.0))), draw(_norm_eps()), draw(activations()))


def whole_groups(layer: Layer, n: int) -> int:
    """A batch size for a layer that couples neighbours: n times as many as it takes together."""
    return n * (layer.group or 1)


def _norm_eps() -> st.SearchStrategy[float]:
    """Not tiny: behind a dead ReLU a variance is 0, where a tiny eps curves too hard for a difference quotient."""
    return st.sampled_from((0.05, 0.5))


def _pool(kind: type[Layer]) -> Builder:
    def build(draw: Draw, shape: Shape) -> Layer:
        kernel = draw(st.tuples(*(st.integers(1, min(side, 3)) for side in shape[:2])))
        return kind(kernel, draw(st.none() | strides()))  # type: ignore[call-arg]

    return build


def _residual(draw: Draw, shape: Shape) -> Layer:
    branch = Sequential(*(_preserving(draw, shape) for _ in range(draw(st.integers(1, 3)))))
    return Residual(branch, draw(st.sampled_from((None, _preserving(draw, shape)))))


def _preserving(draw: Draw, shape: Shape) -> Layer:
    """A layer that keeps the shape; about every fifth is itself a Residual."""
    features = shape[-1]
    kinds: list[Callable[[], Layer]] = [
        lambda: Dense(features, features, draw(activations())),
        lambda: LayerNorm(features, draw(_norm_eps()), draw(activations())),
        lambda: draw(ELEMENTWISE[draw(st.sampled_from(tuple(ELEMENTWISE)))]),
        lambda: Residual(Dense(features, features, draw(activations()))),
    ]
    if len(shape) == 3:
        kinds.append(lambda: Conv2d(features, features, draw(kernel_sizes(3)), activation=draw(activations())))
    return draw(st.sampled_from(kinds))()


def _channels() -> st.SearchStrategy[int]:
    return st.integers(1, 4)


ELEMENTWISE: dict[str, st.SearchStrategy[Layer]] = {
    "ReLU": st.builds(ReLU),
    "LeakyReLU": st.builds(LeakyReLU, st.sampled_from((0.0, 0.2, 0.9))),
    "ELU": st.builds(ELU, st.sampled_from((0.5, 1.0, 2.0))),
    "Tanh": st.builds(Tanh),
    "Sigmoid": st.builds(Sigmoid),
    "Softplus": st.builds(Softplus),
    "SiLU": st.builds(SiLU),
}


def _any_shape(strategy: st.SearchStrategy[Layer]) -> Builder:
    """A builder that has no need to know the shape."""

    def build(draw: Draw, _: Shape) -> Layer:
        return draw(strategy)

    return build


BUILDERS: dict[str, Builder] = {
    **{name: _any_shape(strategy) for name, strategy in ELEMENTWISE.items()},
    "Dense": _dense,
    "Conv2d": _conv,
    "ConvTranspose2d": _conv_transpose,
    "LayerNorm": _layer_norm,
    "InstanceNorm": _instance_norm,
    "BatchNorm": _batch_norm,
    "Dropout": _any_shape(st.builds(Dropout, st.sampled_from((0.0, 0.3, 0.8)))),
    "InstanceNoise": _any_shape(st.builds(InstanceNoise, st.sampled_from((0.0, 0.5)))),
    "DiffAugment": lambda draw, _: DiffAugment(*draw(st.sets(st.sampled_from(AUGMENTATIONS), min_size=1))),
    "ScaleShift": _any_shape(st.builds(ScaleShift, st.sampled_from((0.5, -2.0)), st.sampled_from((0.0, 1.0)))),
    "Flatten": _any_shape(st.builds(Flatten)),
    "Reshape": lambda draw, shape: Reshape(*draw(st.permutations(shape)), 1),
    "Upsample2d": _any_shape(st.builds(Upsample2d, kernel_sizes(3))),
    "AvgPool2d": _pool(AvgPool2d),
    "MaxPool2d": _pool(MaxPool2d),
    "Residual": _residual,
}
"""Kinds that map one array to one array."""

COMPOSITES = ("Sequential", "Parallel", "Fork", "Concat")
IMAGE_ONLY = ("Conv2d", "ConvTranspose2d", "Upsample2d", "AvgPool2d", "MaxPool2d", "InstanceNorm", "DiffAugment")
RANDOM = ("Dropout", "InstanceNoise", "DiffAugment")
"""Kinds that draw random numbers in train mode."""
ENLARGING = ("ConvTranspose2d", "Upsample2d")
NEIGHBOURS = ("Pack", "MinibatchStddev")
KINDS = (*BUILDERS, *NEIGHBOURS, "Embedding", "Projection", "GRU", *COMPOSITES)
"""All that `layers` draws; every layer of `minigan.layers` is among them."""


def layers(*kinds: str, second_order: bool = False) -> st.SearchStrategy[LayerAndShape]:
    """(layer, in_shape) of ours, composites nested into one another included.

    Args:
        kinds: names in KINDS, all by default.
        second_order: leave out BatchNorm, also inside composites, and GRU: they have no second order in train mode.
    """
    chosen = [kind for kind in kinds or KINDS if not (second_order and kind in ("BatchNorm", "GRU"))]
    return st.sampled_from(chosen).flatmap(lambda kind: _layers_of(kind, second_order))


def sequentials(second_order: bool = False) -> st.SearchStrategy[LayerAndShape]:
    """(Sequential, in_shape) of one to four layers; some begin with a Parallel and a Concat of two inputs."""
    return layers("Sequential", second_order=second_order)


@st.composite
def _layers_of(draw: Draw, kind: str, second_order: bool) -> LayerAndShape:
    if kind in BUILDERS:
        images = image_shapes().filter(lambda shape: _fits(kind, shape))
        shape = draw(images if kind in IMAGE_ONLY else image_shapes() | feature_shapes())
        return BUILDERS[kind](draw, shape), shape
    if kind in NEIGHBOURS:
        shape, size = draw(image_shapes() | feature_shapes()), draw(st.integers(1, 3))
        whole = kind == "MinibatchStddev" and draw(st.booleans())
        return (Pack(size) if kind == "Pack" else MinibatchStddev(None if whole else size, draw(_norm_eps()))), shape
    if kind == "Projection":
        shape = draw(feature_shapes())
        return Projection(shape[0], draw(st.integers(LABELS, 5))), (shape, ())
    if kind == "GRU":
        times, features = draw(st.integers(1, 4)), draw(_channels())
        return GRU(features, draw(_channels()), last=draw(st.booleans())), (times, features)
    if kind == "Embedding":
        return Embedding(draw(st.integers(LABELS, 5)), draw(st.integers(1, 4))), ()
    if kind == "Concat":
        front = draw(image_shapes() | feature_shapes())[:-1]
        return Concat(), tuple((*front, draw(_channels())) for _ in range(draw(st.integers(2, 3))))
    if kind == "Fork":
        shape = draw(image_shapes() | feature_shapes())
        return Fork(*(_dense(draw, shape) for _ in range(draw(st.integers(2, 3))))), shape
    if kind == "Parallel":
        members = [_member(draw, second_order) for _ in range(draw(st.integers(2, 3)))]
        return Parallel(*(layer for layer, _ in members)), tuple(shape for _, shape in members)
    return _sequential(draw, second_order)


def _fits(kind: str, shape: Shape) -> bool:
    """Whether a layer of this kind can read, and should enlarge, an input of this shape."""
    if kind not in IMAGE_ONLY:
        return True
    if len(shape) != 3 or (kind in ENLARGING and max(shape) > LARGE):
        return False
    return kind != "InstanceNorm" or shape[0] * shape[1] > 1


def _member(draw: Draw, second_order: bool) -> LayerAndShape:
    """A branch of a Parallel: labels, or an array."""
    kinds = ("Embedding", "Dense", "Conv2d", "Residual", "Sequential")
    return draw(_layers_of(draw(st.sampled_from(kinds)), second_order))


def _sequential(draw: Draw, second_order: bool) -> LayerAndShape:
    start, parts = draw(image_shapes() | feature_shapes()), []
    in_shape: Any = start
    shape = start
    if draw(st.integers(0, 2)) == 0:  # a label or features beside the first input, joined on the last axis
        flat = Sequential(Flatten(), Dense(int(np.prod(start)), 2, draw(activations())))
        beside: LayerAndShape = draw(st.sampled_from(((Embedding(LABELS, 2), ()), (Dense(3, 2, "tanh"), (3,)))))
        parts, in_shape, shape = [Parallel(flat, beside[0]), Concat()], (start, beside[1]), (4,)
    kinds = [kind for kind in BUILDERS if not (second_order and kind == "BatchNorm")]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4)):
        layer = BUILDERS[kind if _fits(kind, shape) else "Dense"](draw, shape)
        shape = layer.spec(shape)[0]
        parts.append(layer)
    return Sequential(*parts), in_shape
