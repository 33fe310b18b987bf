"""What differs between the data of two runs: which data sets, in what, and whether only their order or their split."""

from __future__ import annotations

from collections import Counter
from typing import Any

from barograph.data.drift import STABLE_BELOW
from barograph.reading import RunView
from barograph.reading.datasets import DatasetView, datasets_of

from .change import DATA, Change, short

_MOST_MOVED = 3  # features that are named

Versions = dict[str, list[DatasetView]]


def data_changes(before: RunView, after: RunView) -> list[Change]:
    """A change for each data set that is not the same; one for all that only divide the same rows otherwise."""
    old, new = versions_of(before), versions_of(after)
    changes = []
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name, []), new.get(name, [])
        if one and other:
            kind, text = "changed", _difference(one, other)
        else:
            kind, which = ("added", "second") if other else ("removed", "first")
            text = f"only in the {which}: {(one or other)[-1].rows} rows"
        if text:
            changes.append(Change("data", name, kind, _identity(one), _identity(other), DATA, text))
    return _with_split(changes, old, new)


def versions_of(view: RunView) -> Versions:
    """The data sets of a run by name: several where a later fit had others."""
    found: Versions = {}
    for record in view.records("dataset"):
        for dataset in datasets_of([record], view.path.parent.parent):
            known = found.setdefault(dataset.name, [])
            if known and known[-1].fingerprint == dataset.fingerprint:
                known.pop()  # the same with a better profile
            known.append(dataset)
    return found


def _difference(before: list[DatasetView], after: list[DatasetView]) -> str | None:
    """The first difference in words; None if there is none that is known."""
    for one, other in zip(before, after, strict=False):
        if text := _difference_of(one, other):
            return text
    if len(before) != len(after):
        return f"recorded {len(before)} and {len(after)} times with different contents"
    return None


def _difference_of(one: DatasetView, other: DatasetView) -> str | None:
    parts = [f"{one.rows} → {other.rows} rows"] if one.rows != other.rows else []
    parts += _columns_changed(one, other)
    if not one.fingerprint or not other.fingerprint:
        return "; ".join(parts) or None
    # Of a stream that was seen in part, another part has another fingerprint whatever the data are.
    is_same_part = (one.is_complete and other.is_complete) or one.seen == other.seen
    if one.fingerprint == other.fingerprint or not is_same_part:
        return None
    if not parts and one.fingerprint.get("unordered") == other.fingerprint.get("unordered"):
        return f"the same {other.seen} rows in another order"
    if one.inputs and one.inputs == other.inputs:
        return "the inputs are the same, but not what goes with them (labels or weights)" + _moved(one, other)
    overlap = one.overlap(other)
    if overlap is not None:
        gone, come = round(max(0.0, one.seen - overlap.rows)), round(max(0.0, other.seen - overlap.other_rows))
        if gone or come:
            parts.append(f"{'' if overlap.is_exact else 'about '}{gone} rows gone, {come} new ones")
    return "; ".join(parts or ["other values in as many rows"]) + _moved(one, other)


def _moved(one: DatasetView, other: DatasetView) -> str:
    """The features whose distribution is no longer what it was, the most moved first."""
    moved = [drift for drift in one.drift(other) if drift.psi >= STABLE_BELOW][:_MOST_MOVED]
    return (
        "; distribution moved: " + ", ".join(f"{drift.name} (psi {drift.psi:.2f})" for drift in moved) if moved else ""
    )


def _columns_changed(one: DatasetView, other: DatasetView) -> list[str]:
    old, new = _columns(one), _columns(other)
    added, removed = [name for name in new if name not in old], [name for name in old if name not in new]
    types = [f"{name} {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]
    parts = [("columns added: ", added), ("columns removed: ", removed), ("types: ", types)]
    found = [f"{what}{short(', '.join(names))}" for what, names in parts if names]
    if not found and list(old) != list(new):
        found = ["columns in another order"]
    return found


def _columns(dataset: DatasetView) -> dict[str, str]:
    return {
        str(one.get("name")): " ".join(map(str, (one.get("dtype"), one.get("shape") or ""))) for one in dataset.schema
    }


def _identity(versions: list[DatasetView]) -> Any:  # Any: JSON
    if not versions:
        return None
    return {"fingerprint": versions[-1].fingerprint, "rows": versions[-1].rows, "features": versions[-1].features}


def _with_split(changes: list[Change], old: Versions, new: Versions) -> list[Change]:
    """One change in place of those of several data sets that hold the same rows altogether."""
    changed = [change for change in changes if change.kind == "changed"]
    names = [change.name for change in changed]
    if len(names) < 2 or not _hold_the_same([[one[name][-1] for name in names] for one in (old, new)]):
        return changes
    rows = [", ".join(f"{name} {one[name][-1].rows}" for name in names) for one in (old, new)]
    text = "the same rows altogether, divided otherwise" + (f": {rows[0]} → {rows[1]}" if rows[0] != rows[1] else "")
    states = [{name: _identity(one[name]) for name in names} for one in (old, new)]
    split = Change("data", ", ".join(names), "changed", states[0], states[1], DATA, text)
    return [split, *(change for change in changes if change.kind != "changed")]


def _hold_the_same(sides: list[list[DatasetView]]) -> bool:
    """Whether the data sets of two sides hold the same rows taken together, as far as the sketches of them tell."""
    parts = [[(dataset.inputs or {}).get("unordered") for dataset in side] for side in sides]
    sketches = [[sketch for dataset in side if (sketch := dataset.sketch()) is not None] for side in sides]
    everything = [*sketches[0], *sketches[1]]
    is_known = len(everything) == len(sides[0]) + len(sides[1]) and len({one.key_id for one in everything}) == 1
    # Data sets that hold the same rows as before, each of them, are divided as before.
    if not is_known or parts[0] == parts[1]:
        return False
    level = max(sketch.level for sketch in everything)
    totals: list[Counter[int]] = [Counter(), Counter()]
    for total, side in zip(totals, sketches, strict=True):
        for sketch in side:
            kept = sketch.depths >= level
            for row, count in zip(sketch.keyed[kept].tolist(), sketch.counts[kept].tolist(), strict=True):
                total[row] += count
    return bool(totals[0]) and totals[0] == totals[1]
