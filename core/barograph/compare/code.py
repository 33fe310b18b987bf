"""What differs between the code of two runs: by git where the repository is at hand, else by the captured sources."""

from __future__ import annotations

import difflib

from barograph.errors import StoreError
from barograph.reading import RunView

from .captured import Captured, WorkingCopy
from .change import CODE, SURROUNDING, Change
from .repository import GitError, Repository, git, holder_of

_MOST_FILES = 1_000
_MOST_LETTERS = 1 << 20  # of one file's difference


def code_changes(before: RunView, after: RunView) -> list[Change]:
    """A change for each file that is not the same, with its unified diff."""
    old, new = Captured(before), Captured(after)
    changes, problem = _typed_changes(old, new), None
    if old.copy is not None and new.copy is not None:
        try:
            changes += _git_changes(old.copy, new.copy)
        except (GitError, StoreError, OSError) as error:
            problem = str(error)
    has_trees = old.copy is not None and new.copy is not None and problem is None
    seen = {change.name for change in changes}
    changes += [change for change in _source_changes(old, new, has_trees) if change.name not in seen]
    return changes + _commit_changes(old, new, problem, is_shown=bool(changes))


def _git_changes(old: WorkingCopy, new: WorkingCopy) -> list[Change]:
    found = _differences([new.root, old.root], old, new)
    return [
        Change("code", path, kind, None, None, CODE, text[:_MOST_LETTERS]) for path, kind, text in found[:_MOST_FILES]
    ]


def _differences(roots: list[str | None], old: WorkingCopy, new: WorkingCopy) -> list[tuple[str, str, str]]:
    """Path, kind and unified diff of what two states of a repository, and their submodules, do not have in common."""
    if (old.commit, old.changes) == (new.commit, new.changes):
        return []
    with Repository.holding(roots, [old.commit, new.commit]) as repository:
        before, after = (repository.tree(copy.commit, copy.patch(), copy.untracked()) for copy in (old, new))
        found = repository.difference(before, after)
        root = repository.root
    inner = old.submodules(), new.submodules()
    for name in sorted(inner[0].keys() & inner[1].keys()):
        try:
            deeper = _differences([f"{root}/{name}"], inner[0][name], inner[1][name])
        except GitError:
            continue  # the repository around it says that the commit is another
        found = [one for one in found if one[0] != name or not deeper]
        found += [(f"{name}/{path}", kind, text) for path, kind, text in deeper]
    return found


def _commit_changes(old: Captured, new: Captured, problem: str | None, *, is_shown: bool) -> list[Change]:
    """What is said about commits: much only where the files themselves could not be compared."""
    one, other = old.copy and old.copy.commit, new.copy and new.copy.commit
    importance = CODE if problem and not is_shown else SURROUNDING
    unknown = f"; what lies between them cannot be shown: {problem}" if problem else ""
    if one != other:
        text = f"{(one or '(none)')[:12]} → {(other or '(none)')[:12]}{unknown}"
        return [Change("code", "commit", "changed", one, other, importance, text)]
    if problem and not is_shown:
        text = f"they differ, and cannot be shown: {problem}"
        return [Change("code", "uncommitted changes", "changed", None, None, CODE, text)]
    return []


def _source_changes(old: Captured, new: Captured, has_trees: bool) -> list[Change]:
    """By what was imported. Files of one run alone count only where both runs are known to hold all they imported."""
    before, after = {**old.outside(), **old.sources()}, {**new.outside(), **new.sources()}
    changes = []
    for path in sorted(before.keys() | after.keys())[:_MOST_FILES]:
        if before.get(path) == after.get(path):
            continue
        kind = "changed" if path in before and path in after else "removed" if path in before else "added"
        if kind != "changed" and not (old.has_all_sources and new.has_all_sources):
            continue
        if kind != "changed" and has_trees and _is_known(path, *((old, new) if path in before else (new, old))):
            continue  # what git says of it is said
        texts = old.text(before.get(path)), new.text(after.get(path))
        changes.append(Change("code", path, kind, None, None, CODE, unified(path, *texts)))
    return changes


def _is_known(path: str, captured: Captured, *others: Captured) -> bool:
    """Whether git keeps a file of a run, or cannot say: not so one that it ignores, which was imported all the same."""
    copy = captured.copy
    if copy is None:
        return True
    roots = [one.copy.root for one in (captured, *others) if one.copy is not None]
    try:
        if any(path.startswith(f"{name}/") for name in copy.submodules()) or path in copy.untracked():
            return True
        if f"\n+++ b/{path}\n".encode() in copy.patch():
            return True
        commit = copy.commit
        return bool(
            commit and git(holder_of(roots, [commit]), "ls-tree", "--name-only", commit, "--", f":(literal){path}")
        )
    except (GitError, StoreError, OSError):
        return True


def _typed_changes(old: Captured, new: Captured) -> list[Change]:
    """The cells of a notebook, and what was given to `python -c`."""
    changes = []
    for name in sorted(old.typed().keys() | new.typed().keys()):
        before, after = old.typed().get(name, ""), new.typed().get(name, "")
        if before != after:
            changes.append(Change("code", name, "changed", None, None, CODE, unified(name, before, after)))
    return changes


def unified(path: str, before: str | None, after: str | None) -> str:
    """Two texts as a unified diff; a word where one of them cannot be had."""
    if before is None or after is None:
        return "the contents differ; what they were is not in the store any more"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{path}", f"b/{path}", n=3, lineterm="")
    return "\n".join(lines)[:_MOST_LETTERS]
