"""A backend with memory of its own, or with guarded arrays, seen by tests that know NumPy's plain arrays alone."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from operation_calls import OPERATIONS

from kernels import Ops


def seen_from_host(ops: Ops) -> Ops:
    """Operations that take NumPy's arrays: `ops` itself where they are its own and need no guards."""
    guarded = getattr(getattr(ops, "runtime", None), "guard", "")
    return ops if ops.xp is np and not guarded else cast(Ops, OnHost(ops))


class OnHost:
    """The operations of `ops` on arrays of the host: copied to the device, and what was written copied back.

    Everything else is that of `ops`.
    """

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.ops, name)
        return self._copying(attribute) if name in OPERATIONS else attribute

    def _copying(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            pairs: list[tuple[np.ndarray, Any]] = []
            result = operation(
                *[self._to_device(a, pairs) for a in arguments],
                **{name: self._to_device(a, pairs) for name, a in named.items()},
            )
            for host, device in pairs:
                if host.flags.writeable:
                    host[...] = self.ops.to_host(device)
            return self._to_host(result, pairs)

        return call

    def _to_device(self, value: Any, pairs: list[tuple[np.ndarray, Any]]) -> Any:
        if isinstance(value, np.ndarray):
            device = next((device for host, device in pairs if host is value), None)
            if device is None:
                contiguous = value.flags.c_contiguous
                device = self.ops.to_device(value) if contiguous else self._strided(value)
                pairs.append((value, device))
            return device
        if isinstance(value, list | tuple):
            return type(value)(self._to_device(member, pairs) for member in value)
        return value

    def _strided(self, value: np.ndarray) -> Any:
        """On the device as little contiguous as it is."""
        return self.ops.to_device(np.stack([value, value], axis=-1))[..., 0]

    def _to_host(self, value: Any, pairs: list[tuple[np.ndarray, Any]]) -> Any:
        if isinstance(value, self.ops.xp.ndarray):
            argument = next((host for host, device in pairs if device is value), None)
            return self.ops.to_host(value) if argument is None else argument
        if isinstance(value, list | tuple):
            return type(value)(self._to_host(member, pairs) for member in value)
        return value
