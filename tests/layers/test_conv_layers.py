"""Dense and the convolutions as linear maps: written out as matrices, one the adjoint of the other."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import kernels
from kernels import Ops
from minigan.layer import Layer
from minigan.layers import Conv2d, ConvTranspose2d, Dense
from minigan.testing import ConvCase, conv_cases, random_params, seeds


def matrix(layer: Layer, p: Any, in_shape: tuple[int, ...]) -> np.ndarray:
    """The linear part of a layer as a matrix (outputs, inputs): its response to every unit vector, less that to 0."""
    ops = kernels.get_ops("numpy", dtype=np.float64)
    size = int(np.prod(in_shape))
    units = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *in_shape)
    response = layer.forward(ops, p, units)[0].reshape(size + 1, -1)
    return (response[1:] - response[0]).T


@given(case=conv_cases(max_side=5, max_channels=3), seed=seeds())
def test_a_transposed_convolution_is_the_transposed_matrix(case: ConvCase, seed: int):
    """With the very array W of the Conv2d that goes the other way."""
    size, kernel, stride, padding, wide, narrow = case
    conv = Conv2d(wide, narrow, kernel, stride, padding, bias=False)
    transposed = ConvTranspose2d(narrow, wide, kernel, stride, padding, bias=False, output_size=size)
    p = random_params(conv, (*size, wide), seed)
    assert transposed.spec((*case.windows, narrow))[0] == (*size, wide)
    assert transposed.spec((*case.windows, narrow))[1]["W"].shape == p["W"].shape
    forward = matrix(conv, p, (*size, wide))
    np.testing.assert_allclose(matrix(transposed, p, (*case.windows, narrow)), forward.T, atol=1e-14)


def test_a_bias_is_added_to_every_pixel_of_its_channel(ops: Ops):
    b = np.array([1.0, -2.0])
    for layer, shape in ((Dense(3, 2), (3,)), (Conv2d(3, 2, 3), (4, 5, 3)), (ConvTranspose2d(3, 2, 4, 2), (2, 3, 3))):
        p = layer.init(0, shape, np.float64)
        p["b"][:] = b
        y, _ = layer.forward(ops, p, np.zeros((2, *shape)))
        np.testing.assert_array_equal(y, np.broadcast_to(b, y.shape))


def test_dense_acts_on_the_last_axis_of_whatever_stands_before(ops: Ops):
    layer = Dense(3, 2, "tanh")
    p = random_params(layer, (3,), seed=0)
    x = np.random.default_rng(0).standard_normal((4, 5, 6, 3))
    rows = layer.forward(ops, p, x.reshape(-1, 3))[0]
    np.testing.assert_array_equal(layer.forward(ops, p, x)[0].reshape(-1, 2), rows)
    assert layer.spec((5, 6, 3))[0] == (5, 6, 2)


class TestOutputSizes:
    """The published shapes: what users count on."""

    @pytest.mark.parametrize(
        ("layer", "in_shape", "out_shape"),
        [
            (Conv2d(3, 8, 4, 2, 1), (32, 32, 3), (16, 16, 8)),
            (Conv2d(3, 8, 5, 2), (28, 28, 3), (14, 14, 8)),
            (Conv2d(3, 8, 5, 2), (7, 7, 3), (4, 4, 8)),
            (Conv2d(3, 8, 3, 1, "valid"), (7, 5, 3), (5, 3, 8)),
            (Conv2d(3, 8, 3, 2, "valid"), (8, 5, 3), (3, 2, 8)),
            (Conv2d(3, 8, (1, 3), (1, 2), (0, 0, 1, 1)), (4, 6, 3), (4, 3, 8)),
            (ConvTranspose2d(8, 3, 4, 2, 1), (16, 16, 8), (32, 32, 3)),
            (ConvTranspose2d(8, 3, 5, 2), (7, 7, 8), (14, 14, 3)),
            (ConvTranspose2d(8, 3, 4, 1, 0), (1, 1, 8), (4, 4, 3)),
            (ConvTranspose2d(8, 3, 3, 2, 1), (4, 4, 8), (7, 7, 3)),
            (ConvTranspose2d(8, 3, 3, 2, 1, output_padding=1), (4, 4, 8), (8, 8, 3)),
            (ConvTranspose2d(8, 3, 3, 2, 1, output_padding=(0, 1)), (4, 4, 8), (7, 8, 3)),
            (ConvTranspose2d(8, 3, 3, 2, 1, output_size=(8, 7)), (4, 4, 8), (8, 7, 3)),
            (ConvTranspose2d(8, 3, 5, 2, output_size=(13, 14)), (7, 7, 8), (13, 14, 3)),
            (ConvTranspose2d(8, 3, 2, 3), (2, 3, 8), (6, 9, 3)),
        ],
    )
    def test_shape(self, layer: Layer, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        assert layer.spec(in_shape)[0] == out_shape

    def test_what_stride_leaves_open_output_padding_settles(self):
        """All sizes that a Conv2d of stride 3 maps to the same 4 windows, and no others."""
        conv = Conv2d(1, 1, 3, 3, "valid")
        smallest = 3 * 3 + 3
        for extra in range(3):
            layer = ConvTranspose2d(1, 1, 3, 3, "valid", output_padding=extra)
            size = layer.spec((4, 4, 1))[0]
            assert size == (smallest + extra, smallest + extra, 1)
            assert conv.spec(size)[0] == (4, 4, 1)

    @pytest.mark.parametrize("size", [(11, 12), (12, 15), (20, 12)])
    def test_an_output_size_that_no_convolution_maps_back(self, size: tuple[int, int]):
        layer = ConvTranspose2d(1, 1, 3, 3, "valid", output_size=size)
        message = f"no output of {size[0]}x{size[1]} belongs to an input of 4x4"
        with pytest.raises(ValueError, match=re.escape(message)):
            layer.spec((4, 4, 1))

    def test_pads_that_leave_nothing(self):
        with pytest.raises(ValueError, match="no output of -1x-1 belongs to an input of 1x1"):
            ConvTranspose2d(1, 1, 3, 1, 2).spec((1, 1, 1))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"output_padding": 2}, r"output_padding (2, 2) must be below the stride (2, 2)"),
            ({"output_padding": (0, 2)}, r"output_padding (0, 2) must be below the stride (2, 2)"),
            ({"padding": "same", "output_padding": 1}, 'output_padding goes neither with padding="same"'),
            ({"output_size": (8, 8), "output_padding": 1}, "nor with output_size"),
            ({"output_padding": -1}, "output_padding must be one or two whole numbers of at least 0, got -1"),
        ],
    )
    def test_contradictory_arguments(self, arguments: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=re.escape(message)):
            ConvTranspose2d(1, 1, 3, 2, **{"padding": 1, **arguments})


@given(case=conv_cases())
def test_flops_count_the_multiplications_of_the_matrix(case: ConvCase):
    """Two for every kernel entry that a window meets, pads included; the same in both directions."""
    size, kernel, stride, padding, wide, narrow = case
    conv = Conv2d(wide, narrow, kernel, stride, padding)
    transposed = ConvTranspose2d(narrow, wide, kernel, stride, padding, output_size=size)
    flops = 2 * np.prod(case.windows) * np.prod(kernel) * wide * narrow
    assert conv.flops((*size, wide)) == transposed.flops((*case.windows, narrow)) == flops


def test_flops_of_dense():
    assert Dense(3, 5).flops((3,)) == 2 * 3 * 5
    assert Dense(3, 5).flops((4, 7, 3)) == 4 * 7 * 2 * 3 * 5
