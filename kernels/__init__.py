"""Array operations for neural networks: one contract, several backends. Arrays in, arrays out; knows nothing of GANs.

    ops = kernels.get_ops("numpy", dtype="float64", seed=0)
    y = ops.matmul(x, w, bias=b, activation=kernels.activation("relu"))

`available()` says which backends work here and, for the others, why not.
"""

from collections.abc import Callable

import numpy as np

from .activations import Activation, activation
from .contract import Ops
from .reference import NumpyOps
from .rng import CounterRng, Use
from .workspace import Workspace

BACKENDS: dict[str, Callable[..., Ops]] = {"numpy": NumpyOps}


def available() -> dict[str, str | None]:
    """Backend -> None if it works here, else the reason why it does not."""
    return dict.fromkeys(BACKENDS)


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
        ValueError: unknown backend.
    """
    name = "numpy" if backend == "auto" else backend
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; there are auto, {', '.join(BACKENDS)}")
    return BACKENDS[name](dtype, seed, workspace=workspace, rng=rng)


__all__ = ["Activation", "CounterRng", "NumpyOps", "Ops", "Use", "Workspace", "activation", "available", "get_ops"]
