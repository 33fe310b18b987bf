"""What machine this is."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from barograph.system.machine import boot_id, describe_machine, host_name, process_start_s


def test_the_description_is_json_and_true() -> None:
    """Host, system, cores and memory are those that the system tells; GPUs are absent where there is no driver."""
    machine = json.loads(json.dumps(describe_machine()))
    assert machine["host"] == host_name()
    assert machine["logical_cores"] == os.cpu_count()
    assert 1 <= machine["usable_cores"] <= machine["logical_cores"]
    assert machine["memory_bytes"] == psutil.virtual_memory().total
    assert machine["architecture"]
    assert machine["processor"]
    assert machine["boot_id"] == boot_id()


def test_the_start_of_a_process_is_the_same_whoever_asks() -> None:
    """Another process gets the same number, to the bit; that is how a reader knows that a writer lives."""
    code = f"from barograph.system.machine import process_start_s; print(repr(process_start_s({os.getpid()})))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(answer.stdout) == process_start_s(os.getpid())
    assert process_start_s(os.getpid()) == process_start_s(os.getpid())


def test_a_later_process_started_later() -> None:
    """Two processes that were given the same pid one after the other differ in it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started_s, own_s = process_start_s(process.pid), process_start_s(os.getpid())
        process.communicate(b"\n")
    assert started_s is not None
    assert own_s is not None
    assert started_s > own_s


def test_a_process_that_is_gone_has_no_start() -> None:
    """None, and no exception."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert process_start_s(process.pid) is None


def test_a_name_with_brackets_does_not_mislead() -> None:
    """The name of a program stands in the middle of the line that is read, as it is."""
    code = (
        "import ctypes, os\n"
        "ctypes.CDLL(None).prctl(15, b') R 1 2 (', 0, 0, 0)\n"
        "from barograph.system.machine import process_start_s\n"
        "print(process_start_s(os.getpid()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own_s = process_start_s(os.getpid())
    assert own_s is not None
    assert own_s < float(answer.stdout) < own_s + 24 * 3600


def test_describing_takes_no_time_without_a_gpu() -> None:
    """Once its libraries are loaded, some milliseconds of CPU."""
    if "gpus" in describe_machine():
        pytest.skip("starting NVML takes as long as the driver takes")
    start = time.process_time()
    describe_machine()
    assert time.process_time() - start < 0.05
