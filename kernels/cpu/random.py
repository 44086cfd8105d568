"""Random numbers: the words of `kernels.rng`, bit for bit, and what is made of them.

A kernel draws the words of a block, which stay in the first-level cache, and turns them into numbers; their buffer
holds whole groups of four, as Philox yields them. Uniform numbers are exact in float64 and the rounded ones in float32.
So are dropout masks; normal numbers are computed in float64 and differ from the reference by rounding of the logarithm,
the sine and the cosine: by 4 units in the last place at most.
"""

import math

import numpy as np

from ..rng import MULTIPLIERS, ROUNDS, WEYL
from ..types import Array
from .fork import fork
from .functions import cos_sin, log
from .jit import kernel, parallel_kernel

BLOCK = 4096
"""Words; a multiple of four."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_STEP_0, _STEP_1 = map(np.uint64, WEYL)
_MULTIPLIER_0, _MULTIPLIER_1 = MULTIPLIERS


def blocks_of(count: int) -> int:
    """Number of blocks of words."""
    return (count + BLOCK - 1) // BLOCK


_blocks_of = kernel(blocks_of)


@kernel
def _draw(drawn: Array, block: int, counter: Array) -> None:
    """A block of the words, as `kernels.rng.philox4x32`; counter = (call, step, use, low and high half of the seed)."""
    call, step, use = counter[0], counter[1], counter[2]
    first = np.uint64(block * (BLOCK // 4))
    for i in range(drawn.size // 4):
        c0, c1, c2, c3 = first + np.uint64(i), call, step, use
        k0, k1 = counter[3], counter[4]
        for _ in range(ROUNDS):
            p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
            c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
            k0, k1 = (k0 + _STEP_0) & _LOW, (k1 + _STEP_1) & _LOW
        drawn[4 * i] = c0
        drawn[4 * i + 1] = c1
        drawn[4 * i + 2] = c2
        drawn[4 * i + 3] = c3


@kernel
def _unit(word: np.uint32) -> float:
    """(word + 1/2)/2^32, exact."""
    return (np.float64(word) + 0.5) * 2.0**-32


@kernel
def _uniform_block(block: int, y: Array, words: Array, counter: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    drawn, y_b = words[at], y[at]
    _draw(drawn, block, counter)
    for i in range(y_b.size):
        y_b[i] = _unit(drawn[i])


@parallel_kernel
def uniform(y: Array, words: Array, counter: Array) -> None:
    """y = uniform in (0, 1)."""
    fork(_uniform_block, _blocks_of(words.size), (y, words, counter))


@kernel
def _box_muller(drawn: Array, pairs: int, y: Array) -> None:
    """Two normal numbers of two words each: sqrt(-2 log u) (cos, sin)(2 pi v)."""
    for i in range(pairs):
        radius = math.sqrt(-2.0 * log(_unit(drawn[2 * i])))
        cosine, sine = cos_sin(2.0 * np.pi * _unit(drawn[2 * i + 1]))
        y[2 * i] = radius * cosine
        y[2 * i + 1] = radius * sine


@kernel
def _normal_block(block: int, y: Array, words: Array, counter: Array, last: Array) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    drawn, y_b = words[at], y[at]
    _draw(drawn, block, counter)
    _box_muller(drawn, y_b.size // 2, y_b)
    if y_b.size % 2:
        _box_muller(drawn[y_b.size - 1 :], last.size // 2, last)
        y_b[-1] = last[0]


@parallel_kernel
def normal(y: Array, words: Array, counter: Array, last: Array) -> None:
    """y = standard normal by Box and Muller; `last` (2,) is scratch for the last pair of an odd count."""
    fork(_normal_block, _blocks_of(words.size), (y, words, counter, last))


@kernel
def _dropout_block(block: int, y: Array, words: Array, counter: Array, rate: float) -> None:
    at = slice(block * BLOCK, (block + 1) * BLOCK)
    drawn, y_b = words[at], y[at]
    kept, dropped = y.dtype.type(1 / (1 - rate)), y.dtype.type(0)
    _draw(drawn, block, counter)
    for i in range(y_b.size):
        y_b[i] = kept if _unit(drawn[i]) >= rate else dropped


@parallel_kernel
def dropout_mask(y: Array, words: Array, counter: Array, rate: float) -> None:
    """y = [u >= rate]/(1 - rate)."""
    fork(_dropout_block, _blocks_of(words.size), (y, words, counter, rate))
