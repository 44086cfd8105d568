"""The GPU's checks and timings, as far as they go without one: on the emulator, and PyTorch on a CPU."""

import contextlib
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strict_device import StrictRuntime, as_backend

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import checks, products, sides, steps
from benchmarks.gpu.measure import Case, Effort, Entry, Ready, measure, sets
from benchmarks.gpu.sides import Ours
from kernels.cuda import emulator
from minigan.bench.results import Document, load, unfinished

ROOT = Path(__file__).parents[2]

needs_emulator = pytest.mark.skipif(bool(emulator.why_not()), reason=str(emulator.why_not()))


class TestChecks:
    @needs_emulator
    def test_every_one_passes_in_the_emulator(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert gpu.main(["--emulator", "--check"]) == 0
        count, text = capsys.readouterr().out.removeprefix("emulator\n").split(" ", 1)
        assert text == "checks, 0 failed\n"
        assert int(count) > 100

    @needs_emulator
    def test_a_wrong_kernel_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The others are timed all the same, and the results count as unfinished."""
        right, path = checks._error, tmp_path / "gpu.json"
        monkeypatch.setattr(checks, "_error", lambda actual, expected: right(np.asarray(actual) * 1.01, expected))
        monkeypatch.setattr(checks, "_operations", lambda *_: iter(()))
        monkeypatch.setattr(gpu, "cases", lambda _: iter([Case({"what": "x"}, list)]))
        assert gpu.main(["--emulator", "--out", str(path)]) == 1
        told = "matmul naive float32: relative error 1.0e-02, at most 5.0e-06"
        out = capsys.readouterr().out
        assert f"FAILED  {told}\n" in out
        assert "x: nobody\n" in out
        document = load(unfinished(path))
        assert document.missing["matmul naive float32"] == f"a check has failed: {told}"
        assert not document.complete
        assert not path.exists()

    @needs_emulator
    def test_a_kernel_that_does_not_start_fails_and_the_others_are_checked(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def function(runtime: Any, file: str, expression: str) -> Any:
            if file == "gemm_warp.cu":
                raise RuntimeError("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many\nregisters")
            return right(runtime, file, expression)

        right = emulator.EmulatorRuntime.function
        monkeypatch.setattr(emulator.EmulatorRuntime, "function", function)
        monkeypatch.setattr(checks, "_operations", lambda *_: iter(()))
        assert gpu.main(["--emulator", "--check"]) == 1
        out = capsys.readouterr().out.splitlines()
        failed = [line for line in out if line.startswith("FAILED")]
        why = "RuntimeError: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many"
        assert failed == [f"FAILED  matmul warp {dtype}: {why}" for dtype in ("float32", "float64")]
        assert int(out[-1].split()[0]) > 30

    @needs_emulator
    def test_captured_steps_are_checked_where_there_are_graphs(self, strict: Ours) -> None:
        assert [check.passed for check in checks.captured_steps(strict.backend)] == [True] * 4
        assert not list(checks.captured_steps("cuda-emulator"))

    def test_nan_fails(self) -> None:
        assert not checks.Check("matmul", float("nan"), 1e-3).passed

    def test_nan_in_a_second_result_fails(self) -> None:
        right, wrong = np.ones(2), np.array([1, np.nan])
        assert np.isnan(checks._largest([(right, right), (wrong, right)]))
        assert checks._largest([(right, right), (3 * right, right), (right, right)]) == 2


@pytest.fixture
def strict() -> Iterator[Ours]:
    """Ours on a device that captures."""
    with as_backend(StrictRuntime()):
        yield Ours("strict")


@needs_emulator
@pytest.mark.slow
def test_the_whole_of_it_on_a_stand_in_for_cupy(tmp_path: Path) -> None:
    """In a process that has what the issue promises and no more: NumPy, Numba, Matplotlib, PyTorch, and "CuPy"."""
    program = Path(__file__).parents[1] / "stand_in" / "rehearsal.py"
    run = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, check=False, timeout=600
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert " checks, 0 failed\n" in run.stdout
    document = load(tmp_path / "results" / "gpu.json")
    assert (document.quick, document.complete) == (False, True)
    assert all(who.startswith("PyTorch") for who in document.missing), document.missing
    variants = {r.variant for r in document.records if str(r.labels["what"]) == "matmul" and "minigan" in r.contender}
    assert variants == {"warp", "tf32", "3xtf32", "tf32-wgmma", "3xtf32-wgmma"}
    steps_timed = [r for r in document.records if r.labels["what"] == "step" and r.variant == "captured"]
    assert len(steps_timed) == 2
    assert "Measured on: The emulator, compute capability 9.0" in (tmp_path / "README.md").read_text()


def test_without_a_device_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.detect, "why_not", lambda: "no CUDA device")
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == "cuda does not work here: no CUDA device\n"


class Clockwork:
    """A clock that says how long a run takes, and remembers whose it was."""

    def __init__(self, times: dict[str, float]) -> None:
        self.times, self.asked = times, list[str]()

    def entry(self, name: str, found: Any = None, calls: int = 1, **more: Any) -> Entry:
        def clock(run: Callable[[], object]) -> float:
            run()
            self.asked.append(name)
            return self.times[name]

        return Entry(name, "", lambda: Ready(lambda: None, calls, clock, found), **more)


class TestMeasure:
    def test_contenders_take_turns_and_times_are_per_call(self) -> None:
        clock = Clockwork({"a": 1.0, "b": 2.0})
        case = Case({"what": "x"}, lambda: [clock.entry("a", calls=4), clock.entry("b")], flops=8)
        records, missing, wrong = measure(case, Effort(rounds=2, seconds=0))
        assert [(r.contender, r.median, r.readings, r.gflops) for r in records] == [
            ("a", 0.25, 6, 32e-9),
            ("b", 2.0, 6, 4e-9),
        ]
        assert (missing, wrong) == ({}, [])
        turn = 2 + 3  # to warm up, and readings
        assert clock.asked == ["a"] * turn + ["b"] * 2 * turn + ["a"] * turn

    def test_who_fails_is_left_out_with_the_reason_and_the_others_go_on(self) -> None:
        clock, once = Clockwork({"good": 1.0, "also": 1.0, "wrong": 1.0}), iter([1.0, 1.0, 1.0, 1.0, 1.0])

        def absent() -> Ready:
            raise ImportError("no module\nof this name")

        entries = [
            Entry("absent", "fp32", absent),
            clock.entry("good", np.array([1.0, 2.0])),
            clock.entry("wrong", np.array([1.0, 2.1])),
            clock.entry("also", np.array([1.0, 2.1]), tolerance=0.1),
            clock.entry("nan", np.array([1.0, np.nan])),
            Entry("breaks later", "", lambda: Ready(lambda: None, 1, lambda _: next(once))),
        ]
        records, missing, wrong = measure(Case({"what": "x", "n": 3}, lambda: entries), Effort(rounds=2, seconds=0))
        assert [record.contender for record in records] == ["good", "also"]
        assert missing == {
            "absent (fp32): x 3": "ImportError: no module",
            "wrong: x 3": "DisagreesError: off by 4.5e-02, at most 2e-05 is allowed",
            "nan: x 3": "DisagreesError: off by nan, at most 2e-05 is allowed",
            "breaks later: x 3": "StopIteration: StopIteration()",
        }
        assert wrong == ["wrong: x 3", "nan: x 3"]

    def test_buffers_are_larger_than_the_cache(self) -> None:
        assert sets(12 * 2048**2) * 12 * 2048**2 >= 128 << 20
        assert (sets(12 * 8192**2), sets(1), sets(0)) == (2, 32, 32)


@needs_emulator
def test_all_of_it_in_miniature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody who can be here computes what the others compute, and is timed; nobody is missing without a reason."""
    torch = pytest.importorskip("torch")
    compiled: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda f, *, mode: compiled.append(mode) or f)
    monkeypatch.setattr(gpu, "checks", lambda _: iter(()))
    path = tmp_path / "gpu.json"
    assert gpu.main(["--emulator", "--out", str(path)]) == 0
    assert f"written: {path}\n" in capsys.readouterr().out
    document = load(path)
    assert (document.subject, document.quick, document.complete) == ("gpu", True, True)
    found: dict[str, set[str]] = {}
    for record in document.records:
        found.setdefault(str(record.labels["what"]), set()).add(f"{record.contender} {record.variant}".strip())
    rungs = {"minigan 3xtf32", "minigan TF32 tf32"}
    assert found["matmul"] >= {"minigan warp", "PyTorch", "PyTorch TF32"} | rungs
    peers = {"PyTorch channels-last", "PyTorch TF32 channels-last"}
    assert found["convolution"] == {"minigan implicit"} | rungs | peers
    names = ("eager", "reduce-overhead", "graph")
    assert found["step"] == {"minigan eager", *(f"PyTorch {name} fused Adam" for name in names)}
    assert set(compiled) == {"reduce-overhead"}
    reasons = {who.split(":")[0]: why for who, why in document.missing.items()}
    assert reasons.pop("minigan (captured)").startswith("UserError: capture: cuda-emulator records launches")
    if "cupy" not in sys.modules:
        assert {who: why.split(":")[0] for who, why in reasons.items()} == {
            "CuPy": "ModuleNotFoundError",
            "CuPy TF32": "ModuleNotFoundError",
        }


def test_what_has_no_time_left_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "cases", lambda _: iter([Case({"what": "x"}, list)]))
    document = Document("gpu", True, {}, {})
    assert gpu.timed("cuda", gpu.MINIATURE, document, tmp_path / "gpu.json", seconds=-1) == []
    assert document.missing == {"x": "no time left after -1 s"}
    assert document.complete


@needs_emulator
def test_what_was_sound_stays_until_it_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose tests have failed before, or that is interrupted, leaves it alone."""
    clock, path = Clockwork({"minigan": 1.0}), tmp_path / "gpu.json"
    case = Case({"what": "x"}, lambda: [clock.entry("minigan")])
    monkeypatch.setattr(gpu, "checks", lambda _: iter(()))
    monkeypatch.setattr(gpu, "cases", lambda _: iter([case]))
    Document("gpu", False, {}, {}, {"earlier": "sound"}, complete=True).save(path)
    before = path.read_bytes()

    assert gpu.main(["--emulator", "--out", str(path), "--unsound", "tests have failed"]) == 0
    assert path.read_bytes() == before
    assert f"written: {unfinished(path)}\n" in capsys.readouterr().out
    assert (load(unfinished(path)).complete, load(unfinished(path)).missing["minigan"]) == (False, "tests have failed")

    def interrupted() -> list[Entry]:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "cases", lambda _: iter([case, Case({"what": "y"}, interrupted)]))
    with pytest.raises(KeyboardInterrupt):
        gpu.main(["--emulator", "--out", str(path)])
    assert path.read_bytes() == before
    assert load(unfinished(path)).missing == {}

    monkeypatch.setattr(gpu, "cases", lambda _: iter([case]))
    assert gpu.main(["--emulator", "--out", str(path)]) == 0
    assert f"written: {path}\n" in capsys.readouterr().out
    assert (load(path).complete, load(path).missing) == (True, {})
    assert not unfinished(path).exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("failing", ["nothing", "-m pytest", "-m benchmarks.gpu"])
def test_make_passes_a_failure_on(failing: str, tmp_path: Path) -> None:
    """To the timings, which then count as unfinished; and the README stays as it is."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(f'#!/bin/sh\necho "$*" >> {log}\ncase "$*" in "{failing}"*) exit 1;; esac\n')
    python.chmod(0o755)
    run = subprocess.run(
        ["make", "gpu", f"GPU_PYTHON={python}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    asked = [line for line in log.read_text().splitlines() if line.startswith("-m")]
    unsound = " --unsound tests of the operations have failed" if failing == "-m pytest" else ""
    assert asked[:2] == ["-m pytest tests/kernels -k cuda and not emulator", f"-m benchmarks.gpu{unsound}"]
    assert asked[2:] == (["-m benchmarks.report"] if failing == "nothing" else [])
    assert (run.returncode == 0) == (failing == "nothing")


@pytest.mark.parametrize(
    ("name", "code"), [("minigan", 1), ("minigan TF32", 1), ("PyTorch", 0)], ids=["ours", "ours in TF32", "theirs"]
)
@needs_emulator
def test_a_kernel_of_ours_that_disagrees_fails(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what was measured beside it counts as unfinished."""
    clock, path = Clockwork({"minigan": 1.0}), tmp_path / "gpu.json"
    entries = [clock.entry("minigan", np.array([1.0, 2.0])), clock.entry(name, np.array([1.0, 2.1]))]
    monkeypatch.setattr(gpu, "checks", lambda _: iter(()))
    monkeypatch.setattr(gpu, "cases", lambda _: iter([Case({"what": "x", "n": 3}, lambda: entries)]))
    assert gpu.main(["--emulator", "--out", str(path)]) == code
    assert load(unfinished(path) if code else path).complete == (code == 0)
    assert path.exists() != unfinished(path).exists()
    failed = f"FAILED  {name}: x 3: DisagreesError: off by 4.5e-02, at most 2e-05 is allowed\n"
    assert (failed in capsys.readouterr().out) == (code == 1)


@needs_emulator
def test_captured_steps_and_epochs_are_timed_where_there_are_graphs(
    strict: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a data set of the device; an epoch is as many steps as there are batches."""
    monkeypatch.setattr(steps, "MOST_STEPS", 2)
    data = steps.images(7, (8, 8, 1))
    step, epoch = list(steps.steps(strict, "cpu", data, batch=2, width=0.02, count=1))[:2]
    for case, calls in ((step, 2), (epoch, 1)):
        entry = case.entries()[0]
        assert str(entry) == "minigan (captured)"
        ready = entry.prepare()
        assert ready.calls == calls
        assert ready.clock(ready.run) > 0


def test_the_shapes_are_those_of_the_issue() -> None:
    """A dcgan's convolutions of 64x64 images, and each layer of the presets, with FLOPs and bytes."""
    ours = Ours("cuda-emulator")
    cases = list(products.convolutions(ours, "cpu"))
    assert len(cases) == 3 * len(products.CONVOLUTIONS)
    assert cases[6].labels == {
        "what": "convolution",
        "batch": 128,
        "shape": "16×16×128 → 8×8×256",
        "product": "forward",
    }
    assert cases[6].flops == 2 * 128 * 8 * 8 * 256 * 16 * 128
    assert cases[6].bytes == 4 * (128 * 16 * 16 * 128 + 16 * 128 * 256 + 128 * 8 * 8 * 256)
    layers = [case.labels for case in products.layers(ours, "cpu")]
    assert {str(labels["what"]).split()[0] for labels in layers} == {"mlp", "dcgan"}
    skipped = [labels["product"] for labels in layers if labels["what"] == "dcgan generator dense1"]
    assert skipped == ["forward", "weight gradient"]


class Recorder:
    """Stands in for a library: every call of it is noted, and gives a Recorder."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name

    def __getattr__(self, name: str) -> "Recorder":
        return Recorder(self._log, f"{self._name}.{name}")

    def __call__(self, *_: object, **__: object) -> Any:
        self._log.append(self._name)
        return self


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """NumPy in the place of CuPy, with events that are always 3 ms apart."""
    fake: Any = types.ModuleType("cupy")
    fake.log = []
    fake.asarray, fake.matmul, fake.asnumpy = np.array, np.matmul, np.array
    fake.cuda = types.SimpleNamespace(Event=Recorder(fake.log, "event"), get_elapsed_time=lambda *_: 3.0)
    core: Any = types.ModuleType("cupy._core")
    core._routines_linalg = types.SimpleNamespace(COMPUTE_TYPE_TF32=3, COMPUTE_TYPE_DEFAULT=0)
    core.set_compute_type = lambda *how: fake.log.append(how)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setitem(sys.modules, "cupy._core", core)
    return fake


def test_the_clock_waits_for_the_device_before_and_after(cupy: Any) -> None:
    clock = sides.event_clock(Recorder(cupy.log, "stream"))
    assert clock(lambda: cupy.log.append("run")) == 3e-3
    order = ["stream.synchronize", "event.record", "run", "event.record", "event.synchronize"]
    assert [what for what in cupy.log if what != "event"] == order


@pytest.mark.parametrize(("tf32", "kind"), [(False, 0), (True, 3)])
def test_cupys_products(cupy: Any, tf32: bool, kind: int) -> None:
    stream = Recorder(cupy.log, "stream")
    ours: Any = types.SimpleNamespace(
        ops=lambda: types.SimpleNamespace(runtime=types.SimpleNamespace(stream=stream)), clock=lambda: None
    )
    a, b = np.random.default_rng(0).standard_normal((2, 5, 5)).astype(np.float32)
    ready = products._cupy_matmul(ours, tf32, a, b, 2)
    np.testing.assert_array_equal(ready.found, a @ b)
    assert cupy.log == ["stream.use", ("float32", kind)]


def test_pytorchs_graph_is_captured_after_a_warm_up_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    log: list[str] = []
    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, Recorder(log, name))

    @contextlib.contextmanager
    def noted(what: str, _: object) -> Iterator[None]:
        log.append(f"{what} begins")
        yield
        log.append(f"{what} ends")

    monkeypatch.setattr(torch.cuda, "stream", partial(noted, "beside"))
    monkeypatch.setattr(torch.cuda, "graph", partial(noted, "capture"))
    replay: Any = sides.captured(lambda: log.append("work"))
    assert [what for what in log if what in ("work", "CUDAGraph") or what.endswith(("begins", "ends"))] == [
        "beside begins", "work", "work", "work", "beside ends", "CUDAGraph", "capture begins", "work", "capture ends",
    ]  # fmt: skip
    replay()
    assert log[-1] == "CUDAGraph.replay"


def test_pytorch_without_a_gpu_is_refused() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match=r"^PyTorch .* sees no GPU$"):
        sides.Torch("cuda")
