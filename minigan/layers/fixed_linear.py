"""Base of the parameterless linear layers: their second backward is their own forward.

forward y = A x      backward dx = A^T dy      double_backward ddy = A ddx, no extra
"""

from abc import abstractmethod
from typing import Any

from kernels import Ops

from ..layer import Layer, Note, Params


class FixedLinear(Layer):
    """y = A x with an A that depends on the hyper-parameters and the shape of x alone."""

    @abstractmethod
    def apply(self, ops: Ops, x: Any) -> Any:
        """A x."""

    @abstractmethod
    def apply_adjoint(self, ops: Ops, dy: Any, x_shape: Any) -> Any:
        """A^T dy for an x of `x_shape`, batch axis included."""

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Any, Any]:
        """y = A x; keeps the shape of x."""
        return self.apply(ops, x), x.shape

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Any,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Any, Note]:
        """dx = A^T dy."""
        return (self.apply_adjoint(ops, dy, cache) if need_dx else None), None

    def double_backward(
        self, ops: Ops, p: Params, tape: Note, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Any, Note]:
        """ddy = A ddx."""
        return (None if ddx is None else self.apply(ops, ddx)), None
