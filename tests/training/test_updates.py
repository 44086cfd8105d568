"""The whole D step and the whole G step of every preset with every loss: right gradients, and nothing else touched."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from conditions import CLASSES, GANS, random_condition
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import Ops
from kernels.types import Shape
from minigan.condition import told
from minigan.gradcheck import Evaluation, check_update
from minigan.losses import LOSSES, get_loss
from minigan.params import ParamSet
from minigan.presets import NORMS, PRESETS, Options
from minigan.testing import seeds
from minigan.training.updates import DiscriminatorStep, Gan, GeneratorStep, d_grad, g_grad

LATENT = 5
WIDTHS = {"dense-wide": 0.001, "mlp": 0.05, "mlp-small": 0.05}
NETWORKS = [
    (name, norm) for name, preset in GANS.items() for norm in (NORMS if preset.recipe.norm is not None else (None,))
]
EVERY_NETWORK = pytest.mark.parametrize(("preset", "norm"), NETWORKS)


class Game(NamedTuple):
    """A small GAN at a random point, with the batches of one step."""

    ops: Ops
    gan: Gan
    p_g: ParamSet
    p_d: ParamSet
    x: np.ndarray
    z: np.ndarray
    y: Any

    def d_step(self, g: ParamSet | None = None) -> DiscriminatorStep:
        self.ops.begin_step(0)
        return d_grad(self.ops, self.gan, self.p_g, self.p_d, self.x, self.z, g, self.y)

    def g_step(self, g: ParamSet | None = None) -> GeneratorStep:
        self.ops.begin_step(0)
        return g_grad(self.ops, self.gan, self.p_g, self.p_d, self.x, self.z, g, self.y)


STEPS: dict[str, tuple[Callable[..., Any], str]] = {"D": (Game.d_step, "p_d"), "G": (Game.g_step, "p_g")}
"""By player: its step, and which of the parameters it has a gradient for."""
BOTH_STEPS = pytest.mark.parametrize("player", STEPS)


def game(
    preset: str,
    norm: str | None,
    loss: str = "non-saturating",
    *,
    shape: Shape = (8, 12, 2),
    batch: int = 4,
    seed: int = 0,
    dtype: Any = np.float64,
) -> Game:
    """All parameters are moved off their initial values, so that no gain is 1 and no bias 0."""
    rng = np.random.default_rng(seed)
    networks = PRESETS[preset].networks(Options(shape, LATENT, WIDTHS.get(preset, 0.03), norm, CLASSES))
    layers = [network.layer for network in networks.values()]
    players = [network.layer.init(seed, network.in_shape, dtype) for network in networks.values()]
    for p in players:
        for view in p.trainable().values():
            view += 0.3 * rng.standard_normal(view.shape)
    x = rng.uniform(-1, 1, (batch, *shape)).astype(dtype)
    z = rng.standard_normal((batch, LATENT)).astype(dtype)
    return Game(
        kernels.get_ops("numpy", dtype=dtype),
        Gan(*layers, get_loss(loss), auxiliary=PRESETS[preset].auxiliary, auxiliary_weight=0.7),
        *players,
        x,
        z,
        random_condition(preset, batch, rng, dtype),
    )


@pytest.mark.parametrize("loss", LOSSES)
@EVERY_NETWORK
@settings(max_examples=3)
@given(
    shape=st.tuples(st.sampled_from((4, 8, 12)), st.sampled_from((4, 8, 12)), st.integers(2, 3)),
    batch=st.integers(2, 4),
    seed=seeds(),
)
def test_both_steps_have_the_right_gradient(
    preset: str, norm: str | None, loss: str, shape: Shape, batch: int, seed: int
) -> None:
    """Batch statistics get one sample more: of two that lie close together they make a step too steep to difference."""
    batch += norm == "batch"
    at = game(preset, norm, loss, shape=shape, batch=batch, seed=seed)
    for player, (step, own) in STEPS.items():

        def gradient(g: ParamSet | None, step: Callable[..., Any] = step) -> Evaluation:
            outcome = step(at, g)
            return Evaluation(float(outcome.value), outcome.notes)

        check_update(f"{player} step", gradient, getattr(at, own), seed=seed, directions=2).require()


@EVERY_NETWORK
@BOTH_STEPS
def test_a_step_adds_to_its_own_gradient_and_touches_nothing_else(player: str, preset: str, norm: str | None) -> None:
    at = game(preset, norm)
    step, own = STEPS[player]
    before = [a.copy() for a in (at.p_g.flat, at.p_g.state, at.p_d.flat, at.p_d.state, at.x, at.z)]
    once, twice = getattr(at, own).like(), getattr(at, own).like()
    step(at, once)
    for _ in range(2):
        step(at, twice)
    assert once.flat.any()
    np.testing.assert_allclose(twice.flat, 2 * once.flat, rtol=1e-12, atol=1e-15)
    for a, b in zip(before, (at.p_g.flat, at.p_g.state, at.p_d.flat, at.p_d.state, at.x, at.z), strict=True):
        np.testing.assert_array_equal(a, b)


@EVERY_NETWORK
@BOTH_STEPS
def test_without_g_the_value_is_the_same_and_no_backward_kernel_runs(
    player: str, preset: str, norm: str | None
) -> None:
    at = game(preset, norm)
    step, own = STEPS[player]
    with_gradient = float(step(at, getattr(at, own).like()).value)
    at.ops.calls.clear()
    assert float(step(at).value) == with_gradient
    assert at.ops.calls["matmul"] > 0
    assert not {"conv2d_weight_grad", "activation_grad", "batch_norm_backward", "layer_norm_backward"} & set(
        at.ops.calls
    )


@EVERY_NETWORK
@BOTH_STEPS
def test_a_step_in_a_frozen_poisoned_workspace_has_the_same_bits(player: str, preset: str, norm: str | None) -> None:
    at = game(preset, norm, dtype=np.float32)
    step, own = STEPS[player]
    first, again = getattr(at, own).like(), getattr(at, own).like()
    value = float(step(at, first).value)
    at.ops.workspace.freeze()
    at.ops.workspace.poison()
    assert float(step(at, again).value) == value
    np.testing.assert_array_equal(again.flat, first.flat)


@EVERY_NETWORK
@pytest.mark.parametrize("loss", LOSSES)
def test_the_steps_play_the_game_of_the_loss(loss: str, preset: str, norm: str | None) -> None:
    """Each value is the loss of D(x) and D(G(z)), computed here in separate passes."""
    at = game(preset, norm, loss)
    network, d = at.gan.generator, at.gan.discriminator
    ops = kernels.get_ops("numpy", dtype=np.float64)
    fake = network.forward(ops, at.p_g, told(at.z, at.y))[0]
    shown = None if at.gan.auxiliary else at.y
    outputs = [d.forward(ops, at.p_d, told(images, shown))[0] for images in (at.x, fake)]
    u_real, u_fake = (output[0] if isinstance(output, tuple) else output for output in outputs)
    step = at.d_step()
    np.testing.assert_allclose(step.u_real, u_real, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(step.u_fake, u_fake, rtol=1e-12, atol=1e-14)
    assert float(step.losses.game) == pytest.approx(float(at.gan.loss.d_loss(u_real, u_fake)[0]), rel=1e-12, abs=1e-14)
    value = float(at.gan.loss.g_loss(u_real, u_fake)[0])
    assert float(at.g_step().losses.game) == pytest.approx(value, rel=1e-12, abs=1e-14)


@EVERY_NETWORK
def test_real_and_fake_do_not_see_each_other(preset: str, norm: str | None) -> None:
    """Other latents change D(G(z)) and leave D(x), with BatchNorm too; other images the other way round."""
    at = game(preset, norm)
    plain, other_z, other_x = (
        changed._replace(ops=kernels.get_ops("numpy", dtype=np.float64)).d_step()
        for changed in (at, at._replace(z=-at.z), at._replace(x=-at.x))
    )
    np.testing.assert_array_equal(other_z.u_real, plain.u_real)
    np.testing.assert_array_equal(other_x.u_fake, plain.u_fake)
    assert not np.isclose(other_z.u_fake, plain.u_fake).any()
    assert not np.isclose(other_x.u_real, plain.u_real).any()


@pytest.mark.parametrize(
    ("preset", "norm"), [(name, norm) for name, norm in NETWORKS if norm != "batch"], ids=lambda v: v
)
def test_one_pass_over_2n_gives_the_gradient_of_two_passes(preset: str, norm: str | None) -> None:
    together, apart = game(preset, norm), game(preset, norm)
    apart.gan.discriminator.group = None
    g, g_apart = together.p_d.like(), apart.p_d.like()
    joint, separate = together.d_step(g), apart.d_step(g_apart)
    assert apart.ops.calls["matmul"] > together.ops.calls["matmul"], "D ran twice"
    assert apart.ops.calls["concat"] <= together.ops.calls["concat"], "of conditions only"
    for a, b in ((joint.u_real, separate.u_real), (joint.u_fake, separate.u_fake), (g.flat, g_apart.flat)):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_a_discriminator_that_couples_more_samples_than_divide_the_batch_runs_apart() -> None:
    at = game("mlp", None, batch=3)
    for group, passes_over_2n in ((1, 1), (2, 0), (3, 1)):
        at.gan.discriminator.group = group
        at.ops.calls.clear()
        at.d_step()
        assert (at.ops.calls["concat"] > 0) == bool(passes_over_2n)


def test_frozen_players_cost_no_gradient_kernels() -> None:
    """dcgan: D's step takes 2 weight gradients (D's convolutions) and 1 image gradient (the first layer needs none).

    G's step takes the weight gradients of G's 2 transposed convolutions only; their forward passes are image gradients,
    as are those through D's convolutions on the way back.
    """
    at = game("dcgan", "none")
    at.d_step(at.p_d.like())
    forward_of_g = 2
    assert at.ops.calls["conv2d_weight_grad"] == 2
    assert at.ops.calls["conv2d_input_grad"] == forward_of_g + 1
    at.ops.calls.clear()
    at.g_step(at.p_g.like())
    assert at.ops.calls["conv2d_weight_grad"] == 2
    assert at.ops.calls["conv2d_input_grad"] == forward_of_g + 2
