"""Initial values of parameters, each a function of (shape, generator), and the seeded generator for each parameter.

fan_in and fan_out count the connections of one output and one input: for a Dense W (I, O) they are I and O, for a
convolution's W (KH, KW, C, O) they are KH*KW*C and KH*KW*O.
"""

import math
import zlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from kernels.types import Array, Shape

Initializer: TypeAlias = Callable[[Shape, np.random.Generator], Array]


def generator(seed: int, path: str) -> np.random.Generator:
    """A generator of its own for each parameter: adding a layer elsewhere does not change this one's values."""
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(path.encode())]))


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a W whose last two axes are input and output channels; see `transposed` for the others."""
    if len(shape) < 2:
        raise ValueError(f"fan-in and fan-out need a shape of at least two axes, got {shape}")
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]


def zeros(shape: Shape, _: np.random.Generator) -> Array:
    """All 0."""
    return np.zeros(shape)


def ones(shape: Shape, _: np.random.Generator) -> Array:
    """All 1."""
    return np.ones(shape)


def identity(shape: Shape, _: np.random.Generator) -> Array:
    """The identity matrix: a table of labels then starts as one-hot codes."""
    rows, columns = shape
    return np.eye(rows, columns)


def normal(std: float = 0.02, mean: float = 0.0) -> Initializer:
    """N(mean, std^2); std 0.02 is that of DCGAN (Radford, Metz and Chintala 2016, section 4)."""

    def init(shape: Shape, rng: np.random.Generator) -> Array:
        values = rng.standard_normal(shape, np.float32)
        values *= std
        if mean:
            values += mean
        return values

    return init


def glorot_uniform(gain: float = 1.0) -> Initializer:
    """U(-a, a), a = gain*sqrt(6/(fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""

    def init(shape: Shape, rng: np.random.Generator) -> Array:
        limit = gain * math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(-limit, limit, shape)

    return init


def he_normal(slope: float = 0.0) -> Initializer:
    """N(0, 2/((1 + slope^2) fan_in)) for (leaky) ReLU layers (He, Zhang, Ren and Sun 2015, eq. 10 and 15)."""

    def init(shape: Shape, rng: np.random.Generator) -> Array:
        return normal(math.sqrt(2 / ((1 + slope**2) * fans(shape)[0])))(shape, rng)

    return init


def orthogonal(gain: float = 1.0) -> Initializer:
    """W (fan_in, O) with orthonormal rows or columns, times gain (Saxe, McClelland and Ganguli 2014).

    The Q of a QR decomposition of a normal matrix, its columns' signs fixed so that Q is uniform over the group.
    """

    def init(shape: Shape, rng: np.random.Generator) -> Array:
        rows, columns = fans(shape)[0], shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return init


def transposed(init: Initializer) -> Initializer:
    """For a W whose last two axes are output and input channels, as in ConvTranspose2d: fans are those of the layer.

    With stride s a pixel meets only 1/s^2 of the kernel on average, which the fans here, as in PyTorch, leave out.
    """

    def swapped(shape: Shape, rng: np.random.Generator) -> Array:
        return init((*shape[:-2], shape[-1], shape[-2]), rng).swapaxes(-1, -2)

    return swapped
