"""Where CuPy hides the switch between float32 and TF32."""

from types import SimpleNamespace

_routines_linalg = SimpleNamespace(COMPUTE_TYPE_TF32=1, COMPUTE_TYPE_DEFAULT=0)


def set_compute_type(dtype: str, kind: int) -> None:
    """Of matrix products."""
    assert (dtype, kind in (0, 1)) == ("float32", True)
