import numpy as np
import pytest

from minigan.data.dataset import ArrayDataset, to_float


def test_pixels_become_u_over_127_5_minus_1() -> None:
    x = to_float(np.arange(256, dtype=np.uint8))
    assert x.dtype == np.float32
    assert (x[0], x[255]) == (-1, 1)
    np.testing.assert_allclose(x, np.arange(256) / 127.5 - 1, rtol=0, atol=1.2e-7)


def test_pixels_of_a_transposed_array_become_contiguous() -> None:
    planes = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    x = to_float(planes.transpose(1, 2, 0))
    assert x.flags.c_contiguous
    assert x[2, 3, 1] == np.float32(23) / np.float32(127.5) - 1


def test_batch_of_images_has_the_asked_samples_in_order() -> None:
    images = np.arange(5 * 2 * 3 * 1, dtype=np.uint8).reshape(5, 2, 3, 1)
    dataset = ArrayDataset("toy", images, np.array([4, 3, 2, 1, 0], dtype=np.uint8), ("a", "b", "c", "d", "e"))
    x, labels = dataset.batch(np.array([3, 0, 3]))
    assert (len(dataset), dataset.shape, dataset.num_classes) == (5, (2, 3, 1), 5)
    np.testing.assert_array_equal(x, to_float(images[[3, 0, 3]]))
    assert labels is not None
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 4, 1]


def test_points_are_not_scaled() -> None:
    points = np.array([[300, -2], [0.5, 7]], dtype=np.float32)
    x, labels = ArrayDataset("toy", points).batch(np.array([1, 0]))
    np.testing.assert_array_equal(x, points[::-1])
    assert labels is None


def test_a_batch_is_a_copy() -> None:
    points = np.zeros((3, 2), dtype=np.float32)
    x, _ = ArrayDataset("toy", points).batch(np.arange(3))
    x += 1
    assert not points.any()


@pytest.mark.parametrize("x", [np.zeros((5, 28, 28), np.uint8), np.zeros((5, 2)), np.zeros((5, 2, 2, 1), np.float32)])
def test_other_arrays_are_refused(x: np.ndarray, user_error) -> None:
    with user_error("toy", "uint8 (N, H, W, C)", x.dtype, x.shape):
        ArrayDataset("toy", x)


def test_a_missing_label_is_refused(user_error) -> None:
    with user_error("toy", "expected labels (5,)", "got (4,)"):
        ArrayDataset("toy", np.zeros((5, 2), np.float32), np.zeros(4))


@pytest.mark.parametrize("bad", [-1, 3, 255])
def test_a_label_of_no_class_is_refused(bad: int, user_error) -> None:
    """Before a run that would meet it in some batch."""
    labels = np.array([0, 2, bad, 1])
    with user_error("toy", "expected labels in [0, 3)", f"got {min(bad, 0)} to {max(bad, 2)}"):
        ArrayDataset("toy", np.zeros((4, 2), np.float32), labels, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("labels", "got"),
    [(np.array([0, -1]), "-1 to 0"), (np.array([0, 2**63], np.uint64), "0 to 9223372036854775808")],
    ids=["negative", "beyond int64"],
)
def test_a_label_that_can_be_of_no_class_is_refused_without_their_names_too(
    labels: np.ndarray, got: str, user_error
) -> None:
    with user_error("toy", "expected labels in [0, 2^63)", f"got {got}"):
        ArrayDataset("toy", np.zeros((2, 2), np.float32), labels)


def test_labels_need_no_names_of_classes() -> None:
    """How many there are is for others to say: `Trainer(..., classes=10)`."""
    labels = np.array([7, 2**63 - 1], np.uint64)
    dataset = ArrayDataset("toy", np.zeros((2, 2), np.float32), labels)
    assert dataset.num_classes is None
    assert dataset.batch(np.array([1]))[1].tolist() == [2**63 - 1]


def test_labels_that_are_no_whole_numbers_are_refused(user_error) -> None:
    with user_error("toy", "whole numbers", "float64"):
        ArrayDataset("toy", np.zeros((4, 2), np.float32), np.zeros(4))
