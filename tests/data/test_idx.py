import struct
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minigan.data.idx import parse_idx
from minigan.errors import UserError

FILE = Path("some-idx-file")


def to_idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@given(arrays(np.uint8, array_shapes(max_dims=3, min_side=0, max_side=5)))
def test_what_was_written_is_read(array: np.ndarray) -> None:
    parsed = parse_idx(to_idx(array), array.ndim, FILE)
    assert parsed.shape == array.shape
    np.testing.assert_array_equal(parsed, array)


@given(arrays(np.uint8, array_shapes(max_dims=3, max_side=5)), st.data())
def test_a_file_cut_anywhere_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    content = to_idx(array)
    with pytest.raises(UserError, match=r"^some-idx-file: [^\n]+$"):
        parse_idx(content[: data.draw(st.integers(0, len(content) - 1))], array.ndim, FILE)


def test_truncation_names_both_lengths(user_error) -> None:
    content = to_idx(np.zeros((2, 28, 28), np.uint8))
    with user_error(FILE, "truncated", 16 + 2 * 28 * 28, "got 1000", (2, 28, 28)):
        parse_idx(content[:1000], 3, FILE)


def test_truncation_within_the_header(user_error) -> None:
    with user_error(FILE, "truncated", "header of 16 bytes", "got 15"):
        parse_idx(to_idx(np.zeros((2, 3, 4), np.uint8))[:15], 3, FILE)


def test_trailing_bytes(user_error) -> None:
    with user_error(FILE, "trailing bytes", "expected 13", "got 14"):
        parse_idx(to_idx(np.zeros(5, np.uint8)) + b"\0", 1, FILE)


def test_a_header_that_promises_too_much_is_only_a_truncation(user_error) -> None:
    shape = (2**32 - 1,) * 3
    with user_error(FILE, "truncated", 16 + prod(shape)):
        parse_idx(bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape), 3, FILE)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n", "89 50 4e 47"),
        (bytes([0, 0, 13, 3]) + bytes(12), "00 00 0d 03"),
        (bytes([0, 0, 8, 1]) + bytes(4), "00 00 08 01"),
    ],
    ids=["empty", "other format", "floats", "labels for images"],
)
def test_another_magic_number(content: bytes, got: str, user_error) -> None:
    with user_error(FILE, "00 00 08 03", "3 dimensions", f"got {got}"):
        parse_idx(content, 3, FILE)
