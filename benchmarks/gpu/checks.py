"""Every CUDA operation and every rung of the ladders against NumPy, and training by graphs.

One check of each, a minute in all; the properties are the business of tests/kernels and tests/cuda.
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import kernels
from kernels.cuda.instances.products import CONVOLUTION, MATMUL
from kernels.reference import NumpyOps
from minigan import TrainConfig, Trainer

ROOT = Path(__file__).parents[2]

TOLERANCE = {"float32": 5e-6, "float64": 1e-12, "tf32": 1e-3}
"""Relative errors, in the Frobenius norm; float32 is what 3xTF32 has to keep, too."""

SHAPES = {"a": (131, 100), "b": (100, 77), "x": (3, 17, 13, 24), "w": (4, 4, 24, 40), "dy": (3, 9, 6, 40)}
"""Operands of the products that are checked."""

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
