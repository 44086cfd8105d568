"""Array operations for neural networks: one contract, several backends. Arrays in, arrays out; knows nothing of GANs.

    ops = kernels.get_ops("numpy", dtype="float64", seed=0)
    y = ops.matmul(x, w, bias=b, activation=kernels.activation("relu"))

`available()` says which backends work here and, for the others, why not.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .activations import Activation, activation
from .contract import Ops
from .reference import NumpyOps
from .rng import CounterRng, Use
from .workspace import Workspace


def _numba(*arguments: Any, **named: Any) -> Ops:
    """NumbaOps; the import waits until somebody asks, since Numba takes a third of a second to load."""
    from .cpu import NumbaOps

    return NumbaOps(*arguments, **named)


def _cuda(*arguments: Any, **named: Any) -> Ops:
    """CudaOps on a GPU."""
    from .cuda import CudaOps

    return CudaOps(_gpu(), *arguments, **named)


def _cuda_emulator(*arguments: Any, **named: Any) -> Ops:
    """CudaOps on the emulator."""
    from .cuda import CudaOps

    return CudaOps(_emulator(), *arguments, **named)


BACKENDS: dict[str, Callable[..., Ops]] = {
    "numpy": NumpyOps,
    "numba": _numba,
    "cuda": _cuda,
    "cuda-emulator": _cuda_emulator,
}


def available() -> dict[str, str | None]:
    """Backend -> None if it works here, else the reason why it does not."""
    return {name: _why_not(name) for name in BACKENDS}


def _why_not(backend: str) -> str | None:
    if backend == "numba":
        return _why_not_numba()
    if backend == "cuda":
        return _why_not_cuda()
    return _why_not_emulator() if backend == "cuda-emulator" else None


@functools.cache
def _why_not_numba() -> str | None:
    try:
        importlib.import_module(f"{__name__}.cpu")
    except (ImportError, OSError, RuntimeError) as error:  # no Numba, a broken one, or nowhere to keep compiled code
        return f"{type(error).__name__}: {error}"
    return None


def _why_not_cuda() -> str | None:
    from .cuda.detect import why_not

    return why_not()


@functools.cache
def _why_not_emulator() -> str | None:
    from .cuda.emulator import why_not

    return why_not()


@functools.cache
def _gpu() -> Any:
    """One runtime for all operations: one stream, and each kernel is loaded once."""
    from .cuda.gpu import GpuRuntime

    return GpuRuntime()


@functools.cache
def _emulator() -> Any:
    """One runtime for all operations, so that each kernel is loaded once."""
    from .cuda.emulator import EmulatorRuntime

    return EmulatorRuntime()


def fastest() -> str:
    """The backend that "auto" stands for on this machine; the emulator is for looking, never the fastest."""
    if _why_not_cuda() is None:
        return "cuda"
    return "numpy" if _why_not_numba() else "numba"


def get_ops(
    backend: str = "auto",
    *,
    dtype: np.typing.DTypeLike = np.float32,
    seed: int = 0,
    workspace: Workspace | None = None,
    rng: CounterRng | None = None,
) -> Ops:
    """The operations of a backend, bound to a dtype, a workspace and a stream of random numbers.

    Args:
        backend: a name in `available()`, or "auto" for the fastest that works here.
        dtype: float32 or float64.
        seed: of the random numbers; ignored where `rng` is given.
        workspace, rng: to share with another `Ops`; new ones by default.

    Raises:
        ValueError: unknown backend, or one that does not work here; says why.
    """
    if backend == "auto":
        backend = fastest()
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; there are auto, {', '.join(BACKENDS)}")
    reason = _why_not(backend)
    if reason is not None:
        raise ValueError(f"{backend} is not here: {reason}")
    return BACKENDS[backend](dtype, seed, workspace=workspace, rng=rng)


__all__ = [
    "Activation",
    "CounterRng",
    "NumpyOps",
    "Ops",
    "Use",
    "Workspace",
    "activation",
    "available",
    "fastest",
    "get_ops",
]
