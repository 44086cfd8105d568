"""How every CPU kernel is compiled: two decorators, one cache on disk, one rule for threads.

`@kernel` makes a function that other kernels call. `@parallel_kernel` makes one that Python calls; what it hands to
`fork` runs on all threads. The rule that makes results independent of the number of threads: what one work item
computes depends on shapes alone, and items never add into the same place. A reduction writes one partial sum per item
and adds them up in order.

A kernel is compiled and optimised once by itself and once more within each kernel that calls it, so a start without
cached code is quick where calls are few and not deep, and where heavy functions have few callers.

Compiled code is kept on disk, keyed by Numba by function, argument types and CPU (name and features). Numba notices an
edit only in the file that defines a function, not in what that function calls; here the key holds all sources that a
kernel may use, so that no stale kernel survives an upgrade. What has to be compiled is announced (`kernels.compiling`).

Threads start with the first kernel, not with the import. Under GNU OpenMP, Numba's choice on Linux, a process forked
after that is killed when it calls a kernel itself: start workers that compute with "spawn", or with a fork server.

Threads of GNU OpenMP that wait for work spin, by default for milliseconds. Where other programs want the cores too,
that keeps the very thread from running that all others wait for: a step of `dcgan` took 600 ms in place of 90. So,
unless the environment says otherwise, they spin for about 0.2 ms, longer than the gap between two kernels, and then
sleep.

With NUMBA_DISABLE_JIT=1 kernels are Python functions, which can be stepped through in a debugger. What Python calls is
as silent about overflow and infinity times 0 as compiled code: tiles stick out over numbers that nobody will read.
"""

import functools
import hashlib
import importlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile

from ..compiling import announce
from .calls import run

Function = TypeVar("Function", bound=Callable[..., Any])

# nsz: the sign of a zero may change. It keeps NaN and infinity, and reorders no sum. Not contract (a*b + c may become
# one fused multiply-add): which of two products is fused is up to the optimiser, and a function that several kernels
# call is optimised in each of them; the copy that a process runs depends on what it compiled and what it loaded.
MATH = frozenset({"nsz"})

# As MATH, and sums may be reordered, which lets LLVM add in vectors. The order is fixed when the kernel is compiled.
REASSOCIATE = MATH | {"reassoc"}


def _spin_briefly() -> None:
    """Before the thread pool is loaded: it reads the environment then, and never again."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")


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


_spin_briefly()
_LAUNCH_TOGETHER = _threads_may_launch_together()


# Reading the syntax tree in place of this took a fifth of a second of every start.
_RELATIVE_IMPORT = re.compile(r"^\s*from (\.+)([\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)


@functools.cache
def _sources(file: Path) -> frozenset[Path]:
    """A source file and all files that it imports from this distribution, directly or not."""
    found = {file}
    for dots, module, names in _RELATIVE_IMPORT.findall(file.read_text(encoding="utf-8")):
        folder = file.parents[len(dots) - 1] / module.replace(".", "/")
        paths = (folder.with_suffix(".py"), *(folder / f"{name}.py" for name in re.findall(r"\w+", names)))
        found |= {path for path in paths if path.exists()} - {file}
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


def forget_outdated(folder: Path) -> None:
    """Delete from a cache folder what was compiled of sources that are no more as they were."""
    current = {_sources_digest(file) for file in Path(__file__).parent.rglob("*.py")}
    for file in folder.glob("*.nb[ic]"):
        digest = _IN_NAME.search(file.name)
        if digest is not None and digest[1] not in current:
            file.unlink(missing_ok=True)


_IN_NAME = re.compile(r"\.([0-9a-f]{16})(?:\.\d+)?\.nb[ic]$")


def compiled(function: Function, fastmath: frozenset[str] = MATH, **more: bool) -> Any:
    """Compile a function as all are, for calls from Python that nothing records."""
    options = {**more, "nogil": True, "error_model": "numpy", "cache": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(fastmath=set(fastmath), **options)(function)
    if not numba.config.DISABLE_JIT:
        _forget_literals(dispatcher)
        cache = dispatcher._cache
        name = f"{cache._impl.filename_base}.{_sources_digest(Path(function.__code__.co_filename))}"
        # In the name, not in the stamp: to read a stamp Numba unpickles an index that may name types that are no more.
        cache._cache_file = IndexDataCacheFile(cache.cache_path, name, source_stamp=None)
    return dispatcher


def _forget_literals(dispatcher: Any) -> None:
    """Make Numba compile one version for all numbers of a type, where it would compile another for each constant."""
    template = dispatcher.get_call_template

    def get_call_template(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        kinds = {name: types.unliteral(kind) for name, kind in named.items()}
        return template(tuple(map(types.unliteral, arguments)), kinds)

    dispatcher.get_call_template = get_call_template


def kernel(function: Function | None = None, *, fastmath: frozenset[str] = MATH) -> Any:
    """Compile a function that kernels call."""
    if function is None:
        return functools.partial(kernel, fastmath=fastmath)
    inner = compiled(function, fastmath, no_cpython_wrapper=True)
    return inner if numba.config.DISABLE_JIT else _wrapped_late(inner)


def _wrapped_late(dispatcher: Any) -> Any:
    """Make what Python needs for a call of the function when it calls it, which is when someone tries a kernel out.

    Numba makes it for every function otherwise, a fifth of the time to compile.
    """
    through = numba.njit(lambda *arguments: dispatcher(*arguments))
    dispatcher.add_overload = lambda result: dispatcher.overloads.__setitem__(tuple(result.signature.args), result)
    dispatcher._compile_for_args = lambda *_: through
    return dispatcher


def parallel_kernel(function: Function | None = None, *, fastmath: frozenset[str] = MATH) -> Any:
    """Compile a function that Python calls and that hands work to the threads with `fork`; see `calls` on when."""
    if function is None:
        return functools.partial(parallel_kernel, fastmath=fastmath)
    launch = compiled(function, fastmath)
    if numba.config.DISABLE_JIT:
        launch = np.errstate(all="ignore")(launch)
    if not _LAUNCH_TOGETHER:
        launch = _one_at_a_time(launch)
    return functools.wraps(function)(functools.partial(run, launch))


_turn = threading.Lock()


def _one_at_a_time(launch: Any) -> Any:
    """The work queue ends the process when two threads launch at once."""

    @functools.wraps(launch)
    def locked(*arguments: Any) -> Any:
        with _turn:
            return launch(*arguments)

    return locked


class _Announcer(event.Listener):
    """Announces each kernel of this package that Numba begins to compile for a call from Python."""

    def __init__(self) -> None:
        self._tidied = False
        self._depth = 0  # a kernel's compilation holds those of the kernels it calls; Numba's lock admits one thread

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith(f"{__package__}."):
            if self._depth == 0:
                announce(function.__name__, cache_folder())
            if not self._tidied:
                self._tidied = True
                forget_outdated(cache_folder())
            self._depth += 1

    def on_end(self, event: event.Event) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            self._depth -= 1


event.register("numba:compile", _Announcer())
