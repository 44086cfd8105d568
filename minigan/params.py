"""ParamSet: all parameters of a network in one flat buffer, with a named view for each array.

Two buffers, trainable parameters and state (running statistics), hold every array one after the other, each aligned
to a cache line. An Adam step is then one kernel, and a checkpoint the named views.

    p = net.init(seed=0, in_shape=(100,))
    p = p.on(ops)         in the memory of a backend's device; the CPU's backends take it as it is
    p["dense1"]["W"]      a view; layers get p["dense1"] as their own p
    g = p.like()          gradients: same names, zeros, same memory
    p.flat                all trainables, one axis; the pads between arrays stay 0
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kernels import Ops
from kernels.types import Array, Shape
from kernels.workspace import ALIGNMENT, aligned_bytes

from .initializers import Initializer


@dataclass(frozen=True)
class Param:
    """What a layer says of one of its arrays.

    `trainable` arrays have a gradient; the others are state, which only `update_state` writes.
    """

    shape: Shape
    init: Initializer
    trainable: bool = True


Spec: TypeAlias = Mapping[str, "Param | Spec"]
"""Parameters of a layer by name, or of a composite's children by name, nested."""


class Views(dict[str, Any]):
    """Named arrays, nested as the layers are. Parameterless children have no entry: `sub` gives them an empty one.

    Assigning to a name copies into its array (`g["W"] += dw` too), or into a child's arrays name by name: no name ever
    leaves the flat buffer, and none can be added.

    After `ParamSet.clear` an array is filled with zeros when it is first asked for by its name, `g["W"]`; dict's other
    ways to a value do not look. Who would write all of it asks for its `target` instead: to clear a gradient of weights
    and to read the zeros again, to add to them, was a twentieth of a step of `mlp`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._outdated: dict[str, Ops] = {}

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if name in self._outdated:
            self._outdated.pop(name).fill(value, 0.0)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        target = self[name]
        if not isinstance(target, Views):
            target[...] = value
            return
        if set(target) != set(value):
            raise KeyError(f"{name}: expected {sorted(target)}, got {sorted(value)}")
        for child in target:
            target[child] = value[child]

    def sub(self, name: str) -> "Views":
        """The views of child `name`."""
        return self.get(name, _NO_VIEWS)

    def target(self, name: str) -> tuple[Array, bool]:
        """An array, and whether to add to it; else it holds nothing yet and is to be overwritten."""
        return super().__getitem__(name), self._outdated.pop(name, None) is None

    def outdate(self, name: str, ops: Ops) -> None:
        """Have `ops` clear an array when it is asked for."""
        self._outdated[name] = ops


_NO_VIEWS = Views()


def walk(spec: Spec, prefix: str = "") -> Iterator[tuple[str, Param]]:
    """Every parameter of a nested spec with its path, "conv2d1/W", in the order of the layers."""
    for name, entry in spec.items():
        if isinstance(entry, Param):
            yield prefix + name, entry
        else:
            yield from walk(entry, f"{prefix}{name}/")


class ParamSet:
    """Arrays of a nested spec in two flat buffers, all zero at first.

    Args:
        spec: of a network.
        dtype: float32 or float64.
        allocate: makes the memory, an aligned array of n bytes; by default the host's.

    Attributes:
        state: the buffer of state, one axis.
    """

    def __init__(
        self, spec: Spec, dtype: np.typing.DTypeLike = np.float32, allocate: Callable[[int], Array] = aligned_bytes
    ) -> None:
        self.spec = spec
        self.dtype = np.dtype(dtype)
        self.allocate = allocate
        entries = list(walk(spec))
        self._flat = self._zeros([param for _, param in entries if param.trainable])
        self.state = self._zeros([param for _, param in entries if not param.trainable])
        self._named: dict[str, Array] = {}
        self.views = Views()
        self._trainables: list[tuple[Views, str]] = []
        self._settled = True
        offsets = {True: 0, False: 0}
        for path, param in entries:
            start = offsets[param.trainable]
            offsets[param.trainable] += self._padded(param.shape)
            buffer = self._flat if param.trainable else self.state
            place = self._name(path, buffer[start : start + math.prod(param.shape)].reshape(param.shape))
            if param.trainable:
                self._trainables.append(place)

    def __getitem__(self, name: str) -> Any:
        return self.views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.views[name] = value

    def sub(self, name: str) -> Views:
        """The views of child `name`."""
        return self.views.sub(name)

    @property
    def flat(self) -> Array:
        """The buffer of trainables, one axis; what is assigned is copied into it (`p.flat -= lr * g.flat` too)."""
        self._settle()
        return self._flat

    @flat.setter
    def flat(self, values: Array) -> None:
        self._settle()
        self._flat[...] = values

    @property
    def named(self) -> dict[str, Array]:
        """{"conv2d1/W": view} for all arrays, in the order of the layers."""
        self._settle()
        return self._named

    def clear(self, ops: Ops) -> None:
        """Zeros in all trainables, though not before somebody asks; see `Views`. The pads are not touched."""
        for views, name in self._trainables:
            views.outdate(name, ops)
        self._settled = False

    def target(self, name: str) -> tuple[Array, bool]:
        """See `Views`."""
        return self.views.target(name)

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            for views, name in self._trainables:
                views[name]  # which clears it, if nobody has asked for it since

    def like(self) -> "ParamSet":
        """A new set of the same spec, all zero: gradients, or an optimizer's moments."""
        return ParamSet(self.spec, self.dtype, self.allocate)

    def copy(self) -> "ParamSet":
        """A new set of the same spec and contents."""
        other = self.like()
        other.flat[...], other.state[...] = self.flat, self.state
        return other

    def on(self, ops: Ops) -> "ParamSet":
        """The same contents where `ops` can take them: self, or a copy in the memory of a device."""
        flat = ops.to_device(self.flat)
        if flat is self.flat:
            return self
        other = ParamSet(self.spec, self.dtype, ops.allocate)
        other.flat[...], other.state[...] = flat, ops.to_device(self.state)
        return other

    def trainable(self) -> dict[str, Array]:
        """{path: view} of the arrays that have a gradient."""
        return {path: self.named[path] for path, param in walk(self.spec) if param.trainable}

    @property
    def count(self) -> int:
        """Number of trainable parameters, pads not counted."""
        return sum(math.prod(param.shape) for _, param in walk(self.spec) if param.trainable)

    def _padded(self, shape: Shape) -> int:
        """Elements that an array of `shape` takes, rounded up so that the next one is aligned."""
        line = ALIGNMENT // self.dtype.itemsize
        return -(-math.prod(shape) // line) * line

    def _zeros(self, params: list[Param]) -> Array:
        size = sum(self._padded(param.shape) for param in params)
        buffer = self.allocate(size * self.dtype.itemsize).view(self.dtype)
        buffer.fill(0)
        return buffer

    def _name(self, path: str, view: Array) -> tuple[Views, str]:
        self._named[path] = view
        *parents, last = path.split("/")
        node = self.views
        for parent in parents:
            node = dict.setdefault(node, parent, Views())
        dict.__setitem__(node, last, view)
        return node, last
