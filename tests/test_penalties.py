"""Gradient penalties: their definitions, their gradients in whole D steps, and what they refuse."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import Ops
from minigan import TrainConfig, Trainer
from minigan.errors import UserError
from minigan.gradcheck import Evaluation, check_update
from minigan.layer import Layer, NoSecondOrderError, Sequential
from minigan.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    MinibatchStddev,
    Pack,
    Residual,
    SiLU,
    Upsample2d,
)
from minigan.losses import get_loss
from minigan.params import ParamSet
from minigan.penalties import EPS, PENALTIES, get_penalty, penalty_grad
from minigan.testing import seeds, whole_groups
from minigan.training.updates import Gan, d_grad

EVERY_PENALTY = pytest.mark.parametrize("name", PENALTIES)
IMAGE = (6, 5, 2)


def critics() -> dict[str, Callable[[], Layer]]:
    """Discriminators of images (6, 5, 2) with curved, strided, transposed, pooled, normalised and nested layers."""
    residual = Residual(Sequential(Conv2d(3, 3, 3, activation="softplus"), LayerNorm(3)))
    return {
        "piecewise linear": lambda: Sequential(Conv2d(2, 3, 3, 2, activation="leaky_relu"), Flatten(), Dense(27, 1)),
        "tanh": lambda: Sequential(Flatten(), Dense(60, 7, "tanh"), Dense(7, 1)),
        "softplus, LayerNorm": lambda: Sequential(
            Conv2d(2, 3, 4, 2, activation="softplus"), LayerNorm(3, activation="sigmoid"), Flatten(), Dense(27, 1)
        ),
        "SiLU, transposed": lambda: Sequential(
            ConvTranspose2d(2, 3, 3, 2), SiLU(), AvgPool2d(2), Flatten(), Dense(90, 1)
        ),
        "nested residuals": lambda: Sequential(
            Conv2d(2, 3, 3, activation="tanh"), Residual(Sequential(residual, SiLU())), Flatten(), Dense(90, 1)
        ),
        "up and down": lambda: Sequential(Upsample2d(2), Conv2d(2, 2, 3), MaxPool2d(3), Flatten(), Dense(24, 1)),
        "packs and InstanceNorm": lambda: Sequential(
            Pack(2), Conv2d(4, 3, 3, 2), InstanceNorm(3, 0.01, "tanh"), Flatten(), Dense(27, 1)
        ),
        "spread of neighbours": lambda: Sequential(
            Conv2d(2, 3, 3, 2, activation="softplus"),
            MinibatchStddev(2, 0.01),
            Flatten(),
            Dense(36, 4, "tanh"),
            Dense(4, 1),
        ),
        "spread of the batch": lambda: Sequential(
            Flatten(), Dense(60, 5, "tanh"), MinibatchStddev(None, 0.01), Dense(6, 1, "softplus")
        ),
        "curved logit": lambda: Sequential(Flatten(), Dense(60, 5, "elu"), Dense(5, 1, "softplus")),
    }


def noisy(net: Layer, seed: int, shape: tuple[int, ...] = IMAGE) -> ParamSet:
    p = net.init(seed, shape, np.float64)
    for view in p.trainable().values():
        view += 0.2 * np.random.default_rng(seed).standard_normal(view.shape)
    return p


def batches(seed: int, n: int, shape: tuple[int, ...] = IMAGE) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(seed).standard_normal((2, n, *shape)))


@pytest.fixture
def ops() -> Ops:
    return kernels.get_ops("numpy", dtype=np.float64)


@EVERY_PENALTY
@pytest.mark.parametrize("critic", critics())
@settings(max_examples=3)
@given(n=st.integers(1, 3), seed=seeds())
def test_the_gradient_in_the_weights(name: str, critic: str, n: int, seed: int) -> None:
    """Against differences of the value, which sweeps 2 and 3 have no part in."""
    net = critics()[critic]()
    n = whole_groups(net, n)
    ops, p, (real, fake) = kernels.get_ops("numpy", dtype=np.float64), noisy(net, seed), batches(seed, n)

    def gradient(g: ParamSet | None) -> Evaluation:
        ops.begin_step(0)
        step = penalty_grad(ops, net, p, get_penalty(name, 1.5), real, fake, g)
        return Evaluation(float(step.value), step.notes)

    check_update(f"{name} on {critic}", gradient, p, seed=seed, directions=2).require()


@EVERY_PENALTY
def test_the_whole_d_step(name: str) -> None:
    """Loss and penalty add up, in value and in gradient."""
    ops, net, generator = kernels.get_ops("numpy", dtype=np.float64), critics()["tanh"](), Dense(4, 60, "tanh")
    p_d, p_g, (real, _) = noisy(net, 0), noisy(generator, 1, (4,)), batches(2, 4, (60,))
    z = np.random.default_rng(3).standard_normal((4, 4))

    def step(penalty: bool) -> Callable[[ParamSet | None], Evaluation]:
        gan = Gan(generator, net, get_loss("hinge"), get_penalty(name) if penalty else None)

        def gradient(g: ParamSet | None) -> Evaluation:
            ops.begin_step(0)
            outcome = d_grad(ops, gan, p_g, p_d, real, z, g)
            return Evaluation(float(outcome.value), outcome.notes)

        return gradient

    p_d.flat *= 5  # slopes above 1, which the one-sided penalty has something to say to
    check_update(f"D step with {name}", step(True), p_d, directions=3).require()
    assert step(True)(None).value > step(False)(None).value


@pytest.mark.parametrize(("group", "batch"), [(2, 4), (2, 2), (4, 2), (None, 3)])
def test_no_group_holds_both_real_and_fake_points(group: int | None, batch: int) -> None:
    """R1 + R2 on any D is R1 and R2 one after the other, whether they share a batch of 2N or not."""
    net = Sequential(Flatten(), Dense(60, 5, "tanh"), MinibatchStddev(2, 0.01), Dense(6, 1))
    net.layers["minibatchstddev1"].group = net.group = group
    if group is not None and batch % group:
        net.layers["minibatchstddev1"].group = batch  # what decides is the group that the network declares
    p, (real, fake) = noisy(net, 0), batches(1, batch)
    values, gradients = [], []
    for names in (("r1+r2",), ("r1", "r2")):
        g = p.like()
        ops = kernels.get_ops("numpy", dtype=np.float64)
        values.append(sum(float(penalty_grad(ops, net, p, get_penalty(n, 3.0), real, fake, g).value) for n in names))
        gradients.append(g.flat)
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def linear_critic(ops: Ops, slope: np.ndarray) -> tuple[Layer, ParamSet]:
    """u = <slope, x>: every input gradient is the slope."""
    net = Dense(len(slope), 1)
    p = net.init(0, slope.shape, np.float64)
    p["W"][...] = slope[:, None]
    return net, p


@pytest.mark.parametrize(
    ("name", "norm", "value"),
    [
        ("wgan-gp", 3.0, 2 * (3 - 1) ** 2),
        ("wgan-gp", 0.5, 2 * (0.5 - 1) ** 2),
        ("wgan-gp-one-sided", 3.0, 2 * (3 - 1) ** 2),
        ("wgan-gp-one-sided", 0.5, 0.0),
        ("dragan", 3.0, 2 * (3 - 1) ** 2),
        ("r1", 3.0, 2 / 2 * 9),
        ("r2", 3.0, 2 / 2 * 9),
        ("r1+r2", 3.0, 2 / 2 * (9 + 9)),
    ],
)
def test_on_a_linear_critic_the_value_is_that_of_its_slope(ops: Ops, name: str, norm: float, value: float) -> None:
    net, p = linear_critic(ops, norm * np.array([0.6, -0.8]))
    step = penalty_grad(ops, net, p, get_penalty(name, 2.0), *batches(0, 5, (2,)))
    assert float(step.value) == pytest.approx(value)


@EVERY_PENALTY
def test_a_zero_input_gradient_has_a_finite_penalty(ops: Ops, name: str) -> None:
    """|dx| has no derivative at 0; sqrt(s + EPS) has."""
    net, p = linear_critic(ops, np.zeros(3))
    g = p.like()
    step = penalty_grad(ops, net, p, get_penalty(name), *batches(0, 4, (3,)), g)
    assert np.isfinite(g.flat).all()
    assert float(step.value) == pytest.approx(10 * (1 - EPS**0.5) ** 2 if name in ("wgan-gp", "dragan") else 0.0)


def test_a_layer_norm_with_gain_zero(ops: Ops) -> None:
    """The input gradient is zero then: R1, which is even in the gain, has slope 0 there, and WGAN-GP a finite one."""
    net = critics()["softplus, LayerNorm"]()
    p = noisy(net, 0)
    p["layernorm1"]["gamma"][...] = 0
    g = p.like()
    penalty_grad(ops, net, p, get_penalty("r1"), *batches(0, 3), g)
    assert np.isfinite(g.flat).all()
    assert not g["layernorm1"]["gamma"].any()  # r1 is even in the gain
    penalty_grad(ops, net, p, get_penalty("wgan-gp"), *batches(0, 3), g)
    assert np.isfinite(g.flat).all()


def test_where_each_penalty_looks(ops: Ops) -> None:
    real, fake = np.ones((200, 2)), np.full((200, 2), 3.0)
    where = {name: penalty.points(ops, real, fake) for name, penalty in PENALTIES.items()}
    np.testing.assert_array_equal(where["r1"], real)
    np.testing.assert_array_equal(where["r2"], fake)
    np.testing.assert_array_equal(where["r1+r2"], np.concatenate([real, fake]))
    np.testing.assert_array_equal(where["dragan"], real)  # a batch without spread has no surroundings
    between = where["wgan-gp"]
    np.testing.assert_array_equal(between[:, 0], between[:, 1])  # one a for each sample
    assert 1 < between.min() < 1.1
    assert 2.9 < between.max() < 3
    spread = PENALTIES["dragan"].points(ops, np.concatenate([real, fake]), fake)  # standard deviation 1
    assert ((spread[:200] >= 1) & (spread[:200] < 1.5)).all()
    assert len(np.unique(spread)) == spread.size


def on_backend(ops: Ops, net: Layer, p64: ParamSet, name: str) -> tuple[float, np.ndarray]:
    """Value and gradient of a penalty on batches of four, with the points drawn by the backend itself."""
    p = net.init(0, IMAGE, ops.dtype)
    for path, view in p64.named.items():
        p.named[path][...] = view
    p = p.on(ops)
    g = p.like()
    real, fake = (ops.to_device(x.astype(ops.dtype)) for x in batches(0, 4))
    step = penalty_grad(ops, net, p, get_penalty(name), real, fake, g)
    gradient = np.concatenate([ops.to_host(view).ravel() for view in g.trainable().values()])
    return float(ops.to_host(step.value)), gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("name", ["wgan-gp", "r1+r2"])
@pytest.mark.parametrize("critic", critics())
@pytest.mark.parametrize("backend", [name for name, why_not in kernels.available().items() if why_not is None])
def test_every_backend_agrees(backend: str, critic: str, name: str, dtype: str, tolerance: float) -> None:
    """With NumPy in float64, whose gradient the tests above compare with differences."""
    net = critics()[critic]()
    p = noisy(net, 0)
    value, gradient = on_backend(kernels.get_ops("numpy", dtype=np.float64), net, p, name)
    own_value, own_gradient = on_backend(kernels.get_ops(backend, dtype=dtype), net, p, name)
    assert own_value == pytest.approx(value, rel=tolerance)
    atol = tolerance * np.abs(gradient).max()
    np.testing.assert_allclose(own_gradient, gradient, rtol=10 * tolerance, atol=atol)


def test_a_lazy_penalty_counts_as_many_times() -> None:
    """Every third update has it, three times as heavy, so that it weighs the same over a run."""
    config = {"penalty": "r1", "penalty_weight": 2.0, "norm": "none", "width": 0.05, "backend": "numpy"}
    lazy = Trainer(TrainConfig("dcgan", penalty_every=3, **config), (8, 8, 1))
    penalties = [lazy.algorithm.penalised(step).penalty for step in range(4)]
    assert [getattr(penalty, "weight", None) for penalty in penalties] == [6.0, None, None, 6.0]
    always = Trainer(TrainConfig("dcgan", **config), (8, 8, 1))
    assert [always.algorithm.penalised(step).penalty.weight for step in range(2)] == [2.0, 2.0]


class Once(LeakyReLU):
    """A layer of someone who needs no penalties."""

    double_backward = Layer.double_backward


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Sequential(Dense(3, 3), Sequential(("inner", BatchNorm(3)))), "inner: BatchNorm couples the samples"),
        (Sequential(Dense(3, 3), Once()), "once1: Once has no double_backward"),
        (Sequential(Dense(3, 3), LeakyReLU(), LayerNorm(3)), None),
    ],
)
def test_why_a_network_cannot_be_penalised(layer: Layer, reason: str | None) -> None:
    found = layer.no_second_order()
    assert found is None if reason is None else reason in str(found)


def test_sweep_two_refuses_what_is_not_defined(ops: Ops) -> None:
    net = Sequential(Dense(3, 3), BatchNorm(3), Dense(3, 1))
    p = net.init(0, (3,), np.float64)
    with pytest.raises(NoSecondOrderError, match="couples the samples"):
        penalty_grad(ops, net, p, get_penalty("r1"), *batches(0, 4, (3,)), p.like())


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"preset": "dcgan", "penalty": "r1"},
            r"penalty r1: discriminator, batchnorm1: BatchNorm couples .* Layer",
        ),
        ({"preset": "mlp", "penalty": "r3"}, "unknown penalty 'r3': there are wgan-gp, "),
        (
            {"preset": "mlp", "penalty": "r1", "penalty_weight": -1.0},
            "penalty weight: expected a number above 0 and below 1e.06, got -1.0",
        ),
        (
            {"preset": "mlp", "penalty": "r1", "penalty_every": 0},
            "penalty_every: expected a whole number of at",
        ),
        ({"preset": "mlp", "penalty": "r1", "penalty_weight": 5e5, "penalty_every": 2}, "below 1e.06, got 1000000.0"),
        ({"preset": "mlp", "penalty_weight": 3.0}, "penalty_weight and penalty_every belong to a penalty"),
        ({"preset": "wgan-gp", "penalty": "none", "penalty_every": 2}, "penalty_weight and penalty_every belong"),
    ],
)
def test_mistakes_are_told_before_the_run(settings_: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Trainer(TrainConfig(**settings_), (8, 8, 1))
