"""The bytes of a frame."""

import re
import struct
from zlib import crc32

import pytest

from barograph.journal.format import (
    FrameType,
    decode_json,
    decode_keys,
    encode_json,
    encode_keys,
    frame,
    new_writer_id,
    seed_of,
)


def test_a_frame_is_laid_out_as_format_1_says() -> None:
    """Magic, type, length, sequence, check and crc stand in this order, little endian, before the payload."""
    seed = crc32(b"a1-r0-abcdefgh")
    made = frame(seed_of("a1-r0-abcdefgh"), FrameType.RECORD, 7, b"{}")
    assert made[:11] == b"\xf5\xba" + bytes([4]) + struct.pack("<II", 2, 7)
    assert made[11:13] == struct.pack("<H", crc32(made[:11], seed) & 0xFFFF)
    assert made[13:17] == struct.pack("<I", crc32(b"{}", crc32(made[:13], seed)))
    assert made[17:] == b"{}"


def test_key_sets_keep_every_name() -> None:
    """Names with NUL, emoji and lone surrogates come back as they were."""
    names = ("train/loss", "", "\0", "\N{SNOWMAN}", "\ud800", "x" * 10_000)
    assert decode_keys(encode_keys(2**32 - 1, names)) == (2**32 - 1, names)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0" * 7,
        struct.pack("<II", 0, 2**32 - 1),
        struct.pack("<III", 0, 1, 2**32 - 1),
        encode_keys(1, ["a"]) + b"!",
    ],
)
def test_a_malformed_key_set_is_refused(payload: bytes) -> None:
    """Counts and lengths are checked against the bytes that are there."""
    with pytest.raises(ValueError):
        decode_keys(payload)


def test_json_is_ascii_and_keeps_what_json_has_no_word_for() -> None:
    """NaN, infinities and lone surrogates survive."""
    payload = encode_json({"text": "\ud800\N{SNOWMAN}", "high": float("inf")})
    assert payload.isascii()
    assert decode_json(payload) == {"text": "\ud800\N{SNOWMAN}", "high": float("inf")}


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    """A hostile payload gives a ValueError and nothing else."""
    with pytest.raises(ValueError):
        decode_json(payload)


def test_writer_ids_are_new() -> None:
    """No two are alike; attempt and rank can be read in them."""
    ids = {new_writer_id(3, 12) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"a3-r12-[a-z0-9]{8}", one) for one in ids)
