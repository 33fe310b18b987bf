"""diff(): what is different between two runs, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from barograph.reading import RunView, Store, open_store

from .change import Change, by_importance, compared
from .code import code_changes
from .data import data_changes
from .echoes import told_once, with_data
from .facts import facts_of
from .generators import generator_changes
from .nearest import nearest_earlier
from .results import Result, results_of

Side = RunView | str | Sequence[RunView | str]


class Difference:
    """What two sides do not have in common. A side is a run, or several runs alike, such as seeds of one setting.

    changes: what differs, the likeliest to matter first. same: what does not. results: metric by metric. others: the
    same against each further side, if more than two were given.
    """

    def __init__(self, before: Sequence[RunView], after: Sequence[RunView], *, every: bool = False) -> None:
        self.before, self.after = list(before), list(after)
        told = changes_between(self.before, self.after)
        self.changes = [change for change in told if change.kind != "same"]
        self.same = [change for change in told if change.kind == "same"]
        self.results: list[Result] = results_of(self.before, self.after, every=every)
        self.others: list[Difference] = []

    def as_dict(self) -> dict[str, Any]:
        """As JSON, complete. Any: JSON."""
        told = {
            "before": [{"id": view.id, "name": view.name} for view in self.before],
            "after": [{"id": view.id, "name": view.name} for view in self.after],
            "changes": [change.as_dict() for change in self.changes],
            "same": [change.as_dict() for change in self.same],
            "results": [result.as_dict() for result in self.results],
        }
        return told | ({"others": [other.as_dict() for other in self.others]} if self.others else {})

    def __repr__(self) -> str:
        from .layout import lines_of

        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(repr(self))}</pre>"


def diff(
    a: Side,
    b: Side | None = None,
    *more: Side,
    store: Store | str | os.PathLike[str] | None = None,
    every: bool = False,
) -> Difference:
    """What is different between two runs (or more), and what came of it.

    a, b, more: a run, its name or id, or a side of several runs: a list of them, or "group:NAME" or "tag:NAME". b: by
    default the nearest earlier run, which is then the first of the two. store: where names are looked up.
    every: also metrics of the inside and surroundings of a training.
    """
    if isinstance(store, Store):
        place: Store | None = store
    else:
        place = None if store is None and all(map(_is_resolved, (a, b, *more))) else open_store(store)
    first = runs_of(a, place)
    if b is None:
        if len(first) != 1:
            raise ValueError("give two sides to compare, or one run, for which the nearest earlier one is found")
        return Difference([nearest_earlier(first[0], place or _store_of(first[0]))], first, every=every)
    sides = [runs_of(side, place) for side in (b, *more)]
    found, *others = (Difference(first, side, every=every) for side in sides)
    found.others = others
    return found


def runs_of(side: Side, store: Store | None) -> list[RunView]:
    """The runs that a side names. Raises RunNotFoundError for a name without a run, ValueError for an empty side."""
    if isinstance(side, RunView):
        return [side]
    if not isinstance(side, str):
        found = [view for one in side for view in runs_of(one, store)]
    else:
        store = store or open_store()
        kind, _, name = side.partition(":")
        if kind == "group" and name:
            found = [view for view in store.runs() if view.group == name and view.parent_id is None]
        elif kind == "tag" and name:
            found = [view for view in store.runs() if name in view.tags and view.parent_id is None]
        else:
            found = [store.run(side)]
    if not found:
        raise ValueError(f"no run belongs to {side!r}")
    return found


def changes_between(before: Sequence[RunView], after: Sequence[RunView]) -> list[Change]:
    """What is and what is not the same, the likeliest to matter first; code and data as in each side's first run."""
    told = [facts_of(view) for view in before], [facts_of(view) for view in after]
    changes = told_once(compared(*told))
    changes += code_changes(before[0], after[0])
    changes = with_data(changes, data_changes(before[0], after[0]))
    if len(before) == len(after) == 1:
        changes += generator_changes(before[0], after[0], [change for change in changes if change.kind != "same"])
    return by_importance(changes)


def _is_resolved(side: Side | None) -> bool:
    """Whether a side needs no store to be found."""
    if side is None or isinstance(side, RunView):
        return True
    return not isinstance(side, str) and all(map(_is_resolved, side))


def _store_of(view: RunView) -> Store:
    return Store(view.path.parent.parent)
