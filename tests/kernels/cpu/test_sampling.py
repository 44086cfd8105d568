"""The offsets of `sampling` against the definition: the same terms as in the naive convolution, each exactly once."""

from itertools import product

import numpy as np
from hypothesis import given

from kernels.cpu import sampling
from kernels.cpu.sampling import Sampling
from kernels.reference import naive
from kernels.types import Pair
from minigan.testing import ConvCase, conv_cases

CASES = conv_cases(max_side=7, max_channels=3, max_kernel=5)
IMAGES = 2

Reading = tuple[Pair, int, int, int]
"""(row of the grid, number in the patch, offset in the source, offset in the target) of one factor of one product."""


def readings(s: Sampling) -> list[Reading]:
    """All that a product with this sampling reads, of its last image."""
    n, found = s.images - 1, []
    for i, j, segment, place in product(*map(range, (s.height, s.width, s.segments, s.length))):
        source = s.source_start + n * s.source_image + i * s.source_row + j * s.source_column
        target = s.target_start + n * s.target_image + i * s.target_row + j * s.target_column
        offset = source + segment * s.segment_stride + place
        found.append(((i, j), segment * s.length + place, offset, target))
    return found


def terms(case: ConvCase) -> list[tuple[int, ...]]:
    """(i, j, a, b, row, column) of the definition."""
    return sorted(naive._terms(case.size, case.windows, case.kernel, case.stride, case.pads))


@given(case=CASES)
def test_forward(case: ConvCase):
    """Entry (a, b, c) of patch (i, j) is the pixel that the definition names, or lies in the border."""
    c, o, pads = case.in_channels, case.out_channels, case.pads
    x, w, y = (IMAGES, *case.size, c), (*case.kernel, c, o), (IMAGES, *case.windows, o)
    padded = IMAGES, case.size[0] + pads[0] + pads[1], case.size[1] + pads[2] + pads[3], c
    found: list[tuple[int, ...]] = []
    for (i, j), number, source, target in readings(sampling.forward(x, w, y, case.stride, pads)):
        assert (IMAGES - 1, i, j, 0) == np.unravel_index(target, y)
        n, row, column, channel = (int(v) for v in np.unravel_index(source, padded))
        a, b, entry_channel = (int(v) for v in np.unravel_index(number, w[:3]))
        assert (n, channel) == (IMAGES - 1, entry_channel)
        if channel == 0 and 0 <= row - pads[0] < case.size[0] and 0 <= column - pads[2] < case.size[1]:
            found.append((i, j, a, b, row - pads[0], column - pads[2]))
    assert sorted(found) == terms(case)


@given(case=CASES)
def test_input_gradient(case: ConvCase):
    """All phases together: every pixel is written once and meets the windows that the definition names."""
    c, o, geometry = case.in_channels, case.out_channels, (case.stride, case.pads)
    dx, w, dy = (IMAGES, *case.size, c), (*case.kernel, c, o), (IMAGES, *case.windows, o)
    border = sampling.input_grad_pads(dy, w, dx, *geometry)
    padded = IMAGES, case.windows[0] + border[0] + border[1], case.windows[1] + border[2] + border[3], o
    found: list[tuple[int, ...]] = []
    written: list[int] = []
    for s, entries in sampling.input_grad(dy, w, dx, *geometry):
        assert s.segments * s.length == len(entries) * o
        assert s.columns == c
        for n, i, j in product(range(s.images), range(s.height), range(s.width)):
            written.append(s.target_start + n * s.target_image + i * s.target_row + j * s.target_column)
        for _, number, source, target in readings(s):
            n, i, j, channel = (int(v) for v in np.unravel_index(source, padded))
            assert (n, channel) == (IMAGES - 1, number % o)
            if channel == 0 and 0 <= i - border[0] < case.windows[0] and 0 <= j - border[2] < case.windows[1]:
                _, row, column, _ = (int(v) for v in np.unravel_index(target, dx))
                found.append((i - border[0], j - border[2], *entries[number // o], row, column))
    assert sorted(found) == terms(case)
    assert sorted(written) == list(range(0, IMAGES * case.size[0] * case.size[1] * c, c))
