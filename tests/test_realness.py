"""D(real) and D(fake), the two numbers that a user watches."""

import numpy as np
import pytest

from minigan.losses import LOSSES, SHIFT_INVARIANT_LOSSES, realness

U_REAL, U_FAKE = np.array([[2.0], [0.0]]), np.array([[-1.0], [-3.0]])


def test_absolute_losses_show_the_mean_probability():
    assert realness(LOSSES["non-saturating"](), U_REAL, U_FAKE) == pytest.approx(
        ((1 / (1 + np.exp(-2)) + 0.5) / 2, (1 / (1 + np.exp(1)) + 1 / (1 + np.exp(3))) / 2)
    )


@pytest.mark.parametrize("name", SHIFT_INVARIANT_LOSSES)
def test_relative_losses_show_a_comparison_that_no_shift_changes(name):
    here, shifted = (realness(LOSSES[name](), U_REAL + c, U_FAKE + c) for c in (0.0, -40.0))
    assert here == pytest.approx(shifted)
    assert here == pytest.approx(
        ((1 / (1 + np.exp(-4)) + 1 / (1 + np.exp(-2))) / 2, (1 / (1 + np.exp(2)) + 1 / (1 + np.exp(4))) / 2)
    )


def test_least_squares_shows_the_logit_between_its_targets():
    perfect = np.ones((3, 1)), np.zeros((3, 1))
    assert realness(LOSSES["least-squares"](), *perfect) == (1.0, 0.0)
    assert realness(LOSSES["least-squares"](), 2 * perfect[0], perfect[1] - 1) == (1.0, 0.0)
