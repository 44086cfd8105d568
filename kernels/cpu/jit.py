"""How every CPU kernel is compiled: two decorators, one cache on disk, one rule for threads.

`@kernel` makes a function that other kernels call; LLVM inlines it. `@parallel_kernel` makes one that Python calls; its
`prange` loop runs on all threads. The rule that makes results independent of the number of threads: what one iteration
of a `prange` computes depends on shapes alone, and iterations never add into the same place. A reduction writes one
partial sum per iteration and adds them up in order.

Compiled code is kept on disk, keyed by Numba by function, argument types and CPU (name and features). Numba notices an
edit only in the file that defines a function, not in what that function calls; here the key holds all sources that a
kernel may use, so that no stale kernel survives an upgrade. What has to be compiled is announced (`kernels.compiling`).

Threads start with the first kernel, not with the import. Under GNU OpenMP, Numba's choice on Linux, a process forked
after that is killed when it calls a kernel itself: start workers that compute with "spawn", or with a fork server.

With NUMBA_DISABLE_JIT=1 both decorators return the Python function, which can be stepped through in a debugger.
"""

import ast
import functools
import hashlib
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..compiling import announce

Function = TypeVar("Function", bound=Callable[..., Any])

# contract: a*b + c may become one fused multiply-add. nsz: the sign of a zero may change. Both keep NaN and infinity,
# and neither reorders a sum.
MATH = frozenset({"contract", "nsz"})

# As MATH, and sums may be reordered, which lets LLVM add in vectors. The order is fixed when the kernel is compiled.
REASSOCIATE = MATH | {"reassoc"}

_PRANGE_ONLY = dict.fromkeys(("comprehension", "numpy", "reduction", "setitem", "stencil", "fusion"), False) | {
    "prange": True
}


def _threads_may_launch_together() -> bool:
    """Whether several Python threads may use Numba's thread pool at once: all but its last resort, the work queue."""
    layer = numba.config.THREADING_LAYER.lower()
    if layer in ("workqueue", "forksafe"):
        return False
    for pool in numba.config.THREADING_LAYER_PRIORITY if layer == "default" else ("tbb", "omp"):
        if pool == "workqueue":
            break
        try:
            importlib.import_module(f"numba.np.ufunc.{pool}pool")
        except ImportError:
            continue
        return True
    return False


_LAUNCH_TOGETHER = _threads_may_launch_together()


@functools.cache
def _sources(file: Path) -> frozenset[Path]:
    """A source file and all files that it imports from this distribution, directly or not."""
    found = {file}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = file.parents[node.level - 1] / (node.module or "").replace(".", "/")
            names = [folder / f"{alias.name}.py" for alias in node.names]
            found |= {path for path in (folder.with_suffix(".py"), *names) if path.exists()} - {file}
    return frozenset(found).union(*(_sources(path) for path in found - {file}))


@functools.cache
def _sources_digest(file: Path) -> str:
    """Hash of all sources that a kernel in `file` may use."""
    digest = hashlib.sha256()
    for source in sorted(_sources(file)):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    return Path(FunctionCache(cache_folder).cache_path)


def _compiled(function: Function, **options: Any) -> Any:
    dispatcher = numba.njit(nogil=True, error_model="numpy", cache=True, **options)(function)
    if not numba.config.DISABLE_JIT:
        cache = dispatcher._cache
        name = f"{cache._impl.filename_base}.{_sources_digest(Path(function.__code__.co_filename))}"
        # In the name, not in the stamp: to read a stamp Numba unpickles an index that may name types that are no more.
        cache._cache_file = IndexDataCacheFile(cache.cache_path, name, source_stamp=None)
    return dispatcher


def kernel(function: Function | None = None, *, fastmath: frozenset[str] = MATH) -> Any:
    """Compile a function that kernels call."""
    if function is None:
        return functools.partial(kernel, fastmath=fastmath)
    return _compiled(function, fastmath=set(fastmath))


def parallel_kernel(function: Function | None = None, *, fastmath: frozenset[str] = MATH) -> Any:
    """Compile a function that Python calls and that spreads its `prange` loops over the threads."""
    if function is None:
        return functools.partial(parallel_kernel, fastmath=fastmath)
    parallel = {"parallel": _PRANGE_ONLY} if "prange" in function.__code__.co_names else {}
    compiled = _compiled(function, fastmath=set(fastmath), **parallel)
    return compiled if _LAUNCH_TOGETHER else _one_at_a_time(compiled)


_launch = threading.Lock()


def _one_at_a_time(compiled: Any) -> Any:
    """The work queue ends the process when two threads launch at once."""

    @functools.wraps(compiled)
    def locked(*arguments: Any) -> Any:
        with _launch:
            return compiled(*arguments)

    return locked


class _Announcer(event.Listener):
    """Announces each kernel of this package that Numba begins to compile for a call from Python."""

    def __init__(self) -> None:
        self._depth = 0  # a kernel's compilation holds those of the kernels it calls; Numba's lock admits one thread

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith(f"{__package__}."):
            if self._depth == 0:
                announce(function.__name__, cache_folder())
            self._depth += 1

    def on_end(self, event: event.Event) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            self._depth -= 1


event.register("numba:compile", _Announcer())
