"""What every operation owes its caller, checked on all of them: each rule once, over the table of operation_calls."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_host import OnHost
from operation_calls import CALLS, OPERATIONS, WRITTEN, Maker, arrays_in, run

import kernels
from kernels import Ops
from kernels.cuda.emulator import GuardedWorkspace

UNCHECKED = {("fill", "x")} | {(op, "guard") for op in ("sgd", "rmsprop", "adam")}
"""Arguments of any dtype: fill also clears whole-number buffers, a guard is only asked whether it is finite."""


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
def test_reads_no_memory_that_it_has_not_written(host_ops: Ops, operation: str):
    """Once warm, the same call gets the same addresses from a frozen workspace, and NaNs left there do not matter."""
    ops = host_ops
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
def test_gives_all_its_temporaries_back(host_ops: Ops, operation: str):
    """The next buffer lies right behind the results."""
    ops = host_ops
    if isinstance(ops.workspace, GuardedWorkspace):
        pytest.skip("guarded buffers do not lie side by side")
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


@pytest.mark.parametrize(("operation", "name"), [(op, name) for op in WRITTEN for name in sorted(WRITTEN[op])])
def test_refuses_to_change_what_is_read_only(host_ops: Ops, operation: str, name: str):
    """The bytes of a file that was mapped, say; a kernel would not ask."""
    arguments = CALLS[operation](Maker(host_ops.dtype))
    if arguments.get(name) is None:
        pytest.skip("this call does without it")
    arguments[name].flags.writeable = False
    with pytest.raises(ValueError, match=rf"^{operation}: {name} .* is read-only$"):
        getattr(host_ops, operation)(**arguments)
    assert not host_ops.calls


@pytest.mark.parametrize("operation", OPERATIONS)
def test_backends_share_the_checks_and_implement_the_twin(ops: Ops, operation: str):
    """The public method is the contract's own; a backend has the underscored twin, with the contract's parameters."""
    backend = type(ops.ops if isinstance(ops, OnHost) else ops)
    assert getattr(backend, operation) is getattr(Ops, operation)
    twin = getattr(Ops, f"_{operation}", None)
    if twin is not None and getattr(twin, "__isabstractmethod__", False):
        own = getattr(backend, f"_{operation}")
        assert list(inspect.signature(own).parameters) == list(inspect.signature(twin).parameters)
