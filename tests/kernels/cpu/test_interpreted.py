"""With NUMBA_DISABLE_JIT=1 Python runs the kernels line by line, to the same results: what a debugger steps through."""

import numba
import pytest
import rerun


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is that run")
def test_products():
    """Those of all geometries would take minutes."""
    chosen = "activation or TestOut or one_by_one"
    rerun.assert_passes("../test_products.py", "-k", f"numba and ({chosen})", NUMBA_DISABLE_JIT="1")


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is that run")
def test_products_of_unpacked_operands():
    """Their tiles are cut at the last column, and some of their rows of B are copies."""
    chosen = "float32 and not items"
    rerun.assert_passes("test_unpacked.py", "-k", chosen, NUMBA_DISABLE_JIT="1")


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is that run")
def test_overflow_is_no_warning():
    """Nor is infinity times 0: compiled code says nothing of either, and a debugger's run must not end there."""
    chosen = "numba and overflow or reaches_its_own_pixels"
    rerun.assert_passes("../test_update_ops.py", "test_narrow.py", "-k", chosen, NUMBA_DISABLE_JIT="1")
