"""Checks of a layer, a loss, and a whole G or D step, all by `check_function`."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import kernels
from kernels import Ops
from kernels.types import Array

from ..layer import Layer, NoSecondOrderError, is_shape
from ..losses import Loss
from ..params import ParamSet
from .directional import FLOOR, Evaluation, GradientError, Report, check_function, same_array_lists, signs

Gradient = Callable[[ParamSet | None], Evaluation]


def check_layer(
    layer: Layer,
    in_shape: Any,
    *,
    batch: int = 3,
    seed: int = 0,
    train: bool = True,
    backend: str = "numpy",
    inputs: Any = None,
    params: ParamSet | None = None,
    directions: int = 3,
) -> Report:
    """Check `backward`, and `double_backward` where the layer has one, at a random point.

    Backward is held to the difference quotient of s = <dy, y>, in x and all parameters together; double_backward and
    the sweep that follows it to that of s = <ddx, dx> + <ddp, dp>, in x, dy and all parameters together.

    Args:
        layer: any layer or network.
        in_shape: without the batch axis; a tuple of shapes for a layer of several inputs.
        batch: number of samples.
        seed: of the point, the directions and the layer's own random numbers, which are replayed in each evaluation.
        train: the mode; BatchNorm has a second order in eval mode only.
        backend: of the operations.
        inputs: the input itself where random normal numbers will not do (whole-number labels, for instance).
        params: the point; by default the initial values plus noise, so that no gain is 1 and no bias 0.
        directions: how many for each of the two.

    Raises:
        GradientError: every direction crosses a kink, or the layer breaks the protocol: it writes into its input or
            into dy, overwrites g instead of adding to it, or has other gradients when one of g and dx is not wanted. A
            wrong gradient does not raise: see `Report.require`.
    """
    rng = np.random.default_rng(seed)
    p = _noisy(layer.init(seed, in_shape, np.float64), rng) if params is None else params
    x = _random(in_shape, batch, rng) if inputs is None else inputs
    point = _Point(layer, kernels.get_ops(backend, dtype=np.float64, seed=seed), p, x, train)
    _check_conduct(point, rng)
    first = _check_backward(point, rng, directions)
    second = _check_double_backward(point, rng, directions)
    return first if second is None else first.joined(second)


def check_loss(loss: Loss, *, batch: int = 5, scale: float = 2.0, seed: int = 0, directions: int = 3) -> Report:
    """Check all gradients of a loss, and D's once more, at random logits of standard deviation `scale`."""
    rng = np.random.default_rng(seed)
    u_real, u_fake = scale * rng.standard_normal((2, batch, 1))
    ddu_real, ddu_fake = rng.standard_normal((2, batch, 1))

    def d_value() -> Evaluation:
        value, *gradients = loss.d_loss(u_real, u_fake)
        return Evaluation(float(value), gradients)

    def g_value() -> Evaluation:
        value, gradient = loss.g_loss(u_real, u_fake)
        return Evaluation(float(value), (gradient, loss.g_slope(u_real, u_fake)))

    def slope_value() -> Evaluation:
        _, du_real, du_fake = loss.d_loss(u_real, u_fake)
        return Evaluation(_dot(ddu_real, du_real) + _dot(ddu_fake, du_fake), (du_real, du_fake))

    def check(value: Callable[[], Evaluation], *gradients: Array) -> Report:
        return check_function(loss.name, value, [u_real, u_fake], gradients, seed=seed, directions=directions)

    _, *d_gradients = loss.d_loss(u_real, u_fake)
    _, du_generator = loss.g_loss(u_real, u_fake)
    first = check(d_value, *d_gradients).joined(check(g_value, loss.g_slope(u_real, u_fake), du_generator))
    return first.joined(check(slope_value, *loss.d_curvature(u_real, u_fake, ddu_real, ddu_fake)))


def check_update(name: str, gradient: Gradient, params: ParamSet, *, seed: int = 0, directions: int = 3) -> Report:
    """Check a whole step: `gradient(g)` returns value and kinks and, where g is given, adds the gradient to g."""
    g = params.like()
    gradient(g)
    variables, gradients = list(params.trainable().values()), list(g.trainable().values())
    return check_function(name, lambda: gradient(None), variables, gradients, seed=seed, directions=directions)


def check_against_first_order(
    layer: Layer, ops: Ops, p: ParamSet, x: Any, dy: Any, ddx: Any, *, train: bool = True, eps: float = 1e-5
) -> Report:
    """Check double_backward's parameter gradient by first-order sweeps alone, entry by entry.

    s = <ddx, dx> is the derivative of <dy, y> along ddx, so ds/dp is the derivative of the ordinary weight gradient:

        ds/dp = (g(x + eps ddx) - g(x - eps ddx))/(2 eps)

    The error is |ours - oracle|/|oracle| over all parameters. Tuple inputs: ddx holds None where nothing moves.

    Raises:
        GradientError: a kink lies between the two points.
    """

    def weight_gradient(t: float) -> tuple[ParamSet, Any]:
        ops.begin_step(0)
        moved = _map(lambda a, v: a if v is None else a + t * v, x, ddx)
        g = p.like()
        _, cache = layer.forward(ops, p, moved, train)
        kinks = signs(cache)
        layer.backward(ops, p, cache, dy, g)
        return g, kinks

    (plus, kinks_plus), (minus, kinks_minus) = weight_gradient(eps), weight_gradient(-eps)
    name = f"{type(layer).__name__}, second order"
    if not same_array_lists(kinks_plus, kinks_minus):
        raise GradientError(f"{name}: a kink lies between x - eps ddx and x + eps ddx")
    oracle = (plus.flat - minus.flat) / (2 * eps)
    ops.begin_step(0)
    g = p.like()
    _, cache = layer.forward(ops, p, x, train)
    _, tape = layer.backward(ops, p, cache, dy)
    _, extra = layer.double_backward(ops, p, tape, ddx, g)
    if extra is not None:
        layer.backward(ops, p, cache, None, g, extra=extra, need_dx=False)
    error = float(np.linalg.norm(g.flat - oracle)) / max(float(np.linalg.norm(oracle)), FLOOR)
    return Report(name, error, 1, 0, second_order=True)


class _Point(NamedTuple):
    """One layer at one place, evaluated again and again with the same random numbers."""

    layer: Layer
    ops: Ops
    p: ParamSet
    x: Any
    train: bool

    @property
    def name(self) -> str:
        return type(self.layer).__name__

    def forward(self) -> tuple[Any, Any]:
        """Void all buffers, rewind the random numbers, run forward."""
        self.ops.begin_step(0)
        return self.layer.forward(self.ops, self.p, self.x, self.train)

    def gradients(self, dx: Any, g: ParamSet) -> list[Array]:
        """Those of `variables`; None is zero."""
        own = _map(lambda x, d: (np.zeros_like(x) if d is None else d.copy()) if _is_float(x) else None, self.x, dx)
        return [dx for dx in _leaves(own) if dx is not None] + list(g.trainable().values())

    def variables(self) -> list[Array]:
        """Float inputs and trainable parameters."""
        return [x for x in _leaves(self.x) if _is_float(x)] + list(self.p.trainable().values())


def _check_conduct(at: _Point, rng: np.random.Generator) -> None:
    """Hold the layer to the protocol's rules that no difference quotient sees."""
    x_before = _map(np.copy, at.x)
    y, cache = at.forward()
    dy = _map(lambda a: rng.standard_normal(a.shape), y)
    dy_before = _map(np.copy, dy)
    g, noisy = at.p.like(), at.p.like()
    for view in noisy.trainable().values():
        view[...] = rng.standard_normal(view.shape)
    start = noisy.flat.copy()
    dx, _ = at.layer.backward(at.ops, at.p, cache, dy, g)
    at.layer.backward(at.ops, at.p, cache, dy, noisy, need_dx=False)
    dx_frozen, _ = at.layer.backward(at.ops, at.p, cache, dy)
    rules = {
        "writes into its input": _equal(at.x, x_before),
        "writes into dy": _equal(dy, dy_before),
        "has another dx when g is None": _equal(dx, dx_frozen),
        "does not add the same gradient to a g that holds something, with need_dx=False": np.allclose(
            noisy.flat - start, g.flat, rtol=1e-9, atol=1e-9, equal_nan=True
        ),
    }
    for what, kept in rules.items():
        if not kept:
            raise GradientError(f"{at.name} {what}")


def _equal(a: Any, b: Any) -> bool:
    """Whether nested arrays are the same, None matching None only."""
    pairs = zip(_leaves(a), _leaves(b), strict=True)
    return all((x is None) == (y is None) and (x is None or np.array_equal(x, y, equal_nan=True)) for x, y in pairs)


def _check_backward(at: _Point, rng: np.random.Generator, directions: int) -> Report:
    y, cache = at.forward()
    dy = _map(lambda a: rng.standard_normal(a.shape), y)
    g = at.p.like()
    dx, _ = at.layer.backward(at.ops, at.p, cache, dy, g)

    def value() -> Evaluation:
        y, cache = at.forward()
        return Evaluation(_dot(dy, y), cache)

    seed = int(rng.integers(1 << 30))
    return check_function(at.name, value, at.variables(), at.gradients(dx, g), seed=seed, directions=directions)


def _check_double_backward(at: _Point, rng: np.random.Generator, directions: int) -> Report | None:
    y, cache = at.forward()
    dy = _map(lambda a: rng.standard_normal(a.shape), y)
    dx, tape = at.layer.backward(at.ops, at.p, cache, dy)
    if all(member is None for member in _leaves(dx)) and not at.p.trainable():
        return None
    ddx = _map(lambda a: None if a is None else rng.standard_normal(a.shape), dx)
    ddp, g = _noisy(at.p.like(), rng), at.p.like()
    try:
        ddy, extra = at.layer.double_backward(at.ops, at.p, tape, ddx, g, ddp)
    except NoSecondOrderError:
        return None
    dx_extra = _map(lambda _: None, at.x)
    if extra is not None:
        dx_extra, _ = at.layer.backward(at.ops, at.p, cache, None, g, extra=extra)
    gradients = at.gradients(dx_extra, g)
    gradients += _leaves(_map(lambda a, b: np.zeros_like(a) if b is None else b.copy(), dy, ddy))

    def value() -> Evaluation:
        _, cache = at.forward()
        kinks = signs(cache)
        dp = at.p.like()
        dx, _ = at.layer.backward(at.ops, at.p, cache, dy, dp)
        return Evaluation(_dot(ddx, dx) + _dot(ddp.flat, dp.flat), kinks)

    seed = int(rng.integers(1 << 30))
    variables = at.variables() + _leaves(dy)
    report = check_function(at.name, value, variables, gradients, seed=seed, directions=directions)
    return dataclasses.replace(report, second_order=True)


def _noisy(p: ParamSet, rng: np.random.Generator) -> ParamSet:
    """Move all parameters off their initial values; variances stay positive."""
    for path, view in p.named.items():
        if path.rsplit("/")[-1] == "var":
            view *= rng.uniform(0.5, 2, view.shape)
        else:
            view += 0.3 * rng.standard_normal(view.shape)
    return p


def _random(shape: Any, batch: int, rng: np.random.Generator) -> Any:
    """Standard normal arrays of (batch, *shape), nested as the shapes are."""
    if is_shape(shape):
        return rng.standard_normal((batch, *shape))
    return tuple(_random(member, batch, rng) for member in shape)


def _is_float(x: Array) -> bool:
    return np.issubdtype(x.dtype, np.floating)


def _leaves(value: Any) -> list[Any]:
    """The arrays of nested tuples in order, or the one array alone."""
    if isinstance(value, tuple):
        return [leaf for member in value for leaf in _leaves(member)]
    return [value]


def _map(function: Callable[..., Any], *values: Any) -> Any:
    """Apply to the leaves of equally nested tuples; a None for a whole tuple stands for Nones inside."""
    if isinstance(values[0], tuple):
        return tuple(_map(function, *(None if v is None else v[i] for v in values)) for i in range(len(values[0])))
    return function(*values)


def _dot(a: Any, b: Any) -> float:
    pairs = zip(_leaves(a), _leaves(b), strict=True)
    return float(sum((x * y).sum() for x, y in pairs if x is not None and y is not None))
