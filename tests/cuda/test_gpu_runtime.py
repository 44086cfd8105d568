"""GpuRuntime as far as it can be tested without a GPU: on a CuPy that records what it is asked for."""

import contextlib
import importlib
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kernels.cuda.instances import TABLE
from kernels.cuda.runtime import Runtime

asked: list[tuple[Any, ...]] = []
"""What CuPy was asked for."""


class FakeKernel:
    max_dynamic_shared_size_bytes = 49152

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
        asked.append(("launch", self.name, grid, block, arguments, shared_mem))


class FakeModule:
    def __init__(self, code: str, options: tuple[str, ...], name_expressions: tuple[str, ...]) -> None:
        asked.append(("module", options, name_expressions))
        assert "#include" not in code

    def get_function(self, name: str) -> FakeKernel:
        return FakeKernel(name)


class FakeStream:
    def __init__(self, non_blocking: bool) -> None:
        asked.append(("stream", non_blocking))

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        asked.append(("synchronize",))

    def begin_capture(self) -> None:
        asked.append(("begin_capture",))

    def end_capture(self) -> Any:
        asked.append(("end_capture",))
        return types.SimpleNamespace(
            upload=lambda _: asked.append(("upload",)), launch=lambda _: asked.append(("launch graph",))
        )


def fake_cupy() -> types.ModuleType:
    cupy = types.ModuleType("cupy")
    device = types.SimpleNamespace(compute_capability="90", attributes={"MaxSharedMemoryPerBlockOptin": 232448}, id=0)
    contents = {
        "ndarray": np.ndarray, "empty": np.empty, "array": np.array, "asnumpy": np.array, "uint8": np.uint8,
        "RawModule": FakeModule, "cuda": types.SimpleNamespace(
            Stream=FakeStream, Device=lambda: device, MemoryPool=lambda: types.SimpleNamespace(malloc=None),
            using_allocator=contextlib.nullcontext,
            runtime=types.SimpleNamespace(memGetInfo=lambda: (3000, 9000)),
        ),
        "get_default_memory_pool": lambda: types.SimpleNamespace(free_bytes=lambda: 500),
    }  # fmt: skip
    for name, value in contents.items():
        setattr(cupy, name, value)
    return cupy


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    monkeypatch.setattr("kernels.cuda.detect.why_not", lambda: None)
    monkeypatch.delitem(sys.modules, "kernels.cuda.gpu", raising=False)
    asked.clear()
    yield importlib.import_module("kernels.cuda.gpu").GpuRuntime()
    del sys.modules["kernels.cuda.gpu"]


x = np.ones(4, np.float32)
FILL = ("elementwise.cu", "fill<float>")


def test_a_launch_is_put_on_a_stream_that_can_be_captured(runtime: Runtime) -> None:
    assert asked == [("stream", True)]
    assert runtime.capability == (9, 0)
    fill = runtime.function(*FILL)
    assert asked[1][1] == ("-std=c++17",)
    assert "fill<float>" in asked[1][2]
    arguments = (x, np.float32(2), np.int64(4))
    fill((3,), (64, 2), arguments)
    assert asked[2:] == [("launch", "fill<float>", (3, 1, 1), (64, 2, 1), arguments, 0)]


def test_free_memory_is_that_of_the_device_and_of_the_pool(runtime: Runtime) -> None:
    assert runtime.free_bytes() == 3500


def test_a_null_pointer_has_eight_bytes(runtime: Runtime) -> None:
    runtime.function(*FILL)((1,), (1,), (None, np.float32(2), np.int64(0)))
    assert asked[-1][4] == (0, np.float32(2), np.int64(0))


def test_more_shared_memory_than_48_kib_is_asked_for(runtime: Runtime) -> None:
    """For the launch that wants it, no more than that, and not for smaller ones."""
    row = next(row for row in TABLE if row.shared_bytes > 49152)
    function: Any = runtime.function(row.file, row.expression)
    width = {"u64": np.int64, "u32": np.int32, "u8": np.bool_, "f32": np.float32, "f64": np.float64}
    arguments = [width[kind](0) for kind in function._parameters]
    for shared_bytes, granted in (
        (49152, 49152),
        (row.shared_bytes - 16, row.shared_bytes - 16),
        (1024, row.shared_bytes - 16),
    ):
        function((1,), (32,), arguments, shared_bytes)
        assert function._kernel.max_dynamic_shared_size_bytes == granted


def test_more_shared_memory_than_the_device_has_is_refused(runtime: Runtime) -> None:
    row = next(row for row in TABLE if row.shared_bytes > 49152)
    function: Any = runtime.function(row.file, row.expression)
    function._parameters = None
    sys.modules["cupy"].cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"] = 50000
    with pytest.raises(
        RuntimeError, match=f"a kernel wants {row.shared_bytes} bytes of shared memory, the device has 50000"
    ):
        function((1,), (32,), [], row.shared_bytes)


def test_what_is_copied_to_the_device_is_c_contiguous_and_a_copy(runtime: Runtime) -> None:
    for array in (np.ones((3, 4)).T, np.ones((3, 4))):
        copy = runtime.to_device(array)
        assert copy.flags.c_contiguous
        assert not np.shares_memory(copy, array)


@pytest.mark.parametrize(
    ("position", "argument", "error", "message"),
    [
        (0, [1.0], TypeError, "argument 0: expected a CuPy array, None or a NumPy scalar, got a Python list"),
        (0, np.int32(1), TypeError, "argument 0: expected an array, None or an integer of 64 bits, got np.int32"),
        (0, np.ones((4, 4)).T, ValueError, "argument 0: numpy array float64 (4, 4) is not C-contiguous"),
        (1, 2.0, TypeError, "argument 1: expected a CuPy array, None or a NumPy scalar, got a Python float"),
        (1, np.float64(2), TypeError, "argument 1: expected np.float32, got np.float64"),
        (1, np.int32(2), TypeError, "argument 1: expected np.float32, got np.int32"),
        (2, np.int32(4), TypeError, "argument 2: expected an array, None or an integer of 64 bits, got np.int32"),
    ],
)
def test_a_wrong_argument_is_named_before_the_launch(
    runtime: Runtime, position: int, argument: Any, error: type[Exception], message: str
) -> None:
    arguments: list[Any] = [x, np.float32(2), np.int64(4)]
    arguments[position] = argument
    with pytest.raises(error, match=re.escape(f"fill<float>: {message}")):
        runtime.function(*FILL)((1,), (32,), arguments)
    with pytest.raises(TypeError, match="fill<float>: 2 arguments for 3 parameters"):
        runtime.function(*FILL)((1,), (32,), arguments[:2])
    assert asked[-1][0] == "module"


class TestTensorMaps:
    ROW = next(row for row in TABLE if row.architecture)

    @staticmethod
    def arguments(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        monkeypatch.setattr("kernels.cuda.gpu.of_driver", lambda of: np.array([str(of).encode()], "V128"))
        monkeypatch.setattr(type(runtime), "_address", lambda *_: 4096)
        maps = [runtime.tensor_map(np.ones((1, 8, 32), np.float32), 32, (32, 128, 1)) for _ in range(2)]
        return [*maps, None, x, *map(np.int32, (8, 32, 8, 0)), np.float32(0), np.int32(0)]

    def test_are_passed_as_the_driver_made_them(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        arguments = self.arguments(runtime, monkeypatch)
        runtime.function(self.ROW.file, self.ROW.expression)((1,), (288,), arguments)
        passed = asked[-1][4]
        assert passed[0] is arguments[0].encoded
        assert b"address=4096, sizes=(32, 8, 1), strides=(128, 1024), box=(32, 128, 1)" in passed[0].tobytes()
        assert (passed[0].size, passed[0].nbytes) == (1, 128)

    def test_kernels_that_take_them_are_compiled_for_the_one_architecture_that_has_them(self, runtime: Runtime) -> None:
        runtime.function(self.ROW.file, self.ROW.expression)
        assert asked[-1][1] == ("-std=c++17", "-arch=sm_90a")

    def test_are_no_arrays_and_arrays_no_maps(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        right = self.arguments(runtime, monkeypatch)
        for position, wrong, message in (
            (0, x, "argument 0: expected a tensor map, got numpy array float32 (4,)"),
            (3, right[0], "argument 3: expected an array, None or an integer of 64 bits, got a tensor map"),
        ):
            arguments = [*right[:position], wrong, *right[position + 1 :]]
            with pytest.raises(TypeError, match=re.escape(message)):
                runtime.function(self.ROW.file, self.ROW.expression)((1,), (288,), arguments)

    def test_a_graph_keeps_their_arrays(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        arguments = self.arguments(runtime, monkeypatch)
        array = arguments[0].array
        references = sys.getrefcount(arguments[0])
        graph = runtime.capture(lambda: runtime.function(self.ROW.file, self.ROW.expression)((1,), (288,), arguments))
        assert sys.getrefcount(arguments[0]) > references
        assert arguments[0].array is array
        graph.launch()


def test_a_graph_keeps_the_arrays_that_it_was_captured_with(runtime: Runtime) -> None:
    fill = runtime.function(*FILL)
    array = np.ones(4, np.float32)
    references = sys.getrefcount(array)
    graph = runtime.capture(lambda: fill((1,), (32,), (array, np.float32(2), np.int64(4))))
    asked.clear()
    assert sys.getrefcount(array) > references
    graph.launch()
    assert asked == [("launch graph",)]


def test_a_step_that_fails_ends_its_capture(runtime: Runtime) -> None:
    fill = runtime.function(*FILL)
    with pytest.raises(TypeError, match="argument 1"):
        runtime.capture(lambda: fill((1,), (32,), (x, 2.0, np.int64(4))))  # type: ignore[arg-type]
    assert ("end_capture",) in asked
    runtime.synchronize()


def test_a_capture_that_does_not_begin_is_not_open(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []

    @contextlib.contextmanager
    def allocator(_: Any) -> Iterator[None]:
        try:
            yield
        finally:
            left.append("allocator")

    def fails() -> None:
        raise RuntimeError("the stream is being captured")

    monkeypatch.setattr(sys.modules["cupy"].cuda, "using_allocator", allocator)
    with monkeypatch.context() as once:
        once.setattr(runtime.stream, "begin_capture", fails)
        with pytest.raises(RuntimeError, match="the stream is being captured"):
            runtime.begin_capture()
    assert left == ["allocator"]
    assert not runtime.capturing
    runtime.synchronize()
    runtime.capture(lambda: None)
    assert left == ["allocator"] * 2


def test_what_would_wait_is_refused_during_a_capture(runtime: Runtime) -> None:
    runtime.begin_capture()
    for name, call in {
        "synchronize": runtime.synchronize,
        "to_host": lambda: runtime.to_host(x),
        "to_device": lambda: runtime.to_device(x),
        "begin_capture": runtime.begin_capture,
    }.items():
        with pytest.raises(RuntimeError, match=f"{name} during a capture"):
            call()


def test_without_a_gpu_the_reason_is_told(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.cuda.gpu.why_not", lambda: "no CUDA device")
    with pytest.raises(RuntimeError, match="no usable GPU: no CUDA device"):
        type(runtime)()
