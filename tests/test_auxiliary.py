"""What a discriminator has to tell beside real or fake: values and gradients against plain NumPy."""

import numpy as np
import pytest

import kernels
from minigan.auxiliary import CLASS, CODE_WEIGHT, INFORMATION
from minigan.gradcheck import Evaluation, check_function
from minigan.losses import get_loss
from minigan.training.gan import Gan

N, K, C = 5, 4, 2


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(labels)), labels].mean())


LABELS = np.array([0, 3, 1, 3, 2])
CODES = random(1, N, C)


def test_constants_of_the_published_game() -> None:
    """Chen et al. 2016 leave the weight of the codes open; real data have labels but no codes."""
    assert CODE_WEIGHT == 0.1
    assert (CLASS.on_real, INFORMATION.on_real) == (True, False)


def test_class_is_the_cross_entropy() -> None:
    a = random(0, N, K)
    value, da = CLASS.terms(kernels.get_ops("numpy", dtype=np.float64), a, LABELS)
    assert float(value) == pytest.approx(cross_entropy(a, LABELS), rel=1e-12)
    assert da.shape == a.shape


def test_information_adds_half_the_squared_distance_to_the_codes() -> None:
    a = random(0, N, K + C)
    value, _ = INFORMATION.terms(kernels.get_ops("numpy", dtype=np.float64), a, (LABELS, CODES))
    distance = CODE_WEIGHT / 2 * ((a[:, K:] - CODES) ** 2).sum(1).mean()
    assert float(value) == pytest.approx(cross_entropy(a[:, :K], LABELS) + distance, rel=1e-12)


@pytest.mark.parametrize(("auxiliary", "y", "width"), [(CLASS, LABELS, K), (INFORMATION, (LABELS, CODES), K + C)])
def test_gradients(auxiliary, y, width: int) -> None:
    a, ops = random(2, N, width), kernels.get_ops("numpy", dtype=np.float64)

    def value() -> Evaluation:
        ops.begin_step(0)
        return Evaluation(float(auxiliary.terms(ops, a, y)[0]), ())

    gradient = auxiliary.terms(ops, a, y)[1].copy()
    check_function(auxiliary.name, value, [a], [gradient]).require()


@pytest.mark.parametrize(("auxiliary", "y", "width"), [(CLASS, LABELS, K), (INFORMATION, (LABELS, CODES), K + C)])
def test_both_players_bear_it_by_its_weight_and_real_data_only_if_they_have_a_condition(auxiliary, y, width) -> None:
    ops = kernels.get_ops("numpy", dtype=np.float64)
    gan = Gan(None, None, get_loss("hinge"), auxiliary=auxiliary, auxiliary_weight=0.3)  # type: ignore[arg-type]
    real, fake = ((random(seed, N, 1), random(seed + 1, N, width)) for seed in (3, 5))
    on_real, on_fake = (float(auxiliary.terms(ops, output[1], y)[0]) for output in (real, fake))
    d_game, g_game = gan.loss.d_loss(real[0], fake[0])[0], gan.loss.g_loss(None, fake[0])[0]
    losses, (_, da_real), _ = gan.d_loss(ops, real, fake, y)
    expected = on_fake + (on_real if auxiliary is CLASS else 0)
    assert (da_real is None) == (auxiliary is INFORMATION)
    assert float(losses.auxiliary) == pytest.approx(expected, rel=1e-12)
    assert float(losses.value) == pytest.approx(float(d_game) + 0.3 * expected, rel=1e-12)
    losses, _ = gan.g_loss(ops, None, fake, y)
    assert float(losses.value) == pytest.approx(float(g_game) + 0.3 * on_fake, rel=1e-12)
