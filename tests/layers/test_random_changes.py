"""InstanceNoise and DiffAugment: what they draw, and that the gradient goes back by the way on which the image came."""

import numpy as np
import pytest

import kernels
from kernels import Ops
from minigan.layers import DiffAugment, InstanceNoise
from minigan.layers.augmentation import KINDS
from minigan.params import ParamSet

SHAPE = (16, 8, 2)


def at_start(layer: DiffAugment | InstanceNoise) -> ParamSet:
    return layer.init(0, SHAPE, np.float64)


def test_noise_has_the_standard_deviation_of_the_state(ops: Ops):
    layer, x = InstanceNoise(0.5), np.full((40, *SHAPE), 3.0)
    p = at_start(layer)
    assert (layer.forward(ops, p, x)[0] - x).std() == pytest.approx(0.5, rel=0.02)
    p["std"][...] = 0.25
    y, _ = layer.forward(ops, p, x)
    assert (y - x).std() == pytest.approx(0.25, rel=0.02)
    assert not np.array_equal(layer.forward(ops, p, x)[0], y)  # every pass has its own
    p["std"][...] = 0
    np.testing.assert_array_equal(layer.forward(ops, p, x)[0], x)


@pytest.mark.parametrize("layer", [InstanceNoise(0.5), DiffAugment(*KINDS)])
def test_eval_mode_leaves_samples_alone(ops: Ops, layer: DiffAugment | InstanceNoise):
    x = np.random.default_rng(0).standard_normal((3, *SHAPE))
    assert layer.forward(ops, at_start(layer), x, train=False)[0] is x


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_repeated_draws_the_same(ops: Ops, kind: str):
    layer, x = DiffAugment(kind), np.random.default_rng(0).standard_normal((5, *SHAPE))
    made = []
    for step in (3, 3, 4):
        ops.begin_step(step)
        made.append(layer.forward(ops, at_start(layer), x)[0].copy())
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_translation_moves_by_up_to_an_eighth_each_way(ops: Ops):
    """One bright pixel in the middle tells where each image went."""
    layer, x = DiffAugment("translation"), np.zeros((400, *SHAPE))
    x[:, 8, 4] = 1
    y, changes = layer.forward(ops, at_start(layer), x)
    places = np.argwhere(y[..., 0] == 1)
    np.testing.assert_array_equal(places[:, 1:] - (8, 4), changes.shift)
    assert {tuple(shift) for shift in changes.shift.tolist()} == {(i, j) for i in range(-2, 3) for j in range(-1, 2)}
    moved = layer.forward(ops, at_start(layer), np.ones((400, *SHAPE)))[0]
    assert set(np.unique(moved)) == {0.0, 1.0}  # what was outside is 0


def test_a_hole_has_half_of_each_side_and_a_middle_anywhere(ops: Ops):
    layer = DiffAugment("cutout")
    y, changes = layer.forward(ops, at_start(layer), np.ones((2000, *SHAPE)))
    sizes = (y[..., 0] == 0).sum((1, 2))
    top, bottom, left, right = changes.hole.T
    np.testing.assert_array_equal(sizes, (bottom - top) * (right - left))
    assert sizes.max() == 8 * 4
    assert sizes.min() == 4 * 2  # its middle in a corner: the first pixel of the second half
    assert (y[0, top[0] : bottom[0], left[0] : right[0]] == 0).all()
    assert {0, 15} <= set(np.concatenate([top, bottom - 1]).tolist())
    covered = (y[..., 0] == 0).mean(0)
    assert covered.min() > 0.05  # corners too


def test_brightness_is_one_number_an_image(ops: Ops):
    layer, x = DiffAugment("brightness"), np.zeros((500, *SHAPE))
    y, _ = layer.forward(ops, at_start(layer), x)
    assert (y.reshape(500, -1).std(1) == 0).all()
    assert -0.5 < y.min() < -0.48
    assert 0.48 < y.max() < 0.5


@pytest.mark.parametrize("kinds", [("translation",), ("cutout",), ("translation", "cutout", "brightness")])
def test_the_gradient_goes_back_by_the_same_way(kinds: tuple[str, ...]):
    """<A dx, dy> = <dx, A^T dy> in whole numbers, with A the second order's own sweep."""
    layer, ops, rng = DiffAugment(*kinds), kernels.get_ops("numpy", dtype=np.float64), np.random.default_rng(0)
    x, dy = rng.integers(-5, 6, (2, 9, *SHAPE)).astype(np.float64)
    p = at_start(layer)
    _, changes = layer.forward(ops, p, x)
    dx, tape = layer.backward(ops, p, changes, dy)
    along, extra = layer.double_backward(ops, p, tape, x)
    assert extra is None
    assert (along * dy).sum() == (x * dx).sum()
    assert dx.any()


@pytest.mark.parametrize(
    ("kinds", "complaint"), [(("blur",), "got 'blur'"), ((), "expected at least one of translation, cutout")]
)
def test_kinds_that_there_are_not(kinds: tuple[str, ...], complaint: str):
    with pytest.raises(ValueError, match=f"DiffAugment: .*{complaint}"):
        DiffAugment(*kinds)


@pytest.mark.parametrize("std", [-0.1, float("nan")])
def test_a_standard_deviation_is_not_negative(std: float):
    with pytest.raises(ValueError, match="InstanceNoise: expected a standard deviation of at least 0, got"):
        InstanceNoise(std)
