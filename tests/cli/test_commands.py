"""What each command does when all is well."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, CommandLine
from lives import outcome
from PIL import Image

from minigan import TrainConfig, commands
from minigan.cli import parse
from minigan.data.registry import SHAPES
from minigan.gradcheck.catalogue import layer_cases
from minigan.layers import ScaleShift
from minigan.losses import LOSSES
from minigan.params import walk
from minigan.presets import PRESETS, Options
from minigan.training import session
from minigan.training.pictures import grid_png, interpolation_png
from minigan.training.run_dir import RunDirectory
from minigan.viz import sequences_png

HELP = {
    "": ["train", "sample", "presets", "gradcheck", "bench", "info"],
    "train": ["PRESET", "--resume", "--out", "--overwrite", "--data", "--steps", "--epochs", "--seed", "--n-critic"],
    "sample": ["RUN", "--count", "--out", "--seed", "--interpolate"],
    "presets": ["NAME", "--data", "--width"],
    "gradcheck": ["--seeds", "--directions", "--backend"],
    "info": ["backends"],
}


@pytest.mark.parametrize("command", HELP)
def test_help_names_the_flags(command: str, minigan: CommandLine) -> None:
    code, out, err = minigan(*command.split(), "--help")
    assert (code, err) == (0, "")
    for word in HELP[command]:
        assert re.search(rf"(?<!\w){re.escape(word)}\b", out), word


@pytest.mark.parametrize("command", ["train", "sample"])
def test_help_shows_examples_that_work_each_on_a_line(command: str, minigan: CommandLine) -> None:
    examples = re.findall(r"^\$ minigan (.*?)(?:  .*)?$", minigan(command, "--help").out, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        assert type(parse(example.split())).__name__.lower() == command


def test_every_field_of_the_configuration_is_a_flag_with_an_explanation(minigan: CommandLine) -> None:
    """Of more than two words before the next flag; long flags have theirs on the line below."""
    out = re.sub(r"[│\s]+", " ", minigan("train", "--help").out.split("options", 1)[1]) + " --"
    for field in TrainConfig.__dataclass_fields__:
        if field != "preset":
            explanation = re.search(rf" --{field.replace('_', '-')} (?:[A-Z]+ )?(.*?) --", out)
            assert explanation is not None, field
            assert len(re.findall(r"\w+", explanation[1].replace("default", ""))) > 2, field


def test_train_writes_a_run_and_says_where(minigan: CommandLine, tmp_path: Path) -> None:
    expected = TrainConfig("mlp-small", steps=2, seed=5, batch_size=4, width=0.02, latent_dim=4).resolved()
    for name in ("mlp-small-mnist5k", "mlp-small-mnist5k-2"):
        code, out, err = minigan("train", "wgan", "--steps", 2, "--seed", 5, *SMALL)
        assert code == 0
        assert out.startswith(f"Done: runs/{name}/samples")
        first, *compiling, last = err.splitlines()
        assert all("compil" in line for line in compiling)
        assert re.match(rf"mlp-small on mnist5k: [\d,]+ \+ [\d,]+ parameters, steps 0 to 2, runs/{name}", first)
        assert last.startswith("step 2/2  D ")
        run = RunDirectory.open(tmp_path / "runs" / name)
        assert TrainConfig.from_dict(run.config, run.config_path) == expected
    assert outcome(tmp_path / "runs" / "mlp-small-mnist5k") == outcome(tmp_path / "runs" / "mlp-small-mnist5k-2")


@pytest.mark.parametrize(
    ("called", "on_the_path", "name"),
    [
        ("/venv/bin/minigan", True, "minigan"),
        ("/venv/bin/minigan", False, "/venv/bin/minigan"),
        ("/venv/lib/minigan/__main__.py", False, f"{sys.executable} -m minigan"),
    ],
)
def test_the_last_line_names_the_program_so_that_it_can_be_called(
    called: str,
    on_the_path: bool,
    name: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if on_the_path:
        (tmp_path / "minigan").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [called])
    assert commands.resume(run, None, None) == 0
    assert capsys.readouterr().out.endswith(f"Try: {name} sample {run}\n")


def test_epochs_are_passes_over_the_data(minigan: CommandLine, faces: Path, tmp_path: Path) -> None:
    assert minigan("train", "mlp", "--data", faces, "--epochs", 3, "--out", "run", "--log-every", 1, *SMALL).code == 0
    epochs = [record["epoch"] for record in RunDirectory.open(tmp_path / "run").metrics.read()]
    assert epochs == [0, 0, 1, 1, 2, 2], "ten images make two batches of four"


def test_flags_reach_the_run(minigan: CommandLine, faces: Path, tmp_path: Path) -> None:
    flags = "--lr-d 1e-3 --amsgrad --norm layer --schedule cosine --ema 0.5 --image-size 12 --channels 1 --beta1 0"
    code, _, err = minigan("train", "lucic", "--data", faces, "--steps", 1, "--out", "run", *flags.split(), *SMALL)
    assert code == 0, err
    config = RunDirectory.open(tmp_path / "run").config
    expected = {"lr_d": 1e-3, "amsgrad": True, "norm": "layer", "schedule": "cosine", "ema": 0.5, "beta1": 0.0}
    assert {name: config[name] for name in expected} == expected
    assert session.open_trained(tmp_path / "run").data_shape == (12, 12, 1)


def test_overwrite_starts_anew(minigan: CommandLine, run: Path) -> None:
    (run / "notes.txt").write_text("mine")
    assert minigan("train", "mlp", "--steps", 1, "--out", run, "--overwrite", *SMALL).code == 0
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["step_0000001.safetensors"]
    assert (run / "notes.txt").read_text() == "mine"
    assert RunDirectory.open(run).config["preset"] == "mlp"


def test_resume_goes_on_to_a_new_total(minigan: CommandLine, run: Path) -> None:
    code, out, err = minigan("train", "--resume", run, "--steps", 6)
    assert code == 0
    assert "steps 4 to 6" in err.splitlines()[0]
    assert out.startswith(f"Done: {run}")
    assert RunDirectory.open(run).config["steps"] == 6
    again = minigan("train", "--resume", run)
    assert (again.code, "steps 6 to 6" in again.err) == (0, True)


def test_nobody_is_sent_to_draw_from_an_autoencoder_that_has_no_prior(minigan: CommandLine) -> None:
    for preset, advised in (("autoencoder", False), ("vae", True)):
        done = minigan("train", preset, "--steps", 1, *SMALL, "--out", preset)
        assert ("Try: " in done.out) == advised
        assert (minigan("sample", preset, "--count", 4).code == 0) == advised


def test_sample_draws_what_the_run_generates(minigan: CommandLine, run: Path, tmp_path: Path) -> None:
    trainer = session.open_trained(run)
    for flags, name, expected in (
        ("", run / "plots" / "sample-seed0.png", grid_png(trainer.sample(64, 0))),
        ("--count 5 --seed 3", run / "plots" / "sample-seed3.png", grid_png(trainer.sample(5, 3))),
        ("--count 2 --out new/two.png", Path("new/two.png"), grid_png(trainer.sample(2, 0))),
        ("--count 17 --interpolate", run / "plots" / "interpolation-seed0.png", interpolation_png(trainer, 2, 8, 0)),
    ):
        assert minigan("sample", run, *flags.split()) == (0, f"{name}\n", "")
        assert (tmp_path / name).read_bytes() == expected
    other = trainer.sample(5, 4)
    assert grid_png(other) != grid_png(trainer.sample(5, 3)), "pictures that could be told apart"


def test_a_conditional_run_is_sampled_row_by_row_or_by_label(minigan: CommandLine, tmp_path: Path) -> None:
    """Ten digits: of 40 samples four columns, the same latents in every row."""
    path = tmp_path / "cgan"
    session.start(TrainConfig("cgan", batch_size=4, width=0.02, latent_dim=4, steps=2, lr=0.1), path)
    trainer = session.open_trained(path)
    assert trainer.classes == 10
    rows = trainer.generate(np.tile(trainer.latents(4, 0), (10, 1)), np.arange(10).repeat(4))
    for flags, name, expected in (
        ("--count 40", "sample-seed0.png", grid_png(rows, 4)),
        ("--count 36 --overwrite", "sample-seed0.png", grid_png(rows, 4)),
        ("--count 5 --seed 3 --label 7", "sample-label7-seed3.png", grid_png(trainer.sample(5, 3, 7))),
        (
            "--count 16 --interpolate --label 2",
            "interpolation-label2-seed0.png",
            interpolation_png(trainer, 2, 8, 0, 2),
        ),
    ):
        assert minigan("sample", path, *flags.split()) == (0, f"{path / 'plots' / name}\n", "")
        assert (path / "plots" / name).read_bytes() == expected


def test_a_run_measured_in_epochs_under_a_schedule_can_be_sampled(minigan: CommandLine, faces: Path) -> None:
    """Without its data set, which alone says how many steps an epoch has."""
    minigan("train", "mlp", "--data", faces, "--epochs", 1, "--schedule", "linear", "--out", "run", *SMALL)
    shutil.rmtree(faces)
    assert minigan("sample", "run").code == 0


def test_of_many_labels_the_first_16_share_the_count(minigan: CommandLine, tmp_path: Path) -> None:
    """20 folders of images: of 64 samples 16 rows of 4."""
    for label in range(20):
        folder = tmp_path / "images" / f"{label:02}"
        folder.mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 12 * label, np.uint8)).save(folder / "a.png")
    config = TrainConfig("cgan", "images", image_size=8, channels=1, batch_size=4, width=0.02, latent_dim=4, steps=1)
    session.start(config, tmp_path / "cgan")
    trainer = session.open_trained(tmp_path / "cgan")
    assert trainer.classes == 20
    rows = trainer.generate(np.tile(trainer.latents(4, 0), (16, 1)), np.arange(16).repeat(4))
    assert minigan("sample", "cgan", "--count", "64", "--out", "grid.png").code == 0
    assert Path("grid.png").read_bytes() == grid_png(rows, 4)


def test_every_sequence_asked_for_has_a_panel(
    minigan: CommandLine, refused: Callable[..., str], tmp_path: Path
) -> None:
    session.start(TrainConfig("rnn", batch_size=4, width=0.1, steps=1), tmp_path / "rnn")
    samples = session.open_trained(tmp_path / "rnn").sample(21, 0)
    assert minigan("sample", "rnn", "--count", "21", "--out", "waves.png").code == 0
    assert Path("waves.png").read_bytes() == sequences_png(samples, rows=6)
    assert re.search("--count: expected at most 400 sequences, .* got 401", refused("sample", "rnn", "--count", 401))


def test_points_are_drawn_as_points(minigan: CommandLine, tmp_path: Path) -> None:
    session.start(TrainConfig("mlp", data="ring", width=0.02, steps=1), tmp_path / "ring")
    assert minigan("sample", "ring", "--out", "points.png").code == 0
    with Image.open("points.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 4 if picture.mode == "RGBA" else 3), axis=0)) > 10


def test_presets_are_listed_with_their_aliases(minigan: CommandLine) -> None:
    code, out, err = minigan("presets")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[: len(PRESETS)]] == list(PRESETS)
    assert "wgan = mlp-small" in out


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_laid_out(preset: str, minigan: CommandLine) -> None:
    """With its source, its recipe, and the totals of both networks at full width."""
    recipe = PRESETS[preset].recipe
    data = "cifar10" if "images" in PRESETS[preset].kinds else recipe.data
    code, out, err = minigan("presets", preset, "--data", data)
    assert (code, err) == (0, "")
    assert PRESETS[preset].source in out
    assert f"optimizer {recipe.optimizer}; lr {recipe.lr}; " in out
    for name, value in (("loss", recipe.loss), ("reconstruction", recipe.reconstruction)):
        assert (f"{name} {value}; " in out) == (value is not None)
    assert f"batch size {recipe.batch_size}; " in out
    assert (f"penalty weight {recipe.penalty_weight}" in out) == (recipe.penalty_weight is not None)
    options = Options(SHAPES[data], recipe.latent_dim, 1.0, recipe.norm, classes=10)
    totals = []
    for network, in_shape in PRESETS[preset].networks(options).values():
        spec = network.spec(in_shape)[1]
        totals.append(sum(int(np.prod(p.shape)) for _, p in walk(spec) if p.trainable))
    assert [int(total.replace(",", "")) for total in re.findall(r"total +([\d,]+)", out)] == totals


def test_presets_takes_aliases_and_width(minigan: CommandLine) -> None:
    full, half = (minigan("presets", "wgan", "--width", width).out for width in (1, 0.5))
    assert "weight clip 0.01" in full
    assert re.search(r"dense1 +Dense +512 ", full)
    assert re.search(r"dense1 +Dense +256 ", half)


def test_info_tells_versions_backends_and_where_data_is_sought(
    minigan: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path / "mine"))
    code, out, err = minigan("info")
    assert (code, err) == (0, "")
    assert f"minigan {version('minigan')} on Python {sys.version.split()[0]}" in out
    assert f"numpy {np.__version__}" in out
    assert "backend numpy: works" in out
    assert f"data is sought in: {tmp_path / 'mine'}, {tmp_path / 'cache' / 'minigan'}" in out


def test_gradcheck_goes_through_every_layer_and_loss(minigan: CommandLine) -> None:
    code, out, err = minigan("gradcheck", "--seeds", 1, "--directions", 1)
    assert (code, err) == (0, "")
    *table, verdict = out.splitlines()[1:]
    named = [line[: commands.GRADCHECK_COLUMNS].rstrip() for line in table]
    assert named[: len(layer_cases())] == [case.name for case in layer_cases()]
    assert set(LOSSES) <= set(named)
    assert all(float(line[commands.GRADCHECK_COLUMNS + 8 :].split()[0]) <= 1e-6 for line in table)
    assert verdict == f"{len(table)} checked, 0 wrong (tolerance 1e-06)"


def test_gradcheck_catches_a_planted_bug(minigan: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backward pass without its factor of 2."""
    monkeypatch.setattr(ScaleShift, "backward", lambda *arguments, **_: (arguments[4].copy(), None))  # dy
    code, out, _ = minigan("gradcheck", "--seeds", 1, "--directions", 1)
    assert code == 1
    wrong = [line for line in out.splitlines() if line.endswith("WRONG")]
    assert [line.split()[0] for line in wrong] == ["ScaleShift"]
    assert out.endswith("1 wrong (tolerance 1e-06): ScaleShift\n")


def test_the_program_itself_trains_and_samples(tmp_path: Path) -> None:
    """In a process of its own, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-m", "minigan"]
    train = ["train", "dcgan", "--steps", "3", "--log-every", "1", "--out", "run", *map(str, SMALL)]
    for arguments in (train, ["sample", "run", "--out", "grid.png"]):
        subprocess.run([*command, *arguments], check=True, timeout=60, capture_output=True)
    with Image.open("grid.png") as grid:
        assert grid.format == "PNG"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    program = [sys.executable, "-m", "minigan", "presets", "dcgan"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_changed_configuration_is_told_when_a_run_is_resumed(minigan: CommandLine, tmp_path: Path) -> None:
    assert minigan("train", "mlp", "--steps", 2, "--out", "run", *SMALL).code == 0
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.0002", "lr = 0.001"))
    code, _, err = minigan("train", "--resume", "run", "--steps", 3)
    assert code == 0
    assert "minigan: changed since step 2: lr 0.0002 -> 0.001" in err.splitlines()


def test_a_run_on_a_folder_resumes_from_another_place(
    minigan: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faces").mkdir()
    for number in range(6):
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(tmp_path / "faces" / f"{number}.png")
    assert minigan("train", "mlp", "--data", "./faces", "--steps", 2, "--out", "run", *SMALL).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert minigan("train", "--resume", tmp_path / "run", "--steps", 3).code == 0


def test_a_data_folder_that_is_not_there_is_named(minigan: CommandLine, tmp_path: Path) -> None:
    code, _, err = minigan("train", "mlp", "--data", "mnist", "--data-dir", "nowhere")
    assert code == 2
    assert err == f"minigan: --data-dir: there is no folder {tmp_path / 'nowhere'}\n"
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_is_made_longer_leaves_the_files_of_one_that_long(minigan: CommandLine, tmp_path: Path) -> None:
    """Steps that no interval divides: what was written only because the run ended there goes."""
    flags = ("--log-every", 3, "--sample-every", 3, *SMALL)
    assert minigan("train", "mlp", "--steps", 4, "--out", "longer", *flags).code == 0
    assert minigan("train", "--resume", "longer", "--steps", 8).code == 0
    assert minigan("train", "mlp", "--steps", 8, "--out", "whole", *flags).code == 0
    left, right = (RunDirectory.open(tmp_path / name) for name in ("longer", "whole"))
    assert [r["step"] for r in left.metrics.read()] == [r["step"] for r in right.metrics.read()] == [3, 6, 8]
    assert [f.name for f in left.sample_files()] == [f.name for f in right.sample_files()]
    assert left.sample_path(8).read_bytes() == right.sample_path(8).read_bytes()


def test_another_end_of_a_schedule_is_told(minigan: CommandLine) -> None:
    assert minigan("train", "mlp", "--steps", 2, "--schedule", "linear", "--out", "run", *SMALL).code == 0
    code, _, err = minigan("train", "--resume", "run", "--steps", 4)
    assert code == 0
    assert "minigan: changed since step 2: steps 2 -> 4" in err.splitlines()


@pytest.mark.parametrize("flags", [(), ("--no-capture",), ("--capture",)])
def test_steps_are_recorded_on_the_cpu_unless_told_otherwise(
    minigan: CommandLine, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """The weights are the same; the configuration says what was asked for."""
    found = {}
    for name, own in (("run", flags), ("eager", ("--no-capture",))):
        line = "train", "mlp", "--backend", "numba", "--steps", 4, *SMALL, "--out", tmp_path / name, *own
        assert minigan(*line).code == 0
        found[name] = session.open_trained(tmp_path / name)
    asked = {(): None, ("--no-capture",): False, ("--capture",): True}[flags]
    assert found["run"].config.capture is asked
    np.testing.assert_array_equal(found["run"].params_g.flat, found["eager"].params_g.flat)
