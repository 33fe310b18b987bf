"""Contents of large files that were read before: the same data set is not read through again in every run.

A file counts as the same as long as device, inode, size and both of its dates are, of which nobody can set the second
one. Kept in the user's cache folder, a small file each. Whoever reads a content to use it checks it all the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress

from barograph.store.files import LocalFiles, open_regular
from barograph.store.objects import hash_file, is_digest

FEWEST_BYTES = 16 << 20  # what is smaller is read in the time that a look into the cache takes
_SETTLED_S = 2.0  # a file that was changed later may be changed again without its date telling
_LIMIT_BYTES = 4096


def hash_or_known(path: str, on_block: Callable[[], None] | None = None) -> tuple[str, int]:
    """As `hash_file`, but the file is not read if it was before and has not been changed since."""
    before = _state(path)
    if before[2] < FEWEST_BYTES:
        return hash_file(path, on_block=on_block)
    digest = _known(path, before)
    if digest is not None:
        return digest, before[2]
    digest, size_bytes = hash_file(path, on_block=on_block)
    if _state(path) == before and time.time() - max(before[3:]) / 1e9 > _SETTLED_S:
        _remember(path, before, digest)
    return digest, size_bytes


def _state(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _known(path: str, state: list[int]) -> str | None:
    try:
        with open_regular(_files().path(_name(path))) as file:
            told = json.loads(file.read(_LIMIT_BYTES))
        digest = told["digest"] if told["state"] == state else None
    except Exception:  # noqa: BLE001  # missing, broken or not to be read: then the file itself is
        return None
    return digest if is_digest(digest) else None


def _remember(path: str, state: list[int], digest: str) -> None:
    text = json.dumps({"state": state, "digest": digest}).encode("ascii")
    with suppress(OSError):
        _files().delete(_name(path))
        _files().put_if_absent(_name(path), text, sync=False)


def _files() -> LocalFiles:
    from barograph.store.index import cache_folder

    return LocalFiles(cache_folder() / "contents")


def _name(path: str) -> str:
    import xxhash

    return f"{xxhash.xxh3_128_hexdigest(os.fsencode(path))}.json"
