"""What a run keeps besides numbers: texts, pictures, tables, distributions, fingerprints of data, artifacts."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph.guard import guarded
from barograph.settled import Settled
from barograph.values import clean_key, clean_step, readable

if TYPE_CHECKING:
    from barograph.artifacts.artifact import Artifact
    from barograph.artifacts.recorder import ArtifactRecorder
    from barograph.data.recording import Datasets
    from barograph.data.stream import DatasetStream
    from barograph.tensors.statistics import Statistics

_TEXT_IN_RECORD = 64 * 1024  # characters; a longer text goes into a file of its own


class Keeping(Settled, ABC):
    """The half of a Run that keeps things. What takes long to import is imported by the first call that needs it."""

    _lock: threading.RLock
    pid: int

    def __init__(self) -> None:
        self._artifacts: ArtifactRecorder | None = None
        self._datasets: Datasets | None = None

    @property
    @abstractmethod
    def last_step(self) -> int:
        """The step of the newest point; 0 before the first."""

    @abstractmethod
    def _writable(self) -> Any:
        """The journal to write to; None after the end."""

    @abstractmethod
    def _record(self, kind: str, step: int | None, **body: object) -> None:
        """Write a record."""

    @abstractmethod
    def _warn_once(self, kind: str, message: str) -> None:
        """Warn, and count further cases in silence."""

    @guarded
    def log_text(self, key: str, text: object, step: int | None = None) -> None:
        """Keep a text under a key; a long one in a file of its own."""
        body = readable(text, 64 * 1024 * 1024)
        name, step = self._key_and_step(key, step)
        if len(body) > _TEXT_IN_RECORD and (file := self._put_file(body.encode("utf-8", "surrogatepass"), ".txt")):
            self._record("text", step, key=name, file=file)
        else:
            self._record("text", step, key=name, text=body)

    @guarded
    def log_image(self, key: str, image: object, step: int | None = None) -> None:
        """Keep a picture: a file's path, PNG or JPEG bytes, a Pillow image, a matplotlib figure, or an array.

        Arrays of shape (height, width), (height, width, 1 | 3 | 4) or (1 | 3 | 4, height, width); floats are taken as
        0 to 1, integers as 0 to 255.
        """
        from barograph.media import encode_image

        name, step = self._key_and_step(key, step)
        picture = encode_image(image)
        file = self._put_file(picture.data, f".{picture.format}")
        if file:
            self._record(
                "image", step, key=name, file=file, format=picture.format, width=picture.width, height=picture.height
            )

    @guarded
    def log_table(self, key: str, table: object, step: int | None = None) -> None:
        """Keep a table: a data frame (pandas, polars, pyarrow), a dict of columns, a list of dicts or of rows."""
        from barograph.media import encode_table

        name, step = self._key_and_step(key, step)
        columns, rows, lines = encode_table(table)
        if len(lines) > _TEXT_IN_RECORD and (file := self._put_file(lines, ".jsonl")):
            self._record("table", step, key=name, columns=columns, file=file)
        else:
            self._record("table", step, key=name, columns=columns, rows=rows)

    @guarded
    def log_histogram(self, key: str, values: object, step: int | None = None) -> None:
        """Keep the distribution of an array of any shape: counts, moments, extremes and a histogram, not the values.

        values: an array or tensor of numbers of any library, or a list. Source of the bins: tensors/bins.py.
        """
        from barograph.tensors.compute import of_arrays, on_host

        name, at = self._key_and_step(key, step)
        self.log_statistics({name: of_arrays([on_host(values)], sampling=1)[0]}, at)

    def log_statistics(self, statistics: Mapping[str, Statistics], step: int) -> None:
        """Keep statistics of tensors that were taken already, all of one step."""
        from barograph.tensors.payload import encode

        journal = self._writable()
        if journal is not None:
            for payload in encode(step, time.time(), statistics):
                journal.statistics(payload)

    @guarded
    def log_artifact(
        self,
        path: str | os.PathLike[str],
        kind: str = "file",
        name: str | None = None,
        *,
        copy: bool | None = None,
        metadata: Mapping[str, object] | None = None,
        step: int | None = None,
    ) -> Artifact | None:
        """Keep a file or folder that this run made; None, with a warning, if there is none.

        kind: model, checkpoint, data, figure, file, directory, or another word. name: default the last part of the
        path; a name given again is its next version. copy: True for a copy in the store, made before this returns;
        False to note only where it lies, its content being read on the side; None copies up to the setting
        artifact_copy_limit_bytes. The same content is kept once in a store.
        """
        recorder = self._artifact_recorder()
        if recorder is None:
            return None
        return recorder.log(path, kind, name, copy, metadata, self._key_and_step("artifact", step)[1])

    @guarded
    def keep_file(
        self, path: Path, kind: str, name: str, *, metadata: Mapping[str, object], step: int | None = None
    ) -> Artifact | None:
        """Keep a copy of a file that was made for it and will be gone: its record names the file, not the place."""
        recorder = self._artifact_recorder()
        if recorder is None:
            return None
        at = self._key_and_step("artifact", step)[1]
        return recorder.log(path, kind, name, True, metadata, at, is_passing=True)

    def use_artifact(
        self, source: str | os.PathLike[str] | Artifact, kind: str | None = None, name: str | None = None
    ) -> Path:
        """Note that this run uses a file or folder, and return where it can be read.

        source: a path; or the name of an artifact in the store (the newest of that name; `name:2` the second version of
        its newest run), its digest, or an Artifact, of any run. Raises StoreError if what was asked for by name, digest
        or Artifact is gone or is not what it was; a name that nothing has gives a warning and is taken for a path.
        """
        from barograph.artifacts.using import find

        artifact = find(source, self._recording.store)
        path = Path(os.fsdecode(source)) if artifact is None else artifact.local_path()  # type: ignore[arg-type]
        self._note_use(source if artifact is None else artifact, kind, name)
        return path

    @guarded
    def log_dataset(
        self,
        name: str,
        data: object,
        labels: object = None,
        *,
        weights: object = None,
        source: object = None,
        metadata: object = None,
    ) -> None:
        """Record what some data is: fingerprints, schema, profile and a keyed sketch of its rows, never the data.

        data: arrays, tensors, data frames, sparse matrices, lists, dicts of them, a torch Dataset or DataLoader, a
        DMatrix, ...; a tuple is inputs, labels and weights. Data sets that make their items are described, not read.
        source: where it came from; metadata: what else there is to say. What was logged before is not written again.
        """
        datasets = self._dataset_recorder()
        if datasets is not None:
            from barograph.data.recording import Given

            datasets.log(Given.of(name, source, metadata), data, labels, weights)

    def stream_dataset(
        self, name: str, *, rows: int | None = None, source: object = None, metadata: object = None
    ) -> DatasetStream:
        """Record data that comes in batches: give each to `see()` of what this returns, and `close()` it at the end.

        rows: how many there will be, where that is known.
        """
        from barograph.data.recording import Given
        from barograph.data.stream import DatasetStream

        given = Given.of(name, source, metadata)
        return DatasetStream(self, self._dataset_recorder(), given, rows)

    @guarded
    def log_weights(self, weights: Mapping[str, object], step: int | None = None) -> None:
        """Keep the digest of a model's weights, by which two models are the same to the bit or not.

        weights: by name, arrays or tensors of any library on any device, or bytes.
        """
        from barograph.data.weights import digest_of_weights

        if self._writable() is not None and self._recording.settings.mode == "on":
            self._record("weights", self._key_and_step("weights", step)[1], **digest_of_weights(weights))

    def _dataset_recorder(self) -> Datasets | None:
        """Who records data; None where nothing is kept (any more)."""
        settings = self._recording.settings
        if self._writable() is None or settings.mode != "on" or not (settings.capture and settings.capture_data):
            return None
        with self._lock:
            if self._datasets is None:
                from barograph.data.recording import Datasets

                self._datasets = Datasets(self._recording.store, self._record, self.overhead_budget)
            return self._datasets

    def _artifact_recorder(self) -> ArtifactRecorder | None:
        """Who keeps the artifacts: one in each process; None where nothing is kept (any more)."""
        if self._recording.settings.mode == "disabled" or self._writable() is None:
            return None
        with self._lock:
            if self._artifacts is None or self._artifacts.pid != self.pid:
                from barograph.artifacts.recorder import ArtifactRecorder

                limit_bytes = self._recording.settings.artifact_copy_limit_bytes
                self._artifacts = ArtifactRecorder(
                    self._recording.id, self._recording.store, limit_bytes, self._record, self._warn_once
                )
            return self._artifacts

    @guarded
    def _note_use(self, source: object, kind: str | None, name: str | None) -> None:
        from barograph.artifacts.artifact import Artifact

        recorder = self._artifact_recorder()
        if recorder is not None and isinstance(source, Artifact):
            recorder.use(source, kind, name, self.last_step)
        elif recorder is not None:
            recorder.use_path(source, kind, name, self.last_step)

    def _put_file(self, data: bytes, suffix: str) -> str | None:
        try:
            return self._recording.folder.put_file(data, suffix)
        except OSError as error:
            self._warn_once(
                "file", f"{self._recording.path}: a {suffix} file of {len(data)} bytes was not kept: {error}"
            )
            return None

    def _key_and_step(self, key: object, step: object) -> tuple[str, int]:
        name, problem = clean_key(key)
        if problem:
            self._warn_once("key", f"a key {problem} ({readable(name, 60)!r})")
        at, problem = clean_step(step)
        if problem:
            self._warn_once("step", f"a step {problem}")
        return name, self.last_step if at is None else at
