"""How the norms walk through x (N, ..., C): line by line, and lines in tiles.

    line    a row of C channels; where that is short, as many rows as LINE holds, so that the inner loop is worth
            vectorising. Numbers per channel are repeated along the line ("lanes").
    tile    a block of lines by a piece of at most PIECE elements of a line. Tiles are what threads share out; sums over
            lines are made per tile and added in the order of the blocks.

The last line may be shorter. Everything follows from the shape, nothing from the number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

from ..types import Array
from .jit import kernel

LINE = 512
"""Elements that rows of few channels are joined up to: enough to hide what starting a loop costs."""

PIECE = 2048
"""Most elements of a line in one tile: its sums, two of float64, take 32 KiB. Narrower pieces measured half as fast,
since memory is then read in steps instead of in one go."""

BLOCK_LINES, MOST_BLOCKS = 32, 64
"""A block has at least that many lines, so adding up the blocks costs little; more blocks would feed no more cores."""


class Tiles(NamedTuple):
    """The lines of an array and how they are cut."""

    length: int  # of a line, in elements
    lines: int
    columns: int  # pieces of a line
    blocks: int  # of lines


class Tile(NamedTuple):
    """Elements left:right of the lines first:last, in block `block`."""

    block: int
    first: int
    last: int
    left: int
    right: int


def line_length(rows: int, channels: int) -> int:
    """Elements of a line: a multiple of the channels."""
    return channels * max(1, min(LINE // channels, rows))


@lru_cache(maxsize=1024)
def tiles_of(rows: int, channels: int) -> Tiles:
    """How (rows, channels) is cut."""
    length = line_length(rows, channels)
    lines = -(-rows * channels // length)
    return Tiles(length, lines, -(-length // PIECE), max(1, min(lines // BLOCK_LINES, MOST_BLOCKS)))


@kernel
def tile_at(tiles: Tiles, index: int) -> Tile:
    """Tile number `index` of columns*blocks."""
    block, column = index // tiles.columns, index % tiles.columns
    return Tile(
        block,
        tiles.lines * block // tiles.blocks,
        tiles.lines * (block + 1) // tiles.blocks,
        tiles.length * column // tiles.columns,
        tiles.length * (column + 1) // tiles.columns,
    )


@kernel
def fold(sums: Array, channels: int) -> None:
    """In place: sums[0, :channels] = sums per channel of sums (blocks, lanes), first the blocks, then the lanes."""
    total = sums[0]
    for block in range(1, sums.shape[0]):
        others = sums[block]
        for j in range(total.size):
            total[j] += others[j]
    for start in range(channels, total.size, channels):
        for c in range(channels):
            total[c] += total[start + c]
