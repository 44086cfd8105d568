"""The networks of the presets: their sizes counted by hand, what they make, and what they refuse."""

import math
from itertools import pairwise

import numpy as np
import pytest
from conditions import CLASSES, GANS, random_condition

import kernels
from kernels.types import Shape
from minigan.condition import told
from minigan.data.registry import SHAPES
from minigan.errors import UserError
from minigan.losses import LOSSES, SHIFT_INVARIANT_LOSSES, get_loss
from minigan.params import ParamSet, walk
from minigan.presets import ALIASES, NORMS, PRESETS, Options, get_preset
from minigan.presets.preset import LARGEST_LATENT_DIM, LARGEST_WIDTH
from minigan.training.gan import Gan, logits
from minigan.training.updates import d_grad

DIGITS = (28, 28, 1)
PIXELS = 28 * 28


def dense(*sizes: int, bias: bool = True) -> int:
    """Parameters of dense layers from sizes[0] over sizes[1] ... to the last."""
    return sum((i + bias) * o for i, o in pairwise(sizes))


def conv(kernel: int, in_channels: int, out_channels: int, bias: bool = True) -> int:
    return (kernel * kernel * in_channels + bias) * out_channels


def block(channels: int) -> int:
    """A branch of two convolutions."""
    return conv(3, channels, channels) + conv(3, channels, channels, bias=False)


def gru(features: int, hidden: int) -> int:
    return 3 * hidden * (features + hidden + 1)


def norm(channels: int) -> int:
    """gamma and beta."""
    return 2 * channels


DCGAN_UPWARD = norm(128) + conv(4, 128, 64, bias=False) + norm(64) + conv(4, 64, 1)
DCGAN_DOWNWARD = conv(4, 1, 64) + conv(4, 64, 128, bias=False) + norm(128)
CRITIC = dense(PIXELS, 512, 256, 128, 1)
SIZES = {
    "mlp": (dense(100, 128, 256, 512, 1024, PIXELS), CRITIC),
    "mlp-small": (dense(100, 128, 256, 512, PIXELS), CRITIC),
    "dcgan": (
        dense(100, 7 * 7 * 128, bias=False) + norm(128) + conv(4, 128, 64, bias=False) + norm(64) + conv(4, 64, 1),
        conv(4, 1, 64) + conv(4, 64, 128, bias=False) + norm(128) + dense(7 * 7 * 128, 1),
    ),
    "wgan-gp": (
        dense(100, 4 * 4 * 256, bias=False)
        + norm(256)
        + conv(5, 256, 128, bias=False)
        + norm(128)
        + conv(5, 128, 64, bias=False)
        + norm(64)
        + conv(5, 64, 1),
        conv(5, 1, 64)
        + conv(5, 64, 128, bias=False)
        + norm(128)
        + conv(5, 128, 256, bias=False)
        + norm(256)
        + dense(4 * 4 * 256, 1),
    ),
    "sngan": (
        dense(100, 4 * 4 * 256, bias=False)
        + norm(256)
        + conv(4, 256, 128, bias=False)
        + norm(128)
        + conv(4, 128, 64, bias=False)
        + norm(64)
        + conv(4, 64, 32, bias=False)
        + norm(32)
        + conv(3, 32, 1),
        conv(3, 1, 32)
        + conv(4, 32, 32)
        + conv(3, 32, 64)
        + conv(4, 64, 64)
        + conv(3, 64, 128)
        + conv(4, 128, 128)
        + conv(3, 128, 256)
        + dense(4 * 4 * 256, 1),
    ),
    "cgan": (
        CLASSES**2 + dense(100 + CLASSES, 7 * 7 * 128, bias=False) + DCGAN_UPWARD,
        DCGAN_DOWNWARD + dense(7 * 7 * 128, 1) + CLASSES * 7 * 7 * 128,
    ),
    "cgan-concat": (
        CLASSES**2 + dense(100 + CLASSES, 7 * 7 * 128, bias=False) + DCGAN_UPWARD,
        CLASSES**2 + conv(4, CLASSES, 64, bias=False) + DCGAN_DOWNWARD + dense(7 * 7 * 128, 1),
    ),
    "acgan": (
        CLASSES**2 + dense(100 + CLASSES, 7 * 7 * 128, bias=False) + DCGAN_UPWARD,
        DCGAN_DOWNWARD + dense(7 * 7 * 128, 1 + CLASSES),
    ),
    "infogan": (
        10**2 + dense(62 + 10 + 2, 1024, 7 * 7 * 128, bias=False) + norm(1024) + DCGAN_UPWARD,
        DCGAN_DOWNWARD + dense(7 * 7 * 128, 1024, bias=False) + norm(1024) + dense(1024, 1)
        + dense(1024, 128, bias=False) + norm(128) + dense(128, 10 + 2),
    ),
    "r3gan": (
        dense(100, 7 * 7 * 64) + 2 * block(64) + conv(1, 64, 32) + block(32) + conv(3, 32, 1),
        conv(3, 1, 32) + block(32) + conv(1, 32, 64) + 2 * block(64) + dense(7 * 7 * 64, 1),
    ),
    "lsgan": (
        dense(100, 128, 128, 128, PIXELS),
        conv(5, 1, 64) + conv(5, 64, 128) + conv(5, 128, 256) + conv(5, 256, 512) + dense(2 * 2 * 512, 1),
    ),
    "lucic": (
        dense(64, 1024, 7 * 7 * 128, bias=False)
        + norm(1024) + norm(128) + conv(4, 128, 64, bias=False) + norm(64) + conv(4, 64, 1),
        conv(4, 1, 64) + conv(4, 64, 128, bias=False) + norm(128)
        + dense(7 * 7 * 128, 1024, bias=False) + norm(1024) + dense(1024, 1),
    ),
    "dense-wide": (dense(100, 12544, 12544, PIXELS), dense(PIXELS, 4096, 1)),
    "autoencoder": (
        conv(4, 1, 64) + conv(4, 64, 128) + dense(7 * 7 * 128, 512, 32),
        dense(32, 512, 7 * 7 * 128) + 16 * 64 * 128 + 64 + conv(4, 64, 1),
    ),
    "vae": (
        conv(4, 1, 64) + conv(4, 64, 128) + dense(7 * 7 * 128, 512, 2 * 10),
        dense(10, 512, 7 * 7 * 128) + 16 * 64 * 128 + 64 + conv(4, 64, 1),
    ),
    "rnn": (
        gru(8, 64) + dense(64, 1),
        gru(1, 64) + dense(64, 1),
    ),
    "aae": (dense(PIXELS, 1000, 1000, 8), dense(8, 1000, 1000, PIXELS), dense(8, 1000, 1000, 1)),
}  # fmt: skip


def options(preset: str, shape: Shape = DIGITS, width: float = 1.0, **choice: str) -> Options:
    recipe = PRESETS[preset].recipe
    return Options(shape, recipe.latent_dim, width, choice.get("norm", recipe.norm), CLASSES)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_published_sizes(preset: str) -> None:
    counts = []
    shape = SHAPES[PRESETS[preset].recipe.data]
    for network, in_shape in PRESETS[preset].networks(options(preset, shape)).values():
        parameters = walk(network.spec(in_shape)[1])
        counts.append(sum(math.prod(param.shape) for _, param in parameters if param.trainable))
    assert tuple(counts) == SIZES[preset]


@pytest.mark.parametrize("width", [0.004, 0.05, 0.1])
@pytest.mark.parametrize("shape", [(4, 8, 3), (12, 4, 1), (28, 28, 1)])
@pytest.mark.parametrize("preset", GANS)
def test_images_of_every_size_divisible_by_4_are_made_and_judged(preset: str, shape: Shape, width: float) -> None:
    """G makes (N, H, W, C) and D one logit a sample; only lsgan's linear output may leave [-1, 1]."""
    for choice in NORMS if PRESETS[preset].recipe.norm is not None else [None]:
        chosen = options(preset, shape, width) if choice is None else options(preset, shape, width, norm=choice)
        (generator, shape_g), (discriminator, shape_d) = PRESETS[preset].networks(chosen).values()
        y = random_condition(preset, 3, np.random.default_rng(0), np.float32)
        shown = None if PRESETS[preset].auxiliary else y
        ops, z = kernels.get_ops("numpy"), np.full((3, chosen.latent_dim), 30, np.float32)
        p = generator.init(0, shape_g)
        p.flat *= 30
        made, _ = generator.forward(ops, p, told(z, y), train=False)
        assert made.shape == (3, *shape)
        assert (np.abs(made).max() > 1) == (preset == "lsgan")
        output, _ = discriminator.forward(ops, discriminator.init(0, shape_d), told(made, shown))
        assert logits(output).shape == (3, 1)


@pytest.mark.parametrize("preset", ["mlp", "mlp-small", "r3gan"])
def test_points_are_not_squashed(preset: str) -> None:
    generator = PRESETS[preset].networks(options(preset, (2,), 0.05))["generator"].layer
    p = generator.init(0, (100,))
    p.flat *= 30
    made, _ = generator.forward(kernels.get_ops("numpy"), p, np.full((3, 100), 9, np.float32))
    assert made.shape == (3, 2)
    assert np.abs(made).max() > 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("preset", GANS)
def test_the_list_of_zero_gradients_is_right(preset: str, loss: str) -> None:
    """In float64 at a random point: zero, up to rounding, where the preset says so and nowhere else."""
    shape, rng = (8, 4, 2), np.random.default_rng(0)
    chosen = options(preset, shape, 0.002 if preset == "dense-wide" else 0.05)
    networks = PRESETS[preset].networks(chosen)
    layers = [network.layer for network in networks.values()]
    players: list[ParamSet] = []
    for network, in_shape in networks.values():
        p = network.init(0, in_shape, np.float64)
        for view in p.trainable().values():
            view += 0.3 * rng.standard_normal(view.shape)
        players.append(p)
    players[1].named[PRESETS[preset].last_bias] += 30  # inside (-1, 1) the two halves of hinge cancel, too
    g = players[1].like()
    x, z = rng.uniform(-1, 1, (5, *shape)), rng.standard_normal((5, chosen.latent_dim))
    gan = Gan(*layers, get_loss(loss), auxiliary=PRESETS[preset].auxiliary)
    y = random_condition(preset, 5, rng)
    if y is not None and PRESETS[preset].condition == "labels":
        y[:CLASSES] = range(CLASSES)  # the row of a label that does not occur has no gradient either
    d_grad(kernels.get_ops("numpy", dtype=np.float64), gan, *players, x, z, g, y)
    zero = tuple(path for path, view in g.trainable().items() if np.abs(view).max() < 1e-14)
    assert zero == PRESETS[preset].zero_gradient(loss)
    assert bool(zero) == (loss in SHIFT_INVARIANT_LOSSES)


@pytest.mark.parametrize("preset", PRESETS)
def test_whether_a_penalty_goes_through_the_discriminator(preset: str) -> None:
    """With LayerNorm, where there is a choice; the presets without a GAN of samples take none by their kind."""
    if PRESETS[preset].algorithm != "adversarial":
        assert PRESETS[preset].recipe.penalty is None
        return
    shape = (8, 8, 1) if preset in GANS else (6, 2)
    chosen = Options(shape, 4, 0.02, PRESETS[preset].recipe.norm and "layer", CLASSES)
    reason = PRESETS[preset].networks(chosen)["discriminator"].layer.no_second_order()
    assert (reason is None) == PRESETS[preset].penalisable


@pytest.mark.parametrize(
    ("preset", "player"),
    [("wgan-gp", "discriminator"), ("sngan", "discriminator"), ("vae", "encoder"), ("autoencoder", "encoder")],
)
def test_strokes_far_apart_are_judged_together(preset: str, player: str) -> None:
    """f(a + b) - f(a) - f(b) + f(0) is zero where nothing behind the convolutions but a sum sees both strokes."""
    network, in_shape = PRESETS[preset].networks(options(preset, width=0.1))[player]
    ops, p = kernels.get_ops("numpy", dtype=np.float64), network.init(0, in_shape, np.float64)
    x = np.zeros((4, *DIGITS))
    x[1:3, 10:14, 7], x[2:, 10:14, 20] = 1, 1  # neither, left, both, right: 13 pixels apart
    neither, left, both, right = network.forward(ops, p, x, train=False)[0]
    together = np.abs(both - left - right + neither).max()
    assert together > 0.01 * np.abs(both - neither).max()


def test_presets_are_found_by_name_and_alias() -> None:
    assert all(get_preset(name).name == name for name in PRESETS)
    assert {alias: get_preset(alias).name for alias in ALIASES} == {"wgan": "mlp-small"}
    assert all(preset.source and preset.summary for preset in PRESETS.values())


@pytest.mark.parametrize(("name", "hint"), [("dcgna", "dcgan"), ("wgna", "wgan"), ("dense_wide", "dense-wide")])
def test_a_misspelt_preset_is_answered_with_all_names_and_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"unknown preset '{name}': there are .*; did you mean {hint}?") as caught:
        get_preset(name)
    assert all(preset in str(caught.value) for preset in PRESETS)
    with pytest.raises(UserError, match=r"rnn$"):
        get_preset("style")


@pytest.mark.parametrize(
    ("preset", "shape", "choice", "complaint"),
    [
        ("dcgan", (30, 28, 1), "batch", "dcgan cannot make images of 30x28x1: .* would give 28x28x1; .*divisible by 4"),
        ("lucic", (3, 3, 1), "layer", "lucic cannot make images of 3x3x1"),
        ("dcgan", (2,), "batch", r"dcgan makes images; data of shape \(2,\) wants mlp, mlp-small or r3gan"),
        ("dcgan", DIGITS, None, "dcgan needs a norm, one of batch, layer, none; got norm None"),
        ("dcgan", DIGITS, "group", "norm: expected one of batch, layer, none, got group"),
        ("mlp", DIGITS, "batch", "mlp has no choice of norm; got norm batch"),
    ],
)
def test_what_a_preset_cannot_make(preset: str, shape: Shape, choice: str | None, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        PRESETS[preset].networks(Options(shape, 100, 0.1, choice))


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf, 1.01 * LARGEST_WIDTH])
def test_a_width_out_of_range(width: float) -> None:
    with pytest.raises(UserError, match=f"width: expected a number above 0, up to {LARGEST_WIDTH}, got {width}"):
        Options(DIGITS, 100, width)


@pytest.mark.parametrize("latent_dim", [0, LARGEST_LATENT_DIM + 1])
def test_a_number_of_latents_out_of_range(latent_dim: int) -> None:
    with pytest.raises(UserError, match=f"latent_dim: expected 1 to {LARGEST_LATENT_DIM}, got {latent_dim}"):
        Options(DIGITS, latent_dim)


def test_width_scales_hidden_units_and_keeps_two() -> None:
    assert [Options(DIGITS, 100, width).units(128) for width in (1, 0.25, 0.001, 2)] == [128, 32, 2, 256]
