"""The three products of every dense and convolutional layer of the presets, at their own shapes, batch 64."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import kernels
from kernels import Ops
from kernels.types import Array, Shape
from kernels.workspace import aligned_copy

from ..layer import Layer, Sequential
from ..layers.linear import LinearLayer
from ..params import Param
from ..presets import PRESETS, Options
from . import peers
from .case import Case, Contender

BATCH = 64
DATA_SHAPE = (28, 28, 1)
CLASSES = 10
PRODUCTS = ("forward", "input gradient", "weight gradient")
QUICK_PRESETS = ("mlp", "dcgan")


def cases(quick: bool) -> Iterator[Case]:
    """Each layer once, where it first occurs; the gradient in the latents, which nobody needs, is left out."""
    seen = set()
    images = [name for name, preset in PRESETS.items() if "images" in preset.kinds]
    for preset in QUICK_PRESETS if quick else images:
        for player, path, layer, in_shape in linear_layers(preset):
            key = (type(layer), weight_shape(layer, in_shape), in_shape)
            if key in seen:
                continue
            seen.add(key)
            latent = player == "generator" and path == "dense1"
            for product in PRODUCTS:
                if not (latent and product == "input gradient"):
                    yield _case(preset, player, path, layer, in_shape, product)


def linear_layers(preset: str) -> Iterator[tuple[str, str, LinearLayer, Shape]]:
    """(player, path, layer, shape of its input) of every layer with products in a preset's networks."""
    recipe = PRESETS[preset].recipe
    networks = PRESETS[preset].networks(Options(DATA_SHAPE, recipe.latent_dim, 1.0, recipe.norm, CLASSES))
    for player, network in networks.items():
        for path, layer, in_shape in leaves(*network):
            if isinstance(layer, LinearLayer):
                yield player, path, layer, in_shape


def leaves(network: Layer, in_shape: Any, path: str = "") -> Iterator[tuple[str, Layer, Any]]:
    """(path, layer, shape of its input) of the layers of nested Sequentials, first to last."""
    if not isinstance(network, Sequential):
        yield path, network, in_shape
        return
    for name, child in network.children().items():
        yield from leaves(child, in_shape, f"{path}/{name}" if path else name)
        in_shape, _ = child.spec(in_shape)


def _case(preset: str, player: str, path: str, layer: LinearLayer, in_shape: Shape, product: str) -> Case:
    out_shape, _ = layer.spec(in_shape)
    shapes = (BATCH, *in_shape), weight_shape(layer, in_shape), (BATCH, *out_shape)
    labels = {"preset": preset, "layer": f"{player} {path}", "shape": shape_text(in_shape, out_shape)}
    return Case(
        labels | {"product": product},
        partial(_contenders, layer, shapes, product),
        BATCH * layer.flops(in_shape),
        4 * sum(int(np.prod(shape)) for shape in shapes),
    )


def weight_shape(layer: LinearLayer, in_shape: Shape) -> Shape:
    """Of a layer's W."""
    weight = layer.spec(in_shape)[1]["W"]
    assert isinstance(weight, Param)
    return weight.shape


def shape_text(in_shape: Shape, out_shape: Shape) -> str:
    """A layer's input and output: 28×28×1 → 14×14×64."""
    return " → ".join("×".join(map(str, shape)) for shape in (in_shape, out_shape))


def _contenders(layer: LinearLayer, shapes: tuple[Shape, Shape, Shape], product: str) -> list[Contender]:
    random = np.random.default_rng(0)
    x, w, dz = (aligned_copy(random.standard_normal(shape, np.float32)) for shape in shapes)  # as PyTorch's own are
    backends = [_ours(backend, layer, x, w, dz, product) for backend in peers.backends()]
    if "torch" not in peers.installed():
        return backends
    from .peers.torch_layers import contenders

    return backends + contenders(layer, x, w, dz, product)


def product_of(layer: LinearLayer, ops: Ops, product: str, x: Array, w: Array, dz: Array, dw: Array) -> Array:
    """One of PRODUCTS as the layer itself asks a backend for it; dw is added to, and returned where it is asked for."""
    ops.workspace.reset()
    if product == "forward":
        return layer.apply(ops, w, x, None, None)
    if product == "input gradient":
        return layer.apply_adjoint(ops, w, dz, x.shape)
    layer.weight_grad(ops, dw, x, dz)
    return dw


def _ours(backend: str, layer: LinearLayer, x: Array, w: Array, dz: Array, product: str) -> Contender:
    ops = kernels.get_ops(backend)
    dw = aligned_copy(np.zeros_like(w))

    def run() -> Array:
        return product_of(layer, ops, product, x, w, dz, dw)

    return Contender(backend, run, lambda: (run().copy(),))
