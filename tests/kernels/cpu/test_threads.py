"""The same bits whatever the number of threads, for every operation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from every_operation import cases
from test_op_conduct import OPERATIONS, Maker

import kernels

SCRIPT = Path(__file__).parent / "every_operation.py"


def digests(threads: int) -> dict[str, list[list[str]]]:
    """{dtype: [[operation, digest], ...]} from a process with so many threads."""
    environment = {
        **os.environ,
        "NUMBA_NUM_THREADS": str(threads),
        "PYTHONPATH": str(Path(kernels.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "numba"], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_table_holds_every_operation():
    assert {operation for operation, _ in cases(Maker(np.dtype(np.float32)))} == set(OPERATIONS)


@pytest.mark.slow
@pytest.mark.skipif(kernels.available().get("numba", "no") is not None, reason="the numba backend is not here")
def test_results_do_not_depend_on_the_number_of_threads():
    one = digests(1)
    assert {operation for results in one.values() for operation, _ in results} == set(OPERATIONS)
    for threads in (2, 3):
        assert digests(threads) == one, f"{threads} threads"
