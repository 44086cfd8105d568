"""What a network is made of: layers, shapes, parameters, FLOPs and activation memory, as data and as a table."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .layer import Layer, Sequential, is_shape
from .layers import Flatten, Fork, Parallel, Reshape
from .params import walk

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        path: names from the outermost network inwards, "residual1/branch/conv2d1".
        kind: the layer's type.
        out_shape: without the batch axis.
        parameters: trainable numbers.
        flops: multiplications and additions of products in one sample's forward pass; a training step of the player
            that learns costs about three times as much.
        activation_bytes: float32 output kept for the backward pass, per sample; 0 where it aliases the input.
    """

    path: str
    kind: str
    out_shape: Any
    parameters: int
    flops: int
    activation_bytes: int


def summarize(network: Layer, in_shape: Any) -> list[Row]:
    """One row a leaf layer; Sequential, Parallel and Fork are opened, other composites are one row."""
    return list(_rows(network, in_shape, ""))


def _rows(layer: Layer, in_shape: Any, path: str) -> Iterator[Row]:
    if isinstance(layer, Sequential):
        for name, child in layer.children().items():
            yield from _rows(child, in_shape, f"{path}/{name}" if path else name)
            in_shape, _ = child.spec(in_shape)
        return
    if isinstance(layer, Parallel | Fork):
        for name, shape in layer.inputs(in_shape).items():
            yield from _rows(layer.branches[name], shape, f"{path}/{name}" if path else name)
        return
    out_shape, spec = layer.spec(in_shape)
    parameters = sum(math.prod(param.shape) for _, param in walk(spec) if param.trainable)
    aliases = isinstance(layer, Flatten | Reshape)
    yield Row(
        path,
        type(layer).__name__,
        out_shape,
        parameters,
        layer.flops(in_shape),
        0 if aliases else _size(out_shape) * BYTES,
    )


def _size(shape: Any) -> int:
    return math.prod(shape) if is_shape(shape) else sum(map(_size, shape))


def table(title: str, network: Layer, in_shape: Any, batch_size: int) -> str:
    """The rows as text, with totals for a batch."""
    rows = summarize(network, in_shape)
    total = (
        sum(row.parameters for row in rows),
        sum(row.flops for row in rows),
        sum(row.activation_bytes for row in rows),
    )
    wide = max(20, 2 + max(len(row.path) for row in rows))
    lines = [
        f"{title}: {_shape_text(in_shape)} -> {_shape_text(network.spec(in_shape)[0])}",
        f"  {'layer':<{wide}}{'type':<18}{'output':<16}{'parameters':>13}{'MFLOP/sample':>15}{'memory/sample':>16}",
    ]
    for row in rows:
        lines.append(
            f"  {row.path:<{wide}}{row.kind:<18}{_shape_text(row.out_shape):<16}{row.parameters:>13,}"
            f"{row.flops / 1e6:>15.3f}{_bytes_text(row.activation_bytes):>16}"
        )
    lines.append(f"  {'total':<{wide + 34}}{total[0]:>13,}{total[1] / 1e6:>15.3f}{_bytes_text(total[2]):>16}")
    lines.append(
        f"  a batch of {batch_size}: {total[1] * batch_size / 1e9:.2f} GFLOP forward, "
        f"{_bytes_text(total[2] * batch_size)} of activations, {_bytes_text(total[0] * BYTES)} of weights"
    )
    return "\n".join(lines)


def _shape_text(shape: Any) -> str:
    if shape == ():
        return "label"
    return "x".join(map(str, shape)) if is_shape(shape) else " and ".join(map(_shape_text, shape))


def _bytes_text(count: int) -> str:
    if count < 1 << 10:
        return f"{count} B"
    for unit, size in (("KiB", 1 << 10), ("MiB", 1 << 20)):
        if count < size << 10:
            return f"{count / size:.1f} {unit}"
    return f"{count / (1 << 30):.2f} GiB"
