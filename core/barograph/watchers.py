"""What run.watch() calls: each integration registers how models of its framework are watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from barograph.offers import Offers

_watchers: Offers[Callable[..., Any]] = Offers()  # Any: each framework's watch takes and gives what it likes

register_watcher = _watchers.register


def watcher_of(model: object) -> Callable[..., Any]:
    """The function that watches this kind of model. Raises TypeError if there is none."""
    found = _watchers.find(type(model))
    if found is None:
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise TypeError(f"there is nothing to watch a {kind} with; see barograph.integrations")
    return found
