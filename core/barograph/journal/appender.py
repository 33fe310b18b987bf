"""Append frames to one file, in order and whole, or keep them waiting while the disk refuses. Twin of _append.c."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections import deque
from collections.abc import Sequence
from time import perf_counter, time
from typing import Any

from barograph.journal.format import (
    COUNTED_TYPES,
    EXACT_INTEGER,
    HEAD,
    LENGTH_LIMIT,
    REPEAT_KEYS_AFTER,
    SCALARS,
    FrameType,
    encode_keys,
    frame,
    points_in,
)
from barograph.journal.summary import Tally

_write, _fstat = os.write, os.fstat  # bound at import: what is patched later changes nothing here
_HEADER, _KEYS, _SCALARS = int(FrameType.HEADER), int(FrameType.KEYS), int(FrameType.SCALARS)
_KEPT_TYPES = COUNTED_TYPES | {FrameType.GAP}  # what moves on to the next file when one is given up
_BEFORE_POINTS = HEAD.size + SCALARS.size
_VALUES_LIMIT = 1 << 16  # values of one frame; far under the cap, and the cap for names is checked by itself
_NAME_LIMIT = 1024  # characters; see KEY_LIMIT in values.py
_BLANKS = "".join(map(chr, range(33)))  # the space, and what comes before it
_NAMES_LIMIT = 1 << 16  # names in the table of key sets
_ITEM_BYTES = 128  # what a waiting frame costs beside its payload
_ROWS_A_PORTION = 256


class _KeySet:
    __slots__ = ("announced", "names", "number", "pack")

    def __init__(self, number: int, names: tuple[str, ...]) -> None:
        self.number = number
        self.names = names
        self.announced = -1  # sequence of its last writing in this file, -1: not in this file
        self.pack = struct.Struct(f"<Iqd{len(names)}d").pack


def _is_plain_name(name: str) -> bool:
    """Whether a name can be kept as it is: not blank, not longer than a key may be, and valid Unicode."""
    if len(name) > _NAME_LIMIT or not name.strip(_BLANKS):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Appender:
    """The hot path in Python. See _append.pyi for what each member means.

    Interrupts: a frame is remembered in `_open_frame` before its first byte is written and until the file is known to
    hold it, so whatever is raised in between (KeyboardInterrupt at any instruction, MemoryError), the next write looks
    at the file and completes it. A frame may then stand there twice, which a reader sees by its sequence; never half.
    """

    def __init__(self, buffer_limit_bytes: int, calls: int = 0) -> None:
        self._limit_bytes = buffer_limit_bytes
        # Reentrant: a signal handler or a __del__ may log while a frame is being written.
        self._lock = threading.RLock()
        self._fd = -1
        self._seed = 0
        self._sequence = 0
        self._open_frame = b""
        self._open_item = (0, b"")  # type and payload of the frame written last; known by its identity
        self._closed = False
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._sets: dict[tuple[str, ...], _KeySet] = {}
        self._sets_by_number: dict[int, _KeySet] = {}
        self._next_number = 0
        self._names_held = 0
        self._last_set: _KeySet | None = None
        self._tally = Tally()
        self._rows_set: _KeySet | None = None
        self._rows: list[tuple[float, ...]] = []
        self._steps: list[int] = []
        self.is_blocked = True
        self.error = 0
        self.size = 0
        self.file_records = 0
        self.file_points = 0
        self.calls = calls
        self.points = 0
        self.last_step: int | None = None
        self.cost_s = 0.0
        self.lost_records = 0
        self.lost_points = 0
        self.lost_bytes = 0

    # -- points ------------------------------------------------------------------------------------------------------

    def log(self, metrics: Any, step: Any = None, time_s: float | None = None) -> bool:  # Any: whatever a user logs
        start = perf_counter()
        if type(metrics) is not dict or self._closed:
            return False
        if step is not None and (type(step) is not int or not -(2**63) <= step < 2**63):
            return False
        try:
            snapshot = metrics.copy()  # one instruction: another thread may change the caller's
            names = tuple(snapshot)
            for name in names:
                if type(name) is not str:
                    return False
            values = tuple(snapshot.values())
            for value in values:
                if type(value) is not float:
                    if not all(map(_is_exact, values)):
                        return False
                    values = tuple(map(float, values))
                    break
            with self._lock:
                keys = self._last_set
                if keys is None or names != keys.names:
                    if names not in self._sets and not all(map(_is_plain_name, names)):
                        return False
                    keys = self._key_set(names)
                    if keys is None:
                        return False
                self._append_points(keys, self.calls if step is None else step, values, time_s)
                self.calls += 1
                self.cost_s += perf_counter() - start
        except MemoryError:
            return False  # the caller tries again, where an error shows as a warning
        return True

    def scalars(
        self,
        names: tuple[str, ...],
        step: int | None,
        values: Sequence[float],
        time_s: float | None = None,
        count_call: bool = True,
    ) -> int:
        start = perf_counter()
        numbers = tuple(map(float, values))
        if len(numbers) != len(names):
            raise ValueError(f"{len(names)} names for {len(numbers)} values")
        if step is not None and not -(2**63) <= step < 2**63:
            raise ValueError(f"step {step} needs more than 64 bits")
        with self._lock:
            keys = self._key_set(names)
            if keys is None:
                raise ValueError(f"{len(names)} names are too many or too long for one frame of 16 MiB")
            at = self.calls if step is None else step
            if not self._closed:
                self._append_points(keys, at, numbers, time_s)
                self.calls += count_call
                self.cost_s += perf_counter() - start
        return at

    def _append_points(self, keys: _KeySet, step: int, values: tuple[float, ...], time_s: float | None) -> None:
        if values:
            payload = keys.pack(keys.number, step, time() if time_s is None else time_s, *values)
            self._put(_SCALARS, payload, keys)
            self.points += len(values)
            if keys is not self._rows_set or len(self._rows) >= _ROWS_A_PORTION:
                self._fold()
                self._rows_set = keys
            self._rows.append(values)
            self._steps.append(step)
        self.last_step = step

    def _key_set(self, names: tuple[str, ...]) -> _KeySet | None:
        keys = self._sets.get(names)
        if keys is None:
            if len(names) > _VALUES_LIMIT or _keys_bytes(names) > LENGTH_LIMIT:
                return None
            # Beyond the limit the table starts anew; while frames wait, it grows with them, inside their limit.
            if self._names_held + len(names) > _NAMES_LIMIT and not self.is_blocked:
                self._sets, self._sets_by_number, self._names_held = {}, {}, 0
            keys = _KeySet(self._next_number, names)
            self._next_number += 1
            self._names_held += len(names)
            self._sets_by_number[keys.number] = keys
            self._sets[names] = keys
        self._last_set = keys
        return keys

    # -- summaries ---------------------------------------------------------------------------------------------------

    def _fold(self) -> None:
        steps, rows, self._steps, self._rows = self._steps, self._rows, [], []
        if rows and self._rows_set is not None:
            self._tally.add(self._rows_set.names, steps[: len(rows)], rows[: len(steps)])

    def summary(self) -> dict[str, tuple[Any, ...]]:  # Any: the fields of a MetricSummary
        with self._lock:
            self._fold()
            return self._tally.summary()

    def summary_keys(self) -> tuple[str, ...]:
        with self._lock:
            self._fold()
            return self._tally.keys()

    # -- frames ------------------------------------------------------------------------------------------------------

    def put(self, kind: int, payload: bytes) -> bool:
        if kind == _SCALARS:
            raise ValueError("scalars are written by scalars()")  # they refer to a key set
        if len(payload) > LENGTH_LIMIT:
            raise ValueError(f"a frame of {len(payload)} bytes is longer than the 16 MiB it may have")
        with self._lock:
            return self._put(kind, payload)

    def _put(self, kind: int, payload: bytes, keys: _KeySet | None = None) -> bool:
        item = (kind, payload)
        if not self.is_blocked:
            if self._write_item(item, keys):
                return True
            self.is_blocked = True
            if self._open_frame and self._open_item is item:
                return False  # it is begun: flush() completes it before anything else
        cost = len(payload) + _ITEM_BYTES
        if self._waiting_bytes + cost > self._limit_bytes:
            self._lose(kind, payload)
        else:
            self._waiting.append(item)
            self._waiting_bytes += cost
        return False

    def _write_item(self, item: tuple[int, bytes], keys: _KeySet | None) -> bool:
        """Write a frame, before it the rest of one that was begun and, where that is due, its key set."""
        if self._open_frame and not self._settle():
            return False
        if keys is not None and (keys.announced < 0 or self._sequence - keys.announced > REPEAT_KEYS_AFTER):
            return self._announce(keys) and self._write_frame(item)
        return self._write_frame(item)

    def _announce(self, keys: _KeySet) -> bool:
        definition = (_KEYS, encode_keys(keys.number, keys.names))
        for _ in range(2 if keys.announced < 0 else 1):
            if not self._write_frame(definition):
                return False
        keys.announced = self._sequence - 1
        return True

    def _write_frame(self, item: tuple[int, bytes]) -> bool:
        self._open_item, self._open_frame = item, frame(self._seed, item[0], self._sequence, item[1])
        return self._hand_over(0)

    def _settle(self) -> bool:
        """Bring a frame that was begun to its end: the rest of it, or all of it if the file was changed meanwhile."""
        there = _fstat(self._fd).st_size - self.size
        if there > len(self._open_frame):
            self.size += there
        return self._hand_over(there if 0 <= there <= len(self._open_frame) else 0)

    def _hand_over(self, there: int) -> bool:
        """Write the open frame from byte `there` on; True when the file holds it whole."""
        whole = self._open_frame
        try:
            written = _write(self._fd, whole[there:] if there else whole)
        except OSError as error:
            self.error = error.errno or errno.EIO
            return False
        if there + written < len(whole):
            self.error = errno.ENOSPC  # the next write would say so; most often it is this
            return False
        if whole[2] == _SCALARS:
            self.file_records += 1
            self.file_points += (len(whole) - _BEFORE_POINTS) // 8
        elif whole[2] in COUNTED_TYPES:
            self.file_records += 1
        # No instruction among these can be interrupted: the state goes from "begun" to "there" at once.
        self.size, self._sequence, self._open_frame = self.size + len(whole), self._sequence + 1, b""
        return True

    def flush(self, count: int) -> bool:
        with self._lock:
            self.error = 0
            if self._fd < 0 or (self._open_frame and not self._settle()):
                return False
            for _ in range(count):
                if self._waiting and self._waiting[0] is self._open_item:
                    # written by the last round, or by a call that was interrupted before it could say so
                    self._waiting_bytes -= len(self._waiting.popleft()[1]) + _ITEM_BYTES
                if not self._waiting:
                    self.is_blocked = False
                    return True
                item = self._waiting[0]
                number = int.from_bytes(item[1][:4], "little")
                if not self._write_item(item, self._sets_by_number[number] if item[0] == _SCALARS else None):
                    return False
            return False

    def begin(self, fd: int, seed: int, header: bytes) -> bool:
        with self._lock:
            waits = bool(self._waiting) and self._waiting[0] is self._open_item
            if self._open_frame and self._open_item[0] in _KEPT_TYPES and not waits:
                self._waiting.appendleft(self._open_item)
                self._waiting_bytes += len(self._open_item[1]) + _ITEM_BYTES
            self.is_blocked = True
            self._fd, self._seed, self._sequence, self._open_frame, self._open_item = fd, seed, 0, b"", (0, b"")
            if fd < 0:
                return False
            self.size = self.file_records = self.file_points = 0
            self._forget_announcements()
            return self._write_frame((_HEADER, header))

    def renew(self, header: bytes) -> bool:
        with self._lock:
            self.size = _fstat(self._fd).st_size
            in_use = [keys for keys in self._sets_by_number.values() if keys.announced >= 0]
            self._forget_announcements()
            written = self._put(_HEADER, header)
            for keys in in_use:
                # at once: points that were written since the cut may be the last ones under these names
                if written and not self._announce(keys):
                    self.is_blocked, written = True, False
            return written

    def _forget_announcements(self) -> None:
        for keys in self._sets_by_number.values():
            keys.announced = -1

    # -- losses and the end ------------------------------------------------------------------------------------------

    def _lose(self, kind: int, payload: bytes) -> None:
        if kind in COUNTED_TYPES:
            points = points_in(kind, payload)
            self.points -= points
            self.count_lost(1, points, len(payload) + HEAD.size)

    def count_lost(self, records: int, points: int, size_bytes: int) -> None:
        with self._lock:
            self.lost_records += records
            self.lost_points += points
            self.lost_bytes += size_bytes

    def lose_waiting(self) -> None:
        with self._lock:
            self.begin(-1, 0, b"")
            while self._waiting:
                self._lose(*self._waiting.popleft())
            self._waiting_bytes = 0

    def spend(self, seconds: float) -> None:
        with self._lock:
            self.cost_s += seconds

    def close(self) -> None:
        self._closed = True

    def abandon(self) -> None:
        self._lock = threading.RLock()  # the one that was copied may be held by a thread that is not here
        self._closed = self.is_blocked = True
        self._fd, self._open_frame = -1, b""


def _is_exact(value: object) -> bool:
    kind = type(value)
    return kind is float or kind is bool or (kind is int and -EXACT_INTEGER <= value <= EXACT_INTEGER)  # type: ignore[operator]  # an int


def _keys_bytes(names: tuple[str, ...]) -> int:
    return len(encode_keys(0, names))
