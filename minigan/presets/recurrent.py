"""A GAN of sequences in [-1, 1]: rnn.

Unbounded ones would be the end of it: far out the gates of D saturate, and no gradient leads back.
"""

from ..layers import GRU, Dense, Reshape, Sequential, Upsample2d
from .preset import Networks, Options, Preset, Recipe, adversaries


def _rnn(options: Options) -> Networks:
    (times, features), latent, hidden = options.data_shape, options.latent_dim, options.units(64)
    at_every_time = (Reshape(1, 1, latent), Upsample2d((times, 1)), Reshape(times, latent))
    generator = Sequential(*at_every_time, GRU(latent, hidden), Dense(hidden, features, "tanh"))
    discriminator = Sequential(GRU(features, hidden, last=True), Dense(hidden, 1))
    return adversaries(options, generator, discriminator)


RNN = Preset(
    name="rnn",
    summary="a GRU that turns z, shown to it at every time, into a sequence, against a GRU that reads it to its end",
    source="Mogren 2016 and Esteban, Hyland and Raetsch 2017, with GRUs in place of LSTMs and one z a sequence",
    build=_rnn,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=1e-3, latent_dim=8, epochs=50, data="sines"),
    last_bias="dense1/b",
    kinds=("sequences",),
    penalisable=False,
)
