"""Barograph writes a training down by itself: metrics, settings, system, every kind of end. Cheap to import."""

from typing import TYPE_CHECKING, Any

from barograph.errors import (
    AmbiguousRunError,
    BarographError,
    JournalError,
    RunIsLiveError,
    RunNotFoundError,
    SettingsError,
    StoreError,
)
from barograph.open_runs import current_run
from barograph.run import Run
from barograph.starting import init
from barograph.version import __version__
from barograph.voice import BarographWarning

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from barograph.compare import diff
    from barograph.reading import Artifact, Metric, RunView, Store

__all__ = [
    "AmbiguousRunError",
    "Artifact",
    "BarographError",
    "BarographWarning",
    "JournalError",
    "Metric",
    "Run",
    "RunIsLiveError",
    "RunNotFoundError",
    "RunView",
    "SettingsError",
    "Store",
    "StoreError",
    "__version__",
    "current_run",
    "diff",
    "init",
    "log",
    "open",
]


def log(metrics: "Mapping[str, object]", step: int | None = None) -> None:
    """Log to the current run, from wherever in a training this is called; without an open run, warn once."""
    run = current_run()
    if run is not None:
        run.log(metrics, step)
    else:
        from barograph.open_runs import warn_that_none_is_open

        warn_that_none_is_open()


def open(path: "str | os.PathLike[str] | None" = None) -> "Store":  # the word for opening a store
    """Open a store for reading: a folder, or the one that `init()` would write to from here."""
    from barograph.reading import open_store

    return open_store(path)


def __getattr__(name: str) -> Any:  # Any: whatever the reading side has under that name
    # The reading side needs numpy and DuckDB, which a training does not pay for.
    if name in ("Artifact", "Metric", "RunView", "Store"):
        from barograph import reading

        return getattr(reading, name)
    if name == "diff":
        from barograph.compare import diff

        return diff
    raise AttributeError(f"module 'barograph' has no attribute {name!r}")
