"""An emulator that remembers which kernels were launched."""

from collections.abc import Sequence

from kernels.cuda.emulator import EmulatorRuntime
from kernels.cuda.runtime import Argument, Dimensions, Function


class RecordingRuntime(EmulatorRuntime):
    """Attributes:
    launched: expressions, in the order of their launches.
    """

    def __init__(self, capability: tuple[int, int] = EmulatorRuntime.capability) -> None:
        super().__init__()
        self.capability = capability
        self.launched: list[str] = []

    def function(self, file: str, expression: str) -> Function:
        return _Recorded(super().function(file, expression), self.launched)


class _Recorded(Function):
    def __init__(self, function: Function, launched: list[str]) -> None:
        super().__init__(function.instance)
        self._function, self._launched = function, launched

    def __call__(
        self, grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0
    ) -> None:
        self._launched.append(self.instance.expression)
        self._function(grid, block, arguments, shared_bytes)
