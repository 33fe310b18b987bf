"""The files that lay beside a run's code, such as its data, made to be found from a copy of the code.

What the run wrote while it ran is left where it is: a repetition makes its own. What is large and long unchanged is
linked, everything else copied, so that nothing a repetition writes replaces an original. Secrets are never copied.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from barograph.capture.copies import holds_secrets
from barograph.voice import listed

COPY_LIMIT_BYTES = 4 << 30
MOST_FILES = 100_000
_FRESH_S = 24 * 3600.0  # what was made so shortly before a run may be made again by its script
# Made by tools, or code that was not captured on purpose: the copy has its own.
_TOOLS = frozenset(("__pycache__", "node_modules"))
_CODE = (".py", ".pyc", ".pyi", ".ipynb")


@dataclass(slots=True)
class Neighbours:
    """Brings files beside a copy of code. began_s, ended_s: of the run, Unix seconds.

    without: folders that must not be reached, such as the store.
    """

    began_s: float
    ended_s: float
    without: list[Path]
    copied: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    copied_bytes: int = 0

    def bring(self, original: Path, place: Path) -> None:
        """Make what lies in a folder, and is neither code nor a tool's, available in its copy."""
        if original == Path(original.anchor) or original == Path.home():
            self.left_out.append(f"{original}, which is no folder of a project")
            return
        for source in self._files(original):
            target = place / source.relative_to(original)
            if not source.name.endswith(_CODE) and not os.path.lexists(target) and _is_inside(target, place):
                try:
                    self._bring(source, target, str(source.relative_to(original)))
                except OSError:  # may not be read, or is gone again
                    self.left_out.append(str(source))

    def notes(self) -> list[str]:
        """What was done, in words."""
        parts = [
            ("copied from beside the original code", self.copied),
            ("linked from there, as they are old, large or hold secrets", self.linked),
            ("not taken along, as the run wrote them", self.written),
            ("not taken along: too large, too many, or not to be read", self.left_out),
        ]
        return [f"{what}: {listed(names)}" for what, names in parts if names]

    def _files(self, original: Path) -> Iterator[Path]:
        """The files, those near the top first; links to folders are entered like folders, each folder once."""
        waiting, seen, count = deque([original]), {os.path.realpath(original)}, 0
        while waiting:
            folder = waiting.popleft()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                self.left_out.append(str(folder))
                continue
            for entry in entries:
                path = Path(entry.path)
                if not entry.is_dir():
                    count += 1
                    yield path
                elif self._is_entered(path) and (real := os.path.realpath(path)) not in seen:
                    seen.add(real)
                    waiting.append(path)
            if count > MOST_FILES:
                self.left_out.append(f"what lies deeper than the first {count} files")
                return

    def _bring(self, source: Path, target: Path, name: str) -> None:
        status = source.stat()
        if self.began_s <= status.st_mtime <= self.ended_s:
            self.written.append(name)
            return
        has_room = source.is_file() and self.copied_bytes + status.st_size <= COPY_LIMIT_BYTES
        is_old = status.st_mtime < self.began_s
        if not (has_room or (is_old and source.is_file())):
            self.left_out.append(name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        is_long_unchanged = status.st_mtime < self.began_s - _FRESH_S
        if (is_old and (is_long_unchanged or not has_room)) or holds_secrets(name):
            target.symlink_to(os.path.realpath(source))
            self.linked.append(name)
        else:
            shutil.copy2(source, target)
            self.copied.append(name)
            self.copied_bytes += status.st_size

    def _is_entered(self, folder: Path) -> bool:
        """Whether a folder may hold data: not a tool's, an environment's, a store, or hidden."""
        if folder.name in _TOOLS or folder.name.startswith(".") or (folder / "pyvenv.cfg").exists():
            return False
        if (folder / "runs").is_dir() and (folder / ".gitignore").is_file():
            return False  # another store
        return not any(folder == one or folder.is_relative_to(one) for one in self.without)


def _is_inside(target: Path, place: Path) -> bool:
    """Whether a file to be made lies in the copy itself, and not behind a link that a commit holds."""
    folder = target.parent
    while not folder.exists():
        folder = folder.parent
    return folder.resolve().is_relative_to(place.resolve())
