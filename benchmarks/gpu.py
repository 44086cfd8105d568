"""All CUDA kernels on the hardware: checked against NumPy, then timed beside CuPy's and PyTorch's. `make gpu`.

    python -m benchmarks.gpu              check and time; writes benchmarks/results/gpu.json
    python -m benchmarks.gpu --check      check only
    python -m benchmarks.gpu --emulator   check in the emulator: is this program itself in order?

It needs NumPy and CuPy, uses PyTorch where it is installed, and no network. One check of each operation and of each
rung of the ladders, a minute in all; the properties are the business of tests/kernels and tests/cuda.
"""

import argparse
import importlib
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import kernels
from kernels.cuda import detect, emulator
from kernels.cuda.instances.products import CONVOLUTION, MATMUL
from kernels.reference import NumpyOps
from minigan import TrainConfig, Trainer
from minigan.bench.machine import describe

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"

TOLERANCE = {"float32": 5e-6, "float64": 1e-12, "tf32": 1e-3}
"""Relative errors, in the Frobenius norm; float32 is what 3xTF32 has to keep, too."""

SHAPES = {"a": (131, 100), "b": (100, 77), "x": (3, 17, 13, 24), "w": (4, 4, 24, 40), "dy": (3, 9, 6, 40)}
"""Operands of the products that are checked."""

SIZES = (256, 512, 1024, 2048, 4096, 8192)
"""Square products that are timed."""

RUNGS = ("warp", "3xtf32", "tf32", "3xtf32-wgmma", "tf32-wgmma")
READINGS = 20

STEPS = 8
"""Of a training by graphs: the first are eager and recorded."""


class Check(NamedTuple):
    """One comparison with NumPy in float64."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """NaN fails."""
        return self.error <= self.tolerance


def checks(backend: str) -> Iterator[Check]:
    """Every operation and every rung, in both element types, and training by graphs."""
    for dtype in ("float32", "float64"):
        yield from _operations(backend, dtype)
        yield from _rungs(backend, dtype)
    yield from captured_steps(backend)


def _operations(backend: str, dtype: str) -> Iterator[Check]:
    sys.path.append(str(ROOT / "tests"))  # the table of calls is the tests'
    seen_from_host = importlib.import_module("on_host").seen_from_host
    calls = importlib.import_module("operation_calls")
    for operation in calls.OPERATIONS:
        results, written = calls.run(seen_from_host(kernels.get_ops(backend, dtype=dtype)), operation)
        expected, changed = calls.run(NumpyOps(dtype), operation)
        pairs = zip([*results, *written.values()], [*expected, *changed.values()], strict=True)
        yield Check(f"{operation} {dtype}", max(_error(a, b) for a, b in pairs), 4 * TOLERANCE[dtype])


def _rungs(backend: str, dtype: str) -> Iterator[Check]:
    operands = {name: np.random.default_rng().standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    expected = _products(NumpyOps("float64"), {name: array.astype(np.float64) for name, array in operands.items()})
    real = "float" if dtype == "float32" else "double"
    for setting, ladder in (("matmul_rung", MATMUL), ("convolution", CONVOLUTION)):
        for name, rung in ladder.items():
            ops: Any = kernels.get_ops(backend, dtype=dtype)
            if real not in rung.tiles or not rung.runs_on(ops.runtime.capability):
                continue
            setattr(ops, setting, name)
            results = _products(ops, {name: ops.to_device(array) for name, array in operands.items()})
            tolerance = TOLERANCE["tf32" if name.startswith("tf32") else dtype]
            for operation, result in results.items():
                if (operation == "matmul") == (ladder is MATMUL):
                    error = _error(ops.to_host(result), expected[operation])
                    yield Check(f"{operation} {name} {dtype}", error, tolerance)


def _products(ops: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    """The matrix product and the three convolutions of the operands, whose sides divide no tile."""
    a, b, x, w, dy = (arrays[name] for name in SHAPES)
    geometry: dict[str, Any] = {"stride": (2, 2), "pads": (1, 2, 1, 0)}
    return {
        "matmul": ops.matmul(a, b),
        "conv2d": ops.conv2d(x, w, **geometry),
        "conv2d_input_grad": ops.conv2d_input_grad(dy, w, **geometry, size=x.shape[1:3]),
        "conv2d_weight_grad": ops.conv2d_weight_grad(x, dy, **geometry, kernel=w.shape[:2]),
    }


def captured_steps(backend: str) -> Iterator[Check]:
    """Training by graphs beside training by launches, where the backend captures: weights equal, bit for bit."""
    if kernels.get_ops(backend).why_no_capture() is not None:
        return
    batches = np.random.default_rng(0).uniform(-1, 1, (STEPS, 4, 8, 8, 1)).astype(np.float32)
    for preset in ("mlp-small", "dcgan"):
        config = TrainConfig(preset, n_critic=1, batch_size=4, width=0.05, backend=backend)
        eager, captured = (Trainer(replace(config, capture=how), batches.shape[2:]) for how in (False, True))
        for x in batches:
            eager.step(x)
            captured.step(x)
        found, wanted = captured.checkpoint().tensors, eager.checkpoint().tensors
        yield Check(f"{STEPS} captured steps of {preset}", max(_error(found[k], wanted[k]) for k in wanted), 0.0)


def _error(actual: Any, expected: Any) -> float:
    reference = np.asarray(expected, np.float64)
    difference = float(np.linalg.norm(np.asarray(actual, np.float64) - reference))
    return difference / max(float(np.linalg.norm(reference)), 1e-30)


def timings() -> Iterator[dict[str, Any]]:
    """Square float32 products: our rungs, CuPy's, and PyTorch's with and without TF32, in TFLOP/s."""
    for n in SIZES:
        contenders = _cuda_products(n) | _torch_products(n)
        yield {"n": n, "tflops": {name: 2 * n**3 / _seconds(call) / 1e12 for name, call in contenders.items()}}


def _cuda_products(n: int) -> dict[str, Callable[[], object]]:
    import cupy

    a, b, y = (cupy.random.standard_normal((n, n), cupy.float32) for _ in range(3))

    def product(rung: str) -> Callable[[], object]:
        ops: Any = kernels.get_ops("cuda")
        ops.matmul_rung = rung
        return lambda: ops.matmul(a, b, out=y)

    here: Any = kernels.get_ops("cuda")
    rungs = [rung for rung in RUNGS if MATMUL[rung].runs_on(here.runtime.capability)]
    return {"cupy": lambda: cupy.matmul(a, b, out=y)} | {rung: product(rung) for rung in rungs}


def _torch_products(n: int) -> dict[str, Callable[[], object]]:
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    a, b, y = (torch.randn(n, n, device="cuda") for _ in range(3))

    def product(tf32: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.matmul(a, b, out=y)

    return {"torch": lambda: product(False), "torch tf32": lambda: product(True)}


def _seconds(call: Callable[[], object]) -> float:
    """Median of READINGS, by events on the stream that the call runs on: CuPy's current one, and PyTorch's own."""
    import cupy

    torch = sys.modules.get("torch")
    streams = [cupy.cuda.get_current_stream()]
    if torch is not None:
        streams.append(cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream))
    readings = []
    for i in range(READINGS + 3):
        cupy.cuda.Device().synchronize()
        events = [(s, cupy.cuda.Event(), cupy.cuda.Event()) for s in streams]
        for s, start, _ in events:
            start.record(s)
        call()
        for s, _, end in events:
            end.record(s)
        cupy.cuda.Device().synchronize()
        if i >= 3:  # the first calls compile and warm up
            readings.append(max(cupy.cuda.get_elapsed_time(start, end) for _, start, end in events) / 1e3)
    return statistics.median(readings)


def main(arguments: list[str] | None = None) -> int:
    """0: all is well.  1: a check has failed.  2: there is no device."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="time nothing")
    parser.add_argument("--emulator", action="store_true", help="check in the emulator; time nothing")
    asked = parser.parse_args(arguments)
    backend = "cuda-emulator" if asked.emulator else "cuda"
    if reason := (emulator if asked.emulator else detect).why_not():
        print(f"{backend} does not work here: {reason}", file=sys.stderr)
        return 2
    if not asked.emulator:
        print(detect.gpu()[1])
    failures = count = 0
    for check in checks(backend):
        count += 1
        failures += not check.passed
        if not check.passed:
            print(f"FAILED  {check.name}: relative error {check.error:.1e}, at most {check.tolerance:.1e}")
    print(f"{count} checks, {failures} failed")
    if failures or asked.check or asked.emulator:
        return int(failures > 0)
    rows = []
    for row in timings():
        rows.append(row)
        print(f"{row['n']:6}", *(f"{name} {value:.1f} TFLOP/s" for name, value in row["tflops"].items()), sep="  ")
    document = {"format": 1, "subject": "gpu", "machine": describe() | {"gpu": detect.gpu()[1]}, "matmul": rows}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(RESULT.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
