"""Pack and MinibatchStddev: who is whose neighbour, what is measured, and what they refuse; Projection by hand."""

from typing import Any

import numpy as np
import pytest

from kernels import Ops
from minigan.layer import Layer
from minigan.layers import Dense, Flatten, InstanceNorm, MinibatchStddev, Pack, Projection, Residual, Sequential


def run(ops: Ops, layer: Layer, x: np.ndarray) -> np.ndarray:
    return layer.forward(ops, layer.init(0, x.shape[1:], np.float64), x)[0]


def test_a_pack_holds_neighbours_one_after_the_other_in_its_channels(ops: Ops):
    x = np.arange(4 * 2 * 3 * 2, dtype=np.float64).reshape(4, 2, 3, 2)
    packed = run(ops, Pack(2), x)
    assert packed.shape == (2, 2, 3, 4)
    np.testing.assert_array_equal(packed[0], np.concatenate([x[0], x[1]], axis=-1))
    np.testing.assert_array_equal(packed[1], np.concatenate([x[2], x[3]], axis=-1))


def test_packed_points_lie_side_by_side(ops: Ops):
    np.testing.assert_array_equal(run(ops, Pack(3), np.arange(12.0).reshape(6, 2)), np.arange(12.0).reshape(2, 6))


@pytest.mark.parametrize("group", [2, 3, 6, None])
def test_the_spread_of_each_group_by_numpy(ops: Ops, group: int | None):
    x = np.random.default_rng(0).standard_normal((6, 2, 3, 2))
    y = run(ops, MinibatchStddev(group, eps=1e-14), x)
    np.testing.assert_array_equal(y[..., :2], x)
    for start in range(0, 6, group or 6):
        own = slice(start, start + (group or 6))
        np.testing.assert_allclose(y[own, ..., 2], x[own].std(axis=0).mean(), rtol=1e-7)


def test_equal_samples_have_no_spread_and_a_finite_gradient(ops: Ops):
    """A collapsed batch, which is what the layer is there to show."""
    layer, x = MinibatchStddev(2), np.ones((4, 3))
    y, cache = layer.forward(ops, layer.init(0, (3,), np.float64), x)
    assert y[0, 3] == pytest.approx(1e-4)  # sqrt(eps)
    dx, tape = layer.backward(ops, layer.init(0, (3,)), cache, np.ones((4, 4)))
    assert np.isfinite(dx).all()
    ddy, extra = layer.double_backward(ops, layer.init(0, (3,)), tape, np.eye(4, 3))
    assert np.isfinite(ddy).all()
    assert np.isfinite(extra).all()


def test_coupling_is_counted_in_samples_of_the_batch():
    """A group of packs is as many samples; side by side the least common multiple holds."""
    assert Pack(3).group == 3
    assert Sequential(Pack(2), MinibatchStddev(4), Flatten()).group == 8
    assert Sequential(Pack(2), MinibatchStddev(None)).group is None
    assert Residual(MinibatchStddev(2), MinibatchStddev(3)).group == 6


@pytest.mark.parametrize(("layer", "name"), [(Pack(3), "Pack"), (MinibatchStddev(3), "MinibatchStddev")])
def test_a_batch_that_does_not_divide_is_refused(ops: Ops, layer: Layer, name: str):
    with pytest.raises(ValueError, match=f"{name}: a batch of 4 cannot be cut into groups of 3"):
        run(ops, layer, np.ones((4, 2)))


@pytest.mark.parametrize("size", [0, -1, 2.0])
@pytest.mark.parametrize("kind", [Pack, MinibatchStddev])
def test_sizes_are_whole_numbers_of_at_least_one(kind: Any, size: Any):
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected a whole number of samples of at least 1, got"):
        kind(size)


@pytest.mark.parametrize("layer", [Pack(2), MinibatchStddev(2)])
@pytest.mark.parametrize("shape", [(), ((2,), (3,))])
def test_one_array_is_expected(layer: Layer, shape: Any):
    with pytest.raises(ValueError, match=r"expected one input \(\.\.\., C\), got"):
        layer.spec(shape)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3,)])
def test_instance_norm_wants_pixels_to_compare(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"InstanceNorm: expected (images of more than one pixel|an image)"):
        InstanceNorm(3).spec(shape)


def test_instance_norm_takes_contrast_and_brightness_out_of_each_channel(ops: Ops):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 2))
    scale, shift = np.array([[2.0, 5.0], [0.5, 3.0]]), np.array([[1.0, -1.0], [4.0, 0.0]])
    changed = x * scale[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(run(ops, InstanceNorm(2), changed), run(ops, InstanceNorm(2), x), atol=1e-4)


def test_a_projection_adds_the_inner_product_with_the_labels_row(ops: Ops):
    net = Projection(3, 2)
    p = net.init(0, ((3,), ()), np.float64)
    assert list(p.named) == ["head/W", "head/b", "embed/W"]
    p["head"]["W"][:, 0], p["head"]["b"][:], p["embed"]["W"][...] = (1, 0, 2), 10, [[0, 1, 0], [5, 0, 5]]
    f = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    u, _ = net.forward(ops, p, (f, np.array([0, 1])))
    np.testing.assert_allclose(u, [[1 + 6 + 10 + 2], [1 + 6 + 10 + 5 + 15]])
    assert net.flops(((3,), ())) == 2 * Dense(3, 1).flops((3,))


@pytest.mark.parametrize("shape", [(3,), ((3,),), ((3,), (2,)), ((2, 3), ())])
def test_a_projection_reads_flat_features_and_a_label(shape: Any):
    with pytest.raises(ValueError, match="Projection: expected"):
        Projection(3, 2).spec(shape)
