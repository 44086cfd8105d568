"""The activations of `kernels.activations` by whole-number code, f and f' and f'' each in place over a run of numbers.

A run is so short that it stays in the first-level cache: a row of a matrix product, or a block of an element-wise
kernel. What a kernel does to it before and after costs no memory traffic. The switch on the code stands outside the
loops, so that each of them becomes vector code.
"""

import numpy as np

from ..activations import FORMULAS, Activation
from ..types import Array
from .functions import exp, expm1, sigmoid, softplus, tanh
from .jit import kernel

IDENTITY = 0
RELU, LEAKY_RELU, ELU, TANH, SIGMOID, SOFTPLUS, SILU = range(1, 8)
_CODES = {name: globals()[name.upper()] for name in FORMULAS}


def encode(activation: Activation | None) -> tuple[int, float]:
    """(code, parameter) of an activation; the identity is None."""
    return (IDENTITY, 0.0) if activation is None else (_CODES[activation.name], activation.parameter)


def slope_of(activation: Activation | None) -> float | None:
    """The slope below zero of the activations that `rectify` knows, which are made of straight lines; else None."""
    if activation is None:
        return 1.0
    return activation.parameter if activation.name in ("relu", "leaky_relu") else None


@kernel
def rectify(z: np.floating, slope: np.floating) -> np.floating:
    """max(z, slope z), the identity with slope 1; ReLU's slope 0 has a case of its own, since 0 inf is NaN.

    NaN stays NaN. Written as a choice of z or slope z, it would make LLVM store one of them only, under a mask.
    """
    zero = type(z)(0)
    return np.maximum(z, zero if slope == zero else slope * z)


@kernel
def activate(y: Array, start: int, count: int, code: int, parameter: float) -> None:
    """In place: y[start:start+count] = f of it."""
    run = y[start : start + count]
    p, zero = y.dtype.type(parameter), y.dtype.type(0)
    if code in (RELU, LEAKY_RELU):
        for i in range(run.size):
            run[i] = rectify(run[i], p)
    elif code == ELU:
        for i in range(run.size):
            z = run[i]
            run[i] = z if z > zero else p * expm1(zero if z > zero else z)
    elif code == TANH:
        for i in range(run.size):
            run[i] = tanh(run[i])
    elif code == SIGMOID:
        for i in range(run.size):
            run[i] = sigmoid(run[i])
    elif code == SOFTPLUS:
        for i in range(run.size):
            run[i] = softplus(run[i])
    elif code == SILU:
        for i in range(run.size):
            run[i] = run[i] * sigmoid(run[i])


@kernel
def derive(kept: Array, start: int, count: int, code: int, parameter: float) -> None:
    """In place: kept[start:start+count] = f' at what the forward pass kept there (y, for SiLU x).

    Only where f is curved: what is made of straight lines is a choice between two slopes, for which `elementwise`
    needs no pass of its own.
    """
    run = kept[start : start + count]
    p, zero, one = kept.dtype.type(parameter), kept.dtype.type(0), kept.dtype.type(1)
    if code == ELU:
        for i in range(run.size):
            run[i] = one if run[i] > zero else run[i] + p
    elif code == TANH:
        for i in range(run.size):
            run[i] = one - run[i] * run[i]
    elif code == SIGMOID:
        for i in range(run.size):
            run[i] = run[i] * (one - run[i])
    elif code == SOFTPLUS:
        for i in range(run.size):
            run[i] = -expm1(-run[i])
    elif code == SILU:
        for i in range(run.size):
            s = sigmoid(run[i])
            run[i] = s * (one + run[i] * (one - s))


@kernel
def derive_twice(kept: Array, start: int, count: int, code: int, parameter: float) -> None:
    """In place: kept[start:start+count] = f'' at what the forward pass kept there; only where f'' is not zero."""
    run = kept[start : start + count]
    kind = kept.dtype.type
    p, zero, one, two = kind(parameter), kind(0), kind(1), kind(2)
    if code == ELU:
        for i in range(run.size):
            run[i] = zero if run[i] > zero else run[i] + p
    elif code == TANH:
        for i in range(run.size):
            run[i] = -two * run[i] * (one - run[i] * run[i])
    elif code == SIGMOID:
        for i in range(run.size):
            run[i] = run[i] * (one - run[i]) * (one - two * run[i])
    elif code == SOFTPLUS:
        for i in range(run.size):
            run[i] = -expm1(-run[i]) * exp(-run[i])
    elif code == SILU:
        for i in range(run.size):
            s = sigmoid(run[i])
            run[i] = s * (one - s) * (two + run[i] * (one - two * s))
