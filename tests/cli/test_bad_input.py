"""Whatever is wrong with the input: one line that says what, exit code 2, and no file lost or changed."""

import gzip
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from command_line import SMALL, CommandLine, contents, only_line
from lives import outcome
from safetensors.numpy import load_file, save_file

from minigan import commands
from minigan.data.mnist import SOURCES
from minigan.training import session
from minigan.training.checkpoint import load
from minigan.training.config import TrainConfig
from minigan.training.run_dir import RunDirectory

Refused: TypeAlias = Callable[..., str]

MISTAKES = {
    "": "Expected one of {train, sample, presets, gradcheck, bench, info}",
    "trian": "Unrecognized options: trian",
    "train": "expected a preset or --resume RUN",
    "train dcgna": "unknown preset 'dcgna': there are mlp, .*; did you mean dcgan?",
    "presets dcgna": "unknown preset 'dcgna': there are mlp, .*; did you mean dcgan?",
    "train mlp --stepz 3": "Unrecognized options: --stepz, 3 Perhaps you meant: --steps",
    "train mlp dcgan": "Unrecognized options: dcgan",
    "train mlp --steps": "Missing value for argument '--steps'",
    "train mlp --steps ten": "Error parsing --steps: .*'ten'",
    "train mlp --steps 1.5": "Error parsing --steps: .*'1.5'",
    "train mlp --lr fast": "Error parsing --lr: .*'fast'",
    "train mlp --amsgrad maybe": "Unrecognized options: maybe",
    "train mlp --steps 3 --epochs 3": "give steps or epochs, not both",
    "train mlp --capture --no-capture": "give --capture or --no-capture, not both",
    "train mlp --steps 0": "steps: expected a whole number of at least 1, got 0",
    "train mlp --batch-size 1": "batch_size: expected a whole number of at least 2, got 1",
    "train mlp --batch-size 5001": r"batch_size: expected 1 to 5000 \(the samples in mnist5k\), got 5001",
    "train mlp --lr -1": "lr: expected a number above 0, got -1.0",
    "train mlp --lr nan": "lr: expected a number above 0, got nan",
    "train mlp --beta1 1": r"beta1: expected a number in \[0, 1\), got 1.0",
    "train mlp --seed 99999999999999999999": "seed: expected a number below",
    "train mlp --width 1e300": "width: expected a number above 0, up to 1000, got 1e\\+300",
    "train mlp --latent-dim 99999999999999999999": "latent_dim: expected 1 to 1000000, got 9",
    "train mlp --loss bce": "unknown loss 'bce'; there are minimax, .*hinge",
    "train mlp --optimizer lion": "optimizer: expected one of sgd, rmsprop, adam, got 'lion'",
    "train mlp --schedule step": "schedule: expected one of constant, linear, cosine, got 'step'",
    "train mlp --norm batch": "mlp has no choice of norm, got batch",
    "train dcgan --norm group": "norm: expected one of batch, layer, none, got group",
    "train lsgan --label-smoothing 0.1": "label smoothing goes with minimax and non-saturating only",
    "train cgan --data ring": r"cgan makes images; data of shape \(2,\) wants mlp, mlp-small or r3gan",
    "train rnn --data mnist5k": r"rnn makes sequences; data of shape \(28, 28, 1\) wants another preset",
    "train dcgan --data sines": r"dcgan makes images; data of shape \(30, 1\) wants rnn",
    "train rnn --penalty r1": "penalty r1: discriminator, gru1: GRU: a second backward pass through time",
    "train mlp --auxiliary-weight 1": "auxiliary_weight: the discriminator of mlp has but one head",
    "train vae --loss hinge": "loss: vae has no discriminator, got hinge",
    "train vae --n-critic 2": "n_critic: vae has no discriminator, got 2",
    "train vae --unrolled-steps 2": "unrolled_steps: vae has no discriminator, got 2",
    "train cgan --pack 2": "cgan: pack cannot be fitted to a discriminator that is told labels",
    "train r3gan --weight-norm spectral": "weight_norm spectral: the discriminator's residual1/.* starts at 0",
    "train autoencoder --penalty r1": "penalty: autoencoder has no discriminator, got r1",
    "train aae --pack 2": "pack: aae has a discriminator of codes alone, got 2",
    "train aae --penalty r1": "penalty: aae has a discriminator of codes alone, got r1",
    "train dcgan --reconstruction squared-error": "reconstruction: dcgan is no autoencoder",
    "train vae --reconstruction l1": "reconstruction: expected one of squared-error, cross-entropy, got 'l1'",
    "train autoencoder --divergence-weight 2": "divergence_weight: autoencoder is no variational autoencoder",
    "train vae --divergence-weight -1": "divergence_weight: expected a number of at least 0 and .* got -1.0",
    "train vae --data ring": r"vae makes images; data of shape \(2,\) wants mlp",
    "train acgan --auxiliary-weight -1": "auxiliary_weight: expected a number of at least 0 and .* got -1.0",
    "train dcgan --penalty r1": "penalty r1: discriminator, batchnorm1: BatchNorm couples the samples",
    "train mlp --penalty r1 --penalty-weight -1": "penalty weight: expected a number above 0 and below 1e\\+06, got -1",
    "train mlp --pack 3": r"batch_size: 64 samples cannot be cut into groups of 3 \(pack 3\)",
    "train mlp --pack -2": "pack: expected a whole number of at least 1, got -2",
    "train mlp --pack 4 --minibatch-stddev 3": r"batch_size: 64 .* groups of 12 \(pack 4 times minibatch_stddev 3\)",
    "train mlp --lecam -0.3": "lecam: expected a number of at least 0 and below 1e\\+06, got -0.3",
    "train mlp --lecam 1e6": "lecam: expected a number of at least 0 and below 1e\\+06, got 1000000.0",
    "train mlp --minibatch-stddev 1": "minibatch_stddev: expected 0 or at least 2, got 1",
    "train mlp --augment cutout,cutout": "augment: DiffAugment: expected each kind once, got 'cutout' 2 times",
    "train mlp --augment blur": "augment: DiffAugment: expected some of translation, cutout, brightness, got 'blur'",
    "train mlp --data ring --augment cutout": r"augment changes images; these data are of shape \(2,\)",
    "train mlp --backend abacus": "backend: unknown backend 'abacus'; there are auto, numpy",
    "train mlp --data mnits": "data set: expected mnist5k, .*, got mnits; did you mean mnist?",
    "train mlp --data ./photos": "photos: expected a folder of images, got no such folder",
    "train mlp --data mnist5k --image-size 32": r"mnist5k: expected its own shape \(28, 28, 1\), got image_size 32",
    "train dcgan --data ring": r"dcgan makes images; data of shape \(2,\) wants mlp, mlp-small or r3gan",
    "train mlp --out /dev/null/run": "cannot start a run in /dev/null/run: ",
    "train --resume nowhere": "nowhere holds no run: there is no config.toml",
    "sample": "Missing from minigan sample: RUN",
    "sample nowhere": "nowhere holds no run: there is no config.toml",
    "sample nowhere --count 0": "--count: expected at least 1, got 0",
    "sample nowhere --seed -1": "--seed: expected 0 <= seed < .*, got -1",
    "sample nowhere --seed 18446744073709551616": "--seed: expected 0 <= seed < .*, got 18446744073709551616",
    "sample nowhere --out grid.jpg": "--out: expected a name that ends in .png, got grid.jpg",
    "presets dcgan --data imagenet": "--data: expected one of mnist5k, .*, got imagenet",
    "presets dcgan --data ring": "dcgan makes images",
    "presets dcgan --width inf": "width: expected a number above 0, up to 1000, got inf",
    "gradcheck --seeds 0": "--seeds and --directions: expected at least 1, got 0 and 3",
    "gradcheck --backend abacus": "--backend: expected auto, numpy.*, got abacus",
    "info now": "Unrecognized options: now",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line(line: str, refused: Refused) -> None:
    assert re.match(f".*{MISTAKES[line]}", refused(*line.split()))


@pytest.mark.parametrize("line", ["", "train dcgna", "train mlp --steps ten", "sample nowhere"])
def test_a_mistake_is_one_line_of_the_program_itself(line: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "minigan", *line.split()], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert re.fullmatch(f"minigan: .*{MISTAKES[line]}.*\n", run.stderr)
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_one_line(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, line in (
        (MemoryError("Unable to allocate 2 TiB"), "not enough memory: Unable to allocate 2 TiB"),
        (MemoryError(), "not enough memory: a smaller --batch-size or --width needs less"),
    ):

        def train(*args: object, error: MemoryError = error) -> int:
            raise error

        monkeypatch.setattr(commands, "train", train)
        assert refused("train", "dense-wide") == line


def test_a_folder_without_images_and_one_of_the_wrong_size(refused: Refused, tmp_path: Path, faces: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: expected images" in refused("train", "mlp", "--data", "./empty")
    assert "batch_size: expected 1 to 10" in refused("train", "dcgan", "--data", faces)
    line = refused("train", "dcgan", "--data", faces, "--image-size", 30, *SMALL)
    assert line.startswith("dcgan cannot make images of 30x30x3: ")
    (faces / "3.png").write_bytes(b"GIF89a")
    assert refused("train", "mlp", "--data", faces, *SMALL).startswith(f"{faces}/3.png: cannot be read as an image")


def test_an_image_that_turns_out_broken_on_the_way_is_named_and_the_run_resumes(
    minigan: CommandLine, faces: Path, tmp_path: Path
) -> None:
    whole = (faces / "3.png").read_bytes()
    (faces / "3.png").write_bytes(whole[:60])
    flags = ("--data", faces, "--steps", 10, "--checkpoint-every", 1, *SMALL)
    code, _, err = minigan("train", "mlp", "--out", "broken", *flags)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"minigan: {faces}/3.png: cannot be read as an image: ")
    (faces / "3.png").write_bytes(whole)
    assert minigan("train", "--resume", "broken").code == 0
    minigan("train", "mlp", "--out", "whole", *flags)
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")


IMAGES = "train-images-idx3-ubyte"
SOUND = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 28, 28) + bytes(5 * 28 * 28)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (IMAGES, SOUND[:-1], "truncated: expected 3936 bytes .*, got 3935"),
        (IMAGES, b"", "expected the idx magic number .*, got an empty file"),
        (IMAGES, b"<html>" + SOUND, "expected the idx magic number"),
        (IMAGES, SOUND, "not mnist's file: expected SHA-256 ba891046"),
        (f"{IMAGES}.gz", gzip.compress(SOUND)[:-9], "corrupt gzip"),
    ],
    ids=["truncated", "empty", "another file", "another content", "corrupt gzip"],
)
def test_a_damaged_file_of_a_data_set_is_named_and_kept(
    name: str, content: bytes, complaint: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    line = refused("train", "mlp", "--data", "mnist", "--data-dir", tmp_path)
    assert re.match(f"{tmp_path / name}: {complaint}", line)


def test_without_network_the_line_says_what_to_do(minigan: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(mirrors=("http://127.0.0.1:9/",)))
    line = only_line(minigan("train", "mlp", "--data", "mnist"))
    assert line.startswith(
        f"{IMAGES}: no mirror gave it (http://127.0.0.1:9/{IMAGES}.gz: ConnectionError); download it"
    )
    assert line.endswith("--data-dir")


def test_a_folder_that_holds_a_run_is_kept(refused: Refused, run: Path, tmp_path: Path) -> None:
    line = refused("train", "mlp", "--out", run, *SMALL)
    assert line == f"{run} already holds a run: resume it, name another folder or pass --overwrite"
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").touch()
    for flags in ((), ("--overwrite",)):
        assert "thesis is not empty and not a run of minigan" in refused("train", "mlp", "--out", thesis, *flags)


def test_overwrite_with_a_mistake_elsewhere_removes_nothing(refused: Refused, run: Path) -> None:
    """`refused` compares every file before and after."""
    for *mistake, named in (
        ("--data", "mnits", "data set: "),
        ("--width", 0, "width: "),
        ("--batch-size", 5001, "batch_size: "),
        ("--backend", "abacus", "backend: "),
    ):
        assert refused("train", "mlp", "--out", run, "--overwrite", *mistake).startswith(named)


def test_a_folder_in_which_another_process_trains(refused: Refused, run: Path) -> None:
    with RunDirectory.open(run).lock():
        for command in (("--resume", run), ("mlp", "--out", run, "--overwrite", *SMALL)):
            assert refused("train", *command) == f"another process is training in {run}"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--lr", 1), "--lr"),
        (("mlp",), "PRESET"),
        (("--batch-size", 8, "--overwrite", "--out", "x"), "--batch-size, --out, --overwrite"),
    ],
)
def test_resuming_takes_the_runs_own_configuration(flags: tuple, named: str, refused: Refused, run: Path) -> None:
    line = refused("train", *flags, "--resume", run)
    assert line == f"--resume takes the run's own configuration, --steps and --data-dir; got {named}"


def test_resuming_to_a_step_behind(refused: Refused, run: Path) -> None:
    assert refused("train", "--resume", run, "--steps", 3) == f"{run} is at step 4 already; --steps 3 lies behind"


USES = pytest.mark.parametrize("use", [("train", "--resume"), ("sample",)], ids=["resume", "sample"])
NEWEST = Path("checkpoints", "step_0000004.safetensors")


@USES
@pytest.mark.parametrize("length", [0, 9, 500, -1])
def test_a_truncated_checkpoint(use: tuple[str], length: int, refused: Refused, run: Path) -> None:
    (run / NEWEST).write_bytes((run / NEWEST).read_bytes()[:length])
    line = refused(*use, run)
    assert line.startswith(f"{run / NEWEST} is not a sound checkpoint: ")
    assert line.endswith("; to go on from step_0000002.safetensors, remove this file")
    (run / NEWEST).unlink()
    session.resume(run)
    assert load(run / NEWEST).step == 4


@USES
def test_a_checkpoint_of_another_preset_and_one_of_another_size(
    use: tuple[str], refused: Refused, run: Path, tmp_path: Path
) -> None:
    other = TrainConfig("mlp", batch_size=4, width=0.02, steps=4)
    session.start(other, tmp_path / "other")
    (tmp_path / "other" / NEWEST).replace(run / NEWEST)
    assert refused(*use, run) == "the checkpoint is of preset mlp, this run is of dcgan"
    config = run / "config.toml"
    config.write_text(config.read_text().replace('"dcgan"', '"mlp"').replace('norm = "batch"\n', ""))
    assert "does not fit: different: generator/dense1/W is (100, 3) float32, expected (4, 3)" in refused(*use, run)


@USES
def test_a_checkpoint_with_nan(use: tuple[str], refused: Refused, run: Path) -> None:
    sound = load(run / NEWEST)
    sound.tensors["generator/dense1/W"][1, 2] = np.nan
    metadata = {"minigan": "1", "step": "4", "preset": "dcgan", "config": "{}", "extra": "{}"}
    save_file(sound.tensors, run / NEWEST, metadata)
    assert "is not a sound checkpoint: generator/dense1/W holds NaN or infinity" in refused(*use, run)
    save_file(load_file(run / "checkpoints" / "step_0000002.safetensors"), run / NEWEST, {"format": "pt"})
    assert "it holds no minigan checkpoint" in refused(*use, run)


@USES
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[:-9], "config.toml is not valid TOML"),
        (lambda text: text + "stpes = 3\n", "config.toml: unknown field 'stpes'"),
        (lambda text: text.replace("steps = 4", 'steps = "four"'), "steps should be of type int, got 'four'"),
        (lambda text: text.replace('"dcgan"', '"dcgna"'), "unknown preset 'dcgna'"),
        (lambda text: text.replace("steps = 4", "steps = -4"), "steps: expected a whole number of at least 1, got -4"),
        (lambda text: text.replace("preset", "# preset"), "there is no preset in it"),
    ],
)
def test_a_damaged_configuration(
    use: tuple[str], damage: Callable[[str], str], complaint: str, refused: Refused, run: Path
) -> None:
    config = run / "config.toml"
    config.write_text(damage(config.read_text()))
    assert complaint in refused(*use, run)


def test_damaged_metrics(refused: Refused, run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write("not json\n")
    line = refused("train", "--resume", run)
    assert line == f"{run}/metrics.jsonl line 2 is not a JSON record with a step: remove that line"


def test_a_run_that_has_no_checkpoint_yet(refused: Refused, tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "new", TrainConfig("mlp").to_dict())
    assert refused("sample", tmp_path / "new").endswith("new has no checkpoint yet: let it train to the first one")


def test_a_picture_that_exists_is_kept_unless_told_otherwise(refused: Refused, minigan: CommandLine, run: Path) -> None:
    picture = run / "mine.png"
    picture.write_text("precious")
    line = refused("sample", run, "--out", picture)
    assert line == f"{picture} exists; name another file with --out, or pass --overwrite"
    minigan("sample", run)
    assert refused("sample", run).startswith(f"{run}/plots/sample-seed0.png exists; ")
    assert minigan("sample", run, "--out", picture, "--overwrite").code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_points_cannot_be_interpolated(refused: Refused, tmp_path: Path) -> None:
    session.start(TrainConfig("mlp", data="ring", width=0.02, steps=1), tmp_path / "ring")
    assert "ring makes points of shape (2,)" in refused("sample", tmp_path / "ring", "--interpolate")


def test_a_conditional_preset_wants_labels(refused: Refused, faces: Path) -> None:
    for preset in ("cgan", "cgan-concat", "acgan"):
        line = refused("train", preset, "--data", faces, *SMALL)
        assert line == f"{preset} learns from labels, and the data has none"


def test_a_label_for_a_run_without_labels_and_one_out_of_range(refused: Refused, run: Path, tmp_path: Path) -> None:
    assert refused("sample", run, "--label", 3) == "dcgan draws without labels, got label 3"
    session.start(TrainConfig("cgan", batch_size=4, width=0.02, latent_dim=4, steps=1), tmp_path / "cgan")
    assert refused("sample", tmp_path / "cgan", "--label", 10) == "label: expected 0 to 9, got 10"
    assert refused("sample", tmp_path / "cgan", "--label", -1) == "label: expected 0 to 9, got -1"
    assert "Error parsing --label" in refused("sample", tmp_path / "cgan", "--label", "seven")


def test_an_autoencoder_has_nothing_to_draw_from(refused: Refused, tmp_path: Path) -> None:
    session.start(TrainConfig("autoencoder", batch_size=4, width=0.02, latent_dim=4, steps=1), tmp_path / "run")
    for flags in ((), ("--interpolate",)):
        line = refused("sample", tmp_path / "run", *flags)
        assert line == "autoencoder learns no distribution to draw from; vae and aae do"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_space(
    small_disk: Path, faces: Path, minigan: CommandLine, tmp_path: Path
) -> None:
    """Each step adds a checkpoint of 100 KB, until there is no space for one more."""
    flags = ("--data", faces, "--batch-size", 4, "--width", 0.05, "--steps", 20)
    flags += ("--checkpoint-every", 1, "--keep-checkpoints", 99, "--sample-every", 10, "--log-every", 1)
    path = small_disk / "run"
    code, out, err = minigan("train", "mlp", "--out", path, *flags)
    assert (code, out) == (2, "")
    started, line = err.splitlines()
    assert started.startswith("mlp on ")
    assert re.match(f"minigan: cannot write {path}/.*: No space left on device", line)

    saved = sorted((path / "checkpoints").iterdir())
    assert [load(file).step for file in saved] == list(range(1, len(saved) + 1))
    assert 2 < len(saved) < 20
    before = contents(path / "checkpoints")
    full = minigan("train", "--resume", path)
    assert (full.code, full.err.count("minigan: cannot write")) == (2, 1)
    assert contents(path / "checkpoints") == before

    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert minigan("train", "--resume", path).code == 0
    minigan("train", "mlp", "--out", tmp_path / "whole", *flags)
    assert outcome(path) == outcome(tmp_path / "whole")
