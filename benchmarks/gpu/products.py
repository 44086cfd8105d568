"""Matrix products by size, convolutions of a large dcgan, and the layers of the presets: each rung beside the peers.

A contender called "... TF32" may round factors to 10 bits of mantissa; the others are as accurate as float32.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import minigan.bench.layers as preset_layers
from kernels.cuda.instances.products import CONVOLUTION, MATMUL
from kernels.types import Array, Shape
from minigan.bench.case import Label
from minigan.layers import Conv2d
from minigan.layers.linear import LinearLayer

from . import sides
from .measure import Case, Entry, Ready, sets
from .sides import Ours

SIZES = (256, 512, 1024, 2048, 4096, 8192)
"""Square products."""

BATCH = 128
CONVOLUTIONS = ((64, 64, 128), (32, 64, 128), (16, 128, 256), (16, 256, 512), (8, 256, 512))
"""(height and width, channels, filters) of 4x4 convolutions of stride 2, as a dcgan of 64x64 images has them."""

PRESETS = ("mlp", "dcgan")
SEEN = 1 << 20
"""Numbers of a result that are compared."""

EXACT, TF32 = "minigan", "minigan TF32"
TOLERANCE = {EXACT: 2e-5, TF32: 2e-3}


def rungs(ladder: dict[str, Any], first: str) -> list[tuple[str, str]]:
    """(contender, rung) of a ladder from `first` up."""
    names = list(ladder)
    return [(TF32 if name.startswith("tf32") else EXACT, name) for name in names[names.index(first) :]]


def matmuls(ours: Ours, torch_device: str, sizes: tuple[int, ...] = SIZES) -> Iterator[Case]:
    """y = a b, all n x n."""
    for n in sizes:
        size = 3 * 4 * n * n
        yield Case({"what": "matmul", "n": n}, partial(_matmul_entries, ours, torch_device, n, size), 2 * n**3, size)


def _matmul_entries(ours: Ours, device: str, n: int, size: int) -> list[Entry]:
    a, b = np.random.default_rng(0).standard_normal((2, n, n), np.float32)
    count = sets(size)
    entries = [
        Entry(name, rung, partial(_our_matmul, ours, rung, a, b, count), TOLERANCE[name])
        for name, rung in rungs(MATMUL, "warp")
    ]
    for tf32 in (False, True):
        suffix, tolerance = (" TF32", TOLERANCE[TF32]) if tf32 else ("", TOLERANCE[EXACT])
        entries += [
            Entry(f"PyTorch{suffix}", "", partial(_torch_matmul, device, tf32, a, b, count), tolerance),
            Entry(f"CuPy{suffix}", "", partial(_cupy_matmul, ours, tf32, a, b, count), tolerance),
        ]
    return entries


def _our_matmul(ours: Ours, rung: str, a: Array, b: Array, count: int) -> Ready:
    ops = ours.ops(matmul_rung=rung)
    buffers = [tuple(ops.to_device(x) for x in (a, b, np.empty_like(a))) for _ in range(count)]
    calls = [partial(ops.matmul, a, b, out=y) for a, b, y in buffers]
    for call in calls:
        call()
    return Ready(ours.together(ops, calls), count, ours.clock(), ops.to_host(_seen(buffers[0][2])))


def _torch_matmul(device: str, tf32: bool, a: Array, b: Array, count: int) -> Ready:
    torch_side = sides.Torch(device)
    import torch

    buffers = [[torch.tensor(x, device=device) for x in (a, b, np.zeros_like(a))] for _ in range(count)]
    run = torch_side.together([partial(torch.matmul, a, b, out=y) for a, b, y in buffers], tf32)
    run()
    return Ready(run, count, torch_side.clock(), _seen(buffers[0][2]).cpu().numpy())


def _cupy_matmul(ours: Ours, tf32: bool, a: Array, b: Array, count: int) -> Ready:
    """On our stream, one call after the other: a graph refuses cuBLAS."""
    import cupy
    from cupy._core import _routines_linalg, set_compute_type  # what CUPY_TF32=1 does, too

    ours.ops().runtime.stream.use()
    buffers = [tuple(cupy.asarray(x) for x in (a, b, np.empty_like(a))) for _ in range(count)]
    kind = _routines_linalg.COMPUTE_TYPE_TF32 if tf32 else _routines_linalg.COMPUTE_TYPE_DEFAULT

    def run() -> None:
        set_compute_type("float32", kind)
        for a, b, y in buffers:
            cupy.matmul(a, b, out=y)

    run()
    return Ready(run, count, ours.clock(), cupy.asnumpy(_seen(buffers[0][2])))


def convolutions(
    ours: Ours, torch_device: str, shapes: tuple[tuple[int, int, int], ...] = CONVOLUTIONS, batch: int = BATCH
) -> Iterator[Case]:
    """The three products of each convolution."""
    for side, channels, filters in shapes:
        layer = Conv2d(channels, filters, 4, stride=2, padding=1)
        for product in preset_layers.PRODUCTS:
            yield _layer_case("convolution", layer, (side, side, channels), batch, product, ours, torch_device)


def layers(ours: Ours, torch_device: str, presets: tuple[str, ...] = PRESETS) -> Iterator[Case]:
    """The products of the presets' layers, each once; the gradient in the latents, which nobody needs, is left out."""
    for preset in presets:
        for player, path, layer, in_shape in preset_layers.linear_layers(preset):
            for product in preset_layers.PRODUCTS:
                if product != "input gradient" or (player, path) != ("generator", "dense1"):
                    kind = f"{preset} {player} {path}"
                    yield _layer_case(kind, layer, in_shape, preset_layers.BATCH, product, ours, torch_device)


def _layer_case(
    what: str, layer: LinearLayer, in_shape: Shape, batch: int, product: str, ours: Ours, device: str
) -> Case:
    out_shape = layer.spec(in_shape)[0]
    shapes = (batch, *in_shape), preset_layers.weight_shape(layer, in_shape), (batch, *out_shape)
    size = 4 * sum(int(np.prod(shape)) for shape in shapes)
    labels: dict[str, Label] = {
        "what": what,
        "batch": batch,
        "shape": preset_layers.shape_text(in_shape, out_shape),
        "product": product,
    }
    return Case(
        labels,
        partial(_layer_entries, layer, shapes, product, ours, device, sets(size)),
        batch * layer.flops(in_shape),
        size,
    )


def _layer_entries(
    layer: LinearLayer, shapes: tuple[Shape, Shape, Shape], product: str, ours: Ours, device: str, count: int
) -> list[Entry]:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape, np.float32) for shape in shapes]
    dense = len(shapes[0]) == 2
    setting, ladder = (
        ("matmul_rung", rungs(MATMUL, "warp")) if dense else ("convolution", rungs(CONVOLUTION, "implicit"))
    )
    entries = [
        Entry(name, rung, partial(_our_layer, ours, {setting: rung}, layer, arrays, product, count), TOLERANCE[name])
        for name, rung in ladder
    ]
    for tf32 in (False, True):
        suffix, tolerance = (" TF32", TOLERANCE[TF32]) if tf32 else ("", TOLERANCE[EXACT])
        prepare = partial(_torch_layer, device, tf32, layer, arrays, product, count)
        entries.append(Entry(f"PyTorch{suffix}", "" if dense else "channels-last", prepare, tolerance))
    return entries


def _our_layer(
    ours: Ours, settings: dict[str, str], layer: LinearLayer, arrays: list[Array], product: str, count: int
) -> Ready:
    ops = ours.ops(**settings)
    buffers = [[ops.to_device(a) for a in arrays] for _ in range(count)]
    dw = ops.to_device(np.zeros_like(arrays[1]))

    def call(x: Array, w: Array, dz: Array) -> Array:
        return preset_layers.product_of(layer, ops, product, x, w, dz, dw)

    calls: list[Callable[[], object]] = [partial(call, *own) for own in buffers]
    found = ops.to_host(_seen(call(*buffers[0])))
    for once in calls:
        once()
    return Ready(ours.together(ops, calls), count, ours.clock(), found)


def _torch_layer(device: str, tf32: bool, layer: LinearLayer, arrays: list[Array], product: str, count: int) -> Ready:
    """In the layout that is nearest to ours, and fastest on tensor cores."""
    torch_side = sides.Torch(device)
    from minigan.bench.peers import torch_layers

    torch_side.precision(tf32)
    x, w, dz = arrays
    calls = [torch_layers.work(layer, x, w, dz, product, "channels-last", device) for _ in range(count)]
    found = torch_layers.ours(layer, product, calls[0]().cpu().numpy())
    return Ready(torch_side.together(calls, tf32), count, torch_side.clock(), _seen(found))


def _seen(array: Any) -> Any:
    """So many whole entries of the first axis that there are about SEEN numbers of them."""
    return array[: max(1, SEEN // max(1, int(np.prod(array.shape[1:]))))]
