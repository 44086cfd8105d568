"""Where windows lie: paddings in all their spellings, sizes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.geometry import output_size, pair, resolve_padding, same_pads
from minigan.testing import kernel_sizes, strides

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(size=SIZES, kernel=kernel_sizes(6), stride=strides(4))
def test_same_is_tensorflows(size, kernel, stride):
    """Output ceil(H/s); no more pads than needed; the odd pixel at the bottom and right."""
    top, bottom, left, right = pads = resolve_padding("same", size, kernel, stride)
    assert output_size(size, kernel, stride, pads) == tuple(-(-h // s) for h, s in zip(size, stride, strict=True))
    assert 0 <= bottom - top <= 1
    assert 0 <= right - left <= 1
    covered = [(-(-h // s) - 1) * s + k for h, s, k in zip(size, stride, kernel, strict=True)]
    assert (top + bottom, left + right) == tuple(max(c - h, 0) for c, h in zip(covered, size, strict=True))


@given(size=SIZES, kernel=kernel_sizes(6), stride=strides(4), pads=st.tuples(*[st.integers(0, 3)] * 4))
def test_output_size_counts_the_windows(size, kernel, stride, pads):
    """By laying them out one after the other until the next would stick out."""
    padded = size[0] + pads[0] + pads[1], size[1] + pads[2] + pads[3]
    counts = tuple(len(range(0, p - k + 1, s)) for p, k, s in zip(padded, kernel, stride, strict=True))
    if 0 in counts:
        with pytest.raises(ValueError, match=f"kernel of {kernel[0]}x{kernel[1]} .* {size[0]}x{size[1]}"):
            output_size(size, kernel, stride, pads)
    else:
        assert output_size(size, kernel, stride, pads) == counts


@pytest.mark.parametrize(
    ("padding", "pads"),
    [
        ("valid", (0, 0, 0, 0)),
        (0, (0, 0, 0, 0)),
        (2, (2, 2, 2, 2)),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ([1, 2, 3, 4], (1, 2, 3, 4)),
        (np.uint8(2), (2, 2, 2, 2)),
        (np.array([1, 2, 3, 4], np.int8), (1, 2, 3, 4)),
        ("same", (1, 1, 1, 2)),
    ],
)
def test_spellings(padding, pads):
    assert resolve_padding(padding, (5, 7), (3, 4), (1, 1)) == pads


@pytest.mark.parametrize("padding", ["full", "Same", -1, 1.5, None, (1, 2), (1, 2, 3, -4), (1, 2, 3, 0.5)])
def test_refused_paddings(padding):
    with pytest.raises(ValueError, match='padding must be "same", "valid"') as caught:
        resolve_padding(padding, (5, 7), (3, 4), (1, 1))
    assert repr(padding) in str(caught.value)


def test_same_pads_of_a_kernel_smaller_than_the_stride_are_none():
    assert same_pads(out=3, size=9, kernel=2, stride=3) == (0, 0)


@pytest.mark.parametrize("value", [3, (3, 3), [3, 3], np.int8(3), np.array((3, 3), np.uint8)])
def test_one_number_stands_for_both(value):
    assert pair(value, "kernel_size") == (3, 3)


@pytest.mark.parametrize("value", [0, 3.0, None, (1,), (1, 2, 3), (0, 1), (1, 2.0), "33", np.zeros(2)])
def test_refused_pairs(value):
    with pytest.raises(ValueError, match=r"^Conv2d: kernel_size must be one or two whole numbers"):
        pair(value, "Conv2d: kernel_size")
