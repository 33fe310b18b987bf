"""Find the frames that check, wherever they stand in a file, in time that grows with the file and with nothing else."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple
from zlib import crc32

from barograph.journal.format import (
    CHECKED_BYTES,
    HEAD,
    LENGTH_LIMIT,
    MAGIC,
    SUMMED_BYTES,
    FrameType,
    decode_json,
    seed_of,
)

_PORTION_BYTES = LENGTH_LIMIT + (1 << 20)  # always holds the longest frame that begins at its start
_SEEK_DATA = getattr(os, "SEEK_DATA", None)  # Linux and macOS: passes over holes without reading them
# Doubtful frames (right head, wrong sum) may cost as many bytes of summing as this times the file; beyond that they are
# passed over whole. Otherwise a file full of well-made heads would cost the square of its size.
_DOUBT_LIMIT = 8


class Frames(NamedTuple):
    """Frames that check, in the order of the file: three lists of one length, as a tuple for each would cost most."""

    kinds: list[int]
    sequences: list[int]
    payloads: list[bytes]


class Scanner:
    """Walks over a file, portion by portion, from one valid frame to the next.

    damaged: (start, end) of what had to be passed over so far, in bytes of the file.
    offset: where the next portion begins. Once `is_at_end`, it stands before a torn tail if there is one, so that a
    later call looks at the tail again: the writer may be alive, and a network file system shows zeros before data.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.offset = 0
        self.damaged: list[tuple[int, int]] = []
        self.is_at_end = False
        self._suspect: int | None = None  # where the bytes begin that are not known to be frames
        self._doubt_bytes = 0

    def portion(self, file: BinaryIO, size: int) -> Frames:
        """The next frames of a file of `size` bytes."""
        start = self.offset if self._suspect is None else _next_data(file, self.offset, size)
        file.seek(start)
        data = file.read(max(0, min(_PORTION_BYTES, size - start)))
        self.is_at_end = start + len(data) >= size or not data
        frames = Frames([], [], [])
        position = 0
        while True:
            if self._suspect is None:
                position = _take(data, position, self.seed, frames)
                if position == len(data) or (not self.is_at_end and self._runs_on(data, position)):
                    break
                self._suspect = start + position
            position, is_frame = self._search(data, position, size)
            if not is_frame:
                break
            self.damaged.append((self._suspect, start + position))
            self._suspect = None
        self.offset = start + position
        if self.is_at_end and self._suspect is not None:
            self.offset, self._suspect = self._suspect, None
        return frames

    def _search(self, data: bytes, position: int, size: int) -> tuple[int, bool]:
        """Where the next valid frame stands, and True; else how far the search is done, and False."""
        while (position := data.find(MAGIC, position)) >= 0:
            if not self.is_at_end and self._runs_on(data, position):
                return position, False
            end = _end_of(data, position, self.seed)
            if end <= len(data):
                if _sum_is_right(data, position, end, self.seed):
                    return position, True
                self._doubt_bytes += end - position
                if self._doubt_bytes > _DOUBT_LIMIT * size:
                    position = end
                    continue
            position += 1
        return (len(data) if self.is_at_end else len(data) - 1), False  # the last byte may be half a magic

    def _runs_on(self, data: bytes, position: int) -> bool:
        """Whether what stands here can only be judged together with the next portion."""
        if len(data) - position < HEAD.size:
            return True
        return len(data) < _end_of(data, position, self.seed) < _NOWHERE


_NOWHERE = 1 << 62


def _end_of(data: bytes, position: int, seed: int) -> int:
    """Where the frame that begins here ends, if its head is sound; else far beyond any file."""
    if len(data) - position < HEAD.size:
        return _NOWHERE
    magic, _, length, _, check, _ = HEAD.unpack_from(data, position)
    if magic != MAGIC or length > LENGTH_LIMIT:
        return _NOWHERE
    if crc32(data[position : position + CHECKED_BYTES], seed) & 0xFFFF != check:
        return _NOWHERE
    return position + HEAD.size + int(length)


def _sum_is_right(data: bytes, position: int, end: int, seed: int) -> bool:
    crc: int = HEAD.unpack_from(data, position)[5]
    head = crc32(data[position : position + SUMMED_BYTES], seed)
    return crc32(memoryview(data)[position + HEAD.size : end], head) == crc


def _take(data: bytes, position: int, seed: int, frames: Frames) -> int:
    """Collect the valid frames that follow one another from here; where the first byte stands that belongs to none."""
    # The loop over every frame of a journal: under a microsecond each, most of it slicing and summing.
    size, unpack, summed, start = len(data), HEAD.unpack_from, SUMMED_BYTES, position + HEAD.size
    add_kind, add_sequence, add_payload = frames.kinds.append, frames.sequences.append, frames.payloads.append
    while start <= size:
        magic, kind, length, sequence, _, crc = unpack(data, position)
        end = start + length
        if magic != MAGIC or end > size:
            break
        # A damaged length would cost a long sum before it is found out, hence the check of the head for long frames.
        if length > 4096 and _end_of(data, position, seed) != end:
            break
        payload = data[start:end]
        if crc32(payload, crc32(data[position : position + summed], seed)) != crc:
            break
        add_kind(kind)
        add_sequence(sequence)
        add_payload(payload)
        position, start = end, end + HEAD.size
    return position


def _next_data(file: BinaryIO, offset: int, size: int) -> int:
    """The first byte from here on that is not in a hole of the file."""
    if _SEEK_DATA is None:
        return offset
    try:
        return min(os.lseek(file.fileno(), offset, _SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == 6 else offset  # ENXIO: nothing but a hole follows


def find_seed(file: BinaryIO, size: int, name: str) -> int | None:
    """The seed of a journal's sums, or None while no frame can be found.

    name: the file's without its suffix, the writer id unless somebody renamed it; then a header frame tells.
    """
    file.seek(0)
    if (seed := _seed_in_header(file.read(_HEADER_LIMIT), 0)) is not None:
        return seed
    scanner = Scanner(seed_of(name))
    while not scanner.is_at_end:
        if scanner.portion(file, size).kinds:
            return scanner.seed
    file.seek(0)
    data, position = file.read(_PORTION_BYTES), -1
    while (position := data.find(_HEADER_START, position + 1)) >= 0:
        if (seed := _seed_in_header(data, position)) is not None:
            return seed
    return None


_HEADER_START = MAGIC + bytes([FrameType.HEADER])
_HEADER_LIMIT = 1 << 16  # bytes; a header has some hundred


def _seed_in_header(data: bytes, position: int) -> int | None:
    """The seed of the header frame that begins here, if it is one and agrees with itself."""
    if not data.startswith(_HEADER_START, position) or len(data) - position < HEAD.size:
        return None
    end = position + HEAD.size + HEAD.unpack_from(data, position)[2]
    if end > min(len(data), position + _HEADER_LIMIT):
        return None
    try:
        writer_id = decode_json(data[position + HEAD.size : end]).get("writer_id")
    except ValueError:
        return None
    if not isinstance(writer_id, str):
        return None
    seed = seed_of(writer_id)
    return seed if _end_of(data, position, seed) == end and _sum_is_right(data, position, end, seed) else None
