"""What use_artifact() is given: a path, the name or digest of an artifact of the store, or an artifact."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .artifact import Artifact


def find(source: object, store_path: Path, warn: Callable[[str, str], None]) -> Artifact | None:
    """The artifact that is meant; None for a path, and, with a warning, for a name that nothing has.

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
    except Exception as error:  # noqa: BLE001  # a damaged run elsewhere in the store must not stop this one
        warn("artifact name", f"{source[:200]!r} is neither a path nor the name of an artifact: {error}")
        return None


__all__ = ["Artifact", "find"]
