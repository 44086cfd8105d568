"""One call of every operation: the table that tests of conduct walk, on any backend.

A new operation joins by a line in CALLS; until then `test_the_table_is_complete` fails.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import Ops, Use, activation
from kernels.contract.elementwise import ElementwiseOps
from kernels.contract.norms import NormOps
from kernels.contract.products import ProductOps
from kernels.contract.updates import UpdateOps
from kernels.contract.windows import WindowOps

FAMILIES = (ProductOps, ElementwiseOps, NormOps, WindowOps, UpdateOps)
OPERATIONS = [name for family in FAMILIES for name in vars(family) if not name.startswith("_")]

TANH, STRIDE, PADS = activation("tanh"), (2, 1), (1, 0, 0, 2)
IMAGE, WINDOWS, POOLED, CHANNEL = (2, 5, 4, 3), (2, 2, 5, 2), (2, 2, 3, 3), (3,)
POOL = {"kernel": (2, 2), "stride": (2, 1)}


class Maker:
    """Arrays of the given dtype; the same calls make the same numbers."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(0)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape: int) -> np.ndarray:
        return (0.5 + self.rng.random(shape)).astype(self.dtype)

    def below(self, limit: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, limit, shape)

    def norm(self, statistics: int, **more: np.ndarray) -> dict[str, Any]:
        """What the backward passes of the norms have in common."""
        common = {"x": self(*IMAGE), "gamma": self(3), "eps": 0.1}
        return {**common, "mean": self(statistics), "var": self.positive(statistics), **more}

    def update(self, *state: str, **numbers: float) -> dict[str, Any]:
        """What the optimizers have in common; state is never negative."""
        arrays = {"p": self(7), "g": self(7), **{name: self.positive(7) for name in state}}
        return {**arrays, "guard": self(), "lr": 0.1, "weight_decay": 0.2, **numbers}


CALLS: dict[str, Callable[[Maker], dict[str, Any]]] = {
    "matmul": lambda new: {"a": new(5, 3), "b": new(3, 4), "bias": new(4), "activation": TANH},
    "conv2d": lambda new: {
        "x": new(*IMAGE), "w": new(3, 2, 3, 2), "stride": STRIDE, "pads": PADS, "bias": new(2), "activation": TANH
    },
    "conv2d_input_grad": lambda new: {
        "dy": new(*WINDOWS), "w": new(3, 2, 3, 2), "stride": STRIDE, "pads": PADS, "size": (5, 4), "bias": new(3)
    },
    "conv2d_weight_grad": lambda new: {
        "x": new(*IMAGE), "dy": new(*WINDOWS), "stride": STRIDE, "pads": PADS, "kernel": (3, 2)
    },
    "activation": lambda new: {"x": new(*IMAGE), "activation": TANH},
    "activation_grad": lambda new: {
        "activation": TANH, "dy": new(*IMAGE), "kept": new(*IMAGE), "extra": new(*IMAGE), "db": new(3)
    },
    "activation_double_grad": lambda new: {
        "activation": TANH, "ddz": new(*IMAGE), "dy": new(*IMAGE), "kept": new(*IMAGE)
    },
    "add": lambda new: {"a": new(*IMAGE), "b": new(*IMAGE)},
    "multiply": lambda new: {"a": new(*IMAGE), "b": new(*IMAGE)},
    "scale_shift": lambda new: {"x": new(*IMAGE), "scale": 3.0, "shift": -0.5},
    "axpy": lambda new: {"alpha": 0.5, "x": new(*IMAGE), "y": new(*IMAGE)},
    "fill": lambda new: {"x": new(*IMAGE), "value": 2.5},
    "copy": lambda new: {"x": new(*IMAGE), "y": new(*IMAGE)},
    "clip": lambda new: {"x": new(*IMAGE), "low": -0.5, "high": 0.25},
    "sum_rows": lambda new: {"x": new(*IMAGE)},
    "sum": lambda new: {"x": new(*IMAGE)},
    "squared_norms": lambda new: {"x": new(*IMAGE)},
    "scale_samples": lambda new: {"x": new(*IMAGE), "factors": new(IMAGE[0])},
    "concat": lambda new: {"arrays": [new(2, 3), new(2, 1)], "axis": -1},
    "split": lambda new: {"x": new(*IMAGE), "sizes": (1, 2)},
    "gather_rows": lambda new: {"w": new(4, 3), "index": new.below(4, 6)},
    "gather_samples": lambda new: {"data": new.below(256, 4, 2, 3, 1).astype(np.uint8), "index": new.below(4, 6)},
    "scatter_add_rows": lambda new: {"dw": new(4, 3), "index": new.below(4, 6), "dy": new(6, 3)},
    "softmax_cross_entropy": lambda new: {"logits": new(5, 4), "labels": new.below(4, 5)},
    "random_normal": lambda _: {"shape": (3, 5), "use": Use.SAMPLE},
    "random_uniform": lambda _: {"shape": (3, 5), "use": Use.SAMPLE},
    "dropout_mask": lambda _: {"shape": (3, 5), "rate": 0.25},
    "batch_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "eps": 0.1, "activation": TANH
    },
    "batch_norm_grad": lambda new: new.norm(
        3, dy=new(*IMAGE), y=new(*IMAGE), activation=TANH, dgamma=new(3), dbeta=new(3)
    ),
    "channel_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "mean": new(3), "var": new.positive(3), "eps": 0.1
    },
    "channel_norm_weight_grad": lambda new: {
        "dz": new(*IMAGE), "x": new(*IMAGE), "mean": new(3), "var": new.positive(3), "eps": 0.1,
        "dgamma": new(3), "dbeta": new(3),
    },
    "layer_norm": lambda new: {
        "x": new(*IMAGE), "gamma": new(3), "beta": new(3), "eps": 0.1, "activation": TANH
    },
    "layer_norm_grad": lambda new: new.norm(2, dz=new(*IMAGE), dgamma=new(3), dbeta=new(3)),
    "layer_norm_double_grad": lambda new: new.norm(2, ddx=new(*IMAGE), dz=new(*IMAGE), dgamma=new(3)),
    "avg_pool2d": lambda new: {"x": new(*IMAGE), **POOL},
    "avg_pool2d_grad": lambda new: {"dy": new(*POOLED), "size": (5, 4), **POOL},
    "max_pool2d": lambda new: {"x": new(*IMAGE), **POOL},
    "max_pool2d_grad": lambda new: {
        "dy": new(*POOLED), "index": new.below(4, *POOLED).astype(np.int32), "size": (5, 4), **POOL
    },
    "max_pool2d_gather": lambda new: {"x": new(*IMAGE), "index": new.below(4, *POOLED).astype(np.int32), **POOL},
    "upsample_nearest": lambda new: {"x": new(*IMAGE), "factor": (2, 3)},
    "upsample_nearest_grad": lambda new: {"dy": new(2, 6, 4, 3), "factor": (3, 2)},
    "sgd": lambda new: new.update("velocity", momentum=0.5, nesterov=True),
    "rmsprop": lambda new: new.update("v", decay=0.5, eps=0.1),
    "adam": lambda new: new.update("m", "v", "v_max", beta1=0.5, beta2=0.25, eps=0.1, step=3),
    "moving_average": lambda new: {"average": new(7), "x": new(7), "decay": 0.5},
    "clip_norm": lambda new: {"g": new(7), "limit": 0.5},
}  # fmt: skip

WRITTEN = {
    "activation_grad": {"db"},
    "axpy": {"y"},
    "fill": {"x"},
    "copy": {"y"},
    "clip": {"x"},
    "scatter_add_rows": {"dw"},
    "batch_norm_grad": {"dgamma", "dbeta"},
    "channel_norm_weight_grad": {"dgamma", "dbeta"},
    "layer_norm_grad": {"dgamma", "dbeta"},
    "layer_norm_double_grad": {"dgamma"},
    "sgd": {"p", "velocity"},
    "rmsprop": {"p", "v"},
    "adam": {"p", "m", "v", "v_max"},
    "moving_average": {"average"},
    "clip_norm": {"g"},
}
"""Arguments that an operation changes in place; all others it must leave alone."""


def arrays_in(value: Any) -> list[np.ndarray]:
    """The arrays of a result or of an argument."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, list | tuple):
        return [a for member in value for a in arrays_in(member)]
    return []


def run(ops: Ops, operation: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Call an operation as CALLS says; its results, and the arguments that it wrote to."""
    arguments = CALLS[operation](Maker(ops.dtype))
    results = arrays_in(getattr(ops, operation)(**arguments))
    return results, {name: arguments[name] for name in WRITTEN.get(operation, ())}
