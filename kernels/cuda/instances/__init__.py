"""Every kernel that the library can launch: what the loader builds, the compile check checks and the benchmark walks.

One module per family of kernels, data only. To add a kernel add its row there; a new module is added to TABLE here.
"""

from ..source import Instance

TABLE: tuple[Instance, ...] = ()
"""All rows."""


def expressions(file: str) -> tuple[str, ...]:
    """The kernels of one .cu file, in the order of the table."""
    return tuple(row.expression for row in TABLE if row.file == file)
