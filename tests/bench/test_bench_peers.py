"""The same networks and steps elsewhere: losses and updates agree with ours."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import kernels
from kernels import CounterRng, Use
from minigan import TrainConfig, Trainer
from minigan.bench import layers, steps
from minigan.bench.case import relative_difference, verify
from minigan.layer import Layer
from minigan.layers import ELU, Conv2d, ConvTranspose2d, Dense, Flatten, LayerNorm, Reshape, ScaleShift, Sequential

BATCH, SHAPE = 8, (28, 28, 1)
ODD = Sequential(
    Dense(5, 24, "leaky_relu"),
    Reshape(3, 4, 2),
    ConvTranspose2d(2, 3, 5, stride=2, activation="elu"),
    LayerNorm(3, activation="tanh"),
    Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 2, 1, 0)),
    ELU(0.5),
    ConvTranspose2d(4, 2, 3, stride=3, padding=1, output_padding=(2, 0)),
    ScaleShift(2, -1),
    Flatten(),
    Dense(396, 3, "sigmoid"),
)
"""Asymmetric pads, cut borders, and an image's features that change their order twice."""


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE)).astype(np.float32)


def trainer(preset: str) -> Trainer:
    return Trainer(TrainConfig(preset, batch_size=BATCH, width=0.25), SHAPE)


def latents(own: Trainer, step: int) -> list[np.ndarray]:
    """What Trainer.step draws for both players."""
    rng = CounterRng(own.config.seed)
    rng.begin(step)
    shape = (BATCH, int(own.config.latent_dim or 0))
    return [rng.normal(shape, use).astype(np.float32) for use in (Use.LATENT_D, Use.LATENT_G)]


def parameters(network: Layer, in_shape: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """Random parameters, an input, and our output for it."""
    random = np.random.default_rng(0)
    p = network.init(0, in_shape)
    for view in p.trainable().values():
        view[...] = random.normal(0, 0.5, view.shape)
    z = random.standard_normal((BATCH, *in_shape), np.float32)
    return p, z, network.forward(kernels.get_ops("numpy"), p, z)[0]


def train_both(own: Trainer, x: np.ndarray, update: Callable[..., Any]) -> float:
    """Train both until the generator is updated, comparing losses; returns how far a weight can have moved, about."""
    steps = own.config.n_critic or 1
    for step in range(steps):
        for ours, theirs in zip(own.step(x), update(*latents(own, step)), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                assert float(theirs) == pytest.approx(float(ours), rel=1e-4, abs=1e-4)
    return steps * float(own.config.lr or 0)


def assert_updates_agree(theirs: np.ndarray, ours: np.ndarray, start: np.ndarray, moved: float) -> None:
    """Adam moves a weight by about lr in its gradient's direction, which rounding decides where that vanishes."""
    difference = np.abs(theirs - ours)
    assert difference.max() <= 2.1 * moved
    assert np.mean(difference > 0.05 * moved) < 0.02
    assert np.abs(ours - start).max() > 0.5 * moved, "there was an update"


@pytest.mark.parametrize(
    ("preset", "channels_last"),
    [("mlp", False), ("mlp-small", False), ("dcgan", False), ("dcgan", True), ("lsgan", False), ("lucic", True)],
)
def test_a_step_in_pytorch_is_ours(preset: str, channels_last: bool, x: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    from minigan.bench.peers.torch_net import network
    from minigan.bench.peers.torch_step import TorchGan

    own = trainer(preset)
    gan = TorchGan(own, x, channels_last=channels_last, fused=channels_last)
    start = {"g": own.params_g.copy(), "d": own.params_d.copy()}
    moved = train_both(own, x, lambda z_d, z_g: gan.update(torch.tensor(z_d), torch.tensor(z_g)))
    players = (
        (gan.generator, own.generator, own.params_g, start["g"], (own.config.latent_dim,)),
        (gan.discriminator, own.discriminator, own.params_d, start["d"], SHAPE),
    )
    for module, layer, after, before, in_shape in players:
        expected, first = (network(layer, p, in_shape, channels_last) for p in (after, before))
        flat = [
            np.concatenate([p.detach().numpy().reshape(-1) for p in net.parameters()])
            for net in (module, expected, first)
        ]
        assert_updates_agree(*flat, moved)


@pytest.mark.parametrize("channels_last", [False, True])
def test_an_odd_network_in_pytorch(channels_last: bool) -> None:
    torch = pytest.importorskip("torch")
    from minigan.bench.peers.torch_net import network

    p, z, y = parameters(ODD, (5,))
    theirs = network(ODD, p, (5,), channels_last)(torch.tensor(z)).detach().numpy()
    assert relative_difference(theirs, y) < 1e-5


@pytest.fixture
def jax() -> Iterator[Any]:
    """JAX that compiles in little time to code that takes more."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_disable_most_optimizations", True)
    yield jax
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("preset", ["mlp-small", "dcgan"])
def test_a_step_in_jax_is_ours(preset: str, x: np.ndarray, jax: Any) -> None:
    from minigan.bench.peers.jax_step import JaxGan

    own = trainer(preset)
    gan = JaxGan(own, x)
    start = own.params_g.copy(), own.params_d.copy()
    moved = train_both(own, x, gan.update)
    for name, after, before in zip("gd", (own.params_g, own.params_d), start, strict=True):
        arrays = gan.state[name]["p"], after.trainable(), before.trainable()
        flat = [np.concatenate([np.asarray(own[path]).reshape(-1) for path in arrays[1]]) for own in arrays]
        assert_updates_agree(*flat, moved)


def test_an_odd_network_in_jax(jax: Any) -> None:
    from minigan.bench.peers.jax_net import apply

    p, z, y = parameters(ODD, (5,))
    assert relative_difference(np.asarray(apply(ODD, p.trainable(), z)), y) < 1e-5


def test_timed_steps_draw_their_own_latents(x: np.ndarray, jax: Any) -> None:
    pytest.importorskip("torch")
    from minigan.bench.peers.jax_step import JaxGan
    from minigan.bench.peers.torch_step import TorchGan

    own = trainer("mlp")
    for gan in (TorchGan(own, x), JaxGan(own, x)):
        gan.step()
        gan.step()
        assert gan.steps_done == 2


def test_the_products_of_layers_agree_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of lsgan, with its uneven pads, and a transposed convolution with a border to cut."""
    pytest.importorskip("torch")
    monkeypatch.setattr(layers, "BATCH", 3)
    monkeypatch.setattr(layers, "QUICK_PRESETS", ("lsgan",))
    cases = list(layers.cases(quick=True))
    cut = ConvTranspose2d(3, 2, 5, stride=2)
    cases += [layers._case("", "", "", cut, (4, 5, 3), product) for product in layers.PRODUCTS]
    assert len(cases) == 26
    for case in cases:
        contenders = case.contenders()
        assert {contender.name for contender in contenders} >= {"numpy", "torch"}
        verify(case, contenders)


def test_a_step_case_has_every_way_of_every_peer() -> None:
    pytest.importorskip("torch")
    case = steps.step_case("mlp", {"preset": "mlp"}, ["torch"], batch_size=2, width=0.05)
    contenders = case.contenders()
    variants = [contender.variant for contender in contenders if contender.name == "torch"]
    assert variants == ["NCHW", "NCHW, fused Adam", "channels-last", "channels-last, fused Adam"]
    verify(case, contenders)
    contenders = steps.step_case("mlp-small", {}, ["torch"], batch_size=2, width=0.05).contenders()
    assert [contender.variant for contender in contenders if contender.name == "torch"] == ["NCHW", "channels-last"]
