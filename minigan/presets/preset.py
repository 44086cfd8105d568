"""What a preset is: two networks, the recipe that trains them, and where both come from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from kernels.types import Shape

from ..auxiliary import Auxiliary
from ..condition import told
from ..errors import UserError
from ..layer import Layer
from ..layers import BatchNorm, LayerNorm, LeakyReLU, ReLU
from ..losses import SHIFT_INVARIANT_LOSSES

NORMS = ("batch", "layer", "none")
NO_PENALTY = "none"
WEIGHT_NORMS = ("none", "spectral")
KINDS = {1: "points", 2: "sequences", 3: "images"}
"""Of data, by the number of axes of a sample."""
TAKERS = {"points": "mlp, mlp-small or r3gan", "sequences": "rnn", "images": "another preset, dcgan say"}
"""What to train on each kind."""
LABELS, CODES = "labels", "codes"
"""Conditions."""
LARGEST_WIDTH = 1000
LARGEST_LATENT_DIM = 1_000_000


ADAM_BETAS = (0.5, 0.999)
"""Those of DCGAN (Radford, Metz and Chintala 2016, section 4)."""


@dataclass(frozen=True)
class Recipe:
    """How a preset trains unless the user says otherwise; each field is one of the configuration.

    `norm` None: the preset has no choice of norm. `beta1`, `beta2` None: its optimizer is not Adam. `lr_g` None: G
    learns at `lr`, as D does. `penalty_weight` None: it has no penalty. `auxiliary_weight` None: D has one head. `loss`
    and `weight_norm` None: there is no D; `n_critic` and `penalty` None: there is no GAN of samples. `reconstruction`
    None: there is no autoencoder; `divergence_weight` None: no variational one.
    """

    loss: str | None
    optimizer: str
    lr: float
    batch_size: int = 64
    latent_dim: int = 100
    epochs: int = 100
    data: str = "mnist5k"
    lr_g: float | None = None
    beta1: float | None = ADAM_BETAS[0]
    beta2: float | None = ADAM_BETAS[1]
    n_critic: int | None = 1
    norm: str | None = None
    penalty: str | None = NO_PENALTY
    penalty_weight: float | None = None
    weight_norm: str | None = "none"
    auxiliary_weight: float | None = None
    reconstruction: str | None = None
    divergence_weight: float | None = None


@dataclass(frozen=True)
class Options:
    """What a builder of networks needs to know.

    Attributes:
        data_shape: (H, W, C) of images, (2,) of points, (T, F) of sequences.
        latent_dim: length of z.
        width: factor on the hidden units; 1 is the published size.
        norm: "batch", "layer" or "none", in presets that have the choice.
        classes: of the data's labels, None where it has none.

    Raises:
        UserError: width or latent_dim out of range.
    """

    data_shape: Shape
    latent_dim: int
    width: float = 1.0
    norm: str | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.width <= LARGEST_WIDTH:
            raise UserError(f"width: expected a number above 0, up to {LARGEST_WIDTH}, got {self.width}")
        if not 1 <= self.latent_dim <= LARGEST_LATENT_DIM:
            raise UserError(f"latent_dim: expected 1 to {LARGEST_LATENT_DIM}, got {self.latent_dim}")

    def units(self, published: int) -> int:
        """A published number of hidden units times the width, at least 2."""
        return max(2, round(published * self.width))


class Network(NamedTuple):
    """A player's network, and the shape of its input without the batch axis."""

    layer: Layer
    in_shape: Any


Networks: TypeAlias = dict[str, Network]
"""The networks of a preset by the names of the players."""


def adversaries(
    options: Options, generator: Layer, discriminator: Layer, told_g: Any = None, told_d: Any = None
) -> Networks:
    """The two players of a GAN; `told_g`, `told_d`: shape of the condition that each is told, None for nothing."""
    return {
        "generator": Network(generator, told((options.latent_dim,), told_g)),
        "discriminator": Network(discriminator, told(options.data_shape, told_d)),
    }


@dataclass(frozen=True)
class Preset:
    """A ready-made GAN.

    Attributes:
        name: what the user types.
        summary: one line.
        source: where networks and recipe come from.
        build: makes the networks.
        recipe: the defaults.
        kinds: of data that it can learn: "images", "points", "sequences".
        last_bias: path of the discriminator's last bias, whose gradient is zero by construction under the losses of
            SHIFT_INVARIANT_LOSSES.
        condition: what its generator is told beside z: "labels" of the data, "codes" drawn at random, None for nothing.
        auxiliary: what its discriminator has to tell of a sample.
        penalisable: whether a gradient penalty goes through its discriminator, one without BatchNorm.
        algorithm: how it learns: "adversarial", "autoencoder", "vae" or "aae" (`minigan.training`).
        maker: the player whose network makes samples.
    """

    name: str
    summary: str
    source: str
    build: Callable[[Options], Networks]
    recipe: Recipe
    last_bias: str = ""
    kinds: tuple[str, ...] = ("images",)
    condition: str | None = None
    auxiliary: Auxiliary | None = None
    penalisable: bool = True
    algorithm: str = "adversarial"
    maker: str = "generator"

    def networks(self, options: Options) -> Networks:
        """The networks, checked to fit together.

        Raises:
            UserError: the preset cannot make data of that shape, or has no such norm.
        """
        kind = KINDS[len(options.data_shape)]
        if kind not in self.kinds:
            wanted = f"data of shape {options.data_shape} wants {TAKERS[kind]}"
            raise UserError(f"{self.name} makes {' and '.join(self.kinds)}; {wanted}")
        if (self.recipe.norm is None) != (options.norm is None):
            has = "has no choice of norm" if self.recipe.norm is None else f"needs a norm, one of {', '.join(NORMS)}"
            raise UserError(f"{self.name} {has}; got norm {options.norm}")
        if options.norm is not None and options.norm not in NORMS:
            raise UserError(f"norm: expected one of {', '.join(NORMS)}, got {options.norm}")
        if self.condition == LABELS and options.classes is None:
            raise UserError(f"{self.name} learns from labels, and the data has none")
        networks = self.build(options)
        made = networks[self.maker].layer.spec(networks[self.maker].in_shape)[0]
        if made != options.data_shape:
            raise UserError(
                f"{self.name} cannot make images of {'x'.join(map(str, options.data_shape))}: its {self.maker} doubles "
                f"the size twice and would give {'x'.join(map(str, made))}; use a height and width divisible by 4"
            )
        for network in networks.values():
            network.layer.spec(network.in_shape)
        return networks

    def zero_gradient(self, loss: str) -> tuple[str, ...]:
        """Discriminator parameters whose gradient is zero by construction under this loss."""
        return (self.last_bias,) if self.last_bias and loss in SHIFT_INVARIANT_LOSSES else ()


def norm_layers(norm: str | None, channels: int, activation: str) -> list[Layer]:
    """The layers for "norm, then activation" behind a linear layer without bias ("none": activation only)."""
    if norm == "batch":
        return [BatchNorm(channels, activation=activation)]
    if norm == "layer":
        return [LayerNorm(channels, activation=activation)]
    return [LeakyReLU() if activation == "leaky_relu" else ReLU()]
