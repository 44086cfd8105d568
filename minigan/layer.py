"""The layer protocol: three sweeps, written by hand in every layer. Read this file first.

    y,   cache = layer.forward(ops, p, x, train=True)
    dx,  tape  = layer.backward(ops, p, cache, dy, g=None, extra=None, need_dx=True)
    ddy, extra = layer.double_backward(ops, p, tape, ddx, g=None, ddp=None)

Each sweep returns its result and a private note for a later sweep of the same layer. Nothing is remembered on the
layer: one discriminator runs on real, fake and mixed batches within a step, each run with notes of its own. The rules:

1. A layer holds hyper-parameters only. `p` parameters, `g` gradients, notes and `ops` are arguments.
2. Parameters accumulate (`+=` into g; `g.target` says where nothing is yet), activations overwrite. Inputs, notes and
   dy are never modified; a result may alias an input (Flatten), so never write into an array that you did not create.
3. d + name is a gradient, dd + name the cotangent of a gradient. None means zero (ddx, ddp, extra, dy) or not wanted
   (g).

`forward` computes y = f(x; p). `backward` is the vector-Jacobian product: dx = (df/dx)^T dy, g += (df/dp)^T dy.
`double_backward` differentiates both products: for s = <ddx, dx(x, dy; p)> + <ddp, dp(x, dy; p)>, dp = (df/dp)^T dy, it
returns ddy = ds/ddy = (df/dx) ddx + (df/dp) ddp, adds to g the part of ds/dp that needs nothing from the layers in
front, and returns as `extra` what s owes to the layer's own forward values, to be sent through the same layer's
`backward(extra=extra)` afterwards. A gradient penalty:

    u, cache = D.forward(ops, p, x)
    dx, tape = D.backward(ops, p, cache, ones)                 the input gradient
    value, ddx = penalty(dx)
    _, extra = D.double_backward(ops, p, tape, ddx, g)
    if extra is not None:
        D.backward(ops, p, cache, None, g, extra=extra, need_dx=False)

The second sweep is Pearlmutter's R-operator (Fast exact multiplication by the Hessian, 1994) on the network: ddx moves
its input, ddp its parameters. With ddp alone, and in the third sweep the gradient that ddu makes of a loss, both end in
the Hessian's product with ddp (`minigan.training.unrolled`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from kernels import Ops
from kernels.types import Array, Shape

from .initializers import generator
from .params import ParamSet, Spec, Views, walk

Params: TypeAlias = ParamSet | Views
Note: TypeAlias = Any
"""What a sweep leaves for a later one: a NamedTuple, or a dict of the children's notes in a composite."""


class NoSecondOrderError(NotImplementedError):
    """The layer has no double_backward, or none in this mode; the message says why."""


class Layer(ABC):
    """Base of all layers and networks; composites are layers too.

    `group` says how many neighbours of the batch the layer couples: 1 for most, m for a layer that looks at packs of m
    samples, None for all of them (BatchNorm).
    """

    group: int | None = 1

    @abstractmethod
    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """(out_shape, {name: Param}) for inputs of `in_shape`, shapes without the batch axis.

        Raises:
            ValueError: the layer cannot take such an input.
        """

    @abstractmethod
    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Any, Note]:
        """Return y and the cache."""

    @abstractmethod
    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Note,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Any, Note]:
        """Return dx (None unless need_dx) and the tape; add parameter gradients to g where given."""

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Any, Note]:
        """Return ddy and the extra (None when zero); add second-order parameter gradients to g where given."""
        raise NoSecondOrderError(
            f"{type(self).__name__} has no double_backward: it cannot stand in a penalised network"
        )

    def no_second_order(self) -> str | None:
        """Why a gradient penalty cannot go through this layer in training; None where it can."""
        for name, child in self.children().items():
            reason = child.no_second_order()
            if reason is not None:
                return f"{name}: {reason}"
        if type(self).double_backward is Layer.double_backward:
            return f"{type(self).__name__} has no double_backward"
        return None

    def update_state(self, ops: Ops, p: Params, cache: Note) -> None:
        """Bring running statistics up to date from the cache of one forward pass; most layers have none."""

    def flops(self, in_shape: Any) -> int:
        """Multiplications and additions of matmuls and convolutions in one sample's forward pass."""
        return 0

    def children(self) -> Mapping[str, "Layer"]:
        """Child layers by name, in the order of evaluation; empty for a leaf."""
        return {}

    def init(self, seed: int, in_shape: Any, dtype: np.typing.DTypeLike = np.float32, *, player: str = "") -> ParamSet:
        """A ParamSet with initial values, a function of the seed, the player and each parameter's name alone.

        Two networks of one game need different `player` names: layers of the same name would start out alike.
        """
        p = ParamSet(self.spec(in_shape)[1], dtype)
        for path, param in walk(p.spec):
            p.named[path][...] = param.init(param.shape, generator(seed, f"{player}/{path}"))
        return p


def sub(note: Any, name: str) -> Any:
    """The part of a composite's p, g, note or extra that belongs to child `name`; None stays None."""
    if note is None:
        return None
    return note.get(name) if type(note) is dict else note.sub(name)


def add(ops: Ops, a: Array | None, b: Array | None) -> Array | None:
    """a + b in a new buffer, where None is zero: never in place, since a may alias the caller's dy."""
    if a is None or b is None:
        return b if a is None else a
    return ops.add(a, b)


def features(layer: Layer, in_shape: Any, expected: int, what: str = "features") -> Shape:
    """Check that `in_shape` is one array's shape whose last axis has `expected` features; return it."""
    if not is_shape(in_shape) or not in_shape:
        raise ValueError(f"{type(layer).__name__}: expected one input (..., {expected}), got {in_shape}")
    if in_shape[-1] != expected:
        raise ValueError(f"{type(layer).__name__}: the input {in_shape} has {in_shape[-1]} {what}, expected {expected}")
    return tuple(in_shape)


def is_shape(value: Any) -> bool:
    """Whether `value` is one array's shape, not a tuple of shapes."""
    return isinstance(value, tuple) and all(isinstance(v, int | np.integer) for v in value)


class Sequential(Layer):
    """Layers one after the other: y = f_n(... f_2(f_1(x))).

    Children are named by type and running number ("dense1", "leakyrelu1"), or by the caller with a (name, layer) pair.
    Its notes are dicts of the children's notes, so a Sequential nests in a Sequential.
    """

    def __init__(self, *layers: "Layer | tuple[str, Layer]") -> None:
        self.layers: dict[str, Layer] = {}
        counts: dict[str, int] = {}
        for entry in layers:
            if isinstance(entry, tuple):
                name, layer = entry
            else:
                kind = type(entry).__name__.lower()
                counts[kind] = counts.get(kind, 0) + 1
                name, layer = f"{kind}{counts[kind]}", entry
            if not name or "/" in name:
                raise ValueError(f"Sequential: a layer's name must not be empty or hold a slash, got {name!r}")
            if name in self.layers:
                raise ValueError(f"Sequential: two layers are called {name!r}")
            self.layers[name] = layer
        self.group = combined_group(self.layers.values(), in_series=True)

    def children(self) -> Mapping[str, Layer]:
        """The layers, first to last."""
        return self.layers

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """Shapes handed from layer to layer."""
        spec = {}
        for name, layer in self.layers.items():
            try:
                in_shape, own = layer.spec(in_shape)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if own:
                spec[name] = own
        return in_shape, spec

    def flops(self, in_shape: Any) -> int:
        """Sum over the layers."""
        total = 0
        for layer in self.layers.values():
            total += layer.flops(in_shape)
            in_shape, _ = layer.spec(in_shape)
        return total

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Any, Note]:
        """First to last."""
        caches = {}
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(ops, p.sub(name), x, train)
        return x, caches

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Note,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Any, Note]:
        """Last to first; where dy is None, from the last layer that has an extra.

        Without need_dx it ends at the first layer that has parameters: what lies before it has nothing to learn.
        """
        tapes: dict[str, Note] = dict.fromkeys(self.layers)
        first = next((name for name in self.layers if p.sub(name)), None)
        for name, layer in reversed(self.layers.items()):
            own = sub(extra, name)
            if dy is not None or own is not None:
                needed = need_dx or name != first
                dy, tapes[name] = layer.backward(ops, p.sub(name), cache[name], dy, sub(g, name), own, needed)
            if name == first and not need_dx:
                break
        return (dy if need_dx else None), tapes

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Any, Note]:
        """First to last along ddx and ddp; the extras by name, None if there is none."""
        extras = {}
        for name, layer in self.layers.items():
            moved = sub(ddp, name)
            if ddx is None and not moved:
                continue
            ddx, own = layer.double_backward(ops, p.sub(name), tape[name], ddx, sub(g, name), moved)
            if own is not None:
                extras[name] = own
        return ddx, extras or None

    def update_state(self, ops: Ops, p: Params, cache: Note) -> None:
        """Every child's."""
        for name, layer in self.layers.items():
            layer.update_state(ops, p.sub(name), cache[name])


def combined_group(layers: Any, in_series: bool) -> int | None:
    """Coupling of several layers: packs of packs multiply in series; side by side the least common multiple holds."""
    group = 1
    for layer in layers:
        if layer.group is None:
            return None
        group = group * layer.group if in_series else math.lcm(group, layer.group)
    return group
