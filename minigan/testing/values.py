"""What a layer is run on: random inputs, gradients and parameters, functions of a seed."""

from typing import Any

import numpy as np

from ..layer import Layer, is_shape
from ..params import ParamSet

LABELS = 3
"""Every drawn Embedding has at least as many rows."""


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


def whole_groups(layer: Layer, n: int) -> int:
    """A batch size for a layer that couples neighbours: n times as many as it takes together."""
    return n * (layer.group or 1)
