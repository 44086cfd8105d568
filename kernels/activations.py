"""The table of activations: y = f(z), with f' and f'' written as functions of what the forward pass keeps.

Most activations are invertible enough that f' and f'' follow from y, so a layer that fuses them keeps y only
(`keeps == "y"`). SiLU is not monotonic: it keeps its input (`keeps == "x"`) and cannot be fused.

At a kink (ReLU, leaky ReLU and ELU at z = 0) the derivative is that of the left side, as in PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from .types import Array

Function: TypeAlias = Callable[[Array, float], Array]


class Formula(NamedTuple):
    """One row of the table; every function takes (array, parameter) and returns a new array."""

    f: Function  # of z
    df: Function  # of what is kept
    ddf: Function | None  # of what is kept; None: f'' = 0 wherever f' exists
    keeps: Literal["y", "x"] = "y"
    default: float = 0.0  # the parameter (slope, alpha) when none is given
    parametric: bool = False


def sigmoid(z: Array) -> Array:
    """s(z) = 1/(1 + exp(-z)), without overflow for any z: exp is only ever taken of -|z|."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|)), without overflow for any z."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _silu_ddf(x: Array, _: float) -> Array:
    s = sigmoid(x)
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def _silu_df(x: Array, _: float) -> Array:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _where_positive(y: Array, right: Array | float, left: Array | float) -> Array:
    """Choose by the sign of y; numbers are cast first, since np.where would widen float32 to float64."""
    right, left = (np.asarray(side, y.dtype) for side in (right, left))
    return np.where(y > 0, right, left)


FORMULAS: dict[str, Formula] = {
    "relu": Formula(
        f=lambda z, _: np.maximum(z, 0),
        df=lambda y, _: (y > 0).astype(y.dtype),
        ddf=None,
    ),
    "leaky_relu": Formula(
        f=lambda z, slope: np.maximum(z, slope * z),  # = the usual two cases, since 0 <= slope < 1
        df=lambda y, slope: np.maximum((y > 0).astype(y.dtype), slope),
        ddf=None,
        default=0.2,
        parametric=True,
    ),
    "elu": Formula(
        f=lambda z, alpha: _where_positive(z, z, alpha * np.expm1(np.minimum(z, 0))),
        df=lambda y, alpha: _where_positive(y, 1, y + alpha),
        ddf=lambda y, alpha: _where_positive(y, 0, y + alpha),
        default=1.0,
        parametric=True,
    ),
    "tanh": Formula(
        f=lambda z, _: np.tanh(z),
        df=lambda y, _: 1 - y * y,
        ddf=lambda y, _: -2 * y * (1 - y * y),
    ),
    "sigmoid": Formula(
        f=lambda z, _: sigmoid(z),
        df=lambda y, _: y * (1 - y),
        ddf=lambda y, _: y * (1 - y) * (1 - 2 * y),
    ),
    "softplus": Formula(
        f=lambda z, _: softplus(z),
        df=lambda y, _: -np.expm1(-y),
        ddf=lambda y, _: -np.expm1(-y) * np.exp(-y),
    ),
    "silu": Formula(
        f=lambda z, _: z * sigmoid(z),
        df=_silu_df,
        ddf=_silu_ddf,
        keeps="x",
    ),
}


@dataclass(frozen=True)
class Activation:
    """An activation by name and parameter: what layers and backends pass around.

    `parameter` is the negative slope of "leaky_relu" (in [0, 1)) and alpha > 0 of "elu"; the others have none.
    """

    name: str
    parameter: float

    @property
    def formula(self) -> Formula:
        """The row of the table."""
        return FORMULAS[self.name]

    def f(self, z: Array) -> Array:
        """f(z)."""
        return self.formula.f(z, self.parameter)

    def df(self, kept: Array) -> Array:
        """f'(z) from what was kept."""
        return self.formula.df(kept, self.parameter)

    def ddf(self, kept: Array) -> Array | None:
        """f''(z) from what was kept; None where f'' is zero."""
        return None if self.formula.ddf is None else self.formula.ddf(kept, self.parameter)

    def __str__(self) -> str:
        return f"{self.name}({self.parameter:g})" if self.formula.parametric else self.name


def activation(name: str | Activation | None, parameter: float | None = None) -> Activation | None:
    """Look up an activation: "relu", "leaky_relu" (slope 0.2), ("elu", 0.5), ...; None stays None (identity).

    Raises:
        ValueError: unknown name, or a parameter out of range or where there is none.
    """
    if name is None or isinstance(name, Activation):
        return name
    if name not in FORMULAS:
        raise ValueError(f"unknown activation {name!r}; there are {', '.join(FORMULAS)}")
    formula = FORMULAS[name]
    value = formula.default if parameter is None else float(parameter)
    if parameter is not None and not formula.parametric:
        raise ValueError(f"{name} takes no parameter, got {parameter!r}")
    if name == "leaky_relu" and not 0 <= value < 1:
        raise ValueError(f"leaky_relu: the slope must lie in [0, 1), got {value!r}: its sign must follow from y")
    if name == "elu" and not value > 0:
        raise ValueError(f"elu: alpha must be above 0, got {value!r}")
    return Activation(name, value)


def fusable(name: str | Activation | None, where: str) -> Activation | None:
    """Like `activation`, but refuse the functions whose derivative does not follow from y."""
    act = activation(name)
    if act is not None and act.formula.keeps != "y":
        raise ValueError(
            f"{where}: {act} cannot be fused, its derivative does not follow from y; put it behind as a layer"
        )
    return act
