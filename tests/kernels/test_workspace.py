"""The bump allocator: aligned, the same addresses step after step, nothing new once frozen."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.reference import NumpyOps
from kernels.workspace import ALIGNMENT, SMALLEST_CHUNK, Workspace, WorkspaceFrozenError, aligned_copy

F4, F8, I4 = (np.dtype(t) for t in (np.float32, np.float64, np.int32))
REQUESTS = st.lists(
    st.tuples(st.lists(st.integers(0, 100), max_size=3).map(tuple), st.sampled_from((F4, F8, I4))), max_size=8
)
"""(shape, dtype) of the buffers of a step; some are larger than a chunk, some empty, some 0-d."""


def addresses(workspace: Workspace, requests: list) -> list[int]:
    return [workspace.empty(shape, dtype).ctypes.data for shape, dtype in requests]


@given(REQUESTS)
def test_buffers_are_as_asked_aligned_and_apart(requests: list):
    workspace = Workspace()
    buffers = [workspace.empty(shape, dtype) for shape, dtype in requests]
    for number, (buffer, (shape, dtype)) in enumerate(zip(buffers, requests, strict=True)):
        assert (buffer.shape, buffer.dtype) == (shape, dtype)
        assert buffer.flags.c_contiguous
        assert buffer.ctypes.data % ALIGNMENT == 0
        buffer.fill(number)
    for number, buffer in enumerate(buffers):
        assert (buffer == number).all(), "two buffers share memory"


@given(REQUESTS)
def test_the_same_step_gets_the_same_addresses_and_no_new_memory(requests: list):
    workspace = Workspace()
    first = addresses(workspace, requests)
    held = workspace.nbytes
    workspace.freeze()
    for _ in range(2):
        workspace.reset()
        assert addresses(workspace, requests) == first
    assert workspace.nbytes == held


def test_the_same_request_at_the_same_place_is_cut_out_once(monkeypatch: pytest.MonkeyPatch):
    serve, served = Workspace._serve, []
    monkeypatch.setattr(Workspace, "_serve", lambda *request: served.append(request) or serve(*request))
    workspace = Workspace()
    for _ in range(3):
        workspace.reset()
        first, second = workspace.empty((4,), F4), workspace.empty((4,), F4)
        assert not np.shares_memory(first, second)
    assert len(served) == 2
    workspace.reset()
    assert workspace.empty((2, 2), F4).shape == (2, 2)
    assert workspace.empty((4,), I4).dtype == I4


def test_what_a_caller_makes_of_an_array_stays_with_it():
    """Shape, dtype and flags can be changed in place."""
    workspace = Workspace()
    changed = workspace.empty((4,), F4)
    address = changed.ctypes.data
    changed.shape = (2, 2)
    changed.dtype = I4
    changed.flags.writeable = False
    workspace.reset()
    again = workspace.empty((4,), F4)
    assert (again.shape, again.dtype, again.ctypes.data) == ((4,), F4, address)
    assert again.flags.writeable
    assert changed.shape == (2, 2)


def test_a_copy_hands_out_its_own_memory():
    workspace = Workspace()
    mine = workspace.empty((4,), F4)
    mine.fill(1)
    workspace.reset()
    other = copy.deepcopy(workspace)
    theirs = other.empty((4,), F4)
    assert any(np.shares_memory(theirs, chunk) for chunk in other._chunks)
    assert not np.shares_memory(theirs, mine)
    with other.scratch():
        other.empty((4,), F4)
    assert other.empty((4,), F4).ctypes.data > theirs.ctypes.data
    assert np.shares_memory(workspace.empty((4,), F4), mine)


def test_a_shape_may_be_a_list():
    workspace = Workspace()
    assert workspace.empty([2, 3], F4).shape == (2, 3)
    assert NumpyOps(np.float32, workspace=workspace).empty([2, 3]).shape == (2, 3)


def test_no_more_arrays_are_kept_than_a_step_needs(monkeypatch: pytest.MonkeyPatch):
    """Those that were forgotten are made again, at the same addresses and without new memory."""
    monkeypatch.setattr("kernels.workspace.MOST_SERVED", 3)
    workspace, requests = Workspace(), [((n,), F4) for n in range(10)]
    first = addresses(workspace, requests)
    workspace.freeze()
    for _ in range(2):
        workspace.reset()
        assert addresses(workspace, requests) == first
        assert len(workspace._served) <= 3


@given(before=REQUESTS, inside=REQUESTS, after=REQUESTS)
def test_scratch_is_given_back(before: list, inside: list, after: list):
    """What follows a scratch block lies where it would lie without the block, as long as nothing had to grow."""
    workspace = Workspace()
    workspace.empty((16 * SMALLEST_CHUNK,), np.dtype(np.uint8))
    workspace.reset()
    expected = addresses(workspace, [*before, *after])
    workspace.reset()
    actual = addresses(workspace, before)
    with workspace.scratch():
        addresses(workspace, inside)
    assert [*actual, *addresses(workspace, after)] == expected


def test_scratch_is_given_back_when_the_block_fails():
    workspace, inside = Workspace(), []

    def fail() -> None:
        with workspace.scratch():
            inside.append(workspace.empty((5,), F4).ctypes.data)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [workspace.empty((5,), F4).ctypes.data]


def test_scratch_blocks_nest():
    workspace = Workspace()
    with workspace.scratch():
        outer = workspace.empty((5,), F4)
        with workspace.scratch():
            inner = workspace.empty((5,), F4)
        assert workspace.empty((5,), F4).ctypes.data == inner.ctypes.data != outer.ctypes.data
    assert workspace.empty((5,), F4).ctypes.data == outer.ctypes.data


def test_grows_by_doubling():
    """However many small buffers a step asks for, they come out of a handful of chunks."""
    made: list[int] = []

    def allocate(size: int) -> np.ndarray:
        made.append(size)
        return np.empty(size, np.uint8)

    workspace = Workspace(allocate)
    for _ in range(100):
        workspace.empty((SMALLEST_CHUNK // 4,), np.dtype(np.uint8))
    assert made == [SMALLEST_CHUNK * 2 ** max(0, i - 1) for i in range(len(made))]
    assert len(made) <= 2 + math.log2(100 / 4)
    assert workspace.nbytes == sum(made)


def test_a_request_larger_than_all_before_gets_a_chunk_of_its_size():
    workspace = Workspace()
    workspace.empty((3 * SMALLEST_CHUNK,), np.dtype(np.uint8))
    assert workspace.nbytes == 3 * SMALLEST_CHUNK


def test_buffers_stay_valid_while_the_workspace_grows():
    workspace = Workspace()
    early = workspace.empty((4,), F4)
    early[:] = 1, 2, 3, 4
    workspace.empty((SMALLEST_CHUNK,), F8)
    assert early.tolist() == [1, 2, 3, 4]


def test_frozen_says_what_it_cannot_serve():
    workspace = Workspace()
    workspace.empty((10,), F4)
    workspace.freeze()
    workspace.reset()
    workspace.empty((10,), F4)
    with pytest.raises(WorkspaceFrozenError, match=rf"frozen at {SMALLEST_CHUNK} bytes .* float64 \(512, 1024\)"):
        workspace.empty((512, 1024), F8)


def test_poison_shows_in_every_type_and_every_chunk():
    workspace, half = Workspace(), SMALLEST_CHUNK // 2
    requests = [((half // 4,), F4), ((half // 4,), I4), ((half // 8,), F8)]
    for shape, dtype in requests:
        workspace.empty(shape, dtype).fill(0)
    assert workspace.nbytes > SMALLEST_CHUNK
    workspace.poison()
    workspace.reset()
    floats, integers, doubles = (workspace.empty(shape, dtype) for shape, dtype in requests)
    assert np.isnan(floats).all()
    assert (integers == -1).all()
    assert np.isnan(doubles).all()


def test_an_aligned_copy_is_one():
    source = np.arange(15, dtype=np.float32)[1:].reshape(2, 7)
    copied = aligned_copy(source)
    np.testing.assert_array_equal(copied, source, strict=True)
    assert copied.ctypes.data % ALIGNMENT == 0
    assert not np.shares_memory(copied, source)
