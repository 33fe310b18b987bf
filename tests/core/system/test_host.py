"""Figures of this machine and of real processes."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from barograph.system import gauges as gauges_room
from barograph.system import host
from barograph.system.cgroups import Cgroups
from barograph.system.host import machine_gauges, process_gauges


def test_the_machine_is_within_its_own_bounds(tmp_path: Path) -> None:
    """Memory, load and free disk are those that the system itself tells."""
    read = machine_gauges(tmp_path)
    memory = read["memory"]()
    assert 0 < memory["system/memory_bytes"] <= psutil.virtual_memory().total
    assert 0 < memory["system/memory_percent"] <= 100
    assert read["load"]()["system/load_1m"] >= 0
    free = psutil.disk_usage(str(tmp_path)).free
    assert read["disk"]()["system/disk_free_bytes"] == pytest.approx(free, rel=0.05)


def test_memory_and_cpu_are_told_relative_to_the_limits_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One core allowed and half of it used is 50 %, however many cores the machine has."""
    files = {"cpu.max": "100000 100000", "cpu.stat": "usage_usec 1000000", "memory.max": "1000000"}
    files |= {"memory.current": "300000", "memory.stat": "inactive_file 100000"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    clock = iter([0.0, 2.0])
    monkeypatch.setattr(Cgroups, "of_this_process", lambda: Cgroups((tmp_path,), (tmp_path,), (tmp_path,)))
    monkeypatch.setattr(host, "per_second", lambda counters: gauges_room.per_second(counters, lambda: next(clock)))
    read = machine_gauges(None)
    read["cpu"]()
    (tmp_path / "cpu.stat").write_text("usage_usec 2000000")
    assert read["cpu"]() == {"system/cpu_percent": 50.0}
    assert read["memory"]() == {"system/memory_bytes": 200_000, "system/memory_percent": 20.0}


def test_a_limit_above_the_memory_of_the_machine_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the machine is what ends first."""
    (tmp_path / "memory.max").write_text(str(2**50))
    (tmp_path / "memory.current").write_text("1")
    monkeypatch.setattr(Cgroups, "of_this_process", lambda: Cgroups(memory=(tmp_path,)))
    assert machine_gauges(None)["memory"]()["system/memory_bytes"] > 1


def test_traffic_that_is_counted_twice_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, bridges and the host's ends of containers repeat what other interfaces carry."""
    names = ("lo", "eth0", "docker0", "veth12ab", "br-7f", "ib0")
    links = {name: SimpleNamespace(bytes_sent=100, bytes_recv=10) for name in names}
    clock = iter([0.0, 1.0])
    monkeypatch.setattr(host, "per_second", lambda counters: gauges_room.per_second(counters, lambda: next(clock)))
    monkeypatch.setattr(psutil, "net_io_counters", lambda pernic: links)
    read = machine_gauges(None)["network"]
    read()
    links.update({name: SimpleNamespace(bytes_sent=150, bytes_recv=11) for name in names})
    assert read() == {"system/network_sent_bytes_per_s": 100.0, "system/network_received_bytes_per_s": 2.0}


def test_a_process_is_told_apart_from_its_children() -> None:
    """The tree holds the memory of children and their children; what ends meanwhile is passed over."""
    grandchild = "import time; print('up', flush=True); data = bytearray(50_000_000); time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    read = process_gauges(os.getpid())["memory"]
    before = read()
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 20
        while (now := read())["system/process_tree_memory_bytes"] < before["system/process_tree_memory_bytes"] + 50e6:
            assert time.monotonic() < deadline
        assert now["system/process_memory_bytes"] < before["system/process_memory_bytes"] + 40e6
    finally:
        os.killpg(process.pid, 9)
        process.communicate()
    assert read()["system/process_tree_memory_bytes"] < before["system/process_tree_memory_bytes"] + 40e6


def test_children_are_found_without_the_kernels_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that keeps no lists of children, or another system, is asked through psutil."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = list(host._descendants(os.getpid()))
        monkeypatch.setattr(Path, "exists", lambda path: False)
        assert process.pid in found
        assert process.pid in list(host._descendants(os.getpid()))
    finally:
        process.communicate(b"\n")


def test_a_process_that_cannot_be_seen_is_said_so() -> None:
    """No such process, or one that /proc hides."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(psutil.NoSuchProcess):
        process_gauges(process.pid)


def test_cpu_time_becomes_percent_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that computes all the time uses about one core."""
    read = process_gauges(os.getpid())["cpu"]
    read()
    start, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.3:
        pass
    expected = 100 * (time.process_time() - used) / (time.monotonic() - start)
    assert read()["system/process_cpu_percent"] == pytest.approx(expected, rel=0.25)
