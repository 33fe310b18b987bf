"""The datasets that a run was fed, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from barograph.data.drift import Drift, drift_of_counts, drift_of_numbers
from barograph.data.sketch import LIMIT_BYTES, Overlap, Sketch
from barograph.errors import StoreError
from barograph.journal.reader import Record
from barograph.store.objects import Objects
from barograph.tensors.payload import decode
from barograph.tensors.statistics import Statistics

_DISTRIBUTIONS_LIMIT_BYTES = 16 << 20  # a frame of statistics is never longer


@dataclass(frozen=True, slots=True, eq=False)
class DatasetView:
    """A dataset as it was last recorded under its name. Any: JSON.

    kind: its class. rows, features: None if unknown. seen: rows that were fingerprinted; is_complete: these are all.
    fingerprint: "ordered" and "unordered", of inputs with their labels and weights; None if nothing was read.
    inputs: the same of the inputs alone. profile, labels, weights: as they were recorded.
    """

    name: str
    kind: str
    rows: int | None
    features: int | None
    size_bytes: int | None
    fingerprint: dict[str, str] | None
    inputs: dict[str, str] | None
    is_complete: bool
    seen: int
    schema: list[dict[str, Any]]
    profile: dict[str, Any]
    labels: dict[str, Any]
    weights: dict[str, Any]
    duplicates: float | None
    source: Any
    metadata: Any
    about: dict[str, Any]
    time_s: float
    sketch_digest: str | None
    _objects: Objects = field(repr=False)

    def relation(self, other: DatasetView) -> str:
        """How the two compare: "same", "reordered", "relabelled" (the same inputs), "different" or "unknown"."""
        if not (self.fingerprint and other.fingerprint and self.is_complete and other.is_complete):
            return "unknown"
        if self.fingerprint == other.fingerprint:
            return "same"
        if self.fingerprint.get("unordered") == other.fingerprint.get("unordered"):
            return "reordered"
        return "relabelled" if self.inputs and self.inputs == other.inputs else "different"

    def overlap(self, other: DatasetView) -> Overlap | None:
        """How many rows they share, by their inputs.

        None if that cannot be told: without a sketch of one, of two stores, or where columns have other names or types,
        so that no row could be found again.
        """
        if _layout(self.schema) != _layout(other.schema):
            return None
        one, two = self.sketch(), other.sketch()
        return one.overlap(two) if one is not None and two is not None else None

    def drift(self, other: DatasetView) -> list[Drift]:
        """How the features both have, and the labels, differ in the other one, the most moved first."""
        mine, others = self.distributions(), other.distributions()
        entries, other_entries = self.features_by_name(), other.features_by_name()
        found = []
        for name, entry in entries.items():
            again = other_entries.get(name)
            if again is None:
                continue
            missing = _missing_share(entry), _missing_share(again)
            if name in mine and name in others:
                found.append(drift_of_numbers(name, mine[name], others[name], missing))
            elif (counts := _counts(entry)) and (other_counts := _counts(again)):
                found.append(drift_of_counts(name, counts, other_counts, missing))
        found.append(self._drift_of_labels(other))
        return sorted((one for one in found if one is not None), key=lambda one: -one.psi)

    def sketch(self) -> Sketch | None:
        """The keyed hashes of its rows; None if they are not there."""
        if self.sketch_digest is None:
            return None
        try:
            return Sketch.decode(self._objects.get(self.sketch_digest, limit_bytes=LIMIT_BYTES))
        except (StoreError, OSError, ValueError):
            return None

    def features_by_name(self) -> dict[str, dict[str, Any]]:
        """What the profile says of each feature."""
        features = self.profile.get("features")
        listed = features if isinstance(features, list) else []
        return {str(one.get("name")): one for one in listed if isinstance(one, dict)}

    def distributions(self, part: str = "inputs") -> dict[str, Statistics]:
        """The statistics, with histograms, of each feature that is a number, as far as they are there.

        part: "inputs", "labels" or "weights".
        """
        profile = self.profile if part == "inputs" else _dict(getattr(self, part).get("profile"))
        names = profile.get("distributions")
        found: dict[str, Statistics] = {}
        for name in names if isinstance(names, list) else []:
            try:
                payload = self._objects.get(str(name), limit_bytes=_DISTRIBUTIONS_LIMIT_BYTES)
                found |= decode(payload).statistics
            except (StoreError, OSError, ValueError):
                continue
        return found

    def _drift_of_labels(self, other: DatasetView) -> Drift | None:
        """How the balance of the classes differs, or the distribution of a target that is a number."""
        one, two = (_counts(view.labels.get("balance")) for view in (self, other))
        if one and two:
            return drift_of_counts("labels", one, two)
        numbers, others = (list(view.distributions("labels").values()) for view in (self, other))
        return drift_of_numbers("labels", numbers[0], others[0], (0.0, 0.0)) if numbers and others else None

    def as_dict(self) -> dict[str, Any]:
        """Everything that was recorded of it. Any: JSON."""
        names = [name for name in self.__slots__ if not name.startswith("_")]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a model at a step. digest: of all; each: of each tensor; size_bytes: of all together."""

    digest: str
    step: int | None
    time_s: float
    tensors: int
    elements: int
    size_bytes: int
    each: dict[str, str]


def datasets_of(records: Iterable[Record], store_path: Path) -> list[DatasetView]:
    """The datasets that some records tell of, in the order in which they were first logged."""
    objects = Objects(store_path)
    found: dict[str, DatasetView] = {}
    for record in records:
        one = _dataset(record, objects)
        found[one.name] = one
    return list(found.values())


def weights_of(record: Record) -> Weights:
    """The digest of some weights from its record."""
    body = record.body
    each = body.get("each")
    return Weights(
        str(body.get("digest", "")),
        record.step,
        record.time_s,
        _whole(body.get("tensors")) or 0,
        _whole(body.get("elements")) or 0,
        _whole(body.get("bytes")) or 0,
        {str(name): str(digest) for name, digest in each.items()} if isinstance(each, dict) else {},
    )


def _dataset(record: Record, objects: Objects) -> DatasetView:
    """A dataset from its record, which a stranger may have written."""
    body = record.body
    sketch, duplicates = _dict(body.get("sketch")), _dict(body.get("duplicates"))
    schema = body.get("schema")
    repeated = duplicates.get("rows")
    return DatasetView(
        name=str(body.get("name", "")),
        kind=str(body.get("type", "")),
        rows=_whole(body.get("rows")),
        features=_whole(body.get("features")),
        size_bytes=_whole(body.get("bytes")),
        fingerprint=_digests(body.get("fingerprint")),
        inputs=_digests(body.get("inputs")),
        is_complete=body.get("complete") is True,
        seen=_whole(body.get("seen")) or 0,
        schema=[one for one in schema if isinstance(one, dict)] if isinstance(schema, list) else [],
        profile=_dict(body.get("profile")),
        labels=_dict(body.get("labels")),
        weights=_dict(body.get("weights")),
        duplicates=float(repeated) if isinstance(repeated, (int, float)) else None,
        source=body.get("source"),
        metadata=body.get("metadata"),
        about=_dict(body.get("about")),
        time_s=record.time_s,
        sketch_digest=str(sketch["object"]) if "object" in sketch else None,
        _objects=objects,
    )


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _digests(value: object) -> dict[str, str] | None:
    found = {str(name): str(digest) for name, digest in _dict(value).items()}
    return found or None


def _counts(entry: object) -> dict[str, int]:
    counts = entry.get("counts") if isinstance(entry, Mapping) else None
    return {str(name): one for name, one in counts.items() if isinstance(one, int)} if isinstance(counts, dict) else {}


def _layout(schema: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What two datasets must agree in to have a row in common. Texts are the same however a library keeps them."""
    texts = {"string": "text", "category": "text", "object": "text"}
    return [
        (str(one.get("name")), texts.get(dtype := str(one.get("dtype")), dtype), str(one.get("shape")))
        for one in schema
    ]


def _missing_share(entry: Mapping[str, Any]) -> float:
    count, missing = entry.get("count"), entry.get("missing")
    return missing / count if isinstance(count, int) and isinstance(missing, int) and count > 0 else 0.0


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
