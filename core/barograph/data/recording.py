"""The data of one run, as it is logged: scanned, profiled within a budget, and written as a record when it is new."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from barograph.store.objects import Objects
from barograph.tensors.payload import encode
from barograph.values import readable

from .fingerprint import Scan
from .keyed import Key, store_key
from .labels import Balance
from .profile import Profile
from .sources import Part, parts_of
from .table import Opaque, Table

SCAN_LIMIT_S = 20.0  # of data that takes longer only the first rows are fingerprinted: the training waits for it
_PROFILED_NUMBERS = 1 << 20  # of data that may change while it is read on: what fits into 50 ms
_RUNS_OF_ROWS = 64  # evenly spaced, that a sample is taken in
_SAMPLED = f"{_RUNS_OF_ROWS} runs of rows, evenly spaced"
_MOST_COLUMNS = 2000  # that a record names


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What the caller said of some data besides the data itself."""

    name: str
    source: Any = None  # Any: JSON
    metadata: Any = None  # Any: JSON

    @classmethod
    def of(cls, name: object, source: object, metadata: object) -> Given:
        """What a user said, as it may lie on disk."""
        from barograph.capture.plain import to_plain
        from barograph.capture.redaction import redact

        return cls(readable(name, 1024), redact(to_plain(source).value), redact(to_plain(metadata).value))


class Datasets:
    """Writes what a run was fed. record: takes the body of a record of kind "dataset".

    Data that may change is read while log() runs and never afterwards. Of data that cannot, a thread goes on with the
    profile in `share` of the time that passes, and the record is written again once that is whole.
    """

    def __init__(self, store_path: Path, record: Callable[..., None], share: float) -> None:
        self._objects = Objects(store_path)
        self._store_path = store_path
        self._record = record
        self._share = share
        self._written: dict[str, dict[str, Any]] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def log(self, given: Given, data: object, labels: object = None, weights: object = None) -> None:
        """Look at some data and write what it is, unless that was written under this name before."""
        key = self.key()
        parts = parts_of(data, labels, weights)
        inputs = parts["inputs"]
        body = described(given, inputs)
        if isinstance(inputs, Table):
            scan = scanned(parts, SCAN_LIMIT_S)
            body |= self.scanned_body(scan, key, inputs.rows)
            profile = Profile(inputs, key)
            sample = sample_of(inputs)
            profile.add(inputs, sample)
            body["profile"] = self.profiled(profile, inputs.rows, _SAMPLED)
        for name in ("labels", "weights"):
            if name in parts:
                body[name] = self._part_body(parts[name], key)
                if isinstance(inputs, Table) and name in scan.parts:
                    body[name]["fingerprint"] = scan.fingerprint_of(name)
        if self.write(body) and isinstance(inputs, Table) and inputs.is_immutable and len(sample) > 1:
            self._go_on(body, inputs, key)

    def key(self) -> Key | None:
        """The key of the store, made when it is needed."""
        return store_key(self._store_path)

    def write(self, body: dict[str, Any]) -> bool:
        """Write a record; False if the same was written under its name before."""
        with self._lock:
            if self._written.get(body["name"]) == body:
                return False
            self._written[body["name"]] = body
        self._record("dataset", None, **body)
        return True

    def scanned_body(self, scan: Scan, key: Key | None, rows: int | None) -> dict[str, Any]:
        """What a scan found, as a part of a record."""
        body: dict[str, Any] = {
            "fingerprint": scan.fingerprint(),
            "inputs": scan.fingerprint_of("inputs"),
            "complete": scan.rows == rows,
            "seen": scan.rows,
            "sketch": None,
        }
        if key is not None:
            sketch = scan.sketch.finished(key)
            stored = self._stored([sketch.encode()])
            body["sketch"] = {"object": stored[0], "level": sketch.level} if stored else None
            body["duplicates"] = {"rows": sketch.repeated, "is_exact": sketch.level == 0}
        return body

    def profiled(self, profile: Profile, rows: int | None, sampled: str) -> dict[str, Any]:
        """A profile, as a part of a record; its distributions lie in an object. sampled: which rows, if not all."""
        found = profile.distributions()
        return {
            "rows": profile.rows,
            "sampled": "all rows" if profile.rows == rows else sampled,
            "features": profile.features(),
            "columns_left_out": profile.left_out,
            "distributions": self._stored(encode(0, 0.0, found)) if found else [],
        }

    def close(self, timeout_s: float = 1.0) -> None:
        """End the threads; what they had not finished stays as it was written first."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_s)
        self._stop, self._threads = threading.Event(), []

    def _stored(self, contents: list[bytes]) -> list[str]:
        """The names of objects with these contents; none if the disk refuses them: the figures are kept without."""
        try:
            return [self._objects.put(content) for content in contents]
        except OSError:
            return []

    def _part_body(self, part: Part, key: Key | None) -> dict[str, Any]:
        """What is said of labels or weights."""
        if isinstance(part, Opaque):
            return {"kind": part.kind, "rows": part.rows, **part.about}
        body: dict[str, Any] = {"kind": part.kind, "rows": part.rows, "schema": part.schema()[:_MOST_COLUMNS]}
        profile = Profile(part, key)
        sample = sample_of(part)
        profile.add(part, sample)
        body["profile"] = self.profiled(profile, part.rows, _SAMPLED)
        if len(part.columns) == 1:
            balance = Balance(part.columns[0], key)
            for start, stop in part.blocks():
                balance.add(part.columns[0].read(start, stop))
            body["balance"] = balance.record()
        return body

    def _go_on(self, body: dict[str, Any], table: Table, key: Key | None) -> None:
        stop_asked = self._stop

        def profile_all() -> None:
            profile = Profile(table, key)
            for start, stop in table.blocks():
                began = time.perf_counter()
                profile.add(table, [(start, stop)])
                spent_s = time.perf_counter() - began
                if stop_asked.wait(spent_s * (1 / self._share - 1) if self._share > 0 else None):
                    return
            with self._lock:
                is_newest = self._written.get(body["name"]) is body
            if is_newest:
                self.write(body | {"profile": self.profiled(profile, table.rows, _SAMPLED)})

        thread = threading.Thread(target=profile_all, name="barograph-data", daemon=True)
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the sample has to do
            self._threads.remove(thread)


def described(given: Given, inputs: Part) -> dict[str, Any]:
    """What a record says of data before any of it is read."""
    body: dict[str, Any] = {
        "name": given.name,
        "type": inputs.kind,  # `kind` is the word for kinds of records
        "rows": inputs.rows,
        "features": None,
        "bytes": None,
        "fingerprint": None,
        "complete": False,
        "seen": 0,
        "sketch": None,
        "source": given.source,
        "metadata": given.metadata,
    }
    if isinstance(inputs, Table):
        schema = inputs.schema()
        body |= {"features": inputs.features, "bytes": inputs.size_bytes, "schema": schema[:_MOST_COLUMNS]}
    return body | ({"about": inputs.about} if inputs.about else {})


def scanned(parts: Mapping[str, Part], limit_s: float) -> Scan:
    """A pass over inputs, and over labels and weights that have a row for each of theirs, for at most so long."""
    inputs = parts["inputs"]
    tables = {name: part for name, part in parts.items() if isinstance(part, Table) and part.rows == inputs.rows}
    widest = max(tables.values(), key=lambda table: table.row_bytes)
    scan = Scan()
    deadline = time.monotonic() + limit_s
    for start, stop in widest.blocks():
        scan.add(tables, start, stop)
        if time.monotonic() > deadline:
            break
    return scan


def sample_of(table: Table) -> list[tuple[int, int]]:
    """Which rows are profiled at once: all, or evenly spaced runs of them. No random numbers are drawn."""
    rows = max(1, _PROFILED_NUMBERS // max(1, table.features))
    if rows >= table.rows:
        return [(0, table.rows)]
    length = max(1, rows // _RUNS_OF_ROWS)
    runs = min(_RUNS_OF_ROWS, rows)
    starts = [place * (table.rows - length) // max(1, runs - 1) for place in range(runs)]
    return [(start, start + length) for start in starts]
