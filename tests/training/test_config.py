"""The configuration: filled in by the preset, checked value by value, and the same after a trip through config.toml."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import kernels
from minigan.errors import UserError
from minigan.presets import PRESETS
from minigan.training.config import TrainConfig
from minigan.training.run_dir import RunDirectory

FIELDS = [field.name for field in dataclasses.fields(TrainConfig)]
EVERYTHING = TrainConfig(
    "infogan", "./faces", "/data", 64, 3, None, 2, 32, 2**62, "numpy", True, "minimax", 0.1, "adam", 1e-3, 1e-4, 2e-4,
    "cosine", 0.1, 0.9, True, 0.0, False, 0.01, None, None, 0.4, 2, "r1", 0.5, 3, 0.1, 100, "spectral", 0.02, 4, 2,
    0.1, 50, "cutout", 0.3, 2, 1.5, 0.999, 17, 0.5, "none", 1, 0, 0, 5,
)  # fmt: skip
"""Every field that can be set together with the others, none at its default."""
UNSET = {"steps": "int", "epochs": "int", "reconstruction": "str", "divergence_weight": "float"}
"""Types of those that EVERYTHING cannot set: steps go without epochs, and infogan is no autoencoder."""
OWNERS = {
    "momentum": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd"},
    "penalty_every": {"penalty": "r1"},
    "penalty_weight_end": {"penalty": "r1", "penalty_weight_steps": 9},
    "instance_noise_steps": {"instance_noise": 0.1},
}
"""What a field needs beside it."""


@pytest.mark.parametrize("preset", PRESETS)
def test_the_preset_fills_in_what_is_left_open(preset: str) -> None:
    recipe = dataclasses.asdict(PRESETS[preset].recipe)
    resolved = TrainConfig(preset).resolved()
    assert {name: getattr(resolved, name) for name in recipe} == recipe
    assert resolved.steps is None


def test_what_the_user_says_stays() -> None:
    given = {"loss": "hinge", "lr": 1.0, "n_critic": 3, "weight_clip": 0.0, "beta1": 0.0, "batch_size": 2, "steps": 7}
    resolved = TrainConfig("wgan", **given).resolved()
    assert {name: getattr(resolved, name) for name in given} == given
    assert (resolved.preset, resolved.optimizer, resolved.epochs) == ("mlp-small", "rmsprop", None)
    assert resolved.resolved() == resolved


@pytest.mark.parametrize("reason", [None, "not installed"])
def test_auto_becomes_the_backend_that_it_stands_for(reason: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So config.toml records it, and a run is not resumed on another backend without a word."""
    monkeypatch.setattr(kernels, "_why_not_numba", lambda: reason)
    assert TrainConfig("mlp").resolved().backend == kernels.fastest() == ("numpy" if reason else "numba")


@pytest.mark.parametrize(
    "config", [*(TrainConfig(preset).resolved() for preset in PRESETS), EVERYTHING], ids=lambda config: config.preset
)
def test_config_toml_gives_the_configuration_back(config: TrainConfig, tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, config.to_dict())
    run = RunDirectory.open(tmp_path)
    back = TrainConfig.from_dict(run.config, run.config_path)
    assert back == config
    assert [type(getattr(back, name)) for name in FIELDS] == [type(getattr(config, name)) for name in FIELDS]
    assert back.resolved() == config.resolved()


@pytest.mark.parametrize("field", FIELDS)
def test_a_value_of_another_type_in_config_toml_is_named(field: str) -> None:
    for value in ([], {"a": 1}, 1.5 if isinstance(getattr(EVERYTHING, field), int) else True):
        table = {"preset": "mlp"} | {field: value}
        with pytest.raises(UserError) as caught:
            TrainConfig.from_dict(table, Path("run/config.toml"))
        expected = UNSET.get(field) or type(getattr(EVERYTHING, field)).__name__
        assert str(caught.value) == f"run/config.toml: {field} should be of type {expected}, got {value!r}"


def test_a_whole_number_will_do_for_a_float_and_a_word_for_no_number() -> None:
    assert TrainConfig.from_dict({"preset": "mlp", "lr": 1}, Path("c")).lr == 1
    for wrong in ({"steps": "600"}, {"seed": True}, {"amsgrad": 1}, {"lr": "1e-3"}, {"preset": 3}):
        with pytest.raises(UserError, match="should be of type"):
            TrainConfig.from_dict({"preset": "mlp"} | wrong, Path("c"))


@pytest.mark.parametrize(
    ("table", "complaint"),
    [({"preset": "mlp", "stpes": 3}, "c: unknown field 'stpes'"), ({"steps": 3}, "c: there is no preset in it")],
)
def test_fields_that_are_too_many_or_missing(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=f"^{complaint}$"):
        TrainConfig.from_dict(table, Path("c"))


WHOLE = {
    "steps": 1, "epochs": 1, "image_size": 1, "batch_size": 2, "seed": 0, "n_critic": 1, "latent_dim": 1,
    "penalty_every": 1, "pack": 1, "instance_noise_steps": 0, "unrolled_steps": 0,
    "log_every": 1, "sample_every": 0, "checkpoint_every": 0, "keep_checkpoints": 1,
}  # fmt: skip
"""The least value of each."""
ABOVE_0 = ("lr", "lr_g", "lr_d", "width")
NOT_NEGATIVE = ("weight_decay", "weight_clip", "gradient_clip")
WEIGHTS = ("instance_noise", "lecam", "penalty_weight_end")
DECAYS = ("beta1", "beta2", "momentum", "ema")


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        *((field, [least - 1], [least]) for field, least in WHOLE.items()),
        *((field, [0.0, -1.0, math.inf, math.nan], [1e-9, 2.0]) for field in ABOVE_0),
        *((field, [-1e-9, math.inf, math.nan], [0.0, 3.0]) for field in NOT_NEGATIVE),
        *((field, [-1e-9, 1e6, math.inf, math.nan], [0.0, 3.0, 999_999.0]) for field in WEIGHTS),
        *((field, [-1e-9, 1.0, math.nan], [0.0, 0.999]) for field in DECAYS),
        ("seed", [2**63], [2**63 - 1]),
        ("minibatch_stddev", [-1, 1], [0, 2]),
        ("label_smoothing", [-0.1, 0.5, math.nan], [0.0, 0.49]),
        ("channels", [0, 2, 4], [1, 3]),
        ("optimizer", ["lion", ""], ["sgd", "rmsprop", "adam"]),
        ("weight_norm", ["weight", ""], ["none", "spectral"]),
        ("schedule", ["step"], ["constant", "linear", "cosine"]),
        ("loss", ["bce"], ["hinge", "relativistic-paired"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_value_is_held_to_its_range(field: str, bad: list[Any], good: list[Any]) -> None:
    for value in good:
        assert getattr(TrainConfig("mlp", **{field: value}, **OWNERS.get(field, {})).resolved(), field) == value
    for value in bad:
        with pytest.raises(UserError) as caught:
            TrainConfig("mlp", **{field: value}).resolved()
        assert field.replace("_", " ") in str(caught.value).replace("_", " ")
        assert str(value) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"steps": 3, "epochs": 2}, r"give steps or epochs, not both \(got 3 and 2\)"),
        ({"nesterov": True, "optimizer": "sgd"}, "nesterov needs a momentum above 0"),
        ({"momentum": 0.9}, "momentum belongs to sgd, the optimizer is adam"),
        ({"optimizer": "rmsprop", "amsgrad": True}, "amsgrad belongs to adam, the optimizer is rmsprop"),
        ({"preset": "mlp-small", "beta1": 0.3}, "beta1 belongs to adam, the optimizer is rmsprop"),
        ({"label_smoothing": 0.1, "loss": "hinge"}, "label smoothing goes with minimax and non-saturating only"),
        ({"norm": "batch"}, "norm: mlp has no choice of norm, got batch"),
        ({"preset": "mpl"}, "unknown preset 'mpl'.*did you mean mlp"),
    ],
)
def test_values_that_do_not_go_together(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        TrainConfig(**({"preset": "mlp"} | settings)).resolved()


@pytest.mark.parametrize(
    ("preset", "field"), [("acgan", "auxiliary_weight"), ("infogan", "auxiliary_weight"), ("vae", "divergence_weight")]
)
def test_weights_of_some_presets_are_held_to_their_range(preset: str, field: str) -> None:
    for value in (0.0, 999_999.0):
        assert getattr(TrainConfig(preset, **{field: value}).resolved(), field) == value
    for value in (-1.0, 1e6, math.inf, math.nan):
        with pytest.raises(UserError, match=rf"^{field}: expected a number of at least 0 and below 1e\+06, got"):
            TrainConfig(preset, **{field: value}).resolved()


def test_a_lazy_penalty_may_end_as_heavy_as_one_in_every_step() -> None:
    lazy = {"penalty": "r1", "penalty_every": 4, "penalty_weight_steps": 9}
    TrainConfig("mlp", penalty_weight_end=249_999.0, **lazy).resolved()
    with pytest.raises(UserError, match=r"penalty_weight_end: expected a number of at least 0 and below 250000, got"):
        TrainConfig("mlp", penalty_weight_end=250_000.0, **lazy).resolved()


def test_a_wasserstein_critic_is_clipped_and_no_other() -> None:
    assert TrainConfig("dcgan", loss="wasserstein").resolved().weight_clip == 0.01
    assert TrainConfig("dcgan", loss="wasserstein", weight_clip=0.0).resolved().weight_clip == 0.0
    assert TrainConfig("mlp-small", loss="hinge").resolved().weight_clip == 0.0


def test_adam_has_its_betas_where_the_preset_has_another_optimizer() -> None:
    config = TrainConfig("mlp-small", optimizer="adam").resolved()
    assert (config.beta1, config.beta2) == (0.5, 0.999)


@pytest.mark.parametrize(
    ("bounded", "clip"), [({}, 0.01), ({"penalty": "r1"}, 0.0), ({"weight_norm": "spectral"}, 0.0)]
)
def test_a_critic_that_is_bounded_otherwise_is_not_clipped(bounded: dict[str, Any], clip: float) -> None:
    assert TrainConfig("mlp", loss="wasserstein", **bounded).resolved().weight_clip == clip
