"""The secret of a store, and hashes keyed with it: what of the data's values may lie on disk.

Whoever has a fingerprint could try out likely rows until one fits; whoever has only keyed hashes cannot, without the
secret. It lies in the store, for its owner alone, and is made once.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np

from barograph.errors import StoreError
from barograph.store.files import open_regular

from .hashing import Words

SECRET_NAME = "secret"
_SECRET_BYTES = 32
_MODE = 0o600


class Key:
    """A key made from a store's secret. id: whether two keyed hashes can be compared; it says nothing of the secret."""

    def __init__(self, secret: bytes) -> None:
        self.id = hashlib.blake2b(b"id", digest_size=8, key=secret).digest()
        self._halves = struct.unpack("<QQ", hashlib.blake2b(b"rows", digest_size=16, key=secret).digest())

    def hashes(self, words: Words) -> Words:
        """Keyed hashes of 64-bit words: SipHash-2-4 of their eight bytes.

        Source: Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012.
        """
        one, two = (np.uint64(half) for half in self._halves)
        state = [
            np.full(words.shape, one ^ np.uint64(0x736F6D6570736575)),
            np.full(words.shape, two ^ np.uint64(0x646F72616E646F6D)),
            np.full(words.shape, one ^ np.uint64(0x6C7967656E657261)),
            np.full(words.shape, two ^ np.uint64(0x7465646279746573)),
        ]
        for block in (words, np.uint64(8 << 56)):  # the second one ends the message with its length
            state[3] ^= block
            _rounds(state, 2)
            state[0] ^= block
        state[2] ^= np.uint64(0xFF)
        _rounds(state, 4)
        keyed: Words = state[0] ^ state[1] ^ state[2] ^ state[3]
        return keyed


def store_key(store_path: Path) -> Key | None:
    """The key of a store, whose secret is made if there is none; None if it cannot be read or made."""
    path = store_path / SECRET_NAME
    for _ in range(3):  # of several processes that begin at once one makes it
        try:
            with open_regular(path) as file:
                secret = file.read(_SECRET_BYTES + 1)
            return Key(secret) if len(secret) == _SECRET_BYTES else None
        except FileNotFoundError:
            try:
                _make(path)
            except FileExistsError:
                continue
            except OSError:
                return None
        except (OSError, StoreError):
            return None
    return None


def _make(path: Path) -> None:
    """Put a secret where there is none, whole or not at all. Touches no random state."""
    temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_SECRET_BYTES))
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # no hard links here: then a reader may see it half written, and go without
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def _rounds(state: list[Words], count: int) -> None:
    a, b, c, d = state
    for _ in range(count):
        a += b
        c += d
        b[:] = _turned(b, 13) ^ a
        d[:] = _turned(d, 16) ^ c
        a[:] = _turned(a, 32)
        c += b
        a += d
        b[:] = _turned(b, 17) ^ c
        d[:] = _turned(d, 21) ^ a
        c[:] = _turned(c, 32)


def _turned(words: Words, bits: int) -> Words:
    turned: Words = (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
    return turned
