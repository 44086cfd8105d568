"""Composites with more than one path: Residual, Parallel, Fork and Concat. Notes are dicts of the children's notes."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from kernels import Ops
from kernels.types import Array, Shape

from ..layer import Layer, Note, Params, Sequential, add, combined_group, is_shape, sub
from ..params import Spec


class Branches(Layer):
    """Several children side by side; a subclass says what each reads and how their outputs become one."""

    def __init__(self, branches: Mapping[str, Layer]) -> None:
        self.branches = dict(branches)
        self.group = combined_group(self.branches.values(), in_series=False)

    def children(self) -> Mapping[str, Layer]:
        """The branches by name."""
        return self.branches

    @abstractmethod
    def inputs(self, x: Any) -> Mapping[str, Any]:
        """What each branch reads (arrays, shapes or ddx alike)."""

    def branch_specs(self, in_shape: Any) -> tuple[list[Any], Spec]:
        """Output shape of each branch, and the nested spec of those that have parameters."""
        shapes, spec = [], {}
        for name, own_shape in self.inputs(in_shape).items():
            shape, own = self.branches[name].spec(own_shape)
            shapes.append(shape)
            if own:
                spec[name] = own
        return shapes, spec

    def flops(self, in_shape: Any) -> int:
        """Sum over the branches."""
        return sum(self.branches[name].flops(shape) for name, shape in self.inputs(in_shape).items())

    def forward_branches(self, ops: Ops, p: Params, x: Any, train: bool) -> tuple[list[Any], Note]:
        """Outputs of the branches, and their caches by name."""
        ys, caches = [], {}
        for name, own in self.inputs(x).items():
            y, caches[name] = self.branches[name].forward(ops, p.sub(name), own, train)
            ys.append(y)
        return ys, caches

    def backward_branches(
        self, ops: Ops, p: Params, cache: Note, dys: list[Any], g: Params | None, extra: Note, need_dx: bool
    ) -> tuple[list[Any], Note]:
        """dx of each branch, and the tapes by name; where nothing flows None and no tape."""
        dxs: list[Any] = []
        tapes: dict[str, Note] = {}
        for (name, layer), dy in zip(self.branches.items(), dys, strict=True):
            own, dx = sub(extra, name), None
            if dy is not None or own is not None:
                dx, tapes[name] = layer.backward(ops, p.sub(name), cache[name], dy, sub(g, name), own, need_dx)
            dxs.append(dx)
        return dxs, tapes

    def double_backward_branches(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None, ddp: Params | None
    ) -> tuple[list[Any], Note]:
        """ddy of each branch, and their extras by name, None if there is none.

        A branch into which backward sent nothing has no ddy: nobody has a dy to learn from it.
        """
        ddys, extras = [], {}
        along = dict.fromkeys(self.branches) if ddx is None else self.inputs(ddx)
        for name, own in along.items():
            ddy, moved = None, sub(ddp, name)
            if (own is not None or moved) and name in tape:
                ddy, extra = self.branches[name].double_backward(ops, p.sub(name), tape[name], own, sub(g, name), moved)
                if extra is not None:
                    extras[name] = extra
            ddys.append(ddy)
        return ddys, extras or None

    def update_state(self, ops: Ops, p: Params, cache: Note) -> None:
        """Every branch's."""
        for name, layer in self.branches.items():
            layer.update_state(ops, p.sub(name), cache[name])


class Residual(Branches):
    """y = branch(x) + skip(x); skip is the identity by default (He, Zhang, Ren and Sun 2016).

    dx = branch's dx + skip's dx, and likewise ddy.
    """

    def __init__(self, branch: Layer, skip: Layer | None = None) -> None:
        super().__init__({"branch": branch, "skip": Sequential() if skip is None else skip})

    def inputs(self, x: Any) -> Mapping[str, Any]:
        """Both read x."""
        return {"branch": x, "skip": x}

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """One input; both paths must end in the same shape."""
        if not is_shape(in_shape):
            raise ValueError(f"Residual: expected one input, got {in_shape}")
        (branch, skip), spec = self.branch_specs(in_shape)
        if branch != skip:
            raise ValueError(f"Residual: the branch gives {branch}, the skip {skip}; they are added")
        return branch, spec

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Note]:
        """branch(x) + skip(x)."""
        (branch, skip), caches = self.forward_branches(ops, p, x, train)
        return ops.add(branch, skip), caches

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Note,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, Note]:
        """Sum of both paths' dx."""
        (branch, skip), tapes = self.backward_branches(ops, p, cache, [dy, dy], g, extra, need_dx)
        return add(ops, branch, skip), tapes

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, Note]:
        """Sum of both paths' ddy."""
        (branch, skip), extras = self.double_backward_branches(ops, p, tape, ddx, g, ddp)
        return add(ops, branch, skip), extras


class Parallel(Branches):
    """(y1, ..., yk) = (f1(x1), ..., fk(xk)): one child for each member of a tuple input.

    A label's Embedding beside an image's network, for instance. A member that carries no gradient gets None.
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) < 2:
            raise ValueError(f"Parallel: expected at least two layers, got {len(layers)}")
        super().__init__({f"branch{i}": layer for i, layer in enumerate(layers, 1)})

    def inputs(self, x: Any) -> Mapping[str, Any]:
        """Member i goes to branch i."""
        if not isinstance(x, tuple) or len(x) != len(self.branches):
            raise ValueError(f"Parallel: expected a tuple of {len(self.branches)} inputs, got {x!r:.80}")
        return dict(zip(self.branches, x, strict=True))

    def spec(self, in_shape: Any) -> tuple[tuple[Any, ...], Spec]:
        """A tuple of shapes -> a tuple of shapes."""
        shapes, spec = self.branch_specs(in_shape)
        return tuple(shapes), spec

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[tuple[Any, ...], Note]:
        """Each its own."""
        ys, caches = self.forward_branches(ops, p, x, train)
        return tuple(ys), caches

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Note,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[tuple[Any, ...], Note]:
        """Each its own."""
        dys = [None] * len(self.branches) if dy is None else list(dy)
        dxs, tapes = self.backward_branches(ops, p, cache, dys, g, extra, need_dx)
        return tuple(dxs), tapes

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[tuple[Any, ...], Note]:
        """Each its own."""
        ddys, extras = self.double_backward_branches(ops, p, tape, ddx, g, ddp)
        return tuple(ddys), extras


class Fork(Branches):
    """(y1, ..., yk) = (f1(x), ..., fk(x)): several heads on one input.

    dx = sum of the heads' dx;  ddy = (ddy1, ..., ddyk).
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) < 2:
            raise ValueError(f"Fork: expected at least two layers, got {len(layers)}")
        super().__init__({f"head{i}": layer for i, layer in enumerate(layers, 1)})

    def inputs(self, x: Any) -> Mapping[str, Any]:
        """All read x."""
        return dict.fromkeys(self.branches, x)

    def spec(self, in_shape: Any) -> tuple[tuple[Any, ...], Spec]:
        """One shape -> a tuple of shapes."""
        shapes, spec = self.branch_specs(in_shape)
        return tuple(shapes), spec

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[tuple[Any, ...], Note]:
        """Each its own."""
        ys, caches = self.forward_branches(ops, p, x, train)
        return tuple(ys), caches

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Note,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, Note]:
        """Sum of the heads' dx."""
        dys = [None] * len(self.branches) if dy is None else list(dy)
        dxs, tapes = self.backward_branches(ops, p, cache, dys, g, extra, need_dx)
        total = None
        for dx in dxs:
            total = add(ops, total, dx)
        return total, tapes

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[tuple[Any, ...], Note]:
        """Each its own."""
        ddys, extras = self.double_backward_branches(ops, p, tape, ddx, g, ddp)
        return tuple(ddys), extras


class Concat(Layer):
    """Join the members of a tuple input along the last axis: (N, ..., C1), (N, ..., C2) -> (N, ..., C1 + C2).

    dx is dy cut into the same pieces; ddy joins the pieces of ddx, None standing for zeros.
    """

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """All axes but the last must agree."""
        if is_shape(in_shape) or len(in_shape) < 2 or () in in_shape or len({shape[:-1] for shape in in_shape}) != 1:
            raise ValueError(f"Concat: expected two or more inputs that differ on the last axis only, got {in_shape}")
        return (*in_shape[0][:-1], sum(shape[-1] for shape in in_shape)), {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, tuple[Shape, ...]]:
        """Keeps the shapes of the members."""
        return ops.concat(x, axis=-1), tuple(member.shape for member in x)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: tuple[Shape, ...],
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[tuple[Array, ...] | None, tuple[Shape, ...]]:
        """Cut dy."""
        return (tuple(ops.split(dy, [shape[-1] for shape in cache])) if need_dx else None), cache

    def double_backward(
        self, ops: Ops, p: Params, tape: tuple[Shape, ...], ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, Note]:
        """Join ddx."""
        if ddx is None or all(member is None for member in ddx):
            return None, None
        members = []
        for member, shape in zip(ddx, tape, strict=True):
            if member is None:
                member = ops.empty(shape)
                ops.fill(member, 0)
            members.append(member)
        return ops.concat(members, axis=-1), None
