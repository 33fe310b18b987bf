"""Whether the process behind a writer or a lease is still there, and what that makes of a run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path

from barograph.system.machine import boot_id, host_name, process_start_s

LIVENESS_S = 60.0  # six beats missed: a writer that is there and silent for longer is stalled
GIVEN_UP_S = 600.0  # a writer that cannot be asked (another host) and silent for longer counts as killed
ABANDONED_S = 86_400.0  # and may after this be treated as one that will never write again
START_TOLERANCE_S = 1.0  # a process start is known to a clock tick on Linux, to a second elsewhere
CLOCK_SKEW_S = 60.0  # times further in the future than this are a wrong clock and prove no life


class Life(Enum):
    """What is known about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"  # of another host, of another start of this one, or without a description


def life_of(process: Mapping[str, object]) -> Life:
    """Look for a process by host, boot_id, pid and pid_start_s, as journal headers and leases carry them.

    A later process with the same pid is not taken for it, and neither is a zombie.
    """
    pid, start_s = process.get("pid"), process.get("pid_start_s")
    here = (process.get("host"), process.get("boot_id"))
    if not isinstance(pid, int) or pid <= 0 or None in here or here != _here():
        return Life.UNKNOWN
    found_s = process_start_s(pid)
    if found_s is None:
        return Life.DEAD
    if isinstance(start_s, (int, float)) and not abs(found_s - start_s) <= START_TOLERANCE_S:
        return Life.DEAD
    return Life.DEAD if _is_zombie(pid) else Life.ALIVE


def silent_s(signs: list[float | None], now_s: float) -> float:
    """Seconds since the newest of some signs of life; infinite if there is none that can be believed."""
    believed = [sign for sign in signs if sign is not None and sign <= now_s + CLOCK_SKEW_S]
    return max(0.0, now_s - max(believed)) if believed else float("inf")


def status_of_silent(life: Life, silent_for_s: float, liveness_s: float = LIVENESS_S) -> str:
    """running, stalled or killed: what a writer without an end record is."""
    if life is Life.DEAD or (life is Life.UNKNOWN and silent_for_s > GIVEN_UP_S):
        return "killed"
    return "stalled" if silent_for_s > liveness_s else "running"


@cache
def _here() -> tuple[str, str | None]:
    return host_name(), boot_id()


def _is_zombie(pid: int) -> bool:
    try:
        # proc(5): the state stands after the bracketed name, which may hold anything
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return False
