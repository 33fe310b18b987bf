"""The files that ModelCheckpoint and BackupAndRestore leave on disk, as artifacts of the run."""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from barograph.guard import guarded
from barograph.integrations.keras.monitors import describe_checkpoint, mode_of, number_or_none
from barograph.run import Run

_Stamp = tuple[int, int, int]  # by which a file is known not to have been written again


class Checkpoints:
    """Looks between epochs for what the other callbacks have saved by then: they say nothing of it themselves.

    copy: whether the files are kept in the store as well; otherwise their path, size and, once it is known, the hash of
    their content are.
    """

    def __init__(self, run: Run, siblings: list[Any], copy: bool) -> None:
        self.run, self._copy = run, copy
        self._savers = [one for one in siblings if isinstance(one, keras.callbacks.ModelCheckpoint)]
        self._backups = [one for one in siblings if isinstance(one, keras.callbacks.BackupAndRestore)]
        self._known: dict[str, _Stamp] = {}
        self._best: dict[int, float] = {}

    @guarded
    def begin(self) -> None:
        """A fit begins: what is there already is not its own, and a backup is what it goes on from."""
        for saver in self._savers:
            self._known.update(_files(_pattern(saver.filepath)))
        for path, _ in self._backed_up():
            self.run.use_artifact(path, "checkpoint")

    @guarded
    def look(self, step: int, epoch: int, logs: Mapping[str, Any]) -> None:
        """Note what is new. logs: of the last epoch that has ended, which is `epoch`."""
        for saver in self._savers:
            new = [(path, stamp) for path, stamp in _files(_pattern(saver.filepath)) if self._known.get(path) != stamp]
            self._known.update(new)
            if new:
                about = describe_checkpoint(saver) | self._judge(saver, logs) | {"epoch": epoch}
                for path, _ in new:
                    self._note(path, {**about, "path": path}, step)

    @guarded
    def end(self, step: int, epoch: int, logs: Mapping[str, Any]) -> None:
        """Note what is new at the end of the fit, and the backups that are left for another one to go on with."""
        self.look(step, epoch, logs)
        for path, saver in self._backed_up():
            self._note(path, {"by": type(saver).__name__, "epoch": epoch}, step)

    def _note(self, path: str, about: Mapping[str, Any], step: int) -> None:
        self.run.log_artifact(path, "checkpoint", copy=self._copy, metadata=about, step=step)

    def _judge(self, saver: Any, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The score a checkpoint has, and whether it is the best of its saver."""
        score, mode = number_or_none(logs.get(saver.monitor)), mode_of(saver)
        if score is None or mode not in ("min", "max"):
            return {"score": score}
        compare = min if mode == "min" else max
        self._best[id(saver)] = compare(score, self._best.get(id(saver), score))
        return {"score": score, "is_best": score == self._best[id(saver)]}

    def _backed_up(self) -> Iterator[tuple[str, Any]]:
        for saver in self._backups:
            for path, _ in _files(os.path.join(glob.escape(os.fspath(saver.backup_dir)), "*.weights.h5")):
                yield path, saver


def _pattern(filepath: str) -> str:
    """What to look for: a path such as "{epoch:02d}-{val_loss:.2f}.keras" with anything in the place of its fields."""
    parts = string.Formatter().parse(filepath)
    return "".join(glob.escape(text) + ("" if field is None else "*") for text, field, _, _ in parts)


def _files(pattern: str) -> list[tuple[str, _Stamp]]:
    found = []
    for path in sorted(glob.glob(pattern)):
        try:
            status = os.stat(path)
        except OSError:  # gone in the meantime
            continue
        if os.path.isfile(path):
            found.append((path, (status.st_mtime_ns, status.st_size, status.st_ino)))
    return found
