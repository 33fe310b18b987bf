"""The bytes of a frame: how they are laid out, made and checked. FORMAT.md beside this file says the same in words."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from zlib import crc32

FORMAT = 1
MAGIC = b"\xf5\xba"  # 0xf5 occurs in no UTF-8 text, so no text is ever searched for frames in vain
LENGTH_LIMIT = 16 * 1024 * 1024  # bytes of payload; a longer one is never written and never believed
REPEAT_KEYS_AFTER = 1000  # frames, counted from the last writing of a key set
SUFFIX = ".journal"

HEAD = struct.Struct("<2sBIIHI")  # magic, type, length, sequence, check, crc
CHECKED_BYTES = 11  # what `check` covers: magic, type, length, sequence
SUMMED_BYTES = 13  # what `crc` covers of the head: the same and `check`
SCALARS = struct.Struct("<Iqd")  # key set, step, wall time; then the doubles
BEAT = struct.Struct("<ddqI")  # wall time, monotonic time, last step, pending values
NO_STEP = -(2**63)  # the last step in a beat before the first point
EXACT_INTEGER = 2**53  # up to here, both ways, a double holds every integer

_PAIR = struct.Struct("<II")
_NUMBER = struct.Struct("<I")
_CHECKED_HEAD = struct.Struct("<2sBII")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# Bound at import, so that a patched json module changes nothing here. ASCII keeps lone surrogates and any reader happy.
_to_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode
_random_bytes = os.urandom


class FrameType(IntEnum):
    """What a frame holds. Numbers are never reused."""

    HEADER = 1
    KEYS = 2
    SCALARS = 3
    RECORD = 4
    STATISTICS = 5
    BEAT = 6
    GAP = 7


# The frames whose loss is a loss to the user; the others only help to read them.
COUNTED_TYPES = frozenset({FrameType.SCALARS, FrameType.RECORD, FrameType.STATISTICS})


def new_writer_id(attempt: int, rank: int) -> str:
    """An id that no other writer has, and the name of its journal. Touches no random state."""
    return f"a{attempt}-r{rank}-" + "".join(_LETTERS[byte % len(_LETTERS)] for byte in _random_bytes(8))


def seed_of(writer_id: str) -> int:
    """What every sum in a writer's journal starts from, so that no frame passes in another writer's journal."""
    return crc32(writer_id.encode("utf-8", "surrogatepass"))


def frame(seed: int, kind: int, sequence: int, payload: bytes) -> bytes:
    """A whole frame. The payload must not be longer than LENGTH_LIMIT."""
    head = _CHECKED_HEAD.pack(MAGIC, kind, len(payload), sequence)
    crc = crc32(head, seed)
    check = (crc & 0xFFFF).to_bytes(2, "little")
    return head + check + crc32(payload, crc32(check, crc)).to_bytes(4, "little") + payload


def points_in(kind: int, payload: bytes) -> int:
    """How many scalar points a payload of this type holds."""
    return (len(payload) - SCALARS.size) // 8 if kind == FrameType.SCALARS else 0


def encode_json(content: Mapping[str, object]) -> bytes:
    """A JSON object as ASCII; NaN and infinities are the words NaN, Infinity, -Infinity."""
    return _to_json(content).encode("ascii")


def decode_json(payload: bytes) -> dict[str, object]:
    """The JSON object in a payload; ValueError if there is none."""
    try:
        content = _from_json(payload.decode("ascii"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def encode_keys(number: int, names: Sequence[str]) -> bytes:
    """The payload that defines a key set."""
    parts = [_PAIR.pack(number, len(names))]
    for name in names:
        text = name.encode("utf-8", "surrogatepass")
        parts += (_NUMBER.pack(len(text)), text)
    return b"".join(parts)


def decode_keys(payload: bytes) -> tuple[int, tuple[str, ...]]:
    """A key set's number and names; ValueError if the payload holds no key set."""
    try:
        number, count = _PAIR.unpack_from(payload)
        position, names = _PAIR.size, []
        if count > len(payload) // _NUMBER.size:  # before anything is made of it
            raise ValueError("more names than bytes")
        for _ in range(count):
            (length,) = _NUMBER.unpack_from(payload, position)
            position += _NUMBER.size
            if position + length > len(payload):
                raise ValueError("a name runs past the end")
            names.append(payload[position : position + length].decode("utf-8", "surrogatepass"))
            position += length
    except struct.error as error:
        raise ValueError("cut short") from error
    if position != len(payload):
        raise ValueError("bytes left over")
    return number, tuple(names)


def encode_beat(time_s: float, monotonic_s: float, last_step: int | None, pending: int) -> bytes:
    """The payload of a beat; no step yet is the least integer."""
    return BEAT.pack(time_s, monotonic_s, NO_STEP if last_step is None else last_step, min(pending, 2**32 - 1))
