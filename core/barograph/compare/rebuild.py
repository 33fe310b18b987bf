"""The code of a run laid out again in a folder of its own, as it was when the run was made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from barograph.errors import BarographError, StoreError

from .captured import Captured, WorkingCopy
from .change import mapping
from .neighbours import Neighbours
from .repository import GitError, git, holder_of

CODE_NAME, OUTSIDE_NAME, WORK_NAME = "code", "outside", "work"
NOTEBOOK_NAME = "notebook_cells.py"
_MOST_NAMED = 6


class RebuildError(BarographError):
    """The code of a run cannot be laid out again."""


@dataclass(slots=True)
class Rebuilt:
    """Where the code is now. notes: what a person should know of how it came there."""

    root: Path
    folder: Path
    original_root: str | None
    original_folder: str | None
    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def moved(self, argument: str) -> str:
        """An argument with the code's old place in it, pointing to the new one."""
        argument = self._absolute(argument)
        for old, new in ((self.original_root, self.root), (self.original_folder, self.folder)):
            if old and len(old) > 1:
                before, found, after = argument.partition(old)
                if found and after[:1] in ("", "/") and before[-1:] in ("", "=", ":"):
                    return f"{before}{new}{after}"
        return argument

    def _absolute(self, argument: str) -> str:
        """A path out of a working folder that lies outside of the code, such as ../code/train.py, as a whole one."""
        root, folder = self.original_root, self.original_folder
        if root is None or folder is None or Path(folder).is_relative_to(root) or not argument.startswith("../"):
            return argument
        path = os.path.normpath(os.path.join(folder, argument))
        return path if Path(path).is_relative_to(root) else argument


def rebuild(captured: Captured, into: Path, neighbours: Neighbours) -> Rebuilt:
    """Lay the code out in an empty or new folder; RebuildError if nothing of it was captured.

    The repository it is taken from is only read. Data files that lay beside the code are made to be found again.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise RebuildError(f"{into} is not an empty folder.")
    root = into / CODE_NAME
    root.mkdir(parents=True)
    notes: list[str] = []
    if captured.copy is not None:
        try:
            _check_out(captured.copy, root, _repositories(captured.copy), notes)
        except (GitError, StoreError) as error:
            if not captured.sources():
                raise RebuildError(f"the code cannot be rebuilt: {error}") from error
            notes.append(f"{error}; the captured sources are used instead, other files of the commit are missing")
            root = into / f"{CODE_NAME}-captured"
            root.mkdir()
    if not any(root.iterdir()):
        _lay_out(captured, captured.sources(), root)
        if captured.sources():
            notes.append("the code is that of the imported modules, as they were captured")
        elif not captured.typed() and not _is_installed(captured):
            raise RebuildError("nothing of its code was captured.")
    unknown = {path: digest for path, digest in captured.sources().items() if not os.path.lexists(root / path)}
    if unknown:  # such as files that git ignores
        _lay_out(captured, unknown, root)
        notes.append(f"with imported modules that git does not know: {', '.join(sorted(unknown)[:_MOST_NAMED])}")
    outside = captured.outside()
    _lay_out(captured, outside, into / OUTSIDE_NAME)
    if cells := captured.cells():
        write_below(root, NOTEBOOK_NAME, "\n\n".join(cells).encode("utf-8", "surrogateescape"))
    rebuilt = _placed(captured, root, into, notes)
    if outside:
        rebuilt.paths.append(str(into / OUTSIDE_NAME))
    notes += [f"{part} is not as it was: something secret was taken out of it" for part in captured.redacted]
    if not captured.is_complete:
        notes.append("its capture may not be whole: changes and modules may be missing")
    notes += [f"not captured: {one}" for one in captured.left_out]
    neighbours.without.append(into.resolve())
    if rebuilt.original_root is not None:
        neighbours.bring(Path(rebuilt.original_root), root)
    if rebuilt.original_folder is not None and not rebuilt.folder.is_relative_to(root):
        neighbours.bring(Path(rebuilt.original_folder), rebuilt.folder)
    rebuilt.notes = notes + neighbours.notes()
    return rebuilt


def write_below(root: Path, name: str, data: bytes) -> None:
    """Write a file below a folder, never through a link that leads out of it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(root.resolve()) or path.is_symlink():
        raise RebuildError(f"{name} would lie outside of {root} and was not written.")
    path.write_bytes(data)


def _check_out(copy: WorkingCopy, root: Path, repositories: list[str | None], notes: list[str]) -> None:
    """The commit, the changes on it, the new files, and the submodules inside."""
    if copy.commit is None:
        git(str(root), "init", "--quiet")
        holder, endings = None, []
    else:
        holder = holder_of(repositories, [copy.commit])
        # --shared: the old objects are read where they are, even those that no branch reaches any more
        git(holder, "clone", "--quiet", "--shared", "--no-checkout", "--template=", ".", str(root.resolve()))
        endings = _line_endings(holder)
        git(str(root), *endings, "checkout", "--quiet", "--detach", copy.commit)
        notes.append(f"the code is commit {copy.commit[:12]} of {holder}")
    patch = copy.patch()
    if patch.strip():
        git(str(root), *endings, "apply", "--whitespace=nowarn", "-", given=patch)
        notes.append("with the changes that were not committed")
    for path, data in copy.untracked().items():
        write_below(root, path, data)
    for path, inner in copy.submodules().items():
        place = root / path
        if place.is_symlink() or not place.resolve().is_relative_to(root.resolve()):
            continue
        place.mkdir(parents=True, exist_ok=True)
        _check_out(inner, place, [inner.root, f"{holder}/{path}" if holder else None], notes)


def _line_endings(holder: str) -> list[str]:
    """The options that give a file the line ends that its repository, or else its user, wants."""
    options = []
    for name in ("core.autocrlf", "core.eol"):
        for scope in ("--local", "--global"):
            try:
                value = git(holder, "config", scope, "--get", name).decode("utf-8", "replace").strip()
            except GitError:  # it is not set there
                continue
            options += ["-c", f"{name}={value}"]
            break
    return options


def _repositories(copy: WorkingCopy) -> list[str | None]:
    """Where the commit may be found: where it was, or around the working folder, if the repository was moved."""
    from barograph.capture.git import repository_of

    here = repository_of(None, Path.cwd())
    return [copy.root, str(here["root"]) if here else None]


def _is_installed(captured: Captured) -> bool:
    """Whether what was started belongs to an installed package, so that its version says all of it."""
    from barograph.capture.sources import is_installed

    path = mapping(captured.environment, "entry").get("path")
    return isinstance(path, str) and is_installed(path)


def _lay_out(captured: Captured, files: dict[str, str], root: Path) -> None:
    for path, digest in files.items():
        write_below(root, path, captured.content(digest))


def _placed(captured: Captured, root: Path, into: Path, notes: list[str]) -> Rebuilt:
    """The working folder as it lay to the code, and the folders that modules were imported from."""
    original = captured.root
    folder = captured.environment.get("folder")
    folder = os.path.normpath(folder) if isinstance(folder, str) and folder.startswith("/") else None
    if original is not None and folder is not None and Path(folder).is_relative_to(original):
        place = root / os.path.relpath(folder, original)
    else:
        place = into / WORK_NAME
    place.mkdir(parents=True, exist_ok=True)
    rebuilt = Rebuilt(root, place, original, folder, notes=notes)
    rebuilt.paths = [str(root / path) if path else str(root) for path in _import_roots(captured)]
    return rebuilt


def _import_roots(captured: Captured) -> list[str]:
    """The folders, relative to the code, that a path of the interpreter must name for its modules to be found.

    An editable install of the project would otherwise lead back to the working copy as it is today.
    """
    roots: dict[str, None] = {}
    for module, path in captured.modules().items():
        if module in ("__main__", "__mp_main__"):
            continue
        name = module.replace(".", "/")
        for ending in (f"{name}.py", f"{name}/__init__.py"):
            if path == ending or path.endswith(f"/{ending}"):
                roots[path[: -len(ending)].rstrip("/")] = None
    return list(roots)
