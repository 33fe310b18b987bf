"""What differs between the data of two runs: which data sets, in what, and whether only their order or their split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from barograph.data.sketch import LIMIT_BYTES, Sketch
from barograph.errors import StoreError
from barograph.reading import RunView
from barograph.store.objects import Objects

from .change import DATA, Change, short

Records = list[dict[str, Any]]  # Any: JSON


def data_changes(before: RunView, after: RunView) -> list[Change]:
    """A change for each data set that is not the same; one for all that only divide the same rows otherwise."""
    old, new = _Datasets(before), _Datasets(after)
    changes = []
    for name in dict.fromkeys([*old.by_name, *new.by_name]):
        one, other = old.by_name.get(name), new.by_name.get(name)
        if one is None or other is None:
            kind, which = ("added", "second") if one is None else ("removed", "first")
            text: str | None = f"only in the {which}: {(one or other or [{}])[-1].get('rows')} rows"
        else:
            kind, text = "changed", _difference(old, one, new, other)
        if text:
            changes.append(Change("data", name, kind, _identity(one), _identity(other), DATA, text))
    return _with_split(changes, old, new)


class _Datasets:
    """What was recorded of each data set, by name: several times where a later fit had other data."""

    def __init__(self, view: RunView) -> None:
        self._objects = Objects(view.path.parent.parent)
        self.by_name: dict[str, Records] = {}
        for record in view.records("dataset"):
            known = self.by_name.setdefault(str(record.body.get("name")), [])
            if known and known[-1].get("fingerprint") == record.body.get("fingerprint"):
                known.pop()  # the same with a better profile
            known.append(record.body)

    def sketch(self, record: dict[str, Any]) -> Sketch | None:
        """The hashes of a data set's rows; None if they were not kept, or are not there any more."""
        told = record.get("sketch")
        digest = told.get("object") if isinstance(told, Mapping) else None
        if not isinstance(digest, str):
            return None
        try:
            return Sketch.decode(self._objects.get(digest, limit_bytes=LIMIT_BYTES))
        except (StoreError, ValueError, OSError):
            return None


def _difference(old: _Datasets, before: Records, new: _Datasets, after: Records) -> str | None:
    """The first difference in words; None if there is none that is known."""
    for one, other in zip(before, after, strict=False):
        if text := _difference_of(one, other, (old.sketch(one), new.sketch(other))):
            return text
    if len(before) != len(after):
        return f"recorded {len(before)} and {len(after)} times with different contents"
    return None


def _difference_of(
    before: dict[str, Any], after: dict[str, Any], sketches: tuple[Sketch | None, Sketch | None]
) -> str | None:
    one, other = _fingerprint(before), _fingerprint(after)
    parts = [f"{before.get('rows')} → {after.get('rows')} rows"] if before.get("rows") != after.get("rows") else []
    if not one or not other:
        return "; ".join([*parts, *_columns_changed(before, after)]) or None
    # Of a stream that was seen in part, another part has another fingerprint whatever the data are.
    if one == other or _seen(before) != _seen(after):
        return None
    parts += _columns_changed(before, after)
    if not parts and one.get("unordered") == other.get("unordered"):
        return f"the same {after.get('rows')} rows in another order"
    inputs = [_fingerprint(record, "inputs").get("ordered") for record in (before, after)]
    if inputs[0] is not None and inputs[0] == inputs[1]:
        return "the inputs are the same, but not what goes with them (labels or weights)"
    overlap = sketches[0].overlap(sketches[1]) if sketches[0] is not None and sketches[1] is not None else None
    if overlap is not None:
        about = "" if overlap.is_exact else "about "
        gone, come = (int(before.get("rows") or 0) - overlap.rows, int(after.get("rows") or 0) - overlap.other_rows)
        if gone > 0 or come > 0:
            parts.append(f"{about}{max(0, round(gone))} rows gone, {about}{max(0, round(come))} new ones")
    return "; ".join(parts or ["other values in as many rows"])


def _seen(record: dict[str, Any]) -> object:
    return "all" if record.get("complete", True) else record.get("seen")


def _fingerprint(record: dict[str, Any], part: str = "fingerprint") -> Mapping[str, Any]:
    value = record.get(part)
    return value if isinstance(value, Mapping) else {}


def _columns_changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
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
    return {str(one.get("name")): " ".join(map(str, (one.get("dtype"), one.get("shape") or ""))) for one in listed}


def _identity(records: Records | None) -> Any:  # Any: JSON
    return {name: records[-1].get(name) for name in ("fingerprint", "rows", "features")} if records else None


def _with_split(changes: list[Change], old: _Datasets, new: _Datasets) -> list[Change]:
    """One change in place of those of several data sets that hold the same rows altogether."""
    changed = [change for change in changes if change.kind == "changed"]
    names = [change.name for change in changed]
    if len(names) < 2 or not _hold_the_same(old, new, names):
        return changes
    rows = [", ".join(f"{name} {one.by_name[name][-1].get('rows')}" for name in names) for one in (old, new)]
    text = "the same rows altogether, divided otherwise" + (f": {rows[0]} → {rows[1]}" if rows[0] != rows[1] else "")
    states = [{name: _identity(one.by_name[name]) for name in names} for one in (old, new)]
    split = Change("data", ", ".join(names), "changed", states[0], states[1], DATA, text)
    return [split, *(change for change in changes if change.kind != "changed")]


def _hold_the_same(old: _Datasets, new: _Datasets, names: list[str]) -> bool:
    """Whether some data sets hold the same rows in both runs taken together, as far as the sketches of them tell."""
    sketches = [[one.sketch(one.by_name[name][-1]) for name in names] for one in (old, new)]
    known = [[sketch for sketch in side if sketch is not None] for side in sketches]
    everything = [*known[0], *known[1]]
    if len(everything) < 2 * len(names) or len({sketch.key_id for sketch in everything}) != 1:
        return False
    level = max(sketch.level for sketch in everything)
    totals: list[Counter[int]] = []
    for side in known:
        total: Counter[int] = Counter()
        for sketch in side:
            kept = sketch.depths >= level
            rows = zip(sketch.keyed[kept].tolist(), sketch.counts[kept].tolist(), strict=True)
            for row, count in rows:
                total[row] += count
        totals.append(total)
    # Data sets that hold the same rows as before, each of them, are divided as before.
    parts = [[_fingerprint(one.by_name[name][-1], "inputs").get("unordered") for name in names] for one in (old, new)]
    is_divided = parts[0] != parts[1]
    return bool(totals[0]) and totals[0] == totals[1] and is_divided
