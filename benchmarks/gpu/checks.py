"""Every CUDA operation and every rung of the ladders against NumPy, and training by graphs.

One check of each, a minute in all; the properties are the business of tests/kernels and tests/cuda.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import kernels
from kernels.cuda.instances.products import CONVOLUTION, MATMUL
from kernels.reference import NumpyOps
from minigan import TrainConfig, Trainer
from minigan.data import ArrayDataset, Batches

from .measure import reason

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


Product: TypeAlias = Callable[[Any, dict[str, Any]], Any]
"""Of operations and their operands by name."""


class Check(NamedTuple):
    """One comparison with NumPy in float64; without a result to compare, `reason` says why there is none."""

    name: str
    error: float
    tolerance: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """NaN fails."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        return f"{self.name}: {self.reason or f'relative error {self.error:.1e}, at most {self.tolerance:.1e}'}"


def checks(backend: str) -> Iterator[Check]:
    """Every operation and every rung, in both element types, and training by graphs."""
    for dtype in ("float32", "float64"):
        yield from _operations(backend, dtype)
        yield from _rungs(backend, dtype)
    yield from captured_steps(backend)


def _check(name: str, tolerance: float, error: Callable[[], float]) -> Check:
    """One that raises fails, and the others have their turn."""
    try:
        return Check(name, error(), tolerance)
    except Exception as failure:  # on its first contact with a chip a kernel may fail in any way
        return Check(name, float("nan"), tolerance, reason(failure))


def _operations(backend: str, dtype: str) -> Iterator[Check]:
    sys.path.append(str(ROOT / "tests"))  # the table of calls is the tests'
    seen_from_host = importlib.import_module("on_host").seen_from_host
    calls = importlib.import_module("operation_calls")

    def error(operation: str) -> float:
        results, written = calls.run(seen_from_host(kernels.get_ops(backend, dtype=dtype)), operation)
        expected, changed = calls.run(NumpyOps(dtype), operation)
        return _largest(zip([*results, *written.values()], [*expected, *changed.values()], strict=True))

    for operation in calls.OPERATIONS:
        yield _check(f"{operation} {dtype}", 4 * TOLERANCE[dtype], partial(error, operation))


def _rungs(backend: str, dtype: str) -> Iterator[Check]:
    operands = {name: np.random.default_rng().standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    exact = {name: array.astype(np.float64) for name, array in operands.items()}
    real = "float" if dtype == "float32" else "double"

    def error(ops: Any, product: Product) -> float:
        result = product(ops, {name: ops.to_device(array) for name, array in operands.items()})
        return _error(ops.to_host(result), product(NumpyOps("float64"), exact))

    for setting, ladder in (("matmul_rung", MATMUL), ("convolution", CONVOLUTION)):
        for name, rung in ladder.items():
            ops: Any = kernels.get_ops(backend, dtype=dtype)
            if real not in rung.tiles or not rung.runs_on(ops.runtime.capability):
                continue
            setattr(ops, setting, name)
            tolerance = TOLERANCE["tf32" if name.startswith("tf32") else dtype]
            for operation, product in PRODUCTS.items():
                if (operation == "matmul") == (ladder is MATMUL):
                    yield _check(f"{operation} {name} {dtype}", tolerance, partial(error, ops, product))
            if rung.parts:
                yield from _long_products(ops, name, tolerance)


def _long_products(ops: Any, rung: str, tolerance: float) -> Iterator[Check]:
    """A sum of many panels, with each operand as it is and transposed."""
    a, b = (np.random.default_rng().standard_normal(shape).astype(ops.dtype) for shape in LONG.values())

    def error(transposed: bool) -> float:
        x, y = (ops.to_device(np.ascontiguousarray(array.T if transposed else array)) for array in (a, b))
        found = ops.matmul(x, y, trans_a=transposed, trans_b=transposed)
        return _error(ops.to_host(found), a.astype(np.float64) @ b)

    for transposed in (False, True):
        how = ", transposed" if transposed else ""
        yield _check(f"matmul {rung} {ops.dtype}, k = {a.shape[1]}{how}", tolerance, partial(error, transposed))


GEOMETRY: dict[str, Any] = {"stride": (2, 2), "pads": (1, 2, 1, 0)}

PRODUCTS: dict[str, Product] = {
    "matmul": lambda ops, arrays: ops.matmul(arrays["a"], arrays["b"]),
    "conv2d": lambda ops, arrays: ops.conv2d(arrays["x"], arrays["w"], **GEOMETRY),
    "conv2d_input_grad": lambda ops, arrays: ops.conv2d_input_grad(
        arrays["dy"], arrays["w"], **GEOMETRY, size=SHAPES["x"][1:3]
    ),
    "conv2d_weight_grad": lambda ops, arrays: ops.conv2d_weight_grad(
        arrays["x"], arrays["dy"], **GEOMETRY, kernel=SHAPES["w"][:2]
    ),
}
"""Of the operands of SHAPES, whose sides divide no tile."""


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
        for how, train in (("captured steps", _by_steps), ("steps on data of the device", _on_the_device)):
            yield _check(f"{STEPS} {how} of {preset}", 0.0, partial(_captured_error, config, batches, train))


def _captured_error(config: TrainConfig, batches: Batches, train: Callable[[Trainer, Batches], None]) -> float:
    eager, captured = (Trainer(replace(config, capture=how), batches.dataset.shape, STEPS) for how in (False, True))
    _by_steps(eager, batches)
    train(captured, batches)
    wanted, found = eager.checkpoint().tensors, captured.checkpoint().tensors
    return _largest((found[name], wanted[name]) for name in wanted)


def _by_steps(trainer: Trainer, batches: Batches) -> None:
    for step in range(STEPS):
        trainer.step(*batches.at(step))


def _on_the_device(trainer: Trainer, batches: Batches) -> None:
    if why_not := trainer.keep(batches):
        raise RuntimeError(why_not)
    for count in CALLS:
        trainer.advance(batches, count)


def _largest(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Of the errors of (actual, expected); NaN if one is, which Python's max would drop."""
    return float(np.max([_error(actual, expected) for actual, expected in pairs]))


def _error(actual: Any, expected: Any) -> float:
    reference = np.asarray(expected, np.float64)
    difference = float(np.linalg.norm(np.asarray(actual, np.float64) - reference))
    return difference / max(float(np.linalg.norm(reference)), 1e-30)
