"""How busy the machine and this process are: CPU, memory, disk, network, within the limits of a container."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from barograph.system.cgroups import Cgroups
from barograph.system.gauges import Read, per_second

# Interfaces whose traffic is also counted on another one (loopback, bridges, the host's ends of container links).
_COUNTED_TWICE = ("lo", "docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "tun", "tap")


def machine_gauges(disk_path: Path | None) -> Mapping[str, Read]:
    """Readings of the machine, or of the container where that is limited. disk_path: whose file system to watch."""
    import psutil  # a slow import; this is called on the sampler's thread

    groups = Cgroups.of_this_process()
    cpu_times = per_second(partial(_cpu_times, groups))

    def cpu() -> Mapping[str, float]:
        limit, rates = groups.cpu_limit(), cpu_times()
        if limit is not None and "group" in rates:
            return {"system/cpu_percent": 100 * rates["group"] / limit.allowed}
        if "busy" in rates and rates.get("all"):
            return {"system/cpu_percent": 100 * rates["busy"] / rates["all"]}
        return {}

    def memory() -> Mapping[str, float]:
        machine, limit = psutil.virtual_memory(), groups.memory_limit()
        used, total = machine.total - machine.available, machine.total
        if limit is not None and limit.allowed < total:
            used, total = limit.used, limit.allowed
        return {"system/memory_bytes": used, "system/memory_percent": 100 * used / total}

    def network() -> Mapping[str, float]:
        every = psutil.net_io_counters(pernic=True)
        links = [link for name, link in every.items() if not name.lower().startswith(_COUNTED_TWICE)]
        return {
            "system/network_sent_bytes_per_s": sum(link.bytes_sent for link in links),
            "system/network_received_bytes_per_s": sum(link.bytes_recv for link in links),
        }

    gauges: dict[str, Read] = {
        "cpu": cpu,
        "memory": memory,
        "network": per_second(network),
        "load": lambda: {"system/load_1m": psutil.getloadavg()[0]},
    }
    if disk_path is not None:
        gauges["disk"] = lambda: {"system/disk_free_bytes": psutil.disk_usage(str(disk_path)).free}
    return gauges


def process_gauges(pid: int) -> Mapping[str, Read]:
    """Readings of one process. 100 % is one core. Raises psutil.NoSuchProcess if it cannot be seen."""
    import psutil  # as above

    process = psutil.Process(pid)

    def cpu() -> Mapping[str, float]:
        times = process.cpu_times()
        return {"system/process_cpu_percent": 100 * (times.user + times.system)}

    def disk() -> Mapping[str, float]:
        counters = process.io_counters()
        return {
            "system/disk_read_bytes_per_s": counters.read_bytes,
            "system/disk_write_bytes_per_s": counters.write_bytes,
        }

    def memory() -> Mapping[str, float]:
        own = process.memory_info().rss
        children = sum(_resident_bytes(child) for child in _descendants(pid))
        # Pages that a forked worker shares with its parent count for each: telling them apart costs milliseconds a GB.
        return {"system/process_memory_bytes": own, "system/process_tree_memory_bytes": own + children}

    return {
        "cpu": per_second(cpu),
        "disk": per_second(disk),
        "memory": memory,
        "threads": lambda: {"system/threads": process.num_threads()},
    }


def _cpu_times(groups: Cgroups) -> Mapping[str, float]:
    """Seconds that all cores have spent together, those not idle, and those spent for a limited group."""
    import psutil  # as above

    times = psutil.cpu_times()._asdict()
    idle = times.pop("idle") + times.pop("iowait", 0.0)
    # What guests (virtual machines) use is in the user's time already. Sums of counters that only rise do so too;
    # differences fall now and then, in the last digit.
    busy = sum(seconds for name, seconds in times.items() if not name.startswith("guest"))
    seconds = {"all": busy + idle, "busy": busy}
    if (limit := groups.cpu_limit()) is not None:
        seconds["group"] = limit.used
    return seconds


def _descendants(pid: int) -> Iterator[int]:
    """Children, their children and so on.

    Through the kernel's own lists where it keeps them: looking at every process of a shared machine for its parent, as
    psutil does, takes 10 us each.
    """
    if not Path("/proc/self/task").exists() or not Path(f"/proc/{pid}/task/{pid}/children").exists():
        import psutil  # as above

        yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                children = [int(child) for child in Path(f"/proc/{parent}/task/{task}/children").read_text().split()]
                waiting += children
                yield from children
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended


def _resident_bytes(pid: int) -> int:
    import psutil  # as above

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has just ended
