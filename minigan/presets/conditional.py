"""GANs that are told what to draw, or find out what there is to draw: cgan, cgan-concat, acgan and infogan.

The condition enters the generator beside z; three ways lead it into the discriminator (docs/conditional-gans.md).
"""

from ..auxiliary import CATEGORIES, CLASS, CODES, INFORMATION
from ..initializers import identity
from ..layer import Layer
from ..layers import (
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Embedding,
    Flatten,
    Fork,
    Parallel,
    Projection,
    Reshape,
    Sequential,
    Upsample2d,
)
from .convolutional import dcgan_features, dcgan_generator, flat_size, quarter
from .preset import Networks, Options, Preset, Recipe, adversaries, norm_layers


def _labelled_generator(options: Options) -> Layer:
    """(z, label) -> image: the label's row of a table joined to z, then the generator of dcgan.

    The table starts as the identity, a label as one among `classes` numbers. With rows of 50 numbers of variance 1 the
    label speaks louder than z: its gradient is the same in all samples of a class, z's is not, and Adam takes equal
    steps. After 400 steps the pictures of a class then differed by 0.04 (standard deviation of a pixel, half the
    width, bundled digits), and by 0.29 with this table; those of the data differ by 0.24.
    """
    assert options.classes is not None
    start = (Parallel(Sequential(), Embedding(options.classes, options.classes, identity)), Concat())
    return Sequential(*start, *dcgan_generator(options, options.latent_dim + options.classes))


def _projection(options: Options) -> Networks:
    assert options.classes is not None
    features, size = dcgan_features(options, options.data_shape[2])
    trunk = Parallel(Sequential(*features), Sequential())
    discriminator = Sequential(trunk, Projection(size, options.classes))
    return adversaries(options, _labelled_generator(options), discriminator, told_g=(), told_d=())


def _concat(options: Options) -> Networks:
    assert options.classes is not None
    height, width, channels = options.data_shape
    one_hot = Embedding(options.classes, options.classes, identity)
    planes = Sequential(one_hot, Reshape(1, 1, options.classes), Upsample2d((height, width)))
    features, size = dcgan_features(options, channels + options.classes)
    discriminator = Sequential(Parallel(Sequential(), planes), Concat(), *features, Dense(size, 1))
    return adversaries(options, _labelled_generator(options), discriminator, told_g=(), told_d=())


def _classifier(options: Options) -> Networks:
    assert options.classes is not None
    features, size = dcgan_features(options, options.data_shape[2])
    discriminator = Sequential(*features, Fork(Dense(size, 1), Dense(size, options.classes)))
    return adversaries(options, _labelled_generator(options), discriminator, told_g=())


def _infogan(options: Options) -> Networks:
    (height, width), channels = quarter(options), options.data_shape[2]
    hidden, wide, narrow, small = map(options.units, (1024, 128, 64, 128))
    one_hot = Embedding(CATEGORIES, CATEGORIES, identity)
    codes = Sequential(Parallel(one_hot, Sequential()), Concat())
    generator = Sequential(
        Parallel(Sequential(), codes),
        Concat(),
        Dense(options.latent_dim + CATEGORIES + CODES, hidden, bias=False),
        *norm_layers("batch", hidden, "relu"),
        Dense(hidden, height * width * wide, bias=False),
        Reshape(height, width, wide),
        *norm_layers("batch", wide, "relu"),
        ConvTranspose2d(wide, narrow, 4, stride=2, bias=False),
        *norm_layers("batch", narrow, "relu"),
        ConvTranspose2d(narrow, channels, 4, stride=2, activation="tanh"),
    )
    norm = options.norm
    teller = (Dense(hidden, small, bias=norm == "none"), *norm_layers(norm, small, "leaky_relu"))
    discriminator = Sequential(
        Conv2d(channels, narrow, 4, stride=2, activation="leaky_relu"),
        Conv2d(narrow, wide, 4, stride=2, bias=norm == "none"),
        *norm_layers(norm, wide, "leaky_relu"),
        Flatten(),
        Dense(flat_size(options, wide), hidden, bias=norm == "none"),
        *norm_layers(norm, hidden, "leaky_relu"),
        Fork(Dense(hidden, 1), Sequential(*teller, Dense(small, CATEGORIES + CODES))),
    )
    return adversaries(options, generator, discriminator, told_g=((), (CODES,)))


CGAN = Preset(
    name="cgan",
    summary="dcgan that is told the label, which meets D's features in an inner product; a row of the grid a label",
    source="Miyato and Koyama 2018, eq. 3, on the networks of dcgan; Mirza and Osindero 2014 had the first",
    build=_projection,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, epochs=25, norm="batch"),
    last_bias="projection1/head/b",
    condition="labels",
)

CGAN_CONCAT = Preset(
    name="cgan-concat",
    summary="dcgan that is told the label, which reaches D as further planes of the image",
    source="Mirza and Osindero 2014, on the networks of dcgan",
    build=_concat,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, epochs=25, norm="batch"),
    last_bias="dense1/b",
    condition="labels",
)

ACGAN = Preset(
    name="acgan",
    summary="dcgan whose G is told the label and whose D has to tell it",
    source="Odena, Olah and Shlens 2017, section 3, on the networks of dcgan",
    build=_classifier,
    recipe=Recipe(loss="non-saturating", optimizer="adam", lr=2e-4, epochs=25, norm="batch", auxiliary_weight=1.0),
    last_bias="fork1/head1/b",
    condition="labels",
    auxiliary=CLASS,
)

INFOGAN = Preset(
    name="infogan",
    summary="finds ten kinds and two continuous features without labels: D has to tell the codes that G was given",
    source="Chen et al. 2016, appendix C.1",
    build=_infogan,
    recipe=Recipe(
        loss="non-saturating",
        optimizer="adam",
        lr=2e-4,
        lr_g=1e-3,
        latent_dim=62,
        epochs=25,
        norm="batch",
        auxiliary_weight=1.0,
    ),
    last_bias="fork1/head1/b",
    condition="codes",
    auxiliary=INFORMATION,
)
