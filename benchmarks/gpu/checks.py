"""Every CUDA operation and every rung of the ladders against NumPy, and training by graphs.

One check of each, a minute in all; the properties are the business of tests/kernels and tests/cuda.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import kernels
from kernels.cuda.instances.products import CONVOLUTION, MATMUL
from kernels.reference import NumpyOps
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches

ROOT = Path(__file__).parents[2]

TOLERANCE = {"float32": 5e-6, "float64": 1e-12, "tf32": 1e-3}
"""Relative errors, in the Frobenius norm; float32 is what 3xTF32 has to keep, too."""

SHAPES = {"a": (131, 100), "b": (100, 77), "x": (3, 17, 13, 24), "w": (4, 4, 24, 40), "dy": (3, 9, 6, 40)}
"""Operands of the products that are checked."""

LONG = {"a": (131, 393), "b": (393, 140)}
"""Those of a matrix product that goes round the ring of `gemm_wgmma.cu` twice, on four tiles."""

STEPS = 8
"""Of a training by graphs: the first are eager and recorded."""

SAMPLES, CALLS = 22, (1, 2, 5)
"""Of a data set on the device, five batches in an epoch; steps of each call, STEPS together."""


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
        yield Check(f"{operation} {dtype}", _largest(pairs), 4 * TOLERANCE[dtype])


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
            if rung.parts:
                yield from _long_products(ops, name, tolerance)


def _long_products(ops: Any, rung: str, tolerance: float) -> Iterator[Check]:
    """A sum of many panels, with each operand as it is and transposed."""
    a, b = (np.random.default_rng().standard_normal(shape).astype(ops.dtype) for shape in LONG.values())
    expected = a.astype(np.float64) @ b
    for transposed in (False, True):
        x, y = (ops.to_device(np.ascontiguousarray(array.T if transposed else array)) for array in (a, b))
        found = ops.to_host(ops.matmul(x, y, trans_a=transposed, trans_b=transposed))
        how = ", transposed" if transposed else ""
        yield Check(f"matmul {rung} {ops.dtype}, k = {a.shape[1]}{how}", _error(found, expected), tolerance)


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
    """Training by graphs beside training by launches, where the backend captures: weights equal, bit for bit.

    By graphs twice: step by step on the host's batches, and many steps a call on a data set of the device.
    """
    if kernels.get_ops(backend).why_no_capture() is not None:
        return
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLES, 8, 8, 1), dtype=np.uint8)
    for preset in ("mlp-small", "dcgan"):
        config = TrainConfig(preset, n_critic=1, batch_size=4, width=0.05, backend=backend)
        batches = Batches(ArrayDataset("noise", pixels), 4, config.seed)
        eager, captured, resident = (
            Trainer(replace(config, capture=how), batches.dataset.shape, STEPS) for how in (False, True, True)
        )
        if reason := resident.keep(batches):
            raise RuntimeError(reason)
        for step in range(STEPS):
            eager.step(*batches.at(step))
            captured.step(*batches.at(step))
        for count in CALLS:
            resident.advance(batches, count)
        wanted = eager.checkpoint().tensors
        for how, trainer in (("captured steps", captured), ("steps on data of the device", resident)):
            found = trainer.checkpoint().tensors
            yield Check(f"{STEPS} {how} of {preset}", _largest((found[k], wanted[k]) for k in wanted), 0.0)


def _largest(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Of the errors of (actual, expected); NaN if one is, which Python's max would drop."""
    return float(np.max([_error(actual, expected) for actual, expected in pairs]))


def _error(actual: Any, expected: Any) -> float:
    reference = np.asarray(expected, np.float64)
    difference = float(np.linalg.norm(np.asarray(actual, np.float64) - reference))
    return difference / max(float(np.linalg.norm(reference)), 1e-30)
