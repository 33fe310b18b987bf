"""Everything that one run's folder holds: its writers, read from journals and segments alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from barograph.errors import JournalError, StoreError
from barograph.journal.format import SUFFIX as JOURNAL_SUFFIX
from barograph.journal.reader import JournalReader, Record, Series

from .digest import WriterDigest
from .files import Entry, LocalFiles
from .layout import RunFolder
from .liveness import Life, life_of
from .parquet import Database
from .segment import SUFFIX as NOTE_SUFFIX
from .segment import Segment, parquet_names, read_records, read_series
from .tensors import TensorRecord, decoded, read_keys, read_tensor

MOST_WRITERS = 10_000  # of one run; a folder made by a stranger may hold any number of files


class Source(Protocol):
    """One writer's data, wherever it lies."""

    @property
    def digest(self) -> WriterDigest:
        """What the writer said, without its points."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it is known that the writer will never write again."""
        ...

    def series(self, key: str) -> Series | None:
        """A metric by step, then order of writing; None if there is none of that name."""
        ...

    def records(self, kind: str) -> list[Record]:
        """The records of a kind in the order of writing."""
        ...

    def tensors(self) -> list[str]:
        """The tensors that statistics were taken of."""
        ...

    def tensor(self, key: str) -> list[TensorRecord]:
        """What was recorded of a tensor."""
        ...


class JournalSource:
    """A journal, read on from where the last look at it ended."""

    def __init__(self, path: Path) -> None:
        self.digest = WriterDigest(path.name.removesuffix(JOURNAL_SUFFIX))
        self._reader = JournalReader(path)
        self._series: dict[str, list[Series]] = {}
        self._records: list[Record] = []
        self.statistics: list[tuple[int, bytes]] = []  # packed, each with its place in the order of writing
        self._tensors: dict[str, list[TensorRecord]] = {}
        self._unpacked = 0  # so many of them
        self.read_bytes = -1
        self.changed_ns = -1
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        return self.digest.end is not None or life_of(self.digest.header) is Life.DEAD

    def refresh(self, entry: Entry) -> bool:
        """Read what is new; False if nothing is."""
        with self._lock:
            if (entry.size_bytes, entry.changed_ns) == (self.read_bytes, self.changed_ns):
                return False
            contents = self._reader.read()
            self.digest = self.digest.with_more(contents)
            for key, series in contents.series.items():
                self._series.setdefault(key, []).append(series)
            self._records += contents.records
            self.statistics += contents.statistics
            self.read_bytes, self.changed_ns = entry.size_bytes, entry.changed_ns
            return True

    def series(self, key: str) -> Series | None:
        with self._lock:
            pieces = self._series.get(key)
            if pieces is None:
                return None
            if len(pieces) > 1:
                pieces[:] = [joined(pieces)]
            return by_step(pieces[0])

    def records(self, kind: str) -> list[Record]:
        return [record for record in self._records if record.kind == kind]

    def tensors(self) -> list[str]:
        return list(self._unpack())

    def tensor(self, key: str) -> list[TensorRecord]:
        return list(self._unpack().get(key, ()))

    def _unpack(self) -> dict[str, list[TensorRecord]]:
        with self._lock:
            for key, record in decoded(self.statistics[self._unpacked :]):
                self._tensors.setdefault(key, []).append(record)
            self._unpacked = len(self.statistics)
            return self._tensors

    def all_records(self) -> list[Record]:
        """The records of every kind in the order of writing."""
        return self._records


class SegmentSource:
    """A sealed writer; its points and records stay on disk until they are asked for."""

    def __init__(self, folder: RunFolder, segment: Segment, missing: list[str], database: Database) -> None:
        self.segment = segment
        self.missing = missing
        self._folder = folder
        self._database = database

    @property
    def digest(self) -> WriterDigest:
        return self.segment.digest

    @property
    def is_over(self) -> bool:
        return True

    def series(self, key: str) -> Series | None:
        if any("points" in name for name in self.missing):
            return None
        return read_series(self._database, self._folder, self.segment, key)

    def records(self, kind: str) -> list[Record]:
        if any("records" in name for name in self.missing):
            return []
        return read_records(self._database, self._folder, self.segment, kind)

    def tensors(self) -> list[str]:
        path = self._statistics_path
        return [self.segment.escaped.get(text, text) for text in read_keys(self._database, path)] if path else []

    def tensor(self, key: str) -> list[TensorRecord]:
        path = self._statistics_path
        text = {one: text for text, one in self.segment.escaped.items()}.get(key, key)
        return read_tensor(self._database, path, text) if path else []

    @property
    def _statistics_path(self) -> Path | None:
        name = parquet_names(self.digest.writer_id)[2]
        return self._folder.segments / name if name in self.segment.sizes and name not in self.missing else None


class RunContents:
    """The writers of a run, kept up to date: `refresh()` costs two folder listings when nothing has changed.

    sources: in the order in which the writers began. problems: what was found wrong with the folder itself.
    version: rises with every change. Usable from several threads.
    """

    def __init__(self, folder: RunFolder, database: Database) -> None:
        self.folder = folder
        self.sources: list[Source] = []
        self.problems: list[str] = []
        self.version = 0
        self._database = database
        self._files = LocalFiles(folder.path)
        self._journals: dict[str, JournalSource] = {}
        self._segments: dict[str, tuple[Entry, SegmentSource]] = {}
        self._lock = threading.RLock()

    @property
    def points_in_memory(self) -> int:
        """How many points the journals read so far take up."""
        return sum(source.digest.points for source in self._journals.values())

    def refresh(self) -> None:
        """See what is on disk now."""
        with self._lock:
            try:
                self._look()
            except FileNotFoundError:  # sealed by another process between the listing and the reading
                self._look()

    def _look(self) -> None:
        journals = _by_stem(self._files.list("journals"), JOURNAL_SUFFIX)
        segments = self._files.list("segments")
        notes = _by_stem(segments, NOTE_SUFFIX)
        sizes = {PurePosixPath(entry.name).name: entry.size_bytes for entry in segments}
        problems: list[str] = []
        found: list[Source] = []
        changed = False
        writers = sorted({*journals, *notes})
        if len(writers) > MOST_WRITERS:
            problems.append(f"{len(writers)} writers; only the first {MOST_WRITERS} are read")
        for writer_id in writers[:MOST_WRITERS]:
            try:
                source, is_new = self._source(writer_id, journals.get(writer_id), notes.get(writer_id), sizes)
            except FileNotFoundError:
                raise
            except (JournalError, StoreError, OSError) as error:
                problems.append(str(error))
                continue
            found.append(source)
            changed |= is_new
            if isinstance(source, SegmentSource) and source.missing:
                problems.append(f"{', '.join(source.missing)}: missing or not yet complete")
        found.sort(key=lambda source: source.digest.order)
        if changed or problems != self.problems or len(found) != len(self.sources):
            self.version += 1
        self.sources, self.problems = found, problems

    def _source(
        self, writer_id: str, journal: Entry | None, note: Entry | None, sizes: dict[str, int]
    ) -> tuple[Source, bool]:
        """Where a writer's data is to be taken from, and whether it has changed since the last look."""
        if note is not None:
            try:
                sealed, is_new = self._segment(writer_id, note, sizes)
            except StoreError:
                if journal is None:
                    raise
            else:
                if journal is None or (journal.size_bytes <= sealed.segment.journal_bytes and not sealed.missing):
                    self._journals.pop(writer_id, None)
                    return sealed, is_new
        assert journal is not None
        source = self._journals.get(writer_id)
        if source is None:
            source = JournalSource(self._files.path(journal.name))
        changed = source.refresh(journal)
        self._journals[writer_id] = source
        return source, changed

    def _segment(self, writer_id: str, note: Entry, sizes: dict[str, int]) -> tuple[SegmentSource, bool]:
        known = self._segments.get(writer_id)
        if known is not None and known[0] == note and not known[1].missing:
            return known[1], False
        segment = Segment.read(self._files, writer_id)
        source = SegmentSource(self.folder, segment, segment.missing(sizes), self._database)
        self._segments[writer_id] = note, source
        return source, True


def by_step(series: Series) -> Series:
    """The same points by step; those of one step stay in the order of writing."""
    steps = series.steps
    if len(steps) < 2 or bool((steps[1:] >= steps[:-1]).all()):
        return series
    order = np.argsort(steps, kind="stable")
    return Series(steps[order], series.times[order], series.values[order], series.sequence[order])


def joined(pieces: Sequence[Series]) -> Series:
    """Several series as one, in the order given."""
    return Series(
        np.concatenate([piece.steps for piece in pieces]),
        np.concatenate([piece.times for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.sequence for piece in pieces]),
    )


def _by_stem(entries: list[Entry], suffix: str) -> dict[str, Entry]:
    return dict(_stems(entries, suffix))


def _stems(entries: list[Entry], suffix: str) -> Iterator[tuple[str, Entry]]:
    for entry in entries:
        name = PurePosixPath(entry.name).name
        if name.endswith(suffix) and len(name) > len(suffix):
            yield name.removesuffix(suffix), entry
