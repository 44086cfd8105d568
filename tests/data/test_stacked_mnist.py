import numpy as np
import pytest

from minigan.data import ArrayDataset, StackedMnist, load


@pytest.fixture(scope="module")
def stacked() -> StackedMnist:
    dataset = load("stacked-mnist5k", seed=1)
    assert isinstance(dataset, StackedMnist)
    return dataset


def test_each_channel_is_the_digit_that_the_label_says(stacked: StackedMnist) -> None:
    indices = np.array([0, 127_999, 5, 64_000, *range(200, 300)])
    x, labels = stacked.batch(indices)
    assert labels is not None
    digits, classes = load("mnist5k").batch(np.arange(5000))
    assert classes is not None
    label_of = {digit.tobytes(): int(label) for digit, label in zip(digits, classes, strict=True)}
    for image, label in zip(x, labels, strict=True):
        a, b, c = (label_of[np.ascontiguousarray(image[:, :, channel]).tobytes()] for channel in range(3))
        assert label == 100 * a + 10 * b + c


def test_batch_is_contiguous_float32(stacked: StackedMnist) -> None:
    x, labels = stacked.batch(np.arange(7))
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((7, 28, 28, 3), np.float32, True)
    assert labels is not None
    assert labels.dtype == np.int64


def test_all_1000_modes_are_equally_likely(stacked: StackedMnist) -> None:
    """Chi-square with 999 degrees of freedom: 99.99 % lie below 1173."""
    counts = np.bincount(stacked.labels, minlength=1000)
    assert (len(stacked), len(counts), counts.min() > 0) == (128_000, 1000, True)
    assert ((counts - 128) ** 2 / 128).sum() < 1173


def test_an_image_is_a_function_of_seed_and_index(stacked: StackedMnist) -> None:
    x, _ = stacked.batch(np.array([9, 4, 9]))
    np.testing.assert_array_equal(x[0], x[2])
    np.testing.assert_array_equal(x[1], load("stacked-mnist5k", seed=1).batch(np.array([4]))[0][0])
    assert not np.array_equal(x[1], load("stacked-mnist5k", seed=2).batch(np.array([4]))[0][0])


def test_picks_never_change_between_versions(stacked: StackedMnist) -> None:
    assert stacked.picks[:2].tolist() == [[1270, 4225, 4990], [4952, 654, 4462]]


def test_class_names_are_the_three_digits(stacked: StackedMnist) -> None:
    assert stacked.num_classes == 1000
    assert stacked.class_names is not None
    assert (stacked.class_names[7], stacked.class_names[450]) == ("007", "450")


def test_a_base_without_labels_is_refused(user_error) -> None:
    with user_error("digits", "without labels"):
        StackedMnist("stack", ArrayDataset("digits", np.zeros((4, 28, 28, 1), np.uint8)), seed=0)
