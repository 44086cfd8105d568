"""Operands that a product wants in another form than they have: k side by side, as TF32 or as the sum of two, for TMA.

An operand is prepared anew for each product, in workspace: parts x rows x k numbers and a little. No operand is handed
to TMA as it is, not even one that has k side by side: it would have to be aligned, and its digits beyond TF32 would be
cut off, where they are rounded here.
"""

import numpy as np

from ...types import Array
from ..instances.products import OPERAND, OPERAND_SIDE, OPERAND_THREADS, WGMMA_DEPTH, operand_expression
from ..tensor_map import UNIT, TensorMap
from .device import DeviceOps


def prepared(
    ops: DeviceOps, matrix: Array, shape: tuple[int, int], transposed: bool, parts: int, side: int
) -> TensorMap:
    """The map of an operand of `shape` (rows, k), after the launch that prepares it.

    Args:
        ops: whose workspace the prepared operand lies in, (parts, rows, k and up to 3 more).
        matrix: (rows, k), or (k, rows) if `transposed`; of the right operand of a product rows are columns.
        parts: 1 for TF32, 2 for the sum of two.
        side: rows of a tile: what one copy brings, of both parts.
    """
    rows, k = shape
    lane = UNIT // matrix.itemsize
    stride = -(-max(k, 1) // lane) * lane
    memory = ops.empty((parts, rows, stride))
    if k:
        blocks = -(-rows // OPERAND_SIDE) * -(-k // OPERAND_SIDE)
        prepare = ops.runtime.function(OPERAND, operand_expression(transposed, parts))
        prepare((blocks,), (OPERAND_THREADS,), (matrix, memory, np.int32(rows), np.int32(k), np.int32(stride)))
    return ops.runtime.tensor_map(memory, max(k, 1), (WGMMA_DEPTH, side, parts))
