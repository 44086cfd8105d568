"""A step taken apart: nothing counted twice, nothing lost, and FLOPs that add up to those of the networks."""

import numpy as np
import pytest

import kernels
from kernels import activation
from kernels.cpu import NumbaOps
from kernels.cpu.winograd_plan import plan, product_flops
from minigan import TrainConfig, Trainer
from minigan.bench import breakdown
from minigan.bench.breakdown import BETWEEN, Breakdown, Watch
from minigan.bench.results import Record
from minigan.bench.steps import step_flops
from minigan.bench.tables import least_seconds, tables
from minigan.bench.timing import Effort

from bench_documents import CEILINGS, document  # isort: skip


@pytest.fixture(autouse=True)
def on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernels to compile."""
    monkeypatch.setattr(breakdown, "BACKEND", "numpy")


def test_the_products_are_those_of_the_networks() -> None:
    """A step's FLOPs by its layers, which do without the gradients that nobody needs, and by its calls."""
    records = Breakdown("dcgan", 2).records(Effort(rounds=1, seconds=0.0, rest=0.0))
    trainer = Trainer(TrainConfig("dcgan", batch_size=2, backend="numpy"), (28, 28, 1))
    assert sum(record.flops for record in records) == step_flops(trainer, 2)
    assert all(record.bytes > 0 for record in records if record.labels["operation"] != BETWEEN)


def test_times_add_up_to_the_step() -> None:
    records = Breakdown("mlp", 2).records(Effort(rounds=1, seconds=0.0, rest=0.0))
    names = [record.labels["operation"] for record in records]
    assert names.count(BETWEEN) == 1
    assert {"matmul", "activation_grad", "adam", "fill"} <= set(names)
    assert len({tuple(record.labels.items()) for record in records}) == len(records)


def test_an_operation_inside_another_belongs_to_it() -> None:
    ops = kernels.get_ops("numpy")
    x, w = np.ones((3, 2), np.float32), np.ones((2, 5), np.float32)

    def step() -> None:
        ops.matmul(x, w, activation=activation("tanh"))
        ops.clip_norm(ops.matmul(x, w), 1.0)

    step()
    watch = Watch()
    watch.observe(ops)
    watch.begin()
    step()
    seconds = watch.end(1.0)
    assert {call.operation: watch.counts[call] for call in seconds} == {"matmul": 2, "clip_norm": 1, BETWEEN: 1}
    (product,) = (call for call in seconds if call.operation == "matmul")
    assert (product.shapes, product.how) == ("3×2 2×5", "NN")
    assert watch.costs[product] == (2 * 3 * 2 * 5, 4 * (6 + 10 + 15))
    assert 0.9 < sum(seconds.values()) <= 1.0  # the watch's own time is nobody's


def test_winograd_counts_the_products_that_it_does() -> None:
    """A 7x7 output of a 4x4 filter of stride 2 takes 8 x 8 points in place of 49 x 4 products a phase."""
    own = plan((64, 14, 14), (4, 4, 64, 128), (7, 7), (2, 2), (1, 1, 1, 1), np.dtype(np.float32))
    assert product_flops(own) == 2 * 64 * 64 * (4 * 64) * 128


def test_kn2row_counts_the_pairs_inside_the_image() -> None:
    """From 4x4 pixels to 2x2 by a 5x5 filter 49 of 100 windows and taps; the tests' channels suit any CPU's vectors."""
    ops, x, w = NumbaOps(np.float32), np.ones((16, 4, 4, 96), np.float32), np.ones((5, 5, 96, 96), np.float32)
    y = ops.conv2d(x, w, (2, 2), (1, 2, 1, 2))
    given = {"x": x, "w": w, "stride": (2, 2), "pads": (1, 2, 1, 2)}
    assert breakdown._cost(ops, "conv2d", given, y).flops == 2 * 49 * 16 * 96 * 96


@pytest.mark.parametrize(
    ("flops", "size", "seconds"),
    [(200 * 10**9, 1, 1.0), (0, 240 * 2**10, 2**10 / 20 * 240 / 1e9), (0, 1 << 14, (1 << 14) / 240e9)],
)
def test_the_least_time_is_that_of_flops_or_of_bytes(flops: int, size: int, seconds: float) -> None:
    record = Record({"calls": 1}, "numba", "", flops, size, 1.0, 1.0, 0.0, 1)
    assert least_seconds(record, CEILINGS) == pytest.approx(seconds)


def test_short_operations_share_a_row() -> None:
    label = {"preset": "mlp", "batch": 64, "shapes": "", "how": "", "calls": 1}
    times = {"long": 0.99, "short": 0.004, "shorter": 0.002}
    records = [Record(label | {"operation": name}, "numba", "", 10**9, 0, t, t, 0.0, 1) for name, t in times.items()]
    (table,) = tables(document("breakdown", *records))
    assert [row[0] for row in table.rows] == ["long", "2 others", "all"]
    assert table.rows[1][4:] == ["6.00", "1%", "10.00", ""]
