"""Projection: the logit of a sample and its label. Axes: N = batch, F = features, K = labels."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kernels import Ops
from kernels.types import Array, Shape

from ..initializers import Initializer, normal
from ..layer import Layer, Note, Params, add, sub
from ..params import Spec
from .dense import Dense
from .embedding import Embedding


class ProjectionCache(NamedTuple):
    """Kept by forward."""

    f: Array  # (N, F)
    e: Array  # (N, F), the labels' rows
    head: Note
    labels: Array  # (N,)


class ProjectionTape(NamedTuple):
    """Kept by backward."""

    cache: ProjectionCache
    du: Array | None  # (N, 1)
    head: Note


class Projection(Layer):
    """u = f W + b + <f, E[label]>: features and labels ((N, F), (N,)) -> (N, 1) (Miyato and Koyama 2018, eq. 3).

    With e = E[label], the head W (F, 1), b (1,) and the table E (K, F) as children "head" and "embed":

        forward          u = f W + b + <f, e>
        backward         df = du W^T + du e + extra,   dW += f^T du,   db += sum du,   dE[label] += du f
        double_backward  ddu = ddf W + <ddf, e> + f ddW + ddb + <f, dde>,   dW += ddf^T du,   dE[label] += du ddf,
                         extra = du ddW^T + du dde,   dde = ddE[label]

    Labels carry no gradient: dx is (df, None).

    Args:
        features, labels: F and K.
        init: of W and E, normal(0, 0.02) by default.
    """

    def __init__(self, features: int, labels: int, init: Initializer | None = None) -> None:
        init = init if init is not None else normal(0.02)
        self.head, self.embed = Dense(features, 1, init=init), Embedding(labels, features, init)

    def children(self) -> Mapping[str, Layer]:
        """The unconditional part and the table of labels."""
        return {"head": self.head, "embed": self.embed}

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """((F,), ()) -> (1,)."""
        if not isinstance(in_shape, tuple) or len(in_shape) != 2 or in_shape[1] != ():
            raise ValueError(f"Projection: expected features and a label, ((F,), ()), got {in_shape}")
        if len(in_shape[0]) != 1:
            raise ValueError(f"Projection: expected flat features (F,), got {in_shape[0]}")
        shape, head = self.head.spec(in_shape[0])
        return shape, {"head": head, "embed": self.embed.spec(())[1]}

    def flops(self, in_shape: Any) -> int:
        """Of the head and of the inner product."""
        return 2 * self.head.flops(in_shape[0])

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, ProjectionCache]:
        """u = f W + b + <f, e>."""
        f, labels = x
        u, head = self.head.forward(ops, p.sub("head"), f, train)
        e, _ = self.embed.forward(ops, p.sub("embed"), labels, train)
        return ops.add(u, _inner(ops, f, e)), ProjectionCache(f, e, head, labels)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: ProjectionCache,
        dy: Any,
        g: Params | None = None,
        extra: Array | None = None,
        need_dx: bool = True,
    ) -> tuple[tuple[Array | None, None], ProjectionTape]:
        """df = du W^T + du e + extra."""
        if dy is None:
            return ((extra if need_dx else None), None), ProjectionTape(cache, None, None)
        du = dy.reshape(-1)  # (N, 1) -> (N,)
        df, head = self.head.backward(ops, p.sub("head"), cache.head, dy, sub(g, "head"), need_dx=need_dx)
        if g is not None:
            self.embed.backward(ops, p.sub("embed"), cache.labels, ops.scale_samples(cache.f, du), sub(g, "embed"))
        if df is not None:
            df = add(ops, ops.add(df, ops.scale_samples(cache.e, du)), extra)
        return (df, None), ProjectionTape(cache, dy, head)

    def double_backward(
        self, ops: Ops, p: Params, tape: ProjectionTape, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, Array | None]:
        """ddu = ddf W + <ddf, e> + f ddW + ddb + <f, dde>, and the extra."""
        ddf = None if ddx is None else ddx[0]
        if tape.du is None or (ddf is None and not ddp):
            return None, None
        (f, e, _, labels), du, extra = tape.cache, tape.du.reshape(-1), None
        ddu, owed = self.head.double_backward(ops, p.sub("head"), tape.head, ddf, sub(g, "head"), sub(ddp, "head"))
        if ddf is not None:
            ddu = add(ops, ddu, _inner(ops, ddf, e))
            if g is not None:
                self.embed.backward(ops, p.sub("embed"), labels, ops.scale_samples(ddf, du), sub(g, "embed"))
        if ddp:
            dde, _ = self.embed.double_backward(ops, p.sub("embed"), labels, None, None, ddp.sub("embed"))
            assert dde is not None
            assert owed is not None
            ddu = add(ops, ddu, _inner(ops, f, dde))
            extra = add(ops, owed.x, ops.scale_samples(dde, du))
        return ddu, extra


def _inner(ops: Ops, a: Array, b: Array) -> Array:
    """<a, b> of each sample, (N, F), (N, F) -> (N, 1)."""
    ones = ops.empty((a.shape[1], 1))
    ops.fill(ones, 1.0)
    return ops.matmul(ops.multiply(a, b), ones)
