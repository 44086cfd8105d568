"""Losses against PyTorch's own functions and its automatic gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan.losses import get_loss

torch = pytest.importorskip("torch")
F = torch.nn.functional

Terms = Callable[[Any, Any], Any]


def bce(u: Any, label: float) -> Any:
    """The binary cross-entropy that discriminators are trained with everywhere."""
    return F.binary_cross_entropy_with_logits(u, torch.full_like(u, label))


def half_mse(u: Any, target: float) -> Any:
    return F.mse_loss(u, torch.full_like(u, target)) / 2


LOSSES: dict[str, tuple[str, float, Terms, Terms]] = {
    "minimax": ("minimax", 0, lambda r, f: bce(r, 1) + bce(f, 0), lambda _, f: -bce(f, 0)),
    "non-saturating": ("non-saturating", 0, lambda r, f: bce(r, 1) + bce(f, 0), lambda _, f: bce(f, 1)),
    "smoothed": ("non-saturating", 0.2, lambda r, f: bce(r, 0.8) + bce(f, 0), lambda _, f: bce(f, 1)),
    "least-squares": ("least-squares", 0, lambda r, f: half_mse(r, 1) + half_mse(f, 0), lambda _, f: half_mse(f, 1)),
    "wasserstein": ("wasserstein", 0, lambda r, f: f.mean() - r.mean(), lambda _, f: -f.mean()),
    "hinge": ("hinge", 0, lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda _, f: -f.mean()),
    "relativistic-average": (
        "relativistic-average",
        0,
        lambda r, f: bce(r - f.mean(), 1) + bce(f - r.mean(), 0),
        lambda r, f: bce(r - f.mean(), 0) + bce(f - r.mean(), 1),
    ),
    "relativistic-paired": ("relativistic-paired", 0, lambda r, f: bce(r - f, 1), lambda r, f: bce(f - r, 1)),
}


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize(("name", "smoothing", "d_loss", "g_loss"), LOSSES.values(), ids=LOSSES)
def test_values_and_gradients(name: str, smoothing: float, d_loss: Terms, g_loss: Terms, scale: float):
    u_real, u_fake = scale * np.random.default_rng(0).standard_normal((2, 9, 1))
    loss = get_loss(name, smoothing)
    r, f = (torch.tensor(u, requires_grad=True) for u in (u_real, u_fake))
    d_value, g_value = d_loss(r, f), g_loss(r, f)
    expected = [d_value, *torch.autograd.grad(d_value, (r, f)), g_value, *torch.autograd.grad(g_value, (f,))]
    actual = [*loss.d_loss(u_real, u_fake), *loss.g_loss(u_real, u_fake)]
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-15)
