"""The folders of a store: where it lies, what a run's folder is called and holds.

Both the writing and the reading side stand on this file, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from barograph.errors import StoreError

from .files import LocalFiles, make_folders

STORE_NAME = ".barograph"
RUNS_NAME = "runs"
MANIFEST_NAME = "run.json"
MANIFEST_LIMIT_BYTES = 1 << 20  # a manifest holds names, tags and notes; more is no manifest

_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_CONTENT_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]{1,8}")
_ATTEMPT_NAME = re.compile(r"attempts/([1-9]\d{0,8})\.json")
_ATTEMPT_LIMIT_BYTES = 1 << 16


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # removed under the process
        return Path(os.environ.get("PWD") or Path.home())


# Taken when the package is imported: Hydra and its like change the working directory before training starts.
_STARTED_IN = _working_folder()


def find_store(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the store to use; it need not exist yet.

    The argument, else the variable BAROGRAPH_STORE, else the nearest existing `.barograph` from the folder the process
    began in upward, else `.barograph` in the git root around that folder, else in that folder itself.
    """
    if path is not None and os.fspath(path):
        return _absolute(os.fspath(path), _working_folder())
    if given := os.environ.get("BAROGRAPH_STORE"):
        return _absolute(given, _STARTED_IN)
    around = [_STARTED_IN, *_STARTED_IN.parents]
    for folder in around:
        if _is_trusted_store(folder / STORE_NAME):
            return folder / STORE_NAME
    for folder in around:
        if (folder / ".git").exists():
            return folder / STORE_NAME
    return _STARTED_IN / STORE_NAME


def create_store(path: Path) -> Path:
    """Make the store's folder unless it is there, with a .gitignore that hides it from git."""
    make_folders(path / RUNS_NAME)
    LocalFiles(path).put_if_absent(".gitignore", b"*\n", sync=False)
    return path


def new_run_id() -> str:
    """A run id that sorts by time: YYYYMMDD-HHMMSS-xxxxxx in UTC. Touches no random state."""
    number = int.from_bytes(os.urandom(8), "little")
    letters = ""
    for _ in range(6):
        number, digit = divmod(number, len(_ID_LETTERS))
        letters += _ID_LETTERS[digit]
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + letters


def safe_run_id(text: str) -> str:
    """The user's run id as a folder name: unchanged where it is one, else made safe with a hash of what was given.

    Two different ids never become the same folder.
    """
    if _SAFE_ID.fullmatch(text) and not text.endswith(".") and not _WINDOWS_DEVICE.fullmatch(text):
        return text
    import hashlib

    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:80].strip("-_") or "run"
    return f"{readable}-{digest}"


def is_content_name(name: str) -> bool:
    """Whether a name found in a run may be looked up among its files: a content id and a short suffix, no path."""
    return _CONTENT_NAME.fullmatch(name) is not None


class RunFolder:
    """One run's folder: its manifest, attempts, journals, segments and files.

    Everything is made by put-if-absent, so any number of processes on any number of hosts may work here without locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.journals = self.path / "journals"
        self.segments = self.path / "segments"
        self.files = self.path / "files"
        self._contents = LocalFiles(self.path)

    def create_manifest(self, manifest: Mapping[str, object]) -> bool:
        """Write run.json; False if this run has one already, which is then left as it is."""
        text = json.dumps(manifest, ensure_ascii=True, indent=1)
        return self._contents.put_if_absent(MANIFEST_NAME, text.encode("ascii"))

    def read_manifest(self) -> dict[str, object]:
        """What run.json says; StoreError if there is none or it cannot be read."""
        try:
            return _read_object(self._contents, MANIFEST_NAME, MANIFEST_LIMIT_BYTES)
        except FileNotFoundError as error:
            raise StoreError(f"{self.path} holds no {MANIFEST_NAME}.") from error

    def new_attempt(self, key: str | None = None, wanted: int | None = None) -> int:
        """The number of the attempt that this process belongs to, from 1.

        key: what all processes of one start share (a launcher's job and restart count); whoever brings the key of the
        newest attempt joins it, everybody else begins the next one. wanted: the number to take if it is still free.
        Not forced to disk: the journals of an attempt carry its number.
        """
        if wanted is not None:
            if self._contents.put_if_absent(f"attempts/{wanted}.json", _attempt(key), sync=False):
                return wanted
            if key is not None and self._attempt_key(wanted) == key:
                return wanted
        while True:
            newest = max(self.attempts(), default=0)
            if newest and key is not None and self._attempt_key(newest) == key:
                return newest
            if self._contents.put_if_absent(f"attempts/{newest + 1}.json", _attempt(key), sync=False):
                return newest + 1

    def attempts(self) -> list[int]:
        """The numbers of all attempts, rising."""
        names = (_ATTEMPT_NAME.fullmatch(entry.name) for entry in self._contents.list("attempts"))
        return sorted(int(match[1]) for match in names if match)

    def has_attempt(self, key: str) -> bool:
        """Whether the newest attempt is that of this key."""
        return self._attempt_key(max(self.attempts(), default=0)) == key

    def put_file(self, data: bytes, suffix: str) -> str:
        """Keep some bytes under their content id and return the name, such as `<32 hex digits>.png`.

        The same bytes are kept once. Not forced to disk: the training thread does not wait for that.
        """
        import xxhash

        name = xxhash.xxh3_128_hexdigest(data) + suffix
        if not is_content_name(name):
            raise ValueError(f"suffix must look like '.png', got {suffix!r}")
        self._contents.put_if_absent(f"files/{name}", data, sync=False)
        return name

    def file_path(self, name: str) -> Path:
        """Where a kept file lies; StoreError for a name that is no content id, whoever wrote it."""
        if not is_content_name(name):
            raise StoreError(f"{self.path}: {name!r} is not the name of a kept file and was refused.")
        return self.files / name

    def _attempt_key(self, number: int) -> object:
        try:
            return _read_object(self._contents, f"attempts/{number}.json", _ATTEMPT_LIMIT_BYTES).get("key")
        except (OSError, StoreError):
            return None


def vanishing_reason(path: Path) -> str | None:
    """Why data written here would not last, in a few words; None if nothing is known against the place.

    Looks at Linux's mount table (memory file systems, a container's own layer) and at Colab's and Kaggle's variables.
    """
    mount, kind = _mount_of(path)
    if kind in ("tmpfs", "ramfs"):
        return f"{mount} is kept in memory and is lost at the next restart"
    on_own_disk = mount in ("", "/") or kind == "overlay"
    if on_own_disk and any(name.startswith("COLAB_") for name in os.environ):
        return "Colab deletes its disk when the session ends"
    if on_own_disk and "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "Kaggle deletes what is not saved as a version when the session ends"
    if kind in ("overlay", "aufs", "fuse.fuse-overlayfs"):
        return "this is the container's own layer and goes with the container"
    return None


def _absolute(text: str, base: Path) -> Path:
    scheme, found, rest = text.partition("://")
    if found:
        if scheme != "file":
            raise StoreError(f"{text}: stores of the kind {scheme}:// are not supported; give a local folder.")
        from urllib.parse import unquote

        text = unquote(rest)
    return Path(os.path.normpath(base / Path(text).expanduser()))


def _is_trusted_store(path: Path) -> bool:
    """Whether a folder that merely lies on the way up may be taken: not what another user left in /tmp or its like."""
    try:
        own, above = path.stat(), path.parent.stat()
    except OSError:
        return False
    is_open = bool(above.st_mode & stat.S_IWOTH) and os.name == "posix"
    return stat.S_ISDIR(own.st_mode) and not (is_open and own.st_uid != os.geteuid())


def _read_object(files: LocalFiles, name: str, limit_bytes: int) -> dict[str, object]:
    try:
        value = json.loads(files.get(name, limit_bytes=limit_bytes))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{files.path(name)} is not valid JSON ({type(error).__name__}).") from error
    if not isinstance(value, dict):
        raise StoreError(f"{files.path(name)} should hold a JSON object and holds a {type(value).__name__}.")
    return value


def _attempt(key: str | None) -> bytes:
    return json.dumps({"key": key}).encode("ascii")


def _mount_of(path: Path) -> tuple[str, str]:
    """The mount point a path lies on and its file system; two empty strings where the system does not tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return "", ""
    place = Path(os.path.realpath(path))
    best = ("", "")
    for line in lines:
        # proc(5): id parent major:minor root MOUNT-POINT options ... - TYPE source options; a space is written \040
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        mount = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[4])
        if len(mount) >= len(best[0]) and place.is_relative_to(mount):
            best = mount, after.split(maxsplit=1)[0]
    return best
