"""Convolutions with few taps on the backend's memory."""

import numpy as np

from ...activations import Activation
from ...contract.base import OpsBase
from ...types import Array
from .. import direct, implicit_gemm
from ..direct_tile import DIRECT_ROWS
from ..epilogue import fused
from ..sampling import Sampling
from ..weight_grad import chunks_of_patches, pack_dy
from .flat import flat
from .scratch import for_each_thread

_OFFSET = np.dtype(np.int64)


def convolve(
    ops: OpsBase, s: Sampling, source: Array, panels: Array, bias: Array, act: Activation | None, y: Array
) -> None:
    """y = f(patches(source) @ panels + bias); call it inside a scratch block."""
    rows = implicit_gemm.BLOCK_TILES * DIRECT_ROWS
    direct.convolve(
        s,
        implicit_gemm.row_blocks(s, DIRECT_ROWS),
        source,
        panels,
        bias,
        fused(act),
        flat(y),
        ops.workspace.empty((s.segments * s.length,), _OFFSET),
        ops.empty((direct.padded_columns(s, ops.dtype),)),
        for_each_thread(ops, 2 * rows, _OFFSET).reshape(-1, 2, rows),
    )


def weight_gradient(ops: OpsBase, s: Sampling, source: Array, dy: Array, dw: Array, accumulate: bool) -> None:
    """dw (+)= patches(source)^T @ dy; call it inside a scratch block."""
    panels, patches = direct.panels_of(s, ops.dtype), s.images * s.height * s.width
    taps, columns = direct.padded_taps(s), direct.padded_columns(s, ops.dtype)
    dy_panels, chunks = flat(dy), chunks_of_patches(patches)
    if columns != s.columns:
        dy_panels = ops.empty((patches * columns,))
        pack_dy(flat(dy), patches, s.columns, dy_panels)
    direct.weight_grad(
        s,
        chunks,
        source,
        dy_panels,
        panels,
        flat(dw),
        accumulate,
        ops.workspace.empty((taps,), _OFFSET),
        ops.empty((chunks * dw.size,)),
        for_each_thread(ops, direct.band_pixels(s, ops.dtype), _OFFSET),
        for_each_thread(ops, taps * columns),
    )
