"""The operation contract: each operation once, with its shapes, what it reads and what it overwrites.

`Ops` joins five families, one a file. A backend subclasses it and implements the underscored twin of each method; the
formulas stand in `kernels.reference`, which is the definition of every operation.
"""

from abc import ABC

from .elementwise import ElementwiseOps
from .norms import NormOps
from .products import ProductOps
from .updates import UpdateOps
from .windows import WindowOps


class Ops(ProductOps, ElementwiseOps, NormOps, WindowOps, UpdateOps, ABC):
    """Every operation that layers, losses and optimizers are made of, on one backend, one dtype and one workspace.

    Args:
        dtype: float32 for training, float64 for checks; arrays of another dtype raise TypeError.
        seed: of the random numbers.
        workspace, rng: shared with another `Ops` where given (two players that draw from one stream).
    """


__all__ = ["Ops"]
