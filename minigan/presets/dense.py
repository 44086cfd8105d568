"""GANs of dense layers: dense-wide, mlp and mlp-small."""

import math

from ..layer import Layer
from ..layers import Dense, Flatten, Reshape, Sequential
from .preset import Networks, Options, Preset, Recipe, adversaries


def _last(options: Options, size: int) -> list[Layer]:
    """The output: tanh and the shape of an image; points are not bounded by [-1, 1], so theirs stays linear."""
    pixels = math.prod(options.data_shape)
    if len(options.data_shape) == 3:
        return [Dense(size, pixels, "tanh"), Reshape(*options.data_shape)]
    return [Dense(size, pixels)]


def _dense_wide(options: Options) -> Networks:
    hidden, pixels = options.units(7 * 7 * 256), math.prod(options.data_shape)
    generator = Sequential(
        Dense(options.latent_dim, hidden, "relu"),
        Dense(hidden, hidden, "relu"),
        Dense(hidden, pixels, "tanh"),
        Reshape(*options.data_shape),
    )
    critic = options.units(4 * 4 * 256)
    discriminator = Sequential(Flatten(), Dense(pixels, critic, "leaky_relu"), Dense(critic, 1))
    return adversaries(options, generator, discriminator)


def _generator(options: Options, published: tuple[int, ...]) -> Layer:
    """z -> hidden ReLU layers -> data."""
    layers: list[Layer] = []
    size = options.latent_dim
    for units in map(options.units, published):
        layers.append(Dense(size, units, "relu"))
        size = units
    return Sequential(*layers, *_last(options, size))


def _discriminator(options: Options) -> Layer:
    """Data -> 512 -> 256 -> 128 -> 1, ReLU."""
    layers: list[Layer] = [Flatten()]
    size = math.prod(options.data_shape)
    for units in map(options.units, (512, 256, 128)):
        layers.append(Dense(size, units, "relu"))
        size = units
    return Sequential(*layers, Dense(size, 1))


def _mlp(options: Options) -> Networks:
    return adversaries(options, _generator(options, (128, 256, 512, 1024)), _discriminator(options))


def _mlp_small(options: Options) -> Networks:
    return adversaries(options, _generator(options, (128, 256, 512)), _discriminator(options))


DENSE_WIDE = Preset(
    name="dense-wide",
    summary="dense layers 12,544 wide, 157 million weights in one matrix; 4.3 GB to train; the saturating game",
    source=(
        "a tutorial's GAN, mended: its output layer had one unit per channel instead of an image, its generator was "
        "never trained through the discriminator, and all the discriminator's targets were ones"
    ),
    build=_dense_wide,
    recipe=Recipe(loss="minimax", optimizer="adam", lr=2e-4, epochs=10),
    last_bias="dense2/b",
)

MLP = Preset(
    name="mlp",
    summary="dense layers that widen from 128 to 1024; the first GAN to try",
    source="a tutorial's GAN, its formulas replaced by the loss of Goodfellow et al. 2014, section 3",
    build=_mlp,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, epochs=200),
    last_bias="dense4/b",
    kinds=("images", "points"),
)

MLP_SMALL = Preset(
    name="mlp-small",
    summary="a smaller mlp as a Wasserstein GAN with weight clipping (alias: wgan)",
    source=(
        "Arjovsky, Chintala and Bottou 2017, Algorithm 1, on a tutorial's networks; the tutorial minimised "
        "mean D(real) + mean D(fake), which has no lower bound and separates nothing"
    ),
    build=_mlp_small,
    recipe=Recipe(loss="wasserstein", optimizer="rmsprop", lr=5e-5, n_critic=5, epochs=200, beta1=None, beta2=None),
    last_bias="dense4/b",
    kinds=("images", "points"),
)
