"""A builder for each kind of layer that maps one array to one array: it draws one for inputs of a given shape."""

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from kernels.types import Padding, Pair, Shape

from ..layer import Layer, Sequential
from ..layers import (
    ELU,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    DiffAugment,
    Dropout,
    Flatten,
    InstanceNoise,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
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
from ..layers.augmentation import KINDS as AUGMENTATIONS
from .shapes import LARGEST_PAD, Draw, activations, geometries, kernel_sizes, strides

Builder: TypeAlias = Callable[[Draw, Shape], Layer]


def _conv(draw: Draw, shape: Shape) -> Layer:
    kernel, stride, padding = draw(geometries((shape[0], shape[1])))
    out, bias = draw(channels()), draw(st.booleans())
    return Conv2d(shape[2], out, kernel, stride, padding, draw(activations()), bias)


def _conv_transpose(draw: Draw, shape: Shape) -> Layer:
    """Every way to say how large the output is: "same", pads with output_padding, or output_size."""
    kernel, stride = draw(kernel_sizes()), draw(strides())
    spare = draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1))
    arguments: dict[str, Any] = {"activation": draw(activations()), "bias": draw(st.booleans())}
    if draw(st.booleans()):
        if any(spare):
            arguments["output_size"] = shape[0] * stride[0] - spare[0], shape[1] * stride[1] - spare[1]
        return ConvTranspose2d(shape[2], draw(channels()), kernel, stride, "same", **arguments)
    full = (shape[0] - 1) * stride[0] + kernel[0], (shape[1] - 1) * stride[1] + kernel[1]  # without pads
    pads = (*draw(_crops(full[0])), *draw(_crops(full[1])))
    size = full[0] - pads[0] - pads[1] + spare[0], full[1] - pads[2] - pads[3] + spare[1]
    arguments |= {"output_size": size} if draw(st.booleans()) else {"output_padding": spare}
    padding: Padding = "valid" if not any(pads) else pads[0] if len(set(pads)) == 1 else pads
    return ConvTranspose2d(shape[2], draw(channels()), kernel, stride, padding, **arguments)


@st.composite
def _crops(draw: Draw, full: int) -> Pair:
    """Pads (before, after) that leave at least one of `full` pixels."""
    before = draw(st.integers(0, min(LARGEST_PAD, full - 1)))
    return before, draw(st.integers(0, min(LARGEST_PAD, full - 1 - before)))


def dense(draw: Draw, shape: Shape) -> Layer:
    """Dense with any activation, with a bias or none."""
    return Dense(shape[-1], draw(channels()), draw(activations()), draw(st.booleans()))


def _layer_norm(draw: Draw, shape: Shape) -> Layer:
    return LayerNorm(shape[-1], draw(norm_eps()), draw(activations()))


def _instance_norm(draw: Draw, shape: Shape) -> Layer:
    return InstanceNorm(shape[-1], draw(norm_eps()), draw(activations()))


def _batch_norm(draw: Draw, shape: Shape) -> Layer:
    return BatchNorm(shape[-1], draw(st.sampled_from((0.1, 0.5, 1.0))), draw(norm_eps()), draw(activations()))


def norm_eps() -> st.SearchStrategy[float]:
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
        lambda: LayerNorm(features, draw(norm_eps()), draw(activations())),
        lambda: draw(ELEMENTWISE[draw(st.sampled_from(tuple(ELEMENTWISE)))]),
        lambda: Residual(Dense(features, features, draw(activations()))),
    ]
    if len(shape) == 3:
        kinds.append(lambda: Conv2d(features, features, draw(kernel_sizes(3)), activation=draw(activations())))
    return draw(st.sampled_from(kinds))()


def channels() -> st.SearchStrategy[int]:
    """How many features or channels a layer puts out."""
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
    "Dense": dense,
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

RANDOM = ("Dropout", "InstanceNoise", "DiffAugment")
"""Kinds that draw random numbers in train mode."""
