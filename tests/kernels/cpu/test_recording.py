"""Calls that are recorded and launched: every operation, NumPy's functions of buffers, and what is refused."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from operation_calls import CALLS, OPERATIONS, WRITTEN, Maker, arrays_in, run

import kernels
from kernels import Ops, Use
from kernels.cpu import NumbaOps
from kernels.cpu.calls import recorded, recording
from kernels.cpu.ladder.conv import FORWARD
from kernels.cpu.ladder.matmul import PRODUCTS
from kernels.types import Array
from minigan.losses import LOSSES, get_loss

NUMBERS = [(0.1, 3, 0)] * 2
"""Learning rate and number of an update as in the table of calls."""


@pytest.fixture
def ops() -> Ops:
    return kernels.get_ops("numba")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_launches_compute_what_a_call_computes(ops: Ops, operation: str) -> None:
    """On what its arguments hold by then, again and again; recording itself changes nothing."""
    expected, expected_written = run(kernels.get_ops("numba"), operation)
    arguments, start = (CALLS[operation](Maker(ops.dtype)) for _ in range(2))

    def work() -> Any:
        ops.next_numbers()
        return getattr(ops, operation)(**arguments)

    launch, result = ops.capture(work)
    assert not recording()
    held = [(array, before) for name in arguments for array, before in _pairs(arguments[name], start[name])]
    for array, before in held:
        np.testing.assert_array_equal(array, before)
    ops.set_numbers(NUMBERS)
    for _ in NUMBERS:
        for array, before in held:
            array[...] = before
        launch()
        written = [arguments[name] for name in WRITTEN.get(operation, ())]
        for actual, wanted in zip([*arrays_in(result), *written], [*expected, *expected_written.values()], strict=True):
            np.testing.assert_array_equal(actual, wanted)


def _pairs(one: Any, other: Any) -> list[tuple[Array, Array]]:
    return list(zip(arrays_in(one), arrays_in(other), strict=True))


@pytest.mark.parametrize("rung", [*PRODUCTS, *FORWARD])
def test_so_do_rungs_of_the_ladders(rung: str) -> None:
    """With transposed operands and sums, too."""
    ops, eager = NumbaOps(np.float32), NumbaOps(np.float32)
    for each in (ops, eager):
        each.matmul_rung, each.convolution = (rung, "auto") if rung in PRODUCTS else ("parallel", rung)
    new = Maker(ops.dtype)
    a, b, start = new(5, 4), new(3, 5), new(4, 3)
    image = CALLS["conv2d"](new)

    def work(ops: NumbaOps, y: Array) -> tuple[Array, Array]:
        return ops.conv2d(**image), ops.matmul(a, b, trans_a=True, trans_b=True, out=y, accumulate=True)

    expected = [array.copy() for array in work(eager, start.copy())]
    y = start.copy()
    launch, result = ops.capture(lambda: work(ops, y))
    launch()
    for actual, wanted in zip(result, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def _in_place(x: Array) -> Array:
    x *= 2
    x[1:] += x[:-1]
    x[0] = 3
    x[-1] = x[0]
    return x


FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "operators": lambda x: (1 - x, x / 3 + 2, -x, x**2, 1 / (x * x + 1), x @ x.T),
    "comparisons": lambda x: ((x > 0).astype(x.dtype), ~np.isfinite(x)),
    "functions": lambda x: (np.where(x >= 0, 1, np.exp(-np.abs(x))), np.maximum(x, 0), np.log1p(np.exp(x))),
    "where": lambda x: (np.add(x, 1, where=x > 0, out=x.copy()), x.sum(where=x > 1), np.add.reduce(x, where=x > 1)),
    "like": lambda x: (np.ones_like(x), np.zeros_like(x), np.full_like(x, 2.5)),
    "reductions": lambda x: (x.sum(), x.sum(keepdims=True) / x.size, x.mean(), x.std() / 2, x.max(axis=0), x.any()),
    "views": lambda x: (x[0], x[0, 1] * 2, x[1:, ::2] + 1, x.reshape(-1)[3] - 1, x.swapaxes(0, 1) * x.T, x.ravel()[1]),
    "parts": lambda x: [part * i for i, part in enumerate(np.split(x, 2))],
    "rows": lambda x: [row.mean() for row in x],
    "copies": lambda x: (x.copy(), x.astype(np.float64)),
    "out": lambda x: np.sqrt(np.abs(x, out=np.empty_like(x)), out=np.empty_like(x)),
    "in place": _in_place,
    "filled": lambda x: x.fill(7) or x,
    **{f"D's loss, {name}": lambda x, name=name: get_loss(name).d_loss(x[:, :1], x[:, 1:2]) for name in LOSSES},
    **{f"G's loss, {name}": lambda x, name=name: get_loss(name).g_loss(x[:, :1], x[:, 1:2]) for name in LOSSES},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_numpy_does_with_a_buffer_is_recorded(ops: Ops, name: str) -> None:
    """With the bits and the types that it has at once."""
    function, source, new = FUNCTIONS[name], np.zeros((4, 6), np.float32), Maker(np.dtype(np.float32))
    launch, result = ops.capture(lambda: function(ops.scale_shift(source, 1.0)))
    for _ in range(3):
        source[...] = new(4, 6)
        launch()
        expected = function(source.copy())
        assert isinstance(expected, tuple | list) == isinstance(result, tuple | list)
        pairs = zip(result, expected, strict=True) if isinstance(expected, tuple | list) else [(result, expected)]
        for actual, wanted in pairs:
            assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_array_equal(np.asarray(actual), wanted)


def test_universal_functions_write_where_their_result_lies(ops: Ops) -> None:
    """A function that makes an array, to be copied there, takes twice the time."""
    with recorded() as calls:
        x = ops.scale_shift(np.zeros((4, 6), np.float32), 1.0)
        np.exp(-x)
    assert [function.func for function, _ in calls[1:]] == [np.negative, np.exp]


def test_numbers_of_a_plain_array_are_recorded_where_a_buffer_takes_part(ops: Ops) -> None:
    total, source = np.zeros(3, np.float32), np.ones(3, np.float32)

    def work() -> None:
        nonlocal total
        same, doubled = total, ops.scale_shift(source, 2.0)
        total += doubled
        assert total is same

    launch, _ = ops.capture(work)
    assert not total.any()
    launch()
    launch()
    np.testing.assert_array_equal(total, 4)


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (float, "__float__"),
        (bool, "__bool__"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.item(), "item"),
        (lambda x: x.argmax(), "argmax"),
        (np.sort, "numpy.sort"),
        (lambda x: np.add.at(x, 0, 1), "numpy.add.at"),
        (np.modf, "numpy.modf"),
        (lambda x: np.divmod(x, 2, out=(x, x.copy())), "numpy.divmod"),
        (lambda x: x[np.array([1, 0])], "an index that copies"),
        (lambda x: x.T.reshape(-1), "a reshape that copies"),
    ],
)
def test_a_look_at_what_is_not_there_yet_is_refused(ops: Ops, look: Callable[[Array], Any], told: str) -> None:
    """And leaves nothing behind."""
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=f"^{told}.* record"):
        ops.capture(lambda: look(ops.scale_shift(x, 2.0)))
    assert not recording()
    np.testing.assert_array_equal(ops.scale_shift(x, 2.0), 2)


def test_a_buffer_that_was_recorded_is_an_array_like_any_other_afterwards(ops: Ops) -> None:
    launch, y = ops.capture(lambda: ops.scale_shift(np.arange(3, dtype=np.float32), 2.0))
    launch()
    assert [float(v) for v in y] == y.tolist() == [0, 2, 4]
    assert (y.argmax(), bool(y.any()), y[np.array([2])].tolist()) == (2, True, [4])
    y += 1
    y[0] = 5
    np.testing.assert_array_equal(np.sort(ops.add(y, y)), [6, 10, 10])
    assert type(y + 1) is type(y.copy()) is np.ndarray


def test_a_recording_within_a_recording_is_refused(ops: Ops) -> None:
    with pytest.raises(RuntimeError, match="a recording within a recording"):
        ops.capture(lambda: ops.capture(lambda: None))
    assert not recording()


def test_other_threads_go_on_meanwhile(ops: Ops) -> None:
    other, found = kernels.get_ops("numba"), []
    x = np.ones(3, np.float32)

    def work() -> Array:
        thread = threading.Thread(target=lambda: found.append(other.scale_shift(x, 3.0)))
        thread.start()
        thread.join()
        return ops.scale_shift(x, 2.0)

    launch, y = ops.capture(work)
    np.testing.assert_array_equal(found[0], 3)
    launch()
    np.testing.assert_array_equal(y, 2)


def test_launches_take_the_numbers_announced(ops: Ops) -> None:
    """Learning rate and count of an optimizer, step of the random numbers; what comes after a launch is not touched."""
    eager, steps = kernels.get_ops("numba"), [(0.1, 1, 4), (0.2, 2, 9)]
    (p, g, m, v), wanted = (np.ones((4, 7), np.float32) for _ in range(2))
    guard, how = np.zeros((), np.float32), {"beta1": 0.5, "beta2": 0.25, "eps": 0.1, "weight_decay": 0.2}

    def work() -> Array:
        ops.next_numbers()
        ops.adam(p, g, m, v, None, guard, lr=9.0, step=99, **how)
        return ops.random_normal((5,), Use.SAMPLE)

    launch, drawn = ops.capture(work)
    ops.set_numbers(steps)
    for lr, count, step in steps:
        launch()
        eager.adam(*wanted, None, guard, lr=lr, step=count, **how)
        eager.begin_step(step)
        np.testing.assert_array_equal(drawn, eager.random_normal((5,), Use.SAMPLE))
        np.testing.assert_array_equal(p, wanted[0])
    with pytest.raises(StopIteration):
        launch()


@pytest.mark.parametrize("operation", ["sgd", "rmsprop", "adam"])
def test_each_launch_looks_at_the_guard(ops: Ops, operation: str) -> None:
    arguments = CALLS[operation](Maker(ops.dtype))
    p, guard = arguments["p"], arguments["guard"]

    def work() -> None:
        ops.next_numbers()
        getattr(ops, operation)(**arguments)

    launch, _ = ops.capture(work)
    ops.set_numbers(NUMBERS)
    before = p.copy()
    guard[...] = np.nan
    launch()
    np.testing.assert_array_equal(p, before)
    guard[...] = 1
    launch()
    assert (p != before).all()


def test_a_norm_is_clipped_where_a_launch_finds_it_too_long(ops: Ops) -> None:
    g = np.ones(4, np.float32)
    launch, norm = ops.capture(lambda: ops.clip_norm(g, 1.0))
    launch()
    assert (norm.tolist(), g.tolist()) == (2, [0.5] * 4)
    g.fill(0.25)
    launch()
    assert (norm.tolist(), g.tolist()) == (0.5, [0.25] * 4)


def test_launches_tell_of_no_overflow(ops: Ops) -> None:
    """As on a GPU: an optimizer's guard sees it; warnings are errors here."""
    x = np.full(2, 1e38, np.float32)
    launch, y = ops.capture(lambda: ops.scale_shift(x, 1.0) * np.float32(10))
    launch()
    assert np.isinf(y).all()
