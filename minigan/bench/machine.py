"""The machine and the software that a measurement was made with; nothing that would name its owner."""

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernels.cpu.target import TARGET

PACKAGES = ("minigan", "numpy", "numba", "llvmlite", "torch", "jax", "jaxlib", "cupy-cuda12x", "cupy-cuda13x")

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Where set, somebody computes on fewer cores than there are."""


def describe() -> dict[str, Any]:
    """CPU, cores, memory, system, versions, settings of threads, load (processes that ran, over a minute), date."""
    return {
        "cpu": cpu_name(),
        "target": f"{TARGET.name}, vectors of {8 * TARGET.vector_bytes} bits",
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "blas": blas(),
        "thread_settings": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def cores() -> int:
    """The CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The CPU's model as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Installed versions of the packages that matter."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def blas() -> str:
    """Name and version of NumPy's BLAS."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    own = config["Build Dependencies"]["blas"]
    return f"{own.get('name', 'unknown')} {own.get('version', '')}".strip()
