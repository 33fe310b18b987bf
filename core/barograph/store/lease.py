"""The right to seal a run: held by one process at a time, and lost with it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from barograph.errors import StoreError
from barograph.system.machine import boot_id, host_name, process_start_s

from .files import LocalFiles
from .liveness import Life, life_of

_FOLDER = "leases"
_LIMIT_BYTES = 4096
_FOREIGN_LIMIT_S = 3600.0  # no sealing takes an hour: after that a lease of another host is a leftover


@contextmanager
def hold_lease(files: LocalFiles) -> Iterator[bool]:
    """Hold the lease of a run's folder for the time of a with block; False where another process holds it.

    Everyone puts a file of its own first and looks at the others' afterwards, so of two that come at once at most one
    goes on (both may give up). No file of a living owner is ever removed by another, and since every file has its own
    name, removing a dead owner's cannot hit a new one.
    """
    name = f"{_FOLDER}/{os.urandom(8).hex()}.json"
    files.put_if_absent(name, json.dumps(_own_identity()).encode("ascii"))
    try:
        yield not _is_held_by_another(files, name)
    finally:
        files.delete(name)


def _own_identity() -> dict[str, object]:
    return {
        "host": host_name(),
        "boot_id": boot_id(),
        "pid": os.getpid(),
        "pid_start_s": process_start_s(os.getpid()),
        "created": time.time(),
    }


def _is_held_by_another(files: LocalFiles, own: str) -> bool:
    held = False
    for entry in files.list(_FOLDER):
        if entry.name == own:
            continue
        life = life_of(_owner(files, entry.name))
        is_old = time.time() - entry.changed_ns / 1e9 > _FOREIGN_LIMIT_S
        if life is Life.DEAD or (life is Life.UNKNOWN and is_old):
            files.delete(entry.name)
        else:
            held = True
    return held


def _owner(files: LocalFiles, name: str) -> Mapping[str, object]:
    try:
        owner = json.loads(files.get(name, limit_bytes=_LIMIT_BYTES))
    except (OSError, StoreError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}
