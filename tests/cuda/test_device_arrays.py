"""Operations on arrays that are not NumPy's, as a GPU's are not: what they take, and what they refuse in one line."""

import mmap

import numpy as np
import pytest
from on_host import OnHost, seen_from_host
from operation_calls import CALLS, OPERATIONS, WRITTEN, Maker, arrays_in
from strict_device import StrictRuntime

import kernels
from kernels import Ops
from kernels.cuda import CudaOps
from kernels.cuda.emulator import EmulatorRuntime, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def runtime() -> StrictRuntime:
    return StrictRuntime()


@pytest.fixture
def ops(runtime: StrictRuntime) -> Ops:
    return CudaOps(runtime, np.float32)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_computes_the_same_as_on_the_emulators_arrays(ops: Ops, operation: str):
    """Nothing but shapes, dtypes and launches: no operation looks into an array or makes one of NumPy's of it."""
    results = []
    for backend in (OnHost(ops), kernels.get_ops("cuda-emulator")):
        arguments = CALLS[operation](Maker(ops.dtype))
        returned = arrays_in(getattr(backend, operation)(**arguments))
        results.append([*returned, *(arguments[name] for name in WRITTEN.get(operation, ()))])
    for on_device, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(on_device, expected)


@pytest.mark.parametrize("guard", ["", "end", "front"])
def test_on_a_guarded_emulator_the_tests_of_operations_pass_guarded_arrays(guard: str, monkeypatch: pytest.MonkeyPatch):
    """What a test has made itself would end where the process's memory goes on."""
    addresses = list[int]()
    monkeypatch.setattr(CudaOps, "_sum", lambda _, x, __: addresses.append(x.ctypes.data))
    x = np.ones(40)
    seen_from_host(CudaOps(EmulatorRuntime(guard=guard), x.dtype)).sum(x)
    (address,) = addresses
    assert (address == x.ctypes.data) == (not guard)
    assert {"": 0, "end": address + x.nbytes, "front": address}[guard] % mmap.PAGESIZE == 0


class TestRefused:
    """And the next call works."""

    @pytest.fixture(autouse=True)
    def goes_on(self, ops: Ops):
        yield
        ones = ops.to_device(np.ones((2, 2), np.float32))
        np.testing.assert_array_equal(ops.to_host(ops.matmul(ones, ones)), 2)

    def test_memory_of_the_host(self, ops: Ops):
        device = ops.to_device(np.ones((2, 2), np.float32))
        with pytest.raises(
            TypeError, match=r"^matmul: b is an array float32 \(2, 2\) in the host's memory.*to_device$"
        ):
            ops.matmul(device, np.ones((2, 2), np.float32))
        with pytest.raises(TypeError, match=r"^gather_rows: labels are an array int64 \(3,\) in the host's memory"):
            ops.gather_rows(device, np.zeros(3, np.int64))
        with pytest.raises(TypeError, match=r"^gather_samples: data is an array uint8 \(2, 3\) in the host's memory"):
            ops.gather_samples(np.zeros((2, 3), np.uint8), device)

    def test_what_is_no_array(self, ops: Ops):
        with pytest.raises(TypeError, match=r"^sum: x is a list, expected an array of float32$"):
            ops.sum([1.0])  # type: ignore[arg-type]

    def test_another_dtype(self, ops: Ops):
        with pytest.raises(TypeError, match=r"^sum: x is float64 \(3,\), this backend computes in float32$"):
            ops.sum(ops.to_device(np.ones(3)))
        with pytest.raises(TypeError, match=r"^fill: x is bool \(3,\), there are kernels for float32"):
            ops.fill(ops.to_device(np.ones(3, bool)), 0)

    def test_strides(self, ops: Ops):
        columns = ops.to_device(np.ones((3, 4), np.float32))[:, ::2]
        with pytest.raises(ValueError, match=r"^add: a \(3, 2\) is not C-contiguous .*pass a contiguous copy$"):
            ops.add(columns, columns)
        labels = ops.to_device(np.zeros(6, np.int64))[::2]
        with pytest.raises(ValueError, match=r"^gather_rows: labels \(3,\) are not C-contiguous"):
            ops.gather_rows(ops.to_device(np.ones((2, 2), np.float32)), labels)

    def test_out_in_the_memory_of_an_input(self, ops: Ops):
        a = ops.to_device(np.ones((3, 2), np.float32))
        with pytest.raises(ValueError, match=r"^matmul: out \(2, 2\) overlaps an input \(2, 2\)$"):
            ops.matmul(a[:2], a[:2], out=a[1:])


def test_labels_out_of_range_give_nan(ops: Ops):
    """To look at them would be to wait for the device; NaN stops the optimizers, and the run says where it begins."""
    labels = ops.to_device(np.array([0, 2, -1]))
    rows = ops.to_host(ops.gather_rows(ops.to_device(np.ones((2, 3), np.float32)), labels))
    assert np.isnan(rows).all(1).tolist() == [False, True, True]
    samples = ops.to_host(ops.gather_samples(ops.to_device(np.full((2, 3), 255, np.uint8)), labels))
    assert np.isnan(samples).all(1).tolist() == [False, True, True]
    assert ops.to_host(ops.gather_samples(ops.to_device(np.arange(2)), labels)).tolist() == [0, -1, -1]
    value, gradient = ops.softmax_cross_entropy(ops.to_device(np.ones((3, 2), np.float32)), labels)
    assert np.isnan(ops.to_host(value))
    assert np.isnan(ops.to_host(gradient)).all(1).tolist() == [False, True, True]
