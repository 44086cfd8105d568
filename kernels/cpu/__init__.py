"""NumbaOps: the operation contract on kernels of our own, compiled for this CPU. Start with gemm.py."""

from ..contract import Ops
from .ops.elementwise import NumbaElementwise
from .ops.norms import NumbaNorms
from .ops.products import NumbaProducts
from .ops.updates import NumbaUpdates
from .ops.windows import NumbaWindows


class NumbaOps(NumbaProducts, NumbaElementwise, NumbaNorms, NumbaWindows, NumbaUpdates, Ops):
    """Every operation on Numba kernels; the same bits for any number of threads."""

    name = "numba"


__all__ = ["NumbaOps"]
