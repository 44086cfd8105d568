"""What every family of CUDA operations shares: the runtime, memory on the device, and how a kernel is launched.

An operation is one launch or a few, in the order of the runtime's stream, and waits for none of them. Grid sizes follow
from shapes alone where the order of a sum depends on them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...contract.base import OpsBase
from ...rng import CounterRng
from ...types import Array
from ...workspace import Workspace
from ..instances.operations import THREADS
from ..runtime import Argument, Dimensions, Runtime
from .tape import Tape

WARP = 32

BLOCKS = 1024
"""Blocks of an element-wise launch at most, enough to fill a large GPU; longer arrays are walked in several strides."""

NOW_BYTES, STEP_BYTES = 16, 8
"""Of the numbers that change from step to step and lie in device memory."""

MOST_UPDATES = 1024
"""Updates whose numbers may be set at once."""

REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
INDICES = {np.dtype(np.int32): "int", np.dtype(np.int64): "long long"}


class DeviceOps(OpsBase):
    """The state of a CUDA backend.

    Args:
        runtime: the device, a GPU or the emulator.
        dtype, seed, workspace, rng: as for every backend.
    """

    on_host = False

    def __init__(
        self,
        runtime: Runtime,
        dtype: np.typing.DTypeLike,
        seed: int = 0,
        *,
        workspace: Workspace | None = None,
        rng: CounterRng | None = None,
    ) -> None:
        super().__init__(dtype, seed, workspace=workspace or runtime.workspace(), rng=rng)
        self.runtime = runtime
        self.name = runtime.name
        self.xp = runtime.xp
        self.real: Callable[[float], np.generic] = self.dtype.type
        """Numbers as the kernels' element type."""
        memory = runtime.allocate(NOW_BYTES + STEP_BYTES)
        self._now = memory[:NOW_BYTES].view(np.float64)
        self._step = memory[NOW_BYTES:].view(np.uint32)[:1]  # kernels read the lower half
        self._step_there: int | None = None
        self._numbers_row = memory.view(np.uint64)
        self._numbers: Tape | None = None

    def allocate(self, nbytes: int) -> Array:
        """Bytes of device memory."""
        return self.runtime.allocate(nbytes)

    def to_device(self, array: Array) -> Array:
        """A copy on the device."""
        return self.runtime.to_device(array)

    def to_host(self, array: Array) -> Array:
        """A copy on the host; waits for all launches before it."""
        return self.runtime.to_host(array)

    def why_no_capture(self) -> str | None:
        """NumPy's functions on the emulator's arrays would run at once, and not again with each launch."""
        return None if self.runtime.captures_arrays else f"{self.name} records launches, but no functions of NumPy"

    def capture(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """A graph of all launches in `work`; everything that it needs must have run once before."""
        if self.why_no_capture() is not None:
            return super().capture(work)
        results: list[Any] = []
        graph = self.runtime.capture(lambda: results.append(work()))
        return graph.launch, results[0]

    def free_bytes(self) -> int:
        """Of the device's memory."""
        return self.runtime.free_bytes()

    def tape(self, row: Array, most: int) -> Tape:
        """See `Tape`."""
        return Tape(self.runtime, row, most)

    def set_numbers(self, numbers: Sequence[tuple[float, int, int]]) -> None:
        """Write them into device memory, one row for each update."""
        if self._numbers is None:
            self._numbers = Tape(self.runtime, self._numbers_row, MOST_UPDATES)
        rows = np.empty((len(numbers), self._numbers_row.size), np.uint64)
        if numbers:
            lr, count, step = zip(*numbers, strict=True)
            rows[:, 0], rows[:, 1] = (np.array(column, np.float64).view(np.uint64) for column in (lr, count))
            rows[:, 2] = step
        self._numbers.write(rows)

    def next_numbers(self) -> None:
        """One launch."""
        assert self._numbers is not None, "next_numbers before set_numbers"
        self._numbers.next()

    def now_on_device(self, lr: float, count: int) -> Array:
        """{learning rate, count of updates} in device memory, where the optimizers' kernels read them."""
        if not self.runtime.capturing:
            self.runtime.function("updates.cu", "set_now")((1,), (1,), (self._now, np.float64(lr), np.float64(count)))
        return self._now

    def step_on_device(self) -> Array:
        """The step that random numbers belong to, in device memory."""
        known = self._step_there == self.rng.step and self._numbers is None  # which would change it unseen
        if not known and not self.runtime.capturing:
            self.runtime.function("random.cu", "set_step")((1,), (1,), (self._step, np.uint32(self.rng.step)))
            self._step_there = self.rng.step
        return self._step

    def launch(self, file: str, kernel: str, grid: Dimensions, *arguments: Argument, block: Dimensions) -> None:
        """Launch the kernel's version for the element type: "add" is add<float> or add<double>."""
        self.runtime.function(file, f"{kernel}<{REALS[self.dtype]}>")(grid, block, arguments)

    def launch_over(self, count: int, file: str, kernel: str, *arguments: Argument) -> None:
        """Launch a kernel that walks over `count` elements; nothing for none."""
        if count:
            self.launch(file, kernel, blocks_for(count), *arguments, block=(THREADS,))

    def labels(self, index: Array) -> tuple[str, Array]:
        """(what CUDA calls its type, labels in a type that kernels have a version for)."""
        if index.dtype not in INDICES:
            index = index.astype(np.int64)
        return INDICES[index.dtype], index

    def launch_labelled(self, grid: Dimensions, file: str, kernel: str, index: str, *arguments: Argument) -> None:
        """Launch the version for the element type and a type of labels."""
        self.runtime.function(file, f"{kernel}<{REALS[self.dtype]}, {index}>")(grid, (THREADS,), arguments)


def blocks_for(count: int) -> tuple[int]:
    """The grid of an element-wise launch."""
    return (min(BLOCKS, -(-count // THREADS)),)


def warps_for(count: int) -> int:
    """Blocks that have a warp for each of `count` rows or columns."""
    return -(-count // (THREADS // WARP))


def sample_block(size: int) -> tuple[int]:
    """Threads of a block that has one sample of `size` numbers: whole warps."""
    return (min(THREADS, -(-max(size, 1) // WARP) * WARP),)


def size_of(x: Array) -> int:
    """Numbers of a sample: x (N, ...)."""
    return math.prod(x.shape[1:])
