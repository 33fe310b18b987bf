"""What use_artifact() is given: a path, the name or digest of an artifact of the store, or an artifact."""

from __future__ import annotations

import os
from pathlib import Path

from .artifact import Artifact


def find(source: object, store_path: Path) -> Artifact | None:
    """The artifact that is meant; None for a path, and for a name that nothing has.

    A text is the path of what lies there, else the name or digest of an artifact: the newest of that name in the store.
    """
    if isinstance(source, Artifact):
        return source
    if not isinstance(source, str) or os.path.lexists(source):
        return None
    from barograph.reading import open_store  # the writing side reads only for those who ask for an artifact by name

    try:
        with open_store(store_path) as store:
            return store.artifact(source)
    except Exception:  # noqa: BLE001  # a damaged run elsewhere in the store must not stop this one
        return None
