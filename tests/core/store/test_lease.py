"""At most one process holds the lease of a run, and a dead one never keeps it."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from barograph.store.files import LocalFiles
from barograph.store.lease import hold_lease


def _leave(folder: Path, owner: dict[str, Any]) -> Path:
    (folder / "leases").mkdir(exist_ok=True)
    path = folder / "leases" / f"{os.urandom(4).hex()}.json"
    path.write_text(json.dumps(owner))
    return path


def test_a_held_lease_is_not_given_again(tmp_path: Path) -> None:
    """And it is free as soon as the first one lets go."""
    files = LocalFiles(tmp_path)
    with hold_lease(files) as first, hold_lease(files) as second:
        assert (first, second) == (True, False)
    with hold_lease(files) as third:
        assert third
    assert files.list("leases") == []


def test_a_dead_owner_loses_it(tmp_path: Path, dead_identity: dict[str, Any]) -> None:
    """What a killed process left is removed."""
    left = _leave(tmp_path, dead_identity)
    with hold_lease(LocalFiles(tmp_path)) as is_ours:
        assert is_ours
    assert not left.exists()


def test_an_owner_that_cannot_be_asked_keeps_it_for_an_hour(tmp_path: Path) -> None:
    """Another host may be at it; after an hour it is not."""
    left = _leave(tmp_path, {"host": "elsewhere", "pid": 1})
    with hold_lease(LocalFiles(tmp_path)) as is_ours:
        assert not is_ours
    long_ago = time.time() - 4000
    os.utime(left, (long_ago, long_ago))
    with hold_lease(LocalFiles(tmp_path)) as is_ours:
        assert is_ours


def test_of_many_at_once_at_most_one_holds_it(tmp_path: Path) -> None:
    """However the threads interleave, no two are inside at the same time."""
    files = LocalFiles(tmp_path)
    inside, most, entered = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, entered
        for _ in range(20):
            with hold_lease(files) as is_ours:
                if is_ours:
                    with guard:
                        inside += 1
                        most, entered = max(most, inside), entered + 1
                    with guard:
                        inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered > 0
