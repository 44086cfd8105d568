"""Packing between NaNs: panels hold the numbers asked for, and beside them what nobody reads."""

from collections.abc import Callable

import numpy as np
import pytest

from kernels.cpu import packing
from kernels.cpu.microkernel import SHORT_ROWS, TILE_BYTES, TILE_ROWS
from kernels.cpu.target import TARGET

START, AT, GAP = 3, 5, 4
DEPTHS = (0, 1, 2, 7, 8, 9, 16, 17, 35)


def check(pack: Callable[..., None], across: bool, wide: int, count: int, k: int, room: int, dtype: np.dtype) -> None:
    """A panel (k, wide) of `count` lines; `across`: in memory the lines run along k. `room`: free to be written."""
    lines, length = (count, k) if across else (k, count)
    stride = length + GAP
    source = np.full(START + lines * stride, np.nan, dtype)
    block = np.random.default_rng(0).integers(1, 10, (lines, length))
    source[START:].reshape(lines, stride)[:, :length] = block
    panel = np.full(AT + k * wide + room + GAP, np.nan, dtype)
    counts = (count, k) if pack in (packing.pack_rows, packing.pack_row_columns) else (k, count)
    pack(source, START, stride, *counts, panel, AT)
    packed = panel[AT : AT + k * wide].reshape(k, wide)
    np.testing.assert_array_equal(packed[:, :count], block.T if across else block)
    if pack is packing.pack_columns:  # what follows in memory, or zeros where it ends
        for p, beside in enumerate(packed[:, count:]):
            at = START + p * stride
            np.testing.assert_array_equal(beside, source[at + count : at + wide] if at + wide <= source.size else 0)
    elif count != SHORT_ROWS or wide != TILE_ROWS:  # of a short panel nothing else is read
        np.testing.assert_array_equal(packed[:, count:], 0)
    assert np.isnan(panel[:AT]).all()
    assert np.isnan(panel[AT + k * wide + room :]).all()


@pytest.mark.parametrize("k", DEPTHS)
@pytest.mark.parametrize("missing", [0, 1, TILE_ROWS - SHORT_ROWS, TILE_ROWS - 1])
def test_a_panels(dtype: np.dtype, missing: int, k: int):
    rows = TILE_ROWS - missing
    check(packing.pack_rows, True, TILE_ROWS, rows, k, packing.PANEL_PAD, dtype)
    check(packing.pack_row_columns, False, TILE_ROWS, rows, k, 0, dtype)


@pytest.mark.parametrize("k", DEPTHS)
@pytest.mark.parametrize("missing", [0, 1, "all but one"])
def test_b_panels(dtype: np.dtype, missing: int | str, k: int):
    width = TILE_BYTES // dtype.itemsize
    columns = 1 if missing == "all but one" else width - int(missing)
    check(packing.pack_column_rows, True, width, columns, k, 0, dtype)
    check(packing.pack_columns, False, width, columns, k, 0, dtype)


def test_the_pad_behind_a_panel_has_room_for_a_transposed_block():
    assert TARGET.vector_bytes // 4 <= packing.PANEL_PAD
