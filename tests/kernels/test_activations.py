"""The table of activations: each row against its definition in 60 digits, and f', f'' against f by differences."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from kernels import Activation, activation
from kernels.activations import FORMULAS, fusable

NAMES = tuple(FORMULAS)
FAR = (-1e4, -800.0, -90.0, -30.0, -3.0, -1e-3, 1e-3, 3.0, 30.0, 90.0, 800.0, 1e4)
"""From where exp underflows float64 to where it would overflow."""

ONE = Decimal(1)


def in_digits(act: Activation, z: float) -> tuple[Decimal, Decimal, Decimal]:
    """f, f' and f'' at z != 0 from the definition, as a mathematician would write them."""
    with localcontext() as context:
        context.prec = 60
        x, parameter = Decimal(z), Decimal(act.parameter)
        right = x > 0
        s = ONE / (ONE + (-x).exp())
        match act.name:
            case "relu":
                return (x, ONE, 0 * x) if right else (0 * x, 0 * x, 0 * x)
            case "leaky_relu":
                return (x, ONE, 0 * x) if right else (parameter * x, parameter, 0 * x)
            case "elu":
                e = parameter * x.exp()
                return (x, ONE, 0 * x) if right else (e - parameter, e, e)
            case "tanh":
                t = 1 - 2 / ((2 * x).exp() + 1)
                return t, 1 - t * t, -2 * t * (1 - t * t)
            case "sigmoid":
                return s, s * (1 - s), s * (1 - s) * (1 - 2 * s)
            case "softplus":
                return (ONE + x.exp()).ln(), s, s * (1 - s)
            case "silu":
                return x * s, s + x * s * (1 - s), s * (1 - s) * (2 + x * (1 - 2 * s))
    raise AssertionError(f"{act} has no definition here")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_every_row_from_far_left_to_far_right(name: str, dtype: type):
    """Values and both derivatives, without overflow; f' and f'' from y may cancel, hence an absolute error."""
    act = activation(name)
    z = np.array(FAR, dtype)
    kept = act.f(z) if act.formula.keeps == "y" else z
    second = act.ddf(kept)
    actual = [act.f(z), act.df(kept), np.zeros_like(z) if second is None else second]
    tolerance = 16 * np.finfo(dtype).eps
    for computed, expected in zip(actual, zip(*(in_digits(act, float(v)) for v in z), strict=True), strict=True):
        assert computed.dtype == dtype
        np.testing.assert_allclose(computed, np.array(expected, np.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "elu"])
def test_small_values_keep_their_digits(name: str):
    """Left of zero these are about exp(z): log(1 + exp(z)) taken literally would be 0 from z = -37 on."""
    z = np.array([-40.0, -200.0, -700.0])
    act = activation(name)
    small = act.df(act.f(z)) if name == "elu" else act.f(z)
    if name == "elu":
        np.testing.assert_allclose(small, np.exp(z), atol=1e-16)  # f' = y + alpha: what y has lost is lost
    else:
        np.testing.assert_allclose(small, np.exp(z), rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_f(name: str):
    """Independent of any formula for f': differences of f, and of f' for f''."""
    act = activation(name)
    z, h = np.array([-2.3, -0.7, -0.2, 0.3, 1.1, 2.9]), 1e-5

    def slope(points: np.ndarray) -> np.ndarray:
        return act.df(act.f(points) if act.formula.keeps == "y" else points)

    kept = act.f(z) if act.formula.keeps == "y" else z
    np.testing.assert_allclose(slope(z), (act.f(z + h) - act.f(z - h)) / (2 * h), atol=1e-9)
    second = act.ddf(kept)
    np.testing.assert_allclose(0 if second is None else second, (slope(z + h) - slope(z - h)) / (2 * h), atol=1e-9)


@pytest.mark.parametrize(("name", "slope"), [("relu", 0), ("leaky_relu", 0.2), ("elu", 1)])
def test_at_the_kink_the_left_side_counts(name: str, slope: float):
    act = activation(name)
    assert act.f(np.zeros(1)) == 0
    assert act.df(act.f(np.zeros(1))) == slope


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_not_swallowed(name: str):
    act = activation(name)
    assert np.isnan(act.f(np.array([np.nan]))).all()


class TestLookUp:
    def test_defaults(self):
        assert [str(activation(name)) for name in ("leaky_relu", "elu", "tanh")] == [
            "leaky_relu(0.2)",
            "elu(1)",
            "tanh",
        ]

    def test_none_and_activations_pass(self):
        act = activation("elu", 0.5)
        assert activation(act) is act
        assert activation(None) is None

    @pytest.mark.parametrize(
        ("name", "parameter", "message"),
        [
            ("gelu", None, "unknown activation 'gelu'; there are relu, leaky_relu"),
            ("relu", 0.1, "relu takes no parameter, got 0.1"),
            ("leaky_relu", 1.0, r"slope must lie in \[0, 1\), got 1.0"),
            ("leaky_relu", -0.1, r"slope must lie in \[0, 1\), got -0.1"),
            ("elu", 0, "alpha must be above 0, got 0"),
        ],
    )
    def test_refused(self, name: str, parameter: float | None, message: str):
        with pytest.raises(ValueError, match=message):
            activation(name, parameter)

    def test_what_needs_its_input_cannot_be_fused(self):
        with pytest.raises(ValueError, match=r"^Dense: silu cannot be fused.*put it behind as a layer"):
            fusable("silu", "Dense")
