"""Sequential, Residual, Parallel and Concat: names, shapes, what meets what."""

from typing import Any

import numpy as np
import pytest

from kernels import Ops
from minigan.gradcheck import check_layer
from minigan.layer import Layer, combined_group
from minigan.layers import (
    Concat,
    Conv2d,
    Dense,
    Embedding,
    Flatten,
    LeakyReLU,
    Parallel,
    Residual,
    ScaleShift,
    Sequential,
    Tanh,
)
from minigan.testing import random_inputs, random_params


class TestNames:
    def test_children_are_numbered_by_type(self):
        net = Sequential(Dense(2, 3), Tanh(), Dense(3, 3), Tanh(), Flatten())
        assert list(net.children()) == ["dense1", "tanh1", "dense2", "tanh2", "flatten1"]
        assert list(net.init(0, (2,)).named) == ["dense1/W", "dense1/b", "dense2/W", "dense2/b"]

    def test_the_caller_may_name(self):
        """A name of one's own takes no number away from the others."""
        net = Sequential(("first", Dense(2, 3)), Dense(3, 1))
        assert list(net.children()) == ["first", "dense1"]

    @pytest.mark.parametrize("layers", [(("a", Tanh()), ("a", Tanh())), (("tanh1", Tanh()), Tanh())])
    def test_no_name_twice(self, layers: tuple[Any, ...]):
        with pytest.raises(ValueError, match=r"two layers are called '(a|tanh1)'"):
            Sequential(*layers)

    def test_nesting_nests_the_names(self):
        net = Sequential(Residual(Sequential(Dense(2, 2)), Dense(2, 2)), Parallel(Dense(2, 1), Tanh()))
        paths = [*net.layers["residual1"].init(0, (2,)).named]
        assert paths == ["branch/dense1/W", "branch/dense1/b", "skip/W", "skip/b"]
        assert list(net.layers["parallel1"].init(0, ((2,), (2,))).named) == ["branch1/W", "branch1/b"]

    def test_initial_values_depend_on_the_name_alone(self):
        """A layer put in front elsewhere does not change them: comparable runs stay comparable."""
        short = Sequential(("out", Dense(4, 4))).init(3, (4,))
        long = Sequential(Dense(4, 4), Tanh(), ("out", Dense(4, 4))).init(3, (4,))
        np.testing.assert_array_equal(short["out"]["W"], long["out"]["W"])
        assert not np.array_equal(long["dense1"]["W"], long["out"]["W"])


class TestShapes:
    def test_an_error_says_which_child(self):
        net = Sequential(Dense(2, 3), ("head", Sequential(Tanh(), Dense(4, 1))))
        with pytest.raises(ValueError, match=r"^head: dense1: Dense: the input \(3,\) has 3 features, expected 4$"):
            net.spec((2,))

    def test_residual_paths_must_end_alike(self):
        with pytest.raises(ValueError, match=r"Residual: the branch gives \(3,\), the skip \(2,\)"):
            Residual(Dense(2, 3)).spec((2,))

    @pytest.mark.parametrize("shape", [(2,), ((2,),), ((2,), (2,), (2,))])
    def test_parallel_wants_an_input_for_each_branch(self, shape: Any):
        with pytest.raises(ValueError, match=r"Parallel: expected a tuple of 2 inputs, got \("):
            Parallel(Tanh(), Tanh()).spec(shape)

    def test_parallel_of_one_is_a_mistake(self):
        with pytest.raises(ValueError, match="at least two layers, got 1"):
            Parallel(Tanh())

    @pytest.mark.parametrize("shape", [(3, 4), ((3, 4),), ((3, 4), (2, 4)), ((3, 4), (4,))])
    def test_concat_joins_the_last_axis_only(self, shape: Any):
        with pytest.raises(ValueError, match="Concat: expected two or more inputs that differ on the last axis only"):
            Concat().spec(shape)

    def test_flops_add_up_along_and_across(self):
        """Each child is asked with the shape that reaches it."""
        conv, dense = Conv2d(2, 3, 3, stride=2), Dense(12, 5)
        net = Sequential(Parallel(Sequential(conv, Flatten(), dense), Dense(7, 4)), Concat(), Residual(Dense(9, 9)))
        expected = conv.flops((4, 4, 2)) + dense.flops((12,)) + 2 * 7 * 4 + 2 * 9 * 9
        assert net.flops(((4, 4, 2), (7,))) == expected


class Packed(Tanh):
    """A layer that looks at packs of `group` samples."""

    def __init__(self, group: int | None) -> None:
        super().__init__()
        self.group = group


class TestGroups:
    @pytest.mark.parametrize(
        ("groups", "series", "parallel"),
        [((), 1, 1), ((1, 1), 1, 1), ((2, 3), 6, 6), ((2, 4), 8, 4), ((2, 2), 4, 2), ((2, None), None, None)],
    )
    def test_packs_of_packs_multiply_in_series_and_meet_in_parallel(self, groups: Any, series: Any, parallel: Any):
        layers: list[Layer] = [Packed(group) for group in groups]
        assert combined_group(layers, in_series=True) == series
        assert combined_group(layers, in_series=False) == parallel

    def test_composites_combine(self):
        assert Sequential(Packed(2), Tanh(), Packed(3)).group == 6
        assert Parallel(Packed(2), Sequential(Packed(4))).group == 4
        assert Residual(Packed(4), Packed(2)).group == 4


class TestSweeps:
    def test_an_empty_sequential_is_the_identity(self, ops: Ops):
        net, x = Sequential(), np.ones((2, 3))
        y, cache = net.forward(ops, net.init(0, (3,)), x)
        dx, tape = net.backward(ops, net.init(0, (3,)), cache, x)
        assert net.spec((3,)) == ((3,), {})
        assert y is dx is net.double_backward(ops, net.init(0, (3,)), tape, x)[0] is x

    def test_residual_adds(self, ops: Ops):
        block = Residual(Dense(3, 3, "tanh"), Dense(3, 3))
        p, x = random_params(block, (3,), seed=0), random_inputs((3,), 2, seed=0)
        y, _ = block.forward(ops, p, x)
        branch, skip = (child.forward(ops, p[name], x)[0] for name, child in block.children().items())
        np.testing.assert_array_equal(y, branch + skip)

    def test_residual_does_not_add_into_what_the_skip_hands_through(self, ops: Ops):
        """The identity's dx is the caller's dy itself; dy + branch must go elsewhere."""
        block = Residual(Dense(3, 3))
        p, dy = random_params(block, (3,), seed=0), np.ones((2, 3))
        _, cache = block.forward(ops, p, np.ones((2, 3)))
        dx, _ = block.backward(ops, p, cache, dy)
        assert dx is not dy
        np.testing.assert_array_equal(dy, 1)

    def test_concat_keeps_the_order(self, ops: Ops):
        a, b = np.full((2, 1), 1.0), np.full((2, 2), 2.0)
        y, cache = Concat().forward(ops, {}, (a, b))
        assert y.tolist() == [[1, 2, 2], [1, 2, 2]]
        assert [piece.tolist() for piece in Concat().backward(ops, {}, cache, y)[0]] == [a.tolist(), b.tolist()]

    def test_concat_reads_none_as_zeros(self, ops: Ops):
        """In the second order a label moves nothing: its piece of ddy is 0, not what memory happened to hold."""
        _, cache = Concat().forward(ops, {}, (np.ones((2, 1)), np.ones((2, 2))))
        ops.workspace.poison()
        ddy, _ = Concat().double_backward(ops, {}, cache, (np.ones((2, 1)), None))
        assert ddy.tolist() == [[1, 0, 0], [1, 0, 0]]
        assert Concat().double_backward(ops, {}, cache, (None, None)) == (None, None)

    def test_the_third_sweep_starts_at_the_last_curve(self, ops: Ops):
        """Layers behind it are linear and owe nothing: they are not run, so their parameters get no gradient."""
        net = Sequential(Dense(3, 3, "tanh"), LeakyReLU(), Dense(3, 1))
        p, x = random_params(net, (3,), seed=0), random_inputs((3,), 4, seed=0)
        _, cache = net.forward(ops, p, x)
        _, tape = net.backward(ops, p, cache, np.ones((4, 1)))
        _, extra = net.double_backward(ops, p, tape, x)
        assert list(extra) == ["dense1"]
        g = p.like()
        ops.calls.clear()
        net.backward(ops, p, cache, None, g, extra=extra, need_dx=False)
        assert (g["dense2"]["W"] == 0).all()
        assert (g["dense1"]["W"] != 0).all()
        assert ops.calls == {"activation_grad": 1, "matmul": 1}

    def test_a_network_of_linear_pieces_owes_nothing(self, ops: Ops):
        net = Sequential(Conv2d(2, 3, 3), LeakyReLU(), Flatten(), Dense(12, 1))
        p, x = random_params(net, (2, 2, 2), seed=0), random_inputs((2, 2, 2), 4, seed=0)
        _, cache = net.forward(ops, p, x)
        _, tape = net.backward(ops, p, cache, np.ones((4, 1)))
        assert net.double_backward(ops, p, tape, x)[1] is None

    @pytest.mark.parametrize("skip", [ScaleShift(2.0), Flatten(), Sequential(ScaleShift(2.0))])
    def test_a_branch_that_keeps_no_tape_has_its_part_in_the_second_order(self, skip: Layer):
        """Fixed linear layers need none, and a branch into which nothing was sent has none: these are two things."""
        assert check_layer(Residual(Dense(4, 4, "tanh"), skip), (4,)).require().second_order

    def test_frozen_and_unneeded_work_is_not_done(self, ops: Ops):
        """g=None skips the weight gradients, need_dx=False the first layer's input gradient: counted, not timed."""
        net = Sequential(Conv2d(2, 3, 3), Conv2d(3, 2, 3))
        p, x = random_params(net, (4, 4, 2), seed=0), random_inputs((4, 4, 2), 2, seed=0)
        y, cache = net.forward(ops, p, x)
        ops.calls.clear()
        net.backward(ops, p, cache, y)
        assert (ops.calls["conv2d_weight_grad"], ops.calls["conv2d_input_grad"]) == (0, 2)
        ops.calls.clear()
        net.backward(ops, p, cache, y, p.like(), need_dx=False)
        assert (ops.calls["conv2d_weight_grad"], ops.calls["conv2d_input_grad"]) == (2, 1)

    def test_an_embedding_beside_an_image_gets_its_gradient(self, ops: Ops):
        """Only rows whose label occurs; the label itself gets None."""
        net = Sequential(Parallel(Tanh(), Embedding(4, 2)), Concat())
        p = random_params(net, ((3,), ()), seed=0)
        x = random_inputs((3,), 3, seed=0), np.array([2, 0, 2])
        y, cache = net.forward(ops, p, x)
        g = p.like()
        dx, _ = net.backward(ops, p, cache, np.ones_like(y), g)
        assert dx[1] is None
        assert g["parallel1"]["branch2"]["W"].tolist() == [[1, 1], [0, 0], [2, 2], [0, 0]]
