"""NumpyOps: the definition of every operation, as short and readable as it can be; other backends are held to it."""

from ..contract import Ops
from .elementwise import NumpyElementwise
from .norms import NumpyNorms
from .products import NumpyProducts
from .updates import NumpyUpdates
from .windows import NumpyWindows


class NumpyOps(NumpyProducts, NumpyElementwise, NumpyNorms, NumpyWindows, NumpyUpdates, Ops):
    """The operation contract on NumPy alone."""

    name = "numpy"


__all__ = ["NumpyOps"]
