"""Limits of control groups, from folders laid out as the kernel lays them out."""

from pathlib import Path

import pytest

from barograph.system.cgroups import Cgroups, Limit


class Kernel:
    """A /proc and a /sys/fs/cgroup to be read through."""

    def __init__(self, root: Path) -> None:
        self.root, self.proc = root / "cgroup", root / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.mounts: list[str] = []

    def mount(self, kind: str, options: str = "rw", point: str = "", root: str = "/") -> None:
        (self.root / point).mkdir(parents=True, exist_ok=True)
        self.mounts.append(f"31 23 0:28 {root} {self.root / point} rw,relatime - {kind} {kind} {options}")

    def write(self, path: str, **files: str) -> None:
        (self.root / path).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.root / path / name.replace("__", ".")).write_text(text + "\n")

    def groups(self, membership: str) -> Cgroups:
        (self.proc / "self/cgroup").write_text(membership)
        (self.proc / "self/mountinfo").write_text("\n".join(self.mounts))
        return Cgroups.of_this_process(self.proc)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A machine on which nothing is mounted yet."""
    return Kernel(tmp_path)


def test_version_2_in_a_container(kernel: Kernel) -> None:
    """Inside a namespace the group is the root of the mount; the cache it could give back is not used memory."""
    kernel.mount("cgroup2")
    kernel.write("", cpu__max="150000 100000", cpu__stat="usage_usec 2500000\nuser_usec 1", memory__max="4000")
    kernel.write("", memory__current="1500", memory__stat="anon 900\ninactive_file 500")
    groups = kernel.groups("0::/\n")
    assert groups.cpu_limit() == Limit(1.5, 2.5)
    assert groups.memory_limit() == Limit(4000, 1000)


def test_the_tightest_limit_on_the_way_up_counts(kernel: Kernel) -> None:
    """A job's own group may be unlimited inside a limited one; the usage told is that of the limited one."""
    kernel.mount("cgroup2")
    kernel.write("slice", cpu__max="400000 100000", cpu__stat="usage_usec 9000000", memory__max="8000")
    kernel.write("slice", memory__current="700", memory__stat="inactive_file 0")
    kernel.write("slice/job", cpu__max="max 100000", cpu__stat="usage_usec 1000000", memory__max="max")
    groups = kernel.groups("0::/slice/job\n")
    assert groups.cpu_limit() == Limit(4.0, 9.0)
    assert groups.memory_limit() == Limit(8000, 700)


def test_version_1(kernel: Kernel) -> None:
    """Controllers lie in hierarchies of their own, and the group is named as the host sees it."""
    kernel.mount("cgroup", "rw,cpu,cpuacct", "cpu,cpuacct", root="/docker/abc")
    kernel.mount("cgroup", "rw,memory", "memory", root="/docker/abc")
    kernel.write("cpu,cpuacct", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000", cpuacct__usage="3000000000")
    kernel.write("memory", memory__limit_in_bytes="4096", memory__usage_in_bytes="2048")
    kernel.write("memory", memory__stat="inactive_file 1\ntotal_inactive_file 48")
    groups = kernel.groups("5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/system.slice\n")
    assert groups.cpu_limit() == Limit(0.5, 3.0)
    assert groups.memory_limit() == Limit(4096, 2000)


def test_no_limit_in_either_version(kernel: Kernel) -> None:
    """ "max", -1 and the greatest number mean that there is none."""
    kernel.mount("cgroup2", point="two")
    kernel.write("two", cpu__max="max 100000", cpu__stat="usage_usec 1", memory__max="max", memory__current="1")
    assert kernel.groups("0::/\n").cpu_limit() is None
    assert kernel.groups("0::/\n").memory_limit() is None
    kernel.mount("cgroup", "rw,cpu", "cpu")
    kernel.mount("cgroup", "rw,memory", "memory")
    kernel.write("cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000", cpuacct__usage="1")
    kernel.write("memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="1")
    groups = kernel.groups("2:memory:/\n1:cpu,cpuacct:/\n0::/\n")
    assert groups.cpu_limit() is None
    assert groups.memory_limit() is None


def test_a_group_outside_of_what_is_mounted(kernel: Kernel) -> None:
    """A path that leads out of the namespace or to nowhere is read at the mount."""
    kernel.mount("cgroup2")
    kernel.write("", memory__max="4000", memory__current="10", memory__stat="inactive_file 0")
    assert kernel.groups("0::/../../host.slice\n").memory_limit() == Limit(4000, 10)
    assert kernel.groups("0::/kubepods/pod1\n").memory_limit() == Limit(4000, 10)


@pytest.mark.parametrize("membership", ["", "0::/\n", "7:memory:/x\n", "1:name=systemd:/\n"])
def test_no_control_groups_at_all(kernel: Kernel, membership: str) -> None:
    """Nothing mounted, nothing listed: no limits and no error."""
    groups = kernel.groups(membership)
    assert (groups.cpu_limit(), groups.memory_limit()) == (None, None)


def test_no_proc_file_system(tmp_path: Path) -> None:
    """Where /proc is missing or hidden there are no limits."""
    assert Cgroups.of_this_process(tmp_path / "nowhere") == Cgroups()


def test_files_that_hold_nonsense(kernel: Kernel) -> None:
    """Empty and malformed files are as good as absent."""
    kernel.mount("cgroup2")
    kernel.write("", cpu__max="", cpu__stat="usage_usec", memory__max="lots", memory__current="")
    groups = kernel.groups("0::/\n")
    assert (groups.cpu_limit(), groups.memory_limit()) == (None, None)


def test_limits_are_read_anew(kernel: Kernel) -> None:
    """A container whose limit is raised while it runs is judged by the new one."""
    kernel.mount("cgroup2")
    kernel.write("", memory__max="4000", memory__current="10", memory__stat="inactive_file 0")
    groups = kernel.groups("0::/\n")
    kernel.write("", memory__max="9000")
    assert groups.memory_limit() == Limit(9000, 10)
