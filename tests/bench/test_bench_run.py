"""`minigan bench` as a user calls it, on work that takes no time."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernels
from kernels.contract.products import ProductOps
from kernels.cpu.ladder import NotApplicableError, Rung
from minigan import TrainConfig, Trainer, cli
from minigan.bench import breakdown, ceilings, ladders, layers, peers, run, steps, tables
from minigan.bench.case import Case, Contender, WrongResultError, verify
from minigan.bench.results import load
from minigan.bench.timing import Effort
from minigan.cli import parse

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The smallest of everything, without peers, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "QUICK", Effort(rounds=1, seconds=0.0, rest=0.0))
    monkeypatch.setattr(ceilings, "QUICK_SIZES", (1 << 12,))
    monkeypatch.setattr(ceilings, "TRIES", 1)
    monkeypatch.setattr(ladders, "QUICK_MATMUL_SIZES", (8, 16))
    monkeypatch.setattr(ladders, "QUICK_CONV_CHANNELS", (1, 2))
    monkeypatch.setattr(layers, "BATCH", 2)
    monkeypatch.setattr(layers, "QUICK_PRESETS", ("dcgan",))
    monkeypatch.setattr(steps, "QUICK_STEPS", (("mlp", 2),))
    monkeypatch.setattr(steps, "QUICK_SCALING", {"batch size": (2, 4), "width": (0.1,), "image size": (8,)})
    monkeypatch.setattr(breakdown, "BACKEND", "numpy")
    monkeypatch.setattr(breakdown, "QUICK_STEPS", (("mlp", 2),))
    monkeypatch.setattr(peers, "backends", lambda: ["numpy"])
    monkeypatch.setattr(peers, "missing", lambda: dict.fromkeys(peers.TITLES, "not installed"))
    monkeypatch.setattr(peers, "installed", dict)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of `minigan bench ...`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["minigan", "bench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (int(stop.value.code or 0), *capsys.readouterr())

    return call


ROWS = {"ceilings": 0, "matmul": 2, "conv": 2, "layers": 17, "step": 1, "scaling": 4, "breakdown": 57}


@pytest.mark.parametrize("subject", run.SUBJECTS)
def test_a_subject_is_measured_shown_and_written(subject: str, bench: Any, tmp_path: Path) -> None:
    code, out, err = bench(subject, "--quick", "--out", "new/result.json")
    assert code == 0
    document = load(tmp_path / "new" / "result.json")
    assert (document.subject, document.quick, document.complete) == (subject, True, True)
    assert len(list(document.cases())) == ROWS[subject]
    assert all(record.median > 0 for record in document.records)
    for table in tables.tables(document):
        assert table.title in out
    assert ("without PyTorch (not installed)" in out) == (subject in run.PEERS)
    assert "measuring the machine's ceilings" in err
    assert "written: new/result.json" in err


def test_all_subjects_are_written_into_a_folder(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SUBJECTS", {"ceilings": run.SUBJECTS["ceilings"], "matmul": run.SUBJECTS["matmul"]})
    assert bench("--quick", "--out", "results")[0] == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["ceilings.json", "matmul.json"]


def case(number: int, result: float = 1.0, stop: type[BaseException] | None = None) -> Case:
    """Two contenders of which the second has `result` where the reference has 1, or raises `stop` when it is timed."""

    def work() -> None:
        if stop is not None:
            raise stop

    reference = Contender("numpy", lambda: None, lambda: [np.ones(2)])
    return Case({"size": number}, lambda: [reference, Contender("other", work, lambda: [np.full(2, result)])])


@pytest.mark.parametrize(
    ("last", "code", "message"),
    [
        (case(2, stop=KeyboardInterrupt), 130, "interrupted: what was measured so far is kept"),
        (case(2, result=2.0), 1, "minigan: size 2: other is off by 1.0e+00 from numpy"),
    ],
    ids=["Ctrl-C", "wrong"],
)
def test_what_was_measured_before_a_stop_is_kept(
    last: Case, code: int, message: str, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(run.SUBJECTS, "matmul", lambda _: iter([case(1), last]))
    found, out, err = bench("matmul", "--quick", "--out", "result.json")
    assert found == code
    assert message in err
    assert "other" in out
    document = load(tmp_path / "result.json")
    assert [(record.labels["size"], record.contender) for record in document.records] == [(1, "numpy"), (1, "other")]
    assert not document.complete


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stpe",), "bench: expected all, ceilings, matmul, conv, layers, step, scaling, breakdown, got 'stpe'"),
        (("step", "--out", "."), "--out: expected a file name that ends in .json, got ."),
        (("--out", "all.json"), "--out: all subjects need a folder for their files, got all.json"),
    ],
)
def test_a_mistake_costs_no_measuring(arguments: tuple[str, ...], message: str, bench: Any) -> None:
    assert bench(*arguments) == (2, "", f"minigan: {message}\n")


def test_kernels_that_are_not_compiled_are_not_measured(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert bench("ceilings") == (2, "", "minigan: bench measures compiled kernels: unset NUMBA_DISABLE_JIT\n")


def test_peers_are_imported_when_they_are_asked_for() -> None:
    program = "import sys, minigan.bench.run; print(sorted({'torch', 'jax', 'rich', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "[]\n"


def test_help_names_the_subjects_and_its_examples_work(bench: Any) -> None:
    code, out, _ = bench("--help")
    assert code == 0
    for word in ("all", "--quick", "--out", *run.SUBJECTS):
        assert re.search(rf"(?<!\w){word}\b", out), word
    examples = re.findall(r"^\$ minigan (.*?)(?:  .*)?$", out, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        assert type(parse(example.split())).__name__ == "Bench"


def test_a_step_counts_the_products_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against every call of a product in a step of lsgan."""
    counted = []

    def count(name: str, flops: Callable[..., int]) -> None:
        original = getattr(ProductOps, name)

        def product(self: Any, left: Any, right: Any, *others: Any, **options: Any) -> Any:
            result = original(self, left, right, *others, **options)
            counted.append(flops(left, right, result, options))
            return result

        monkeypatch.setattr(ProductOps, name, product)

    def pixels(y: np.ndarray) -> int:
        return y.size // y.shape[3]

    count("matmul", lambda a, _, y, options: 2 * y.size * a.shape[0 if options.get("trans_a") else 1])
    count("conv2d", lambda _x, w, y, _: 2 * w.size * pixels(y))
    count("conv2d_input_grad", lambda dy, w, _dx, _: 2 * w.size * pixels(dy))
    count("conv2d_weight_grad", lambda _x, dy, dw, _: 2 * dw.size * pixels(dy))
    trainer = Trainer(TrainConfig("lsgan", batch_size=4, width=0.05, backend="numpy"), (28, 28, 1))
    trainer.step(np.zeros((4, 28, 28, 1), np.float32))
    assert steps.step_flops(trainer, 4) == sum(counted)


def test_rungs_run_where_they_apply_up_to_the_work_they_are_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def conv(x: Any, w: Any, stride: Any, pads: Any, y: Any) -> None:
        kernels.get_ops("numpy").conv2d(x, w, stride, pads, out=y)

    def refuse(*_: Any) -> None:
        raise NotApplicableError

    def rungs(**runs: tuple[Callable[..., None], float]) -> dict[str, Rung]:
        return {name: Rung(name, "", run, max_flops) for name, (run, max_flops) in runs.items()}

    def product(a: Any, b: Any, y: Any) -> None:
        np.matmul(a, b, out=y)

    monkeypatch.setattr(ladders, "MATMUL", rungs(slow=(product, 2 * 8**3), fast=(product, 1e9)))
    monkeypatch.setattr(ladders, "CONV2D", rungs(same=(conv, 1e9), other=(refuse, 1e9)))
    contenders = [case.contenders() for case in (*ladders.matmul_cases(True), *ladders.conv_cases(True))]
    names = [[contender.name for contender in own] for own in contenders]
    assert names == [["blas", "slow", "fast"], ["blas", "fast"], ["blas", "same"], ["blas", "same"]]
    for own in contenders:
        verify(Case({}, lambda: []), own)
    monkeypatch.setattr(ladders, "MATMUL", rungs(fast=(lambda *_: None, 1e9)))
    with pytest.raises(WrongResultError, match="fast is off"):
        run.time_case(next(ladders.matmul_cases(True)), run.QUICK)
