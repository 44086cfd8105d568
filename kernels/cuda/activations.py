"""The activations of `kernels.activations` by whole-number code, as activations.cuh numbers them."""

import numpy as np

from ..activations import FORMULAS, Activation

IDENTITY = 0
_CODES = {name: code for code, name in enumerate(FORMULAS, 1)}


def encode(activation: Activation | None) -> tuple[np.int32, float]:
    """(code, parameter) of an activation; the identity is None."""
    if activation is None:
        return np.int32(IDENTITY), 0.0
    return np.int32(_CODES[activation.name]), activation.parameter
