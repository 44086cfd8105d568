"""DiffAugment: random changes of the images that a discriminator sees, with a gradient. Axes: N, H, W, C."""

from typing import Any, NamedTuple

import numpy as np

from kernels import Ops, Use
from kernels.types import Array, Shape

from ..layer import Layer, Note, Params
from ..params import Spec
from .shape import image

KINDS = ("translation", "cutout", "brightness")
FARTHEST = 1 / 8
"""Of height and width: how far an image is moved at most."""
HOLE = 1 / 2
"""Of height and width: the sides of a hole."""
BRIGHTEST = 0.5
"""Added to every pixel at most; images lie in [-1, 1]."""


class Changes(NamedTuple):
    """What was drawn for each image."""

    shift: Array  # (N, 2): pixels down and to the right
    hole: Array  # (N, 4): first row, last row + 1, first column, last column + 1
    brightness: Array  # (N,)


class DiffAugment(Layer):
    """y = cut(move(x + b)): every image brightened, moved and with a hole cut into it, at random; eval: the identity.

    Real and fake images are changed alike, in D's update and in G's: D must tell them apart by what no change of this
    kind can hide and cannot learn few images by heart, and G does not learn the changes (Zhao, Liu, Lin, Zhu and Han
    2020, section 3.2). For given changes it is linear but for b:

        forward          y = cut(move(x + b))
        backward         dx = move^T(cut(dy))
        double_backward  ddy = cut(move(ddx))

    move shifts by up to an eighth of the image and fills with 0; cut sets a rectangle of half the height and half the
    width to 0, its middle anywhere in the image, what lies outside left out; b, one number an image, is uniform between
    -1/2 and 1/2.

    Args:
        kinds: some of "translation", "cutout", "brightness".

    Deviation: Zhao et al. change saturation and contrast with the brightness; grey images have no saturation.
    """

    def __init__(self, *kinds: str) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"DiffAugment: expected some of {', '.join(KINDS)}, got {kind!r}")
            if kinds.count(kind) > 1:
                raise ValueError(f"DiffAugment: expected each kind once, got {kind!r} {kinds.count(kind)} times")
        if not kinds:
            raise ValueError(f"DiffAugment: expected at least one of {', '.join(KINDS)}")
        self.kinds = kinds

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) unchanged; no parameters."""
        return image(self, in_shape), {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Changes | None]:
        """y = cut(move(x + b)); keeps what was drawn, None in eval mode."""
        if not train:
            return x, None
        changes = self.draw(ops, x.shape)
        brighter = ops.empty(x.shape)
        np.add(x, ops.to_device(changes.brightness.reshape(-1, 1, 1, 1)), out=brighter)
        return _cut(ops, _move(ops, brighter, changes.shift), changes.hole), changes

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Changes | None,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, Changes | None]:
        """dx = move^T(cut(dy)): moved back by as much."""
        if not need_dx or cache is None:
            return (dy if need_dx else None), cache
        return _move(ops, _cut(ops, dy, cache.hole), -cache.shift), cache

    def double_backward(
        self, ops: Ops, p: Params, tape: Changes | None, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, None]:
        """ddy = cut(move(ddx))."""
        if ddx is None or tape is None:
            return ddx, None
        return _cut(ops, _move(ops, ddx, tape.shift), tape.hole), None

    def draw(self, ops: Ops, shape: Shape) -> Changes:
        """The changes of a batch of `shape`; a kind that is not wanted draws nothing that shows."""
        sides = np.array(shape[1:3])
        u = ops.to_host(ops.random_uniform((shape[0], 5), Use.AUGMENT))
        shift, hole = np.zeros((shape[0], 2), np.int64), np.zeros((shape[0], 4), np.int64)
        brightness = np.zeros(shape[0], u.dtype)
        if "translation" in self.kinds:
            farthest = np.round(FARTHEST * sides).astype(np.int64)
            shift = _whole(u[:, :2], 2 * farthest + 1) - farthest
        if "cutout" in self.kinds:
            size = np.maximum(np.round(HOLE * sides), 1).astype(np.int64)
            first = _whole(u[:, 2:4], sides) - size // 2
            hole = np.stack([first.clip(0), np.minimum(first + size, sides)], axis=2).reshape(-1, 4)
        if "brightness" in self.kinds:
            brightness = (2 * u[:, 4] - 1) * u.dtype.type(BRIGHTEST)
        return Changes(shift, hole, brightness)


def _whole(u: Array, count: Array) -> Array:
    """Whole numbers in [0, count) from uniform ones in (0, 1); float32 may round those up to 1."""
    return np.minimum((u * count).astype(np.int64), count - 1)


def _move(ops: Ops, x: Array, shift: Array) -> Array:
    """Every image shifted, with 0 where nothing was."""
    y = ops.empty(x.shape)
    ops.fill(y, 0.0)
    height, width = x.shape[1:3]
    for source, target, (down, right) in zip(x, y, shift.tolist(), strict=True):
        rows, columns = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
        target[rows, columns] = source[
            rows.start - down : rows.stop - down, columns.start - right : columns.stop - right
        ]
    return y


def _cut(ops: Ops, x: Array, hole: Array) -> Array:
    """Every image with a hole of zeros."""
    y = ops.empty(x.shape)
    y[...] = x
    for target, (top, bottom, left, right) in zip(y, hole.tolist(), strict=True):
        target[top:bottom, left:right] = 0
    return y
