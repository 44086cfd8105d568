"""Rows of numbers for launches to come: taken one after the other, by hand or by a graph at each launch."""

import numpy as np
import pytest
from strict_device import StrictRuntime

from kernels import CounterRng, Use
from kernels.cuda import CudaOps
from kernels.cuda.emulator import EmulatorRuntime, why_not
from kernels.cuda.ops.device import MOST_UPDATES
from kernels.cuda.ops.tape import Tape

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ORDERS = ("forward", "reverse", "random:1", "warps")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [1, 3, 300])
def test_rows_come_one_after_the_other(order: str, width: int) -> None:
    """A row that is longer than a block, too, in a build that watches every access."""
    runtime = EmulatorRuntime(order, build="checked", guard="end")
    row = runtime.to_device(np.zeros(width, np.int64))
    tape = Tape(runtime, row, most=3)
    rows = np.random.default_rng(0).integers(-(2**63), 2**63, (3, width))
    for again in (rows, rows[::-1], rows[:1]):
        tape.write(again)
        for expected in again:
            tape.next()
            np.testing.assert_array_equal(runtime.to_host(row), expected)


def test_a_graph_takes_a_row_each_time(strict_runtime: StrictRuntime) -> None:
    row = strict_runtime.to_device(np.zeros(2))
    tape = Tape(strict_runtime, row, most=4)
    tape.write(np.array([[1.0, 2.0]]))
    tape.next()
    graph = strict_runtime.capture(tape.next)
    np.testing.assert_array_equal(strict_runtime.to_host(row), [1, 2])
    tape.write(np.arange(8.0).reshape(4, 2))
    for expected in ([0, 1], [2, 3], [4, 5], [6, 7]):
        graph.launch()
        np.testing.assert_array_equal(strict_runtime.to_host(row), expected)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2,)])
def test_rows_that_do_not_fit_are_refused(shape: tuple[int, ...], strict_runtime: StrictRuntime) -> None:
    tape = Tape(strict_runtime, strict_runtime.to_device(np.zeros(2)), most=2)
    with pytest.raises(ValueError, match=r"^tape: expected at most 2 rows of 2, got \("):
        tape.write(np.zeros(shape))


def test_the_numbers_of_updates_reach_the_kernels(strict_runtime: StrictRuntime) -> None:
    """Rates, counts and steps of three updates: SGD moves by the rate, and draws are those of the step."""
    ops = CudaOps(strict_runtime, np.float32, rng=CounterRng(5))
    p, g, guard = (ops.to_device(np.ones(shape, np.float32)) for shape in ((1,), (1,), ()))

    def update() -> object:
        ops.next_numbers()
        ops.rng.begin(0)
        ops.workspace.reset()
        ops.sgd(p, g, None, guard, lr=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
        return ops.random_uniform((3,), Use.SAMPLE)

    ops.set_numbers([(0.5, 1, 0)])
    update()
    launch, drawn = ops.capture(update)
    numbers = [(0.25, 1, 7), (0.125, 2, 2**32 - 1), (1.0, 3, 0)]
    ops.set_numbers(numbers)
    for rate, _, step in numbers:
        before = ops.to_host(p)
        launch()
        assert ops.to_host(p) == before - np.float32(rate)
        expected = CounterRng(5)
        expected.begin(step)
        np.testing.assert_array_equal(ops.to_host(drawn), expected.uniform((3,), Use.SAMPLE).astype(np.float32))
    ops.rng.begin(2**32 - 1)  # by hand again: the host knows of no launch what step it left behind
    expected.begin(2**32 - 1)
    by_hand = ops.to_host(ops.random_uniform((3,), Use.SAMPLE))
    np.testing.assert_array_equal(by_hand, expected.uniform((3,), Use.SAMPLE).astype(np.float32))


def test_numbers_of_too_many_updates_are_refused(strict_runtime: StrictRuntime) -> None:
    with pytest.raises(ValueError, match=f"at most {MOST_UPDATES} rows of 3"):
        CudaOps(strict_runtime, np.float32).set_numbers([(0.1, 1, 0)] * (MOST_UPDATES + 1))


@pytest.fixture(scope="module")
def strict_runtime() -> StrictRuntime:
    return StrictRuntime()
