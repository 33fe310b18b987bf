"""Control groups (versions 1 and 2): how much CPU and memory a container or job may use, and how much it does use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_NO_LIMIT_BYTES = 2**60  # version 1 writes "no limit" as the greatest page-aligned 63-bit number


class Limit(NamedTuple):
    """A limit and what is used of it: cores and CPU seconds so far, or bytes and bytes."""

    allowed: float
    used: float


class Cgroups(NamedTuple):
    """The groups of this process, as folders from its own up to the root; empty where the system has none.

    Every ancestor limits what is below, so the tightest limit on the way up counts. Files are read anew at each call:
    limits change while a container runs.
    """

    cpu: tuple[Path, ...] = ()
    accounting: tuple[Path, ...] = ()
    memory: tuple[Path, ...] = ()

    @classmethod
    def of_this_process(cls, proc: Path = _PROC) -> "Cgroups":
        """Find the groups through /proc/self; none where that cannot be read."""
        try:
            membership = (proc / "self/cgroup").read_text(errors="surrogateescape")
            mounted = (proc / "self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return cls()
        mounts = [_Mount(line) for line in mounted.splitlines()]
        found: dict[str, tuple[Path, ...]] = {}
        for line in membership.splitlines():
            _, listed, group = line.split(":", 2)
            # Version 2 lists its one hierarchy last and without controllers. Where both are mounted, a controller is
            # in one of them only, and version 1, coming first, is taken where it has it.
            kind, controllers = ("cgroup", listed.split(",")) if listed else ("cgroup2", ["cpu", "cpuacct", "memory"])
            for controller in controllers:
                for mount in mounts:
                    if mount.kind == kind and (kind == "cgroup2" or controller in mount.options):
                        found.setdefault(controller, mount.folders(group))
        return cls(found.get("cpu", ()), found.get("cpuacct", ()), found.get("memory", ()))

    def cpu_limit(self) -> Limit | None:
        """The tightest quota in cores, and the CPU seconds its group has used so far; None without a quota."""
        limits = []
        for folder, accounting in zip(self.cpu, self.accounting, strict=False):
            quota_us, period_us = _quota(folder)
            used_s = _cpu_used_s(accounting)
            if quota_us and period_us and used_s is not None and quota_us > 0:
                limits.append(Limit(quota_us / period_us, used_s))
        return min(limits, default=None)

    def memory_limit(self) -> Limit | None:
        """The tightest limit in bytes, and what its group uses without the file cache it could give back."""
        limits = []
        for folder in self.memory:
            allowed = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
            used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
            if allowed and used is not None and allowed < _NO_LIMIT_BYTES:
                cache = _field(folder / "memory.stat", "total_inactive_file", "inactive_file")
                limits.append(Limit(allowed, max(0, used - (cache or 0))))
        return min(limits, default=None)


class _Mount:
    """One line of /proc/self/mountinfo (its form: proc(5))."""

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        self.root, self.point = (fields[3], Path(fields[4])) if len(fields) > 4 else ("/", Path())
        self.kind, self.options = (kinds[0], kinds[2].split(",")) if len(kinds) > 2 else ("", [])

    def folders(self, group: str) -> tuple[Path, ...]:
        """The folders of a group and of its ancestors that can be seen through this mount."""
        root = self.root.rstrip("/")
        below = group[len(root) :].strip("/") if group == root or group.startswith(root + "/") else ""
        # The group of a container is often named as the host sees it; then the mount itself is the container's group.
        own = self.point / below if ".." not in below.split("/") and os.path.isdir(self.point / below) else self.point
        return tuple(self._upwards(own))

    def _upwards(self, folder: Path) -> Iterator[Path]:
        while folder != self.point:
            yield folder
            folder = folder.parent
        yield folder


def _quota(folder: Path) -> tuple[int | None, int | None]:
    try:
        quota, _, period = (folder / "cpu.max").read_text().partition(" ")
        return (None, None) if quota == "max" else (int(quota), int(period))
    except (OSError, ValueError):
        return _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")


def _cpu_used_s(folder: Path) -> float | None:
    if (used_us := _field(folder / "cpu.stat", "usage_usec")) is not None:
        return used_us / 1e6
    used_ns = _number(folder / "cpuacct.usage")
    return None if used_ns is None else used_ns / 1e9


def _number(path: Path) -> int | None:
    """The number a file holds; None for "max", and where there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, *names: str) -> int | None:
    """The number after the first of the names that a file of "name number" lines has."""
    try:
        fields = dict(line.split(" ", 1) for line in path.read_text().splitlines())
        return next((int(fields[name]) for name in names if name in fields), None)
    except (OSError, ValueError):
        return None
