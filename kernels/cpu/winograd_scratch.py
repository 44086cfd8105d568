"""Scratch of a Winograd convolution."""

from typing import NamedTuple

from ..types import Array


class Scratch(NamedTuple):
    """Memory of each thread, a row of each array; empty what the product in hand does not need. W = tile_width."""

    tiles: Array  # the tiles of a work item, of x (a phase of them) or dy, after the vertical transform
    panel: Array  # the panel of V that a point is multiplied by
    middle: Array  # a few panels of w after the vertical transform
    products: Array
    block: Array  # BLOCK_ROWS columns of U for MOST_TILES tiles
