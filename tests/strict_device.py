"""A device whose memory nobody can read by accident: the emulator behind arrays that behave as CuPy's do.

CuPy's arrays refuse to become NumPy arrays unless asked (`to_host`), take part in NumPy's functions by its protocols
(__array_ufunc__, __array_function__), refuse to be mixed with NumPy's arrays, and their sums stay on the device.
These do the same; in addition they refuse float(), int(), bool() and item(), for which CuPy would wait for the device:
a training step must do without. During a capture, array functions are recorded like launches.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar
from unittest.mock import patch

import numpy as np

import kernels
from kernels.cuda import CudaOps
from kernels.cuda.emulator import EmulatorRuntime
from kernels.cuda.runtime import Argument, Dimensions, Function
from kernels.workspace import Workspace

DISPATCHED = {np.where, np.ones_like, np.zeros_like, np.full_like, np.split}
"""NumPy's functions that CuPy takes over."""


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the strict device."""

    def __init__(self, memory: np.ndarray, runtime: "StrictRuntime") -> None:
        self._memory, self._runtime = memory, runtime

    shape = property(lambda self: self._memory.shape)
    dtype = property(lambda self: self._memory.dtype)
    ndim = property(lambda self: self._memory.ndim)
    size = property(lambda self: self._memory.size)
    itemsize = property(lambda self: self._memory.itemsize)
    nbytes = property(lambda self: self._memory.nbytes)
    strides = property(lambda self: self._memory.strides)
    data = property(lambda self: SimpleNamespace(ptr=self._memory.ctypes.data))
    flags = property(lambda self: SimpleNamespace(c_contiguous=self._memory.flags.c_contiguous))

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> Iterator["DeviceArray"]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> "DeviceArray":
        view = self._memory[key]
        return DeviceArray(view if isinstance(view, np.ndarray) else self._memory[key, ...], self._runtime)

    def __setitem__(self, key: Any, value: Any) -> None:
        source = self._on_device(value)
        self._runtime.submit(lambda: self._memory.__setitem__(key, source))

    def reshape(self, *shape: Any) -> "DeviceArray":
        view = self._memory.reshape(*shape)
        assert view.size == 0 or np.shares_memory(view, self._memory), "a reshape that copies"
        return DeviceArray(view, self._runtime)

    def view(self, *dtype: Any) -> "DeviceArray":
        return DeviceArray(self._memory.view(*dtype), self._runtime)

    def swapaxes(self, a: int, b: int) -> "DeviceArray":
        return DeviceArray(self._memory.swapaxes(a, b), self._runtime)

    def fill(self, value: Any) -> None:
        self[...] = value

    def _reduced(self, name: str) -> Callable[..., "DeviceArray"]:
        return lambda *where, **how: self._computed(getattr(np.ndarray, name), (self, *where), how)

    sum = property(lambda self: self._reduced("sum"))
    mean = property(lambda self: self._reduced("mean"))
    std = property(lambda self: self._reduced("std"))
    astype = property(lambda self: self._reduced("astype"))
    copy = property(lambda self: self._reduced("copy"))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **how: Any) -> Any:
        assert method == "__call__", f"{ufunc.__name__}.{method} has no counterpart on the device"
        if out is None:
            return self._computed(ufunc, inputs, how)
        (target,) = out
        target[...] = self._computed(ufunc, inputs, how)
        return target

    def __array_function__(self, function: Any, _types: Any, arguments: Any, how: Any) -> Any:
        if function not in DISPATCHED:
            raise TypeError(f"{function.__name__} has no counterpart on the device")
        return self._computed(function, arguments, how)

    def _computed(self, function: Callable[..., Any], arguments: Sequence[Any], how: dict[str, Any]) -> Any:
        """The result in memory of its own; during a capture its shape, and a record of how it comes to be."""
        values = [self._on_device(value) for value in arguments]
        with np.errstate(all="ignore"):
            result = np.array(function(*values, **how))
        self._runtime.submit(lambda: result.__setitem__(..., function(*values, **how)))
        return DeviceArray(result, self._runtime)

    def _on_device(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            raise TypeError(f"an array {value.dtype} {value.shape} of the host among arrays of the device")
        return value._memory if isinstance(value, DeviceArray) else value

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("memory of the device is read by accident: to_host reads it on purpose")

    __array__ = __bool__ = __float__ = __int__ = __index__ = item = tolist = _refuse


class StrictRuntime(EmulatorRuntime):
    """The emulator with DeviceArrays for arrays."""

    captures_arrays = True
    xp = SimpleNamespace(
        ndarray=DeviceArray,
        may_share_memory=lambda a, b: np.may_share_memory(a._memory, b._memory),
    )

    def function(self, file: str, expression: str) -> Function:
        launch = super().function(file, expression)

        def checked(grid: Dimensions, block: Dimensions, arguments: Sequence[Argument], shared_bytes: int = 0) -> None:
            assert not any(isinstance(a, np.ndarray) for a in arguments), f"{expression} got memory of the host"
            launch(grid, block, [a._memory if isinstance(a, DeviceArray) else a for a in arguments], shared_bytes)

        return checked

    def allocate(self, nbytes: int) -> DeviceArray:
        return DeviceArray(super().allocate(nbytes), self)

    def workspace(self) -> Workspace:
        return Workspace(self.allocate)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        return DeviceArray(super().to_device(array), self)

    def to_host(self, array: DeviceArray) -> np.ndarray:
        return super().to_host(array._memory)


Device = TypeVar("Device", bound=StrictRuntime)


@contextlib.contextmanager
def as_backend(device: Device) -> Iterator[Device]:
    """While this is open, there is a backend "strict", and the device is it."""
    with patch.dict(kernels.BACKENDS, strict=partial(CudaOps, device)):
        yield device
