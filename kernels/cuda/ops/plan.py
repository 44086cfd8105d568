"""How a product is laid out on the chip: which tile, how many blocks, and into how many parts its sums are split.

A function of the rung and of shapes alone: on every chip that has the rung, and in the emulator, a product on it is the
same sums in the same order. "auto" picks the rung by the chip's compute capability, too, so a run that is resumed on
another chip need not have the same bits.
"""

from typing import NamedTuple

from ..instances.products import DEPTH, MATMUL, Rung, Tile
from ..runtime import MOST_BLOCKS

BLOCKS = 128
"""Blocks that occupy a large chip."""

SHORTEST = 4
"""Panels of k that a block has at least; with fewer, filling the pipeline takes longer than computing."""

WORTH_PREPARING = 512
"""m n / (m + n), from which on the rungs of compute capability 9.0 win more than the preparation of operands costs.
Estimated from rates (400 TFLOP/s of TF32 against 250, memory at 4 TB/s) and not measured."""

LARGEST = 2**31 - 1024
"""Kernels count the rows, steps and columns of a matrix in 32 bits, to the end of the last tile, panel or block."""


class Plan(NamedTuple):
    """A launch: `blocks` of `tile`, `splits` times over, for each of `phases` products of one shape."""

    tile: Tile
    blocks: int
    splits: int
    phases: int


def plan(rung: Rung, real: str, m: int, k: int, n: int, phases: int = 1) -> Plan:
    """The plan for y (m, n), not empty, sums of k products each.

    The largest tile that makes enough blocks; with the smallest, if it does not either, blocks share the k of a tile.
    A y of few columns gets a narrow tile where the rung has one.

    Raises:
        ValueError: m, k or n is beyond LARGEST, or the phases are more than a grid has blocks along z.
    """
    if max(m, k, n) > LARGEST:
        raise ValueError(f"a product of {m} x {k} by {k} x {n}: CUDA kernels count to {LARGEST}")
    if phases > MOST_BLOCKS[2]:
        raise ValueError(f"a stride of {phases} phases (height x width): CUDA kernels launch {MOST_BLOCKS[2]} at most")
    tiles = fitting(rung.tiles[real], n)
    tile = next((tile for tile in tiles if tile.blocks(m, n) * phases >= BLOCKS), tiles[-1])
    blocks = tile.blocks(m, n)
    return Plan(tile, blocks, split(k, BLOCKS // (blocks * phases)) if rung.splits else 1, phases)


def fitting(tiles: tuple[Tile, ...], n: int) -> tuple[Tile, ...]:
    """Those that a y of n columns is computed with: narrow ones where it is as narrow, else square ones."""
    return tuple(tile for tile in tiles if tile.narrow >= n) or square(tiles)


def square(tiles: tuple[Tile, ...]) -> tuple[Tile, ...]:
    """Those for any number of columns."""
    return tuple(tile for tile in tiles if not tile.narrow)


def worth_preparing(m: int, n: int) -> bool:
    """Whether y (m, n) fills the chip with tiles of wgmma, and pays for the preparation of its operands."""
    (tile,) = MATMUL["tf32-wgmma"].tiles["float"]
    return tile.blocks(m, n) >= BLOCKS and m * n >= WORTH_PREPARING * (m + n)


def split(k: int, most: int) -> int:
    """Parts of k, `most` at the most, each of SHORTEST panels or more and none of them empty."""
    panels = -(-k // DEPTH)
    each = max(SHORTEST, -(-panels // max(most, 1)))
    parts = max(1, -(-panels // each))
    while parts > 1 and -(-panels // parts) < SHORTEST:  # kernels share alike: of 9 panels 3 each, not 4, 4 and 1
        parts -= 1
    return parts
