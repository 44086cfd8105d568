"""Activations as layers of their own: y = f(x), element by element.

    forward          y = f(x)
    backward         dx = dy f'(x) + extra
    double_backward  ddy = ddx f'(x),   extra = ddx dy f''(x)

They keep y, from which f' and f'' follow, or x where they do not (SiLU). The table of f, f', f'' is
`kernels.activations`. The same functions, SiLU excepted, can be fused into Dense, convolutions and norms.
"""

from typing import Any, NamedTuple

from kernels import Ops, activation
from kernels.types import Array

from ..layer import Layer, Note, Params
from ..params import Spec


class ActivationTape(NamedTuple):
    """Kept by backward; both have the shape of x."""

    kept: Array
    dy: Array | None


class Elementwise(Layer):
    """y = f(x), any shape, for the activation of the given name and parameter."""

    def __init__(self, name: str, parameter: float | None = None) -> None:
        act = activation(name, parameter)
        assert act is not None
        self.activation = act

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """Any shape, unchanged; no parameters."""
        return in_shape, {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Array]:
        """y = f(x)."""
        y = ops.activation(x, self.activation)
        return y, (y if self.activation.formula.keeps == "y" else x)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Array,
        dy: Array | None,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, ActivationTape]:
        """dx = dy f' + extra."""
        dx = ops.activation_grad(self.activation, dy, cache, extra=extra) if need_dx else None
        return dx, ActivationTape(cache, dy)

    def double_backward(
        self,
        ops: Ops,
        p: Params,
        tape: ActivationTape,
        ddx: Array | None,
        g: Params | None = None,
        ddp: Params | None = None,
    ) -> tuple[Array | None, Note]:
        """ddy = ddx f'; extra = ddx dy f''."""
        if ddx is None:
            return None, None
        return ops.activation_double_grad(self.activation, ddx, tape.dy, tape.kept)


class ReLU(Elementwise):
    """max(x, 0)."""

    def __init__(self) -> None:
        super().__init__("relu")


class LeakyReLU(Elementwise):
    """x for x > 0, slope*x elsewhere, 0 <= slope < 1 (Maas, Hannun and Ng 2013).

    Deviation: the default slope is DCGAN's 0.2; PyTorch's is 0.01.
    """

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__("leaky_relu", slope)


class ELU(Elementwise):
    """x for x > 0, alpha*(exp(x) - 1) elsewhere (Clevert, Unterthiner and Hochreiter 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__("elu", alpha)


class Tanh(Elementwise):
    """tanh(x)."""

    def __init__(self) -> None:
        super().__init__("tanh")


class Sigmoid(Elementwise):
    """1/(1 + exp(-x))."""

    def __init__(self) -> None:
        super().__init__("sigmoid")


class Softplus(Elementwise):
    """log(1 + exp(x))."""

    def __init__(self) -> None:
        super().__init__("softplus")


class SiLU(Elementwise):
    """x*sigmoid(x) (Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017 call it swish)."""

    def __init__(self) -> None:
        super().__init__("silu")
