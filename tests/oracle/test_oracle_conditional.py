"""Whole steps of the conditional GANs against PyTorch's automatic differentiation, to 1e-8."""

from typing import Any

import numpy as np
import pytest
from conditions import CLASSES, random_condition

import kernels
from minigan.auxiliary import CODE_WEIGHT
from minigan.losses import get_loss
from minigan.penalties import get_penalty
from minigan.presets import PRESETS, Options
from minigan.testing import random_params
from minigan.training.gan import Gan
from minigan.training.updates import d_grad, g_grad

torch = pytest.importorskip("torch")

from torch_twin import leaves, tensors, twin  # noqa: E402

F = torch.nn.functional
SHAPE, LATENT, WEIGHT, GAMMA = (8, 8, 2), 4, 0.6, 0.5
CONDITIONAL = [name for name, preset in PRESETS.items() if preset.condition is not None]


def told(x: Any, y: Any) -> Any:
    return x if y is None else (x, y)


def auxiliary(preset: str, a: Any, y: Any) -> Any:
    if preset == "acgan":
        return F.cross_entropy(a, y)
    categories, codes = y
    logits, means = a[:, : -codes.shape[1]], a[:, -codes.shape[1] :]
    return F.cross_entropy(logits, categories) + CODE_WEIGHT / 2 * ((means - codes) ** 2).sum(1).mean()


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("preset", CONDITIONAL)
def test_both_steps(preset: str, norm: str) -> None:
    """D's with R1 where D has no BatchNorm; fakes go into D's step as constants."""
    rng, own = np.random.default_rng(0), PRESETS[preset]
    networks = own.networks(Options(SHAPE, LATENT, 0.05, norm, CLASSES))
    generator, discriminator = (network.layer for network in networks.values())
    p_g, p_d = (random_params(*network, seed) for seed, network in enumerate(networks.values()))
    x, z = rng.uniform(-1, 1, (5, *SHAPE)), rng.standard_normal((5, LATENT))
    y = random_condition(preset, 5, rng)
    penalty = None if norm == "batch" else get_penalty("r1", GAMMA)
    gan = Gan(generator, discriminator, get_loss("non-saturating"), penalty, own.auxiliary, WEIGHT)
    ops, g_d, g_g = kernels.get_ops("numpy", dtype=np.float64), p_d.like(), p_g.like()
    d_value = float(d_grad(ops, gan, p_g, p_d, x, z, g_d, y).value)
    ops.begin_step(0)
    g_value = float(g_grad(ops, gan, p_g, p_d, x, z, g_g, y).value)

    (nested_g, trainable_g), (nested_d, trainable_d) = tensors(p_g), tensors(p_d)
    given = None if y is None else leaves(y)
    shown = given if own.auxiliary is None else None
    real, fake = leaves(x), twin(generator, nested_g, told(leaves(z), given), True)

    def judged(images: Any) -> tuple[Any, Any]:
        output = twin(discriminator, nested_d, told(images, shown), True)
        return output if isinstance(output, tuple) else (output, None)

    (u_real, a_real), (u_fake, a_fake) = judged(real), judged(fake.detach())
    d_loss = F.softplus(-u_real).mean() + F.softplus(u_fake).mean()
    if own.auxiliary is not None:
        told_right = auxiliary(preset, a_fake, given)
        if preset == "acgan":
            told_right = told_right + auxiliary(preset, a_real, given)
        d_loss = d_loss + WEIGHT * told_right
    if penalty is not None:
        (dx,) = torch.autograd.grad(u_real.sum(), real, create_graph=True)
        d_loss = d_loss + GAMMA / 2 * dx.square().flatten(1).sum(1).mean()
    u, a = judged(fake)
    g_loss = F.softplus(-u).mean()
    if own.auxiliary is not None:
        g_loss = g_loss + WEIGHT * auxiliary(preset, a, given)
    for value, ours, g, trainable in ((d_loss, d_value, g_d, trainable_d), (g_loss, g_value, g_g, trainable_g)):
        assert ours == pytest.approx(float(value.detach()), rel=1e-10)
        theirs = torch.autograd.grad(value, trainable, materialize_grads=True, retain_graph=True)
        difference = [view - t.numpy() for view, t in zip(g.trainable().values(), theirs, strict=True)]
        norm_of = np.sqrt(sum(float((t**2).sum()) for t in theirs))
        assert np.sqrt(sum((d**2).sum() for d in difference)) <= 1e-8 * norm_of
