"""Every rung of the CUDA convolutions in the emulator: exact on whole numbers, within its bounds, the kernel meant.

Arrays end at memory that may not be touched, results are NaN before, and threads run in a random order. What holds for
every backend is the business of tests/kernels.
"""

from contextlib import nullcontext
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from recording import RecordingRuntime

from kernels import activation
from kernels.cuda.emulator import EmulatorRuntime, why_not
from kernels.cuda.instances.products import CONVOLUTION, CONVOLUTIONS, MATMUL
from kernels.cuda.ops import plan
from kernels.cuda.ops.columns import columns_of
from kernels.cuda.ops.products import CudaProducts
from kernels.reference import NumpyOps, naive
from kernels.types import Array
from minigan.testing import ConvCase, batches, conv_cases, seeds

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ORDERS = ("forward", "reverse", "random:1", "warps")
RUNGS = [(name, np.dtype(dtype)) for dtype in ("float32", "float64") for name in CONVOLUTION if "tf32" not in name]
RUNGS += [(name, np.dtype("float32")) for name in CONVOLUTION if "tf32" in name]
SQUARE = " on square tiles"
"""After the name of a rung: also where a narrow tile would do."""
RUNGS += [(name + SQUARE, dtype) for name, dtype in RUNGS if "tf32" in name]
each_rung = pytest.mark.parametrize(("rung", "dtype"), RUNGS, ids=lambda value: str(value))

RUNS = ConvCase((6, 5), (4, 3), (2, 1), (1, 2, 0, 1), 8, 4)
"""Channels in whole runs of 16 bytes, a stride that divides one side, pads that differ on every side."""
ODD = ConvCase((5, 7), (3, 2), (2, 3), "same", 3, 5)
"""No run is whole."""
IMAGES = ConvCase((8, 8), (4, 4), (2, 2), 1, 1, 12)
"""A discriminator's first layer; with the channels exchanged a generator's last one."""
SPARSE = ConvCase((7, 6), (1, 2), (3, 4), 0, 4, 4)
"""Phases without a tap: the stride is larger than the kernel."""
TINY = ConvCase((1, 1), (2, 2), (4, 3), (1, 0, 0, 1), 2, 3)
"""Phases without a pixel: the stride is larger than the image."""


class Trilinear:
    """x, w and y of a convolution, biases for both sides, and the three products of them on a rung."""

    def __init__(self, runtime: EmulatorRuntime, rung: str, dtype: np.dtype, case: ConvCase, n: int, seed: int) -> None:
        self.ops, self.case, self.geometry = CudaProducts(runtime, dtype), case, (case.stride, case.pads)
        self.ops.convolution = rung.removesuffix(SQUARE)
        self.square = rung.endswith(SQUARE)
        self.rng, self.n = np.random.default_rng(seed), n
        self.fill(lambda shape: self.rng.integers(-4, 5, shape))

    def fill(self, numbers) -> None:
        """Numbers of a shape for every operand."""
        case, dtype = self.case, self.ops.dtype
        self.x = numbers((self.n, *case.size, case.in_channels)).astype(dtype)
        self.w = numbers((*case.kernel, case.in_channels, case.out_channels)).astype(dtype)
        self.y = numbers((self.n, *case.windows, case.out_channels)).astype(dtype)
        self.wide, self.narrow = (numbers((side,)).astype(dtype) for side in self.w.shape[2:])

    def run(self, op: str, *operands: Array, like: Array, more: tuple = (), **options) -> Array:
        """An operation on copies on the device; the result was NaN before."""
        on_device = self.ops.to_device
        options = {name: on_device(v) if isinstance(v, np.ndarray) else v for name, v in options.items()}
        options.setdefault("out", on_device(np.full(like.shape, np.nan, like.dtype)))
        self.ops.begin_step(0)
        with mock.patch.object(plan, "fitting", lambda tiles, _: plan.square(tiles)) if self.square else nullcontext():
            return getattr(self.ops, op)(*map(on_device, operands), *self.geometry, *more, **options)

    def conv2d(self, **options) -> Array:
        return self.run("conv2d", self.x, self.w, like=self.y, **options)

    def conv2d_input_grad(self, **options) -> Array:
        return self.run("conv2d_input_grad", self.y, self.w, like=self.x, more=(self.case.size,), **options)

    def conv2d_weight_grad(self, **options) -> Array:
        return self.run("conv2d_weight_grad", self.x, self.y, like=self.w, more=(self.case.kernel,), **options)

    def expected(self) -> "Results":
        """By the loops of the definition."""
        return Results(
            naive.conv2d(self.x, self.w, *self.geometry),
            naive.conv2d_input_grad(self.y, self.w, *self.geometry, self.case.size),
            naive.conv2d_weight_grad(self.x, self.y, *self.geometry, self.case.kernel),
        )

    def assert_exact(self) -> None:
        expected = self.expected()
        np.testing.assert_array_equal(self.conv2d(bias=self.narrow), expected.y + self.narrow, strict=True)
        np.testing.assert_array_equal(self.conv2d_input_grad(bias=self.wide), expected.dx + self.wide, strict=True)
        np.testing.assert_array_equal(self.conv2d_weight_grad(), expected.dw, strict=True)


class Results(NamedTuple):
    y: Array
    dx: Array
    dw: Array


@pytest.fixture(scope="module")
def runtime() -> EmulatorRuntime:
    return EmulatorRuntime("random:1", guard="end")


@each_rung
@given(case=conv_cases(), n=batches(1, 3), seed=seeds())
@example(case=RUNS, n=2, seed=0)
@example(case=ODD, n=3, seed=0)
@example(case=IMAGES, n=2, seed=0)
@example(case=SPARSE, n=2, seed=0)
@example(case=TINY, n=2, seed=0)
@example(case=RUNS, n=0, seed=0)
@example(case=ConvCase((9, 8), (2, 2), (1, 1), "same", 5, 68), n=1, seed=0)
def test_convolutions(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, case: ConvCase, n: int, seed: int):
    Trilinear(runtime, rung, dtype, case, n, seed).assert_exact()


@pytest.mark.parametrize("rung", ["implicit", f"tf32{SQUARE}", f"3xtf32{SQUARE}"])
@pytest.mark.parametrize("case", [RUNS, ODD, ConvCase((12, 11), (2, 2), (1, 1), "same", 2, 132)], ids=str)
def test_large_tiles(runtime: EmulatorRuntime, monkeypatch: pytest.MonkeyPatch, rung: str, case: ConvCase):
    """On a chip that is full with one block, the largest tile is taken for everything."""
    monkeypatch.setattr(plan, "BLOCKS", 1)
    Trilinear(runtime, rung, np.dtype(np.float32), case, 1, seed=0).assert_exact()


@pytest.mark.parametrize("order", ORDERS)
@each_rung
def test_no_access_is_out_of_bounds_a_race_or_undefined(rung: str, dtype: np.dtype, order: str):
    """In the build that watches each of them."""
    watched = EmulatorRuntime(order, "checked", "front")
    for case in (RUNS, ODD, SPARSE, TINY) if order == "forward" else (RUNS,):
        Trilinear(watched, rung, dtype, case, 2, seed=0).assert_exact()


@each_rung
@given(case=conv_cases(max_side=12, max_channels=9, max_kernel=5), n=batches(1, 3), seed=seeds())
def test_the_three_are_derivatives_of_one_form(
    runtime: EmulatorRuntime, rung: str, dtype: np.dtype, case: ConvCase, n: int, seed: int
):
    """<conv2d(x, w), y> = <x, conv2d_input_grad(y, w)> = <w, conv2d_weight_grad(x, y)>, exactly: needs no oracle."""
    t = Trilinear(runtime, rung, dtype, case, n, seed)
    pairs = (t.conv2d(), t.y), (t.conv2d_input_grad(), t.x), (t.conv2d_weight_grad(), t.w)
    forms = [int((a.astype(np.int64) * b.astype(np.int64)).sum()) for a, b in pairs]
    assert forms[0] == forms[1] == forms[2]


@each_rung
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh"])
def test_bias_and_activation_are_fused(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, name: str):
    act = activation(name)
    bound = 4 * np.finfo(dtype).eps  # eighths have no rounding; curves may differ in their last bits
    t = Trilinear(runtime, rung, dtype, RUNS, 2, seed=1)
    t.fill(lambda shape: t.rng.integers(-4, 5, shape) / 8)
    expected = t.expected()
    y, dx = t.conv2d(bias=t.narrow, activation=act), t.conv2d_input_grad(bias=t.wide, activation=act)
    np.testing.assert_allclose(y, act.f(expected.y + t.narrow), rtol=bound, atol=bound)
    np.testing.assert_allclose(dx, act.f(expected.dx + t.wide), rtol=bound, atol=bound)


@each_rung
def test_a_phase_without_taps_is_f_of_the_bias(runtime: EmulatorRuntime, rung: str, dtype: np.dtype):
    t = Trilinear(runtime, rung, dtype, SPARSE, 1, seed=2)
    dx = t.conv2d_input_grad(bias=t.wide, activation=activation("relu"))
    np.testing.assert_array_equal(dx[0, 1, 2], np.maximum(t.wide, 0))


@each_rung
def test_pixels_under_no_window_do_not_matter(runtime: EmulatorRuntime, rung: str, dtype: np.dtype):
    """Where a panel reaches beyond the last tap it holds zeros: NaN times zero would show."""
    t = Trilinear(runtime, rung, dtype, SPARSE, 2, seed=6)
    (kh, kw), (sh, sw) = SPARSE.kernel, SPARSE.stride
    rows, columns = (
        np.arange(side) % step < taps for side, step, taps in zip(SPARSE.size, (sh, sw), (kh, kw), strict=True)
    )
    expected = t.expected()
    t.x[:, ~(rows[:, None] & columns)] = np.nan
    np.testing.assert_array_equal(t.conv2d(), expected.y)
    np.testing.assert_array_equal(t.conv2d_weight_grad(), expected.dw)


@each_rung
@pytest.mark.parametrize("n", [2, 40])
def test_weight_gradients_are_added_to_what_is_there(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, n: int):
    t = Trilinear(runtime, rung, dtype, RUNS, n, seed=3)
    before = t.rng.integers(-4, 5, t.w.shape).astype(dtype)
    np.testing.assert_array_equal(t.conv2d_weight_grad(out=before, accumulate=True), before + t.conv2d_weight_grad())


@each_rung
def test_accuracy(runtime: EmulatorRuntime, rung: str, dtype: np.dtype):
    """Against float64, on normal random numbers; the bounds are those that the documentation promises."""
    t = Trilinear(runtime, rung, dtype, ConvCase((7, 7), (4, 4), (2, 2), 1, 24, 20), 5, seed=4)
    t.fill(t.rng.standard_normal)
    x, w, y = (v.astype(np.float64) for v in (t.x, t.w, t.y))
    double = NumpyOps(np.float64)
    expected = (
        double.conv2d(x, w, *t.geometry),
        double.conv2d_input_grad(y, w, *t.geometry, t.case.size),
        double.conv2d_weight_grad(x, y, *t.geometry, t.case.kernel),
    )
    bound = 1e-3 if rung.startswith("tf32") else 5e-6 if dtype == np.float32 else 1e-14
    for actual, wanted in zip((t.conv2d(), t.conv2d_input_grad(), t.conv2d_weight_grad()), expected, strict=True):
        error = np.linalg.norm(actual - wanted) / np.linalg.norm(wanted)
        assert error < bound
        assert not rung.startswith("tf32") or error > 5e-6  # else the bounds would say nothing about which of them ran


class TestChoice:
    """Which kernels run, and on which grid."""

    @staticmethod
    def launched(rung: str, dtype: str, case: ConvCase, n: int, **runtime_options: object) -> RecordingRuntime:
        runtime = RecordingRuntime(**runtime_options)
        t = Trilinear(runtime, rung, np.dtype(dtype), case, n, seed=0)
        t.conv2d(), t.conv2d_input_grad(), t.conv2d_weight_grad()
        return runtime

    @each_rung
    def test_the_chosen_rung_runs(self, rung: str, dtype: np.dtype):
        tiles = CONVOLUTION[rung.removesuffix(SQUARE)].tiles["float" if dtype == np.float32 else "double"]
        arguments = (plan.square(tiles) if rung.endswith(SQUARE) else tiles)[-1].arguments
        suffix = "naive" if rung == "naive" else "implicit"
        expected = [f"{op}_{suffix}<{arguments}>" for op in CONVOLUTIONS]
        assert self.launched(rung, dtype.name, ODD, 1).launched == expected

    @pytest.mark.parametrize(
        ("dtype", "capability", "arguments"),
        [
            ("float32", (9, 0), "float, 64, 3, 8"),
            ("float32", (7, 5), "float, 64, 0"),
            ("float64", (9, 0), "double, 64, 0"),
        ],
    )
    def test_auto_is_the_fastest_that_is_accurate(self, dtype: str, capability: tuple[int, int], arguments: str):
        launched = self.launched("auto", dtype, ODD, 1, capability=capability).launched
        assert launched == [f"{op}_implicit<{arguments}>" for op in CONVOLUTIONS]

    @pytest.mark.parametrize(("tf32", "products"), [(False, 3), (True, 1)])
    def test_a_result_of_eight_channels_or_less_takes_the_narrow_tile(self, tf32: bool, products: int):
        """By its shape alone, whatever the rest of the product is."""
        for channels, filters in ((1, 9), (8, 9), (9, 8), (9, 9)):
            case = ConvCase((4, 4), (3, 3), (1, 1), 1, channels, filters)
            t = Trilinear(runtime := RecordingRuntime(), "auto", np.dtype(np.float32), case, 1, seed=0)
            t.ops.tf32 = tf32
            t.conv2d(), t.conv2d_input_grad(), t.conv2d_weight_grad()
            narrow = [name.endswith(f"<float, 64, {products}, 8>") for name in runtime.launched if "split" not in name]
            assert narrow == [filters <= 8, channels <= 8, filters <= 8]

    def test_a_generators_last_layer_wastes_seven_columns_of_eight(self):
        """Of dcgan, 64 images: 4 phases of 12544 pixels, where square tiles of 64 would waste 63 of 64."""
        how = plan.plan(CONVOLUTION["3xtf32"], "float", 64 * 14 * 14, 2 * 2 * 64, 1, 4)
        assert (how.tile.narrow, how.blocks, how.splits, how.phases) == (8, 196, 1, 4)
        assert not plan.plan(CONVOLUTION["3xtf32"], "float", 64 * 14 * 14, 2 * 2 * 64, 9, 4).tile.narrow

    @pytest.mark.parametrize("rung", ["tf32", "3xtf32"])
    def test_a_narrow_tile_gives_the_bits_of_a_square_one(self, runtime: EmulatorRuntime, rung: str):
        """The same factors of the same panels in the same order, where the sums are not split otherwise."""
        results = []
        for name in (rung, rung + SQUARE):
            t = Trilinear(runtime, name, np.dtype(np.float32), ConvCase((9, 8), (3, 3), (2, 2), 1, 3, 7), 2, seed=7)
            t.fill(t.rng.standard_normal)
            results.append((t.conv2d(), t.conv2d_input_grad(), t.conv2d_weight_grad()))
        for narrow, square in zip(*results, strict=True):
            np.testing.assert_array_equal(narrow, square)

    def test_the_input_gradient_runs_by_phases_of_the_stride(self):
        """2 x 3 phases, each a product over ceil(3/2) ceil(2/3) taps: no sum has a zero between pixels in it."""
        runtime = self.launched("implicit", "float32", ODD, 1)
        assert runtime.grids[1] == (1, 1, 6)

    def test_the_sums_of_a_weight_gradient_are_split(self):
        runtime = self.launched("implicit", "float32", RUNS, 40)
        assert runtime.launched[-2:] == ["conv2d_weight_grad_implicit<float, 64, 0>", "split_sum<float>"]
        assert runtime.grids[-2][1] > 1

    @pytest.mark.parametrize("rung", ["implicit", "3xtf32"])
    def test_split_sums_have_the_same_bits_in_every_order_of_threads(self, rung: str):
        results = []
        for order in ORDERS:
            t = Trilinear(EmulatorRuntime(order), rung, np.dtype(np.float32), RUNS, 40, seed=5)
            t.fill(t.rng.standard_normal)
            results.append(t.conv2d_weight_grad())
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    @pytest.mark.parametrize("op", CONVOLUTIONS)
    def test_tensor_cores_refuse_float64(self, runtime: EmulatorRuntime, op: str):
        t = Trilinear(runtime, "3xtf32", np.dtype(np.float64), RUNS, 1, seed=0)
        with pytest.raises(ValueError, match=f"{op}: 3xtf32 multiplies float32 alone, this backend"):
            getattr(t, op)()

    def test_a_product_that_kernels_cannot_count_is_refused(self):
        """To the end of the last tile and panel, which are never longer than 1024."""
        for ladder in (MATMUL, CONVOLUTION):
            tiles = [tile for rung in ladder.values() for tiles in rung.tiles.values() for tile in tiles]
            assert max(tile.side for tile in tiles) + plan.DEPTH < 1024
        plan.plan(CONVOLUTION["implicit"], "float", 1, 2**31 - 1024, 1)
        for shape in ((2**31 - 1023, 1, 1), (1, 2**31 - 1023, 1), (1, 1, 2**31 - 1023)):
            with pytest.raises(ValueError, match="CUDA kernels count to 2147482624"):
                plan.plan(CONVOLUTION["implicit"], "float", *shape)

    def test_a_stride_of_more_phases_than_a_grid_has_is_refused(self):
        plan.plan(CONVOLUTION["implicit"], "float", 1, 1, 1, phases=255 * 257)
        with pytest.raises(ValueError, match=r"a stride of 65536 phases .* launch 65535 at most"):
            plan.plan(CONVOLUTION["implicit"], "float", 1, 1, 1, phases=256 * 256)

    def test_columns_that_kernels_cannot_count_are_refused(self):
        for shape in ((2**31, 1), (1, 2**31)):
            with pytest.raises(
                ValueError, match=f"sums over {shape[0]} rows of {shape[1]} columns: CUDA kernels count"
            ):
                columns_of(np.broadcast_to(np.float32(0), shape))
