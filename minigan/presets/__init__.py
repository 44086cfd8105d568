"""The ready-made networks and recipes: `PRESETS["dcgan"]`, one file a family. `minigan presets` lists them."""

from difflib import get_close_matches

from ..errors import UserError
from .autoencoders import AAE, AUTOENCODER, VAE
from .conditional import ACGAN, CGAN, CGAN_CONCAT, INFOGAN
from .convolutional import DCGAN, LSGAN, LUCIC, SNGAN, WGAN_GP
from .dense import DENSE_WIDE, MLP, MLP_SMALL
from .fittings import NO_AUGMENT, NOISE, Fittings, fitted_networks
from .preset import ADAM_BETAS, CODES, LABELS, NO_PENALTY, NORMS, WEIGHT_NORMS, Network, Options, Preset, Recipe
from .recurrent import RNN
from .residual import R3GAN

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        MLP,
        MLP_SMALL,
        DCGAN,
        WGAN_GP,
        R3GAN,
        SNGAN,
        CGAN,
        CGAN_CONCAT,
        ACGAN,
        INFOGAN,
        LSGAN,
        LUCIC,
        DENSE_WIDE,
        AUTOENCODER,
        VAE,
        AAE,
        RNN,
    )
}
ALIASES = {"wgan": "mlp-small"}


def get_preset(name: str) -> Preset:
    """A preset by name or alias.

    Raises:
        UserError: there is none; the message lists them and names the closest.
    """
    preset = PRESETS.get(ALIASES.get(name, name))
    if preset is None:
        close = get_close_matches(name, [*PRESETS, *ALIASES], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"unknown preset {name!r}: there are {', '.join(PRESETS)}{hint}")
    return preset


__all__ = [
    "ADAM_BETAS",
    "ALIASES",
    "CODES",
    "LABELS",
    "NOISE",
    "NORMS",
    "NO_AUGMENT",
    "NO_PENALTY",
    "PRESETS",
    "WEIGHT_NORMS",
    "Fittings",
    "Network",
    "Options",
    "Preset",
    "Recipe",
    "fitted_networks",
    "get_preset",
]
