"""A process is told from a later one with the same pid, and nothing is claimed about machines that cannot be asked."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from barograph.store.liveness import Life, life_of, silent_s, status_of_silent
from barograph.system.machine import process_start_s


def test_this_process_lives(identity: dict[str, Any]) -> None:
    """Host, start of the machine, pid and start of the process all agree."""
    assert life_of(identity) is Life.ALIVE


def test_an_ended_process_is_dead(dead_identity: dict[str, Any]) -> None:
    """Its pid is gone."""
    assert life_of(dead_identity) is Life.DEAD


def test_a_later_process_with_the_same_pid_is_not_taken_for_it(identity: dict[str, Any]) -> None:
    """After a while pids come round again."""
    assert life_of({**identity, "pid_start_s": identity["pid_start_s"] - 100}) is Life.DEAD


def test_a_zombie_is_dead(identity: dict[str, Any]) -> None:
    """A killed child whose parent never asked for it still has its pid."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    described = {**identity, "pid": child.pid, "pid_start_s": process_start_s(child.pid)}
    assert life_of(described) is Life.ALIVE
    child.kill()
    with open(f"/proc/{child.pid}/stat") as stat:
        while stat.read().rpartition(")")[2].split()[0] != "Z":
            stat.seek(0)
    assert life_of(described) is Life.DEAD
    child.wait()


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"boot_id": "another start"}, {"boot_id": None}, {"pid": None}, {"pid": "1"}]
)
def test_what_cannot_be_asked_is_unknown(identity: dict[str, Any], change: dict[str, Any]) -> None:
    """Another host, the same one before it was started again, or a header that does not say."""
    assert life_of({**identity, **change}) is Life.UNKNOWN


@pytest.mark.parametrize(
    ("life", "silent_for_s", "status"),
    [
        (Life.ALIVE, 5, "running"),
        (Life.ALIVE, 61, "stalled"),
        (Life.ALIVE, 1e6, "stalled"),
        (Life.DEAD, 0, "killed"),
        (Life.UNKNOWN, 5, "running"),
        (Life.UNKNOWN, 61, "stalled"),
        (Life.UNKNOWN, 601, "killed"),
        (Life.UNKNOWN, math.inf, "killed"),
    ],
)
def test_status_without_an_end(life: Life, silent_for_s: float, status: str) -> None:
    """A process that lives is never called killed, one that is gone never running."""
    assert status_of_silent(life, silent_for_s) == status


def test_signs_from_a_wrong_clock_prove_no_life() -> None:
    """A time far in the future is not believed; one slightly ahead is another host's clock."""
    assert silent_s([90.0, 1e12, None], 100.0) == 10.0
    assert silent_s([130.0], 100.0) == 0.0
    assert silent_s([1e12, None], 100.0) == math.inf
