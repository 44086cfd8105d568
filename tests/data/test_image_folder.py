from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.data import ImageFolder, load


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(pixels: np.ndarray, path: Path, **options: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def pixels_of(dataset: ImageFolder, *indices: int) -> np.ndarray:
    x, _ = dataset.batch(np.array(indices))
    assert x.flags.c_contiguous
    return np.rint((x + 1) * 127.5).astype(np.uint8)


def test_classes_and_files_are_sorted_by_name(tmp_path: Path) -> None:
    images = {
        name: save(noise(4, 6, seed), tmp_path / name) for seed, name in enumerate(["b/2.PNG", "a/z.png", "b/10.png"])
    }
    (tmp_path / "b" / "notes.txt").touch()
    (tmp_path / "b" / "._10.png").touch()
    (tmp_path / "nothing").mkdir()
    dataset = load(str(tmp_path))
    assert isinstance(dataset, ImageFolder)
    assert (len(dataset), dataset.shape, dataset.num_classes, dataset.class_names) == (3, (4, 6, 3), 2, ("a", "b"))
    x, labels = dataset.batch(np.array([2, 0, 1]))
    assert (x.shape, x.dtype) == ((3, 4, 6, 3), np.float32)
    assert labels is not None
    assert (labels.tolist(), labels.dtype) == ([1, 0, 1], np.int64)
    expected = np.stack([images["b/2.PNG"], images["a/z.png"], images["b/10.png"]])
    np.testing.assert_array_equal(pixels_of(dataset, 2, 0, 1), expected)


def test_images_in_the_folder_itself_have_no_labels(tmp_path: Path) -> None:
    save(noise(4, 4), tmp_path / "one.jpeg")
    save(noise(4, 4), tmp_path / "two.JPG")
    dataset = ImageFolder(tmp_path)
    assert dataset.batch(np.array([0, 1]))[1] is None
    assert (dataset.num_classes, dataset.class_names) == (None, None)


def test_images_of_different_sizes_become_64x64(tmp_path: Path) -> None:
    save(noise(4, 4), tmp_path / "1.png")
    save(noise(4, 5), tmp_path / "2.png")
    assert ImageFolder(tmp_path).shape == (64, 64, 3)
    assert ImageFolder(tmp_path).batch(np.array([0, 1]))[0].shape == (2, 64, 64, 3)


def test_resizing_keeps_the_centre_of_the_longer_side(tmp_path: Path) -> None:
    """A 20x60 image of red, green and blue squares, side by side, becomes a green 10x10."""
    colours = np.repeat(np.eye(3, dtype=np.uint8) * 255, 20, axis=0)
    save(np.broadcast_to(colours, (20, 60, 3)).copy(), tmp_path / "wide.png")
    save(np.broadcast_to(colours[:, None], (60, 20, 3)).copy(), tmp_path / "high.png")
    pixels = pixels_of(ImageFolder(tmp_path, image_size=10), 0, 1)
    np.testing.assert_allclose(pixels[:, 1:-1, 1:-1], np.broadcast_to([0, 255, 0], (2, 8, 8, 3)), atol=2)


def test_image_size_is_height_then_width(tmp_path: Path) -> None:
    save(noise(20, 20), tmp_path / "1.png")
    assert ImageFolder(tmp_path, image_size=(6, 9)).batch(np.array([0]))[0].shape == (1, 6, 9, 3)


def test_grey(tmp_path: Path) -> None:
    """ITU-R 601: L = 0.299 R + 0.587 G + 0.114 B."""
    pixels = save(noise(5, 5), tmp_path / "1.png")
    grey = pixels_of(ImageFolder(tmp_path, channels=1), 0)
    assert grey.shape == (1, 5, 5, 1)
    np.testing.assert_allclose(grey[0, :, :, 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_a_grey_file_becomes_three_equal_channels(tmp_path: Path) -> None:
    pixels = save(noise(5, 5)[:, :, 0], tmp_path / "1.png")
    np.testing.assert_array_equal(pixels_of(ImageFolder(tmp_path), 0)[0], np.stack([pixels] * 3, axis=2))


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    pixels = np.full((2, 2, 4), [10, 20, 30, 255], np.uint8)
    pixels[0, 0, 3] = 0
    save(pixels, tmp_path / "1.png")
    palette = Image.fromarray(np.zeros((2, 2), np.uint8)).convert("P")
    palette.save(tmp_path / "2.png", transparency=b"\0")
    first, second = pixels_of(ImageFolder(tmp_path), 0, 1)
    assert (first[0, 0].tolist(), first[1, 1].tolist()) == ([255] * 3, [10, 20, 30])
    assert (second == 255).all()


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = save(noise(4, 6), tmp_path / "1.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(ImageFolder(tmp_path), 0)[0], pixels[::-1, ::-1])


def test_a_batch_larger_than_the_pool_keeps_its_order(tmp_path: Path) -> None:
    images = [save(noise(3, 3, seed), tmp_path / f"{seed:02d}.png") for seed in range(40)]
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(pixels_of(ImageFolder(tmp_path), *order), np.stack(images)[order])


@pytest.mark.parametrize("content", ["garbage", "cut"])
def test_a_broken_image_is_named_when_it_is_read(tmp_path: Path, content: str, user_error) -> None:
    save(noise(50, 50), tmp_path / "1.png")
    save(noise(50, 50), tmp_path / "2.png")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(b"garbage" if content == "garbage" else whole[: len(whole) // 2])
    dataset = ImageFolder(tmp_path, image_size=8)
    dataset.batch(np.array([0]))
    with user_error(tmp_path / "2.png", "cannot be read as an image"):
        dataset.batch(np.array([0, 1]))


def test_16_bit_images_are_refused_rather_than_clipped(tmp_path: Path, user_error) -> None:
    save(np.full((4, 4), 1000, np.uint16), tmp_path / "1.png")
    with user_error(tmp_path / "1.png", "8 bits"):
        ImageFolder(tmp_path)


def test_a_folder_without_images(tmp_path: Path, user_error) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "1.gif").touch()
    with user_error(tmp_path, ".png, .jpg, .jpeg"):
        load(tmp_path)


def test_a_folder_with_images_at_both_levels(tmp_path: Path, user_error) -> None:
    save(noise(4, 4), tmp_path / "1.png")
    save(noise(4, 4), tmp_path / "class" / "2.png")
    with user_error(tmp_path, "1.png", "class/"):
        load(tmp_path)


def test_no_such_folder(tmp_path: Path, user_error) -> None:
    with user_error(tmp_path / "absent", "no such folder"):
        load(f"{tmp_path}/absent")
    (tmp_path / "file").touch()
    with user_error(tmp_path / "file", "got a file"):
        load(tmp_path / "file")


def test_impossible_shapes(tmp_path: Path, user_error) -> None:
    save(noise(4, 4), tmp_path / "1.png")
    with user_error("channels", "1 (grey) or 3 (RGB)", "got 4"):
        load(tmp_path, channels=4)
    with user_error("image_size", "got 0x0"):
        load(tmp_path, image_size=0)
    with user_error("image_size", "got 8x-1"):
        load(tmp_path, image_size=(8, -1))


def test_a_folder_has_no_test_split(tmp_path: Path, user_error) -> None:
    save(noise(4, 4), tmp_path / "1.png")
    with user_error(tmp_path, "test"):
        load(tmp_path, split="test")
