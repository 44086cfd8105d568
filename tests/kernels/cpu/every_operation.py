"""Every operation on arrays large enough to be split among threads, all sizes odd; as a script, digests of all results.

python every_operation.py BACKEND          {"float32": [[operation, digest], ...], "float64": [...]}
"""

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

sys.path.extend(map(str, Path(__file__).parents[1:4]))  # where pytest, too, looks for modules
from test_op_conduct import WRITTEN, Maker, arrays_in

import kernels
from kernels import Use, activation
from kernels.activations import FORMULAS
from kernels.geometry import output_size

Case: TypeAlias = tuple[str, dict[str, Any]]

TANH = activation("tanh")
IMAGE, CHANNELS, SAMPLES = (5, 33, 29, 37), 37, 5
VECTOR = 50_021
POOL = {"kernel": (3, 2), "stride": (2, 1)}
POOLED = (5, 16, 28, 37)


def cases(new: Maker) -> Iterator[Case]:
    """(operation, arguments), every operation at least once."""
    yield from products(new)
    yield from elementwise(new)
    yield from norms(new)
    yield from windows(new)
    yield from updates(new)


def products(new: Maker) -> Iterator[Case]:
    sizes = (131, 517, 93), (3, 4099, 5), (1031, 7, 259), (401, 1037, 7), (401, 1037, 1)
    for (m, k, n), trans_a, trans_b in product(sizes, (False, True), (False, True)):
        factors = {"a": new(*((k, m) if trans_a else (m, k))), "b": new(*((n, k) if trans_b else (k, n)))}
        flags = {"trans_a": trans_a, "trans_b": trans_b}
        yield "matmul", {**factors, **flags, "bias": new(n), "activation": TANH}
        yield "matmul", {**factors, **flags, "out": new(m, n), "accumulate": True}
    pads = (1, 0, 2, 1)
    for channels, out_channels, kernel, stride, samples, size in (
        (37, 67, (3, 3), (1, 1), 7, (23, 21)),
        (19, 43, (4, 3), (2, 3), 7, (23, 21)),
        (3, 71, (5, 5), (2, 2), 7, (23, 21)),
        (41, 1, (3, 2), (1, 2), 7, (23, 21)),
        (1, 1, (3, 3), (1, 1), 7, (23, 21)),
        (41, 1, (3, 3), (1, 1), 7, (23, 21)),  # by its adjoint
        (96, 192, (4, 4), (2, 2), 135, (9, 11)),  # Winograd's transforms in float32, in two passes
        (96, 192, (5, 5), (2, 2), 135, (4, 3)),  # kn2row
    ):
        windows = output_size(size, kernel, stride, pads)
        x, dy = new(samples, *size, channels), new(samples, *windows, out_channels)
        w = new(*kernel, channels, out_channels)
        place = {"stride": stride, "pads": pads}
        yield "conv2d", {"x": x, "w": w, **place, "bias": new(out_channels), "activation": TANH}
        yield "conv2d_input_grad", {"dy": dy, "w": w, **place, "size": size, "bias": new(channels), "activation": TANH}
        both = {"x": x, "dy": dy, **place, "kernel": kernel}
        yield "conv2d_weight_grad", both
        yield "conv2d_weight_grad", {**both, "out": new(*w.shape), "accumulate": True}


def elementwise(new: Maker) -> Iterator[Case]:
    for name in FORMULAS:
        function = {"activation": activation(name)}
        yield "activation", {"x": new(*IMAGE), **function}
        kept = {"dy": new(*IMAGE), "kept": new(*IMAGE)}
        yield "activation_grad", {**kept, **function, "extra": new(*IMAGE), "db": new(CHANNELS)}
        yield "activation_double_grad", {**kept, **function, "ddz": new(*IMAGE)}
    yield "add", {"a": new(*IMAGE), "b": new(*IMAGE)}
    yield "multiply", {"a": new(*IMAGE), "b": new(*IMAGE)}
    yield "scale_shift", {"x": new(*IMAGE), "scale": 3.3, "shift": -0.7}
    yield "axpy", {"alpha": 0.3, "x": new(*IMAGE), "y": new(*IMAGE)}
    yield "fill", {"x": new(*IMAGE), "value": 2.5}
    yield "copy", {"x": new(*IMAGE), "y": new(*IMAGE)}
    yield "clip", {"x": new(*IMAGE), "low": -0.5, "high": 0.25}
    for shape in (IMAGE, (20_011, 3), (3, 20_011), (VECTOR,)):
        yield "sum_rows", {"x": new(*shape)}
        yield "sum", {"x": new(*shape)}
        yield "squared_norms", {"x": new(*shape)}
        yield "scale_samples", {"x": new(*shape), "factors": new(shape[0])}
    yield "concat", {"arrays": [new(1031, 37), new(1031, 3)], "axis": -1}
    yield "concat", {"arrays": [new(1031, 37), new(7, 37)], "axis": 0}
    yield "split", {"x": new(*IMAGE), "sizes": (5, 32)}
    yield "gather_rows", {"w": new(11, 519), "index": new.below(11, 301)}
    for data in (new(11, 519), new.below(256, 11, 519).astype(np.uint8), new.below(9, 11)):
        yield "gather_samples", {"data": data, "index": new.below(11, 301)}
    yield "scatter_add_rows", {"dw": new(11, 519), "index": new.below(11, 301), "dy": new(301, 519)}
    yield "softmax_cross_entropy", {"logits": new(1031, 11), "labels": new.below(11, 1031)}
    yield "random_normal", {"shape": (VECTOR,), "use": Use.SAMPLE}
    yield "random_uniform", {"shape": (VECTOR,), "use": Use.SAMPLE}
    yield "dropout_mask", {"shape": (VECTOR,), "rate": 0.25}


def norms(new: Maker) -> Iterator[Case]:
    def both(statistics: int) -> dict[str, Any]:
        moments = {"mean": new(statistics), "var": new.positive(statistics)}
        return {"x": new(*IMAGE), "gamma": new(CHANNELS), **moments, "eps": 0.1}

    for name in (None, *(name for name, formula in FORMULAS.items() if formula.keeps == "y")):
        function = {"activation": activation(name)}
        forward = {"x": new(*IMAGE), "gamma": new(CHANNELS), "beta": new(CHANNELS), "eps": 0.1, **function}
        yield "batch_norm", forward
        yield "channel_norm", {**forward, "mean": new(CHANNELS), "var": new.positive(CHANNELS)}
        yield "layer_norm", forward
        backward = {**both(CHANNELS), "dy": new(*IMAGE), "y": new(*IMAGE), **function}
        yield "batch_norm_grad", {**backward, "dgamma": new(CHANNELS), "dbeta": new(CHANNELS)}
    added = {"dz": new(*IMAGE), "dgamma": new(CHANNELS), "dbeta": new(CHANNELS)}
    yield "channel_norm_weight_grad", {**{k: v for k, v in both(CHANNELS).items() if k != "gamma"}, **added}
    yield "layer_norm_grad", {**both(SAMPLES), **added}
    yield "layer_norm_double_grad", {**both(SAMPLES), "dz": new(*IMAGE), "ddx": new(*IMAGE), "dgamma": new(CHANNELS)}


def windows(new: Maker) -> Iterator[Case]:
    size, index = {"size": IMAGE[1:3]}, {"index": new.below(6, *POOLED).astype(np.int32)}
    yield "avg_pool2d", {"x": new(*IMAGE), **POOL}
    yield "avg_pool2d_grad", {"dy": new(*POOLED), **size, **POOL}
    yield "max_pool2d", {"x": new(*IMAGE), **POOL}
    yield "max_pool2d_grad", {"dy": new(*POOLED), **index, **size, **POOL}
    yield "max_pool2d_gather", {"x": new(*IMAGE), **index, **POOL}
    yield "upsample_nearest", {"x": new(*IMAGE), "factor": (2, 3)}
    yield "upsample_nearest_grad", {"dy": new(*IMAGE), "factor": (3, 29)}


def updates(new: Maker) -> Iterator[Case]:
    def both(*state: str) -> dict[str, Any]:
        arrays = {"p": new(VECTOR), "g": new(VECTOR), **{name: new.positive(VECTOR) for name in state}}
        return {**arrays, "guard": new(), "lr": 0.1, "weight_decay": 0.2}

    yield "sgd", {**both("velocity"), "momentum": 0.5, "nesterov": True}
    yield "rmsprop", {**both("v"), "decay": 0.5, "eps": 0.1}
    yield "adam", {**both("m", "v", "v_max"), "beta1": 0.5, "beta2": 0.25, "eps": 0.1, "step": 3}
    yield "moving_average", {"average": new(VECTOR), "x": new(VECTOR), "decay": 0.3}
    yield "clip_norm", {"g": new(VECTOR), "limit": 0.5}


def digests(backend: str, dtype: str) -> list[tuple[str, str]]:
    """(operation, digest of its results and of what it changed) for every case."""
    ops, found = kernels.get_ops(backend, dtype=dtype), []
    for step, (operation, arguments) in enumerate(cases(Maker(np.dtype(dtype)))):
        ops.begin_step(step)
        digest = sha256()
        for array in arrays_in(getattr(ops, operation)(**arguments)):
            digest.update(array.tobytes())
        for name in sorted(WRITTEN.get(operation, ())):
            digest.update(arguments[name].tobytes())
        found.append((operation, digest.hexdigest()[:16]))
    return found


if __name__ == "__main__":
    print(json.dumps({dtype: digests(sys.argv[1], dtype) for dtype in ("float32", "float64")}))
