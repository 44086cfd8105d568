"""The random kernels draw the numbers of `kernels.rng`: the same bits where nothing but rounding lies between."""

import numba
import numpy as np
import pytest

from kernels import CounterRng, Use
from kernels.cpu import random

SEED, STEP, USE = (7 << 32) + 3, 5, Use.SAMPLE
COUNTS = (1, 2, 3, 4, 7, 1001, *((random.BLOCK, 3 * random.BLOCK + 5) if not numba.config.DISABLE_JIT else ()))


def drawn(kernel, count: int, dtype: type, *arguments: float | np.ndarray) -> np.ndarray:
    """Call 0 of the stream."""
    y, words = np.empty(count, dtype), np.empty(-(-count // 4) * 4, np.uint32)
    kernel(y, words, np.array([0, STEP, USE, SEED & 0xFFFFFFFF, SEED >> 32], np.uint64), *arguments)
    return y


def rng() -> CounterRng:
    rng = CounterRng(SEED)
    rng.begin(STEP)
    return rng


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", COUNTS)
def test_uniform_to_the_bit(count: int, dtype: type):
    np.testing.assert_array_equal(drawn(random.uniform, count, dtype), rng().uniform((count,), USE).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", COUNTS)
def test_dropout_masks_to_the_bit(count: int, dtype: type):
    expected = (rng().uniform((count,), USE) >= 0.3) * dtype(1 / 0.7)
    np.testing.assert_array_equal(drawn(random.dropout_mask, count, dtype, 0.3), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", COUNTS)
def test_normal_to_the_last_places(count: int, dtype: type):
    expected = rng().normal((count,), USE)
    np.testing.assert_allclose(
        drawn(random.normal, count, dtype, np.empty(2, dtype)), expected, rtol=4 * np.finfo(dtype).eps
    )
