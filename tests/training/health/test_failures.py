"""By which numbers a failure is known, on records made by hand; that runs which fail show them is tested elsewhere."""

from typing import Any

import pytest

from minigan import TrainConfig
from minigan.training.health.diagnosis import DISTANCES, Diagnosis
from minigan.training.health.failures import Evidence, exploding_gradient, strong_discriminator, vanishing_gradient

SIZES = {"generator/dense1": 100, "generator/dense2": 100, "discriminator/dense1": 100}
HEALTHY: dict[str, Any] = {
    "gradient/generator": 1.0,
    "gradient/generator/dense1": 0.6,
    "gradient/generator/dense2": 0.8,
    "update/generator/dense1": 1e-3,
    "update/generator/dense2": 2e-3,
    "gradient/discriminator": 2.0,
    "gradient/discriminator/dense1": 2.0,
    "update/discriminator/dense1": 1e-3,
    "d_loss": 0.7,
    "d_saturated": 0.1,
    "d_real": 0.7,
    "d_fake": 0.3,
    "d_spread": 1.0,
    "g_factor": 1.4,
    "d_slope": 2.0,
    "distance": 9.0,
    "distance_real": 10.0,
    "rank": 40.0,
    "rank_real": 45.0,
}


def begun(signs: dict[str, Any], before: int = 12, **settings: Any) -> dict[str, str]:
    """Warnings of a run that measures health `before` times, then `signs` for long; every 50 steps."""
    diagnosis = Diagnosis(TrainConfig("mlp", **settings).resolved(), SIZES)
    warnings: dict[str, str] = {}
    for n in range(1, 41):
        record = {"step": 50 * n} | HEALTHY | (signs if n > before else {})
        verdict = diagnosis.observe(record)
        warnings |= verdict.warnings
    return warnings


FAILING = {
    "vanishing-gradient": [
        {"g_factor": 0.004, "d_fake": 0.002, "d_loss": 0.1},
        {"gradient/generator/dense2": 1e-9},
        {"gradient/generator/dense1": 0.0},
    ],
    "exploding-gradient": [{"update/generator/dense2": 0.4}, {"gradient/discriminator": 300.0}],
    "strong-discriminator": [{"d_loss": 0.01, "d_saturated": 0.97, "d_real": 0.999, "d_fake": 0.003}],
    "weak-discriminator": [{"d_loss": 1.0, "d_spread": 0.01, "g_factor": 1.0, "distance": 4.0}],
    "mode-collapse": [{"distance": 1.0}],
}


@pytest.mark.parametrize(("name", "signs"), [(name, signs) for name, cases in FAILING.items() for signs in cases])
def test_each_failure_is_named_alone_and_once(name: str, signs: dict[str, Any]) -> None:
    warnings = begun(signs)
    assert list(warnings) == [name]
    assert f"Read docs/when-training-fails.md#{name}" in warnings[name]
    assert "What usually helps: --" in warnings[name]


def test_health_raises_no_warning() -> None:
    assert begun({}) == {}


@pytest.mark.parametrize(("name", "signs"), [(name, signs) for name, cases in FAILING.items() for signs in cases])
def test_a_finding_needs_no_more_than_what_it_is_found_by(name: str, signs: dict[str, Any]) -> None:
    unknown = dict.fromkeys({"gradient/generator", "d_saturated", "rank", "rank_real"} - set(signs))
    assert list(begun(signs | unknown)) == [name]


def test_what_is_not_known_raises_no_warning() -> None:
    assert begun(dict.fromkeys(HEALTHY)) == {}


@pytest.mark.parametrize(
    ("signs", "named"),
    [
        ({"gradient/generator/dense2": 1e-9}, "of generator/dense2 is 1.0e-10 an element (rms)"),
        ({"gradient/generator/dense1": 0.0}, "no gradient at all reaches generator/dense1"),
        ({"update/generator/dense2": 0.4}, "changes generator/dense2 by 0.4 of itself"),
        ({"gradient/discriminator": 300.0}, "the discriminator's gradient has norm 3e+02, 2 was usual"),
    ],
)
def test_the_layer_or_the_player_is_named_with_its_number(signs: dict[str, Any], named: str) -> None:
    (text,) = begun(signs).values()
    assert named in text


def test_a_generator_that_has_won_is_not_vanishing() -> None:
    """Least squares and the logistic losses have no gradient left where D takes every sample for real."""
    assert begun({"g_factor": 0.001, "d_fake": 0.99, "d_loss": 1.5}) == {}


def test_a_discriminator_that_is_undecided_but_tells_samples_apart_is_at_work() -> None:
    assert begun({"d_loss": 1.0, "d_spread": 0.5, "distance": 4.0}) == {}


@pytest.mark.parametrize("before", [0, 12])
def test_a_discriminator_that_is_flat_because_the_samples_are_like_the_data_is_not_weak(before: int) -> None:
    """From the first measurement on: the codes of `aae` are like draws from the prior after a hundred steps."""
    signs = {"d_loss": 1.0, "d_spread": 0.001}
    assert begun(signs | {"distance": 10.0}, before) == {}
    assert set(begun(signs | {"distance": 4.0}, before)) == {"weak-discriminator"}


@pytest.mark.parametrize("settings", [{}, {"penalty": "r1"}])
def test_what_a_flat_discriminator_does_not_send_is_not_vanishing_where_samples_are_like_the_data(
    settings: dict[str, str],
) -> None:
    flat = {"d_loss": 1.0, "d_spread": 1e-9, "gradient/generator/dense2": 1e-9}
    assert begun(flat | {"distance": 10.0}, **settings) == {}
    named = "vanishing-gradient" if settings else "weak-discriminator"  # a D of bounded slope is not called weak
    assert set(begun(flat | {"distance": 4.0}, **settings)) == {named}
    assert set(begun(flat | {"distance": 10.0, "d_spread": 1.0}, **settings)) == {"vanishing-gradient"}


@pytest.mark.parametrize(
    "settings", [{"penalty": "r1"}, {"weight_norm": "spectral", "loss": "hinge"}, {"loss": "wasserstein"}]
)
def test_a_discriminator_of_bounded_slope_may_be_perfect_and_it_may_be_flat(settings: dict[str, str]) -> None:
    for signs in ({"d_loss": 0.001}, {"d_loss": 1.0, "d_spread": 0.01, "distance": 4.0}):
        unknown = {"d_loss": None} if settings.get("loss") == "wasserstein" else {}
        assert begun({"d_slope": 1.0} | signs | unknown, **settings) == {}


def test_a_wasserstein_critic_without_bound_is_named() -> None:
    (text,) = begun({"d_loss": None, "d_slope": 300.0}, loss="wasserstein", weight_clip=0.0).values()
    assert "the slope of the critic is 3e+02" in text
    assert begun({"d_slope": 300.0}) == {}, "other losses have no such bound"


def test_samples_that_are_alike_since_the_start_have_to_be_so_for_long() -> None:
    diagnosis = Diagnosis(TrainConfig("mlp").resolved(), SIZES)
    steps = [n for n in range(50, 10_000, 50) if diagnosis.observe({"step": n} | HEALTHY | {"distance": 1.0}).warnings]
    assert len(steps) == 1
    assert steps[0] > 5000


def test_a_generator_that_hops_between_modes_is_collapsed_all_the_same() -> None:
    """Most samples are alike, but for a measurement now and then that meets it in the middle of a hop."""
    diagnosis = Diagnosis(TrainConfig("mlp").resolved(), SIZES)
    warnings = {}
    for n in range(1, 40):
        hop = n < DISTANCES or n % 4 == 0
        record = {"step": 50 * n} | HEALTHY | {"distance": 12.0 if hop else 1.0}
        warnings |= diagnosis.observe(record).warnings
    assert list(warnings) == ["mode-collapse"]


def test_collapse_is_not_named_where_the_discriminator_leads_nowhere() -> None:
    assert set(begun({"distance": 0.1, "d_loss": 1.0, "d_spread": 0.001})) == {"weak-discriminator"}
    assert set(begun({"distance": 0.1, "d_loss": 0.001})) == {"strong-discriminator"}


def test_growing_out_of_small_initial_weights_is_no_explosion() -> None:
    diagnosis = Diagnosis(TrainConfig("mlp").resolved(), SIZES)
    for n in range(40):
        norm = min(1e-6 * 3.0**n, 5.0)
        record = {"step": 10 * n + 10} | HEALTHY | {"gradient/generator": norm}
        assert diagnosis.observe(record).warnings == {}


def test_a_gradient_that_grows_without_end_is_named_although_usual_grows_with_it() -> None:
    diagnosis = Diagnosis(TrainConfig("mlp").resolved(), SIZES)
    named = [
        name
        for n in range(40)
        for name in diagnosis.observe({"step": 10 * n + 10} | HEALTHY | {"gradient/generator": 2.0**n}).warnings
    ]
    assert named == ["exploding-gradient"]


def test_a_warning_ends_only_well_inside_health() -> None:
    """Between a limit and twice the limit nothing begins, and nothing ends."""
    signs = HEALTHY | {"step": 50}
    config = TrainConfig("mlp").resolved()
    border = Evidence(signs | {"d_loss": 0.03}, config, SIZES, {})
    assert strong_discriminator(border) is None
    assert strong_discriminator(Evidence(border.signs, config, SIZES, {}, slack=2.0)) is not None
    border = Evidence(signs | {"update/generator/dense1": 0.07}, config, SIZES, {})
    assert exploding_gradient(border) is None
    assert exploding_gradient(Evidence(border.signs, config, SIZES, {}, slack=2.0)) is not None
    border = Evidence(signs | {"g_factor": 0.015, "d_fake": 0.01}, config, SIZES, {})
    assert vanishing_gradient(border) is None
    assert vanishing_gradient(Evidence(border.signs, config, SIZES, {}, slack=2.0)) is not None


def test_networks_that_play_no_game_are_watched_for_gradients_only() -> None:
    """Of an autoencoder there is nothing but gradients and samples; it may decode latents of noise to one picture."""
    signs = {f"{kind}/{name}": 1e-3 for kind in ("gradient", "update") for name in ("encoder/dense1", "decoder/dense1")}
    signs |= {"gradient/encoder": 1e-3, "gradient/decoder": 1e-3, "distance": 0.01, "distance_real": 1.0}
    diagnosis = Diagnosis(TrainConfig("mlp").resolved(), {"encoder/dense1": 9, "decoder/dense1": 9})
    for n in range(1, 200):
        assert diagnosis.observe({"step": 50 * n} | signs).warnings == {}
    broken = signs | {"gradient/encoder/dense1": 0.0}
    named = [name for n in range(200, 220) for name in diagnosis.observe({"step": 50 * n} | broken).warnings]
    assert named == ["vanishing-gradient"]
