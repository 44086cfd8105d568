"""The check of a function: what passes, what is redrawn, what is refused, and that it leaves no trace."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.gradcheck import TOLERANCE, Evaluation, GradientError, Report, check_function, relative_error

Function = Callable[[], Evaluation]


def sines(x: np.ndarray) -> Function:
    return lambda: Evaluation(float(np.sin(x).sum()))


def absolute(x: np.ndarray, tells: bool = True) -> Function:
    """sum |x|, with or without saying where its kinks are."""
    return lambda: Evaluation(float(np.abs(x).sum()), [x.copy()] if tells else ())


class TestVerdict:
    @given(seed=st.integers(0, 1000), size=st.integers(1, 30))
    def test_a_right_gradient_passes(self, seed: int, size: int):
        x = np.random.default_rng(seed).standard_normal(size)
        report = check_function("sines", sines(x), [x], [np.cos(x)], seed=seed).require()
        assert (report.directions, report.redraws, report.second_order) == (3, 0, False)

    @given(seed=st.integers(0, 1000), size=st.integers(1, 30), data=st.data())
    def test_a_single_wrong_entry_does_not(self, seed: int, size: int, data: st.DataObject):
        """By a thousandth of the gradient's typical size, wherever it is."""
        x = np.random.default_rng(seed).standard_normal(size)
        wrong = np.cos(x)
        wrong[data.draw(st.integers(0, size - 1))] += 1e-3
        assert not check_function("sines", sines(x), [x], [wrong], seed=seed).ok

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_gradient_that_is_no_number_does_not(self, bad: float):
        x = np.ones(3)
        report = check_function("sines", sines(x), [x], [np.array([bad, np.cos(1), np.cos(1)])])
        assert not report.ok
        assert np.isnan(report.error) or report.error > TOLERANCE

    def test_a_value_that_is_no_number_does_not(self):
        x = np.ones(3)
        assert not check_function("nan", lambda: Evaluation(float("nan")), [x], [np.zeros(3)]).ok

    def test_a_gradient_of_zero_where_there_is_none(self):
        """A constant has no gradient; claiming one is wrong, denying one is right."""
        x = np.ones(3)
        assert check_function("constant", lambda: Evaluation(1.0), [x], [np.zeros(3)]).ok
        assert not check_function("constant", lambda: Evaluation(1.0), [x], [np.full(3, 1e-3)]).ok

    def test_a_vanished_gradient_where_there_is_one(self):
        x = np.ones(3)
        assert not check_function("sines", sines(x), [x], [np.zeros(3)]).ok

    def test_several_variables_share_each_direction(self):
        """So a mistake in one is not hidden by the others' being right, whichever it is."""
        x, y, z = np.array([0.3]), np.ones((2, 2)), np.array(0.5)
        gradients = [2 * x * y.sum() * z, np.full((2, 2), x.item() ** 2 * z), np.asarray(x**2 * y.sum()).reshape(())]

        def product() -> Evaluation:
            return Evaluation(float(x[0] ** 2 * y.sum() * z))

        assert check_function("product", product, [x, y, z], gradients).ok
        for i, gradient in enumerate(gradients):
            mutated = [*gradients[:i], 1.01 * gradient, *gradients[i + 1 :]]
            assert not check_function("product", product, [x, y, z], mutated).ok

    def test_truncation_stays_far_below_the_tolerance(self):
        """Central differences: the error of a strongly curved function is of second order in eps."""
        x = np.array([1.0])
        report = check_function("exp", lambda: Evaluation(float(np.exp(3 * x[0]))), [x], [3 * np.exp(3 * x)])
        assert report.error < TOLERANCE / 100


class TestKinks:
    NEAR = 4e-6
    """Closer to the kink than eps = 1e-5: some directions of length eps cross it, some pass beside it."""

    def test_a_direction_that_crosses_is_redrawn_and_counted(self):
        x = np.array([self.NEAR, 1.0, -1.0])
        report = check_function("abs", absolute(x), [x], [np.sign(x)], directions=10).require()
        assert report.directions == 10
        assert report.redraws > 0

    def test_without_telling_it_looks_like_a_wrong_gradient(self):
        x = np.array([self.NEAR, 1.0, -1.0])
        report = check_function("abs", absolute(x, tells=False), [x], [np.sign(x)], directions=10)
        assert not report.ok
        assert report.redraws == 0

    def test_far_from_kinks_nothing_is_redrawn(self):
        x = np.array([1.0, -1.0])
        assert check_function("abs", absolute(x), [x], [np.sign(x)], directions=10).require().redraws == 0

    def test_a_function_that_is_kinked_everywhere_is_refused(self):
        x = np.zeros(3)
        with pytest.raises(GradientError, match="abs: each of 50 directions crosses a kink"):
            check_function("abs", absolute(x), [x], [np.zeros(3)])

    def test_a_whole_number_that_changes_is_a_kink(self):
        """The winner of a maximum, for instance: a sign pattern alone would not show it."""
        x = np.array([1.0, 1.0 + self.NEAR])

        def largest() -> Evaluation:
            return Evaluation(float(x.max()), {"winner": (np.array(x.argmax()),)})

        report = check_function("max", largest, [x], [np.array([0.0, 1.0])], directions=10).require()
        assert report.redraws > 0


class TestNoTrace:
    def test_variables_are_restored_bit_for_bit(self):
        """x + eps d - eps d would not do: it rounds."""
        x = np.random.default_rng(0).standard_normal(50) * 10.0 ** np.arange(-25, 25)
        x[0] = -0.0
        before = x.tobytes()
        check_function("sines", sines(x), [x], [np.cos(x)])
        assert x.tobytes() == before

    @pytest.mark.parametrize("at", [1, 2, 5])
    def test_also_when_the_function_fails(self, at: int):
        x = np.random.default_rng(0).standard_normal(5)
        before, calls = x.tobytes(), []

        def fails() -> Evaluation:
            calls.append(x.tobytes())
            if len(calls) == at:
                raise ZeroDivisionError
            return Evaluation(0.0)

        with pytest.raises(ZeroDivisionError):
            check_function("fails", fails, [x], [np.zeros(5)])
        assert x.tobytes() == before
        assert all(seen != before for seen in calls), "the function saw moved variables"

    def test_the_same_seed_gives_the_same_report(self):
        x = np.ones(3)
        reports = [check_function("sines", sines(x), [x], [np.cos(x)], seed=seed) for seed in (1, 1, 2)]
        assert reports[0] == reports[1] != reports[2]


class TestRefused:
    def test_single_precision(self):
        """A difference of two float32 values at eps = 1e-5 has two digits: it would prove nothing."""
        x = np.ones(3, np.float32)
        with pytest.raises(TypeError, match=r"s: gradient checks need float64 variables, got float32 \(3,\)"):
            check_function("s", sines(x), [x], [np.cos(x)])

    def test_a_gradient_of_another_shape(self):
        """(3,) against (3, 1) would broadcast."""
        x = np.ones((3, 1))
        with pytest.raises(GradientError, match=r"s: a variable is \(3, 1\), its gradient \(3,\)"):
            check_function("s", sines(x), [x], [np.ones(3)])

    def test_a_gradient_too_few(self):
        with pytest.raises(ValueError, match="shorter"):
            check_function("s", sines(np.ones(3)), [np.ones(3), np.ones(3)], [np.ones(3)])


class TestReport:
    def test_reads_as_a_sentence(self):
        right, wrong = Report("Dense", 2e-9, 3, 1), Report("Dense", 0.5, 3, 0, second_order=True)
        assert str(right) == "Dense: first order, relative error 2.0e-09 (3 directions, 1 redrawn): ok"
        assert str(wrong) == (
            "Dense: first and second order, relative error 5.0e-01 (3 directions, 0 redrawn): WRONG (tolerance 1e-06)"
        )

    @pytest.mark.parametrize(("error", "ok"), [(0.0, True), (TOLERANCE, True), (1.1e-6, False), (float("nan"), False)])
    def test_ok_only_within_the_tolerance(self, error: float, ok: bool):
        report = Report("x", error, 3, 0)
        assert report.ok is ok
        if ok:
            assert report.require() is report
        else:
            with pytest.raises(GradientError, match="WRONG"):
                report.require()

    @pytest.mark.parametrize("errors", [(1.0, 2.0), (2.0, 1.0)])
    def test_joined_keeps_the_worse_error_and_adds_the_counts(self, errors: tuple[float, float]):
        first, second = Report("a", errors[0], 3, 1), Report("b", errors[1], 4, 2, second_order=True)
        assert first.joined(second) == Report("a", 2.0, 7, 3, second_order=True)
        assert first.joined(first).second_order is False

    def test_renamed_keeps_the_rest(self):
        assert Report("a", 1.0, 3, 1, second_order=True).renamed("b") == Report("b", 1.0, 3, 1, second_order=True)

    @pytest.mark.parametrize("errors", [(float("nan"), 1e-9), (1e-9, float("nan"))])
    def test_nan_is_worse_than_any_number(self, errors: tuple[float, float]):
        joined = Report("a", errors[0], 3, 0).joined(Report("b", errors[1], 3, 0))
        assert np.isnan(joined.error)
        assert not joined.ok


def test_relative_error():
    assert relative_error(2.0, 1.0) == relative_error(1.0, 2.0) == 0.5
    assert relative_error(1e-12, 0.0) == 1e-3, "below 1e-9 the comparison is absolute"
    assert np.isnan(relative_error(float("nan"), 1.0))
