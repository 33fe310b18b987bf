"""Whether this process itself is still writing to a file, as far as the system tells (Linux does, by /proc)."""

from __future__ import annotations

import os
from pathlib import Path


def open_for_writing(place: str, leave_out: Path) -> str | None:
    """The path of a file that this process has open for writing: `place` itself, or one below it; None if none is.

    leave_out: the store, whose files are ours.
    """
    wanted, ours = os.path.realpath(place), os.path.realpath(leave_out) + os.sep
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return None
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            is_meant = target == wanted or target.startswith(wanted.rstrip(os.sep) + os.sep)
            if is_meant and not target.startswith(ours) and _is_writable(descriptor):
                return target
        except (OSError, ValueError, IndexError):  # closed meanwhile
            continue
    return None


def _is_writable(descriptor: str) -> bool:
    # proc(5): a line "flags:" with the octal number that open() was given
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)
    return False
