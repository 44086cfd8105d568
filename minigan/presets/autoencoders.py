"""Autoencoders: autoencoder, vae and aae. A decoder ends in a logit for each pixel (`minigan.reconstruction`)."""

import math

from ..initializers import he_normal
from ..layer import Layer
from ..layers import Conv2d, ConvTranspose2d, Dense, Flatten, Reshape, Sequential
from .convolutional import flat_size, quarter
from .preset import Network, Networks, Options, Preset, Recipe, norm_layers

HE = he_normal()
"""Without norms, DCGAN's small initial weights let nothing through to the other end."""


def _encoder(options: Options, outputs: int) -> Layer:
    """Two strided convolutions, which see 10x10 pixels, and two dense layers, which see the whole image."""
    wide, narrow, hidden, bias = options.units(128), options.units(64), options.units(512), options.norm == "none"
    return Sequential(
        Conv2d(options.data_shape[2], narrow, 4, stride=2, activation="relu", init=HE),
        Conv2d(narrow, wide, 4, stride=2, bias=bias, init=HE),
        *norm_layers(options.norm, wide, "relu"),
        Flatten(),
        Dense(flat_size(options, wide), hidden, bias=bias, init=HE),
        *norm_layers(options.norm, hidden, "relu"),
        Dense(hidden, outputs, init=HE),
    )


def _decoder(options: Options) -> Layer:
    """The encoder's mirror image."""
    (height, width), channels = quarter(options), options.data_shape[2]
    wide, narrow, hidden, bias = options.units(128), options.units(64), options.units(512), options.norm == "none"
    return Sequential(
        Dense(options.latent_dim, hidden, bias=bias, init=HE),
        *norm_layers(options.norm, hidden, "relu"),
        Dense(hidden, height * width * wide, bias=bias, init=HE),
        Reshape(height, width, wide),
        *norm_layers(options.norm, wide, "relu"),
        ConvTranspose2d(wide, narrow, 4, stride=2, bias=bias, init=HE),
        *norm_layers(options.norm, narrow, "relu"),
        ConvTranspose2d(narrow, channels, 4, stride=2, init=HE),
    )


def _pair(options: Options, encoder: Layer, decoder: Layer) -> Networks:
    return {"encoder": Network(encoder, options.data_shape), "decoder": Network(decoder, (options.latent_dim,))}


def _autoencoder(options: Options) -> Networks:
    return _pair(options, _encoder(options, options.latent_dim), _decoder(options))


def _vae(options: Options) -> Networks:
    return _pair(options, _encoder(options, 2 * options.latent_dim), _decoder(options))


def _aae(options: Options) -> Networks:
    hidden, pixels, code = options.units(1000), math.prod(options.data_shape), options.latent_dim
    encoder = Sequential(
        Flatten(),
        Dense(pixels, hidden, "relu", init=HE),
        Dense(hidden, hidden, "relu", init=HE),
        Dense(hidden, code, init=HE),
    )
    decoder = Sequential(
        Dense(code, hidden, "relu", init=HE),
        Dense(hidden, hidden, "relu", init=HE),
        Dense(hidden, pixels, init=HE),
        Reshape(*options.data_shape),
    )
    discriminator = Sequential(Dense(code, hidden, "leaky_relu"), Dense(hidden, hidden, "leaky_relu"), Dense(hidden, 1))
    return _pair(options, encoder, decoder) | {"discriminator": Network(discriminator, (code,))}


AUTOENCODER = Preset(
    name="autoencoder",
    summary="squeezes an image through 32 numbers and back; learns no distribution, so its grids are reconstructions",
    source="Hinton and Salakhutdinov 2006, with the convolutions of dcgan in place of dense layers",
    build=_autoencoder,
    recipe=Recipe(
        loss=None,
        optimizer="adam",
        lr=1e-3,
        latent_dim=32,
        epochs=25,
        beta1=0.9,
        n_critic=None,
        norm="none",
        penalty=None,
        weight_norm=None,
        reconstruction="squared-error",
    ),
    algorithm="autoencoder",
    maker="decoder",
)

VAE = Preset(
    name="vae",
    summary="an encoder of means and variances and a decoder, by the evidence lower bound with the reparametrisation",
    source="Kingma and Welling 2014, with the convolutions of dcgan below its dense layer",
    build=_vae,
    recipe=Recipe(
        loss=None,
        optimizer="adam",
        lr=1e-3,
        latent_dim=10,
        epochs=25,
        beta1=0.9,
        n_critic=None,
        norm="none",
        penalty=None,
        weight_norm=None,
        reconstruction="cross-entropy",
        divergence_weight=1.0,
    ),
    algorithm="vae",
    maker="decoder",
)

AAE = Preset(
    name="aae",
    summary="an autoencoder whose codes a discriminator holds to a normal distribution, from which it then draws",
    source="Makhzani, Shlens, Jaitly, Goodfellow and Frey 2016, appendix A (the sizes of the layers alone)",
    build=_aae,
    recipe=Recipe(
        loss="non-saturating",
        optimizer="adam",
        lr=2e-4,
        latent_dim=8,
        epochs=50,
        n_critic=None,
        penalty=None,
        reconstruction="squared-error",
    ),
    last_bias="dense3/b",
    algorithm="aae",
    maker="decoder",
)
