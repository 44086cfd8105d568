import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from minigan.errors import UserError
from minigan.training.run_dir import RunDirectory, fresh_path

CONFIG = {"preset": "dcgan", "steps": 600, "lr": 2e-4, "out": None, "data": {"name": "mnist5k", "labels": None}}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", CONFIG)


def test_a_run_comes_back_as_it_was_created_without_none(run: RunDirectory) -> None:
    expected = {"preset": "dcgan", "steps": 600, "lr": 2e-4, "data": {"name": "mnist5k"}}
    assert run.config == expected
    assert tomllib.loads(run.config_path.read_text()) == expected
    assert RunDirectory.open(run.path) == run


def test_an_existing_run_is_refused_without_overwrite(run: RunDirectory) -> None:
    before = run.config_path.read_bytes()
    with pytest.raises(UserError, match=r"already holds a run: .* --overwrite"):
        RunDirectory.create(run.path, {"preset": "other"})
    assert run.config_path.read_bytes() == before


def test_overwrite_removes_what_the_run_wrote_and_nothing_else(run: RunDirectory) -> None:
    own = [
        run.metrics.path,
        run.health.path,
        run.sample_path(100),
        run.checkpoints / "step_0000100.safetensors",
        run.plots / "curves.png",
        run.plots / "samples.gif",
    ]
    kept = [run.path / "notes.txt", run.samples / "favourite.png", run.path / "mine" / "step_0000100.png"]
    for file in own + kept:
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    again = RunDirectory.create(run.path, {"preset": "wgan-gp"}, overwrite=True)
    assert not any(file.exists() for file in own)
    assert all(file.read_text() == "x" for file in kept)
    assert RunDirectory.open(run.path) == again
    assert again.config == {"preset": "wgan-gp"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.txt", "config.toml"])
def test_a_folder_that_is_not_a_run_is_never_taken(tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / name).write_text('title = "my web site"')
    with pytest.raises(UserError, match="not empty and not a run"):
        RunDirectory.create(tmp_path, CONFIG, overwrite)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == 'title = "my web site"'


def test_an_empty_folder_and_one_whose_run_was_killed_at_birth_are_taken(tmp_path: Path) -> None:
    (tmp_path / ".tmp-12-config.toml").write_text("half a con")
    (tmp_path / ".lock").touch()
    RunDirectory.create(tmp_path, CONFIG)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "config.toml"]


def test_a_file_in_the_place_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match=r"cannot start a run in .*run: File exists"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_open_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run: there is no config.toml"):
        RunDirectory.open(tmp_path / "nowhere")
    for content in (b"steps = \n", b"\xff\xfe"):
        (tmp_path / "config.toml").write_bytes(content)
        with pytest.raises(UserError, match=r"config\.toml is not valid TOML: ") as caught:
            RunDirectory.open(tmp_path)
        assert "\n" not in str(caught.value)


def test_fresh_path_counts_up(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = fresh_path(tmp_path / "runs", "dcgan")
        path.mkdir(parents=True)
        names.append(path.name)
    assert names == ["dcgan", "dcgan-2", "dcgan-3"]


def test_metrics_come_back_with_numpy_numbers_plain_and_nan_as_none(run: RunDirectory) -> None:
    assert run.metrics.read() == []
    run.metrics.append({"step": 1, "loss_d": np.float32(0.5), "loss_g": np.array(2.0), "note": "é"})
    run.metrics.append({"step": np.int64(2), "loss_d": float("nan"), "loss_g": np.float64("-inf"), "note": None})
    assert run.metrics.read() == [
        {"step": 1, "loss_d": 0.5, "loss_g": 2.0, "note": "é"},
        {"step": 2, "loss_d": None, "loss_g": None, "note": None},
    ]


def test_each_record_is_on_disk_at_once(run: RunDirectory) -> None:
    for step in range(3):
        run.metrics.append({"step": step})
        assert len(run.metrics.path.read_bytes().splitlines()) == step + 1


def test_a_cut_last_line_is_ignored_and_rewound_away(run: RunDirectory) -> None:
    for step in (10, 20):
        run.metrics.append({"step": step, "loss_d": 1 / 3})
    whole = run.metrics.path.read_bytes()
    for cut in range(1, 20):
        run.metrics.path.write_bytes(whole + whole[:cut])
        assert [record["step"] for record in run.metrics.read()] == [10, 20]
    run.metrics.rewind(20)
    assert run.metrics.path.read_bytes() == whole


@pytest.mark.parametrize("line", ["{not json}", "[1]", '{"loss_d": 1}', '{"step": "x"}'])
def test_a_damaged_line_is_named(run: RunDirectory, line: str) -> None:
    run.metrics.append({"step": 1})
    with run.metrics.path.open("a") as handle:
        handle.write(f"{line}\n")
    run.metrics.append({"step": 3})
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is not a JSON record"):
        run.metrics.read()


def test_a_rewound_and_continued_file_equals_an_uninterrupted_one(run: RunDirectory) -> None:
    rng = np.random.default_rng(0)
    records = [{"step": 50 * i, "loss_d": rng.normal() * 10.0**i, "loss_g": np.float32(rng.normal())} for i in range(8)]
    for record in records:
        run.metrics.append(record)
    uninterrupted = run.metrics.path.read_bytes()
    run.metrics.rewind(150)
    assert [record["step"] for record in run.metrics.read()] == [0, 50, 100, 150]
    for record in records[4:]:
        run.metrics.append(record)
    assert run.metrics.path.read_bytes() == uninterrupted


def test_rewinding_a_run_without_metrics_or_samples_writes_nothing(run: RunDirectory) -> None:
    run.metrics.rewind(5)
    run.rewind_samples(5)
    assert sorted(file.name for file in run.path.iterdir()) == [".lock", "config.toml"]


def test_samples_are_sorted_and_rewound(run: RunDirectory) -> None:
    run.samples.mkdir()
    paths = [run.sample_path(step) for step in (300, 0, 600)]
    for path in paths:
        path.touch()
    assert [path.name for path in run.sample_files()] == [f"step_0000{step}.png" for step in ("000", "300", "600")]
    run.rewind_samples(300)
    assert run.sample_files() == [paths[1], paths[0]]


def test_one_process_at_a_time_and_kill_9_frees_the_lock(run: RunDirectory) -> None:
    code = f"""
from pathlib import Path
from minigan.training.run_dir import RunDirectory
with RunDirectory.open(Path({str(run.path)!r})).lock():
    print("locked", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match="another process is training in"), run.lock():
            pass
        with pytest.raises(UserError, match="another process is training in"):
            RunDirectory.create(run.path, CONFIG, overwrite=True)
        holder.kill()
        holder.wait()
        (run.path / ".tmp-1-metrics.jsonl").touch()
        with run.lock():
            assert sorted(file.name for file in run.path.iterdir()) == [".lock", "config.toml"]


def test_an_error_of_the_training_passes_through_the_lock(run: RunDirectory) -> None:
    with pytest.raises(FileNotFoundError), run.lock():
        (run.path / "no such file").read_text()


def test_the_lock_is_held_from_the_making_of_a_run_to_its_end(tmp_path: Path) -> None:
    with RunDirectory.creating(tmp_path / "run", {"preset": "mlp"}) as run:
        with pytest.raises(UserError, match="another process is training"), run.lock():
            pytest.fail("two processes hold the lock")
        with pytest.raises(UserError, match="another process is training"):
            RunDirectory.create(tmp_path / "run", {"preset": "dcgan"}, overwrite=True)
    assert RunDirectory.open(tmp_path / "run").config == {"preset": "mlp"}
