"""The code of a run as it was captured: commit, uncommitted changes, untracked files, imported sources, typed code."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from barograph.errors import StoreError
from barograph.reading import RunView
from barograph.store.objects import Objects

_PATCH_LIMIT_BYTES = 256 << 20
_FILE_LIMIT_BYTES = 64 << 20


class WorkingCopy:
    """A repository as it was: a commit, changes on top of it, new files, and the submodules inside.

    What opens an object raises StoreError where it is missing or damaged.
    """

    def __init__(self, told: Mapping[str, Any], objects: Objects) -> None:
        self._told = told
        self._objects = objects

    @property
    def commit(self) -> str | None:
        """The commit that was checked out; None before the first one."""
        commit = self._told.get("commit")
        is_hash = isinstance(commit, str) and re.fullmatch("[0-9a-f]{40,64}", commit)  # --help is no commit
        return str(commit) if is_hash else None

    @property
    def root(self) -> str | None:
        """Where it lay; None for a place inside the store, which is no working copy but something put there."""
        root = self._told.get("root")
        if not isinstance(root, str) or not os.path.isabs(root):
            return None
        store = os.path.realpath(self._objects.folder.parent)
        return None if Path(os.path.realpath(root)).is_relative_to(store) else root

    @property
    def changes(self) -> tuple[object, ...]:
        """What two states of one commit must agree in to be the same code."""
        untracked = tuple(sorted((str(one["path"]), str(one.get("object"))) for one in self.untracked_files))
        inner = tuple((path, copy.commit, copy.changes) for path, copy in sorted(self.submodules().items()))
        return self._told.get("diff"), untracked, inner

    @property
    def untracked_files(self) -> list[dict[str, Any]]:
        """The source files that git did not know: "path", "object", "redacted". Any: JSON."""
        return [one for one in _files(self._told.get("untracked_files")) if one.get("object")]

    @property
    def redacted(self) -> list[str]:
        """The parts of it in which something secret was replaced, so that they are not as they were."""
        parts = ["the uncommitted changes"] if self._told.get("diff_redacted") else []
        parts += [str(one["path"]) for one in self.untracked_files if one.get("redacted")]
        for path, copy in self.submodules().items():
            parts += [f"{path}: {part}" for part in copy.redacted]
        return parts

    @property
    def left_out(self) -> list[str]:
        """What was not captured, each with the reason."""
        return _reasons(self._told.get("left_out"))

    def patch(self) -> bytes:
        """The uncommitted changes, as git apply takes them."""
        digest = self._told.get("diff")
        return self._objects.get(digest, limit_bytes=_PATCH_LIMIT_BYTES) if isinstance(digest, str) else b""

    def untracked(self) -> dict[str, bytes]:
        """The contents of the untracked files, by path."""
        files = {str(one["path"]): str(one["object"]) for one in self.untracked_files}
        return {path: self._objects.get(digest, limit_bytes=_FILE_LIMIT_BYTES) for path, digest in files.items()}

    def submodules(self) -> dict[str, WorkingCopy]:
        """The submodules that were checked out, by path."""
        listed = _files(self._told.get("submodules"))
        return {str(one["path"]): WorkingCopy(one, self._objects) for one in listed if one.get("commit")}


class Captured:
    """Reads what a run's environment names; nothing of it is executed, and every path in it is one below the code."""

    def __init__(self, view: RunView) -> None:
        self.environment: dict[str, Any] = view.environment  # Any: JSON
        self._was_killed = view.status == "killed"
        self._objects = Objects(view.path.parent.parent)

    @cached_property
    def copy(self) -> WorkingCopy | None:
        """The git repository; None if there was none."""
        git = self.environment.get("git")
        return WorkingCopy(git, self._objects) if isinstance(git, Mapping) and git else None

    @property
    def root(self) -> str | None:
        """The folder of the code: of the repository, else of the captured sources."""
        root = self._sources.get("root")
        return (self.copy and self.copy.root) or (root if isinstance(root, str) and root.startswith("/") else None)

    @property
    def redacted(self) -> list[str]:
        """The parts in which something secret was replaced."""
        sources = [str(one["path"]) for one in _files(self._sources.get("files")) if one.get("redacted")]
        return [*(self.copy.redacted if self.copy else []), *sources]

    @property
    def left_out(self) -> list[str]:
        """What was not captured, each with the reason."""
        return [*(self.copy.left_out if self.copy else []), *_reasons(self._sources.get("left_out"))]

    @property
    def is_complete(self) -> bool:
        """Whether capture came to its end: what a killed run imported just before is not known."""
        return self.environment.get("complete") is True and not self._was_killed

    @property
    def has_all_sources(self) -> bool:
        """Whether the source of every imported module of the project is there."""
        return bool(self._sources) and self.is_complete

    def sources(self) -> dict[str, str]:
        """The digest of each imported source file of the project, by path."""
        return {str(one["path"]): str(one["object"]) for one in _files(self._sources.get("files")) if one.get("object")}

    def outside(self) -> dict[str, str]:
        """The digest of each imported source file that lay elsewhere, by its path as a module."""
        listed = self._sources.get("files")
        found = {}
        for one in listed if isinstance(listed, list) else []:
            path, module = one.get("path"), one.get("module")
            if isinstance(path, str) and path.startswith("/") and isinstance(module, str) and one.get("object"):
                name = module.replace(".", "/") + ("/__init__.py" if path.endswith("/__init__.py") else ".py")
                if is_below(name):
                    found[name] = str(one["object"])
        return found

    def modules(self) -> dict[str, str]:
        """The path of each imported source file, by the name of its module."""
        files = _files(self._sources.get("files"))
        return {str(one["module"]): str(one["path"]) for one in files if one.get("module")}

    def content(self, digest: str) -> bytes:
        """A source file's bytes; StoreError if they are not there."""
        return self._objects.get(digest, limit_bytes=_FILE_LIMIT_BYTES)

    def text(self, digest: str | None) -> str | None:
        """A source file as text; empty for None, None for one that is not in the store any more."""
        if digest is None:
            return ""
        try:
            return self.content(digest).decode("utf-8", "replace")
        except (StoreError, OSError):
            return None

    def typed(self) -> dict[str, str]:
        """Code that lies in no file: the cells of a notebook, what follows -c."""
        found = {}
        cells = self.cells()
        if cells:
            found["notebook"] = "\n\n".join(cells)
        command = self.environment.get("command")
        if isinstance(command, list) and _mapping(self.environment.get("entry")).get("kind") == "command":
            found["-c"] = next((str(code) for flag, code in itertools.pairwise(command) if flag == "-c"), "")
        return found

    def cells(self) -> list[str]:
        """The cells of a notebook in the order in which they were run."""
        notebook = _mapping(self.environment.get("notebook"))
        cells = notebook.get("cells")
        return [str(cell) for cell in cells] if isinstance(cells, list) else []

    @cached_property
    def _sources(self) -> Mapping[str, Any]:
        return _mapping(self.environment.get("sources"))


def _reasons(listed: Any) -> list[str]:
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [f"{one.get('path') or '...'}: {one.get('reason')}" for one in entries]


def _files(listed: Any) -> list[dict[str, Any]]:
    """The entries of a list of files whose paths stay below the folder they are relative to."""
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [one for one in entries if is_below(one.get("path"))]


def is_below(path: object) -> bool:
    """Whether a captured path is a plain relative one: the run may have been made by a stranger."""
    if not isinstance(path, str) or not path or "\0" in path or "\\" in path:
        return False
    parts = PurePosixPath(path).parts
    return not path.startswith("/") and bool(parts) and not {"..", ".git"} & {part.lower() for part in parts}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
