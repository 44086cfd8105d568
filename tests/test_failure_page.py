"""docs/when-training-fails.md: its commands fail as it says, its cures cure, and nothing that warns lacks a section."""

import re
from pathlib import Path

import pytest

from minigan.cli import Train, parse
from minigan.training.diagnose import NonFiniteError
from minigan.training.health.failures import FAILURES

PAGE = (Path(__file__).parents[1] / "docs" / "when-training-fails.md").read_text(encoding="utf-8")
RUNS = re.findall(r"^    minigan (train [^\n]*)\n\n```text\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    minigan (train [^\n]*)$", PAGE, re.MULTILINE)
LONGEST = 400
"""Steps from which on a run of the page is for the slow tests."""


def cases() -> list:
    """A case for each command of the page, with what it prints."""
    ids: dict[str, int] = {}
    marked = []
    for command, shown in RUNS:
        titles = warned(shown) or ["healthy"]
        ids[titles[0]] = ids.get(titles[0], 0) + 1
        steps = int(command.split("--steps ")[1].split()[0])
        marks = [pytest.mark.slow] if steps > LONGEST else []
        marked.append(pytest.param(command, shown, id=f"{titles[0]} {ids[titles[0]]}", marks=marks))
    return marked


def warned(text: str) -> list[str]:
    """Titles of the warnings in what a run prints, in order."""
    return re.findall(r"^step \d+: warning: ([^:]+):", text, re.MULTILINE)


def test_every_command_is_shown_with_what_it_prints() -> None:
    assert len(RUNS) == len(COMMANDS) >= 14


def test_every_failure_has_a_section_with_a_command_that_provokes_it_and_a_cure() -> None:
    for name in [failure.name for failure in FAILURES] + ["non-finite"]:
        section = PAGE.split(f'<a id="{name}"></a>')[1].split("<a id=")[0]
        failing, cured = re.findall(r"^```text\n(.*?)```", section, re.MULTILINE | re.DOTALL)[:2]
        title = next((failure.title for failure in FAILURES if failure.name == name), "stopped at step")
        assert title in failing
        assert warned(cured) == []
        assert "Cure" in section


@pytest.mark.parametrize(("command", "shown"), cases())
def test_a_command_of_the_page_does_what_the_page_shows(
    command: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = parse([*command.split(), "--backend", "numpy", "--sample-every", "0", "--out", str(tmp_path / "run")])
    assert isinstance(train, Train)
    stopped = ""
    try:
        train.run()
    except NonFiniteError as error:
        stopped = str(error)
    assert set(warned(capsys.readouterr().err)) == set(warned(shown))
    assert stopped[: len("stopped")] == ("stopped" if "stopped at step" in shown else "")
