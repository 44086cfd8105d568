import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from minigan.errors import UserError
from minigan.training.checkpoint import Checkpoint, check_matches, latest, load, restore, save
from minigan.training.files import atomic_write_bytes


def checkpoint(step: int = 600, preset: str = "dcgan", more: Mapping[str, np.ndarray] | None = None) -> Checkpoint:
    rng = np.random.default_rng(step)
    tensors: dict[str, np.ndarray] = {
        "generator/dense1/W": rng.normal(size=(3, 5)).astype(np.float32),
        "generator/dense1/b": rng.normal(size=5).astype(np.float32),
        "optimizer_g/m/dense1/W": rng.normal(size=(3, 5)),
    }
    return Checkpoint(step, preset, {"lr": 2e-4, "data": None}, tensors | dict(more or {}), {"steps_g": 120})


def one_line(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


FLOATS = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name != "__metadata__")


@given(
    tensors=st.dictionaries(NAMES, FLOATS, max_size=4),
    step=st.integers(0, 10**9),
    extra=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False) | st.integers()
    ),
)
def test_a_checkpoint_comes_back_bit_for_bit(
    tensors: dict[str, np.ndarray], step: int, extra: dict[str, float]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = load(save(Path(folder), Checkpoint(step, "dcgan", {"a": [1, None]}, tensors, extra)))
    assert (back.step, back.preset, back.config, back.extra) == (step, "dcgan", {"a": [1, None]}, extra)
    assert back.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert back.tensors[name].shape == tensor.shape
        assert back.tensors[name].tobytes() == tensor.tobytes()


def test_views_with_strides_are_saved_as_what_they_show(tmp_path: Path) -> None:
    base = np.arange(24.0).reshape(4, 6)
    views = {"transposed": base.T, "every second": base[::2, 1::2], "reversed": base[::-1]}
    back = load(save(tmp_path, checkpoint(more=views))).tensors
    for name, view in views.items():
        np.testing.assert_array_equal(back[name], view)


def test_a_checkpoint_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert save(tmp_path, checkpoint()).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_newest_are_kept(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    for step in (200, 400, 600):
        path = save(tmp_path, checkpoint(step), keep=2)
        assert latest(tmp_path) == path == tmp_path / f"step_0000{step}.safetensors"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["step_0000400.safetensors", "step_0000600.safetensors"]
    save(tmp_path, checkpoint(10_000_000), keep=1)
    assert [file.name for file in tmp_path.iterdir()] == ["step_10000000.safetensors"]


def test_a_checkpoint_never_prunes_itself_or_later_ones(tmp_path: Path) -> None:
    for step in (800, 1000):
        save(tmp_path, checkpoint(step))
    assert save(tmp_path, checkpoint(600), keep=1).exists()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_tensor_that_is_not_finite_is_neither_saved_nor_loaded(tmp_path: Path, bad: float) -> None:
    save(tmp_path, checkpoint(400))
    broken = checkpoint(600, more={"generator/dense1/b": np.array([1.0, bad])})
    with pytest.raises(ValueError, match="generator/dense1/b holds NaN or infinity at step 600"):
        save(tmp_path, broken)
    assert [file.name for file in tmp_path.iterdir()] == ["step_0000400.safetensors"]

    path = tmp_path / "step_0000600.safetensors"
    save_file(broken.tensors, path, metadata_of(save(tmp_path, checkpoint(600))))
    message = one_line(path)
    assert "generator/dense1/b holds NaN or infinity" in message
    assert message.endswith("; to go on from step_0000400.safetensors, remove this file")


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 300, -100, -1])
def test_a_truncated_file(tmp_path: Path, length: int) -> None:
    save(tmp_path, checkpoint(400))
    path = save(tmp_path, checkpoint(600))
    path.write_bytes(path.read_bytes()[:length])
    message = one_line(path)
    assert "is not a sound checkpoint" in message
    assert message.endswith("to go on from step_0000400.safetensors, remove this file")
    path.unlink()
    assert load(tmp_path / "step_0000400.safetensors").step == 400


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip file" * 20, b"\0" * 500, b"{}", bytes(range(256))])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert "is not a sound checkpoint" in one_line(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        assert one_line(path) == f"cannot read {path}: there is no such file"


def test_safetensors_of_other_programs_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": np.ones(3)}, path, metadata)
        assert one_line(path).endswith("it holds no minigan checkpoint, this minigan reads format 1")
    save_file({"w": np.ones(3)}, path, {"minigan": "2"})
    assert one_line(path).endswith("it holds checkpoint format 2, this minigan reads format 1")


@pytest.mark.parametrize("damage", [{"step": "many"}, {"config": "{"}, {"extra": ""}, {"preset": None}])
def test_damaged_metadata(tmp_path: Path, damage: dict[str, str | None]) -> None:
    metadata = metadata_of(save(tmp_path, checkpoint())) | damage
    path = tmp_path / "weights.safetensors"
    save_file({"w": np.ones(3)}, path, {key: value for key, value in metadata.items() if value is not None})
    assert "is missing or damaged" in one_line(path)


def test_the_metadata_is_plain_text_that_other_programs_can_read(tmp_path: Path) -> None:
    metadata = metadata_of(save(tmp_path, checkpoint()))
    assert json.loads(metadata["config"]) == {"lr": 2e-4, "data": None}
    assert (metadata["minigan"], metadata["step"], metadata["preset"]) == ("1", "600", "dcgan")


def test_restore_fills_the_arrays_that_are_there(tmp_path: Path) -> None:
    saved = load(save(tmp_path, checkpoint()))
    flat = np.zeros(20, np.float32)
    target = {"dense1/W": flat[:15].reshape(3, 5), "dense1/b": flat[15:]}
    restore(target, saved, "generator/")
    np.testing.assert_array_equal(flat[:15], saved.tensors["generator/dense1/W"].ravel())
    np.testing.assert_array_equal(flat[15:], saved.tensors["generator/dense1/b"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dense2/W": np.ones(2, np.float32)}, "missing: generator/dense2/W"),
        ({"dense1/b": None}, "unexpected: generator/dense1/b"),
        ({"dense1/b": np.ones(7, np.float32)}, "generator/dense1/b is (5,) float32, expected (7,) float32"),
        ({"dense1/b": np.ones(5)}, "generator/dense1/b is (5,) float32, expected (5,) float64"),
        ({f"new{i}": np.ones(1) for i in range(5)}, "generator/new0, generator/new1, generator/new2 and 2 more"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(
    change: dict[str, np.ndarray | None], complaint: str
) -> None:
    shapes = {"dense1/W": np.ones((3, 5), np.float32), "dense1/b": np.ones(5, np.float32)} | change
    target = {name: array for name, array in shapes.items() if array is not None}
    with pytest.raises(UserError) as caught:
        restore(target, checkpoint(preset="wgan-gp"), "generator/")
    assert str(caught.value).startswith("the checkpoint (preset wgan-gp, step 600) does not fit: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all((array == 1).all() for array in target.values())


def test_check_matches_sees_every_tensor_without_a_prefix() -> None:
    saved = checkpoint()
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in saved.tensors.items()}
    check_matches(saved, expected)
    del expected["optimizer_g/m/dense1/W"]
    with pytest.raises(UserError, match="unexpected: optimizer_g/m/dense1/W"):
        check_matches(saved, expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB, where this process may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: save(folder, checkpoint(600, more={"big": np.ones(500_000)}), keep=1),
        lambda folder: atomic_write_bytes(folder / "step_0000400.safetensors", bytes(4_000_000)),
    ],
    ids=["checkpoint", "file"],
)
def test_a_full_disk_keeps_the_earlier_file_and_no_leftovers(small_disk: Path, write: Callable[[Path], object]) -> None:
    earlier = save(small_disk, checkpoint(400))
    before = earlier.read_bytes()
    with pytest.raises(UserError, match=r"cannot write .*untouched\).*No space left on device") as caught:
        write(small_disk)
    assert "\n" not in str(caught.value)
    assert list(small_disk.iterdir()) == [earlier]
    assert earlier.read_bytes() == before
    assert load(earlier).step == 400


def test_nothing_is_pruned_when_all_are_to_be_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, checkpoint(step), keep=None)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
