"""Every operation in the emulator under the strictest conditions: threads in four orders, a build that watches every
access, memory that ends where each array ends. What the operations compute is the business of tests/kernels, which run
on the emulator too."""

from typing import Any

import numpy as np
import pytest
from operation_calls import CALLS, OPERATIONS, WRITTEN, Maker, arrays_in

from kernels import Ops, Use, activation
from kernels.cuda import CudaOps
from kernels.cuda.emulator import EmulatorRuntime, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

STRICT = (("forward", "end"), ("reverse", "front"), ("random:1", "end"), ("warps", "front"))
"""Orders of threads, and the side on which arrays are guarded."""


@pytest.fixture(scope="module", params=STRICT, ids="-".join)
def runtime(request: pytest.FixtureRequest) -> EmulatorRuntime:
    order, guard = request.param
    return EmulatorRuntime(order, build="checked", guard=guard)


@pytest.fixture(params=["float32", "float64"])
def strict(runtime: EmulatorRuntime, request: pytest.FixtureRequest) -> Ops:
    return CudaOps(runtime, request.param)


@pytest.fixture
def plain(strict: Ops) -> Ops:
    """The default order on ordinary memory, in the same build: another one may round a x + b once or twice."""
    return CudaOps(EmulatorRuntime("forward", build="checked", guard=""), strict.dtype)


def on_device(ops: Ops, value: Any) -> Any:
    """An argument, or the arrays of a list, on the device of `ops`."""
    if isinstance(value, list):
        return [on_device(ops, member) for member in value]
    return ops.to_device(value) if isinstance(value, np.ndarray) else value


def call(ops: Ops, operation: str) -> list[np.ndarray]:
    """The results of an operation called as the table says, and what it wrote into."""
    arguments = {name: on_device(ops, value) for name, value in CALLS[operation](Maker(ops.dtype)).items()}
    results = arrays_in(getattr(ops, operation)(**arguments))
    return [ops.to_host(a) for a in [*results, *(arguments[name] for name in WRITTEN.get(operation, ()))]]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_order_of_threads_gives_the_same_bits(strict: Ops, plain: Ops, operation: str):
    for actual, wanted in zip(call(strict, operation), call(plain, operation), strict=True):
        np.testing.assert_array_equal(actual, wanted)


ROWS, COLUMNS = 300, 37
"""Several strips of rows, two blocks of columns and a rest."""


def large(ops: Ops) -> dict[str, Any]:
    """Operations whose kernels work together, on more than a block."""
    rng = np.random.default_rng(0)
    x, dy = (ops.to_device(a.astype(ops.dtype)) for a in rng.standard_normal((2, ROWS, COLUMNS)))
    gamma, beta = (ops.to_device(a.astype(ops.dtype)) for a in rng.standard_normal((2, COLUMNS)))
    labels = ops.to_device(rng.integers(0, COLUMNS, ROWS))
    y, mean, var = ops.batch_norm(x, gamma, beta, 1e-5, activation("tanh"))
    samples, *statistics = ops.layer_norm(x, gamma, beta, 1e-5)
    return {
        "sum": ops.sum(x),
        "sum_rows": ops.sum_rows(x),
        "squared_norms": ops.squared_norms(x),
        "batch_norm": (y, mean, var),
        "batch_norm_grad": ops.batch_norm_grad(dy, x, gamma, mean, var, 1e-5, y=y, activation=activation("tanh")),
        "layer_norm": (samples, *statistics),
        "layer_norm_grad": ops.layer_norm_grad(dy, x, gamma, *statistics, 1e-5),
        "layer_norm_double_grad": ops.layer_norm_double_grad(dy, x, x, gamma, *statistics, 1e-5),
        "softmax_cross_entropy": ops.softmax_cross_entropy(x, labels),
        "random_normal": ops.random_normal((ROWS, COLUMNS), Use.SAMPLE),
        "clip_norm": ops.clip_norm(dy, 0.5),
    }


def test_work_shared_by_blocks_gives_the_same_bits(strict: Ops, plain: Ops):
    wanted = large(plain)
    for name, results in large(strict).items():
        for a, b in zip(arrays_in([results]), arrays_in([wanted[name]]), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
