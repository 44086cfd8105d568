"""README and docs from JSON."""

import io
from pathlib import Path

import pytest
from bench_documents import documents, gpu_document
from PIL import Image

from benchmarks import report
from minigan.bench.results import unfinished
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


@pytest.mark.parametrize(("field", "value", "word"), [("quick", True, "a quick"), ("complete", False, "an unfinished")])
def test_only_finished_results_are_reported(field: str, value: bool, word: str, root: Path) -> None:
    own = documents()["step"]
    setattr(own, field, value)
    own.save(root / "results" / "step.json")
    with pytest.raises(UserError, match=rf"step.json is of {word} run"):
        report.main(root / "results", root)


def test_results_of_two_machines_are_not_mixed(root: Path) -> None:
    save(root / "results", "layers", "step")
    other = documents()["conv"]
    other.machine = other.machine | {"cores": 64}
    other.save(root / "results" / "conv.json")
    with pytest.raises(UserError, match="different machines"):
        report.main(root / "results", root)


def test_those_of_other_machines_lie_in_folders(root: Path) -> None:
    save(root / "results", "layers", "step")
    for name in ("layers", "step"):
        other = documents()[name]
        other.machine = other.machine | {"cpu": "Another CPU", "target": "zen9, vectors of 1024 bits"}
        other.save(root / "results" / "another" / f"{name}.json")
    report.main(root / "results", root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "Measured on: A CPU, 2 cores" in readme
    _, others = readme.split("On Another CPU (zen9, vectors of 1024 bits), 2 cores, at best 200 GFLOP/s, 20 GB/s from")
    assert "| dcgan | 64 | 100 ms ± 5% | 200 ms ± 5%, 2.00x |" in others
    assert "minigan (NumPy) takes 2.00 times as long over 1 products" in others
    tables = (root / "docs/benchmarks.md").read_text(encoding="utf-8")
    headings = [line for line in tables.splitlines() if line.startswith("## ")]
    where = "on Another CPU (zen9, vectors of 1024 bits), 2 cores"
    assert headings == ["## step", "## layers", f"## step {where}", f"## layers {where}"]


class TestOnAGpu:
    """Results of benchmarks.gpu, which may be of another machine than the others."""

    def test_what_a_gpu_measured_is_reported(self, root: Path) -> None:
        results = save(root / "results", "step")
        gpu_document().save(results / "gpu.json")
        report.main(results, root)
        readme = (root / "README.md").read_text(encoding="utf-8")
        section = readme.split("<!-- bench:gpu -->")[1].split("<!-- /bench:gpu -->")[0]
        assert "no GPU has run" not in readme
        assert "Measured on: A GPU; Another CPU, 2 cores" in section
        row = "| mlp | 64 | 100 us | 400 us, 4.0x | 1200 us, 12.0x |  | 300 us, 3.0x | 0.125 s |"
        assert row in section
        assert (
            "- PyTorch takes 2.00 times as long over 2 matrix products (geometric mean), from 2.00 to 2.00.\n"
            in section
        )
        assert "1 contenders took no part" in section
        for name in ("bench-gpu-matmul", "bench-gpu-step"):
            assert f"(docs/images/{name}.png)" in section
            with Image.open(root / "docs" / "images" / f"{name}.png") as picture:
                assert picture.width > 100
        tables = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
        assert "| 256 | 10 | 5 |  | 20 | 10 |  | 2.00x | 2.00x |" in tables
        assert "| 8×8×2 → 4×4×3 | forward | 10 | 5 | 20 | 10 | 2.00x | 2.00x |" in tables
        assert "| mlp generator dense1 | 100 → 128 | forward | 10 |" in tables
        assert "Without CuPy: matmul 256: ImportError: no module" in tables

    def test_without_it_the_section_stays_as_it_is(self, root: Path) -> None:
        before = (root / "README.md").read_text(encoding="utf-8")
        assert before.count(report.NOT_ON_A_GPU) == 1, "nothing of the kind is committed"
        report.main(save(root / "results", "step"), root)
        after = (root / "README.md").read_text(encoding="utf-8")
        between = "<!-- bench:gpu -->"
        assert after.split(between)[1][:200] == before.split(between)[1][:200]

    def test_what_is_unfinished_is_not_there(self, root: Path) -> None:
        """It waits beside gpu.json for its end, which may be an interruption."""
        results = save(root / "results", "step")
        document = gpu_document()
        document.complete = False
        document.save(unfinished(results / "gpu.json"))
        report.main(results, root)
        assert report.NOT_ON_A_GPU in (root / "README.md").read_text(encoding="utf-8")

    def test_a_miniature_is_refused(self, root: Path) -> None:
        document = gpu_document()
        document.quick = True
        document.save(root / "results" / "gpu.json")
        with pytest.raises(UserError, match=r"gpu.json is of a quick run"):
            report.main(root / "results", root)
