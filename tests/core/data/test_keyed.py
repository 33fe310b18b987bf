"""Keyed hashes: the secret is made once and for the owner alone, and the hash is SipHash-2-4."""

from __future__ import annotations

import stat
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from barograph.data.keyed import Key, store_key


def _siphash(halves: tuple[int, int], message: bytes) -> int:
    """SipHash-2-4 as the paper writes it down."""
    mask = 2**64 - 1
    a, b = halves[0] ^ 0x736F6D6570736575, halves[1] ^ 0x646F72616E646F6D
    c, d = halves[0] ^ 0x6C7967656E657261, halves[1] ^ 0x7465646279746573

    def turned(word: int, bits: int) -> int:
        return ((word << bits) | (word >> (64 - bits))) & mask

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a, c = (a + b) & mask, (c + d) & mask
            b, d = turned(b, 13) ^ a, turned(d, 16) ^ c
            a = turned(a, 32)
            c, a = (c + b) & mask, (a + d) & mask
            b, d = turned(b, 17) ^ c, turned(d, 21) ^ a
            c = turned(c, 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message)])
    for (block,) in struct.iter_unpack("<Q", padded):
        d ^= block
        rounds(2)
        a ^= block
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def test_the_reference_of_these_tests_is_siphash() -> None:
    """The vector of the paper: key 00 to 0f, message 00 to 0e."""
    halves = struct.unpack("<QQ", bytes(range(16)))
    assert _siphash(halves, bytes(range(15))) == 0xA129CA6149BE45E5


def test_hashes_are_siphash_of_the_words() -> None:
    """Many words at once give what the paper's algorithm gives for each."""
    key = Key(bytes(range(32)))
    words = np.array([0, 1, 2**64 - 1, 0x0123456789ABCDEF], dtype=np.uint64)
    expected = [_siphash(key._halves, int(word).to_bytes(8, "little")) for word in words]
    assert key.hashes(words).tolist() == expected


def test_the_words_are_left_as_they_are() -> None:
    """What is hashed is not changed."""
    words = np.arange(5, dtype=np.uint64)
    Key(bytes(32)).hashes(words)
    assert words.tolist() == [0, 1, 2, 3, 4]


def test_the_secret_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    """32 bytes that nobody else may read; the second look finds the same."""
    one, two = store_key(tmp_path), store_key(tmp_path)
    assert one is not None
    assert two is not None
    assert one.id == two.id
    status = (tmp_path / "secret").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_size) == (0o600, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_two_stores_have_two_secrets(tmp_path: Path) -> None:
    """The same word has different hashes in different stores."""
    keys = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        keys.append(store_key(tmp_path / name))
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0].id != keys[1].id
    words = np.arange(3, dtype=np.uint64)
    assert keys[0].hashes(words).tolist() != keys[1].hashes(words).tolist()


def test_many_that_begin_at_once_share_a_secret(tmp_path: Path) -> None:
    """Of several threads one makes it, and all have it."""
    found: list[bytes] = []
    start = threading.Barrier(8)

    def look() -> None:
        start.wait()
        key = store_key(tmp_path)
        found.append(key.id if key is not None else b"")

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert b"" not in found


@pytest.mark.parametrize("content", [b"", b"short", bytes(40)])
def test_a_damaged_secret_is_no_secret(tmp_path: Path, content: bytes) -> None:
    """A file of another length is neither used nor replaced."""
    (tmp_path / "secret").write_bytes(content)
    assert store_key(tmp_path) is None
    assert (tmp_path / "secret").read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever put a link there does not choose the secret."""
    (tmp_path / "elsewhere").write_bytes(bytes(32))
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
    assert store_key(tmp_path) is None


def test_without_a_folder_there_is_no_secret(tmp_path: Path) -> None:
    """A store that cannot be written has no key, and nothing is raised."""
    assert store_key(tmp_path / "missing") is None
