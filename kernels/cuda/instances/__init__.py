"""Every kernel that the library can launch: what the loader builds, the compile check checks and the benchmark walks.

One module per family of kernels, data only. To add a kernel add its row there; a new module is added to TABLE here.
"""

from ..source import Instance
from .operations import OPERATIONS
from .products import PRODUCTS

TABLE: tuple[Instance, ...] = (*OPERATIONS, *PRODUCTS)
"""All rows."""


def row(file: str, expression: str) -> Instance:
    """The row of a kernel; KeyError if there is none."""
    for candidate in TABLE:
        if (candidate.file, candidate.expression) == (file, expression):
            return candidate
    raise KeyError(f"{expression} of {file} has no row in kernels/cuda/instances")


def compiled_with(instance: Instance) -> tuple[str, ...]:
    """The expressions of a row's unit, its own among them."""
    if not instance.unit:
        return (instance.expression,)
    return tuple(row.expression for row in TABLE if (row.file, row.unit) == (instance.file, instance.unit))
