"""What a user may fit to a preset's discriminator: layers in front of it, and one before its last layer."""

from dataclasses import dataclass, replace

from ..errors import UserError
from ..layer import Layer, Sequential
from ..layers import Dense, DiffAugment, InstanceNoise, MinibatchStddev, Pack
from .preset import Networks, Options, Preset

NOISE = "noise"
"""The name of the InstanceNoise layer, whose standard deviation changes on the way."""
NO_AUGMENT = "none"


@dataclass(frozen=True)
class Fittings:
    """The layers that are added, in the order in which a sample meets them.

    Attributes:
        instance_noise: standard deviation at the start; 0 is none.
        augment: kinds of DiffAugment, joined by commas, or "none".
        pack: samples that the discriminator judges together; 1 is each by itself.
        minibatch_stddev: samples whose spread the last layer is told; 0 is none.
    """

    instance_noise: float = 0.0
    augment: str = NO_AUGMENT
    pack: int = 1
    minibatch_stddev: int = 0


def fitted_networks(preset: Preset, options: Options, fittings: Fittings) -> Networks:
    """The networks of a preset, its discriminator with the fittings.

    Its own layers keep their names; with packs it is laid out for as many times the channels.

    Raises:
        UserError: the preset cannot make data of that shape, or its discriminator or the data cannot have a fitting.
    """
    networks = preset.networks(options)
    if fittings == Fittings():
        return networks
    names = " and ".join(name for name, value in vars(fittings).items() if value != getattr(Fittings(), name))
    if networks["discriminator"].in_shape != options.data_shape:
        raise UserError(f"{preset.name}: {names} cannot be fitted to a discriminator that is told labels")
    if fittings.pack > 1 and preset.auxiliary is not None:
        raise UserError(f"{preset.name}: pack cannot be fitted to a discriminator that tells each sample's condition")
    *sides, channels = options.data_shape
    packed = replace(options, data_shape=(*sides, fittings.pack * channels))
    discriminator = preset.build(packed)["discriminator"].layer
    assert isinstance(discriminator, Sequential), "every preset's is"
    layers = list(discriminator.layers.items())
    if fittings.minibatch_stddev:
        name, last = layers.pop()
        if not isinstance(last, Dense):
            raise UserError(f"{preset.name}: minibatch_stddev cannot be fitted to a discriminator of two heads")
        layers += [
            ("stddev", MinibatchStddev(fittings.minibatch_stddev)),
            (name, Dense(last.in_features + 1, last.out_features, last.activation, last.bias, last.weight_init)),
        ]
    network = Sequential(*_front(options, fittings), *layers)
    network.spec(options.data_shape)
    return {**networks, "discriminator": networks["discriminator"]._replace(layer=network)}


def _front(options: Options, fittings: Fittings) -> list[tuple[str, Layer]]:
    """The layers that come before the discriminator's own."""
    front: list[tuple[str, Layer]] = []
    if fittings.instance_noise:
        front.append((NOISE, InstanceNoise(fittings.instance_noise)))
    if fittings.augment != NO_AUGMENT:
        if len(options.data_shape) != 3:
            raise UserError(f"augment changes images; these data are of shape {options.data_shape}")
        try:
            front.append(("augment", DiffAugment(*fittings.augment.split(","))))
        except ValueError as error:
            raise UserError(f"augment: {error}") from None
    if fittings.pack > 1:
        front.append(("pack", Pack(fittings.pack)))
    return front
