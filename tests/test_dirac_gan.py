"""DiracGAN (Mescheder et al. 2018): the smallest game, in which theory says how fast the players converge, or that not.

The data are a point at 0, the generator makes a point at t, the discriminator is u(x) = p x. At the equilibrium (0, 0)
one step of size h of both players is linear. With c and c' the slopes at u = 0 of what D and G lose (both 1 or both
1/2, but for least squares), and a penalty that adds k p to D's gradient:

    simultaneous   (p, t) -> ((1 - h k) p - h c t,  t + h c' p)           alternating   G sees the new p

Its eigenvalues have modulus sqrt(1 + h^2 c^2) without a penalty: the players circle and drift apart. In continuous time
they are -k/2 +- sqrt(k^2/4 - c^2). Least squares has c = 0, c' = 1: the real point has the logit 0 whatever D does, so
D feels t p^2 alone. A penalty that wants a slope of 1 has no theory here but that (0, 0) is not its equilibrium.
"""

from collections.abc import Iterator

import numpy as np
import pytest

import kernels
from minigan.layers import Dense
from minigan.losses import LOSSES, get_loss
from minigan.penalties import PENALTIES, get_penalty
from minigan.training.updates import Gan, d_grad, g_grad

STEP = 0.05
SLOPES = {
    "minimax": (0.5, 0.5),
    "non-saturating": (0.5, 0.5),
    "least-squares": (0.0, 1.0),
    "wasserstein": (1.0, 1.0),
    "hinge": (1.0, 1.0),
    "relativistic-average": (1.0, 1.0),
    "relativistic-paired": (0.5, 0.5),
}
"""c and c' of each loss."""
DAMPING = {None: 0.0, "r1": 1.0, "r2": 1.0, "r1+r2": 2.0, "wgan-gp-one-sided": 0.0}
"""k of a penalty for each unit of its weight; a slope below 1 is nothing to the one-sided one."""
TO_ONE = ("wgan-gp", "dragan")
"""The other penalties."""
ORDERS = pytest.mark.parametrize("alternating", [False, True], ids=["simultaneous", "alternating"])


class Dirac:
    """The game as any other: two networks, the updates of `minigan.training.updates`, plain gradient descent."""

    def __init__(self, loss: str, penalty: str | None = None, weight: float | None = None, alternating: bool = False):
        own = None if penalty is None else get_penalty(penalty, weight)
        self.gan = Gan(Dense(1, 1, bias=False), Dense(1, 1, bias=False), get_loss(loss), own)
        self.ops = kernels.get_ops("numpy", dtype=np.float64)
        self.p_g, self.p_d = (net.init(0, (1,), np.float64) for net in self.gan[:2])
        self.x, self.z = np.zeros((2, 1)), np.ones((2, 1))
        self.alternating, self.steps = alternating, 0

    def put(self, p: float, t: float) -> None:
        self.p_d["W"][...], self.p_g["W"][...] = p, t

    @property
    def at(self) -> np.ndarray:
        return np.array([self.p_d["W"][0, 0], self.p_g["W"][0, 0]])

    def step(self) -> np.ndarray:
        """One update of both; where they are then."""
        g_d, g_g = self.p_d.like(), self.p_g.like()
        self.ops.begin_step(self.steps)
        d_grad(self.ops, self.gan, self.p_g, self.p_d, self.x, self.z, g_d)
        if self.alternating:
            self.p_d.flat -= STEP * g_d.flat
        g_grad(self.ops, self.gan, self.p_g, self.p_d, self.x, self.z, g_g)
        if not self.alternating:
            self.p_d.flat -= STEP * g_d.flat
        self.p_g.flat -= STEP * g_g.flat
        self.steps += 1
        return self.at

    def path(self, steps: int, start: tuple[float, float]) -> Iterator[float]:
        """Distance from the equilibrium after each step."""
        self.put(*start)
        for _ in range(steps):
            yield float(np.hypot(*self.step()))


def theory(slopes: tuple[float, float], k: float, alternating: bool) -> np.ndarray:
    """One step as a matrix on (p, t)."""
    d, g = np.array([[1 - STEP * k, -STEP * slopes[0]], [0, 1]]), np.array([[1, 0], [STEP * slopes[1], 1]])
    return g @ d if alternating else d + g - np.eye(2)


def test_every_loss_and_penalty_has_its_line() -> None:
    assert set(SLOPES) == set(LOSSES)
    assert {*DAMPING, *TO_ONE} == {None, *PENALTIES}


@ORDERS
@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("penalty", DAMPING)
@pytest.mark.parametrize("loss", SLOPES)
def test_a_step_is_the_linear_map_of_the_theory(loss: str, penalty: str | None, weight: float, alternating: bool):
    game, small = Dirac(loss, penalty, weight, alternating), 1e-6
    columns = []
    for start in (small, 0.0), (0.0, small):
        game.put(*start)
        columns.append(game.step() / small)
    k = weight * DAMPING[penalty]
    np.testing.assert_allclose(np.stack(columns, axis=1), theory(SLOPES[loss], k, alternating), rtol=0, atol=1e-5)


@ORDERS
@pytest.mark.parametrize("penalty", DAMPING)
@pytest.mark.parametrize("loss", SLOPES)
def test_two_hundred_steps_go_where_the_theory_says(loss: str, penalty: str | None, alternating: bool):
    """To a thousandth of the distance: a rate of convergence, or of drifting apart, that was off by 5e-6 would show."""
    steps, start = 200, np.array([1e-4, -2e-4])
    game = Dirac(loss, penalty, 0.5, alternating)
    list(game.path(steps, (start[0], start[1])))
    expected = np.linalg.matrix_power(theory(SLOPES[loss], 0.5 * DAMPING[penalty], alternating), steps) @ start
    assert np.linalg.norm(game.at - expected) < 1e-3 * np.linalg.norm(expected)


@ORDERS
@pytest.mark.parametrize("penalty", ["r1", "r2", "r1+r2"])
@pytest.mark.parametrize("loss", SLOPES)
def test_a_penalty_that_wants_no_slope_ends_every_game(loss: str, penalty: str, alternating: bool):
    """From far off too, where nothing is linear: D comes to rest, and G with it; with least squares anywhere."""
    game = Dirac(loss, penalty, 1 / DAMPING[penalty], alternating)
    list(game.path(400, (1.0, 1.0)))
    assert abs(game.at[0]) < 1e-2
    assert abs(game.step()[1] - game.at[1]) < 1e-3
    assert (abs(game.at[1]) < 0.05) == (loss != "least-squares")


@ORDERS
@pytest.mark.parametrize("penalty", TO_ONE)
@pytest.mark.parametrize("loss", SLOPES)
def test_a_penalty_that_wants_a_slope_of_one_keeps_every_game_from_its_equilibrium(
    loss: str, penalty: str, alternating: bool
):
    distances = list(Dirac(loss, penalty, 0.5, alternating).path(400, (1.0, 1.0)))
    assert np.isfinite(distances).all()
    assert min(distances[-200:]) > 0.1


@pytest.mark.parametrize(("weight", "rate"), [(0.2, 0.995301), (0.5, 0.987737), (1.0, 0.975000), (2.0, 0.993301)])
def test_r1_converges_at_the_rate_of_the_theory(weight: float, rate: float):
    """Over a thousand steps; |1 + h lambda| with lambda = -k/2 +- sqrt(k^2/4 - 1/4), the slowest of which counts.

    At weight 1 both eigenvalues are the same, and the distance shrinks like n rate^n: hence the tolerance.
    """
    matrix = theory(SLOPES["non-saturating"], weight, alternating=False)
    assert max(abs(np.linalg.eigvals(matrix))) == pytest.approx(rate, abs=1e-6)
    distances = list(Dirac("non-saturating", "r1", weight).path(2000, (1e-3, 1e-3)))
    assert (distances[1999] / distances[999]) ** (1 / 1000) == pytest.approx(rate, abs=1e-3)


@pytest.mark.parametrize("loss", ["minimax", "wasserstein"])
def test_without_a_penalty_the_players_circle_or_drift_apart(loss: str):
    """Simultaneous steps grow by sqrt(1 + h^2 c^2) each; alternating ones keep their distance."""
    growth = (1 + (STEP * SLOPES[loss][0]) ** 2) ** 0.5
    apart = list(Dirac(loss).path(400, (0.01, 0.01)))
    assert (apart[-1] / apart[0]) ** (1 / 399) == pytest.approx(growth, abs=1e-5)
    circling = list(Dirac(loss, alternating=True).path(400, (0.01, 0.01)))
    assert max(circling) / min(circling) < 1.06


@ORDERS
def test_the_non_saturating_game_creeps(alternating: bool):
    """It converges, slower than any geometric rate: 3000 steps bring it from below 0.5 no nearer than 0.1."""
    distances = list(Dirac("non-saturating", alternating=alternating).path(4000, (1.0, 1.0)))
    assert 0.1 < distances[-1] < distances[999] < 0.5


@ORDERS
@pytest.mark.parametrize("weight", [0.5, 10.0])
def test_a_slope_of_one_keeps_the_game_from_its_equilibrium(weight: float, alternating: bool):
    """WGAN-GP wants |p| = 1, the equilibrium p = 0."""
    distances = list(Dirac("wasserstein", "wgan-gp", weight, alternating).path(2000, (1.0, 1.0)))
    assert min(distances[-500:]) > 0.1


@ORDERS
def test_least_squares_leaves_the_discriminator_at_rest(alternating: bool):
    """The real point has the logit 0 whatever D does, so D feels t p^2 alone, and stays where it is as p goes to 0."""
    game = Dirac("least-squares", alternating=alternating)
    game.put(1e-6, 0.5)
    assert abs(game.step()[0] - 1e-6) < 1e-7
