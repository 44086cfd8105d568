"""The elementary functions of the CPU kernels against NumPy in more digits, and where exponents and digits run out."""

from collections.abc import Callable

import numba
import numpy as np
import pytest

from kernels.activations import FORMULAS, Activation, activation, sigmoid, softplus
from kernels.cpu import NumbaOps, activations, functions

DEFINITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
}
ULP = {"exp": 1.1, "expm1": 1.6, "log1p": 1.6, "tanh": 2.5, "sigmoid": 2.5, "softplus": 1.8}
"""Largest errors in float32, in units in the last place."""

STEPS = 200_000 if not numba.config.DISABLE_JIT else 500
NAMES = list(DEFINITIONS)
EVERYWHERE = [name for name in NAMES if name != "log1p"]


def over(function: Callable[[np.floating], np.floating], x: np.ndarray) -> np.ndarray:
    """The function of one number in a loop over an array, as kernels call it."""

    @numba.njit(error_model="numpy")
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    y = np.empty_like(x)
    with np.errstate(all="ignore"):
        loop(x, y)
    return y


def grid(name: str) -> np.ndarray:
    """Evenly over all that matters, and by powers down to the smallest numbers of both signs."""
    if name == "log1p":
        return np.concatenate([np.linspace(0, 1, STEPS), np.geomspace(1e-37, 1, STEPS)])
    small = np.geomspace(1e-37, 80, STEPS)
    return np.concatenate([np.linspace(-110, 88.5, STEPS), small, -small])


def ulps(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest distance in units in the last place of `actual`'s dtype."""
    unit = np.spacing(np.abs(expected).astype(actual.dtype)).astype(np.longdouble)
    return float((np.abs(actual - expected.astype(np.longdouble)) / unit).max())


@pytest.mark.parametrize("name", NAMES)
def test_float32_to_the_last_places(name: str):
    """Small arguments keep their digits, small results of exp too: hence no absolute error."""
    x = grid(name).astype(np.float32)
    y = over(getattr(functions, name), x)
    assert y.dtype == np.float32
    assert ulps(y, DEFINITIONS[name](x.astype(np.float64))) <= ULP[name]


@pytest.mark.parametrize("name", NAMES)
def test_float64(name: str):
    x = grid(name)
    np.testing.assert_allclose(over(getattr(functions, name), x), DEFINITIONS[name](x), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_at_the_ends(name: str, dtype: type):
    """Zero, infinity and NaN, and far beyond where exp overflows and underflows."""
    x = np.array([0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e4, -1e4], dtype)
    with np.errstate(all="ignore"):
        expected = DEFINITIONS[name](x)
    np.testing.assert_allclose(over(getattr(functions, name), x), expected, rtol=2 * np.finfo(dtype).eps)


def test_exp_overflows_and_underflows_where_float32_does():
    x = np.float32([88.72283, 88.72284, -103.27, -103.98])
    y = over(functions.exp, x)
    assert np.isfinite(y[0])
    assert y[1] == np.inf
    assert list(y[2:]) == [np.finfo(np.float32).smallest_subnormal, 0]


def test_tanh_is_odd_in_every_bit():
    x = np.linspace(0, 20, STEPS, dtype=np.float32)
    np.testing.assert_array_equal(over(functions.tanh, -x), -over(functions.tanh, x))


def test_clamp_keeps_nan():
    x = np.array([-3, -1, 0.5, 3, np.nan, np.inf, -np.inf])
    low, high = -1.0, 2.0
    np.testing.assert_array_equal(
        over(numba.njit(lambda v: functions.clamp(v, low, high)), x), [-1, -1, 0.5, 2, np.nan, 2, -1]
    )


def test_log_of_all_that_a_uniform_number_can_be():
    u = np.concatenate([(np.arange(STEPS) + 0.5) * 2.0**-32, np.linspace(0, 1, STEPS)[1:], 1 - np.geomspace(2**-33, 1)])
    u = u[u > 0]
    assert ulps(over(functions.log, u), np.log(u.astype(np.longdouble))) <= 1.1


def test_cos_and_sin_over_a_turn():
    """As close to the zeros of both as the angle of a uniform number comes."""
    quarters = np.arange(1, 4) * 2.0**30
    words = np.concatenate([np.linspace(0, 2**32 - 1, STEPS).round(), quarters, quarters - 1])
    angle = 2 * np.pi * ((words + 0.5) / 2.0**32)
    cosine = over(numba.njit(lambda a: functions.cos_sin(a)[0]), angle)
    sine = over(numba.njit(lambda a: functions.cos_sin(a)[1]), angle)
    exact = angle.astype(np.longdouble)
    assert ulps(cosine, np.cos(exact)) <= 1.5
    assert ulps(sine, np.sin(exact)) <= 1.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", list(FORMULAS))
def test_activations_are_those_of_the_table(name: str, dtype: type):
    """f, f' and f'' in place over a part of an array, kinks, infinity and NaN included; the rest is left alone.

    f' in place only where f is curved.
    """
    act = activation(name)
    curved = activations.slope_of(act) is None
    x = np.concatenate([[0, np.inf, -np.inf, np.nan], np.linspace(-9, 9, 101)]).astype(dtype)
    start, count = 3, len(x)
    for kernel, formula in (
        (activations.activate, act.f),
        *([(activations.derive, act.df), (activations.derive_twice, act.ddf)] if curved else []),
    ):
        with np.errstate(all="ignore"):
            expected = formula(x)
        around = np.concatenate([np.full(start, 7), x, np.full(2, 7)]).astype(dtype)
        with np.errstate(all="ignore"):
            kernel(around, start, count, *activations.encode(act))
        tolerance = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(
            around[start : start + count], expected, rtol=tolerance, atol=tolerance * np.nanmax(np.abs(expected[4:]))
        )
        np.testing.assert_array_equal(np.delete(around, np.arange(start, start + count)), 7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("act", [activation("relu"), activation("leaky_relu", 0.25)], ids=["relu", "leaky_relu"])
def test_slopes_at_the_kink_and_at_infinity(dtype: type, act: Activation):
    """dy f' of what is made of straight lines; NaN counts as below the kink."""
    kept = np.array([0, -0.0, np.inf, -np.inf, np.nan, -2, 2], dtype)
    dy = np.arange(1, 8, dtype=dtype)
    dz = NumbaOps(np.dtype(dtype)).activation_grad(act, dy[None], kept[None])
    np.testing.assert_array_equal(dz[0], dy * act.df(kept))


def test_every_activation_has_a_code_of_its_own():
    codes = [activations.encode(activation(name))[0] for name in FORMULAS]
    assert sorted([*codes, activations.IDENTITY]) == list(range(len(FORMULAS) + 1))
