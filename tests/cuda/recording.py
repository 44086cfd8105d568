"""An emulator that remembers which kernels were launched."""

from collections.abc import Sequence

from kernels.cuda.emulator import EmulatorRuntime
from kernels.cuda.runtime import Argument, Dimensions, Function


class RecordingRuntime(EmulatorRuntime):
    """Attributes:
    launched: expressions, in the order of their launches.
    grids: and the grid of each.
    """

    def __init__(self, capability: tuple[int, int] = EmulatorRuntime.capability) -> None:
        super().__init__()
        self.capability = capability
        self.launched: list[str] = []
        self.grids: list[Dimensions] = []

    def function(self, file: str, expression: str) -> Function:
        return _Recorded(super().function(file, expression), self)


class _Recorded(Function):
    def __init__(self, function: Function, runtime: RecordingRuntime) -> None:
        super().__init__(function.instance)
        self._function, self._runtime = function, runtime

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        self._runtime.launched.append(self.instance.expression)
        self._runtime.grids.append(grid)
        self._function(grid, block, arguments, shared_bytes)
