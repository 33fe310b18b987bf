"""Copies of text files, without secrets, kept in the store by content; and what of a file may not be kept at all."""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from barograph.capture.pace import Pace
from barograph.capture.redaction import redact_long
from barograph.capture.secret_shapes import REDACTED
from barograph.store.layout import STORE_NAME
from barograph.store.objects import Objects

FILE_LIMIT_BYTES = 1 << 20  # of one file; a longer one is data or was made by a program
_TOTAL_LIMIT_BYTES = 16 << 20
_MOST_FILES = 2_000
_MOST_LEFT_OUT = 200  # named

# Files that hold secrets by their purpose, whatever their contents look like. Not those of sources, such as secrets.py.
_SECRET_FILE = re.compile(
    r"\.env.*|.*\.env|\.?netrc|_netrc|\.pypirc|\.npmrc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg|kaggle\.json"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)(?!.*\.pub$).*|.*\.(?:pem|key|p8|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg|age|ovpn)"
    r"|(?:.*[._-])?(?:secrets?|credentials?|service[._-]?account)(?:[._-].*)?\.(?:ya?ml|toml|json|cfg|ini|conf|txt)"
    r"|credentials",
    re.IGNORECASE,
)
_SECRET_FOLDERS = frozenset((".ssh", ".aws", ".gnupg", ".kube", ".docker", ".git", STORE_NAME))

_PARTS = re.compile(r"(?m)^(?=diff --git )")  # inside of a hunk every line begins with another sign
_BINARY = "\nGIT binary patch\n"


class Copy(NamedTuple):
    """A file's text as it is kept. redacted: how many secrets are missing in it."""

    object: str
    size_bytes: int
    redacted: int


class NotKept(Exception):
    """A file that stays out, with the reason in a few words."""


# What a process has copied already: path to (changed_ns, size, copy). Runs of one process have the same sources.
_known: dict[str, tuple[int, int, Copy]] = {}


def holds_secrets(path: str) -> bool:
    """Whether a file is one of those that hold keys and passwords, or lies in a folder of such, going by its names."""
    *folders, name = path.replace("\\", "/").split("/")
    return _SECRET_FILE.fullmatch(name) is not None or not _SECRET_FOLDERS.isdisjoint(folders)


class Copies:
    """Puts texts into a store, up to limits for each file, for all of them, and for their number."""

    def __init__(self, objects: Objects, pace: Pace) -> None:
        self.objects = objects
        self.pace = pace
        self.left_out: list[dict[str, str]] = []
        self._left_bytes = _TOTAL_LIMIT_BYTES
        self._left_files = _MOST_FILES

    def of_file(self, path: str, name: str) -> Copy | None:
        """A file's text; None if it was left out. name: its path within the project, by which it is judged."""
        try:
            return self._copy(path, name)
        except NotKept as reason:
            self.leave_out(name, str(reason))
        except (OSError, ValueError) as error:
            self.leave_out(name, f"could not be kept: {getattr(error, 'strerror', None) or type(error).__name__}")
        return None

    def of_text(self, text: str) -> Copy:
        """A text that is in memory. Raises OSError if the store cannot be written."""
        return self._put(*self.hide(text))

    def of_patch(self, patch: str) -> Copy:
        """The same for a patch: parts of it that are binary stay as they are, or nothing could read them again."""
        parts = [(part, 0) if _BINARY in part else self.hide(part) for part in _PARTS.split(patch)]
        return self._put("".join(part for part, _ in parts), sum(count for _, count in parts))

    def hide(self, text: str) -> tuple[str, int]:
        """A text without secrets, and how many went."""
        hidden = redact_long(text, self.pace.rest)
        return hidden, hidden.count(REDACTED) - text.count(REDACTED)

    def leave_out(self, name: str, reason: str) -> None:
        """Note what is missing, as long as the list is one that a person would read."""
        if len(self.left_out) < _MOST_LEFT_OUT:
            self.left_out.append({"path": name, "reason": reason})
        elif len(self.left_out) == _MOST_LEFT_OUT:
            self.left_out.append({"path": "", "reason": "and more"})

    def _put(self, text: str, redacted: int) -> Copy:
        data = text.encode("utf-8", "surrogateescape")
        return Copy(self.objects.put(data), len(data), redacted)

    def _copy(self, path: str, name: str) -> Copy:
        if holds_secrets(name):
            raise NotKept("a file of its kind holds secrets")
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise NotKept("no regular file")
        if status.st_size > FILE_LIMIT_BYTES:
            raise NotKept(f"longer than {FILE_LIMIT_BYTES >> 20} MiB")
        if self._left_files <= 0 or status.st_size > self._left_bytes:
            raise NotKept("the files before it fill the room there is")
        changed_ns, size, copy = _known.get(path, (0, 0, None))
        is_known = (changed_ns, size) == (status.st_mtime_ns, status.st_size)
        if copy is None or not is_known or not self.objects.has(copy.object):
            data = Path(path).read_bytes()[: FILE_LIMIT_BYTES + 1]
            if b"\0" in data:
                raise NotKept("no text")
            copy = self.of_text(data.decode("utf-8", "surrogateescape"))
            _known[path] = status.st_mtime_ns, status.st_size, copy
        self._left_files -= 1
        self._left_bytes -= copy.size_bytes
        return copy
