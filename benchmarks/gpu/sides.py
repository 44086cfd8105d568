"""Who takes part, and how each lets the device do a list of calls: ours, PyTorch and CuPy.

Ours and PyTorch's calls are captured as one graph, so that what the host takes to launch them does not count; CuPy's
products run on cuBLAS, which CuPy does not let into a graph.
"""

from collections.abc import Callable, Sequence
from typing import Any

import kernels

from .measure import Clock, host_clock


class Ours:
    """Operations of a backend on CUDA kernels: a GPU, or the emulator."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def ops(self, **settings: Any) -> Any:
        """New operations with attributes as given."""
        ops = kernels.get_ops(self.backend)
        for name, value in settings.items():
            setattr(ops, name, value)
        return ops

    def clock(self) -> Clock:
        """Events on the stream that all operations share."""
        runtime = self.ops().runtime
        return event_clock(runtime.stream) if runtime.name == "cuda" else host_clock

    @staticmethod
    def together(ops: Any, calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
        """The calls as a graph; they have run before."""

        def all_calls() -> None:
            for call in calls:
                call()

        return ops.runtime.capture(all_calls).launch


def event_clock(stream: Any) -> Clock:
    """CuPy's events on one of its streams."""
    import cupy

    def seconds(run: Callable[[], object]) -> float:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        stream.synchronize()
        start.record(stream)
        run()
        end.record(stream)
        end.synchronize()
        return cupy.cuda.get_elapsed_time(start, end) / 1e3

    return seconds


class Torch:
    """PyTorch on its device "cuda", or on "cpu" to try this program.

    Raises:
        RuntimeError: it has no such device; ImportError: it is not there.
    """

    def __init__(self, device: str) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
        self.device = device
        torch.backends.cudnn.benchmark = True  # the fastest of cuDNN's algorithms for each shape

    def clock(self) -> Clock:
        """PyTorch's events on its current stream."""
        import torch

        if self.device != "cuda":
            return host_clock

        def seconds(run: Callable[[], object]) -> float:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            run()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1e3

        return seconds

    def together(self, calls: Sequence[Callable[[], object]], tf32: bool) -> Callable[[], object]:
        """The calls as a graph, of products that round to TF32 or not; a loop on a CPU."""

        def all_calls() -> None:
            for call in calls:
                call()

        self.precision(tf32)
        return all_calls if self.device != "cuda" else captured(all_calls)

    @staticmethod
    def precision(tf32: bool) -> None:
        """What matrix products and convolutions may do with float32 from now on."""
        import torch

        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32


def captured(work: Callable[[], object]) -> Callable[[], object]:
    """PyTorch's work as a CUDA graph, captured as its documentation says: warmed up on a stream beside."""
    import torch

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
