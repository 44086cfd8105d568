"""What the health monitor measures, against its formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels
from minigan import TrainConfig, Trainer
from minigan.losses import LOSSES, get_loss
from minigan.training.health.discriminator import discriminator_signs
from minigan.training.health.diversity import diversity
from minigan.training.health.layers import LayerWatch

SHAPE = (8, 8, 1)
BACKENDS = [name for name, reason in kernels.available().items() if reason is None]


@given(n=st.integers(2, 12), features=st.integers(1, 9), seed=st.integers(0, 99))
def test_diversity_is_the_mean_distance_and_the_entropy_of_the_singular_values(
    n: int, features: int, seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal((n, features))
    distances = [np.linalg.norm(x[i] - x[j]) for i in range(n) for j in range(i)]
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    p = singular[singular > 1e-6] / singular[singular > 1e-6].sum()
    assert diversity(x) == pytest.approx((np.mean(distances), np.exp(-(p * np.log(p)).sum())), rel=1e-6)


@pytest.mark.parametrize("directions", [1, 2, 5])
def test_samples_along_equal_directions_have_that_rank(directions: int) -> None:
    x = np.concatenate([np.eye(directions, 7), -np.eye(directions, 7)])
    assert diversity(x).rank == pytest.approx(directions)
    assert diversity(x.reshape(-1, 7, 1, 1) * 1e-4).rank == pytest.approx(directions)


def test_samples_that_are_all_alike_have_neither_distance_nor_rank() -> None:
    assert diversity(np.full((5, 4, 4, 1), 0.3, np.float32)) == (0.0, 0.0)
    assert all(math.isnan(value) for value in diversity(np.full((5, 2), np.nan)))
    with pytest.raises(ValueError, match=r"expected at least 2 samples, got \(1, 2\)"):
        diversity(np.zeros((1, 2)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("preset", "norm"), [("dcgan", "batch"), ("mlp", None)])
def test_norms_and_changes_of_every_layer(preset: str, norm: str | None, backend: str) -> None:
    trainer = Trainer(TrainConfig(preset, norm=norm, width=0.1, batch_size=4, backend=backend), SHAPE)
    watch = LayerWatch(trainer.g)
    host = trainer.g.ops.to_host
    watch.before()
    before = {path: host(view).copy() for path, view in trainer.params_g.trainable().items()}
    trainer.step(np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32))
    signs = watch.after(trainer.g.ops)

    total = 0.0
    for layer in {path.rpartition("/")[0] for path in before}:
        own = [path for path in before if path.startswith(f"{layer}/")]
        gradient = sum(float((host(trainer.g.grads.named[path]).astype(float) ** 2).sum()) for path in own)
        weights = sum(float((host(trainer.params_g.named[path]).astype(float) ** 2).sum()) for path in own)
        change = sum(
            float(((host(trainer.params_g.named[path]) - before[path]).astype(float) ** 2).sum()) for path in own
        )
        assert signs[f"gradient/generator/{layer}"] == pytest.approx(gradient**0.5, rel=1e-4)
        assert signs[f"update/generator/{layer}"] == pytest.approx((change / weights) ** 0.5, rel=1e-4)
        assert watch.sizes[layer] == sum(before[path].size for path in own)
        total += gradient
    assert signs["gradient/generator"] == pytest.approx(total**0.5, rel=1e-4)
    assert len(signs) == 1 + 2 * len(watch.sizes)


def test_a_layer_whose_weights_are_zero_has_no_ratio() -> None:
    trainer = Trainer(TrainConfig("mlp", width=0.1, batch_size=4), SHAPE)
    watch = LayerWatch(trainer.g)
    for name in ("W", "b"):
        trainer.params_g.named[f"dense2/{name}"][...] = 0
    watch.before()
    assert watch.after(trainer.g.ops)["update/generator/dense2"] is None


def told(loss: str, real: float, fake: float, smoothing: float = 0.0) -> dict[str, float | None]:
    """Signs of a D that gives one logit to all real, another to all generated samples, of which there are four."""
    game = get_loss(loss, smoothing)
    u_real, u_fake = np.full((4, 1), real), np.full((4, 1), fake)
    du = game.g_loss(u_real, u_fake)[1]
    return discriminator_signs(game, smoothing, (u_real, u_fake), (du, 3.0 * du * np.full((4, 5), 5**-0.5)))


@pytest.mark.parametrize("loss", LOSSES)
def test_an_undecided_discriminator_is_the_unit(loss: str) -> None:
    u0 = 0.5 if loss == "least-squares" else 0.0
    signs = told(loss, u0, u0)
    assert signs["d_loss"] == (None if loss == "wasserstein" else 1.0)
    assert signs["g_factor"] == pytest.approx(1.0)
    assert (signs["d_real"], signs["d_fake"], signs["d_spread"], signs["d_saturated"]) == (0.5, 0.5, 0.0, 0.0)
    assert signs["d_slope"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("loss", "real", "fake"),
    [
        ("minimax", 9, -9),
        ("non-saturating", 9, -9),
        ("least-squares", 1, 0),
        ("hinge", 2, -3),
        ("relativistic-average", 4, -5),
        ("relativistic-paired", 4, -5),
    ],
)
def test_a_discriminator_without_error_has_no_loss_and_is_saturated(loss: str, real: float, fake: float) -> None:
    signs = told(loss, real, fake)
    assert signs["d_loss"] == pytest.approx(0, abs=1e-3)
    assert signs["d_saturated"] == 1.0


def test_a_wasserstein_critic_is_never_saturated() -> None:
    signs = told("wasserstein", 1e4, -1e4)
    assert (signs["d_loss"], signs["d_saturated"], signs["g_factor"]) == (None, 0.0, 1.0)


def test_with_smoothed_labels_no_error_is_the_entropy_of_the_labels() -> None:
    best = math.log(0.9 / 0.1)
    assert told("non-saturating", best, -20, smoothing=0.1)["d_loss"] == pytest.approx(0, abs=1e-6)
    assert told("non-saturating", best, -20, smoothing=0.1)["d_saturated"] == 1.0
    assert told("non-saturating", 20, -20, smoothing=0.1)["d_loss"] > 1


@pytest.mark.parametrize(
    ("loss", "factor"), [("minimax", 2 / (1 + math.exp(8))), ("non-saturating", 1.9993), ("hinge", 1)]
)
def test_the_factor_is_what_the_loss_lets_through(loss: str, factor: float) -> None:
    assert told(loss, 0, -8)["g_factor"] == pytest.approx(factor, rel=1e-4)
