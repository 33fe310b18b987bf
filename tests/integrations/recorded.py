"""What tests of the integrations ask of the run they have made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import barograph
from barograph.reading import RunView


def only_run() -> RunView:
    """The one run in the store."""
    (view,) = barograph.open().runs()
    return view


def event(name: str) -> dict[str, Any]:
    """What belongs to the one event of this name in the one run."""
    (found,) = only_run().events(name)
    return found.data


def table(view: RunView, key: str) -> dict[str, list[Any]]:
    """The columns of the one table of this key."""
    (found,) = view.tables(key)
    return dict(zip(found.columns, map(list, zip(*found.rows, strict=True)), strict=True))


def series(view: RunView, key: str) -> dict[int, float]:
    """Step to value."""
    metric = view.metric(key)
    return dict(zip(metric.steps.tolist(), metric.values.tolist(), strict=True))


def autologged(do: Callable[[], object], **options: Any) -> RunView:
    """The run of what is done in an autolog of scikit-learn."""
    from barograph.integrations.sklearn import autolog  # of the tests that have it

    with autolog(quiet=True, **options) as run:
        do()
    return barograph.open().run(run.id)
