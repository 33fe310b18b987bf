"""The sources of the modules that belong to the project: what was imported and is neither Python's nor installed."""

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barograph.capture.copies import Copies
from barograph.capture.packages import attributes_of

_INSTALLED = frozenset(("site-packages", "dist-packages"))
_SUFFIXES = (".py", ".pyw")


def project_root(entry: dict[str, str | None], repository: str | None, folder: Path) -> Path:
    """The folder that holds the project: the repository, else that of the script or of the outermost package."""
    if repository is not None:
        return Path(repository)
    if entry["path"] is None or entry["kind"] not in ("script", "module") or is_installed(entry["path"]):
        return folder
    levels = (entry["module"] or "").count(".") + (os.path.basename(entry["path"]) == "__main__.py")
    return Path(os.path.abspath(entry["path"])).parents[levels]


class Sources:
    """Looks at what is imported, as often as it is asked, and copies what is new."""

    def __init__(self, root: Path, copies: Copies, script: str | None = None) -> None:
        """script: the path of the main module, which Python forgets when that has come to its end."""
        self._root = root
        self._script = script
        self._copies = copies
        self._files: list[dict[str, Any]] = []  # Any: JSON
        self._names: set[str] = set()  # of modules that were looked at; a program may have thousands
        self._seen: set[str] = set()  # files of the project

    def look(self) -> dict[str, Any] | None:
        """All sources so far, as {"root", "files", "left_out", "complete"}; None if nothing is new since the last look.

        A path is relative to the root, or absolute where a module lies outside of it.
        """
        begin = len(self._seen)
        new = [(self._name(path), path, module) for path, module in self._new().items()]
        for name, path, module in sorted(new, key=lambda one: (os.path.isabs(one[0]), one)):  # inside of the root first
            self._seen.add(path)
            copy = self._copies.of_file(path, name)
            if copy is not None:
                self._files.append({"path": name, "module": module, **copy._asdict()})
            self._copies.pace.rest()
        if len(self._seen) == begin and begin:
            return None
        return {
            "root": str(self._root),
            "files": list(self._files),
            "left_out": list(self._copies.left_out),
            "complete": not self._copies.left_out,
        }

    def _new(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, path in _imported_files(self._names, self._script):
            self._names.add(name)
            if path is not None and path not in self._seen and path not in found and not is_installed(path):
                found[path] = name
        return found

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self._root) if Path(path).is_relative_to(self._root) else path


def _imported_files(but: set[str], script: str | None) -> Iterator[tuple[str, str | None]]:
    """Names of what is imported, and their source files; None for what has none, or is ours."""
    for name in [name for name in sys.modules.copy() if name not in but]:
        path = attributes_of(sys.modules.get(name)).get("__file__")
        if name == "__main__" and path is None:
            path = script
        if isinstance(path, str) and (path.endswith(_SUFFIXES) or name == "__main__") and _is_foreign(name):
            yield name, os.path.abspath(path)
        else:
            yield name, None


def _is_foreign(name: str) -> bool:
    """Whether a module is not one of ours: its version says all of it."""
    return name.partition(".")[0] != "barograph"


@functools.lru_cache(10_000)
def is_installed(path: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to the environment these are in."""
    return path.startswith(_installed_folders()) or not _INSTALLED.isdisjoint(Path(path).parts)


@functools.lru_cache(1)
def _installed_folders() -> tuple[str, ...]:
    # Not the prefix: it is /usr where a project lies in /usr/src, or the project's folder, made an environment.
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    folders.add(os.path.dirname(os.__file__))
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    folders |= {os.path.realpath(folder) for folder in folders if folder}
    return tuple(os.path.join(folder, "") for folder in folders if folder)
