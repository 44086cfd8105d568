"""ParamSet: one buffer, many names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels.workspace import ALIGNMENT
from minigan.initializers import normal, ones
from minigan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Parallel, Residual, Sequential, Tanh
from minigan.params import Param, ParamSet, walk

NAMES = st.text("abcxyz123_", min_size=1, max_size=4)
LEAVES = st.builds(Param, st.lists(st.integers(1, 5), max_size=3).map(tuple), st.just(ones), st.booleans())
SPECS = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=10).filter(
    lambda spec: isinstance(spec, dict)
)
"""Nested specs of arrays of any shape, 0-d ones and empty levels included."""


@given(spec=SPECS, dtype=st.sampled_from(("float32", "float64")))
def test_every_array_has_a_view_of_its_own(spec, dtype: str):
    """Aligned, contiguous, of the shape asked for, and overlapping no other."""
    p = ParamSet(spec, dtype)
    params = dict(walk(spec))
    assert list(p.named) == list(params)
    for number, (path, view) in enumerate(p.named.items(), 1):
        assert (view.shape, view.dtype) == (params[path].shape, np.dtype(dtype))
        assert view.flags.c_contiguous
        assert view.ctypes.data % ALIGNMENT == 0
        assert not view.any()
        view.fill(number)
    assert all((view == number).all() for number, view in enumerate(p.named.values(), 1))


@given(spec=SPECS)
def test_trainables_and_state_lie_apart(spec):
    """Writing all trainables through their names changes exactly `count` elements of flat, and none of state."""
    p = ParamSet(spec, "float64")
    for view in p.trainable().values():
        view.fill(1)
    assert p.flat.sum() == p.count == sum(math.prod(param.shape) for _, param in walk(spec) if param.trainable)
    assert not p.state.any()
    for path, param in walk(spec):
        assert np.shares_memory(p.named[path], p.flat if param.trainable else p.state)


@given(spec=SPECS)
def test_names_are_paths_through_the_views(spec):
    p = ParamSet(spec)
    for path, view in p.named.items():
        node = p.views
        for name in path.split("/"):
            node = node[name]
        assert node is view


def test_layers_get_their_own_part():
    """Those without parameters an empty one, at any depth."""
    net = Sequential(Dense(2, 3), Tanh(), Residual(Sequential(("inner", Dense(3, 3)))))
    p = net.init(0, (2,))
    assert p.sub("dense1") is p["dense1"]
    assert p.sub("tanh1") == {}
    assert p.sub("residual1").sub("skip") == {}
    assert p.sub("tanh1").sub("anything") == {}
    assert list(p.sub("residual1").sub("branch").sub("inner")) == ["W", "b"]


def test_a_view_is_a_window_not_a_copy():
    p = Dense(2, 3).init(0, (2,))
    p.flat.fill(7)
    assert (p["W"] == 7).all()
    p["b"][1] = 8
    assert (p.flat == 8).sum() == 1


def test_like_is_zero_and_of_the_same_shape_but_elsewhere():
    p = Sequential(Dense(2, 3), BatchNorm(3)).init(0, (2,), np.float64)
    g = p.like()
    assert list(g.named) == list(p.named)
    assert g.dtype == p.dtype == np.float64
    assert not g.flat.any()
    assert not g.state.any()
    g.flat.fill(1)
    assert not (p.flat == 1).all()


def test_a_copy_is_equal_and_independent():
    p = Sequential(Dense(2, 3), BatchNorm(3)).init(0, (2,))
    twin = p.copy()
    for path in p.named:
        np.testing.assert_array_equal(twin.named[path], p.named[path])
    twin.flat.fill(9)
    twin.state.fill(9)
    assert not (p.flat == 9).any()
    assert not (p.state == 9).any()


def test_count_of_a_network_worked_out_by_hand():
    net = Sequential(Conv2d(3, 8, (5, 4), bias=False), BatchNorm(8), Conv2d(8, 2, 3))
    assert net.init(0, (9, 9, 3)).count == 5 * 4 * 3 * 8 + 2 * 8 + (3 * 3 * 8 * 2 + 2)


def test_a_network_without_parameters():
    p = Sequential(Tanh()).init(0, (2,))
    assert (p.count, p.flat.size, p.named) == (0, 0, {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_values(dtype: type):
    """Those of each initializer; state and gains too."""
    net = Sequential(Dense(40, 50, init=normal(0.5)), BatchNorm(50))
    p = net.init(0, (40,), dtype)
    assert abs(p["dense1"]["W"].std() - 0.5) < 0.05
    assert not p["dense1"]["b"].any()
    assert {name: set(view.tolist()) for name, view in p["batchnorm1"].items()} == {
        "gamma": {1.0}, "beta": {0.0}, "mean": {0.0}, "var": {1.0}
    }  # fmt: skip


def test_the_same_seed_gives_the_same_network_in_either_precision():
    """A float64 check is of the very network that trains in float32."""
    net = Parallel(Dense(4, 4), Dense(4, 4))
    single, double = (net.init(5, ((4,), (4,)), t) for t in (np.float32, np.float64))
    np.testing.assert_allclose(single["branch1"]["W"], double["branch1"]["W"], rtol=1e-6)
    assert not np.array_equal(double["branch1"]["W"], double["branch2"]["W"])
    assert not np.array_equal(net.init(6, ((4,), (4,)))["branch1"]["W"], single["branch1"]["W"])


def test_assignment_writes_into_the_buffer_at_every_level():
    p = Sequential(Dense(2, 3)).init(0, (2,))
    p["dense1"]["W"] = np.full((2, 3), 5.0)
    assert (p.named["dense1/W"] == 5).all()
    own = Dense(2, 3).init(0, (2,))
    own["W"] += 1.0
    own["b"] = 7.0
    assert (own.named["b"] == 7).all()
    assert own.flat[own.flat == 7].size == 3


def test_a_child_is_assigned_name_by_name_and_no_name_is_added():
    p, other = (Sequential(Dense(2, 3)).init(seed, (2,)) for seed in (0, 1))
    p["dense1"] = other["dense1"]
    np.testing.assert_array_equal(p.flat, other.flat)
    assert set(p["dense1"]) == {"W", "b"}
    with pytest.raises(KeyError):
        p["dense1"]["w"] = 1.0
    with pytest.raises(KeyError, match="dense1: expected"):
        p["dense1"] = {"W": other["dense1"]["W"]}


def garbage(spec) -> ParamSet:
    """Cleared, and nobody has asked for anything yet."""
    g = ParamSet(spec, "float64")
    for view in g.named.values():
        view.fill(np.nan)
    g.clear(kernels.get_ops("numpy", dtype="float64"))
    return g


@given(spec=SPECS)
def test_cleared_arrays_are_zero_whoever_asks(spec):
    """By their names in the views, in the list of names, and as one buffer. State is no gradient, and stays."""
    params = dict(walk(spec))
    for path, param in params.items():
        g = garbage(spec)
        node = g.views
        for name in path.split("/"):
            node = node[name]
        assert not param.trainable or not node.any()
        assert all(not view.any() for view in g.trainable().values())
        assert param.trainable or np.isnan(g.named[path]).all()
    assert not garbage(spec).flat.any()
    assert not any(view.any() for view in garbage(spec).trainable().values())


@given(spec=SPECS)
def test_a_target_is_left_as_it_is(spec):
    """Nothing to add to the first time; from then on it is no more cleared."""
    for path, _ in (pair for pair in walk(spec) if pair[1].trainable):
        g = garbage(spec)
        *parents, last = path.split("/")
        node = g
        for name in parents:
            node = node.sub(name)
        array, accumulate = node.target(last)
        assert not accumulate
        assert np.isnan(array).all()
        array.fill(3)
        again, accumulate = node.target(last)
        assert accumulate
        assert again is array
        assert (node[last] == 3).all()
        assert g.flat.sum() == 3 * array.size
        g.clear(kernels.get_ops("numpy", dtype="float64"))
        assert not node[last].any()


def test_adding_to_a_cleared_array():
    """`+=` reads before it writes."""
    g = garbage({"a": Param((2, 3), ones), "b": {"c": Param((4,), ones)}})
    g["a"] += 1
    g["b"]["c"][1:] += 2
    np.testing.assert_array_equal(g["a"], np.ones((2, 3)))
    np.testing.assert_array_equal(g["b"]["c"], [0, 2, 2, 2])
    buffer = g.flat
    g.flat *= 3
    assert g.flat is buffer
    assert g.flat.sum() == 3 * (6 + 6)
    g.clear(kernels.get_ops("numpy", dtype="float64"))
    g.flat += 1
    assert (g.named["a"] == 1).all()


@pytest.mark.parametrize("layer", [Dense(5, 4), Conv2d(5, 4, 3), ConvTranspose2d(5, 4, 3)])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_cleared_weights_are_those_of_zeros(layer, order):
    """Backward and double backward: overwritten first, added to after."""
    ops, rng = kernels.get_ops("numpy", dtype="float64"), np.random.default_rng(0)
    x = rng.standard_normal((3, 5) if isinstance(layer, Dense) else (3, 6, 6, 5))
    p = layer.init(0, x.shape[1:], "float64")
    y, cache = layer.forward(ops, p, x)
    dy = rng.standard_normal(y.shape)
    _, tape = layer.backward(ops, p, cache, dy)

    def sweep(g: ParamSet) -> None:
        if order == 1:
            layer.backward(ops, p, cache, dy, g)
        else:
            layer.double_backward(ops, p, tape, x, g)

    cleared, zeros = garbage(p.spec), p.like()
    for _ in range(2):
        sweep(cleared)
        sweep(zeros)
        assert zeros["W"].any()
        np.testing.assert_array_equal(cleared.named["W"], zeros.named["W"])
