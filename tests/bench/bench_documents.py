"""Made-up results, for tests of what becomes of results."""

from minigan.bench.case import Label
from minigan.bench.results import Document, Record

CEILINGS = {
    "threads": 2,
    "fma_gflops": {"float32": {"one": 100.0, "all": 200.0}, "float64": {"one": 50.0, "all": 100.0}},
    "copy_gbs": [{"bytes": 1 << 14, "one": 120.0, "all": 240.0}, {"bytes": 1 << 27, "one": 10.0, "all": 20.0}],
}
MACHINE = {
    "cpu": "A CPU",
    "cores": 2,
    "memory_gib": 8.0,
    "system": "Linux x86_64",
    "python": "3.11.0",
    "versions": {"numpy": "2.0.0"},
    "blas": "openblas 0.3",
    "thread_settings": {},
    "load": 0.0,
    "date": "2026-01-01",
}


def record(labels: dict[str, Label], contender: str, median: float, variant: str = "") -> Record:
    return Record(labels, contender, variant, 10**9, 10**8, median, median, 0.1, 10)


def document(subject: str, *records: Record) -> Document:
    return Document(subject, False, MACHINE, CEILINGS, records=list(records), complete=True)


def documents() -> dict[str, Document]:
    """A small document of every subject; ours is twice as fast as NumPy."""
    layer: dict[str, Label] = {"preset": "mlp", "layer": "generator dense1", "shape": "100 → 128", "product": "forward"}
    call: dict[str, Label] = {"preset": "mlp", "batch": 64, "operation": "matmul", "shapes": "64×8 8×4", "how": "NN"}
    cases: dict[str, list[dict[str, Label]]] = {
        "ceilings": [],
        "layers": [layer],
        "step": [{"preset": "dcgan", "batch": 64}],
        "breakdown": [call | {"calls": 2}, call | {"operation": "between operations", "calls": 1}],
        "scaling": [{"varied": axis, "value": value} for axis in ("batch size", "width") for value in (1, 2)],
    }
    result = {
        subject: document(
            subject,
            *(record(labels, name, time) for labels in own for name, time in (("numpy", 0.2), ("numba", 0.1))),
        )
        for subject, own in cases.items()
    }
    for subject, column in (("matmul", "size"), ("conv", "channels")):
        records = [record({column: n}, name, 0.1) for n in (32, 64) for name in ("blas", "loops", "tiles")]
        result[subject] = document(subject, *records)
    return result


def gpu_document() -> Document:
    """What a GPU may have measured: ours takes half of PyTorch's time, and CuPy was not there."""
    products: list[dict[str, Label]] = [
        *({"what": "matmul", "n": n} for n in (256, 512)),
        {"what": "convolution", "batch": 128, "shape": "8×8×2 → 4×4×3", "product": "forward"},
        {"what": "mlp generator dense1", "batch": 64, "shape": "100 → 128", "product": "forward"},
    ]
    game: dict[str, Label] = {"preset": "mlp", "batch": 64}
    names = (("minigan", 1e-4), ("minigan TF32", 5e-5), ("PyTorch", 2e-4), ("PyTorch TF32", 1e-4))
    records = [record(labels, name, time, "3xtf32") for labels in products for name, time in names]
    records.append(record(products[0], "minigan", 1.0, "warp"))
    steps = (("minigan", 1e-4), ("minigan eager", 4e-4), ("PyTorch eager", 1.2e-3), ("PyTorch graph", 3e-4))
    records += [record({"what": "step", **game}, name, time) for name, time in steps]
    records.append(record({"what": "epoch", **game}, "minigan", 0.125))
    machine = MACHINE | {"cpu": "Another CPU", "gpu": "A GPU"}
    missing = {"CuPy: matmul 256": "ImportError: no module"}
    return Document("gpu", False, machine, {}, missing, records, complete=True)
