"""Tests once more, in a process with other settings of Numba."""

import os
import subprocess
import sys
from pathlib import Path

import kernels

ROOT = Path(kernels.__file__).parents[1]
HERE = Path(__file__).parent


def assert_passes(*arguments: str, **environment: str) -> None:
    """Assert that pytest with these arguments, in this folder, finds tests and all of them pass."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *arguments]
    ours |= {"PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, cwd=HERE, env=ours, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
