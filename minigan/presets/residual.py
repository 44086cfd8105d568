"""r3gan: small residual networks without norms, alike in both players."""

import math

from kernels import activation

from ..initializers import he_normal, zeros
from ..layer import Layer
from ..layers import AvgPool2d, Conv2d, Dense, Flatten, LeakyReLU, Reshape, Residual, Sequential, Upsample2d
from .preset import Networks, Options, Preset, Recipe, adversaries

SLOPE = 0.2
POINT_UNITS = 128
POINT_BLOCKS = 2
SMALL_BLOCKS = 2


def _r3gan(options: Options) -> Networks:
    return _of_points(options) if len(options.data_shape) == 1 else _of_images(options)


def _of_points(options: Options) -> Networks:
    """Blocks of two dense layers."""
    units, (size,) = options.units(POINT_UNITS), options.data_shape

    def blocks() -> list[Layer]:
        return [_block(_dense(units, units), Dense(units, units, bias=False, init=zeros)) for _ in range(POINT_BLOCKS)]

    generator = Sequential(_dense(options.latent_dim, units), *blocks(), LeakyReLU(SLOPE), _last(units, size))
    discriminator = Sequential(_dense(size, units), *blocks(), LeakyReLU(SLOPE), _last(units, 1))
    return adversaries(options, generator, discriminator)


def _of_images(options: Options) -> Networks:
    """A block at half the image's size, two at a quarter; the last of the discriminator sees 46x46 pixels.

    Most of the work of R1 and R2 would be that of a block at the whole size; the 3x3 convolution before the mean over
    2x2 pixels sees 4x4 of them, as the first convolution of dcgan does.
    """
    height, width, channels = options.data_shape
    small, middle = options.units(64), options.units(32)
    size = (max(height // 4, 1), max(width // 4, 1))
    generator = Sequential(
        Dense(options.latent_dim, math.prod(size) * small, init=he_normal()),
        Reshape(*size, small),
        *(_image_block(small) for _ in range(SMALL_BLOCKS)),
        Conv2d(small, middle, 1, init=he_normal()),
        Upsample2d(2),
        _image_block(middle),
        LeakyReLU(SLOPE),
        Upsample2d(2),
        Conv2d(middle, channels, 3, activation="tanh", init=he_normal()),
    )
    discriminator = Sequential(
        Conv2d(channels, middle, 3, init=he_normal()),
        AvgPool2d(2),
        _image_block(middle),
        AvgPool2d(2),
        Conv2d(middle, small, 1, init=he_normal()),
        *(_image_block(small) for _ in range(SMALL_BLOCKS)),
        LeakyReLU(SLOPE),
        Flatten(),
        _last(math.prod(size) * small, 1),
    )
    return adversaries(options, generator, discriminator)


def _image_block(channels: int) -> Layer:
    """x + conv(f(conv(f(x))))."""
    first = Conv2d(channels, channels, 3, activation=activation("leaky_relu", SLOPE), init=he_normal(SLOPE))
    return _block(LeakyReLU(SLOPE), first, Conv2d(channels, channels, 3, bias=False, init=zeros))


def _block(*branch: Layer) -> Layer:
    """The last weights of a branch start at 0, so that a block starts as the identity and needs no norm."""
    return Residual(Sequential(*branch))


def _dense(inputs: int, units: int) -> Dense:
    return Dense(inputs, units, activation("leaky_relu", SLOPE), init=he_normal(SLOPE))


def _last(inputs: int, outputs: int) -> Dense:
    return Dense(inputs, outputs, init=he_normal(1.0))


R3GAN = Preset(
    name="r3gan",
    summary="small residual networks without norms; the relativistic game of pairs with R1 and R2; points too",
    source=(
        'Huang, Gokaslan, Kuleshov and Tompkin 2024, "The GAN is dead; long live the GAN!", on networks of a size for '
        "digits: 3x3 convolutions in place of grouped ones, and nearest-neighbour upsampling"
    ),
    build=_r3gan,
    recipe=Recipe(
        loss="relativistic-paired",
        optimizer="adam",
        lr=2e-4,
        epochs=25,
        beta1=0.0,
        beta2=0.99,
        penalty="r1+r2",
        penalty_weight=1.0,
    ),
    last_bias="dense1/b",
    kinds=("images", "points"),
)
