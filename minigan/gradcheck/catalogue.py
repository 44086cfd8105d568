"""One case for every layer and loss of the library: what `minigan gradcheck` runs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..layer import Layer, Sequential
from ..layers import (
    ELU,
    GRU,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    DiffAugment,
    Dropout,
    Embedding,
    Flatten,
    Fork,
    InstanceNoise,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    MinibatchStddev,
    Pack,
    Parallel,
    Projection,
    ReLU,
    Reshape,
    Residual,
    ScaleShift,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    Upsample2d,
)
from ..losses import LOSSES, SMOOTHABLE
from .checks import check_layer, check_loss
from .directional import Report


@dataclass(frozen=True)
class Case:
    """A layer with an input shape, and what else `check_layer` must know."""

    name: str
    layer: Layer
    in_shape: Any
    options: dict[str, Any] = field(default_factory=dict)


def layer_cases() -> list[Case]:
    """Every layer at least once, where it matters with uneven sizes, strides and pads, and some composites."""
    image, labels = (7, 5, 3), np.array([1, 0, 4])
    label_input = (np.random.default_rng(0).standard_normal((3, 2)), labels)
    return [
        Case("Dense", Dense(6, 4), (6,)),
        Case("Dense + tanh", Dense(6, 4, "tanh"), (6,)),
        Case("Conv2d same, stride 2", Conv2d(3, 4, 4, 2), image),
        Case("Conv2d uneven + softplus", Conv2d(3, 2, (3, 2), (2, 1), (0, 2, 1, 0), "softplus"), image),
        Case("ConvTranspose2d same, stride 2", ConvTranspose2d(3, 2, 4, 2), image),
        Case(
            "ConvTranspose2d output_padding + ELU", ConvTranspose2d(3, 2, 3, 2, 1, "elu", output_padding=(1, 0)), image
        ),
        Case("ConvTranspose2d output_size", ConvTranspose2d(3, 2, 5, 2, output_size=(13, 10)), image),
        Case("BatchNorm, batch mode", BatchNorm(3, activation="leaky_relu"), image),
        Case("BatchNorm, eval mode + tanh", BatchNorm(3, activation="tanh"), image, {"train": False}),
        Case("LayerNorm", LayerNorm(3), image),
        Case("LayerNorm + sigmoid", LayerNorm(6, activation="sigmoid"), (6,)),
        Case("InstanceNorm + tanh", InstanceNorm(3, activation="tanh"), image),
        *(Case(type(layer).__name__, layer, image) for layer in (ReLU(), LeakyReLU(), ELU(), Tanh(), Sigmoid())),
        *(Case(type(layer).__name__, layer, image) for layer in (Softplus(), SiLU())),
        Case("Reshape", Reshape(5, 21), image),
        Case("Flatten", Flatten(), image),
        Case("ScaleShift", ScaleShift(2, -1), image),
        Case("Upsample2d", Upsample2d((2, 3)), image),
        Case("AvgPool2d", AvgPool2d((2, 3), (1, 2)), image),
        Case("MaxPool2d", MaxPool2d(3, 2), image),
        Case("Dropout", Dropout(0.3), image),
        Case("InstanceNoise", InstanceNoise(0.5), image),
        Case("DiffAugment", DiffAugment("translation", "cutout", "brightness"), (9, 8, 2)),
        Case("Pack", Pack(2), image, {"batch": 4}),
        Case("MinibatchStddev, whole batch", MinibatchStddev(None), image),
        Case("MinibatchStddev, groups of 2", MinibatchStddev(2), (6,), {"batch": 4}),
        Case("Embedding", Embedding(5, 3), (), {"inputs": labels}),
        Case("Projection", Projection(2, 5), ((2,), ()), {"inputs": label_input}),
        Case("Residual, nested", _nested_residual(), image),
        Case(
            "Parallel + Concat", Sequential(Parallel(Dense(2, 3, "tanh"), Dense(4, 2)), Concat(), SiLU()), ((2,), (4,))
        ),
        Case("GRU", GRU(3, 4), (5, 3)),
        Case("GRU, last state", GRU(3, 4, last=True), (5, 3)),
        Case("Fork", Sequential(Dense(4, 3, "tanh"), Fork(Dense(3, 1), Dense(3, 2, "sigmoid"))), (4,)),
        Case("Parallel + Embedding", _label_conditional(), ((2,), ()), {"inputs": label_input}),
    ]


def _nested_residual() -> Layer:
    inner = Residual(Sequential(Conv2d(4, 4, 3, activation="softplus"), LayerNorm(4)))
    return Residual(Sequential(Conv2d(3, 4, 3, activation="tanh"), inner), Conv2d(3, 4, 1))


def _label_conditional() -> Layer:
    return Sequential(Parallel(Sequential(), Embedding(5, 3)), Concat(), Dense(5, 4, "tanh"))


def check_all(seed: int = 0, directions: int = 3, backend: str = "numpy") -> Iterator[Report]:
    """A report for every layer case, then one for every loss."""
    for case in layer_cases():
        options: dict[str, Any] = {"seed": seed, "directions": directions, "backend": backend} | case.options
        yield check_layer(case.layer, case.in_shape, **options).renamed(case.name)
    for name, make in LOSSES.items():
        yield check_loss(make(), seed=seed, directions=directions)
        if name in SMOOTHABLE:
            yield check_loss(make(0.1), seed=seed, directions=directions).renamed(f"{name}, smoothed")
