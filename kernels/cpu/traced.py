"""Arrays whose NumPy functions are recorded, too: what layers and losses do with logits by NumPy is part of a step.

While a thread records, the backend's new buffers are `Traced`. What NumPy does with one, an operator, a universal
function, an assignment, is written down and its result is `Traced` again, as CuPy's functions take part in the capture
of a stream. Its contents are nothing yet: who looks at them (`float`, `if`) is told so, and so is who calls a function
that is not known here how to record. Two ways of losing work remain: NumPy on arrays none of which is `Traced`, and a
number read from such an array by its index, which is a copy; operations of the backend do such work (`copy`, `fill`).

Otherwise a `Traced` array is like any other.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .calls import plain, recording, run

RECORDED = {np.where, np.ones_like, np.zeros_like, np.full_like}
"""Functions that make a new array of all that they are given."""

HARMLESS = {np.empty_like, np.may_share_memory, np.shares_memory, np.swapaxes, np.split, np.array_split}
"""Functions that look at no contents."""

REDUCTIONS = "sum", "mean", "std", "var", "min", "max", "any", "all"
COPIES = "astype", "copy"
UNKNOWN = (
    *("argmax", "argmin", "argsort", "choose", "compress", "cumprod", "cumsum", "diagonal", "dot", "flatten"),
    *("item", "itemset", "nonzero", "partition", "prod", "put", "repeat", "resize", "round", "searchsorted", "sort"),
    *("take", "tobytes", "tofile", "tolist", "trace", "__array__", "__bool__", "__complex__", "__float__"),
    *("__index__", "__int__"),
)
"""Methods that look at contents, or that nothing in a step has needed so far."""


class Traced(np.ndarray):
    """See the module's text."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **how: Any) -> Any:
        if recording() and (method not in ("__call__", "reduce") or ufunc.nout > 1):
            raise TypeError(f"numpy.{ufunc.__name__}.{method} is not recorded: use an operation of the backend")
        how = {name: plain(value) for name, value in how.items()}
        function, values = ufunc if method == "__call__" else getattr(ufunc, method), tuple(map(plain, inputs))
        if out is None:
            return _made(partial(function, **how) if how else function, values)
        (target,) = out
        run(partial(function, out=plain(target), **how), *values)
        return target

    def __array_function__(self, function: Any, kinds: Any, arguments: Iterable[Any], how: Mapping[str, Any]) -> Any:
        if recording() and function in RECORDED:
            return _made(partial(function, **how), tuple(map(plain, arguments)))
        if recording() and function not in HARMLESS:
            raise TypeError(f"numpy.{function.__name__} is not recorded: use an operation of the backend")
        return super().__array_function__(function, kinds, arguments, how)

    def __getitem__(self, key: Any) -> Any:
        if not recording():
            return super().__getitem__(key)
        found = plain(self)[key]
        if not isinstance(found, np.ndarray):  # one number, which would be a copy
            found = plain(self)[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return self._view(found, "an index that copies")

    def __setitem__(self, key: Any, value: Any) -> None:
        run(np.ndarray.__setitem__, self, plain(key), plain(value))

    def fill(self, value: Any) -> None:
        """Recorded."""
        run(np.ndarray.fill, self, value)

    def reshape(self, *shape: Any, **how: Any) -> Any:
        """A view; while recording it has to be one."""
        return self._view(plain(self).reshape(*shape, **how), "a reshape that copies")

    def ravel(self, *order: Any) -> Any:
        """As `reshape`."""
        return self._view(plain(self).ravel(*order), "a ravel that copies")

    def _view(self, found: np.ndarray, what: str) -> Any:
        if recording() and found.size and not np.may_share_memory(found, plain(self)):
            raise TypeError(f"{what} is not recorded: use an operation of the backend")
        return found.view(Traced)


def _made(function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
    """What the function makes of the values: now, or in memory of its own whenever the calls are gone through."""
    if not recording():
        return function(*values)
    with np.errstate(all="ignore"):
        result = np.array(function(*values))  # for its shape and type
    if isinstance(function, np.ufunc):
        run(partial(function, out=result), *values)
    else:
        run(_assign, result, function, *values)
    return result.view(Traced)


def _assign(result: np.ndarray, function: Callable[..., Any], *values: Any) -> None:
    result[...] = function(*values)


def _recorded(name: str) -> Callable[..., Any]:
    method = getattr(np.ndarray, name)
    return lambda array, *positional, **how: _made(partial(method, **how), (plain(array), *map(plain, positional)))


def _refused(name: str) -> Callable[..., Any]:
    method = getattr(np.ndarray, name)

    def refuse(array: Traced, *positional: Any, **how: Any) -> Any:
        if recording():
            raise TypeError(f"{name} of an array whose contents are being recorded, and are nothing yet")
        return method(plain(array), *positional, **how)

    return refuse


for _name in (*REDUCTIONS, *COPIES):
    setattr(Traced, _name, _recorded(_name))
for _name in UNKNOWN:
    if hasattr(np.ndarray, _name):
        setattr(Traced, _name, _refused(_name))
