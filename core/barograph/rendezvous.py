"""How the ranks of one start agree on a run when nothing in their environment is unique to this start."""

import os
import time
from pathlib import Path

from barograph.identity import Process
from barograph.store.files import LocalFiles
from barograph.store.layout import RunFolder, new_run_id
from barograph.voice import warn

_WAIT_S = 15.0
_LOOK_EVERY_S = 0.05
# A rank may begin this much before the rank 0 of its own start; older notes belong to an earlier start.
_SLACK_S = 60.0


def agree_on_id(store: Path, process: Process, n: int) -> str:
    """The id of the n-th run of this start: rank 0 makes one and leaves a note in the store, the others wait for it.

    They wait at most 15 s, then make a run of their own and say so.
    """
    address = f"{os.environ.get('MASTER_ADDR', 'local')}-{os.environ.get('MASTER_PORT', '0')}-{process.world}-{n}"
    folder = "launches/" + "".join(c if c.isalnum() or c in ".-" else "-" for c in address)
    files = LocalFiles(store)
    if process.rank == 0:
        run_id = new_run_id()
        files.put_if_absent(f"{folder}/{time.time_ns()}-{run_id}", b"")
        return run_id
    began_ns, deadline = time.time_ns(), time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        notes = sorted(entry.name.rpartition("/")[2] for entry in files.list(folder))
        if notes:
            made_ns, _, run_id = notes[-1].partition("-")
            if int(made_ns) > began_ns - int(_SLACK_S * 1e9):
                return run_id
        time.sleep(_LOOK_EVERY_S)
    _warn_alone(store, process)
    return new_run_id()


def find_attempt(store: Path, process: Process, key: str) -> str:
    """The id of the run that rank 0 has begun under an attempt's key, for a process that it has started later.

    It waits and gives up as in agree_on_id.
    """
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for folder in sorted((store / "runs").glob("*/attempts"), key=_changed_s, reverse=True):
            if RunFolder(folder.parent).has_attempt(key):
                return folder.parent.name
        time.sleep(_LOOK_EVERY_S)
    _warn_alone(store, process)
    return new_run_id()


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed a moment ago
        return 0.0


def _warn_alone(store: Path, process: Process) -> None:
    warn(
        f"rank {process.rank} found no run of rank 0 in {store} within {_WAIT_S:.0f} s and makes one of its own. "
        f"Give all ranks the same store, or the same id= in init()."
    )
