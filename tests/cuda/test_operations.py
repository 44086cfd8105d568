"""Every operation in the emulator under the strictest conditions: threads in four orders, memory that ends where each
array ends. What the operations compute is the business of tests/kernels, which run on the emulator too."""

import numpy as np
import pytest
from operation_calls import CALLS, OPERATIONS, WRITTEN, Maker, arrays_in, run

from kernels import Ops
from kernels.cuda.emulator import EmulatorRuntime, guarded, why_not
from kernels.cuda.emulator.guard import guarded_bytes
from kernels.cuda.ops.elementwise import CudaElementwise
from kernels.cuda.ops.norms import CudaNorms
from kernels.cuda.ops.updates import CudaUpdates
from kernels.cuda.ops.windows import CudaWindows
from kernels.reference.products import NumpyProducts
from kernels.types import Array, Shape
from kernels.workspace import Workspace

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ORDERS = ("forward", "reverse", "random:1", "random:2")


class CudaOps(CudaElementwise, CudaNorms, CudaWindows, CudaUpdates, NumpyProducts, Ops):
    """Four families on the emulator; the products are NumPy's, on the same memory."""


class GuardedWorkspace(Workspace):
    """Every buffer touches a page that nobody may touch, with its end or with its beginning."""

    def __init__(self, side: str) -> None:
        super().__init__()
        self.side = side

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """Filled with NaN too, up to the page."""
        count = int(np.prod(shape))
        return guarded_bytes(count * dtype.itemsize, self.side).view(dtype).reshape(shape)


class GuardedMaker(Maker):
    """Arguments in guarded memory."""

    def __init__(self, dtype: np.dtype, side: str) -> None:
        super().__init__(dtype)
        self.side = side

    def __call__(self, *shape: int) -> np.ndarray:
        return guarded(np.asarray(super().__call__(*shape)), self.side)

    def positive(self, *shape: int) -> np.ndarray:
        return guarded(super().positive(*shape), self.side)

    def below(self, limit: int, *shape: int) -> np.ndarray:
        return guarded(super().below(limit, *shape), self.side)


@pytest.fixture(scope="module", params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def runtime(order: str) -> EmulatorRuntime:
    return EmulatorRuntime(order)


@pytest.mark.parametrize("side", ["end", "front"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_order_of_threads_gives_the_same_bits_within_the_arrays(runtime, operation: str, side: str):
    """Bit for bit what the default order gives on ordinary memory."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        ops = CudaOps(runtime, dtype, workspace=GuardedWorkspace(side))
        arguments = CALLS[operation](GuardedMaker(dtype, side))
        results = arrays_in(getattr(ops, operation)(**arguments))
        written = [arguments[name] for name in WRITTEN.get(operation, ())]
        expected, changed = run(CudaOps(EmulatorRuntime(), dtype), operation)
        for actual, wanted in zip([*results, *written], [*expected, *changed.values()], strict=True):
            np.testing.assert_array_equal(actual, wanted)
