"""With NUMBA_DISABLE_JIT=1 Python runs the kernels line by line, to the same results: what a debugger steps through."""

import numba
import pytest
import rerun


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is that run")
def test_products():
    """Those of all geometries would take minutes."""
    chosen = "activation or TestOut or one_by_one"
    rerun.assert_passes("../test_products.py", "-k", f"numba and ({chosen})", NUMBA_DISABLE_JIT="1")
