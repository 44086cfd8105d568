"""PyTorch's idea of each of our layers: the second opinion that every sweep is compared with.

`twin(layer, p, x, train)` walks a network and computes its output with torch operations in our NHWC layout, from
tensors of our own parameters. Written from the documentation of both sides and sharing no code with ours: paddings,
for instance, are worked out here once more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kernels import Activation
from minigan import layers as ours
from minigan.layer import Layer
from minigan.params import ParamSet

F = torch.nn.functional
Tensor = torch.Tensor


def leaf(a: np.ndarray) -> Tensor:
    """A tensor of its own memory that collects gradients; labels do not."""
    tensor = torch.tensor(a)
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def leaves(value: Any) -> Any:
    """`leaf` of nested tuples of arrays."""
    return tuple(leaves(v) for v in value) if isinstance(value, tuple) else leaf(value)


class Tensors(dict[str, Any]):
    """Parameters nested as ours are; a child without any has an empty one."""

    def __missing__(self, name: str) -> "Tensors":
        return Tensors()


def tensors(p: ParamSet) -> tuple[Tensors, list[Tensor]]:
    """All parameters as nested tensors, and a list of those that have a gradient, in the order of `p.trainable()`."""
    nested, trainable = Tensors(), []
    for path, view in p.named.items():
        *parents, name = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, Tensors())
        node[name] = leaf(view)
        if path in p.trainable():
            trainable.append(node[name])
    return nested, trainable


def activate(z: Tensor, activation: Activation | None) -> Tensor:
    if activation is None:
        return z
    match activation.name:
        case "leaky_relu":
            return F.leaky_relu(z, activation.parameter)
        case "elu":
            return F.elu(z, activation.parameter)
        case name:
            return getattr(F, name)(z)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def tensorflow_same(out: int, size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(0, stride * (out - 1) + kernel - size)
    return total // 2, (total + 1) // 2


def pads_of(padding: Any, outs: Any, sizes: Any, kernel: Any, stride: Any) -> tuple[int, ...]:
    """(top, bottom, left, right) for images of `sizes` that have `outs` windows."""
    if padding == "same":
        axes = zip(outs, sizes, kernel, stride, strict=True)
        return tuple(side for axis in axes for side in tensorflow_same(*axis))
    if padding == "valid":
        return (0, 0, 0, 0)
    return (padding,) * 4 if isinstance(padding, int) else tuple(padding)


def dense(layer: ours.Dense, p: Tensors, x: Tensor) -> Tensor:
    return activate(F.linear(x, p["W"].T, p["b"] if layer.bias else None), layer.activation)


def conv2d(layer: ours.Conv2d, p: Tensors, x: Tensor) -> Tensor:
    outs = [-(-size // stride) for size, stride in zip(x.shape[1:3], layer.stride, strict=True)]
    top, bottom, left, right = pads_of(layer.padding, outs, x.shape[1:3], layer.kernel, layer.stride)
    padded = F.pad(nchw(x), (left, right, top, bottom))
    z = F.conv2d(padded, p["W"].permute(3, 2, 0, 1).contiguous(), p["b"] if layer.bias else None, layer.stride)
    return activate(nhwc(z), layer.activation)


def conv_transpose2d(layer: ours.ConvTranspose2d, p: Tensors, x: Tensor) -> Tensor:
    """The full result without pads, then cut (or filled with zeros) to the output's size, then the bias."""
    size, axes = layer.output_size, range(2)
    if layer.padding == "same":
        size = size or tuple(x.shape[1 + i] * layer.stride[i] for i in axes)
    pads = pads_of(layer.padding, x.shape[1:3], size, layer.kernel, layer.stride)
    full = F.conv_transpose2d(nchw(x), p["W"].permute(3, 2, 0, 1).contiguous(), None, layer.stride)
    if size is None:
        size = [full.shape[2 + i] - pads[2 * i] - pads[2 * i + 1] + layer.output_padding[i] for i in axes]
    missing = [pads[2 * i] + size[i] - full.shape[2 + i] for i in axes]  # below zero: so much is cut off
    z = nhwc(F.pad(full, (-pads[2], missing[1], -pads[0], missing[0])))
    return activate(z + p["b"] if layer.bias else z, layer.activation)


def batch_norm(layer: ours.BatchNorm, p: Tensors, x: Tensor, train: bool) -> Tensor:
    """Updates the running statistics of p in train mode, as torch does."""
    rows = x.reshape(-1, x.shape[-1])
    mean, var = p["mean"].detach(), p["var"].detach()
    z = F.batch_norm(rows, mean, var, p["gamma"], p["beta"], train, layer.momentum, layer.eps)
    return activate(z.reshape(x.shape), layer.activation)


def layer_norm(layer: ours.LayerNorm, p: Tensors, x: Tensor) -> Tensor:
    """GroupNorm with one group; channels go to the front."""
    z = F.group_norm(x.movedim(-1, 1), 1, p["gamma"], p["beta"], layer.eps).movedim(1, -1)
    return activate(z, layer.activation)


def instance_norm(layer: ours.InstanceNorm, p: Tensors, x: Tensor) -> Tensor:
    z = F.instance_norm(nchw(x), None, None, p["gamma"], p["beta"], eps=layer.eps)
    return activate(nhwc(z), layer.activation)


def minibatch_stddev(layer: ours.MinibatchStddev, x: Tensor) -> Tensor:
    """Group by group, in the words of the definition."""
    parts = []
    for group in x.split(layer.group or len(x)):
        deviation = torch.sqrt(group.var(0, unbiased=False) + layer.eps).mean()
        parts.append(torch.cat([group, deviation.expand(*group.shape[:-1], 1)], dim=-1))
    return torch.cat(parts)


def projection(p: Tensors, f: Tensor, labels: Tensor) -> Tensor:
    rows = F.embedding(labels, p["embed"]["W"])
    return F.linear(f, p["head"]["W"].T, p["head"]["b"]) + (f * rows).sum(1, keepdim=True)


def gru(layer: ours.GRU, p: Tensors, x: Tensor) -> Tensor:
    """Without the second bias, which ours has not."""
    module = torch.nn.GRU(layer.features, layer.hidden, batch_first=True, dtype=torch.float64)
    weights = {"weight_ih_l0": p["W"].T, "weight_hh_l0": p["U"].T, "bias_ih_l0": p["b"]}
    weights["bias_hh_l0"] = torch.zeros_like(p["b"])
    states, _ = torch.func.functional_call(module, weights, (x,))
    return states[:, -1] if layer.last else states


def pool(function: Callable[..., Tensor], layer: Any, x: Tensor) -> Tensor:
    return nhwc(function(nchw(x), layer.kernel, layer.stride))


def sequential(layer: ours.Sequential, p: Tensors, x: Any, train: bool) -> Any:
    for name, child in layer.children().items():
        x = twin(child, p[name], x, train)
    return x


def twin(layer: Layer, p: Tensors, x: Any, train: bool = True) -> Any:
    """The output of `layer` for an x of nested tensors; random layers, whose numbers are ours alone, have no twin."""
    match layer:
        case ours.Dense():
            return dense(layer, p, x)
        case ours.Conv2d():
            return conv2d(layer, p, x)
        case ours.ConvTranspose2d():
            return conv_transpose2d(layer, p, x)
        case ours.BatchNorm():
            return batch_norm(layer, p, x, train)
        case ours.LayerNorm():
            return layer_norm(layer, p, x)
        case ours.InstanceNorm():
            return instance_norm(layer, p, x)
        case ours.MinibatchStddev():
            return minibatch_stddev(layer, x)
        case ours.Pack():
            return torch.stack([torch.cat(list(pack), dim=-1) for pack in x.split(layer.group)])
        case ours.Projection():
            return projection(p, *x)
        case ours.Embedding():
            return F.embedding(x, p["W"])
        case ours.AvgPool2d():
            return pool(F.avg_pool2d, layer, x)
        case ours.MaxPool2d():
            return pool(F.max_pool2d, layer, x)
        case ours.Upsample2d():
            return nhwc(F.interpolate(nchw(x), scale_factor=layer.factor, mode="nearest"))
        case ours.Flatten():
            return x.flatten(1)
        case ours.Reshape():
            return x.reshape(len(x), *layer.shape)
        case ours.ScaleShift():
            return layer.scale * x + layer.shift
        case ours.Sequential():
            return sequential(layer, p, x, train)
        case ours.Residual():
            branch, skip = layer.children().values()
            return twin(branch, p["branch"], x, train) + twin(skip, p["skip"], x, train)
        case ours.Parallel():
            members = zip(layer.children().items(), x, strict=True)
            return tuple(twin(child, p[name], member, train) for (name, child), member in members)
        case ours.GRU():
            return gru(layer, p, x)
        case ours.Fork():
            return tuple(twin(child, p[name], x, train) for name, child in layer.children().items())
        case ours.Concat():
            return torch.cat(x, dim=-1)
    return activate(x, layer.activation)  # type: ignore[attr-defined]
