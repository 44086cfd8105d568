"""What every family of operations shares: dtype, memory, random numbers, the count of calls, and argument checks.

The public methods of the contract check their arguments, count the call, get the output buffer and hand over to a
method of the same name with a leading underscore, which a backend implements. So every backend fails on the same
mistakes with the same sentence, and none can forget to count.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from ..rng import CounterRng
from ..types import Array, Shape
from ..workspace import Workspace, aligned_bytes

FLOAT_TYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Tape(Protocol):
    """Rows of numbers in device memory, for launches to come."""

    def write(self, rows: Array) -> None:
        """The rows to come (T, width)."""

    def next(self) -> None:
        """Put the next one where it is read; in a graph, the next one at each launch."""


class OpsBase:
    """State of a backend; the operations come from the families that `Ops` joins.

    Arrays of a backend lie in its device's memory. For a backend on the CPU that is the host's: `to_device` and
    `to_host` return what they are given. On a GPU both copy, and `to_host` waits for what was launched before.

    Attributes:
        name: of the backend.
        xp: the array module whose arrays the operations take: numpy, or cupy.
        on_host: whether arrays lie in the host's memory, where capturing takes nothing that others may want.
    """

    name: str
    on_host = True
    xp: ModuleType = np

    def __init__(
        self,
        dtype: np.typing.DTypeLike,
        seed: int = 0,
        *,
        workspace: Workspace | None = None,
        rng: CounterRng | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in FLOAT_TYPES:
            raise TypeError(f"dtype must be float32 or float64, got {self.dtype}")
        self.workspace = workspace if workspace is not None else Workspace()
        self.rng = rng if rng is not None else CounterRng(seed)
        self.calls: Counter[str] = Counter()

    def begin_step(self, step: int) -> None:
        """Void all buffers handed out so far and start the random numbers of `step`."""
        self.workspace.reset()
        self.rng.begin(step)

    def empty(self, shape: Shape, dtype: np.typing.DTypeLike | None = None) -> Array:
        """A workspace buffer with undefined contents, valid until the next `begin_step`."""
        return self.workspace.empty(shape, self.dtype if dtype is None else np.dtype(dtype))

    def allocate(self, nbytes: int) -> Array:
        """Bytes of the device's memory, aligned; they live as long as somebody holds them."""
        return aligned_bytes(nbytes)

    def to_device(self, array: Array) -> Array:
        """The contents of a NumPy array where the operations can take them."""
        return array

    def to_host(self, array: Array) -> Array:
        """The contents of an array of this backend as a NumPy array."""
        return array

    def scratch(self) -> AbstractContextManager[None]:
        """Buffers asked for inside this block are given back at its end."""
        return self.workspace.scratch()

    def can_look(self, array: Array) -> bool:
        """Whether the contents of an array can be read without waiting for a device."""
        return isinstance(array, np.ndarray)

    def held(self, array: Array) -> Array:
        """A copy at an address of its own, from which captured launches may read; others may change its contents."""
        return array.copy()

    def why_no_capture(self) -> str | None:
        """None if `capture` works, else the reason why it does not."""
        return f"{self.name} runs every operation at once; numba and CUDA record launches"

    def capture(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """(launch, result): what `work` would have launched, recorded; `launch` runs it on the same memory each time.

        `result` is what `work` returned: arrays that each launch writes anew. Numbers that change from launch to launch
        are those of the last `next_numbers`, which may be part of `work`.
        """
        raise RuntimeError(f"capture: {self.why_no_capture()}")

    def set_numbers(self, numbers: Sequence[tuple[float, int, int]]) -> None:
        """Of the updates to come, in their order: learning rate, number from 1, and step of the random numbers."""
        raise RuntimeError(f"set_numbers: {self.why_no_capture()}")

    def next_numbers(self) -> None:
        """Go on to those of the next update."""
        raise RuntimeError(f"next_numbers: {self.why_no_capture()}")

    def tape(self, row: Array, most: int) -> Tape:
        """Room for `most` rows, of which `row`, an array of 8-byte numbers, gets one after the other."""
        raise RuntimeError(f"tape: {self.why_no_capture()}")

    def free_bytes(self) -> int:
        """Memory of the device that nobody has taken yet."""
        raise RuntimeError(f"free_bytes: {self.why_no_capture()}")

    def check_float(self, op: str, **arrays: Array | None) -> None:
        """Raise unless every given array has the backend's dtype and is C-contiguous."""
        kind, dtype = self.xp.ndarray, self.dtype
        for name, a in arrays.items():
            if isinstance(a, kind):
                if a.dtype != dtype:
                    raise TypeError(f"{op}: {name} is {a.dtype} {a.shape}, this backend computes in {dtype}")
                if not a.flags.c_contiguous:
                    raise ValueError(
                        f"{op}: {name} {a.shape} is not C-contiguous (strides {a.strides}); pass a contiguous copy"
                    )
            elif a is not None:
                raise TypeError(f"{op}: {name} is {self._described(a)}")

    def check_writable(self, op: str, **arrays: Array | None) -> None:
        """Raise if one of the given arrays, which the operation changes in place, is read-only."""
        for name, a in arrays.items():
            if isinstance(a, np.ndarray) and not a.flags.writeable:
                raise ValueError(f"{op}: {name} {a.shape} is read-only")

    def output(self, op: str, shape: Shape, out: Array | None, *inputs: Array | None) -> Array:
        """Return `out` after checking its shape and that it overlaps no input; a workspace buffer when None."""
        if out is None:
            return self.empty(shape)
        self.check_float(op, out=out)
        if out.shape != shape:
            raise ValueError(f"{op}: the result is {shape}, out is {out.shape}")
        self.check_writable(op, out=out)
        for a in inputs:
            if a is not None and self.xp.may_share_memory(a, out):
                raise ValueError(f"{op}: out {out.shape} overlaps an input {a.shape}")
        return out

    def _described(self, a: object) -> str:
        """What was passed in place of an array of this backend, and what to pass."""
        if isinstance(a, np.ndarray):
            return f"an array {a.dtype} {a.shape} in the host's memory, {self.name} needs it on the device: to_device"
        return f"a {type(a).__name__}, expected an array of {self.dtype}"
