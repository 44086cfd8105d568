"""The JSON of results, and the tables that are made of it."""

import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from bench_documents import document, documents, record

from minigan.bench import machine
from minigan.bench.case import Case, Contender, WrongResultError, verify
from minigan.bench.results import load
from minigan.bench.run import SUBJECTS
from minigan.bench.tables import tables
from minigan.errors import UserError


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_document_is_read_as_it_was_written(subject: str, tmp_path: Path) -> None:
    written = documents()[subject]
    written.save(tmp_path / "file.json")
    assert load(tmp_path / "file.json") == written


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "holds no results of minigan bench"),
        ("{}", "holds no results of minigan bench: 'format'"),
        ('{"format": 2}', "format 2, expected 1"),
        ('{"format": 1, "records": [{"labels": {}}]}', "missing"),
        ('{"format": 1, "records": []}', "missing"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"cannot read .*other\.json: No such file"):
        load(tmp_path / "other.json")


def test_the_fastest_variant_of_a_contender_counts() -> None:
    labels = {"preset": "mlp"}
    slow, fast = record(labels, "torch", 2.0, "NCHW"), record(labels, "torch", 1.0, "channels-last")
    ((found, best),) = document("step", slow, fast, record(labels, "numba", 3.0)).cases()
    assert found == labels
    assert best["torch"] is fast
    assert list(best) == ["torch", "numba"]


def test_the_machine_is_described_without_names_or_paths() -> None:
    own = machine.describe()
    text = json.dumps(own)
    assert own["cores"] >= 1
    assert own["versions"]["numpy"] == np.__version__
    assert str(Path.home()) not in text
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)


def test_every_subject_has_tables_as_wide_as_their_headers() -> None:
    for subject, own in documents().items():
        for table in tables(own):
            assert table.rows, subject
            assert {len(row) for row in table.rows} == {len(table.header)}, subject


def test_the_step_table_says_how_many_times_ours_a_rival_takes() -> None:
    (table,) = tables(documents()["step"])
    assert table.header == ["preset", "batch", "minigan (Numba)", "minigan (NumPy)"]
    assert table.rows == [["dcgan", "64", "100 ms ± 5%", "200 ms ± 5%, 2.00x"]]


def test_the_ladder_table_leaves_empty_what_a_rung_did_not_run() -> None:
    records = [record({"size": 32}, "blas", 0.1), record({"size": 32}, "loops", 0.5), record({"size": 64}, "blas", 0.1)]
    (table,) = tables(document("matmul", *records))
    assert table.rows == [["32", "2", "10"], ["64", "", "10"]]


@pytest.mark.parametrize("wrong", [np.full(3, 1.001), np.full(3, np.nan), np.ones((3, 1))])
def test_a_contender_that_computes_something_else_is_refused(wrong: np.ndarray) -> None:
    right = Contender("numpy", lambda: None, lambda: [np.ones(3)])
    other = Contender("torch", lambda: None, lambda: [wrong], "NCHW")
    with pytest.raises(WrongResultError, match=r"size 3: torch \(NCHW\) is off by .* from numpy"):
        verify(Case({"size": 3}, lambda: [right, other]), [right, other])
