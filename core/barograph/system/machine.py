"""What machine this is: processor, memory, GPUs, system, and the marks that tell one start of it from the next."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from barograph.system.cgroups import Cgroups

_T = TypeVar("_T")


def host_name() -> str:
    """The name of this machine in its network, as it knows it itself; no look-up is made."""
    if sys.platform != "win32":
        return os.uname().nodename
    import platform  # a slow import

    return platform.node()


def boot_id() -> str | None:
    """A text that changes with every start of the machine or container; None where it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # two containers of a machine may have one host name
    except OSError:
        pass
    import psutil  # a slow import, and not needed on Linux

    return _or_none(lambda: f"started-{psutil.boot_time():.0f}")


def process_start_s(pid: int) -> float | None:
    """When a process started; None if there is no such process or it cannot be told.

    With the pid and `boot_id()` it tells a process from a later one that was given the same pid. On Linux in seconds
    since the boot, which setting the clock does not change; elsewhere in Unix seconds. Only fit to be compared with
    another answer of this function on the same machine.
    """
    try:
        # Field 22, counted after the last bracket: the name in field 2 may itself hold blanks and brackets (proc(5)).
        started = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        return int(started) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError, ValueError):
        return None
    import psutil  # as above

    return _or_none(lambda: float(psutil.Process(pid).create_time()))


def describe_machine() -> dict[str, object]:
    """The machine as JSON: host, system, processor, memory and GPUs; what cannot be told is None or left out.

    Without an NVIDIA driver it takes about 2 ms once psutil is loaded; with one, NVML takes up to a second to start.
    """
    import platform  # a slow import, as the next; this is called on a background thread

    import psutil

    from barograph.system.gpu import describe_gpus

    system = platform.uname()
    groups = Cgroups.of_this_process()
    cpu_limit, memory_limit = groups.cpu_limit(), groups.memory_limit()
    return {
        "host": host_name(),
        "system": system.system,
        "release": _release() or system.version,
        "kernel": system.release,
        "architecture": system.machine,
        "processor": _processor(),
        "physical_cores": _or_none(lambda: psutil.cpu_count(logical=False)),
        "logical_cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "quota_cores": cpu_limit and cpu_limit.allowed,
        "memory_bytes": _or_none(lambda: psutil.virtual_memory().total),
        "memory_limit_bytes": memory_limit and int(memory_limit.allowed),
        "boot_id": boot_id(),
        **describe_gpus(),
    }


def _usable_cores() -> int | None:
    """How many cores this process may run on (taskset, SLURM, cpusets)."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _release() -> str | None:
    """The distribution by its own name, such as "Debian GNU/Linux 12 (bookworm)"."""
    import platform  # as above

    return _or_none(lambda: platform.freedesktop_os_release()["PRETTY_NAME"])


def _processor() -> str | None:
    """The processor by its maker's name; platform.processor() gives only the architecture on most systems."""
    import platform  # as above

    try:
        with open("/proc/cpuinfo", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in ("model name", "Model", "cpu model"):
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def _or_none(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except Exception:  # noqa: BLE001  # psutil's errors have no base class that it can be imported for cheaply
        return None
