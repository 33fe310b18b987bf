"""How a run's folder is recognised as unchanged: by a few stat calls, so that a thousand runs take milliseconds."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from typing import Any

from .files import MOST_ENTRIES

# Folder times are as coarse as 10 ms on ext4 and 2 s on FAT: a folder that changed this shortly before it was looked at
# may have changed again since without a new time.
_COARSE_NS = 3_000_000_000
# A run that nobody writes to changes only by being resumed or sealed; whoever asks a view ten things in a row need not
# have it checked ten times.
_CHECK_AGAIN_S = 0.05
_decode = json.JSONDecoder().raw_decode
_FOLDERS = ("journals", "segments")

_Files = dict[str, list[int]]  # size and time by name


@dataclass(slots=True)
class Signature:
    """The state of a run's folder at a moment.

    folders: time and inode of journals/ and segments/. files: size and time of every file in them. open_names: the
    files that may still grow, the only ones looked at once the folders' own times can be trusted (is_settled).
    """

    folders: list[int]
    files: _Files
    open_names: list[str]
    is_settled: bool
    checked_s: float = -math.inf

    @classmethod
    def take(cls, folder: str) -> Signature:
        """The state now, before anything is read. All files count as open until somebody says better."""
        folders = _folder_marks(folder)
        files = _file_marks(folder)
        is_settled = max(folders[::2]) < time.time_ns() - _COARSE_NS
        return cls(folders, files, list(files), is_settled)

    @property
    def is_fresh(self) -> bool:
        """Whether this was found current a moment ago, of a run that nobody writes to."""
        return not self.open_names and time.monotonic() - self.checked_s < _CHECK_AGAIN_S

    def is_current(self, folder: str) -> bool:
        """Whether the folder is as it was then."""
        if self.is_fresh:
            return True
        self.checked_s = time.monotonic()
        if _folder_marks(folder) != self.folders:
            return False
        if not self.is_settled:
            if _file_marks(folder) != self.files:
                return False
            self.is_settled = max(self.folders[::2]) < time.time_ns() - _COARSE_NS
            return True
        for name in self.open_names:
            try:
                status = os.stat(f"{folder}/{name}")
            except OSError:
                return False
            if [status.st_size, status.st_mtime_ns] != self.files.get(name):
                return False
        return True

    def to_text(self) -> str:
        """As the index keeps it; the files that cannot change are left out once the folders can be trusted."""
        files = (
            {name: self.files[name] for name in self.open_names if name in self.files}
            if self.is_settled
            else self.files
        )
        return json.dumps([self.folders, files, self.open_names, self.is_settled])

    @classmethod
    def from_text(cls, text: str) -> Signature:
        """The way back. Raises ValueError or TypeError for a text that is none."""
        return cls(*parsed(text))


def parsed(text: str) -> Any:
    """What json.dumps() made a text of, faster than by json.loads(). Any: JSON. Raises ValueError for no JSON."""
    return _decode(text)[0]


def _folder_marks(folder: str) -> list[int]:
    marks: list[int] = []
    for name in _FOLDERS:
        try:
            status = os.stat(f"{folder}/{name}")
        except OSError:
            marks += (0, 0)
        else:
            marks += (status.st_mtime_ns, status.st_ino)
    return marks


def _file_marks(folder: str) -> _Files:
    marks: _Files = {}
    for name in _FOLDERS:
        try:
            with os.scandir(f"{folder}/{name}") as scan:
                for _, entry in zip(range(MOST_ENTRIES), scan, strict=False):
                    status = entry.stat(follow_symlinks=False)
                    marks[f"{name}/{entry.name}"] = [status.st_size, status.st_mtime_ns]
        except OSError:
            continue
    return marks
