"""Data that comes in batches: fingerprinted as they pass, within a budget, and never read twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barograph.guard import guarded

from .fingerprint import Scan
from .keyed import Key
from .labels import Balance
from .profile import Profile
from .recording import Datasets, Given, described
from .sources import describe, parts_of
from .table import Opaque, Table

if TYPE_CHECKING:
    from barograph.keeping import Keeping

_FREE_S = 0.05  # before any time has passed that a share could be taken of
_PROFILED_AN_OCTAVE = 4  # batches: a profile costs several times what a fingerprint does


class DatasetStream:
    """A dataset that is seen batch by batch. Made by `run.stream_dataset()`.

    Cost: 50 ms, and then the run's overhead budget of the time that passes; once that is used up nothing more is read,
    the batches are only counted, and the record says how many rows were seen. No batch is kept or changed, and one that
    lies on a device is not brought over. Where batches end makes no difference to the fingerprints.
    """

    def __init__(self, run: Keeping, datasets: Datasets | None, given: Given, rows: int | None) -> None:
        """datasets: None where nothing is recorded."""
        self.run = run
        self._datasets = datasets
        self._given = given
        self._expected = rows
        self._share = run.overhead_budget
        self._key: Key | None = datasets.key() if datasets is not None else None
        self._began = time.monotonic()
        self._spent_s = 0.0
        self._passed = self._batches = 0
        self._stopped = ""  # why no more is read
        self._scan = Scan()
        self._body: dict[str, Any] = {}
        self._parts: dict[str, dict[str, Any]] = {}
        self._profiles: dict[str, Profile] = {}
        self._balance: Balance | None = None

    @property
    def seen(self) -> int:
        """How many rows were read."""
        return self._scan.rows

    @guarded
    def see(self, inputs: Any, labels: object = None, first_pass: bool = True) -> None:
        """Look at a batch, if it belongs to the first pass over the data: later ones bring nothing new.

        inputs, labels: arrays or tensors, or dicts, tuples and lists of them. A pair is inputs and labels.
        """
        if self._datasets is None or not first_pass:
            return
        start = time.perf_counter()
        rows = self._look(inputs, labels)
        self._passed += rows
        self._spent_s += time.perf_counter() - start

    @guarded
    def close(self) -> None:
        """Write what was seen. A stream that saw nothing writes nothing; after that it takes nothing more."""
        datasets, self._datasets = self._datasets, None
        if datasets is None or not self._passed:
            return
        body = self._body or described(self._given, Opaque("batches"))
        body |= {"rows": self._passed if self._expected is None else self._expected, "passed": self._passed}
        if self._scan.rows:
            body |= datasets.scanned_body(self._scan, self._key, self._expected)
        for name, profile in self._profiles.items():
            profiled = datasets.profiled(profile, self._scan.rows, "a few batches of the first pass")
            if name == "inputs":
                body["profile"] = profiled
            else:
                more = {"profile": profiled, "fingerprint": self._scan.fingerprint_of(name)}
                body[name] = self._parts[name] | {"rows": self._scan.rows} | more
        if self._balance is not None:
            body["labels"]["balance"] = self._balance.record()
        if self._stopped:
            body["about"] = {**body.get("about", {}), "stopped": self._stopped}
        datasets.write(body)

    def _look(self, inputs: Any, labels: object) -> int:
        if self._stopped:
            return _rows_of(inputs)
        if self._spent_s > _FREE_S + self._share * (time.monotonic() - self._began):
            self._stopped = "the budget was used up"
            return _rows_of(inputs)
        if _is_elsewhere(inputs):
            self._stopped = "the batches lie on a device"
            return _rows_of(inputs)
        parts = parts_of(tuple(inputs) if isinstance(inputs, list) and len(inputs) == 2 else inputs, labels)
        rows = parts["inputs"].rows or 0
        tables = {name: part for name, part in parts.items() if isinstance(part, Table) and part.rows == rows}
        if "inputs" not in tables:
            self._stopped = f"a batch is a {parts['inputs'].kind}, which is not read"
            return rows
        self._take(tables, rows)
        return rows

    def _take(self, tables: Mapping[str, Table], rows: int) -> None:
        if not self._body:
            inputs = tables["inputs"]
            self._body = described(self._given, inputs) | {"type": f"batches of {inputs.kind}", "bytes": None}
            self._parts = {name: {"kind": table.kind, "schema": table.schema()} for name, table in tables.items()}
            self._profiles = {name: Profile(table, self._key) for name, table in tables.items()}
            if "labels" in tables and len(tables["labels"].columns) == 1:
                self._balance = Balance(tables["labels"].columns[0], self._key)
        self._scan.add(tables, 0, rows)
        self._batches += 1
        if _is_profiled(self._batches):
            for name, profile in self._profiles.items():
                if name in tables:
                    profile.add(tables[name], [(0, rows)])
        if self._balance is not None and "labels" in tables:
            self._balance.add(tables["labels"].columns[0].read(0, rows))


def _is_profiled(batch: int) -> bool:
    """Whether the n-th batch enters the profile: the first ones do, and then a few as often as their number doubles."""
    return batch % max(1, (1 << (batch.bit_length() - 1)) // _PROFILED_AN_OCTAVE) == 0


def _rows_of(batch: Any) -> int:
    """How many rows a batch has, told by its first array."""
    while isinstance(batch, (Mapping, list, tuple)) and len(batch):
        first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch[0]
        if not hasattr(first, "__len__") or isinstance(first, str):
            return len(batch)
        batch = first
    found = getattr(batch, "shape", None)
    return int(found[0]) if found is not None and len(found) else describe(batch).rows or 0


def _is_elsewhere(batch: Any) -> bool:
    """Whether a tensor of a batch lies on a device, where reading it would make the training wait."""
    if isinstance(batch, Mapping):
        return any(_is_elsewhere(one) for one in batch.values())
    if isinstance(batch, (list, tuple)):
        return any(_is_elsewhere(one) for one in batch[:16])
    return "cpu" not in str(getattr(batch, "device", "cpu")).lower()
