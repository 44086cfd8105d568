"""A device whose memory is used up: one clear error, after which the process, and the training, can go on."""

from collections.abc import Iterator

import numpy as np
import pytest
from strict_device import DeviceArray, StrictRuntime, as_backend

from kernels.cuda import CudaOps
from kernels.cuda.emulator import EmulatorRuntime, why_not
from minigan import TrainConfig, Trainer

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

SHAPE = (8, 8, 1)


class SmallDevice(StrictRuntime):
    """`room` is how many bytes it may still hand out."""

    room = 1 << 40

    def allocate(self, nbytes: int) -> DeviceArray:
        if nbytes > self.room:
            raise MemoryError(f"Out of memory allocating {nbytes:,} bytes")
        self.room -= nbytes
        return super().allocate(nbytes)


@pytest.fixture
def device() -> Iterator[SmallDevice]:
    with as_backend(SmallDevice()) as small:
        yield small


def trainer(capture: bool = False) -> Trainer:
    config = TrainConfig("dcgan", batch_size=4, width=0.05, backend="strict", capture=capture)
    return Trainer(config, SHAPE, total_steps=10)


def steps(of: Trainer, count: int) -> None:
    rng = np.random.default_rng(of.steps_done)
    for _ in range(count):
        of.step(rng.uniform(-1, 1, (4, *SHAPE)).astype(np.float32))


def assert_same(a: Trainer, b: Trainer) -> None:
    wanted = b.checkpoint().tensors
    for path, tensor in a.checkpoint().tensors.items():
        np.testing.assert_array_equal(tensor, wanted[path], err_msg=path)


def test_a_step_that_found_no_memory_can_be_done_again(device: SmallDevice) -> None:
    undisturbed, disturbed = trainer(), trainer()
    for _ in range(2):
        device.room = 0
        with pytest.raises(MemoryError, match=r"^Out of memory allocating [\d,]+ bytes$"):
            steps(disturbed, 1)
    device.room = 1 << 40
    for each in (undisturbed, disturbed):
        steps(each, 3)
    assert_same(disturbed, undisturbed)


def test_a_batch_that_is_too_large_leaves_room_for_a_smaller_one(device: SmallDevice) -> None:
    undisturbed, disturbed = trainer(), trainer()
    steps(undisturbed, 1)
    device.room = 1 << 24
    with pytest.raises(MemoryError):
        disturbed.step(np.zeros((4096, *SHAPE), np.float32))
    device.room = 1 << 40
    steps(disturbed, 1)
    assert_same(disturbed, undisturbed)


def test_a_capture_without_memory_is_asked_for_again(device: SmallDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's functions ask for memory while a graph is recorded; the eager step before has taken its own."""
    undisturbed, disturbed = trainer(capture=True), trainer(capture=True)
    for each in (undisturbed, disturbed):
        steps(each, 1)
    computed = DeviceArray._computed

    def fails(*arguments: object) -> DeviceArray:
        if device.capturing:
            raise MemoryError("Out of memory allocating 512 bytes")
        return computed(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as once:
        once.setattr(DeviceArray, "_computed", fails)
        with pytest.raises(MemoryError):
            steps(disturbed, 1)
    assert not device.capturing
    for each in (undisturbed, disturbed):
        steps(each, 3)
    assert_same(disturbed, undisturbed)


@pytest.mark.parametrize("guard", ["", "end", "front"])
def test_the_emulators_own_memory_ends(guard: str) -> None:
    runtime = EmulatorRuntime(guard=guard)
    with pytest.raises(MemoryError, match=r"^(Unable to allocate|no [\d,]+ bytes between guard pages)"):
        runtime.allocate(1 << 47)
    with pytest.raises(MemoryError):
        CudaOps(runtime, np.float32).empty((1 << 45,))
    np.testing.assert_array_equal(runtime.to_host(runtime.to_device(np.ones(3))), 1)
