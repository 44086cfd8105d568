import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.viz import interpolation_latents, slerp


def on_sphere(rng: np.random.Generator, *shape: int) -> np.ndarray:
    z = rng.normal(size=shape)
    return 3 * z / np.linalg.norm(z, axis=-1, keepdims=True)


@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(2, 128), t=st.floats(0, 1))
def test_slerp_keeps_the_norm_and_divides_the_angle(seed: int, dim: int, t: float) -> None:
    z0, z1 = on_sphere(np.random.default_rng(seed), 2, dim)
    z = slerp(z0, z1, t)
    angle, part = np.arccos(z0 @ z1 / 9), np.arccos(np.clip(z0 @ z / 9, -1, 1))
    if np.sin(angle) > 1e-3:
        assert np.linalg.norm(z) == pytest.approx(3, rel=1e-9)
        assert part == pytest.approx(t * angle, abs=1e-6)


def test_slerp_halfway_between_two_axes() -> None:
    np.testing.assert_allclose(slerp(np.array([2.0, 0]), np.array([0, 2.0]), 0.5), [np.sqrt(2), np.sqrt(2)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slerp_begins_and_ends_exactly(dtype: type) -> None:
    z0, z1 = np.random.default_rng(0).normal(size=(2, 5, 64)).astype(dtype)
    assert slerp(z0, z1, 0.3).dtype == dtype
    np.testing.assert_array_equal(slerp(z0, z1, 0), z0)
    np.testing.assert_array_equal(slerp(z0, z1, 1), z1)


@pytest.mark.parametrize("z1", [[1.0, 2], [2, 4], [1, 2 + 1e-9], [-1, -2], [0, 0]])
def test_slerp_is_straight_where_no_great_circle_is_defined(z1: list[float]) -> None:
    z0, end = np.array([1.0, 2]), np.array(z1)
    np.testing.assert_allclose(slerp(z0, end, 0.25), 0.75 * z0 + 0.25 * end)


def test_rows_of_a_grid_walk_from_one_endpoint_to_the_next() -> None:
    endpoints = on_sphere(np.random.default_rng(1), 6, 16)
    latents = interpolation_latents(endpoints, columns=5)
    assert latents.shape == (3 * 5, 16)
    grid = latents.reshape(3, 5, 16)
    np.testing.assert_array_equal(grid[:, 0], endpoints[0::2])
    np.testing.assert_array_equal(grid[:, -1], endpoints[1::2])
    np.testing.assert_array_equal(grid[1, 2], slerp(endpoints[2], endpoints[3], 0.5))


@pytest.mark.parametrize(("shape", "columns"), [((3, 8), 4), ((4,), 4), ((4, 8), 1)])
def test_endpoints_that_form_no_rows_are_refused(shape: tuple[int, ...], columns: int) -> None:
    with pytest.raises(ValueError, match="expected endpoints"):
        interpolation_latents(np.ones(shape), columns)
