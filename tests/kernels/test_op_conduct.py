"""What every operation owes its caller, checked on all of them: one table of calls, and each rule once.

A new operation joins by a line in CALLS; until then `test_the_table_is_complete` fails.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kernels
from kernels import Ops, Use, activation
from kernels.contract.elementwise import ElementwiseOps
from kernels.contract.norms import NormOps
from kernels.contract.products import ProductOps
from kernels.contract.updates import UpdateOps
from kernels.contract.windows import WindowOps

FAMILIES = (ProductOps, ElementwiseOps, NormOps, WindowOps, UpdateOps)
OPERATIONS = [name for family in FAMILIES for name in vars(family) if not name.startswith("_")]

TANH, STRIDE, PADS = activation("tanh"), (2, 1), (1, 0, 0, 2)
IMAGE, WINDOWS, POOLED, CHANNEL = (2, 5, 4, 3), (2, 2, 5, 2), (2, 2, 3, 3), (3,)
POOL = {"kernel": (2, 2), "stride": (2, 1)}


class Maker:
    """Arrays of the given dtype; the same calls make the same numbers."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(0)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape: int) -> np.ndarray:
        return (0.5 + self.rng.random(shape)).astype(self.dtype)

    def below(self, limit: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, limit, shape)

    def norm(self, statistics: int, **more: np.ndarray) -> dict[str, Any]:
        """What the backward passes of the norms have in common."""
        common = {"x": self(*IMAGE), "gamma": self(3), "eps": 0.1}
        return {**common, "mean": self(statistics), "var": self.positive(statistics), **more}

    def update(self, *state: str, **numbers: float) -> dict[str, Any]:
        """What the optimizers have in common; state is never negative."""
        arrays = {"p": self(7), "g": self(7), **{name: self.positive(7) for name in state}}
        return {**arrays, "guard": self(), "lr": 0.1, "weight_decay": 0.2, **numbers}


CALLS: dict[str, Callable[[Maker], dict[str, Any]]] = {
    "matmul": lambda new: {"a": new(5, 3), "b": new(3, 4), "bias": new(4), "activation": TANH},
    "conv2d": lambda new: {
        "x": new(*IMAGE), "w": new(3, 2, 3, 2), "stride": STRIDE, "pads": PADS, "bias": new(2), "activation": TANH
    },
    "conv2d_input_grad": lambda new: {
        "dy": new(*WINDOWS), "w": new(3, 2, 3, 2), "stride": STRIDE, "pads": PADS, "size": (5, 4), "bias": new(3)
    },
    "conv2d_weight_grad": lambda new: {
        "x": new(*IMAGE), "dy": new(*WINDOWS), "stride": STRIDE, "pads": PADS, "kernel": (3, 2)
    },
    "activation": lambda new: {"x": new(*IMAGE), "activation": TANH},
    "activation_grad": lambda new: {
        "activation": TANH, "dy": new(*IMAGE), "kept": new(*IMAGE), "extra": new(*IMAGE), "db": new(3)
    },
    "activation_double_grad": lambda new: {
        "activation": TANH, "ddz": new(*IMAGE), "dy": new(*IMAGE), "kept": new(*IMAGE)
    },
    "add": lambda new: {"a": new(*IMAGE), "b": new(*IMAGE)},
    "multiply": lambda new: {"a": new(*IMAGE), "b": new(*IMAGE)},
    "scale_shift": lambda new: {"x": new(*IMAGE), "scale": 3.0, "shift": -0.5},
    "axpy": lambda new: {"alpha": 0.5, "x": new(*IMAGE), "y": new(*IMAGE)},
    "fill": lambda new: {"x": new(*IMAGE), "value": 2.5},
    "clip": lambda new: {"x": new(*IMAGE), "low": -0.5, "high": 0.25},
    "sum_rows": lambda new: {"x": new(*IMAGE)},
    "sum": lambda new: {"x": new(*IMAGE)},
    "squared_norms": lambda new: {"x": new(*IMAGE)},
    "scale_samples": lambda new: {"x": new(*IMAGE), "factors": new(IMAGE[0])},
    "concat": lambda new: {"arrays": [new(2, 3), new(2, 1)], "axis": -1},
    "split": lambda new: {"x": new(*IMAGE), "sizes": (1, 2)},
    "gather_rows": lambda new: {"w": new(4, 3), "index": new.below(4, 6)},
    "scatter_add_rows": lambda new: {"dw": new(4, 3), "index": new.below(4, 6), "dy": new(6, 3)},
    "softmax_cross_entropy": lambda new: {"logits": new(5, 4), "labels": new.below(4, 5)},
    "random_normal": lambda _: {"shape": (3, 5), "use": Use.SAMPLE},
    "random_uniform": lambda _: {"shape": (3, 5), "use": Use.SAMPLE},
    "dropout_mask": lambda _: {"shape": (3, 5), "rate": 0.25},
    "batch_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "eps": 0.1, "activation": TANH
    },
    "batch_norm_grad": lambda new: new.norm(
        3, dy=new(*IMAGE), y=new(*IMAGE), activation=TANH, dgamma=new(3), dbeta=new(3)
    ),
    "channel_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "mean": new(3), "var": new.positive(3), "eps": 0.1
    },
    "channel_norm_weight_grad": lambda new: {
        "dz": new(*IMAGE), "x": new(*IMAGE), "mean": new(3), "var": new.positive(3), "eps": 0.1,
        "dgamma": new(3), "dbeta": new(3),
    },
    "layer_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "eps": 0.1, "activation": TANH
    },
    "layer_norm_grad": lambda new: new.norm(2, dz=new(*IMAGE), dgamma=new(3), dbeta=new(3)),
    "layer_norm_double_grad": lambda new: new.norm(2, ddx=new(*IMAGE), dz=new(*IMAGE), dgamma=new(3)),
    "avg_pool2d": lambda new: {"x": new(*IMAGE), **POOL},
    "avg_pool2d_grad": lambda new: {"dy": new(*POOLED), "size": (5, 4), **POOL},
    "max_pool2d": lambda new: {"x": new(*IMAGE), **POOL},
    "max_pool2d_grad": lambda new: {
        "dy": new(*POOLED), "index": new.below(4, *POOLED).astype(np.int32), "size": (5, 4), **POOL
    },
    "max_pool2d_gather": lambda new: {"x": new(*IMAGE), "index": new.below(4, *POOLED).astype(np.int32), **POOL},
    "upsample_nearest": lambda new: {"x": new(*IMAGE), "factor": (2, 3)},
    "upsample_nearest_grad": lambda new: {"dy": new(2, 6, 4, 3), "factor": (3, 2)},
    "sgd": lambda new: new.update("velocity", momentum=0.5, nesterov=True),
    "rmsprop": lambda new: new.update("v", decay=0.5, eps=0.1),
    "adam": lambda new: new.update("m", "v", "v_max", beta1=0.5, beta2=0.25, eps=0.1, step=3),
    "moving_average": lambda new: {"average": new(7), "x": new(7), "decay": 0.5},
    "clip_norm": lambda new: {"g": new(7), "limit": 0.5},
}  # fmt: skip

WRITTEN = {
    "activation_grad": {"db"},
    "axpy": {"y"},
    "fill": {"x"},
    "clip": {"x"},
    "scatter_add_rows": {"dw"},
    "batch_norm_grad": {"dgamma", "dbeta"},
    "channel_norm_weight_grad": {"dgamma", "dbeta"},
    "layer_norm_grad": {"dgamma", "dbeta"},
    "layer_norm_double_grad": {"dgamma"},
    "sgd": {"p", "velocity"},
    "rmsprop": {"p", "v"},
    "adam": {"p", "m", "v", "v_max"},
    "moving_average": {"average"},
    "clip_norm": {"g"},
}
"""Arguments that an operation changes in place; all others it must leave alone."""

UNCHECKED = {("fill", "x")} | {(op, "guard") for op in ("sgd", "rmsprop", "adam")}
"""Arguments of any dtype: fill also clears whole-number buffers, a guard is only asked whether it is finite."""


def arrays_in(value: Any) -> list[np.ndarray]:
    """The arrays of a result or of an argument."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, list | tuple):
        return [a for member in value for a in arrays_in(member)]
    return []


def run(ops: Ops, operation: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Call an operation as CALLS says; its results, and the arguments that it wrote to."""
    arguments = CALLS[operation](Maker(ops.dtype))
    results = arrays_in(getattr(ops, operation)(**arguments))
    return results, {name: arguments[name] for name in WRITTEN.get(operation, ())}


def test_the_table_is_complete():
    assert list(CALLS) == OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_changes_what_it_says_and_nothing_else(ops: Ops, operation: str):
    arguments = CALLS[operation](Maker(ops.dtype))
    before = CALLS[operation](Maker(ops.dtype))
    getattr(ops, operation)(**arguments)
    for name in arguments:
        same = [np.array_equal(a, b) for a, b in zip(arrays_in(arguments[name]), arrays_in(before[name]), strict=True)]
        assert all(same) != (name in WRITTEN.get(operation, ())), name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_agrees_with_the_reference_in_double_precision(ops: Ops, operation: str):
    tolerance = {"float32": 2e-5, "float64": 1e-12}[ops.dtype.name]
    results, written = run(ops, operation)
    expected, expected_written = run(kernels.get_ops("numpy", dtype=np.float64), operation)
    for actual, wanted in zip([*results, *written.values()], [*expected, *expected_written.values()], strict=True):
        assert actual.shape == wanted.shape
        np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_results_have_the_backends_dtype_and_are_contiguous(ops: Ops, operation: str):
    for result in run(ops, operation)[0]:
        assert result.dtype == ops.dtype or (operation == "max_pool2d" and result.dtype == np.int32)
        assert result.flags.c_contiguous


@pytest.mark.parametrize("operation", OPERATIONS)
def test_counts_its_call_and_no_other(ops: Ops, operation: str):
    run(ops, operation)
    run(ops, operation)
    assert ops.calls == {operation: 2}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reads_no_memory_that_it_has_not_written(ops: Ops, operation: str):
    """Once warm, the same call gets the same addresses from a frozen workspace, and NaNs left there do not matter."""
    ops.begin_step(0)
    results, written = run(ops, operation)
    expected = [a.copy() for a in (*results, *written.values())]
    addresses = [a.ctypes.data for a in results]
    ops.workspace.freeze()
    ops.workspace.poison()
    ops.begin_step(0)
    again, written = run(ops, operation)
    assert [a.ctypes.data for a in again] == addresses
    for actual, wanted in zip([*again, *written.values()], expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gives_all_its_temporaries_back(ops: Ops, operation: str):
    """The next buffer lies right behind the results."""
    start = ops.empty((1,)).ctypes.data
    results, _ = run(ops, operation)
    taken = sum(-(-a.nbytes // 64) * 64 for a in results)
    assert ops.empty((1,)).ctypes.data == start + 64 + taken


def float_arguments() -> list[tuple[str, str]]:
    found = []
    for operation, make in CALLS.items():
        for name, value in make(Maker(np.dtype(np.float64))).items():
            arrays = arrays_in(value)
            if arrays and arrays[0].dtype == np.float64 and (operation, name) not in UNCHECKED:
                found.append((operation, name))
    return found


def replaced(arguments: dict[str, Any], name: str, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """The arguments with one array (in a list: the last) exchanged."""
    value = arguments[name]
    return {**arguments, name: [*value[:-1], change(value[-1])] if isinstance(value, list) else change(value)}


@pytest.mark.parametrize(("operation", "name"), float_arguments())
def test_refuses_another_dtype(ops: Ops, operation: str, name: str):
    other = np.float64 if ops.dtype == np.float32 else np.float32
    arguments = replaced(CALLS[operation](Maker(ops.dtype)), name, lambda a: a.astype(other))
    with pytest.raises(TypeError, match=rf"^{operation}: .*{np.dtype(other)} \(.*computes in {ops.dtype}$"):
        getattr(ops, operation)(**arguments)
    assert not ops.calls


@pytest.mark.parametrize(("operation", "name"), float_arguments())
def test_refuses_strided_views(ops: Ops, operation: str, name: str):
    arguments = replaced(CALLS[operation](Maker(ops.dtype)), name, lambda a: np.repeat(a, 2, axis=-1)[..., ::2])
    with pytest.raises(ValueError, match=rf"^{operation}: .* is not C-contiguous .*pass a contiguous copy$"):
        getattr(ops, operation)(**arguments)
    assert not ops.calls


@pytest.mark.parametrize("operation", OPERATIONS)
def test_backends_share_the_checks_and_implement_the_twin(ops: Ops, operation: str):
    """The public method is the contract's own; a backend has the underscored twin, with the contract's parameters."""
    assert getattr(type(ops), operation) is getattr(Ops, operation)
    twin = getattr(Ops, f"_{operation}", None)
    if twin is not None and getattr(twin, "__isabstractmethod__", False):
        own = getattr(type(ops), f"_{operation}")
        assert list(inspect.signature(own).parameters) == list(inspect.signature(twin).parameters)
