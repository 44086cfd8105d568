"""Every test of operations runs on every backend that works here, in float32 and float64, by asking for `new_ops`."""

from collections.abc import Callable

import numpy as np
import pytest
from on_host import OnHost, seen_from_host

import kernels
from kernels import Ops

NewOps = Callable[..., Ops]


@pytest.fixture(scope="session", params=[name for name, why_not in kernels.available().items() if why_not is None])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session", params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


@pytest.fixture(scope="session")
def new_ops(backend: str, dtype: np.dtype) -> NewOps:
    """A factory, so that each example of a hypothesis test starts with fresh operations."""
    return lambda **arguments: seen_from_host(kernels.get_ops(backend, dtype=dtype, **arguments))


@pytest.fixture
def ops(new_ops: NewOps) -> Ops:
    return new_ops()


@pytest.fixture
def host_ops(ops: Ops) -> Ops:
    """For tests that look at addresses: operations on the very arrays that they are given."""
    own = ops.ops if isinstance(ops, OnHost) else ops
    if own.xp is not np:
        pytest.skip("looks into the host's memory")
    return own
