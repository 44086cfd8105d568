"""A minigan network as a function of its parameters for JAX, which has our own layout: NHWC images, HWIO kernels."""

from typing import Any

import jax
import jax.numpy as jnp

from kernels import Activation

from ... import layers as ours
from ...layer import Layer
from ..layers import leaves
from .conv_geometry import wide_pads


def apply(network: Layer, p: dict[str, Any], x: Any) -> Any:
    """The output in train mode; p maps the paths of a ParamSet to arrays."""
    for path, leaf, _ in leaves(network, x.shape[1:]):
        x = _layer(leaf, {name: p.get(f"{path}/{name}") for name in ("W", "b", "gamma", "beta")}, x)
    return x


def _layer(leaf: Layer, p: dict[str, Any], x: Any) -> Any:
    match leaf:
        case ours.Dense():
            y = x @ p["W"]
        case ours.Conv2d():
            pads = wide_pads(leaf, x.shape[1:])
            y = jax.lax.conv_general_dilated(
                x, p["W"], leaf.stride, (pads[:2], pads[2:]), dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        case ours.ConvTranspose2d():
            y = _conv_transpose(leaf, p["W"], x)
        case ours.BatchNorm():
            y = _normalise(x, tuple(range(x.ndim - 1)), leaf.eps) * p["gamma"] + p["beta"]
        case ours.LayerNorm():
            y = _normalise(x, tuple(range(1, x.ndim)), leaf.eps) * p["gamma"] + p["beta"]
        case ours.Reshape():
            return x.reshape(len(x), *leaf.shape)
        case ours.Flatten():
            return x.reshape(len(x), -1)
        case ours.ScaleShift():
            return leaf.scale * x + leaf.shift
        case ours.ReLU() | ours.LeakyReLU() | ours.ELU() | ours.Tanh() | ours.Sigmoid():
            y = x
        case _:
            raise TypeError(f"{type(leaf).__name__} has no counterpart in JAX here")
    if p["b"] is not None:
        y = y + p["b"]
    return y if leaf.activation is None else _activate(leaf.activation, y)


def _conv_transpose(leaf: ours.ConvTranspose2d, w: Any, x: Any) -> Any:
    """Zeros between the pixels, then a convolution with the kernel turned round; W is (KH, KW, O, C)."""
    out = leaf.spec(x.shape[1:])[0]
    before = wide_pads(leaf, x.shape[1:])[::2]
    pads = []
    for axis in range(2):
        dilated = (x.shape[1 + axis] - 1) * leaf.stride[axis] + 1
        low = leaf.kernel[axis] - 1 - before[axis]
        pads.append((low, out[axis] + leaf.kernel[axis] - 1 - dilated - low))
    numbers = ("NHWC", "HWOI", "NHWC")
    turned = jnp.flip(w, (0, 1))
    return jax.lax.conv_general_dilated(x, turned, (1, 1), pads, lhs_dilation=leaf.stride, dimension_numbers=numbers)


def _normalise(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    mean = x.mean(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(x.var(axes, keepdims=True) + eps)


def _activate(activation: Activation, z: Any) -> Any:
    match activation.name:
        case "leaky_relu":
            return jax.nn.leaky_relu(z, activation.parameter)
        case "elu":
            return jax.nn.elu(z, activation.parameter)
        case name:
            return getattr(jax.nn, name)(z)
