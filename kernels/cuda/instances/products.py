"""The ladders of the matrix product and the convolutions: for each rung its file, its tiles, and what a block needs."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from ..source import Instance

SIZES = {"float": 4, "double": 8}
"""Bytes of a number, by element type."""

DEPTH = 16
"""Steps of k in a panel: DEPTH of the .cu files."""

SPLIT_SUM, SUM_THREADS = "split_sum.cu", 256
"""The kernel that adds up the parts of a split product."""

OPERAND, OPERAND_SIDE, OPERAND_THREADS = "gemm_operand.cu", 32, 256
"""The kernel that prepares an operand, and the sides of its tiles."""

WGMMA_DEPTH = 32
"""Steps of k in a panel of gemm_wgmma.cu."""


class Tile(NamedTuple):
    """One size of a kernel.

    Attributes:
        arguments: of the template, as far as they do not say how operands lie.
        side: a block computes side x side numbers of y; 1: each thread one number.
        threads: per block.
        shared_bytes: dynamic shared memory of a block.
        narrow: where it is not 0, a block computes side x narrow numbers.
    """

    arguments: str
    side: int
    threads: int
    shared_bytes: int = 0
    narrow: int = 0

    def blocks(self, m: int, n: int) -> int:
        """Blocks for y (m, n)."""
        if self.side == 1:
            return -(-m * n // self.threads)
        return -(-m // self.side) * -(-n // (self.narrow or self.side))


class Rung(NamedTuple):
    """One way to compute a product.

    Attributes:
        idea: why it is faster than the rung below.
        file: its .cu file; a matrix product's kernel has the same name.
        tiles: by element type, the largest first; after them those that are narrow.
        splits: whether blocks may share the k of a tile.
        capability: the only compute capability that it runs on; None: any that has the instructions.
        parts: of each operand in memory, where it has to be prepared by OPERAND: 1 as TF32, 2 as the sum of two; 0: it
            is multiplied as it is.
    """

    idea: str
    file: str
    tiles: dict[str, tuple[Tile, ...]]
    splits: bool = False
    capability: tuple[int, int] | None = None
    parts: int = 0

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether a device of this compute capability is the one that the rung asks for."""
        return self.capability in (None, capability)


def ring_bytes(side: int, size: int, stages: int, narrow: int = 0) -> int:
    """Shared memory of a ring of panel pairs, whichever way the operands lie; panel.cuh has their strides."""
    return stages * size * sum(_panel(rows, size) for rows in (side, narrow or side))


def _panel(rows: int, size: int) -> int:
    """Numbers of a panel, the larger one of the two ways."""
    along_k, across = rows * (DEPTH + 16 // size), DEPTH * (rows + (40 - rows % 32) % 32)
    return max(along_k, across)


def _plain(side: int, threads: int) -> dict[str, tuple[Tile, ...]]:
    return {real: (Tile(real, side, threads),) for real in SIZES}


def _ring(real: str, side: int, stages: int, arguments: str) -> Tile:
    return Tile(arguments, side, 2 * side, ring_bytes(side, SIZES[real], stages))


def _warp_tiles(arguments: str) -> dict[str, tuple[Tile, ...]]:
    """Of the kernels made of `ThreadTile`, which have three stages; the template's arguments by real and side."""
    sides = {"float": (128, 64), "double": (64,)}
    return {
        real: tuple(_ring(real, side, 3, arguments.format(real=real, side=side)) for side in sides[real])
        for real in SIZES
    }


def _tensor_tiles(arguments: str) -> dict[str, tuple[Tile, ...]]:
    """Of the kernels made of `MmaTile`, which have four stages and take float32 alone; arguments by side."""
    return {"float": tuple(_ring("float", side, 4, arguments.format(side=side)) for side in (128, 64))}


def _narrow_tile(arguments: str) -> Tile:
    """64 x 8 numbers of y on tensor cores; arguments by side and narrow."""
    side, narrow = 64, 8
    shared_bytes = ring_bytes(side, SIZES["float"], 4, narrow)
    return Tile(arguments.format(side=side, narrow=narrow), side, 2 * side, shared_bytes, narrow)


def _convolution_tiles(products: int) -> dict[str, tuple[Tile, ...]]:
    """On tensor cores, images of few channels among them."""
    square = _tensor_tiles(f"float, {{side}}, {products}")["float"]
    return {"float": (*square, _narrow_tile(f"float, {{side}}, {products}, {{narrow}}"))}


def _wgmma(idea: str, products: int, parts: int) -> Rung:
    ring, alignment = 192 << 10, 1 << 10
    tile = Tile(f"{products}", 128, 256 + 32, ring + alignment)
    return Rung(idea, "gemm_wgmma.cu", {"float": (tile,)}, capability=(9, 0), parts=parts)


MATMUL: dict[str, Rung] = {
    "naive": Rung("one thread for each number, as the definition says", "gemm_naive.cu", _plain(1, 256)),
    "coalesced": Rung("the lanes of a warp run along memory", "gemm_coalesced.cu", _plain(1, 256)),
    "shared": Rung("a tile of each operand in shared memory", "gemm_shared.cu", _plain(32, 1024)),
    "register": Rung("a tile of y in the registers of each thread", "gemm_register.cu", _plain(64, 256)),
    "vectorised": Rung(
        "16 bytes an instruction, copied while the block multiplies",
        "gemm_vectorised.cu",
        {real: (Tile(real, 512 // size, 256, ring_bytes(512 // size, size, 2)),) for real, size in SIZES.items()},
    ),
    "warp": Rung("a warp takes a square piece of the tile", "gemm_warp.cu", _warp_tiles("{real}, {side}"), splits=True),
    "tf32": Rung(
        "tensor cores, which round the factors to TF32", "gemm_tensor.cu", _tensor_tiles("{side}, 1"), splits=True
    ),
    "3xtf32": Rung(
        "three TF32 products add up to one of float32", "gemm_tensor.cu", _tensor_tiles("{side}, 3"), splits=True
    ),
    "tf32-wgmma": _wgmma("a warp that only copies, and warps that only multiply", 1, 1),
    "3xtf32-wgmma": _wgmma("the same with three products", 3, 2),
}
"""From the definition up."""

CONVOLUTION: dict[str, Rung] = {
    "naive": Rung("one thread for each number, as the definition says", "conv_naive.cu", _plain(1, 256)),
    "implicit": Rung(
        "a matrix product that reads patches where they stand in the image",
        "conv_implicit.cu",
        _warp_tiles("{real}, {side}, 0"),
        splits=True,
    ),
    "tf32": Rung(
        "tensor cores, which round the factors to TF32",
        "conv_implicit.cu",
        _convolution_tiles(1),
        splits=True,
    ),
    "3xtf32": Rung(
        "three TF32 products add up to one of float32",
        "conv_implicit.cu",
        _convolution_tiles(3),
        splits=True,
    ),
}
"""From the definition up; each has a kernel for every one of CONVOLUTIONS."""

CONVOLUTIONS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")


def matmul_expression(file: str, arguments: str, trans_a: bool, trans_b: bool) -> str:
    """What CUDA calls the kernel of a rung."""
    return f"{file.removesuffix('.cu')}<{arguments}, {_flag(trans_a)}, {_flag(trans_b)}>"


def prepared_expression(file: str, arguments: str) -> str:
    """The same of a rung whose operands are prepared, and lie in one way."""
    return f"{file.removesuffix('.cu')}<{arguments}>"


def convolution_expression(op: str, file: str, arguments: str) -> str:
    """What CUDA calls the kernel of a rung for one of CONVOLUTIONS."""
    rung = file.removeprefix("conv_").removesuffix(".cu")
    return f"{op}_{rung}<{arguments}>"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def operand_expression(transposed: bool, parts: int) -> str:
    """What CUDA calls the kernel that prepares an operand."""
    return f"gemm_operand<{_flag(transposed)}, {parts}>"


def _matmul_rows() -> Iterator[Instance]:
    for rung in MATMUL.values():
        architecture = "sm_{}{}a".format(*rung.capability) if rung.capability else ""
        for tile in itertools.chain.from_iterable(rung.tiles.values()):
            for expression in _expressions(rung, tile):
                yield Instance(rung.file, expression, tile.threads, tile.shared_bytes, tile.arguments, architecture)


def _expressions(rung: Rung, tile: Tile) -> list[str]:
    if rung.parts:
        return [prepared_expression(rung.file, tile.arguments)]
    ways = itertools.product((False, True), repeat=2)
    return [matmul_expression(rung.file, tile.arguments, *transposed) for transposed in ways]


def _convolution_rows() -> Iterator[Instance]:
    for rung in CONVOLUTION.values():
        for tile in itertools.chain.from_iterable(rung.tiles.values()):
            for op in CONVOLUTIONS:
                expression = convolution_expression(op, rung.file, tile.arguments)
                yield Instance(rung.file, expression, tile.threads, tile.shared_bytes, unit=tile.arguments)


PRODUCTS = (
    *_matmul_rows(),
    *_convolution_rows(),
    *(
        Instance(OPERAND, operand_expression(transposed, parts), OPERAND_THREADS)
        for transposed in (False, True)
        for parts in (1, 2)
    ),
    *(Instance(SPLIT_SUM, f"split_sum<{real}>", SUM_THREADS) for real in SIZES),
)
