"""Element-wise operations, sums, and moving data: bound by memory, so what fuses into one pass is one operation.

Axes: N = batch, C = features (last axis), ... = any axes between. "x same shape as y" arrays may not differ in shape:
nothing broadcasts unless it says so.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from ..activations import Activation
from ..rng import Use
from ..types import Array, Shape
from .base import OpsBase


class ElementwiseOps(OpsBase):
    """Activations and their derivatives, arithmetic, reductions, concatenation, table look-up, random numbers."""

    def activation(self, x: Array, activation: Activation) -> Array:
        """y = f(x), any shape."""
        self.check_float("activation", x=x)
        self.calls["activation"] += 1
        y = self.empty(x.shape)
        self._activation(x, activation, y)
        return y

    def activation_grad(
        self,
        activation: Activation | None,
        dy: Array | None,
        kept: Array,
        *,
        extra: Array | None = None,
        db: Array | None = None,
    ) -> Array:
        """dz = dy*f'(kept) + extra, and db (C,) += sum of dz over all axes but the last.

        dy or extra may be None (zero), not both. `activation` None is the identity: with no extra the result is dy
        itself, not a copy.
        """
        op = "activation_grad"
        self.check_float(op, dy=dy, kept=kept, extra=extra, db=db)
        self.check_writable(op, db=db)
        if dy is None and extra is None:
            raise ValueError(f"{op}: dy and extra are both None")
        for name, a in (("dy", dy), ("extra", extra)):
            if a is not None and a.shape != kept.shape:
                raise ValueError(f"{op}: {name} is {a.shape}, y is {kept.shape}")
        if db is not None and db.shape != kept.shape[-1:]:
            raise ValueError(f"{op}: db is {db.shape}, y is {kept.shape}")
        self.calls[op] += 1
        if dy is None or (activation is None and extra is None):
            dz = dy if dy is not None else extra
            assert dz is not None
            if db is not None:
                self._sum_rows(dz, db, accumulate=True)
        else:
            dz = self.empty(kept.shape)
            self._activation_grad(activation, dy, kept, extra, dz, db)
        return dz

    def activation_double_grad(
        self, activation: Activation | None, ddz: Array, dy: Array | None, kept: Array
    ) -> tuple[Array, Array | None]:
        """(ddy, extra): ddy = ddz*f'(kept) and extra = ddz*dy*f''(kept), None where f'' or dy is zero."""
        op = "activation_double_grad"
        self.check_float(op, ddz=ddz, dy=dy, kept=kept)
        for name, a in (("ddz", ddz), ("dy", dy)):
            if a is not None and a.shape != kept.shape:
                raise ValueError(f"{op}: {name} is {a.shape}, y is {kept.shape}")
        self.calls[op] += 1
        if activation is None:
            return ddz, None
        ddy = self.empty(kept.shape)
        self._activation_grad(activation, ddz, kept, None, ddy, None)
        if activation.formula.ddf is None or dy is None:
            return ddy, None
        extra = self.empty(kept.shape)
        self._activation_double_grad(activation, ddz, dy, kept, extra)
        return ddy, extra

    def add(self, a: Array, b: Array) -> Array:
        """a + b, same shapes."""
        return self._binary("add", a, b)

    def multiply(self, a: Array, b: Array) -> Array:
        """a * b, same shapes."""
        return self._binary("multiply", a, b)

    def scale_shift(self, x: Array, scale: float, shift: float = 0.0) -> Array:
        """scale*x + shift with two numbers, any shape."""
        self.check_float("scale_shift", x=x)
        self.calls["scale_shift"] += 1
        y = self.empty(x.shape)
        self._scale_shift(x, scale, shift, y)
        return y

    def axpy(self, alpha: float, x: Array, y: Array) -> None:
        """In place: y += alpha*x, same shapes."""
        self.check_float("axpy", x=x, y=y)
        self.check_writable("axpy", y=y)
        if x.shape != y.shape:
            raise ValueError(f"axpy: x is {x.shape}, y is {y.shape}")
        self.calls["axpy"] += 1
        self._axpy(alpha, x, y)

    def fill(self, x: Array, value: float) -> None:
        """In place: x = value everywhere, whatever x held (NaN too)."""
        self.check_writable("fill", x=x)
        self.calls["fill"] += 1
        self._fill(x, value)

    def copy(self, x: Array, y: Array) -> None:
        """In place: y = x, same shapes."""
        self.check_float("copy", x=x, y=y)
        self.check_writable("copy", y=y)
        if x.shape != y.shape:
            raise ValueError(f"copy: x is {x.shape}, y is {y.shape}")
        self.calls["copy"] += 1
        self._copy(x, y)

    def clip(self, x: Array, low: float, high: float) -> None:
        """In place: x = min(max(x, low), high)."""
        self.check_float("clip", x=x)
        self.check_writable("clip", x=x)
        self.calls["clip"] += 1
        self._clip(x, low, high)

    def sum_rows(self, x: Array, *, out: Array | None = None, accumulate: bool = False) -> Array:
        """Sum of x (..., C) over all axes but the last -> (C,); `accumulate` adds to `out`."""
        self.check_float("sum_rows", x=x)
        if accumulate and out is None:
            raise ValueError("sum_rows: accumulate=True needs out=")
        y = self.output("sum_rows", x.shape[-1:], out, x)
        self.calls["sum_rows"] += 1
        if y.size:
            self._sum_rows(x, y, accumulate)
        return y

    def sum(self, x: Array) -> Array:
        """Sum of all elements -> 0-d array."""
        self.check_float("sum", x=x)
        self.calls["sum"] += 1
        y = self.empty(())
        self._sum(x, y)
        return y

    def squared_norms(self, x: Array) -> Array:
        """Squared Euclidean norm of each sample: x (N, ...) -> (N,)."""
        self.check_float("squared_norms", x=x)
        self.calls["squared_norms"] += 1
        y = self.empty(x.shape[:1])
        self._squared_norms(x, y)
        return y

    def scale_samples(self, x: Array, factors: Array) -> Array:
        """Each sample times a number of its own: x (N, ...), factors (N,) -> y[n] = factors[n] x[n]."""
        self.check_float("scale_samples", x=x, factors=factors)
        if factors.shape != x.shape[:1] or not x.ndim:
            raise ValueError(f"scale_samples: x is {x.shape}, expected one factor a sample, got {factors.shape}")
        self.calls["scale_samples"] += 1
        y = self.empty(x.shape)
        self._scale_samples(x, factors, y)
        return y

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        """Join arrays along `axis`; all other axes must agree."""
        self.check_float("concat", **{f"array {i}": a for i, a in enumerate(arrays)})
        if not arrays:
            raise ValueError("concat: expected at least one array")
        first = arrays[0].shape
        axis = axis % len(first)
        before, behind = first[:axis], first[axis + 1 :]
        for a in arrays:
            if a.ndim != len(first) or a.shape[:axis] != before or a.shape[axis + 1 :] != behind:
                raise ValueError(f"concat: {a.shape} and {first} differ on an axis other than {axis}")
        self.calls["concat"] += 1
        y = self.empty((*before, sum(a.shape[axis] for a in arrays), *behind))
        self._concat(arrays, axis, y)
        return y

    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        """Contiguous copies of x (..., C) cut along its last axis into pieces of given sizes: the adjoint of concat."""
        self.check_float("split", x=x)
        if sum(sizes) != x.shape[-1]:
            raise ValueError(f"split: pieces {tuple(sizes)} do not add up to the last axis of {x.shape}")
        self.calls["split"] += 1
        pieces = [self.empty((*x.shape[:-1], size)) for size in sizes]
        self._split(x, pieces)
        return pieces

    def gather_rows(self, w: Array, index: Array) -> Array:
        """Rows of a table: w (K, F), index (N,) of whole numbers in [0, K) -> (N, F)."""
        self.check_float("gather_rows", w=w)
        if w.ndim != 2:
            raise ValueError(f"gather_rows: expected a table (K, F), got {w.shape}")
        self._check_index("gather_rows", index, w.shape[0])
        self.calls["gather_rows"] += 1
        y = self.empty((*index.shape, w.shape[1]))
        self._gather_rows(w, index, y)
        return y

    def gather_samples(self, data: Array, index: Array) -> Array:
        """Samples of a data set: data (K, ...), index (N,) of whole numbers in [0, K) -> (N, ...).

        Bytes are pixels and become numbers in [-1, 1]. Labels (int64), and numbers of the backend's dtype, stay.
        """
        if not isinstance(data, self.xp.ndarray):
            raise TypeError(f"gather_samples: data is {self._described(data)}")
        if data.dtype not in (np.uint8, np.int64, self.dtype):
            raise TypeError(f"gather_samples: expected data of uint8, int64 or {self.dtype}, got {data.dtype}")
        if not data.ndim or not data.flags.c_contiguous:
            raise ValueError(f"gather_samples: expected data (K, ...), C-contiguous, got {data.shape}")
        self._check_index("gather_samples", index, len(data))
        self.calls["gather_samples"] += 1
        y = self.empty((*index.shape, *data.shape[1:]), data.dtype if data.dtype == np.int64 else None)
        self._gather_samples(data, index, y)
        return y

    def scatter_add_rows(self, dw: Array, index: Array, dy: Array) -> None:
        """In place: dw[index[n]] += dy[n], dw (K, F), index (N,), dy (N, F): the adjoint of gather_rows."""
        self.check_float("scatter_add_rows", dw=dw, dy=dy)
        self.check_writable("scatter_add_rows", dw=dw)
        self._check_index("scatter_add_rows", index, dw.shape[0])
        if dy.shape != (*index.shape, dw.shape[1]):
            raise ValueError(f"scatter_add_rows: dy is {dy.shape}, index {index.shape}, dw {dw.shape}")
        self.calls["scatter_add_rows"] += 1
        self._scatter_add_rows(dw, index, dy)

    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array]:
        """Mean of -log softmax(logits)[label] (0-d) and its gradient; logits (N, K), labels (N,) in [0, K)."""
        op = "softmax_cross_entropy"
        self.check_float(op, logits=logits)
        if logits.ndim != 2:
            raise ValueError(f"{op}: expected logits (N, K), got {logits.shape}")
        self._check_index(op, labels, logits.shape[1])
        if labels.shape != logits.shape[:1]:
            raise ValueError(f"{op}: labels are {labels.shape}, logits {logits.shape}")
        self.calls[op] += 1
        value, dlogits = self.empty(()), self.empty(logits.shape)
        self._softmax_cross_entropy(logits, labels, value, dlogits)
        return value, dlogits

    def random_normal(self, shape: Shape, use: Use) -> Array:
        """Standard normal draws of this step."""
        self.calls["random_normal"] += 1
        y = self.empty(shape)
        self._random_normal(use, y)
        return y

    def random_uniform(self, shape: Shape, use: Use) -> Array:
        """Uniform draws of this step; in (0, 1) in float64, rounding may give 1 in float32."""
        self.calls["random_uniform"] += 1
        y = self.empty(shape)
        self._random_uniform(use, y)
        return y

    def dropout_mask(self, shape: Shape, rate: float) -> Array:
        """0 with probability `rate`, else 1/(1 - rate)."""
        if not 0 <= rate < 1:
            raise ValueError(f"dropout_mask: the rate must lie in [0, 1), got {rate}")
        self.calls["dropout_mask"] += 1
        y = self.empty(shape)
        self._dropout_mask(rate, y)
        return y

    def _binary(self, op: str, a: Array, b: Array) -> Array:
        self.check_float(op, a=a, b=b)
        if a.shape != b.shape:
            raise ValueError(f"{op}: a is {a.shape}, b is {b.shape}")
        self.calls[op] += 1
        y = self.empty(a.shape)
        (self._add if op == "add" else self._multiply)(a, b, y)
        return y

    def _check_index(self, op: str, index: Array, count: int) -> None:
        """The range only where looking costs no waiting for a device; there, a label out of range gives NaN."""
        if not isinstance(index, self.xp.ndarray):
            raise TypeError(f"{op}: labels are {self._described(index)}")
        if not np.issubdtype(index.dtype, np.integer) or index.ndim != 1:
            raise TypeError(f"{op}: expected whole-number labels (N,), got {index.dtype} {index.shape}")
        if not index.flags.c_contiguous:
            raise ValueError(f"{op}: labels {index.shape} are not C-contiguous; pass a contiguous copy")
        if index.size and self.can_look(index) and not (int(index.min()) >= 0 and int(index.max()) < count):
            raise ValueError(f"{op}: labels run from {index.min()} to {index.max()}, expected [0, {count})")

    def _fill(self, x: Array, value: float) -> None:
        x.fill(value)

    def _copy(self, x: Array, y: Array) -> None:
        y[...] = x

    @abstractmethod
    def _activation(self, x: Array, act: Activation, y: Array) -> None: ...
    @abstractmethod
    def _activation_grad(
        self, act: Activation | None, dy: Array, kept: Array, extra: Array | None, dz: Array, db: Array | None
    ) -> None: ...
    @abstractmethod
    def _activation_double_grad(self, act: Activation, ddz: Array, dy: Array, kept: Array, extra: Array) -> None: ...
    @abstractmethod
    def _add(self, a: Array, b: Array, y: Array) -> None: ...
    @abstractmethod
    def _multiply(self, a: Array, b: Array, y: Array) -> None: ...
    @abstractmethod
    def _scale_shift(self, x: Array, scale: float, shift: float, y: Array) -> None: ...
    @abstractmethod
    def _axpy(self, alpha: float, x: Array, y: Array) -> None: ...
    @abstractmethod
    def _clip(self, x: Array, low: float, high: float) -> None: ...
    @abstractmethod
    def _sum_rows(self, x: Array, y: Array, accumulate: bool) -> None: ...
    @abstractmethod
    def _sum(self, x: Array, y: Array) -> None: ...
    @abstractmethod
    def _squared_norms(self, x: Array, y: Array) -> None: ...
    @abstractmethod
    def _scale_samples(self, x: Array, factors: Array, y: Array) -> None: ...
    @abstractmethod
    def _concat(self, arrays: Sequence[Array], axis: int, y: Array) -> None: ...
    @abstractmethod
    def _split(self, x: Array, pieces: Sequence[Array]) -> None: ...
    @abstractmethod
    def _gather_rows(self, w: Array, index: Array, y: Array) -> None: ...
    @abstractmethod
    def _gather_samples(self, data: Array, index: Array, y: Array) -> None: ...
    @abstractmethod
    def _scatter_add_rows(self, dw: Array, index: Array, dy: Array) -> None: ...
    @abstractmethod
    def _softmax_cross_entropy(self, logits: Array, labels: Array, value: Array, dlogits: Array) -> None: ...
    @abstractmethod
    def _random_normal(self, use: Use, y: Array) -> None: ...
    @abstractmethod
    def _random_uniform(self, use: Use, y: Array) -> None: ...
    @abstractmethod
    def _dropout_mask(self, rate: float, y: Array) -> None: ...
