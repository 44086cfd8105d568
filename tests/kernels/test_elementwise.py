"""Element-wise operations, sums, moving data and the cross-entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import Activation, Ops, activation
from minigan.testing import activations, batches, feature_shapes, image_shapes, seeds

SHAPES = image_shapes() | feature_shapes()


def numbers(ops: Ops, seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(ops.dtype) for shape in shapes]


def assert_close(ops: Ops, actual: np.ndarray, expected: np.ndarray) -> None:
    tolerance = {"float32": 1e-5, "float64": 1e-13}[ops.dtype.name]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@given(act=activations(), shape=SHAPES, n=batches(), seed=seeds(), given_dy=st.booleans(), given_extra=st.booleans())
def test_activation_grad(new_ops, act: Activation | None, shape, n: int, seed: int, given_dy: bool, given_extra: bool):
    """dz = dy f' + extra with either of them left out, and the bias gradient on top of what was there."""
    ops = new_ops()
    kept, dy, extra = numbers(ops, seed, *[(n, *shape)] * 3)
    (db,) = numbers(ops, seed + 1, shape[-1:])
    given_dy = given_dy or not given_extra
    expected = (dy * (1 if act is None else act.df(kept)) if given_dy else 0) + (extra if given_extra else 0)
    before = db.copy()
    dz = ops.activation_grad(act, dy if given_dy else None, kept, extra=extra if given_extra else None, db=db)
    assert_close(ops, dz, expected)
    assert_close(ops, db, before + expected.reshape(-1, shape[-1]).sum(0))


@given(act=activations(), shape=SHAPES, n=batches(), seed=seeds())
def test_activation_double_grad(new_ops, act: Activation | None, shape, n: int, seed: int):
    ops = new_ops()
    kept, dy, ddz = numbers(ops, seed, *[(n, *shape)] * 3)
    ddy, extra = ops.activation_double_grad(act, ddz, dy, kept)
    assert_close(ops, ddy, ddz if act is None else ddz * act.df(kept))
    curvature = None if act is None else act.ddf(kept)
    assert (extra is None) == (curvature is None)
    if curvature is not None:
        assert_close(ops, extra, ddz * dy * curvature)
        assert ops.activation_double_grad(act, ddz, None, kept)[1] is None, "no dy, no extra"


def test_the_identity_hands_dy_through(ops: Ops):
    """No copy, so a chain of linear layers costs nothing for its activations."""
    (dy,) = numbers(ops, 0, (2, 3))
    assert ops.activation_grad(None, dy, dy) is dy
    assert ops.activation_double_grad(None, dy, dy, dy)[0] is dy


@given(shape=SHAPES, n=batches(), seed=seeds())
def test_sums(new_ops, shape, n: int, seed: int):
    ops = new_ops()
    (x,) = numbers(ops, seed, (n, *shape))
    assert_close(ops, ops.sum(x), x.sum(dtype=np.float64))
    assert_close(ops, ops.sum_rows(x), np.array([x[..., c].sum(dtype=np.float64) for c in range(shape[-1])]))
    assert_close(ops, ops.squared_norms(x), np.array([np.vdot(s, s) for s in x.astype(np.float64)]))


@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (0, 3)])
@pytest.mark.parametrize("accumulate", [False, True])
def test_sums_of_nothing(ops: Ops, shape: tuple[int, int], accumulate: bool):
    """No columns, or columns of no rows, which are zero."""
    out = np.ones(shape[1], ops.dtype)
    np.testing.assert_array_equal(ops.sum_rows(np.ones(shape, ops.dtype), out=out, accumulate=accumulate), accumulate)


@given(n=st.integers(1, 5), shape=SHAPES, seed=seeds())
def test_samples_times_numbers_of_their_own(new_ops, n: int, shape, seed: int):
    ops = new_ops()
    x, factors = numbers(ops, seed, (n, *shape), (n,))
    expected = np.array([factor * sample for sample, factor in zip(x, factors, strict=True)])
    np.testing.assert_array_equal(ops.scale_samples(x, factors), expected)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), shape=SHAPES, seed=seeds())
def test_split_undoes_concat(new_ops, sizes: list[int], shape, seed: int):
    ops = new_ops()
    pieces = numbers(ops, seed, *[(2, *shape[:-1], size) for size in sizes])
    joined = ops.concat(pieces, axis=-1)
    assert joined.shape == (2, *shape[:-1], sum(sizes))
    for piece, again in zip(pieces, ops.split(joined, sizes), strict=True):
        np.testing.assert_array_equal(piece, again)
        assert not np.shares_memory(piece, joined)


@pytest.mark.parametrize("axis", [0, -2])
def test_concat_along_another_axis(ops: Ops, axis: int):
    """Real and fake batches become one of 2N."""
    a, b = numbers(ops, 0, (2, 3, 4), (5, 3, 4)) if axis == 0 else numbers(ops, 0, (2, 3, 4), (2, 1, 4))
    np.testing.assert_array_equal(ops.concat([a, b], axis), np.concatenate([a, b], axis))


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=9), seed=seeds())
def test_gather_and_scatter_are_adjoint(new_ops, labels: list[int], seed: int):
    """<W[i], dy> = <W, scatter(dy)>; a label that occurs twice gets both gradients."""
    ops = new_ops()
    index = np.array(labels)
    rng = np.random.default_rng(seed)
    w, dy, before = (rng.integers(-5, 6, s).astype(ops.dtype) for s in ((4, 3), (len(labels), 3), (4, 3)))
    np.testing.assert_array_equal(ops.gather_rows(w, index), w[index])
    dw = before.copy()
    ops.scatter_add_rows(dw, index, dy)
    assert (w[index] * dy).sum() == (w * (dw - before)).sum()
    assert set(np.flatnonzero((dw != before).any(1))) <= set(labels)


@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=9), shape=SHAPES, seed=seeds())
def test_samples_of_a_data_set(new_ops, rows: list[int], shape, seed: int):
    """Pixels as u/127.5 - 1 rounds in the backend's arithmetic; all else as it is."""
    ops, rng = new_ops(), np.random.default_rng(seed)
    pixels, index = rng.integers(0, 256, (6, *shape), dtype=np.uint8), np.array(rows)
    pixels[0], pixels[1] = 0, 255
    real = ops.dtype.type
    np.testing.assert_array_equal(ops.gather_samples(pixels, index), pixels[rows] / real(127.5) - real(1))
    assert ops.gather_samples(pixels, np.array([0, 1])).reshape(2, -1)[:, 0].tolist() == [-1, 1]
    (numbers_kept,) = numbers(ops, seed, (6, *shape))
    np.testing.assert_array_equal(ops.gather_samples(numbers_kept, index), numbers_kept[rows])
    labels = ops.gather_samples(np.arange(10, 16), index)
    assert labels.dtype == np.int64
    assert labels.tolist() == [10 + row for row in rows]


class TestSoftmaxCrossEntropy:
    def test_against_the_definition(self, ops: Ops):
        (logits,) = numbers(ops, 0, (5, 4))
        labels = np.array([0, 3, 1, 1, 2])
        value, gradient = ops.softmax_cross_entropy(logits, labels)
        odds = np.exp(logits.astype(np.float64))
        softmax = odds / odds.sum(1, keepdims=True)
        assert_close(ops, value, -np.log(softmax[np.arange(5), labels]).mean())
        assert_close(ops, gradient, (softmax - np.eye(4)[labels]) / 5)
        assert value.shape == ()

    @pytest.mark.parametrize("size", [1e2, 1e4])
    def test_far_out(self, ops: Ops, size: float):
        """Sure and right costs nothing, sure and wrong costs the distance; nothing overflows."""
        logits = np.array([[size, 0], [size, 0]], ops.dtype)
        right, wrong = np.array([0, 0]), np.array([1, 1])
        value, gradient = ops.softmax_cross_entropy(logits, right)
        assert_close(ops, value, np.float64(0))
        assert_close(ops, gradient, np.zeros((2, 2)))
        value, gradient = ops.softmax_cross_entropy(logits, wrong)
        assert_close(ops, value, np.float64(size))
        assert_close(ops, gradient, np.array([[0.5, -0.5], [0.5, -0.5]]))

    def test_a_common_shift_changes_nothing_but_rounding(self, ops: Ops):
        (logits,) = numbers(ops, 0, (5, 4))
        labels = np.array([0, 3, 1, 1, 2])
        value, gradient = ops.softmax_cross_entropy(logits, labels)
        shifted, same = ops.softmax_cross_entropy(logits + ops.dtype.type(8), labels)
        np.testing.assert_allclose(shifted, value, rtol=1e-5)
        np.testing.assert_allclose(same, gradient, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (5, 7001)])
def test_fill_clears_nan(ops: Ops, shape: tuple[int, int]):
    x = np.full((shape[0] + 2, shape[1]), np.nan, ops.dtype)
    ops.fill(x[1:-1], 0.5)
    np.testing.assert_array_equal(x[1:-1], 0.5)
    assert np.isnan(x[[0, -1]]).all()


def test_clip_keeps_what_lies_between_and_shows_nan(ops: Ops):
    x = np.array([-2, -0.5, 0.25, 3, np.nan], ops.dtype)
    ops.clip(x, -1, 1)
    np.testing.assert_array_equal(x, [-1, -0.5, 0.25, 1, np.nan])


def test_activation_of_its_own_is_that_of_the_table(ops: Ops):
    (x,) = numbers(ops, 0, (3, 4))
    act = activation("silu")
    assert_close(ops, ops.activation(x, act), x / (1 + np.exp(-x.astype(np.float64))))
