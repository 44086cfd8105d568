"""docs/presets.md: its commands are such as can be typed, each for a preset of its own."""

import re
from pathlib import Path

from minigan.cli import Train, parse
from minigan.presets import PRESETS

PAGE = (Path(__file__).parents[1] / "docs" / "presets.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\| `(train [^`]*)` \|", PAGE, re.MULTILINE)


def test_every_command_is_a_run_of_mnist_or_of_sequences() -> None:
    runs = [parse(command.split()) for command in COMMANDS]
    configs = [run.resolved() for run in runs if isinstance(run, Train)]
    assert len(configs) == len(COMMANDS) >= 7
    assert [config.data for config in configs] == ["sines" if run.preset == "rnn" else "mnist" for run in configs]
    assert {config.preset for config in configs} <= set(PRESETS)
    assert len({config.preset for config in configs}) == len(configs)


def test_its_pictures_are_there() -> None:
    pictures = re.findall(r"\]\((images/[^)]*)\)", PAGE)
    assert pictures
    assert all((Path(__file__).parents[1] / "docs" / picture).is_file() for picture in pictures)
