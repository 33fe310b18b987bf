"""The thread that samples: when, how cheaply, and what cannot end it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from barograph.system.sampler import SystemSampler

EXPECTED = {
    "system/cpu_percent",
    "system/disk_free_bytes",
    "system/load_1m",
    "system/memory_bytes",
    "system/memory_percent",
    "system/network_received_bytes_per_s",
    "system/network_sent_bytes_per_s",
    "system/process_cpu_percent",
    "system/process_memory_bytes",
    "system/process_tree_memory_bytes",
    "system/threads",
}
WAIT_S = 30


def no_gpu() -> None:
    """Stands for a machine without a driver."""


def test_samples_come_by_themselves(tmp_path: Path) -> None:
    """Machine and process, as floats under their keys, the first soon and then again and again."""
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, 0.2, disk_path=tmp_path, start_nvml=no_gpu)
    sampler.start()
    taken = [samples.get(timeout=WAIT_S) for _ in range(3)]
    assert sampler.is_running
    sampler.stop()
    assert not sampler.is_running
    assert [EXPECTED - set(sample) for sample in taken] == [set()] * 3
    assert all(isinstance(value, float) for sample in taken for value in sample.values())


def test_a_short_run_has_one_sample(tmp_path: Path) -> None:
    """A run that ends before the first sample was due gets it at the end."""
    samples: list[dict[str, float]] = []
    sampler = SystemSampler(samples.append, 60, disk_path=tmp_path, start_nvml=lambda: pytest.fail("NVML was started"))
    sampler.start()
    sampler.stop(WAIT_S)
    assert len(samples) == 1
    assert samples[0]["system/memory_bytes"] > 0


def test_gpus_are_sampled_too(nvml: Any) -> None:
    """The figures of every GPU stand beside those of the machine, and the library is shut down at the end."""
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, 0.2, start_nvml=lambda: nvml.nvmlInit() or nvml)
    sampler.start()
    while "gpu/1/power_w" not in (sample := samples.get(timeout=WAIT_S)) or "system/cpu_percent" not in sample:
        assert sampler.is_running
    sampler.stop(WAIT_S)
    assert nvml.starts == 0


def test_a_gpu_that_is_lost_silences_only_itself(nvml: Any) -> None:
    """Every call of NVML fails from some moment on: the machine is still sampled, and the end does not hang."""
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, 0.05, start_nvml=lambda: nvml)
    sampler.start()
    while "gpu/0/power_w" not in samples.get(timeout=WAIT_S):
        pass
    nvml.refuse.update({call: nvml.NVML_ERROR_GPU_IS_LOST for call in dir(type(nvml)) if call.startswith("nvml")})
    while "gpu/1/power" not in sampler.silent:
        assert "system/threads" in samples.get(timeout=WAIT_S)
    sampler.stop(WAIT_S)
    assert not sampler.is_running
    assert sampler.silent["gpu/1/power"] == "NVMLError: error 15"


def test_a_driver_that_does_not_start_leaves_the_machine() -> None:
    """Library and driver of different versions: no GPU figures, one note, everything else goes on."""
    samples: Queue[dict[str, float]] = Queue()

    def start() -> None:
        raise OSError("driver/library version mismatch")

    sampler = SystemSampler(samples.put, 0.05, start_nvml=start)
    sampler.start()
    for _ in range(3):
        assert "system/memory_bytes" in samples.get(timeout=WAIT_S)
    sampler.stop(WAIT_S)
    assert sampler.silent == {"gpu": "OSError: driver/library version mismatch"}


def test_what_is_done_with_a_sample_cannot_end_the_thread() -> None:
    """An exception of `emit` is noted and the next sample comes."""
    samples: Queue[dict[str, float]] = Queue()

    def emit(sample: dict[str, float]) -> None:
        samples.put(sample)
        raise RuntimeError("disk full")

    sampler = SystemSampler(emit, 0.05, start_nvml=no_gpu)
    sampler.start()
    for _ in range(3):
        samples.get(timeout=WAIT_S)
    assert sampler.is_running
    assert sampler.silent["emit"] == "RuntimeError: disk full"
    sampler.stop(WAIT_S)


def test_the_end_waits_no_longer_than_it_was_told(nvml: Any) -> None:
    """A driver that hangs holds nobody up, and what it answers in the end is not written any more."""
    samples: list[dict[str, float]] = []
    asked, answer = threading.Event(), threading.Event()

    def start() -> Any:
        asked.set()
        answer.wait(WAIT_S)
        return nvml

    sampler = SystemSampler(samples.append, 0.05, start_nvml=start)
    sampler.start()
    assert asked.wait(WAIT_S)
    start_s = time.monotonic()
    sampler.stop(0.1)
    assert time.monotonic() - start_s < 5
    written = len(samples)
    answer.set()
    while sampler.is_running:
        pass
    assert len(samples) == written


def test_no_thread_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no more threads there are no samples and no exception."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    sampler = SystemSampler(lambda sample: None)
    sampler.start()
    assert not sampler.is_running
    sampler.stop()


def test_a_forked_child_neither_samples_nor_waits() -> None:
    """The child has no such thread; ending the sampler there returns at once."""
    code = (
        "import os, sys\n"
        "from barograph.system.sampler import SystemSampler\n"
        "sampler = SystemSampler(lambda sample: None, 0.01)\n"
        "sampler.start()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    running = sampler.is_running\n"
        "    sampler.stop(60)\n"
        "    os._exit(1 if running else 0)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "sampler.stop(60)\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=WAIT_S).returncode == 0


def test_a_process_ends_although_the_driver_hangs() -> None:
    """Nothing waits for the thread when the interpreter ends, and nothing is said."""
    code = (
        "import threading\n"
        "from barograph.system.sampler import SystemSampler\n"
        "asked = threading.Event()\n"
        "hang = lambda: asked.set() or threading.Event().wait()\n"
        "SystemSampler(lambda sample: None, 0.01, start_nvml=hang).start()\n"
        "asked.wait()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=WAIT_S, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_any_interval_is_taken() -> None:
    """An infinite interval means the first and the last sample."""
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, float("inf"), start_nvml=no_gpu)
    sampler.start()
    samples.get(timeout=WAIT_S)
    sampler.stop(WAIT_S)
    assert not sampler.is_running
    assert "machine" not in sampler.silent


def test_a_sample_costs_little() -> None:
    """At one in 5 s the thread must stay below 0.3 % of a core: 15 ms each; loading psutil comes once."""
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, 0.05, start_nvml=no_gpu)
    sampler.start()
    for _ in range(3):
        samples.get(timeout=WAIT_S)
    before_s = sampler.cpu_s
    for _ in range(20):
        samples.get(timeout=WAIT_S)
    assert (sampler.cpu_s - before_s) / 20 < 0.015
    sampler.stop(WAIT_S)


def test_the_machine_is_sampled_for_another_process() -> None:
    """pid: whose figures are told; a process that has ended silences only them."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    samples: Queue[dict[str, float]] = Queue()
    sampler = SystemSampler(samples.put, 0.05, pid=process.pid, start_nvml=no_gpu)
    sampler.start()
    sample = samples.get(timeout=WAIT_S)
    sampler.stop(WAIT_S)
    assert "system/memory_bytes" in sample
    assert "system/threads" not in sample
    assert sampler.silent["process"].startswith("NoSuchProcess")
    assert os.getpid() != process.pid
