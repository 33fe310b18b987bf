"""What log_artifact() and use_artifact() do: keep or note a file or folder, and write records of it."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from barograph.capture.plain import to_plain
from barograph.capture.redaction import redact
from barograph.errors import StoreError
from barograph.store.objects import Objects
from barograph.values import clean_key, readable

from .artifact import Artifact
from .background import Background, StoppedError
from .directory import extent, read_listing
from .known import hash_or_known
from .open_files import open_for_writing

RECORD_KIND = "artifact"
_KIND_LIMIT = 64  # characters
_COPIED_FILES = 10_000  # of a folder that is copied unless told otherwise: two seconds of the training's time
_ENDED = "the run ended before its content was read"


class Record(Protocol):
    """How a record of the run is written."""

    def __call__(self, kind: str, step: int | None, **body: object) -> None:
        """Write one."""
        ...


class _State(NamedTuple):
    """By what a file or folder is known, without reading it, to be what it was before."""

    path: str
    size_bytes: int
    modified_ns: int
    inode: int
    is_directory: bool

    @classmethod
    def of(cls, place: Path) -> _State:
        status = place.stat()
        is_directory = stat.S_ISDIR(status.st_mode)
        if not is_directory and not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{place} is neither a file nor a folder.")
        return cls(str(place), status.st_size, status.st_mtime_ns, status.st_ino, is_directory)


class _Content(NamedTuple):
    digest: str
    size_bytes: int
    files: int | None


class ArtifactRecorder:
    """The artifacts of one run in one process. Usable from several threads.

    A copy is made before the call returns, whole or not at all: what is made of the file afterwards changes nothing. Of
    what is only noted, the content is read on the side; if it is no longer what it was by then, the record says so.
    """

    def __init__(
        self, run_id: str, store_path: Path, copy_limit_bytes: int, record: Record, warn: Callable[[str, str], None]
    ) -> None:
        self.pid = os.getpid()
        self._run_id = run_id
        self._store_path = store_path
        self._objects = Objects(store_path)
        self._copy_limit_bytes = copy_limit_bytes
        self._record = record
        self._warn = warn
        self._versions: dict[tuple[str, str], int] = {}
        self._used: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()
        self._background = Background()

    def log(
        self,
        path: object,
        kind: object,
        name: object,
        copy: bool | None,
        metadata: object,
        step: int | None,
        is_passing: bool = False,
    ) -> Artifact | None:
        """Keep a file or folder that the run made; None, with a warning, if there is none at that path.

        is_passing: that it will be gone, so that its place says nothing.
        """
        state = self._state(path)
        if state is None:
            return None
        artifact = self._described(state, kind, name, "output", step)
        artifact = replace(artifact, metadata=_plain(metadata))
        if is_passing:
            artifact = replace(artifact, path=os.path.basename(state.path))
        if self._is_to_copy(state) if copy is None else copy:
            artifact = self._copied(artifact, state)
        return self._note(artifact, state)

    def use_path(self, path: object, kind: object, name: object, step: int | None) -> None:
        """Note a file or folder that the run uses."""
        state = self._state(path)
        if state is not None and self._is_new_use(kind, name, state):
            self._note(self._described(state, kind, name, "input", step), state)

    def use(self, artifact: Artifact, kind: object, name: object, step: int | None) -> None:
        """Note an artifact, of any run, that the run uses."""
        if artifact.digest is None or os.path.realpath(artifact.store_path) != os.path.realpath(self._store_path):
            self.use_path(artifact.local_path(), kind or artifact.kind, name or artifact.name, step)
            return
        if not self._is_new_use(kind, name, artifact.digest, artifact.path, artifact.run_id, artifact.version):
            return
        for digest, size_bytes in artifact.objects().items():
            self._objects.renew(digest, size_bytes)  # so that it is not collected before the record is written
        used = replace(
            artifact,
            name=artifact.name if name is None else clean_key(name)[0],
            kind=artifact.kind if kind is None else readable(kind, _KIND_LIMIT),
            role="input",
            metadata={"run": artifact.run_id, "version": artifact.version},
            step=step,
        )
        self._note(used, None)

    def close(self, timeout_s: float) -> None:
        """Wait for at most so long for what is read on the side; what is not done then is recorded as not done."""
        self._background.close(timeout_s)
        self._background = Background()  # the run may be opened again

    def read(self, state: _State, read: Callable[[Path], tuple[str, int]]) -> _Content:
        """The content of a file or folder. Only a folder's listing is kept, unless `read` keeps what it reads."""
        place = Path(state.path)
        if not state.is_directory:
            return _Content(*read(place), None)
        listing = read_listing(place, read, self._store_path)
        return _Content(self._objects.put(listing.to_bytes()), listing.size_bytes, len(listing.files))

    def write(self, artifact: Artifact) -> None:
        """Write a record; a later one of the same id says what has become known since."""
        self._record(RECORD_KIND, artifact.step, **_body(artifact))

    def is_stored(self, content: _Content) -> bool:
        """Whether the store holds a file's content already; it is then used again and stays."""
        return self._objects.renew(content.digest, content.size_bytes)

    def warn_of(self, artifact: Artifact) -> None:
        """Warn, once a run, that the content of what was only noted is not known."""
        self._warn("artifact content", f"artifact {artifact.name!r} ({artifact.path}): {artifact.problem}")

    def _state(self, path: object) -> _State | None:
        try:
            return _State.of(Path(os.fsdecode(path)).absolute())  # type: ignore[arg-type]  # TypeError is meant to come
        except (OSError, ValueError, TypeError, StoreError) as error:
            reason = str(error).rstrip(".")
            self._warn("artifact path", f"nothing was recorded of the artifact {readable(path, 200)!r}: {reason}")
            return None

    def _described(self, state: _State, kind: object, name: object, role: str, step: int | None) -> Artifact:
        word = readable(kind, _KIND_LIMIT) if kind is not None else "file"
        if state.is_directory != (word == "directory") and word in ("file", "directory"):
            word = "directory" if state.is_directory else "file"
        return Artifact(
            name=clean_key(os.path.basename(state.path) or state.path if name is None else name)[0],
            kind=word,
            role=role,
            digest=None,
            size_bytes=None if state.is_directory else state.size_bytes,
            files=None,
            path=state.path,
            stored=False,
            step=step,
            time_s=time.time(),
            run_id=self._run_id,
            modified_ns=state.modified_ns,
        )

    def _is_to_copy(self, state: _State) -> bool:
        if not state.is_directory:
            return state.size_bytes <= self._copy_limit_bytes
        files, size_bytes = extent(Path(state.path), _COPIED_FILES, self._copy_limit_bytes)
        return files <= _COPIED_FILES and size_bytes <= self._copy_limit_bytes

    def _copied(self, artifact: Artifact, state: _State) -> Artifact:
        """The artifact with its content in the store; without, and with the reason, if that cannot be had."""
        kept: list[str] = []

        def keep(path: Path) -> tuple[str, int]:
            digest, size_bytes = self._objects.put_file(path)
            kept.append(digest)
            return digest, size_bytes

        try:
            if (unfinished := open_for_writing(state.path, self._store_path)) is not None:
                raise StoreError(f"{unfinished} is still open for writing in this process.")
            content = self.read(state, keep)
        except (OSError, ValueError, StoreError) as error:
            reason = str(error).rstrip(".")
            self._warn("artifact copy", f"artifact {artifact.name!r} was not copied, only noted by its path: {reason}")
            return replace(artifact, problem=f"not copied: {reason}")
        self._background.submit(_Syncing(self._objects, [*kept, content.digest]))
        return replace(artifact, **content._asdict(), stored=True)

    def _note(self, artifact: Artifact, state: _State | None) -> Artifact:
        with self._lock:
            key = artifact.role, artifact.name
            version = self._versions[key] = self._versions.get(key, 0) + 1
        noted = replace(
            artifact,
            version=version,
            run_id=self._run_id,
            store_path=self._store_path,
            time_s=time.time(),
            id=os.urandom(8).hex(),
        )
        self.write(noted)
        if noted.digest is None and state is not None:
            self._background.submit(_Reading(self, noted, state))
        return noted

    def _is_new_use(self, *what: object) -> bool:
        """Whether the same was not noted before: a loop may open its data in every epoch."""
        key = tuple(readable(one) for one in what)
        with self._lock:
            is_new = key not in self._used
            self._used.add(key)
        return is_new


@dataclass(slots=True)
class _Syncing:
    """Brings what was copied to the disk itself, so that it survives a power cut."""

    objects: Objects
    digests: list[str]

    def do(self, background: Background) -> None:
        """One by one; stopped in between."""
        for digest in self.digests:
            background.stop_if_told()
            try:
                self.objects.sync(digest)
            except (OSError, StoreError):  # a reader finds out: contents are checked
                return

    def give_up(self) -> None:
        """The system brings it to disk in its own time."""


class _Reading:
    """Reads the content of what was only noted, and writes what was found or why nothing was."""

    def __init__(self, recorder: ArtifactRecorder, artifact: Artifact, state: _State) -> None:
        self._recorder = recorder
        self._artifact = artifact
        self._state = state
        self._is_settled = False
        self._lock = threading.Lock()

    def do(self, background: Background) -> None:
        """Read, and write what was found."""

        def read(path: Path) -> tuple[str, int]:
            return hash_or_known(os.path.realpath(path), background.stop_if_told)

        try:
            self._check()
            content = self._recorder.read(self._state, read)
            self._check()
        except StoppedError:
            raise
        except FileNotFoundError:
            self._settle(problem="it was removed before its content was read")
        except StoreError as error:
            self._settle(problem=str(error).rstrip("."))
        except Exception as error:  # noqa: BLE001  # whatever it is, the next one's turn comes
            self._settle(problem=f"its content could not be read: {error}")
        else:
            stored = content.files is None and self._recorder.is_stored(content)
            self._settle(**content._asdict(), stored=stored)

    def give_up(self) -> None:
        """Write that it was not read."""
        self._settle(problem=_ENDED)

    def _check(self) -> None:
        if _State.of(Path(self._state.path)) != self._state:
            raise StoreError("it was changed or replaced before its content was read")

    def _settle(self, problem: str | None = None, **found: Any) -> None:  # Any: the fields of a content
        with self._lock:
            if self._is_settled:
                return
            self._is_settled = True
        known = self._artifact.problem
        both = "; ".join(one for one in (known, problem) if one) or None
        artifact = replace(self._artifact, problem=both, **found)
        self._recorder.write(artifact)
        if problem and not known:
            self._recorder.warn_of(artifact)


def _plain(metadata: object) -> dict[str, Any]:
    """Metadata as JSON can hold it, without credentials. Any: JSON."""
    if metadata is None:
        return {}
    plain: dict[str, Any] = redact(to_plain(metadata if isinstance(metadata, Mapping) else {"value": metadata}).value)
    return plain


def _body(artifact: Artifact) -> dict[str, object]:
    return {
        "id": artifact.id,
        "name": artifact.name,
        "type": artifact.kind,  # `kind` is the word for kinds of records
        "role": artifact.role,
        "digest": artifact.digest,
        "size_bytes": artifact.size_bytes,
        "files": artifact.files,
        "path": artifact.path,
        "modified_ns": artifact.modified_ns,
        "stored": artifact.stored,
        "metadata": artifact.metadata,
        "problem": artifact.problem,
    }
