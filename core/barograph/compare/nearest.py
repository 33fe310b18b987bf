"""The earlier run that a run is best compared with, where nobody says which."""

from __future__ import annotations

from typing import Any

from barograph.errors import RunNotFoundError
from barograph.reading import RunView, Store

_MOST_OPENED = 8  # runs whose environment is read; the rest are judged by their settings


def nearest_earlier(view: RunView, store: Store) -> RunView:
    """The nearest run before this one: of the same script and with the most settings in common, the newest of those.

    Only runs of the same project and, for a part of a search, of the same search count. Raises RunNotFoundError if
    there is none.
    """
    earlier = [
        other
        for other in store.runs(project=view.project)
        if other != view
        and (other.created, other.id) < (view.created, view.id)
        and (other.parent_id is None) == (view.parent_id is None)
    ]
    if not earlier:
        raise RunNotFoundError(f"{view.name} is the first run of project {view.project!r}; name the other one.")
    params, metrics = view.params, set(view.summary)

    def likeness(other: RunView) -> tuple[float, float]:
        return _alike(params, other.params), _overlap(metrics, set(other.summary))

    # runs() gives the newest first, and sorting keeps that order among equals
    closest = sorted(earlier, key=likeness, reverse=True)[:_MOST_OPENED]
    entry = _entry(view)
    return max(closest, key=lambda other: _entry(other) == entry)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> float:  # Any: JSON
    """The share of settings that both have, rather than those with equal values: a search changes the values."""
    return round(_overlap(set(one), set(other)), 2)


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _entry(view: RunView) -> object:
    entry = view.environment.get("entry")
    if not isinstance(entry, dict):
        return None
    return entry.get("module") or str(entry.get("path")).rpartition("/")[2]
