"""Every rung of the CUDA matrix product in the emulator: exact on whole numbers, within its bounds, the kernel meant.

Arrays end at memory that may not be touched, results are NaN before, and threads run in a random order. What holds for
every backend is the business of tests/kernels.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recording import RecordingRuntime

from kernels import activation
from kernels.activations import FORMULAS
from kernels.cuda.emulator import EmulatorRuntime, why_not
from kernels.cuda.instances.products import CONVOLUTION, DEPTH, MATMUL, Rung
from kernels.cuda.ops import plan
from kernels.cuda.ops.prepared import prepared
from kernels.cuda.ops.products import CudaProducts
from kernels.reference import naive
from kernels.types import Array
from minigan.testing import seeds

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

SIDES = st.sampled_from((1, 2, 3, 5, 15, 16, 17, 31, 33, 63, 65))
TRANSPOSED = list(itertools.product((False, True), repeat=2))
ORDERS = ("forward", "reverse", "random:1", "warps")
RUNGS = [(name, np.dtype(dtype)) for dtype in ("float32", "float64") for name in MATMUL if "tf32" not in name]
RUNGS += [(name, np.dtype("float32")) for name in MATMUL if "tf32" in name]
TILES = [(name, dtype) for name, dtype in RUNGS if len(MATMUL[name].tiles["float"]) > 1]
TF32 = ("tf32", "tf32-wgmma")
ACCURATE = ("3xtf32", "3xtf32-wgmma")
FUSED = [name for name, formula in FORMULAS.items() if formula.keeps == "y"]

each_rung = pytest.mark.parametrize(("rung", "dtype"), RUNGS, ids=lambda value: str(value))


class RungOps(CudaProducts):
    """The products alone, all of them on one rung."""

    def __init__(self, runtime: EmulatorRuntime, dtype: np.dtype, rung: str = "auto") -> None:
        super().__init__(runtime, dtype)
        self.matmul_rung = rung

    def product(self, a: Array, b: Array, trans_a: bool = False, trans_b: bool = False, **options: object) -> Array:
        """a b of matrices as they are meant, stored transposed if asked; the result was NaN before."""
        a, b = (self.to_device(np.ascontiguousarray(v.T) if t else v) for v, t in ((a, trans_a), (b, trans_b)))
        out = options.pop("out", None)
        out = self.to_device(
            np.full((a.shape[trans_a], b.shape[not trans_b]), np.nan, self.dtype) if out is None else out
        )
        self.begin_step(0)
        return self.matmul(a, b, trans_a=trans_a, trans_b=trans_b, out=out, **options)


@pytest.fixture(scope="module")
def runtime() -> EmulatorRuntime:
    return EmulatorRuntime("random:1", guard="end")


def whole(dtype: np.dtype, seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    """Whole numbers in [-4, 4], of which TF32 loses nothing either."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]


def assert_product(ops: RungOps, m: int, k: int, n: int, seed: int) -> None:
    """All four ways to store the operands, against the loops of the definition."""
    a, b = whole(ops.dtype, seed, (m, k), (k, n))
    expected = (a.astype(np.int64) @ b.astype(np.int64)).astype(ops.dtype)  # integer products never meet BLAS
    for transposed in TRANSPOSED:
        np.testing.assert_array_equal(ops.product(a, b, *transposed), expected, strict=True)


def relative_error(actual: Array, expected: Array) -> float:
    """|actual - expected| / |expected|."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


@each_rung
@given(m=SIDES, k=SIDES, n=SIDES, seed=seeds())
@example(m=2, k=0, n=3, seed=0)
@example(m=0, k=2, n=3, seed=0)
@example(m=2, k=3, n=0, seed=0)
@example(m=1, k=700, n=1, seed=0)
@example(m=130, k=1, n=2, seed=0)
@example(m=2, k=18, n=130, seed=0)
def test_products(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, m: int, k: int, n: int, seed: int):
    assert_product(RungOps(runtime, dtype, rung), m, k, n, seed)


def test_the_definition_of_the_tests_is_that_of_the_reference():
    a, b = whole(np.dtype(np.float32), 0, (5, 7), (7, 3))
    np.testing.assert_array_equal(a.astype(np.int64) @ b.astype(np.int64), naive.matmul(a, b))


@pytest.mark.parametrize(("rung", "dtype"), TILES, ids=lambda value: str(value))
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (127, 33, 130), (129, 16, 128), (64, 100, 257)])
def test_large_tiles(
    runtime: EmulatorRuntime, monkeypatch: pytest.MonkeyPatch, rung: str, dtype: np.dtype, m: int, k: int, n: int
):
    """On a chip that is full with one block, the largest tile is taken for everything."""
    monkeypatch.setattr(plan, "BLOCKS", 1)
    assert_product(RungOps(runtime, dtype, rung), m, k, n, seed=0)


@pytest.mark.parametrize("order", ORDERS)
@each_rung
def test_no_access_is_out_of_bounds_a_race_or_undefined(rung: str, dtype: np.dtype, order: str):
    """In the build that watches each of them. Every edge is cut, and runs of 16 bytes are whole, and not whole."""
    ops = RungOps(EmulatorRuntime(order, "checked", "front"), dtype, rung)
    for m, k, n in ((33, 20, 36), (34, 19, 33)):
        a, b, bias = whole(dtype, 0, (m, k), (k, n), (n,))
        expected = naive.matmul(a, b) + bias
        for transposed in TRANSPOSED if order == "forward" else [(False, False)]:
            np.testing.assert_array_equal(ops.product(a, b, *transposed, bias=ops.to_device(bias)), expected)


@each_rung
@pytest.mark.parametrize("name", FUSED)
def test_bias_and_activation_are_fused(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, name: str):
    act = activation(name)
    a, b, bias = whole(dtype, 1, (37, 5), (5, 34), (34,))
    ops = RungOps(runtime, dtype, rung)
    y = ops.product(a / 8, b / 8, bias=ops.to_device(bias / 8), activation=act)
    bound = 4 * np.finfo(dtype).eps  # eighths have no rounding; curves may differ in their last bits
    np.testing.assert_allclose(y, act.f(a / 8 @ (b / 8) + bias / 8), rtol=bound, atol=bound)


@each_rung
def test_activations_of_what_is_not_finite(runtime: EmulatorRuntime, rung: str, dtype: np.dtype):
    """ReLU of minus infinity is 0, of NaN NaN: a comparison, not a product with 0."""
    ops = RungOps(runtime, dtype, rung)
    bias = ops.to_device(np.array([-np.inf, np.inf, np.nan], dtype))
    y = ops.product(np.ones((1, 2), dtype), np.ones((2, 3), dtype), bias=bias, activation=activation("relu"))
    np.testing.assert_array_equal(y, [[0, np.inf, np.nan]])


@each_rung
@pytest.mark.parametrize("k", [3, 300])
def test_sums_are_added_to_what_is_there(runtime: EmulatorRuntime, rung: str, dtype: np.dtype, k: int):
    a, b, y = whole(dtype, 2, (33, k), (k, 7), (33, 7))
    ops = RungOps(runtime, dtype, rung)
    np.testing.assert_array_equal(ops.product(a, b, out=y, accumulate=True), y + naive.matmul(a, b))


class TestAccuracy:
    """Against float64, on normal random numbers; the bounds are those that the documentation promises."""

    @staticmethod
    def error(runtime: EmulatorRuntime, rung: str, dtype: np.dtype) -> float:
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((40, 1000)).astype(dtype), rng.standard_normal((1000, 36)).astype(dtype)
        y = RungOps(runtime, dtype, rung).product(a, b)
        return relative_error(y, a.astype(np.float64) @ b.astype(np.float64))

    @each_rung
    def test_of_each_rung(self, runtime: EmulatorRuntime, rung: str, dtype: np.dtype):
        error = self.error(runtime, rung, dtype)
        bound = 1e-3 if rung in TF32 else 5e-6 if dtype == np.float32 else 1e-14
        assert error < bound

    @pytest.mark.parametrize("rung", TF32)
    def test_tf32_is_not_float32(self, runtime: EmulatorRuntime, rung: str):
        """Else the bounds above would say nothing about which of them ran."""
        assert self.error(runtime, rung, np.dtype(np.float32)) > 5e-6

    @pytest.mark.parametrize("rung", ACCURATE)
    def test_3xtf32_keeps_small_numbers_beside_large_ones(self, runtime: EmulatorRuntime, rung: str):
        """Numbers of 24 bits, whose last ones TF32 cannot hold; times 1, they must come through almost whole."""
        rng = np.random.default_rng(1)
        a = (1 + rng.integers(0, 2**23, (16, 8)) * 2.0**-23).astype(np.float32)
        y = RungOps(runtime, np.dtype(np.float32), rung).product(a, np.eye(8, dtype=np.float32))
        np.testing.assert_allclose(y, a, rtol=2.0**-21)


class TestWgmma:
    """What is particular to the rungs of compute capability 9.0: their ring, and operands that are prepared."""

    each = pytest.mark.parametrize("rung", [name for name, rung in MATMUL.items() if rung.parts])

    @each
    def test_the_ring_goes_round(self, runtime: EmulatorRuntime, rung: str):
        """More steps of 32 than twice the stages, the last of them cut; more than one tile either way."""
        assert_product(RungOps(runtime, np.dtype(np.float32), rung), 130, 32 * 12 + 9, 131, seed=0)

    @each
    @pytest.mark.parametrize("order", ORDERS)
    def test_the_ring_goes_round_in_every_order_of_threads(self, rung: str, order: str):
        ops = RungOps(EmulatorRuntime(order, "checked", "end"), np.dtype(np.float32), rung)
        a, b = whole(ops.dtype, 0, (66, 32 * 7 + 9), (32 * 7 + 9, 127))
        np.testing.assert_array_equal(ops.product(a, b), naive.matmul(a, b))

    @each
    def test_captured_as_eager(self, rung: str):
        """Tensor maps hold addresses: what is replayed reads what lies there then."""
        ops = RungOps(runtime := EmulatorRuntime(), np.dtype(np.float32), rung)
        a, b, out = (ops.to_device(x) for x in whole(ops.dtype, 0, (40, 33), (33, 36), (40, 36)))

        def multiply() -> None:
            ops.begin_step(0)
            ops.matmul(a, b, out=out)

        multiply()
        ops.workspace.freeze()
        graph = runtime.capture(multiply)
        for seed in (1, 2):
            a[...], b[...] = whole(ops.dtype, seed, a.shape, b.shape)
            out.fill(np.nan)
            graph.launch()
            np.testing.assert_array_equal(out, naive.matmul(a, b))

    @each
    @pytest.mark.parametrize("transposed", [False, True])
    def test_operands_are_halves_that_add_up(self, rung: str, transposed: bool):
        """To 21 bits and more; each has the digits of TF32, and what is behind k is not touched."""
        ops = RungOps(EmulatorRuntime("random:1", "checked", "end"), np.dtype(np.float32))
        rows, k, parts = 35, 70, MATMUL[rung].parts
        x = np.random.default_rng(0).standard_normal((rows, k)).astype(np.float32)
        stored = ops.to_device(np.ascontiguousarray(x.T) if transposed else x)
        halves = prepared(ops, stored, (rows, k), transposed, parts, 128).array
        assert halves.shape == (parts, rows, 72)
        assert np.isnan(halves[:, :, k:]).all()
        assert not (halves[:, :, :k].view(np.uint32) & 0x1FFF).any()
        np.testing.assert_allclose(halves[:, :, :k].sum(0), x, rtol=2.0 ** (-11 * parts))


class TestSplits:
    """Few tiles and a long k: blocks share a tile, and their parts are added in a fixed order."""

    SHAPE = (20, 1000, 20)

    @pytest.mark.parametrize(("rung", "dtype"), TILES, ids=lambda value: str(value))
    def test_run_and_are_summed(self, rung: str, dtype: np.dtype):
        runtime = RecordingRuntime()
        assert_product(RungOps(runtime, dtype, rung), *self.SHAPE, seed=0)
        assert runtime.launched[1].startswith("split_sum")

    def test_give_the_same_bits_in_every_order_of_threads(self):
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((20, 1000)).astype("f4"), rng.standard_normal((1000, 20)).astype("f4")
        results = [RungOps(EmulatorRuntime(order), np.dtype("f4"), "warp").product(a, b) for order in ORDERS]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    @given(
        m=st.integers(1, 5000), k=st.integers(0, 100_000), n=st.integers(1, 5000), rung=st.sampled_from(list(MATMUL))
    )
    @example(m=20, k=5 * DEPTH, n=20, rung="warp")
    @example(m=20, k=6 * DEPTH, n=20, rung="3xtf32")
    @example(m=20, k=9 * DEPTH, n=20, rung="tf32")
    def test_cover_k_and_leave_no_block_without_work(self, m: int, k: int, n: int, rung: str):
        """The kernels give each split ceil(panels/splits) panels; none is left with less than one."""
        tile, blocks, splits, _ = plan.plan(MATMUL[rung], "float", m, k, n)
        panels = -(-k // DEPTH)
        each = -(-panels // splits)
        assert blocks == tile.blocks(m, n)
        assert splits == 1 or (splits - 1) * each < panels <= splits * each
        assert splits == 1 or blocks * splits <= plan.BLOCKS
        assert splits == 1 or each >= plan.SHORTEST

    def test_blocks_of_a_tile_cover_y(self):
        for rung in MATMUL.values():
            for tile in rung.tiles["float"]:
                numbers = tile.threads if tile.side == 1 else tile.side**2
                assert tile.blocks(1, 1) == 1
                assert tile.blocks(1000, 1000) * numbers >= 10**6


class TestChoice:
    """Which kernel runs."""

    @staticmethod
    def launched(
        runtime: RecordingRuntime, dtype: str = "float32", rung: str = "auto", tf32: bool = False
    ) -> list[str]:
        ops = RungOps(runtime, np.dtype(dtype), rung)
        ops.tf32 = tf32
        ops.product(*whole(ops.dtype, 0, (3, 4), (4, 5)))
        return runtime.launched

    @each_rung
    def test_the_chosen_rung_runs(self, rung: str, dtype: np.dtype):
        chosen: Rung = MATMUL[rung]
        arguments = chosen.tiles["float" if dtype == np.float32 else "double"][-1].arguments
        expected = [f"{chosen.file[:-3]}<{arguments}, false, false>"]
        if chosen.parts:
            expected = [f"gemm_operand<{t}, {chosen.parts}>" for t in ("false", "true")]
            expected.append(f"gemm_wgmma<{arguments}>")
        assert self.launched(RecordingRuntime(), dtype.name, rung) == expected

    def test_auto_is_accurate_tensor_cores(self):
        assert self.launched(RecordingRuntime()) == ["gemm_tensor<64, 3, false, false>"]

    def test_tf32_is_taken_on_request(self):
        assert self.launched(RecordingRuntime(), tf32=True) == ["gemm_tensor<64, 1, false, false>"]

    @pytest.mark.parametrize("tf32", [False, True])
    def test_float64_and_chips_without_tensor_cores_take_the_warp_tile(self, tf32: bool):
        assert self.launched(RecordingRuntime(), "float64", tf32=tf32) == ["gemm_warp<double, 64, false, false>"]
        assert self.launched(RecordingRuntime((7, 5)), tf32=tf32) == ["gemm_warp<float, 64, false, false>"]

    def test_a_large_product_takes_the_large_tile(self):
        ops = RungOps(runtime := RecordingRuntime(), np.dtype(np.float32), "warp")
        ops.product(np.zeros((128 * 16, 1), np.float32), np.zeros((1, 128 * 8), np.float32))
        assert runtime.launched == ["gemm_warp<float, 128, false, false>"]

    @pytest.mark.parametrize(("tf32", "products", "parts"), [(False, 3, 2), (True, 1, 1)])
    @pytest.mark.parametrize("capability", [(8, 0), (9, 0), (10, 0)])
    def test_a_large_product_takes_wgmma_where_there_is_one(
        self, capability: tuple[int, int], tf32: bool, products: int, parts: int
    ):
        """And nowhere else: it is not in the instructions of later chips either."""
        ops = RungOps(runtime := RecordingRuntime(capability), np.dtype(np.float32))
        ops.tf32 = tf32
        ops.product(np.zeros((128 * 16, 1), np.float32), np.zeros((1, 128 * 8), np.float32))
        operands = [f"gemm_operand<false, {parts}>", f"gemm_operand<true, {parts}>"]
        wgmma, mma = f"gemm_wgmma<{products}>", f"gemm_tensor<128, {products}, false, false>"
        assert runtime.launched == ([*operands, wgmma] if capability == (9, 0) else [mma])

    @pytest.mark.parametrize(
        ("m", "n", "worth"), [(2048, 1024, True), (1920, 1024, False), (1 << 20, 513, True), (1 << 20, 512, False)]
    )
    def test_wgmma_is_for_products_that_fill_the_chip_and_pay_for_their_operands(self, m: int, n: int, worth: bool):
        assert plan.worth_preparing(m, n) == worth

    @pytest.mark.parametrize("rung", [name for name, rung in MATMUL.items() if rung.capability])
    def test_wgmma_is_refused_where_it_is_not(self, rung: str):
        ops = RungOps(RecordingRuntime((8, 9)), np.dtype(np.float32), rung)
        with pytest.raises(
            ValueError, match=f"matmul: {rung} has instructions of compute capability 9.0 alone, .* 8.9"
        ):
            ops.product(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))

    @pytest.mark.parametrize("rung", [name for name in MATMUL if "tf32" in name])
    def test_tensor_cores_refuse_float64(self, runtime: EmulatorRuntime, rung: str):
        ops = RungOps(runtime, np.dtype(np.float64), rung)
        with pytest.raises(ValueError, match=f"matmul: {rung} multiplies float32 alone, this backend"):
            ops.product(np.ones((1, 1)), np.ones((1, 1)))

    def test_an_unknown_rung_is_refused(self, runtime: EmulatorRuntime):
        with pytest.raises(ValueError, match=r"matmul_rung is one of auto, naive, .*, got 'fast'"):
            RungOps(runtime, np.dtype(np.float32), "fast")


def test_the_page_climbs_the_ladders():
    page = (Path(__file__).parents[2] / "docs" / "cuda-kernels.md").read_text(encoding="utf-8")
    for name, rung in MATMUL.items():
        assert f"| `{name}` | `{rung.file}` | {rung.idea}" in page
    assert [name for name in CONVOLUTION if f"**{name}**" not in page] == []
