"""No product touches what lies around its operands: each ends, and then begins, where memory may not be touched.

A vector that is read too far changes no result, and no poison shows it. On most days it reads another array.
"""

import os
import subprocess
import sys

import numba
import pytest
import rerun

PROGRAM = """
import ctypes, faulthandler, mmap, sys
from itertools import product
import numpy as np
import kernels

faulthandler.enable()
protect = ctypes.CDLL(None, use_errno=True).mprotect
page, maps, last = mmap.PAGESIZE, [], sys.argv[1] == "last"

def guarded(values, dtype):
    '''A copy between two pages without access, at the end of its own pages or at their beginning.'''
    values = np.asarray(values, dtype)
    size = -(-values.nbytes // page) * page
    maps.append(mmap.mmap(-1, size + 2 * page))
    first = ctypes.addressof(ctypes.c_char.from_buffer(maps[-1]))
    offset = page + (size - values.nbytes if last else 0)
    array = np.frombuffer(maps[-1], dtype, values.size, offset).reshape(values.shape)
    array[...] = values
    for at in (first, first + page + size):
        assert protect(ctypes.c_void_p(at), ctypes.c_size_t(page), 0) == 0
    return array

for dtype in ("float32", "float64"):
    ops, random = kernels.get_ops("numba", dtype=dtype), np.random.default_rng(0)

    def whole(*shape):
        return guarded(random.integers(-3, 4, shape), dtype)

    sizes = (1, 7, 9, 64), (1, 2, 3, 10, 15, 17, 33, 48, 49, 600), (1, 3, 10, 64, 1030), (False, True), (False, True)
    for m, n, k, trans_a, trans_b in product(*sizes):
        a, b = whole(*((k, m) if trans_a else (m, k))), whole(*((n, k) if trans_b else (k, n)))
        bias, y = whole(n), whole(m, n)
        before = y.copy()
        ops.begin_step(0)
        ops.matmul(a, b, trans_a=trans_a, trans_b=trans_b, bias=bias, out=y)
        expected = (a.T if trans_a else a) @ (b.T if trans_b else b)
        np.testing.assert_array_equal(y, expected + bias)
        ops.matmul(a, b, trans_a=trans_a, trans_b=trans_b, out=y, accumulate=True)
        np.testing.assert_array_equal(y, 2 * expected + bias)

    for size, c, o, kernel, stride, pad in product((7, 8, 16), (1, 3, 20), (1, 3, 16, 33), (1, 3, 4), (1, 2), (0, 1)):
        across = (size + 2 * pad - kernel) // stride + 1
        x, w, y = whole(3, size, size, c), whole(kernel, kernel, c, o), whole(3, across, across, o)
        dx, dw, sampling = whole(*x.shape), whole(*w.shape), ((stride, stride), (pad,) * 4)
        ops.begin_step(0)
        ops.conv2d(x, w, *sampling, bias=whole(o), out=y)
        ops.conv2d_input_grad(y, w, *sampling, (size, size), out=dx)
        ops.conv2d_weight_grad(x, y, *sampling, (kernel, kernel), out=dw)
    maps.clear()
print("untouched")
"""


@pytest.mark.skipif(os.name != "posix", reason="protects pages of memory with mprotect")
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NumPy's slices end where the array does")
@pytest.mark.parametrize("where", ["last", "first"])
def test_operands_at_the_edge_of_memory(where: str):
    ours = {**os.environ, "PYTHONPATH": str(rerun.ROOT)}
    command = [sys.executable, "-c", PROGRAM, where]
    done = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["untouched"]
