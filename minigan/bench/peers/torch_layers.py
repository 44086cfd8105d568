"""The three products of one layer as PyTorch computes them in training, without autograd around them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kernels.types import Array

from ...layers import Conv2d, ConvTranspose2d, Dense
from ...layers.linear import LinearLayer
from ..case import Contender
from ..machine import cores
from .conv_geometry import symmetric_form

LAYOUTS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}


def contenders(layer: LinearLayer, x: Array, w: Array, dz: Array, product: str) -> list[Contender]:
    """A dense layer's product, or a convolution's in both layouts."""
    torch.set_num_threads(cores())
    layouts = [""] if isinstance(layer, Dense) else list(LAYOUTS)
    return [_contender(layer, work(layer, x, w, dz, product, layout), product, layout) for layout in layouts]


def work(
    layer: LinearLayer, x: Array, w: Array, dz: Array, product: str, layout: str, device: str = "cpu"
) -> Callable[[], Any]:
    """The product as a function of nothing, on operands in memory of its own; `layout`: a key of LAYOUTS, of images."""
    if isinstance(layer, Dense):
        return _dense(x, w, dz, product, device)
    assert isinstance(layer, Conv2d | ConvTranspose2d)
    return _conv(layer, x, w, dz, product, layout, device)


def ours(layer: LinearLayer, product: str, result: Array) -> Array:
    """What `work` gave, as NumPy has it from the device, with the axes in our order."""
    to_ours = _dense_result(product) if isinstance(layer, Dense) else _conv_result(product)
    return np.ascontiguousarray(to_ours(result))


def _contender(layer: LinearLayer, run: Callable[[], Any], product: str, variant: str) -> Contender:
    return Contender("torch", run, lambda: (ours(layer, product, run().numpy()),), variant)


def _dense(x: Array, w: Array, dz: Array, product: str, device: str) -> Callable[[], Any]:
    """W is (O, I) here."""
    tx, tw, tdz = (torch.tensor(a, device=device) for a in (x, np.ascontiguousarray(w.T), dz))
    return {
        "forward": lambda: torch.nn.functional.linear(tx, tw),
        "input gradient": lambda: tdz @ tw,
        "weight gradient": lambda: tdz.T @ tx,
    }[product]


def _dense_result(product: str) -> Callable[[Array], Array]:
    return (lambda dw: dw.T) if product == "weight gradient" else (lambda y: y)


def _conv(
    layer: Conv2d | ConvTranspose2d, x: Array, w: Array, dz: Array, product: str, layout: str, device: str
) -> Callable[[], Any]:
    """Images are NCHW in shape, in memory as the layout says; W is (O, C, KH, KW), transposed (C, O, KH, KW)."""
    transposed = isinstance(layer, ConvTranspose2d)
    form = symmetric_form(layer, x.shape[1:])
    left, right, top, bottom = form.border
    tx, tdz, tw = (
        torch.tensor(a, device=device).permute(axes).contiguous(memory_format=LAYOUTS[layout])
        for a, axes in ((x, (0, 3, 1, 2)), (dz, (0, 3, 1, 2)), (w, (3, 2, 0, 1)))
    )

    def bordered(image: Any, sign: int = 1) -> Any:
        sides = (sign * left, sign * right, sign * top, sign * bottom)
        return torch.nn.functional.pad(image, sides) if any(sides) else image

    settings = (layer.stride, form.padding, (1, 1), transposed, form.output_padding, 1)
    if product == "forward":
        if transposed:
            return lambda: bordered(torch.convolution(tx, tw, None, *settings))
        return lambda: torch.convolution(bordered(tx), tw, None, *settings)
    wanted = (product == "input gradient", product == "weight gradient", False)
    kept = tx if transposed else bordered(tx)  # forward leaves it for backward

    def backward() -> Any:
        cotangent = bordered(tdz, -1) if transposed else tdz
        dx, dw, _ = torch.ops.aten.convolution_backward(cotangent, kept, tw, None, *settings, wanted)
        if dx is None:
            return dw
        return dx if transposed else dx[:, :, top : dx.shape[2] - bottom, left : dx.shape[3] - right]

    return backward


def _conv_result(product: str) -> Callable[[Array], Array]:
    if product == "weight gradient":
        return lambda dw: dw.transpose(2, 3, 1, 0)
    return lambda image: image.transpose(0, 2, 3, 1)
