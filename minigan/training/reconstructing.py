"""One update of an autoencoder, and of a variational one: both algorithms on one screen.

`reconstruction_grad` and `elbo_grad` evaluate a loss of encoder and decoder together and, where gradients are given,
add to them. Axes: N = batch, Z = length of a code; x (N, H, W, C) images, l the decoder's logits of them.
"""

from typing import Any, NamedTuple

import numpy as np

from kernels import Ops
from kernels.types import Array

from ..layer import Layer, Note
from ..params import ParamSet
from ..reconstruction import Terms


class Autoencoder(NamedTuple):
    """An encoder, a decoder and what is lost between them."""

    encoder: Layer
    decoder: Layer
    reconstruction: Terms


class Gradients(NamedTuple):
    """The gradients of both, to be added to."""

    encoder: ParamSet
    decoder: ParamSet


class ReconstructionStep(NamedTuple):
    """What a step leaves: its losses and the notes of both passes."""

    value: Array  # 0-d: reconstruction + weight divergence
    reconstruction: Array  # 0-d
    divergence: Array | None  # 0-d, unweighted
    encoder_cache: Note
    decoder_cache: Note
    notes: Any


def reconstruction_grad(
    ops: Ops, net: Autoencoder, p_e: ParamSet, p_d: ParamSet, x: Array, g: Gradients | None = None
) -> ReconstructionStep:
    """L(decoder(encoder(x)), x)."""
    code, seen = net.encoder.forward(ops, p_e, x)
    logits, made = net.decoder.forward(ops, p_d, code)
    value, dlogits = net.reconstruction(ops, logits, x)
    if g is not None:
        dcode, _ = net.decoder.backward(ops, p_d, made, dlogits, g.decoder)
        net.encoder.backward(ops, p_e, seen, dcode, g.encoder, need_dx=False)
    return ReconstructionStep(value, value, None, seen, made, (seen, made))


def elbo_grad(
    ops: Ops,
    net: Autoencoder,
    p_e: ParamSet,
    p_d: ParamSet,
    x: Array,
    noise: Array,
    g: Gradients | None = None,
    weight: float = 1.0,
) -> ReconstructionStep:
    """Minus the evidence lower bound (Kingma and Welling 2014, eq. 10 and appendix B), for noise (N, Z) from N(0, I):

        encoder(x) = (m, v), mean and log variance of a normal density of codes; z = m + e^(v/2) noise
        value = L(decoder(z), x) + weight KL,   KL = 1/2 sum(m^2 + e^v - 1 - v), a mean over the batch
        dm = dz + weight m/N,   dv = dz noise e^(v/2)/2 + weight (e^v - 1)/(2 N)

    The noise is drawn beside the network, so that z has a derivative in m and v (the reparametrisation). `weight` above
    1 presses the codes closer to N(0, I) (Higgins et al. 2017).
    """
    output, seen = net.encoder.forward(ops, p_e, x)
    mean, log_variance = ops.split(output, [noise.shape[1]] * 2)  # (N, 2 Z) -> (N, Z), (N, Z)
    deviation = np.exp(log_variance / 2)
    off = ops.multiply(deviation, noise)
    logits, made = net.decoder.forward(ops, p_d, ops.add(mean, off))
    value, dlogits = net.reconstruction(ops, logits, x)
    variance = deviation * deviation
    divergence = ((mean * mean + variance - 1 - log_variance).sum() / (2 * len(x))).reshape(())
    if g is not None:
        dz, _ = net.decoder.backward(ops, p_d, made, dlogits, g.decoder)
        dmean = ops.add(dz, ops.scale_shift(mean, weight / len(x)))
        pull = ops.scale_shift(variance, weight / (2 * len(x)), -weight / (2 * len(x)))
        dlog_variance = ops.add(ops.scale_shift(ops.multiply(dz, off), 0.5), pull)
        net.encoder.backward(ops, p_e, seen, ops.concat([dmean, dlog_variance], axis=-1), g.encoder, need_dx=False)
    whole = (value + weight * divergence).reshape(())
    return ReconstructionStep(whole, value, divergence, seen, made, (seen, made))
