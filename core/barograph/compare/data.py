"""What differs between the data of two runs: which data sets, in what, and whether only their order or their split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from barograph.reading import RunView

from .change import DATA, Change, short


def data_changes(before: RunView, after: RunView) -> list[Change]:
    """A change for each data set that is not the same; one for all that only divide the same rows otherwise."""
    old, new = datasets_of(before), datasets_of(after)
    changes = []
    for name in dict.fromkeys([*old, *new]):
        kind = "removed" if name not in new else "added" if name not in old else "changed"
        if kind == "changed":
            text = _difference(old[name], new[name])
        else:
            text = f"only in the {'second' if kind == 'added' else 'first'}: {_rows(old.get(name) or new[name])} rows"
        if text:
            changes.append(Change("data", name, kind, _identity(old.get(name)), _identity(new.get(name)), DATA, text))
    return _with_split(changes, old, new)


Records = dict[str, list[dict[str, Any]]]  # Any: JSON


def datasets_of(view: RunView) -> Records:
    """What was recorded of each data set, by name: several times where a later fit had other data."""
    found: Records = {}
    for record in view.records("dataset"):
        found.setdefault(str(record.body.get("name")), []).append(record.body)
    return found


def _difference(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> str | None:
    """The first difference in words; None if there is none that is known."""
    for before, after in zip(old, new, strict=False):
        if text := _difference_of(before, after):
            return text
    if len(old) != len(new):
        return f"recorded {len(old)} and {len(new)} times with different contents"
    return None


def _difference_of(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    if _seen(before) != _seen(after):
        return None  # of a stream that was seen in part, another part has another fingerprint whatever the data are
    one, other = _fingerprint(before), _fingerprint(after)
    if one == other or not (one and other):
        return None
    parts = []
    if before.get("rows") != after.get("rows"):
        parts.append(f"{before.get('rows')} → {after.get('rows')} rows")
    parts += _schema(before, after)
    if not parts and one.get("unordered") == other.get("unordered"):
        return f"the same {after.get('rows')} rows in another order"
    return "; ".join(parts or ["other values in as many rows"])


def _rows(records: list[dict[str, Any]]) -> object:
    return records[-1].get("rows")


def _seen(record: dict[str, Any]) -> object:
    return "all" if record.get("complete", True) else record.get("seen")


def _fingerprint(record: dict[str, Any]) -> Mapping[str, Any]:
    value = record.get("fingerprint")
    return value if isinstance(value, Mapping) else {}


def _schema(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old, new = _columns(before), _columns(after)
    added, removed = [name for name in new if name not in old], [name for name in old if name not in new]
    other = [f"{name} {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]
    parts = [("columns added: ", added), ("columns removed: ", removed), ("types: ", other)]
    found = [f"{what}{short(', '.join(names))}" for what, names in parts if names]
    if not found and list(old) != list(new):
        found = ["columns in another order"]
    return found


def _columns(record: dict[str, Any]) -> dict[str, str]:
    schema = record.get("schema")
    listed = [one for one in schema if isinstance(one, dict)] if isinstance(schema, list) else []
    return {str(one.get("name")): str(one.get("dtype") or one.get("type")) for one in listed}


def _identity(records: list[dict[str, Any]] | None) -> Any:  # Any: JSON
    return {name: records[-1].get(name) for name in ("fingerprint", "rows", "features")} if records else None


def _with_split(changes: list[Change], old: Records, new: Records) -> list[Change]:
    """One change in place of those of several data sets that hold the same rows altogether."""
    changed = [change for change in changes if change.kind == "changed"]
    if len(changed) < 2:
        return changes
    names = [change.name for change in changed]
    totals = [_total(records, names) for records in (old, new)]
    if totals[0] is None or totals[0] != totals[1]:
        return changes
    rows = [", ".join(f"{name} {records[name][-1].get('rows')}" for name in names) for records in (old, new)]
    text = "the same rows altogether, divided otherwise"
    if rows[0] != rows[1]:
        text += f" ({rows[0]} → {rows[1]})"
    states = {name: _identity(old[name]) for name in names}, {name: _identity(new[name]) for name in names}
    split = Change("data", ", ".join(names), "changed", *states, DATA, text)
    return [split, *(change for change in changes if change.kind != "changed")]


def _total(records: Records, names: list[str]) -> object:
    """A figure that does not depend on how rows are divided among data sets; None if it cannot be told."""
    totals = [0, 0]
    for name in names:
        sums = str(_fingerprint(records[name][-1]).get("unordered"))
        if not re.fullmatch("[0-9a-f]{32}", sums):
            return None
        # two sums of the hashes of the rows, modulo 2**64 each: see data/hashing.py
        totals = [(total + int(half, 16)) % 2**64 for total, half in zip(totals, (sums[:16], sums[16:]), strict=True)]
    return totals
