"""A layer's sweeps run in float64 here, on the reference operations."""

import numpy as np
import pytest

import kernels
from kernels import Ops


@pytest.fixture
def ops() -> Ops:
    return kernels.get_ops("numpy", dtype=np.float64)
