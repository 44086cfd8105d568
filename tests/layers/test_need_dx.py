"""Without need_dx a Sequential does no more work than its first layer with parameters needs."""

import numpy as np

import kernels
from minigan.layers import Conv2d, Dense, Flatten, LeakyReLU, Sequential


def products(network: Sequential, need_dx: bool) -> int:
    """Matrix products and convolutions of one backward sweep over three samples of 4x4."""
    ops = kernels.get_ops("numpy", dtype="float64")
    p = network.init(0, (4, 4, 1), "float64")
    u, cache = network.forward(ops, p, np.ones((3, 4, 4, 1)))
    ops.calls.clear()
    network.backward(ops, p, cache, np.ones_like(u), p.like(), need_dx=need_dx)
    return sum(count for name, count in ops.calls.items() if name == "matmul" or name.startswith("conv2d"))


def test_layers_before_the_first_parameters_are_left_out():
    network = Sequential(Flatten(), Dense(16, 2), LeakyReLU(), Dense(2, 1))
    assert (products(network, need_dx=True), products(network, need_dx=False)) == (4, 3)


def test_a_nested_network_passes_it_on():
    network = Sequential(LeakyReLU(), Sequential(Conv2d(1, 2, 3), Flatten(), Dense(32, 1)))
    assert (products(network, need_dx=True), products(network, need_dx=False)) == (4, 3)


def test_the_gradient_is_the_same():
    network = Sequential(Flatten(), Dense(16, 2), LeakyReLU(), Dense(2, 1))
    ops = kernels.get_ops("numpy", dtype="float64")
    p = network.init(0, (4, 4, 1), "float64")
    u, cache = network.forward(ops, p, np.ones((3, 4, 4, 1)))
    gradients = [p.like(), p.like()]
    for g, need_dx in zip(gradients, (True, False), strict=True):
        network.backward(ops, p, cache, np.ones_like(u), g, need_dx=need_dx)
    assert gradients[0].flat.any()
    np.testing.assert_array_equal(gradients[0].flat, gradients[1].flat)
