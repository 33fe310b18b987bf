"""Python objects as bytes, by value: equal values give equal bytes in every process, and nothing is pickled."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import struct
import uuid
from collections.abc import Iterable, Mapping

import numpy as np

_DEEPEST = 32
_AS_TEXT = (decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath, datetime.timedelta)
_MISSING_TYPES = {"NAType", "NaTType"}


def bytes_of(value: object) -> bytes | None:
    """The bytes that stand for a value: UTF-8 for a text, a mark and its content for anything else, None if missing.

    None, NaN, NaT and pandas.NA are missing. Of an object of an unknown class only the class is known.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return _marked(value, 0)


def _marked(value: object, depth: int) -> bytes | None:
    if value is None or type(value).__name__ in _MISSING_TYPES or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return b"\0s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"\0b" + bytes(value)
    if isinstance(value, (bool, np.bool_)):
        return b"\0?1" if value else b"\0?0"
    if isinstance(value, enum.Enum):
        return b"\0e" + f"{type(value).__qualname__}.{value.name}".encode()
    if isinstance(value, (int, np.integer)):
        return b"\0i" + format(int(value), "x").encode()
    if isinstance(value, (float, np.floating)):
        return b"\0f" + struct.pack("<d", float(value)) if value == value else None
    if isinstance(value, (complex, np.complexfloating)):
        return b"\0c" + struct.pack("<dd", value.real, value.imag)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return None if np.isnat(value) else b"\0t" + str(value).encode()
    if isinstance(value, (datetime.date, datetime.time)):
        return b"\0t" + value.isoformat().encode()
    if isinstance(value, _AS_TEXT):
        return b"\0v" + str(value).encode("utf-8", "surrogatepass")
    if depth < _DEEPEST:
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return b"\0a" + f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
        if isinstance(value, Mapping):
            return b"\0d" + _joined((part for item in value.items() for part in item), depth)
        if isinstance(value, (set, frozenset)):
            return b"\0u" + b"".join(sorted(_framed(_marked(part, depth + 1)) for part in value))
        if isinstance(value, (list, tuple, np.ndarray)):
            return b"\0l" + _joined(value, depth)
    return b"\0o" + f"{type(value).__module__}.{type(value).__qualname__}".encode()


def _joined(parts: Iterable[object], depth: int) -> bytes:
    return b"".join(_framed(_marked(part, depth + 1)) for part in parts)


def _framed(part: bytes | None) -> bytes:
    return struct.pack("<q", -1) if part is None else struct.pack("<q", len(part)) + part
