"""README and docs from JSON."""

import io
from pathlib import Path

import pytest
from bench_documents import documents
from PIL import Image

from benchmarks import report
from minigan.bench.run import SUBJECTS
from minigan.errors import UserError

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the README in a folder of its own."""
    (tmp_path / "README.md").write_text(README.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def save(folder: Path, *subjects: str) -> Path:
    for subject in subjects:
        documents()[subject].save(folder / f"{subject}.json")
    return folder


def test_what_is_between_markers_is_replaced_and_nothing_else() -> None:
    text = "before <!-- bench:a -->\nold\nlines\n<!-- /bench:a --> between <!-- bench:b --><!-- /bench:b --> after"
    filled = report.fill(text, "a", r"new \1 lines")
    assert filled == text.replace("old\nlines", r"new \1 lines")
    assert report.fill(filled, "a", "old\nlines") == text


@pytest.mark.parametrize("text", ["", "<!-- bench:a -->", "<!-- bench:a --> <!-- /bench:a -->" * 2])
def test_markers_must_be_there_once(text: str) -> None:
    with pytest.raises(UserError, match="<!-- bench:a --> and <!-- /bench:a --> once"):
        report.fill(text, "a", "")


def test_a_full_report(root: Path) -> None:
    results = save(root / "results", *SUBJECTS)
    report.main(results, root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert report.NOT_YET not in readme
    assert "| dcgan | 64 | 100 ms ± 5% | 200 ms ± 5%, 2.00x |" in readme
    assert "at best 200 GFLOP/s in float32 (100 on one core) and moves 20 GB/s" in readme
    assert "minigan (NumPy) takes 2.00 times as long over 1 products (geometric mean)" in readme
    pictures = {path.name: Image.open(io.BytesIO(path.read_bytes())) for path in (root / "docs/images").iterdir()}
    assert sorted(pictures) == [f"bench-{name}.png" for name in ("conv", "matmul", "roofline", "scaling")]
    assert all(f"docs/images/{name}" in readme for name in pictures)
    tables = (root / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert all(f"\n## {subject}\n" in tables for subject in SUBJECTS)

    report.main(results, root)
    assert (root / "README.md").read_text(encoding="utf-8") == readme, "a second time changes nothing"


def test_what_was_not_measured_is_said(root: Path) -> None:
    report.main(save(root / "results", "step"), root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.count(report.NOT_YET) == len(report.SECTIONS) - 2, "the machine is that of the step"
    report.main(root / "empty", root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.count(report.NOT_YET) == len(report.SECTIONS)
    assert report.NOT_YET in (root / "docs/benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("field", "value", "word"), [("quick", True, "quick"), ("complete", False, "unfinished")])
def test_only_finished_results_are_reported(field: str, value: bool, word: str, root: Path) -> None:
    own = documents()["step"]
    setattr(own, field, value)
    own.save(root / "results" / "step.json")
    with pytest.raises(UserError, match=rf"step.json is of .* {word} run"):
        report.main(root / "results", root)


def test_results_of_two_machines_are_not_mixed(root: Path) -> None:
    save(root / "results", "layers", "step")
    other = documents()["conv"]
    other.machine = other.machine | {"cores": 64}
    other.save(root / "results" / "conv.json")
    with pytest.raises(UserError, match="different machines"):
        report.main(root / "results", root)
