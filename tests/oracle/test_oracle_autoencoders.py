"""Whole steps of an autoencoder and of a variational one against PyTorch's automatic differentiation, to 1e-8."""

import numpy as np
import pytest

import kernels
from minigan.presets import PRESETS, Options
from minigan.reconstruction import RECONSTRUCTIONS
from minigan.testing import random_params
from minigan.training.reconstructing import Autoencoder, Gradients, elbo_grad, reconstruction_grad

torch = pytest.importorskip("torch")

from torch_twin import leaves, tensors, twin  # noqa: E402

F = torch.nn.functional
SHAPE, LATENT, WEIGHT = (8, 8, 2), 3, 0.6


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("preset", ["autoencoder", "vae"])
def test_both_players(preset: str, norm: str, reconstruction: str) -> None:
    networks = PRESETS[preset].networks(Options(SHAPE, LATENT, 0.05, norm))
    p_e, p_d = (random_params(*network, seed) for seed, network in enumerate(networks.values()))
    encoder, decoder = (network.layer for network in networks.values())
    net = Autoencoder(encoder, decoder, RECONSTRUCTIONS[reconstruction])
    rng, ops = np.random.default_rng(0), kernels.get_ops("numpy", dtype=np.float64)
    x, noise, g = rng.uniform(-1, 1, (4, *SHAPE)), rng.standard_normal((4, LATENT)), Gradients(p_e.like(), p_d.like())
    if preset == "vae":
        step = elbo_grad(ops, net, p_e, p_d, x, noise, g, WEIGHT)
    else:
        step = reconstruction_grad(ops, net, p_e, p_d, x, g)

    (nested_e, trainable_e), (nested_d, trainable_d) = tensors(p_e), tensors(p_d)
    images, code = leaves(x), twin(encoder, nested_e, leaves(x), True)
    loss = 0
    if preset == "vae":
        mean, log_variance = code[:, :LATENT], code[:, LATENT:]
        normal = torch.distributions.Normal
        density = normal(mean, torch.exp(log_variance / 2))
        loss = WEIGHT * torch.distributions.kl_divergence(density, normal(0.0, 1.0)).sum(1).mean()
        code = mean + torch.exp(log_variance / 2) * torch.tensor(noise)
    logits = twin(decoder, nested_d, code, True)
    if reconstruction == "cross-entropy":
        entropy = F.binary_cross_entropy_with_logits(logits, (images + 1) / 2, reduction="none")
        loss = loss + entropy.flatten(1).sum(1).mean()
    else:
        loss = loss + (2 * torch.sigmoid(logits) - 1 - images).square().flatten(1).sum(1).mean() / 2
    assert float(step.value) == pytest.approx(float(loss.detach()), rel=1e-10)
    theirs = torch.autograd.grad(loss, [*trainable_e, *trainable_d])
    ours = [*g.encoder.trainable().values(), *g.decoder.trainable().values()]
    difference = sum(float(((a - b.numpy()) ** 2).sum()) for a, b in zip(ours, theirs, strict=True))
    assert np.sqrt(difference) <= 1e-8 * np.sqrt(sum(float((t**2).sum()) for t in theirs))
