"""Losses: against their definitions in 400 digits, far out, and against every sign error seen in public code."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.gradcheck import check_loss
from minigan.losses import LOSSES, SMOOTHABLE, Loss, get_loss

NAMES = tuple(LOSSES)
SHIFT_INVARIANT = ("wasserstein", "relativistic-average", "relativistic-paired")
LOGITS = st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20)), min_size=1, max_size=6)
"""Pairs (real, fake)."""

FAR = (-1e4, -750.0, -40.0, -1.5, 0.25, 18.5, 750.0, 1e4)
ONE = Decimal(1)


def columns(pairs: list[tuple[float, float]], dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """(u_real, u_fake), both (N, 1)."""
    real, fake = np.array(pairs, dtype).T.reshape(2, -1, 1).copy()
    return real, fake


# --- the definitions, as the papers write them, in Decimal ---


def s(x: Decimal) -> Decimal:
    return ONE / (ONE + (-x).exp())


def sp(x: Decimal) -> Decimal:
    return (ONE + x.exp()).ln()


def relu(x: Decimal) -> Decimal:
    return max(x, Decimal(0))


def d_terms(name: str, r: Decimal, f: Decimal, mean_r: Decimal, mean_f: Decimal) -> Decimal:
    """One sample's share of L_D."""
    match name:
        case "minimax" | "non-saturating":
            return sp(-r) + sp(f)
        case "least-squares":
            return (r - 1) ** 2 / 2 + f**2 / 2
        case "wasserstein":
            return f - r
        case "hinge":
            return relu(1 - r) + relu(1 + f)
        case "relativistic-average":
            return sp(-(r - mean_f)) + sp(f - mean_r)
        case "relativistic-paired":
            return sp(-(r - f))
    raise AssertionError(name)


def g_terms(name: str, r: Decimal, f: Decimal, mean_r: Decimal, mean_f: Decimal) -> Decimal:
    """One sample's share of L_G."""
    match name:
        case "minimax":
            return -sp(f)
        case "non-saturating":
            return sp(-f)
        case "least-squares":
            return (f - 1) ** 2 / 2
        case "wasserstein" | "hinge":
            return -f
        case "relativistic-average":
            return sp(r - mean_f) + sp(-(f - mean_r))
        case "relativistic-paired":
            return sp(-(f - r))
    raise AssertionError(name)


def gradients(name: str, r: Decimal, f: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """dL_D/dr, dL_D/df, dL_G/df for a batch of one."""
    zero = 0 * r
    match name:
        case "minimax":
            return -s(-r), s(f), -s(f)
        case "non-saturating":
            return -s(-r), s(f), -s(-f)
        case "least-squares":
            return r - 1, f, f - 1
        case "wasserstein":
            return -ONE, ONE, -ONE
        case "hinge":
            return (-ONE if r < 1 else zero), (ONE if f > -1 else zero), -ONE
        case "relativistic-average":  # of one sample: twice the paired one
            return -2 * s(f - r), 2 * s(f - r), -2 * s(r - f)
        case "relativistic-paired":
            return -s(f - r), s(f - r), -s(r - f)
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
@given(pairs=LOGITS)
def test_values_are_those_of_the_definition(name: str, pairs: list[tuple[float, float]]):
    r, f = columns(pairs)
    with localcontext() as context:
        context.prec = 60
        exact = [(Decimal(a), Decimal(b)) for a, b in pairs]
        n = len(pairs)
        means = sum(a for a, _ in exact) / n, sum(b for _, b in exact) / n
        d_value = sum(d_terms(name, a, b, *means) for a, b in exact) / n
        g_value = sum(g_terms(name, a, b, *means) for a, b in exact) / n
    loss = get_loss(name)
    np.testing.assert_allclose(loss.d_loss(r, f)[0], float(d_value), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(loss.g_loss(r, f)[0], float(g_value), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_far_out_values_and_gradients_keep_their_digits(name: str, dtype: type):
    """Every pair of logits up to 1e4, one sample a batch: relative accuracy, where log(sigmoid + 1e-8) has given up."""
    loss, tolerance = get_loss(name), 8 * np.finfo(dtype).eps
    for pair in ((a, b) for a in FAR for b in FAR):
        r, f = columns([pair], dtype)
        with localcontext() as context:
            context.prec = 400  # 1 + exp(-750) needs 326
            a, b = Decimal(float(r[0, 0])), Decimal(float(f[0, 0]))
            expected = (d_terms(name, a, b, a, b), g_terms(name, a, b, a, b), *gradients(name, a, b))
        (d_value, du_real, du_fake), (g_value, dg_fake) = loss.d_loss(r, f), loss.g_loss(r, f)
        actual = [float(v.item()) for v in (d_value, g_value, du_real, du_fake, dg_fake)]
        assert {v.dtype for v in (d_value, du_real, du_fake, g_value, dg_fake)} == {np.dtype(dtype)}
        np.testing.assert_allclose(actual, np.array(expected, np.float64), rtol=tolerance, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str, seed: int):
    check_loss(get_loss(name), seed=seed).require()


@pytest.mark.parametrize("smoothing", [0.1, 0.25, 0.49])
@pytest.mark.parametrize("name", SMOOTHABLE)
def test_gradients_with_label_smoothing(name: str, smoothing: float):
    check_loss(get_loss(name, smoothing)).require()


class TestSigns:
    """Any confusion of real and fake, of minimising and maximising, fails one of these."""

    @pytest.mark.parametrize("name", NAMES)
    @given(pairs=LOGITS)
    def test_d_lifts_real_and_lowers_fake_and_g_lifts_fake(self, name: str, pairs: list[tuple[float, float]]):
        """Of least squares only where it has not overshot its targets 0 and 1."""
        r, f = columns(pairs)
        if name == "least-squares":
            r, f = (np.clip(u, 0.01, 0.99) for u in (r, f))
        loss = get_loss(name)
        _, du_real, du_fake = loss.d_loss(r, f)
        _, dg_fake = loss.g_loss(r, f)
        assert (du_real <= 0).all()
        assert (du_fake >= 0).all()
        assert (dg_fake <= 0).all()

    @pytest.mark.parametrize("name", NAMES)
    def test_and_does_so_strictly_where_d_is_undecided(self, name: str):
        u = np.full((3, 1), 0.5)
        loss = get_loss(name)
        _, du_real, du_fake = loss.d_loss(u, u)
        assert (du_real < 0).all()
        assert (du_fake > 0).all()
        assert (loss.g_loss(u, u)[1] < 0).all()

    @pytest.mark.parametrize("name", NAMES)
    @given(pairs=LOGITS)
    def test_a_small_d_step_separates_and_a_small_g_step_does_the_opposite(self, name: str, pairs):
        """mean(u_real) - mean(u_fake) grows along -gradient of L_D, shrinks along that of L_G; or both are content."""
        r, f = columns(pairs)
        if name == "least-squares":
            r, f = (np.clip(u, 0.01, 0.99) for u in (r, f))
        loss = get_loss(name)
        _, du_real, du_fake = loss.d_loss(r, f)
        gap = (r - du_real).mean() - (f - du_fake).mean() - (r.mean() - f.mean())
        content = not du_real.any() and not du_fake.any()
        assert gap > 0 or content or np.abs(np.concatenate([du_real, du_fake])).max() < 1e-8
        _, dg_fake = loss.g_loss(r, f)
        assert dg_fake.mean() < 0

    @pytest.mark.parametrize("name", SHIFT_INVARIANT)
    @given(pairs=LOGITS, shift=st.integers(-8, 8))
    def test_only_differences_of_scores_count(self, name: str, pairs: list[tuple[float, float]], shift: int):
        """The pair L_D = mean D(real) + mean D(fake) of some articles moves by twice the shift: it has no minimum."""
        r, f = columns(pairs)
        loss = get_loss(name)
        for moved, still in zip(loss.d_loss(r + shift, f + shift), loss.d_loss(r, f), strict=True):
            np.testing.assert_allclose(moved, still, atol=1e-13)

    @pytest.mark.parametrize("name", [name for name in NAMES if name not in SHIFT_INVARIANT])
    def test_of_the_others_the_level_counts(self, name: str):
        r, f = columns([(0.5, -0.5)])
        assert abs(get_loss(name).d_loss(r + 3, f + 3)[0] - get_loss(name).d_loss(r, f)[0]) > 0.1

    @pytest.mark.parametrize(
        ("name", "d_value", "g_value"),
        [
            ("minimax", 2 * np.log(2), -np.log(2)),
            ("non-saturating", 2 * np.log(2), np.log(2)),
            ("least-squares", 0.5, 0.5),
            ("wasserstein", 0, 0),
            ("hinge", 2, 0),
            ("relativistic-average", 2 * np.log(2), 2 * np.log(2)),
            ("relativistic-paired", np.log(2), np.log(2)),
        ],
    )
    def test_at_the_start(self, name: str, d_value: float, g_value: float):
        """What a D that gives 0 to everything pays: the number to look for in the first line of a log."""
        u = np.zeros((4, 1))
        np.testing.assert_allclose(get_loss(name).d_loss(u, u)[0], d_value, rtol=1e-15)
        np.testing.assert_allclose(get_loss(name).g_loss(u, u)[0], g_value, rtol=1e-15)


class TestHinge:
    def test_beyond_the_margin_d_is_content(self):
        r, f = columns([(1.5, -1.5), (7.0, -3.0)])
        value, du_real, du_fake = get_loss("hinge").d_loss(r, f)
        assert (value, *du_real.ravel(), *du_fake.ravel()) == (0, 0, 0, 0, 0)

    def test_on_the_margin_too(self):
        """[r < 1] and [f > -1] are strict: at the kink the flat side counts."""
        _, du_real, du_fake = get_loss("hinge").d_loss(*columns([(1.0, -1.0)]))
        assert (du_real.item(), du_fake.item()) == (0, 0)

    def test_inside_the_slope_is_one_over_n(self):
        _, du_real, du_fake = get_loss("hinge").d_loss(*columns([(0.9, -0.9), (-5.0, 5.0)]))
        assert du_real.ravel().tolist() == [-0.5, -0.5]
        assert du_fake.ravel().tolist() == [0.5, 0.5]


class TestLabelSmoothing:
    @pytest.mark.parametrize("name", SMOOTHABLE)
    @given(pairs=LOGITS, smoothing=st.floats(0, 0.49))
    def test_is_the_cross_entropy_with_a_softer_real_label(self, name: str, pairs, smoothing: float):
        """t sp(-r) + (1 - t) sp(r) with t = 1 - smoothing, one-sided: the fake term keeps its label 0."""
        r, f = columns(pairs)
        target = 1 - smoothing
        expected = (target * np.logaddexp(0, -r) + smoothing * np.logaddexp(0, r) + np.logaddexp(0, f)).mean()
        np.testing.assert_allclose(get_loss(name, smoothing).d_loss(r, f)[0], expected, rtol=1e-12)

    @pytest.mark.parametrize("name", SMOOTHABLE)
    def test_the_best_answer_is_the_target(self, name: str):
        """At sigmoid(r) = 0.9 the real gradient vanishes; TF-GAN's rule for the same 0.1 would have it at 0.95."""
        r, f = columns([(np.log(9), 0.0)])
        assert abs(get_loss(name, 0.1).d_loss(r, f)[1].item()) < 1e-16

    @pytest.mark.parametrize("name", SMOOTHABLE)
    def test_leaves_fake_and_generator_alone(self, name: str):
        r, f = columns([(0.3, -0.7), (2.0, 1.0)])
        plain, smooth = get_loss(name), get_loss(name, 0.2)
        np.testing.assert_array_equal(smooth.d_loss(r, f)[2], plain.d_loss(r, f)[2])
        np.testing.assert_array_equal(smooth.g_loss(r, f)[1], plain.g_loss(r, f)[1])

    @pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0, float("nan")])
    def test_range(self, smoothing: float):
        with pytest.raises(ValueError, match=rf"label smoothing must lie in \[0, 0.5\), got {smoothing}"):
            get_loss("minimax", smoothing)

    @pytest.mark.parametrize("name", [name for name in NAMES if name not in SMOOTHABLE])
    def test_goes_with_labels_only(self, name: str):
        with pytest.raises(ValueError, match=f"goes with minimax and non-saturating only, the loss is {name}"):
            get_loss(name, 0.1)


class TestShapes:
    @pytest.mark.parametrize("shape", [(4,), (), (4, 2), (4, 1, 1), (1, 4), (0, 1)])
    @pytest.mark.parametrize("name", NAMES)
    def test_only_columns_of_logits(self, name: str, shape: tuple[int, ...]):
        """(N,) beside (N, 1) would broadcast to (N, N) and train on nonsense."""
        loss, good, bad = get_loss(name), np.zeros((4, 1)), np.zeros(shape)
        for call, what in (
            (lambda: loss.d_loss(bad, good), "u_real"),
            (lambda: loss.d_loss(good, bad), "u_fake"),
            (lambda: loss.g_loss(good, bad), "u_fake"),
        ):
            with pytest.raises(
                ValueError, match=rf"^{name}: {what} must be \(N, 1\) logits, got \({str(shape)[1:-1]}\)"
            ):
                call()

    @pytest.mark.parametrize("name", NAMES)
    def test_batches_of_different_size(self, name: str):
        with pytest.raises(ValueError, match=rf"^{name}: real and fake batches differ, \[\(4, 1\), \(3, 1\)\]"):
            get_loss(name).d_loss(np.zeros((4, 1)), np.zeros((3, 1)))

    @pytest.mark.parametrize("name", NAMES)
    def test_g_needs_the_real_logits_only_if_it_says_so(self, name: str):
        loss: Loss = get_loss(name)
        r, f = columns([(0.3, -0.7), (2.0, 1.0)])
        if loss.g_needs_real:
            with pytest.raises(ValueError, match=f"^{name}: the generator's loss needs the real logits, got None"):
                loss.g_loss(None, f)
        else:
            for with_real, without in zip(loss.g_loss(r, f), loss.g_loss(None, f), strict=True):
                np.testing.assert_array_equal(with_real, without)

    @pytest.mark.parametrize("name", NAMES)
    def test_values_are_0d_gradients_are_columns_and_inputs_stay(self, name: str):
        r, f = columns([(0.3, -0.7), (2.0, 1.0), (-1.0, 0.0)])
        before = r.copy(), f.copy()
        (d_value, *d_gradients), (g_value, g_gradient) = get_loss(name).d_loss(r, f), get_loss(name).g_loss(r, f)
        assert d_value.shape == g_value.shape == ()
        assert {g.shape for g in (*d_gradients, g_gradient)} == {(3, 1)}
        np.testing.assert_array_equal((r, f), before)


def test_unknown_names_are_told_which_there_are():
    with pytest.raises(ValueError, match="unknown loss 'bce'; there are minimax, non-saturating"):
        get_loss("bce")


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_knows_its_name_and_its_source(name: str):
    assert get_loss(name).name == name
    assert any(character.isdigit() for character in get_loss(name).source)
