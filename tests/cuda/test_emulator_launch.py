"""Launching kernels on the emulator: arguments, shapes of launches, captures."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kernels.cuda import emulator
from kernels.cuda.emulator import CompilerMissingError, EmulatorRuntime, GuardedWorkspace, KernelError
from kernels.cuda.emulator.build import build
from kernels.workspace import WorkspaceFrozenError

PROGRAMS = Path(__file__).parent / "programs"
pytestmark = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))


def scale(x: object, y: object, n: object, a: object) -> None:
    EmulatorRuntime(folder=PROGRAMS).function("scale.cu", "scale<float>")((1,), (32,), (x, y, n, a))  # type: ignore[arg-type]


def test_a_kernel_runs() -> None:
    x, y = np.arange(20, dtype=np.float32), np.full(20, np.nan, np.float32)
    scale(x, y, np.int32(20), np.float32(3))
    np.testing.assert_array_equal(y, 3 * x)


@pytest.mark.parametrize(
    ("position", "argument", "error", "message"),
    [
        (2, 4, TypeError, "scale<float>: argument 2: expected np.int32, got a Python int"),
        (2, np.int64(4), TypeError, "scale<float>: argument 2: expected np.int32, got np.int64"),
        (3, 1.0, TypeError, "scale<float>: argument 3: expected np.float32, got a Python float"),
        (1, np.zeros(4), TypeError, r"argument 1: expected an array of float32, got numpy array float64 \(4,\)"),
        (0, [1.0], TypeError, "argument 0 is a pointer: expected a NumPy array or None, got a Python list"),
        (
            0,
            np.zeros((4, 4), np.float32).T,
            ValueError,
            r"argument 0: numpy array float32 \(4, 4\) is not C-contiguous",
        ),
    ],
)
def test_a_wrong_argument_is_named(position: int, argument: object, error: type[Exception], message: str) -> None:
    arguments: list[object] = [np.ones(4, np.float32), np.ones(4, np.float32), np.int32(4), np.float32(1)]
    arguments[position] = argument
    with pytest.raises(error, match=message):
        scale(*arguments)


def test_a_capture_runs_nothing_and_its_graph_runs_all_again() -> None:
    runtime = EmulatorRuntime(folder=PROGRAMS)
    double = runtime.function("scale.cu", "scale<float>")
    x = np.ones(4, np.float32)
    runtime.begin_capture()
    double((1,), (32,), (x, x, np.int32(4), np.float32(2)))
    double((1,), (32,), (x, x, np.int32(3), np.float32(2)))
    graph = runtime.end_capture()
    np.testing.assert_array_equal(x, 1)
    graph.launch()
    graph.launch()
    np.testing.assert_array_equal(x, [16, 16, 16, 4])


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes", "message"),
    [
        ((1,), (33, 32), 0, r"scale<float>: block \(33, 32, 1\) has more than the 1024 threads of its row"),
        ((1,), (1, 1, 65), 0, r"scale<float>: block \(1, 1, 65\) has more than \(1024, 1024, 64\) along some axis"),
        (
            (1, 65536),
            (32,),
            0,
            r"scale<float>: grid \(1, 65536, 1\) has more than \(2147483647, 65535, 65535\) along some axis",
        ),
        ((0,), (32,), 0, r"scale<float>: grid \(0,\): expected one to three sizes of at least 1"),
        ((1, 1, 1, 1), (32,), 0, r"scale<float>: grid \(1, 1, 1, 1\): expected one to three sizes of at least 1"),
        ((1,), (), 0, r"scale<float>: block \(\): expected one to three sizes of at least 1"),
        ((1,), (32,), 232449, "scale<float>: 232449 bytes of shared memory, its row says at most 232448"),
        ((1,), (32,), -1, "scale<float>: -1 bytes of shared memory, its row says at most 232448"),
    ],
)
def test_an_impossible_launch_is_refused(
    grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int, message: str
) -> None:
    x = np.ones(4, np.float32)
    kernel = EmulatorRuntime(folder=PROGRAMS).function("scale.cu", "scale<float>")
    with pytest.raises(ValueError, match=message):
        kernel(grid, block, (x, x, np.int32(4), np.float32(1)), shared_bytes)
    kernel((1,), (32,), (x, x, np.int32(4), np.float32(1)))


def test_an_array_that_begins_within_a_number_is_refused() -> None:
    """No array of a GPU does; on a CPU some would be computed and others stop the process."""
    x, n, a = np.ones(4, np.float32), np.int32(4), np.float32(1)
    shifted = np.zeros(17, np.uint8)[1:].view(np.float32)
    kernel = EmulatorRuntime(folder=PROGRAMS).function("scale.cu", "scale<float>")
    message = (
        r"^scale<float>: argument 0: numpy array float32 \(4,\) does not begin at a multiple of its numbers' size$"
    )
    with pytest.raises(ValueError, match=message):
        kernel((1,), (32,), (shifted, x, n, a))
    kernel((1,), (32,), (x, x, n, a))


def test_the_number_of_arguments_is_checked() -> None:
    with pytest.raises(TypeError, match="scale<float>: 1 arguments for 4 parameters"):
        EmulatorRuntime(folder=PROGRAMS).function("scale.cu", "scale<float>")((1,), (1,), (None,))


def test_a_row_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match=r"no_such_kernel of elementwise\.cu has no row in kernels/cuda/instances"):
        EmulatorRuntime().function("elementwise.cu", "no_such_kernel")


def test_what_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.cu").write_text('extern "C" __global__ void wrong(float* x) {\n  *x = nothing;\n}\n')
    with pytest.raises(
        RuntimeError, match=r"(?s)wrong.cu does not compile for the CUDA emulator:.*wrong.cu:2:.*nothing"
    ):
        EmulatorRuntime(folder=tmp_path).function("wrong.cu", "wrong")


def test_a_parameter_that_python_cannot_pass_is_named(tmp_path: Path) -> None:
    (tmp_path / "pair.cu").write_text(
        "struct Pair { int a, b; };\n__global__ void pair(float* x, Pair p) { *x = p.a; }\n"
    )
    with pytest.raises(TypeError, match="pair: parameter 1 is neither a pointer nor a number"):
        EmulatorRuntime(folder=tmp_path).function("pair.cu", "pair")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"order": "backward"}, "thread order 'backward': expected forward, reverse, warps or random:SEED"),
        ({"order": "random"}, "thread order 'random': expected"),
        ({"order": "forward:1"}, "thread order 'forward:1': expected"),
        ({"build": "slow"}, "build 'slow': expected one of 'fast', 'checked', 'debug'"),
        ({"guard": "both"}, "guard 'both': expected one of '', 'end', 'front'"),
    ],
)
def test_an_unknown_setting_is_named(named: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=message):
        EmulatorRuntime(**named)
    for name, value in named.items():
        monkeypatch.setenv(f"MINIGAN_EMULATOR_{name.upper()}", value)
    with pytest.raises(ValueError, match=message):
        EmulatorRuntime()


def test_the_environment_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_EMULATOR_ORDER", "random:12")
    monkeypatch.setenv("MINIGAN_EMULATOR_BUILD", "checked")
    monkeypatch.setenv("MINIGAN_EMULATOR_GUARD", "front")
    runtime = EmulatorRuntime(build="fast")
    assert (runtime.order, runtime.seed, runtime.build, runtime.guard) == (2, 12, "fast", "front")
    assert type(runtime.workspace()) is GuardedWorkspace


def test_what_would_wait_is_refused_during_a_capture() -> None:
    runtime = EmulatorRuntime()
    x = np.ones(4, np.float32)
    runtime.begin_capture()
    for name, call in {
        "synchronize": runtime.synchronize,
        "to_host": lambda: runtime.to_host(x),
        "to_device": lambda: runtime.to_device(x),
        "begin_capture": runtime.begin_capture,
    }.items():
        with pytest.raises(RuntimeError, match=f"{name} during a capture"):
            call()
    runtime.end_capture()
    with pytest.raises(RuntimeError, match="end_capture: no capture is open"):
        runtime.end_capture()


def test_a_step_that_fails_ends_its_capture() -> None:
    runtime = EmulatorRuntime(folder=PROGRAMS)
    with pytest.raises(TypeError, match="0 arguments for 4 parameters"):
        runtime.capture(lambda: runtime.function("scale.cu", "scale<float>")((1,), (1,), ()))
    runtime.synchronize()


def test_threads_of_python_may_launch_at_the_same_time() -> None:
    """Each launch has the fibers for itself; half of them fail, which leaves nothing behind for the others."""
    runtime = EmulatorRuntime(guard="end", folder=PROGRAMS)

    def work(worker: int) -> int:
        kernel = runtime.function("scale.cu", "scale<float>")
        failures = 0
        for n in range(1, 40):
            x, y = runtime.to_device(np.arange(32, dtype=np.float32)), runtime.to_device(np.zeros(32, np.float32))
            try:
                kernel((2,), (32,), (x, y, np.int32(n if worker % 2 else 32 + n), np.float32(worker)))
            except KernelError:
                failures += 1
            else:
                np.testing.assert_array_equal(y[: min(n, 32)], worker * x[: min(n, 32)])
        return failures

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [39, 7, 39, 7]


def test_processes_may_build_at_the_same_time(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np; from pathlib import Path; from kernels.cuda.emulator import EmulatorRuntime\n"
        f"kernel = EmulatorRuntime(folder=Path({str(PROGRAMS)!r})).function('scale.cu', 'scale<float>')\n"
        "x = np.ones(4, np.float32)\n"
        "kernel((1,), (4,), (x, x, np.int32(4), np.float32(3))); print(x.sum())"
    )
    environment = os.environ | {"MINIGAN_CUDA_CACHE": str(tmp_path / "cache")}
    runs = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate(timeout=600)[0] for run in runs] == ["12.0\n", "12.0\n"]
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()) == ["engine", "scale"]


def test_without_a_compiler_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = r"the emulator compiles kernels with a C\+\+ compiler, and there is none \(g\+\+ or clang\+\+\)"
    monkeypatch.delenv("CXX", raising=False)
    assert re.fullmatch(reason, str(emulator.why_not()))
    runtime = EmulatorRuntime(folder=tmp_path)
    (tmp_path / "a.cu").write_text('extern "C" __global__ void a() {}')
    with pytest.raises(CompilerMissingError, match=f"the CUDA emulator cannot run: {reason}"):
        runtime.function("a.cu", "a")
    monkeypatch.setenv("CXX", "my-compiler")
    assert emulator.why_not() == "the environment's CXX names 'my-compiler', which is not there"
    monkeypatch.setenv("CXX", "my-compiler -O '")
    assert emulator.why_not() == """the environment's CXX names "my-compiler -O '", which is not there"""


def test_the_compiler_may_be_a_command_with_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ccache is called: CXX="ccache g++"."""
    wrapper = tmp_path / "in front"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", f"'{wrapper}' {shutil.which('g++') or shutil.which('clang++')} -DTWICE=2")
    monkeypatch.setenv("MINIGAN_CUDA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.cu").write_text('extern "C" __global__ void a(int* x) { x[threadIdx.x] *= TWICE; }')
    x = np.ones(4, np.int32)
    EmulatorRuntime(folder=tmp_path).function("a.cu", "a")((1,), (4,), (x,))
    assert x.tolist() == [2] * 4
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 4, "its version, the engine, the kernel, and the two together"
    assert all("-DTWICE=2" in line for line in asked)


def test_a_command_that_is_no_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "env no-such-compiler")
    (tmp_path / "a.cu").write_text('extern "C" __global__ void a() {}')
    with pytest.raises(CompilerMissingError, match=r"env no-such-compiler is no compiler: --version fails, .*no-such"):
        EmulatorRuntime(folder=tmp_path).function("a.cu", "a")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [("true", "no error, and no file"), ("g++ --no-such-option", r"g\+\+: error: .*--no-such-option.*")],
)
def test_a_compiler_that_cannot_compile_the_engine_is_a_reason(
    command: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is too old for C++20; in one line, and before anything is launched."""
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command} is not installed")
    monkeypatch.setenv("CXX", command)
    monkeypatch.setenv("MINIGAN_CUDA_CACHE", str(tmp_path / "cache"))
    reason = rf"\S*/{re.escape(command)} does not compile the emulator's engine: {complaint}"
    assert re.fullmatch(reason, str(emulator.why_not()))


def test_a_cache_that_cannot_be_made_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIGAN_CUDA_CACHE", str(tmp_path / "file" / "cache"))
    reason = f"nothing can be kept in {tmp_path}/file/cache (MINIGAN_CUDA_CACHE): Not a directory"
    assert emulator.why_not() == reason
    (tmp_path / "a.cu").write_text('extern "C" __global__ void a() {}')
    with pytest.raises(CompilerMissingError, match=re.escape(reason)):
        EmulatorRuntime(folder=tmp_path).function("a.cu", "a")


def test_a_debugger_finds_the_source_in_the_folder_of_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The debug builds of two folders differ, even of the same text; that of one folder is the same from anywhere."""
    libraries = []
    for place, cwd in (("one", "."), ("two", "."), ("one", "two")):
        (tmp_path / place).mkdir(exist_ok=True)
        source = tmp_path / place / "a.cu"
        source.write_text('extern "C" __global__ void a() {}')
        monkeypatch.chdir(tmp_path / cwd)
        build.cache_clear()
        libraries.append(build(source, ("a",), "debug").path)
        assert str(source.parent).encode() in libraries[-1].read_bytes()
    assert libraries[0] == libraries[2] != libraries[1]


def test_a_guarded_workspace_gives_the_same_memory_step_after_step() -> None:
    workspace = GuardedWorkspace()

    def step() -> list[int]:
        workspace.reset()
        buffers = [workspace.empty((3, 5), np.dtype(np.float32))]
        with workspace.scratch():
            buffers.append(workspace.empty((7,), np.dtype(np.float64)))
        buffers.append(workspace.empty((2,), np.dtype(np.float32)))
        return [buffer.ctypes.data for buffer in buffers]

    first = step()
    workspace.freeze()
    assert step() == first
    assert len(set(first)) == 3
    with pytest.raises(WorkspaceFrozenError, match=r"frozen and cannot serve float32 \(99,\)"):
        workspace.empty((99,), np.dtype(np.float32))


@pytest.mark.parametrize("side", ["end", "front"])
@pytest.mark.parametrize("offset", [-1, 40])
def test_a_step_beyond_a_guarded_array_is_stopped(side: str, offset: int) -> None:
    """By less than the alignment it may stay unseen: 40 numbers end at the page, and so does the front."""
    runtime = EmulatorRuntime(build="fast", guard=side, folder=PROGRAMS)
    kernel = runtime.function("scale.cu", "scale<float>")
    x, y = runtime.to_device(np.ones(40, np.float32)), runtime.to_device(np.ones(40, np.float32))
    shifted = np.frombuffer((ctypes.c_float * 1).from_address(x.ctypes.data + 4 * offset), np.float32)
    touches = (side == "front") == (offset < 0)
    if touches:
        with pytest.raises(KernelError, match=r"scale.cuh?:\d+: block \(0, 0, 0\), thread \(0, 0, 0\): an access"):
            kernel((1,), (1,), (shifted, y, np.int32(1), np.float32(1)))
    else:
        kernel((1,), (1,), (shifted, y, np.int32(1), np.float32(1)))


def test_static_and_dynamic_shared_memory_count_together() -> None:
    kernel = EmulatorRuntime(folder=PROGRAMS).function("block_sum.cu", "block_sum")
    x = np.ones(32, np.float32)
    message = "block_sum: 128 bytes of static and 232400 of dynamic shared memory, a block has at most 232448"
    with pytest.raises(KernelError, match=message):
        kernel((1,), (32,), (x, x[:1]), shared_bytes=232400)
