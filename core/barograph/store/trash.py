"""Removing a run: its folder is moved into the store's trash, from where it can be taken back."""

from __future__ import annotations

import os
import time
from pathlib import Path

from barograph.errors import StoreError

from .files import make_folders

TRASH_NAME = "trash"


def move_to_trash(store: Path, folder: Path) -> Path:
    """Move a run's folder and say where it is now. A link is refused, so nothing outside the store is ever touched."""
    if folder.is_symlink():
        raise StoreError(
            f"{folder} is a link to {os.readlink(folder)} and was not removed. Remove the link itself if you mean to."
        )
    trash = store / TRASH_NAME
    target = trash / f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"
    try:
        make_folders(trash)
        folder.rename(target)
    except OSError as error:
        raise StoreError(f"{folder} could not be moved to {target}: {error.strerror}. It is where it was.") from error
    return target
