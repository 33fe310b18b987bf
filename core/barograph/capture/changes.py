"""What a working copy holds beyond its commit: the changes as one patch, the new source files, and its submodules.

Together with the commit that is all of the code: `git apply` on a clean checkout, and the files put beside it.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from barograph.capture.copies import Copies, holds_secrets
from barograph.capture.git import Changed, Repository, ask_git, describe_git, run_git

DIFF_LIMIT_BYTES = 10 << 20
_CHANGED_FILE_LIMIT_BYTES = 10 << 20  # of a file before or after the change; more is data
_CHANGED_LIMIT_BYTES = 64 << 20  # of all of them: so much git may have to compare
_MOST_EXCLUDED = 1_000  # stand on a command line
_DEEPEST = 5  # submodules of submodules
_MOST_SUBMODULES = 100

# The patch that `git apply` takes, whatever the user's configuration says about how a diff should look.
_DIFF = (
    "-c diff.suppressBlankEmpty=false -c diff.relative=false diff --no-color --no-ext-diff --no-textconv --no-renames "
    "--no-relative --src-prefix=a/ --dst-prefix=b/ --unified=3 --inter-hunk-context=0 --binary --full-index "
    "--submodule=short --ignore-submodules=dirty"
).split()
_EMPTY_TREE = {40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}
_EMPTY_TREE[64] = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
_FILE = re.compile(r"(?m)^diff --git ")

_SOURCE_SUFFIXES = frozenset(
    ".py .pyi .pyx .pxd .pxi .ipynb .c .h .cc .cpp .cxx .hpp .cu .cuh .rs .go .java .scala .kt .swift .js .mjs .ts "
    ".jl .r .rmd .lua .m .sql .sh .bash .zsh .fish .ps1 .bat .cmake .mk .yaml .yml .toml .cfg .ini .conf .gin .json "
    ".jsonc .json5 .jsonnet .libsonnet .proto .j2 .jinja .lock .bazel .bzl .dockerfile".split()
)
_SOURCE_NAMES = frozenset(
    "Makefile Dockerfile Containerfile Snakefile Justfile justfile Pipfile MANIFEST.in constraints.txt CMakeLists.txt "
    "WORKSPACE BUILD".split()
)


def capture_changes(root: Path, copies: Copies, store: Path) -> dict[str, Any] | None:  # Any: JSON
    """What git tells of a working copy, with its changes, new files and submodules put into the store.

    "diff": the object with the patch, None if nothing changed; "untracked_files"; "submodules": the same for each, and
    its "path"; "left_out": what was too large or no source, and why. None where git does not answer.
    """
    return _capture(root, copies, store, depth=0)


def _capture(root: Path, copies: Copies, store: Path, depth: int) -> dict[str, Any] | None:
    status = ask_git(root)
    if status is None:
        return None
    begin = len(copies.left_out)
    told = {
        **status.facts,
        **_patch(root, status.changed, copies, has_commit=status.facts["commit"] is not None),
        "untracked_files": list(_untracked(root, copies, store)),
        "submodules": list(_submodules(root, copies, store, depth)),
    }
    copies.left_out, left_out = copies.left_out[:begin], copies.left_out[begin:]
    return {**told, "left_out": left_out}


def _patch(root: Path, changed: list[Changed], copies: Copies, has_commit: bool) -> dict[str, Any]:
    nothing = {"diff": None, "diff_bytes": 0, "diff_redacted": 0}
    excluded = _excluded(root, changed, copies)
    if len(excluded) == len(changed):
        return nothing
    if len(excluded) > _MOST_EXCLUDED:
        copies.leave_out(".", f"no changes are kept, because {len(excluded)} changed files are too large")
        return nothing
    base = "HEAD" if has_commit else _EMPTY_TREE[_digits(root)]
    paths = [".", *(f":(top,exclude,literal){path}" for path in excluded)] if excluded else []
    answer = run_git(root, *_DIFF, base, "--", *paths, timeout_s=60.0)
    if not answer:
        if answer is None:
            copies.leave_out(".", "git did not tell the changes")
        return nothing
    patch = _cut(answer.decode("utf-8", "surrogateescape"), copies)
    try:
        copy = copies.of_patch(patch)
    except OSError as error:
        copies.leave_out(".", f"the changes could not be kept: {error.strerror}")
        return nothing
    return {"diff": copy.object, "diff_bytes": copy.size_bytes, "diff_redacted": copy.redacted}


def _excluded(root: Path, changed: list[Changed], copies: Copies) -> list[str]:
    """The changed files that are not compared: what is large is data, and git would take its time over it."""
    before = _blob_sizes(root, changed)
    excluded, total = [], 0
    for change in changed:
        if change.is_submodule:
            continue
        try:
            size = os.lstat(root / change.path).st_size
        except (OSError, ValueError):
            size = 0
        size = max(size, before.get(change.blob or "", 0))
        if holds_secrets(change.path):
            reason = "a file of its kind holds secrets"
        elif size > _CHANGED_FILE_LIMIT_BYTES:
            reason = f"longer than {_CHANGED_FILE_LIMIT_BYTES >> 20} MiB"
        elif total + size > _CHANGED_LIMIT_BYTES:
            reason = f"the changed files before it hold {_CHANGED_LIMIT_BYTES >> 20} MiB"
        else:
            total += size
            continue
        copies.leave_out(change.path, reason)
        excluded.append(change.path)
    return excluded


def _blob_sizes(root: Path, changed: Iterable[Changed]) -> dict[str, int]:
    blobs = {change.blob for change in changed if change.blob is not None and not change.is_submodule}
    if not blobs:
        return {}
    asked = "".join(f"{blob}\n" for blob in sorted(blobs)).encode()
    answer = run_git(root, "cat-file", "--batch-check=%(objectname) %(objectsize)", given=asked) or b""
    found = (line.split(" ") for line in answer.decode("ascii", "replace").splitlines())
    return {words[0]: int(words[1]) for words in found if len(words) == 2 and words[1].isdecimal()}


def _digits(root: Path) -> int:
    answer = run_git(root, "rev-parse", "--show-object-format") or b"sha1"
    return 64 if answer.strip() == b"sha256" else 40


def _cut(patch: str, copies: Copies) -> str:
    """As many whole files of a patch as there is room for."""
    if len(patch) <= DIFF_LIMIT_BYTES:
        return patch
    starts = [match.start() for match in _FILE.finditer(patch)]
    kept = [start for start in [*starts, len(patch)] if start <= DIFF_LIMIT_BYTES]
    copies.leave_out(
        ".",
        f"the changes are longer than {DIFF_LIMIT_BYTES >> 20} MiB: {len(kept) - 1} of {len(starts)} files are kept",
    )
    return patch[: kept[-1]]


def _untracked(root: Path, copies: Copies, store: Path) -> Iterable[dict[str, Any]]:
    """The new source files; what is ignored, and what is no source, is not even looked at."""
    answer = run_git(root, "ls-files", "--others", "--exclude-standard", "-z") or b""
    store_text = os.path.realpath(store) + os.sep
    for name in sorted(filter(None, os.fsdecode(answer).split("\0"))):
        path = os.path.join(root, name)
        if os.path.realpath(path).startswith(store_text):
            continue
        if name.endswith("/"):
            copies.leave_out(name, "a repository of its own")
        elif os.path.islink(path):
            copies.leave_out(name, "a link")
        elif holds_secrets(name) or is_source(name):
            copy = copies.of_file(path, name)
            if copy is not None:
                yield {"path": name, **copy._asdict()}
        copies.pace.rest()


def is_source(name: str) -> bool:
    """Whether a file is written by people to make a program do something, going by its name."""
    base = name.rpartition("/")[2]
    is_requirements = base.startswith("requirements") and base.endswith((".txt", ".in"))
    return os.path.splitext(base)[1].lower() in _SOURCE_SUFFIXES or base in _SOURCE_NAMES or is_requirements


def _submodules(root: Path, copies: Copies, store: Path, depth: int) -> Iterable[dict[str, Any]]:
    repository = Repository.around(root)
    if repository is None or depth >= _DEEPEST:
        return
    for path in repository.submodules()[:_MOST_SUBMODULES]:
        folder = Path(os.path.normpath(root / path))
        inner = Repository.around(folder) if folder.is_relative_to(root) and folder.is_dir() else None
        if inner is None or inner.root != folder:
            yield {"path": path, "commit": None}  # not checked out
            continue
        yield {"path": path, **(describe_git(folder) or {}), **(_capture(folder, copies, store, depth + 1) or {})}
