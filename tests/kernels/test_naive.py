"""The loops that everything else is held to are themselves held to numbers worked out by hand, and to einsum."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels.reference import naive
from minigan.testing import ConvCase, batches, conv_cases, seeds

#     1 2 3        A kernel of 2x2, stride 1, and one row of zeros below:
# x = 4 5 6    w = 1 10          window (0, 0) = 1*1 + 2*10 + 4*100 + 5*1000 = 5421
#                  100 1000      window (1, 0) = 4*1 + 5*10                  = 54
X = np.array([[1, 2, 3], [4, 5, 6]]).reshape(1, 2, 3, 1)
W = np.array([[1, 10], [100, 1000]]).reshape(2, 2, 1, 1)
BELOW = (0, 1, 0, 0)


def test_matmul_by_hand():
    assert naive.matmul(np.array([[1, 2, 3]]), np.array([[1, 0], [0, 10], [100, 0]])).tolist() == [[301, 20]]


def test_convolution_by_hand():
    y = naive.conv2d(X, W, (1, 1), BELOW)
    assert y[0, :, :, 0].tolist() == [[5421, 6532], [54, 65]]


def test_stride_skips_windows():
    assert naive.conv2d(X, W, (2, 2), BELOW)[0, :, :, 0].tolist() == [[5421]]


def test_input_gradient_by_hand():
    """dy = 1 in window (0, 1) alone shows where that window lies: the kernel itself, one column to the right."""
    dy = np.array([[0, 1], [0, 0]]).reshape(1, 2, 2, 1)
    dx = naive.conv2d_input_grad(dy, W, (1, 1), BELOW, (2, 3))
    assert dx[0, :, :, 0].tolist() == [[0, 1, 10], [0, 100, 1000]]


def test_weight_gradient_by_hand():
    """dy = 1 in window (1, 1) alone returns the pixels below it: row 1 of x, and the pad."""
    dy = np.array([[0, 0], [0, 1]]).reshape(1, 2, 2, 1)
    dw = naive.conv2d_weight_grad(X, dy, (1, 1), BELOW, (2, 2))
    assert dw[:, :, 0, 0].tolist() == [[5, 6], [0, 0]]


@given(case=conv_cases(), n=batches(1, 3), seed=seeds())
def test_convolutions_equal_einsum_over_windows(case: ConvCase, n: int, seed: int):
    """An independent way to write them: all windows as a view of the padded image, then one contraction each."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, (n, *case.size, case.in_channels))
    w = rng.integers(-9, 10, (*case.kernel, case.in_channels, case.out_channels))
    dy = rng.integers(-9, 10, (n, *case.windows, case.out_channels))
    top, bottom, left, right = case.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, case.kernel, axis=(1, 2))  # (N, ., ., C, KH, KW)
    windows = windows[:, :: case.stride[0], :: case.stride[1]]
    geometry = case.stride, case.pads
    np.testing.assert_array_equal(naive.conv2d(x, w, *geometry), np.einsum("nijcab,abco->nijo", windows, w))
    np.testing.assert_array_equal(
        naive.conv2d_weight_grad(x, dy, *geometry, case.kernel), np.einsum("nijcab,nijo->abco", windows, dy)
    )


@given(st.data())
def test_matmul_equals_the_integers_own(data: st.DataObject):
    m, k, n = (data.draw(st.integers(1, 7), label=axis) for axis in "mkn")
    entries = st.integers(-99, 99)
    a, b = (data.draw(arrays(np.int64, shape, elements=entries)) for shape in ((m, k), (k, n)))
    np.testing.assert_array_equal(naive.matmul(a, b), a @ b)
