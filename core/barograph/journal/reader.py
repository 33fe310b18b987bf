"""JournalReader: everything a journal still holds, damaged or not, finished or being written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barograph.errors import JournalError
from barograph.journal.format import BEAT, MAGIC, NO_STEP, SCALARS, SUFFIX, FrameType, decode_json, decode_keys
from barograph.journal.recovery import Frames, Scanner, find_seed


class Series(NamedTuple):
    """The points of one metric in the order in which they were written, all arrays of the same length."""

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    sequence: NDArray[np.uint32]


class _Rows(NamedTuple):
    """Points of one key set; values has one row for each name."""

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    sequence: NDArray[np.uint32]


class Record(NamedTuple):
    """Anything that is no number. body: what the kind says, without kind, time and step."""

    sequence: int
    kind: str
    time_s: float
    step: int | None
    body: dict[str, Any]  # Any: JSON


class Beat(NamedTuple):
    """A sign of life. pending: values that were still on a device."""

    sequence: int
    time_s: float
    monotonic_s: float
    last_step: int | None
    pending: int


class Place(NamedTuple):
    """Where something is wrong: from which byte to which, or None where only the frame is known."""

    start: int | None
    end: int | None
    reason: str


@dataclass(slots=True)
class Damage:
    """What is missing from the whole file, as far as it was read.

    lost_frames: known from the sequence numbers; frames whose names are lost count as well.
    torn_tail_bytes: at the end, no frame yet; a writer that is alive may still complete it.
    gaps: what the writer itself could not write, as it counted it.
    """

    lost_frames: int = 0
    damaged_bytes: int = 0
    torn_tail_bytes: int = 0
    places: list[Place] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON


@dataclass(slots=True)
class Contents:
    """What one read found. header, last_beat and damage tell of the whole file so far, the rest of what is new."""

    header: dict[str, Any] | None  # Any: JSON
    series: dict[str, Series]
    records: list[Record]
    statistics: list[tuple[int, bytes]]
    last_beat: Beat | None
    damage: Damage
    end_offset: int


def read_journal(path: str | os.PathLike[str]) -> Contents:
    """Everything in a journal. Raises JournalError only for a file that is no journal at all."""
    return JournalReader(path).read()


class JournalReader:
    """Reads a journal, and later what was added to it since.

    The file is never changed. A frame that does not check is passed over to the next one that does; no value is ever
    returned whose sum is wrong. Frames that stand in the file twice are returned once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._scanner: Scanner | None = None
        self._seen = _Seen()
        self._names: dict[int, tuple[str, ...]] = {}
        self._nameless: dict[int, list[_Rows]] = {}
        self._header: dict[str, Any] | None = None  # Any: JSON
        self._last_beat: Beat | None = None
        self._gaps: list[dict[str, Any]] = []  # Any: JSON
        self._notes: list[Place] = []
        self._damaged_bytes: list[bytes] = []  # how each damaged place begins

    def read(self) -> Contents:
        """What is new since the last read; the first time, everything."""
        records: list[Record] = []
        statistics: list[tuple[int, bytes]] = []
        points: dict[int, list[_Rows]] = {}
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if self._scanner is None:
                seed = find_seed(file, size, self.path.name.removesuffix(SUFFIX))
                if seed is None:
                    file.seek(0)
                    self._refuse_what_is_no_journal(file.read(1 << 16), size)
                else:
                    self._scanner = Scanner(seed)
            elif size < self._scanner.offset:
                self._notes.append(Place(size, self._scanner.offset, "the file was cut by something else"))
                self._scanner.offset = 0
            else:
                self._look_again(file, self._scanner)
            scanner = self._scanner
            if scanner is not None:
                scanner.is_at_end = False
                while not scanner.is_at_end:
                    self._sort(scanner.portion(file, size), points, records, statistics)
                new = scanner.damaged[len(self._damaged_bytes) :]
                self._damaged_bytes += [_first_bytes(file, start, end) for start, end in new]
        offset = scanner.offset if scanner is not None else 0
        # A signal handler or a __del__ that logs inside log() makes the later frame the earlier one in the file.
        records.sort(key=lambda record: record.sequence)
        statistics.sort(key=lambda item: item[0])
        series = self._series(points)
        return Contents(self._header, series, records, statistics, self._last_beat, self._damage(size), offset)

    def _look_again(self, file: BinaryIO, scanner: Scanner) -> None:
        """Go back to a damaged place whose bytes are others now: a network file system may show zeros before data."""
        for index, (start, end) in enumerate(scanner.damaged):
            if _first_bytes(file, start, end) != self._damaged_bytes[index]:
                scanner.offset = start
                del scanner.damaged[index:], self._damaged_bytes[index:]
                break

    def _refuse_what_is_no_journal(self, start: bytes, size: int) -> None:
        # Nothing, zeros (a network file system, a power cut) or the beginning of a header: it may still become one.
        if start.strip(b"\0") and not start.startswith(MAGIC) and start != MAGIC[:1]:
            raise JournalError(
                f"{self.path} is no journal: no valid frame stands in its {size} bytes. Nothing was changed on disk."
            )

    def _sort(
        self,
        frames: Frames,
        points: dict[int, list[_Rows]],
        records: list[Record],
        statistics: list[tuple[int, bytes]],
    ) -> None:
        """Put the frames of a portion where they belong, without those that were seen before."""
        sequence = np.array(frames.sequences, np.int64)
        new = self._seen.new_ones(sequence)
        kinds = np.array(frames.kinds, np.uint8)[new]
        scalars = new[kinds == FrameType.SCALARS]
        lengths = np.fromiter((len(frames.payloads[index]) for index in scalars), np.int64, len(scalars))
        for group in _groups(lengths):
            alike = scalars[group]
            payloads = [frames.payloads[index] for index in alike]
            try:
                for number, rows in _rows(payloads, sequence[alike].astype(np.uint32)):
                    points.setdefault(number, []).append(rows)
            except ValueError as error:
                self._notes += [_unreadable(FrameType.SCALARS, int(sequence[index]), error) for index in alike]
        for index in new[kinds != FrameType.SCALARS]:
            kind, number, payload = frames.kinds[index], frames.sequences[index], frames.payloads[index]
            try:
                if kind == FrameType.KEYS:
                    self._names.setdefault(*decode_keys(payload))
                elif kind == FrameType.RECORD:
                    records.append(_record(number, payload))
                elif kind == FrameType.STATISTICS:
                    statistics.append((number, payload))
                elif kind == FrameType.BEAT:
                    self._last_beat = _beat(number, payload)
                elif kind == FrameType.GAP:
                    self._gaps.append(decode_json(payload))
                elif kind == FrameType.HEADER and self._header is None:
                    self._header = decode_json(payload)
                # Other types come from a later version, which knows what to do with them.
            except ValueError as error:
                self._notes.append(_unreadable(kind, number, error))

    def _series(self, points: dict[int, list[_Rows]]) -> dict[str, Series]:
        """The new points by name; those whose names are not known yet wait for a later frame that tells."""
        for number in [number for number in self._nameless if number in self._names]:
            points.setdefault(number, [])[:0] = self._nameless.pop(number)
        pieces: dict[str, list[Series]] = {}
        for number, portions in points.items():
            names = self._names.get(number)
            if names is None:
                self._nameless.setdefault(number, []).extend(portions)
                continue
            for steps, times, columns, sequence in portions:
                if len(columns) != len(names):
                    self._notes.append(Place(None, None, f"{len(steps)} frames do not fit key set {number}"))
                    continue
                for name, values in zip(names, columns, strict=True):
                    pieces.setdefault(name, []).append(Series(steps, times, values, sequence))
        return {name: _joined(parts) for name, parts in pieces.items()}

    def _damage(self, size: int) -> Damage:
        if self._scanner is None:
            return Damage(torn_tail_bytes=size)
        damaged = self._scanner.damaged
        places = [Place(start, end, "no valid frame stands here") for start, end in damaged]
        nameless = 0
        for number, portions in self._nameless.items():
            count = sum(len(rows.steps) for rows in portions)
            nameless += count
            places.append(Place(None, None, f"the names of key set {number} are lost, which {count} frames use"))
        return Damage(
            lost_frames=self._seen.missing() + nameless,
            damaged_bytes=sum(end - start for start, end in damaged),
            torn_tail_bytes=max(0, size - self._scanner.offset),
            places=places + self._notes,
            gaps=list(self._gaps),
        )


class _Seen:
    """The sequence numbers that were read, so that each frame is taken once and the missing ones can be counted."""

    def __init__(self) -> None:
        self._next = 0
        self._count = 0
        self._read: list[NDArray[np.int64]] = []

    def new_ones(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """The indices of those that were not there before, rising."""
        new = np.arange(len(numbers))
        if len(numbers) and (numbers[0] < self._next or (np.diff(numbers) <= 0).any()):
            new = np.sort(np.unique(numbers, return_index=True)[1])
            if self._read:
                new = new[~np.isin(numbers[new], np.concatenate(self._read))]
        self._read.append(numbers[new])
        self._count += len(new)
        self._next = max(self._next, int(numbers.max(initial=-1)) + 1)
        return new

    def missing(self) -> int:
        """How many numbers below the highest were never seen."""
        return self._next - self._count


def _first_bytes(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(4096, end - start))


def _groups(values: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """The indices of each distinct value, rising."""
    if len(values) and (values == values[0]).all():
        yield np.arange(len(values))
    elif len(values):
        order = np.argsort(values, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(values[order])) + 1)


def _rows(payloads: list[bytes], sequence: NDArray[np.uint32]) -> Iterator[tuple[int, _Rows]]:
    """Scalar payloads of equal length, unpacked at once, and parted by key set."""
    value_bytes = len(payloads[0]) - SCALARS.size
    if value_bytes < 0 or value_bytes % 8:
        raise ValueError(f"{len(payloads[0])} bytes are no row of doubles")
    packed = np.dtype([("number", "<u4"), ("step", "<i8"), ("time", "<f8"), ("values", "<f8", (value_bytes // 8,))])
    read = np.frombuffer(b"".join(payloads), packed)
    for group in _groups(read["number"].astype(np.int64)):
        part = read[group]
        steps, times = np.ascontiguousarray(part["step"]), np.ascontiguousarray(part["time"])
        yield int(part["number"][0]), _Rows(steps, times, np.ascontiguousarray(part["values"].T), sequence[group])


def _joined(parts: list[Series]) -> Series:
    """One series out of its pieces, in order of writing."""
    if len(parts) == 1 and (np.diff(parts[0].sequence.astype(np.int64)) > 0).all():
        return parts[0]
    sequence = np.concatenate([part.sequence for part in parts])
    order = np.argsort(sequence, kind="stable")
    return Series(
        np.concatenate([part.steps for part in parts])[order],
        np.concatenate([part.times for part in parts])[order],
        np.concatenate([part.values for part in parts])[order],
        sequence[order],
    )


def _unreadable(kind: int, sequence: int, error: ValueError) -> Place:
    return Place(None, None, f"frame {sequence} checks, but its content (type {kind}) does not: {error}")


def _record(sequence: int, payload: bytes) -> Record:
    body = decode_json(payload)
    kind, time_s, step = body.pop("kind", None), body.pop("time_s", None), body.pop("step", None)
    if not isinstance(kind, str) or not isinstance(time_s, (int, float)) or not (step is None or isinstance(step, int)):
        raise ValueError("kind, time or step is missing")
    return Record(sequence, kind, float(time_s), step, body)


def _beat(sequence: int, payload: bytes) -> Beat:
    if len(payload) != BEAT.size:
        raise ValueError(f"{len(payload)} bytes are no beat")
    time_s, monotonic_s, last_step, pending = BEAT.unpack(payload)
    return Beat(sequence, time_s, monotonic_s, None if last_step == NO_STEP else last_step, pending)
