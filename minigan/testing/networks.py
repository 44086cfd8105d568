"""Strategies for layers of every kind and for networks of them, composites nested into one another."""

from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from kernels.types import Shape

from ..layer import Layer, Sequential
from ..layers import (
    GRU,
    Concat,
    Dense,
    Embedding,
    Flatten,
    Fork,
    MinibatchStddev,
    Pack,
    Parallel,
    Projection,
)
from .kinds import BUILDERS, channels, dense, norm_eps
from .shapes import Draw, activations, feature_shapes, image_shapes
from .values import LABELS

LayerAndShape: TypeAlias = tuple[Layer, Any]
LARGE = 4
"""Sides above it are not enlarged further."""

COMPOSITES = ("Sequential", "Parallel", "Fork", "Concat")
IMAGE_ONLY = ("Conv2d", "ConvTranspose2d", "Upsample2d", "AvgPool2d", "MaxPool2d", "InstanceNorm", "DiffAugment")
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
        return (Pack(size) if kind == "Pack" else MinibatchStddev(None if whole else size, draw(norm_eps()))), shape
    if kind == "Projection":
        shape = draw(feature_shapes())
        return Projection(shape[0], draw(st.integers(LABELS, 5))), (shape, ())
    if kind == "GRU":
        times, features = draw(st.integers(1, 4)), draw(channels())
        return GRU(features, draw(channels()), last=draw(st.booleans())), (times, features)
    if kind == "Embedding":
        return Embedding(draw(st.integers(LABELS, 5)), draw(st.integers(1, 4))), ()
    if kind == "Concat":
        front = draw(image_shapes() | feature_shapes())[:-1]
        return Concat(), tuple((*front, draw(channels())) for _ in range(draw(st.integers(2, 3))))
    if kind == "Fork":
        shape = draw(image_shapes() | feature_shapes())
        return Fork(*(dense(draw, shape) for _ in range(draw(st.integers(2, 3))))), shape
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
