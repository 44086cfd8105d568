"""GANs with convolutions: dcgan, wgan-gp, sngan, lsgan and lucic."""

import math

from kernels import activation
from kernels.geometry import pair

from ..layer import Layer
from ..layers import (
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    Reshape,
    ScaleShift,
    Sequential,
)
from .preset import Networks, Options, Preset, Recipe, adversaries, norm_layers

LEAKY_TENTH = activation("leaky_relu", 0.1)


def quarter(options: Options) -> tuple[int, int]:
    """Size of the smallest feature map, from which two doublings lead to the image."""
    height, width, _ = options.data_shape
    return pair((max(height // 4, 1), max(width // 4, 1)), "image size/4")


def flat_size(options: Options, channels: int) -> int:
    """Numbers in the feature map of an image after two strided convolutions."""
    return -(-options.data_shape[0] // 4) * -(-options.data_shape[1] // 4) * channels


def dcgan_generator(options: Options, inputs: int) -> list[Layer]:
    """From `inputs` features to an image."""
    (height, width), channels = quarter(options), options.data_shape[2]
    wide, narrow = options.units(128), options.units(64)
    return [
        Dense(inputs, height * width * wide, bias=False),
        Reshape(height, width, wide),
        *norm_layers("batch", wide, "relu"),
        ConvTranspose2d(wide, narrow, 4, stride=2, bias=False),
        *norm_layers("batch", narrow, "relu"),
        ConvTranspose2d(narrow, channels, 4, stride=2, activation="tanh"),
    ]


def dcgan_features(options: Options, channels: int) -> tuple[list[Layer], int]:
    """The discriminator of dcgan up to its last layer, for images of `channels`, and how many features it has there."""
    wide, narrow = options.units(128), options.units(64)
    layers = [
        Conv2d(channels, narrow, 4, stride=2, activation="leaky_relu"),
        Conv2d(narrow, wide, 4, stride=2, bias=options.norm == "none"),
        *norm_layers(options.norm, wide, "leaky_relu"),
        Flatten(),
    ]
    return layers, flat_size(options, wide)


def _dcgan(options: Options) -> Networks:
    features, size = dcgan_features(options, options.data_shape[2])
    generator = Sequential(*dcgan_generator(options, options.latent_dim))
    return adversaries(options, generator, Sequential(*features, Dense(size, 1)))


def _from_an_eighth(options: Options, kernel: int, channels: tuple[int, int, int]) -> list[Layer]:
    """From z to a map of half the image's size; channels of an eighth, a quarter and a half."""
    quarters, (wide, middle, narrow) = quarter(options), channels
    small = (-(-quarters[0] // 2), -(-quarters[1] // 2))
    return [
        Dense(options.latent_dim, math.prod(small) * wide, bias=False),
        Reshape(*small, wide),
        *norm_layers("batch", wide, "relu"),
        ConvTranspose2d(wide, middle, kernel, stride=2, output_size=quarters, bias=False),
        *norm_layers("batch", middle, "relu"),
        ConvTranspose2d(middle, narrow, kernel, stride=2, bias=False),
        *norm_layers("batch", narrow, "relu"),
    ]


def _eighth_size(options: Options, channels: int) -> int:
    """Numbers in the feature map of an image after three strided convolutions."""
    return -(-options.data_shape[0] // 8) * -(-options.data_shape[1] // 8) * channels


def _wgan_gp(options: Options) -> Networks:
    """Three 5x5 convolutions with stride 2 on either side; the last of the critic sees 29x29 pixels."""
    channels = options.data_shape[2]
    narrow, middle, wide = map(options.units, (64, 128, 256))
    generator = Sequential(
        *_from_an_eighth(options, 5, (wide, middle, narrow)),
        ConvTranspose2d(narrow, channels, 5, stride=2, activation="tanh"),
    )
    bias = options.norm == "none"
    critic = Sequential(
        Conv2d(channels, narrow, 5, stride=2, activation="leaky_relu"),
        Conv2d(narrow, middle, 5, stride=2, bias=bias),
        *norm_layers(options.norm, middle, "leaky_relu"),
        Conv2d(middle, wide, 5, stride=2, bias=bias),
        *norm_layers(options.norm, wide, "leaky_relu"),
        Flatten(),
        Dense(_eighth_size(options, wide), 1),
    )
    return adversaries(options, generator, critic)


def _sngan(options: Options) -> Networks:
    """3x3 and 4x4 convolutions in turn, of which the last of the discriminator sees 52x52 pixels."""
    channels = options.data_shape[2]
    fine, narrow, middle, wide = map(options.units, (32, 64, 128, 256))
    generator = Sequential(
        *_from_an_eighth(options, 4, (wide, middle, narrow)),
        ConvTranspose2d(narrow, fine, 4, stride=2, bias=False),
        *norm_layers("batch", fine, "relu"),
        Conv2d(fine, channels, 3, activation="tanh"),
    )
    layers: list[Layer] = []
    inputs = channels
    for units in (fine, narrow, middle):
        layers += [
            Conv2d(inputs, units, 3, activation=LEAKY_TENTH),
            Conv2d(units, units, 4, stride=2, activation=LEAKY_TENTH),
        ]
        inputs = units
    layers += [Conv2d(inputs, wide, 3, activation=LEAKY_TENTH), Flatten(), Dense(_eighth_size(options, wide), 1)]
    return adversaries(options, generator, Sequential(*layers))


def _lsgan(options: Options) -> Networks:
    hidden, pixels = options.units(128), math.prod(options.data_shape)
    layers: list[Layer] = []
    size = options.latent_dim
    for _ in range(3):
        layers.append(Dense(size, hidden, "leaky_relu"))
        size = hidden
    generator = Sequential(*layers, Dense(hidden, pixels), Reshape(*options.data_shape))
    layers = []
    height, width, channels = options.data_shape
    for units in map(options.units, (64, 128, 256, 512)):
        layers.append(Conv2d(channels, units, 5, stride=2, activation="leaky_relu"))
        height, width, channels = -(-height // 2), -(-width // 2), units
    discriminator = Sequential(*layers, Flatten(), Dense(height * width * channels, 1))
    return adversaries(options, generator, discriminator)


def _lucic(options: Options) -> Networks:
    (height, width), channels, norm = quarter(options), options.data_shape[2], options.norm
    hidden, wide, narrow = options.units(1024), options.units(128), options.units(64)
    bias = norm == "none"
    generator = Sequential(
        Dense(options.latent_dim, hidden, bias=bias),
        *norm_layers(norm, hidden, "leaky_relu"),
        Dense(hidden, height * width * wide, bias=bias),
        Reshape(height, width, wide),
        *norm_layers(norm, wide, "leaky_relu"),
        ConvTranspose2d(wide, narrow, 4, stride=2, bias=bias),
        *norm_layers(norm, narrow, "leaky_relu"),
        ConvTranspose2d(narrow, channels, 4, stride=2, activation="sigmoid"),
        ScaleShift(2, -1),
    )
    discriminator = Sequential(
        Conv2d(channels, narrow, 4, stride=2, activation="leaky_relu"),
        Conv2d(narrow, wide, 4, stride=2, bias=bias),
        *norm_layers(norm, wide, "leaky_relu"),
        Flatten(),
        Dense(flat_size(options, wide), hidden, bias=bias),
        *norm_layers(norm, hidden, "leaky_relu"),
        Dense(hidden, 1),
    )
    return adversaries(options, generator, discriminator)


DCGAN = Preset(
    name="dcgan",
    summary="two transposed convolutions with BatchNorm against two strided ones; the one to take for digits",
    source="Radford, Metz and Chintala 2016, at the size that suits 28x28 digits",
    build=_dcgan,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, epochs=25, norm="batch"),
    last_bias="dense1/b",
)

WGAN_GP = Preset(
    name="wgan-gp",
    summary="three 5x5 convolutions on either side, LayerNorm in the critic; Wasserstein with gradient penalty",
    source=(
        "Gulrajani et al. 2017, Algorithm 1 and LayerNorm in the critic; the convolutions of its authors' program for "
        "MNIST, which has no normalisation"
    ),
    build=_wgan_gp,
    recipe=Recipe(
        loss="wasserstein",
        optimizer="adam",
        lr=1e-4,
        epochs=25,
        beta1=0.0,
        beta2=0.9,
        n_critic=5,
        norm="layer",
        penalty="wgan-gp",
        penalty_weight=10.0,
    ),
    last_bias="dense1/b",
)

SNGAN = Preset(
    name="sngan",
    summary="three doublings against seven convolutions whose weights are spectrally normalised; hinge",
    source=(
        "Miyato, Kataoka, Koyama and Yoshida 2018, setting C of table 1; the networks of table 3 with half their "
        "channels"
    ),
    build=_sngan,
    recipe=Recipe(loss="hinge", optimizer="adam", lr=2e-4, epochs=25, weight_norm="spectral"),
    last_bias="dense1/b",
)

LSGAN = Preset(
    name="lsgan",
    summary="a small dense generator against four strided 5x5 convolutions, least squares",
    source=(
        "Mao et al. 2017 on a tutorial's networks; the tutorial exchanged max and min in its formula and scaled images "
        "to [0, 1], here they lie in [-1, 1] as everywhere"
    ),
    build=_lsgan,
    recipe=Recipe(loss="least-squares", optimizer="adam", lr=2e-4, epochs=100),
    last_bias="dense1/b",
)

LUCIC = Preset(
    name="lucic",
    summary="the InfoGAN networks on which losses were compared; any loss, BatchNorm, LayerNorm or none",
    source=(
        'Lucic, Kurach, Michalski, Gelly and Bousquet 2018, "Are GANs Created Equal?"; the generator\'s sigmoid is '
        "scaled from [0, 1] to [-1, 1], where all images of minigan live"
    ),
    build=_lucic,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, latent_dim=64, epochs=20, norm="batch"),
    last_bias="dense2/b",
)
