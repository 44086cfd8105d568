"""The ready-made networks and recipes: `PRESETS["dcgan"]`, one file a family. `minigan presets` lists them."""

from difflib import get_close_matches

from ..errors import UserError
from .conditional import ACGAN, CGAN, CGAN_CONCAT, INFOGAN
from .convolutional import DCGAN, LSGAN, LUCIC, SNGAN, WGAN_GP
from .dense import DENSE_WIDE, MLP, MLP_SMALL
from .preset import ADAM_BETAS, CODES, LABELS, NO_PENALTY, NORMS, WEIGHT_NORMS, Network, Options, Preset, Recipe

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        MLP,
        MLP_SMALL,
        DCGAN,
        WGAN_GP,
        SNGAN,
        CGAN,
        CGAN_CONCAT,
        ACGAN,
        INFOGAN,
        LSGAN,
        LUCIC,
        DENSE_WIDE,
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
    "NORMS",
    "NO_PENALTY",
    "PRESETS",
    "WEIGHT_NORMS",
    "Network",
    "Options",
    "Preset",
    "Recipe",
    "get_preset",
]
