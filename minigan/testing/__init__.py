"""Hypothesis strategies for property tests of layers: ours, and yours.

    @given(shape=image_shapes(), seed=seeds())
    def test_my_layer(shape, seed):
        check_layer(MyLayer(shape[-1]), shape, seed=seed).require()

Everything drawn is small, so that a test can afford dozens of cases, and covers what breaks layers: sides of 1, images
that are not square, strides that do not divide, kernels larger and smaller than the stride, pads that differ from side
to side. Axes: N = batch, H, W, C = height, width, channels, F = features; shapes are without the batch axis.

`shapes` has what a layer is made from, `values` what it is run on, `kinds` one builder for each of our layers, and
`networks` draws them, composites too.
"""

from .kinds import BUILDERS, ELEMENTWISE, RANDOM
from .networks import KINDS, LayerAndShape, layers, sequentials
from .shapes import (
    ConvCase,
    activations,
    batches,
    conv_cases,
    feature_shapes,
    image_shapes,
    kernel_sizes,
    paddings,
    seeds,
    strides,
)
from .values import LABELS, random_inputs, random_like, random_params, whole_groups

__all__ = [
    "BUILDERS",
    "ELEMENTWISE",
    "KINDS",
    "LABELS",
    "RANDOM",
    "ConvCase",
    "LayerAndShape",
    "activations",
    "batches",
    "conv_cases",
    "feature_shapes",
    "image_shapes",
    "kernel_sizes",
    "layers",
    "paddings",
    "random_inputs",
    "random_like",
    "random_params",
    "seeds",
    "sequentials",
    "strides",
    "whole_groups",
]
