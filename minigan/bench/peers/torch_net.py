"""A minigan network as the `torch.nn.Sequential` that a user of PyTorch would write, with the same parameters.

In NCHW an image's features lie in another order than in ours wherever a dense layer meets an image, so the dense
layer's weights are reordered once, here, and the network itself moves nothing. In channels-last both orders agree.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from kernels import Activation
from kernels.types import Array, Shape

from ... import layers as ours
from ...layer import Layer
from ...params import ParamSet
from ..layers import leaves
from .conv_geometry import symmetric_form


def network(layer: Layer, params: ParamSet, in_shape: Shape, channels_last: bool) -> Any:
    """The module, holding copies of the parameters."""
    own = list(leaves(layer, in_shape))
    modules: list[Any] = []
    for i, (path, leaf, shape) in enumerate(own):
        before, after = (own[j] if 0 <= j < len(own) else None for j in (i - 1, i + 1))
        arrays = {name: params.named[f"{path}/{name}"] for name in _names(leaf, shape)}
        if isinstance(leaf, ours.Dense) and not channels_last:
            arrays = _reordered(arrays, _flattened(before), _image(after))
        modules += _modules(leaf, arrays, shape, channels_last)
    result = nn.Sequential(*modules)
    return result.to(memory_format=torch.channels_last) if channels_last else result


def images(x: Array, channels_last: bool) -> Any:
    """Our batch (N, H, W, C) as PyTorch's (N, C, H, W); in memory as it was with `channels_last`."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)


class ToImage(nn.Module):
    """(N, F) -> (N, C, H, W) without moving anything."""

    def __init__(self, shape: Shape, channels_last: bool) -> None:
        super().__init__()
        self.shape, self.channels_last = shape, channels_last

    def forward(self, x: Any) -> Any:
        """A view."""
        h, w, c = self.shape
        return x.view(-1, h, w, c).permute(0, 3, 1, 2) if self.channels_last else x.view(-1, c, h, w)


class ToRows(nn.Module):
    """(N, C, H, W) -> (N, F) without moving anything."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Any) -> Any:
        """A view, where the image lies as it should."""
        return x.permute(0, 2, 3, 1).flatten(1) if self.channels_last else x.flatten(1)


class ScaleShift(nn.Module):
    """scale x + shift."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Any) -> Any:
        """scale x + shift."""
        return self.scale * x + self.shift


def _modules(leaf: Layer, arrays: dict[str, Array], in_shape: Shape, channels_last: bool) -> Iterator[Any]:
    """What one of our layers is there, its fused activation included."""
    match leaf:
        case ours.Dense():
            yield _load(nn.Linear(leaf.in_features, leaf.out_features, leaf.bias), arrays["W"].T, arrays.get("b"))
        case ours.Conv2d() | ours.ConvTranspose2d():
            yield from _convolution(leaf, arrays, in_shape)
        case ours.BatchNorm():
            kind = nn.BatchNorm2d if len(in_shape) == 3 else nn.BatchNorm1d
            yield _load(kind(leaf.features, leaf.eps, leaf.momentum), arrays["gamma"], arrays["beta"])
        case ours.LayerNorm():
            yield _load(nn.GroupNorm(1, leaf.features, leaf.eps), arrays["gamma"], arrays["beta"])
        case ours.Reshape():
            yield ToImage(leaf.shape, channels_last)
            return
        case ours.Flatten():
            if len(in_shape) == 3:
                yield ToRows(channels_last)
            return
        case ours.ScaleShift():
            yield ScaleShift(leaf.scale, leaf.shift)
            return
        case ours.ReLU() | ours.LeakyReLU() | ours.ELU() | ours.Tanh() | ours.Sigmoid():
            pass
        case _:
            raise TypeError(f"{type(leaf).__name__} has no counterpart in PyTorch here")
    if leaf.activation is not None:
        yield _activation(leaf.activation)


def _convolution(leaf: ours.Conv2d | ours.ConvTranspose2d, arrays: dict[str, Array], in_shape: Shape) -> Iterator[Any]:
    form = symmetric_form(leaf, in_shape)
    border = [nn.ZeroPad2d(form.border)] if any(form.border) else []
    features = (leaf.in_features, leaf.out_features, leaf.kernel, leaf.stride, form.padding)
    if isinstance(leaf, ours.Conv2d):
        module = nn.Conv2d(*features, bias=leaf.bias)
    else:
        module = nn.ConvTranspose2d(*features, form.output_padding, bias=leaf.bias)
    loaded = _load(module, arrays["W"].transpose(3, 2, 0, 1), arrays.get("b"))
    yield from [*border, loaded] if isinstance(leaf, ours.Conv2d) else [loaded, *border]


def _activation(activation: Activation) -> Any:
    match activation.name:
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(activation.parameter)
        case "elu":
            return nn.ELU(activation.parameter)
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return nn.Sigmoid()
    raise TypeError(f"{activation} has no counterpart in PyTorch here")


def _load(module: Any, weight: Array, bias: Array | None) -> Any:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
        if bias is not None:
            module.bias.copy_(torch.tensor(bias))
    return module


def _names(leaf: Layer, in_shape: Shape) -> list[str]:
    return list(leaf.spec(in_shape)[1])


def _flattened(before: tuple[str, Layer, Any] | None) -> Shape | None:
    """(H, W, C) of the image that a Flatten in front made rows of."""
    return before[2] if before is not None and isinstance(before[1], ours.Flatten) and len(before[2]) == 3 else None


def _image(after: tuple[str, Layer, Any] | None) -> Shape | None:
    """(H, W, C) of the image that a Reshape behind makes."""
    return after[1].shape if after is not None and isinstance(after[1], ours.Reshape) else None


def _reordered(arrays: dict[str, Array], flattened: Shape | None, image: Shape | None) -> dict[str, Array]:
    """A Dense's W and b with inputs and outputs from our order of an image's features (H, W, C) to (C, H, W)."""
    result = dict(arrays)
    if flattened is not None:
        result["W"] = result["W"][_order(flattened)]
    if image is not None:
        result["W"] = result["W"][:, _order(image)]
        if "b" in result:
            result["b"] = result["b"][_order(image)]
    return result


def _order(shape: Shape) -> Array:
    return np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).reshape(-1)
