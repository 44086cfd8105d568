import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan.data import NAMES, load
from minigan.data.registry import SHAPES

OFFLINE = ("mnist5k", "ring", "grid", "swiss-roll", "stacked-mnist5k")


@pytest.mark.parametrize("name", OFFLINE)
def test_a_set_has_the_shape_that_is_promised(name: str) -> None:
    dataset = load(name)
    x, _ = dataset.batch(np.arange(3))
    assert dataset.name == name
    assert dataset.shape == SHAPES[name]
    assert x.shape == (3, *SHAPES[name])


@pytest.mark.parametrize("wrong", ["mnits", "imagenet"])
def test_an_unknown_name_is_answered_with_all_names(wrong: str, user_error) -> None:
    with user_error(*NAMES, f"got {wrong}"):
        load(wrong)


def test_a_misspelt_name_is_answered_with_the_nearest(user_error) -> None:
    with user_error("did you mean fashion-mnist?"):
        load("fashon-mnist")


def test_a_folder_without_separator_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_error) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    with user_error("photos", "expected images"):
        load("photos")


def test_a_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mnist5k").mkdir()
    assert len(load("mnist5k")) == 5000


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mnist5k", {"image_size": 32}),
        ("mnist", {"image_size": (28, 27)}),
        ("fashion-mnist", {"channels": 3}),
        ("cifar10", {"channels": 1}),
        ("ring", {"image_size": 2}),
        ("grid", {"channels": 2}),
        ("stacked-mnist", {"channels": 1}),
    ],
)
def test_another_shape_is_refused_before_anything_is_loaded(name: str, shape: dict[str, Any], user_error) -> None:
    option, value = next(iter(shape.items()))
    with user_error(name, SHAPES[name], f"got {option} {value}"):
        load(name, **shape)


def test_the_own_shape_may_be_asked_for() -> None:
    assert load("mnist5k", image_size=28, channels=1).shape == (28, 28, 1)
    assert load("stacked-mnist5k", image_size=(28, 28), channels=3).shape == (28, 28, 3)


def test_an_unknown_split_is_refused(user_error) -> None:
    with user_error("split", "train or test", "got validation"):
        load("ring", split="validation")  # type: ignore[arg-type]


def test_import_needs_numpy_alone() -> None:
    program = (
        "import sys, minigan.data; print(*({'pooch', 'requests', 'rich', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
