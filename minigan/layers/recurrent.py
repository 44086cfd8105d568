"""GRU: a gated recurrent unit, its loop over time and the way back by hand.

Axes: N = batch, T = time, F = features of x, H = hidden units.
"""

from typing import Any, NamedTuple

from kernels import Ops, activation
from kernels.types import Array, Shape

from ..initializers import Initializer, glorot_uniform, orthogonal, zeros
from ..layer import Layer, NoSecondOrderError, Note, Params, add, is_shape
from ..params import Param, Spec

REASON = (
    "a second backward pass through time is not written: recurrent layers take no gradient penalty; "
    "spectral normalisation bounds a slope too"
)
SIGMOID: Any = activation("sigmoid")
TANH: Any = activation("tanh")


class Moment(NamedTuple):
    """What one step in time keeps; all are (N, H)."""

    h: Array  # the state before it
    r: Array
    z: Array
    n: Array
    s: Array  # h U_n, which r gates


class GruCache(NamedTuple):
    """Kept by forward."""

    x: Array  # (N, T, F)
    moments: tuple[Moment, ...]


class GRU(Layer):
    """A state h in R^H that is carried through time: x (N, T, F) -> all states (N, T, H), or the last one (N, H).

    From h_0 = 0, with W (F, 3 H) = [W_r, W_z, W_n], U (H, 3 H) = [U_r, U_z, U_n] and b (3 H,) likewise:

        forward   r = s(x W_r + h U_r + b_r)            what of the state the candidate sees
                  z = s(x W_z + h U_z + b_z)            what of the state stays
                  n = tanh(x W_n + r (h U_n) + b_n)     the candidate
                  h' = (1 - z) n + z h

        backward  dh = dh' of the output + dh from the step after, and from the last step to the first
                  dn = dh (1 - z) (1 - n^2),   dz = dh (h - n) z (1 - z),   dr = dn (h U_n) r (1 - r)
                  da = [dr, dz, dn],   du = [dr, dz, dn r]
                  dx = da W^T,   dW += x^T da,   db += sum da,   dU += h^T du
                  dh of the step before = dh z + du U^T

    There is no second order: `double_backward` raises and says so. Products that need no state (x W, and all weight
    gradients) are one for all times.

    Args:
        features, hidden: F and H.
        last: whether only the last state is wanted.
        init: of W, Glorot's uniform values by default; U starts orthogonal.

    Source: Cho et al. 2014, eq. 5 to 8, in the variant of cuDNN, which gates h U_n in place of h. Deviation: PyTorch
    has a second bias beside h U.
    """

    def __init__(self, features: int, hidden: int, last: bool = False, init: Initializer | None = None) -> None:
        for what, value in (("features", features), ("hidden", hidden)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"GRU: {what} must be a whole number of at least 1, got {value!r}")
        self.features, self.hidden, self.last = features, hidden, last
        self.weight_init = init if init is not None else glorot_uniform()

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(T, F) -> (T, H), or (H,)."""
        if not is_shape(in_shape) or len(in_shape) != 2 or in_shape[1] != self.features:
            raise ValueError(f"GRU: expected a sequence (T, {self.features}), got {in_shape}")
        gates = 3 * self.hidden
        return (self.hidden,) if self.last else (in_shape[0], self.hidden), {
            "W": Param((self.features, gates), self.weight_init),
            "U": Param((self.hidden, gates), orthogonal()),
            "b": Param((gates,), zeros),
        }

    def flops(self, in_shape: Any) -> int:
        """2 (F + H) 3 H for each time."""
        return 2 * in_shape[0] * (self.features + self.hidden) * 3 * self.hidden

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, GruCache]:
        """The loop over time."""
        count, times, _ = x.shape
        if x.shape[2] != self.features:
            raise ValueError(f"GRU: x has {x.shape[2]} features, W expects {self.features} (x {x.shape})")
        gates = ops.matmul(x.reshape(count * times, -1), p["W"], bias=p["b"])  # (N T, 3 H)
        pieces = ops.split(gates.reshape(count, -1), [self.hidden] * (3 * times))  # (N, H) each
        h = ops.empty((count, self.hidden))
        ops.fill(h, 0.0)
        moments, states = [], []
        for t in range(times):
            of_r, of_z, of_n = pieces[3 * t : 3 * t + 3]
            by_r, by_z, s = ops.split(ops.matmul(h, p["U"]), [self.hidden] * 3)
            r = ops.activation(ops.add(of_r, by_r), SIGMOID)
            z = ops.activation(ops.add(of_z, by_z), SIGMOID)
            n = ops.activation(ops.add(of_n, ops.multiply(r, s)), TANH)
            moments.append(Moment(h, r, z, n, s))
            h = ops.add(n, ops.multiply(z, ops.add(h, ops.scale_shift(n, -1.0))))
            states.append(h)
        y = h if self.last else ops.concat(states, axis=-1).reshape(count, times, self.hidden)
        return y, GruCache(x, tuple(moments))

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: GruCache,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, None]:
        """Back through time."""
        assert extra is None, "it would come from double_backward, which raises"
        x, moments = cache
        count, times, _ = x.shape
        dys: list[Array | None] = [None] * (times - 1) + [dy]
        if not self.last:
            dys = list(ops.split(dy.reshape(count, -1), [self.hidden] * times))
        da: list[Array] = []
        du: list[Array] = []
        dh: Array | None = None
        for (h, r, z, n, s), own in zip(reversed(moments), reversed(dys), strict=True):
            dh = add(ops, own, dh)
            assert dh is not None
            dn = ops.activation_grad(TANH, ops.multiply(dh, ops.scale_shift(z, -1.0, 1.0)), n)
            dz = ops.activation_grad(SIGMOID, ops.multiply(dh, ops.add(h, ops.scale_shift(n, -1.0))), z)
            dr = ops.activation_grad(SIGMOID, ops.multiply(dn, s), r)
            da[:0] = [dr, dz, dn]
            now = [dr, dz, ops.multiply(dn, r)]
            du[:0] = now
            dh = ops.add(ops.multiply(dh, z), ops.matmul(ops.concat(now, axis=-1), p["U"], trans_b=True))
        gates = 3 * self.hidden
        all_da = ops.concat(da, axis=-1).reshape(count * times, gates)  # (N, T 3 H) -> (N T, 3 H)
        if g is not None:
            all_du = ops.concat(du, axis=-1).reshape(count * times, gates)
            before = ops.concat([moment.h for moment in moments], axis=-1).reshape(count * times, self.hidden)
            ops.matmul(x.reshape(count * times, -1), all_da, trans_a=True, out=g["W"], accumulate=True)
            ops.matmul(before, all_du, trans_a=True, out=g["U"], accumulate=True)
            ops.sum_rows(all_da, out=g["b"], accumulate=True)
        return (ops.matmul(all_da, p["W"], trans_b=True).reshape(x.shape) if need_dx else None), None

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Any, Note]:
        """Not written."""
        raise NoSecondOrderError(f"GRU: {REASON}")

    def no_second_order(self) -> str | None:
        """Why not."""
        return f"GRU: {REASON}"
