"""The states of a git repository that runs were made from, as trees; the repository itself is never written to."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from barograph.errors import BarographError

_TIMEOUT_S = 60
_KINDS = {"A": "added", "D": "removed"}
# Nothing that a repository's own configuration or hooks would start is started.
_HARMLESS = (
    "core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.attributesFile=", "core.autocrlf=false",
    "protocol.allow=never", "protocol.file.allow=always",
)  # fmt: skip


class GitError(BarographError):
    """Git, or the repository, cannot tell what was asked."""


class Repository:
    """A working copy and a folder of our own, in which new objects are kept for as long as the comparison takes."""

    def __init__(self, root: str, scratch: str) -> None:
        self.root = root
        self._scratch = scratch
        objects = git(root, "rev-parse", "--git-path", "objects").decode().strip()
        self._index = f"{scratch}/index"
        self._variables = {
            "GIT_INDEX_FILE": self._index,
            "GIT_OBJECT_DIRECTORY": f"{scratch}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(Path(root, objects).resolve()),
        }
        os.makedirs(f"{scratch}/objects", exist_ok=True)

    @classmethod
    @contextmanager
    def holding(cls, roots: Sequence[str | None], commits: Sequence[str | None]) -> Iterator[Repository]:
        """The first repository that has all the commits; GitError if none has."""
        with tempfile.TemporaryDirectory(prefix="barograph-") as scratch:
            yield cls(holder_of(roots, [commit for commit in commits if commit]), scratch)

    def tree(self, commit: str | None, patch: bytes, untracked: Mapping[str, bytes]) -> str:
        """The tree of a commit (None: before the first) with changes and new files; GitError if the patch fails."""
        if commit and not patch.strip() and not untracked:
            return commit
        Path(self._index).unlink(missing_ok=True)
        self._git("read-tree", commit or "--empty")
        if patch.strip():
            self._git("apply", "--cached", "--whitespace=nowarn", "-", given=patch)
        if untracked:
            lines = "".join(f"100644 {self._blob(data)}\t{path}\0" for path, data in untracked.items())
            self._git("update-index", "--add", "-z", "--index-info", given=os.fsencode(lines))
        return self._git("write-tree").decode().strip()

    def difference(self, before: str, after: str) -> list[tuple[str, str, str]]:
        """Path, kind and unified diff of each file that two trees do not have in common."""
        how = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        names = os.fsdecode(self._git(*how, "--name-status", "-z", before, after)).split("\0")
        patch = self._git(*how, "-p", before, after).decode("utf-8", "replace")
        pieces = [f"diff --git {piece}" for piece in f"\n{patch}".split("\ndiff --git ")[1:]]
        found = list(zip(names[0::2], names[1::2], strict=False))
        if len(pieces) != len(found):  # a change of mode alone and the like
            pieces = [patch] + [""] * (len(found) - 1)
        return [
            (path, _KINDS.get(letter[:1], "changed"), piece.rstrip("\n"))
            for (letter, path), piece in zip(found, pieces, strict=True)
        ]

    def _blob(self, data: bytes) -> str:
        return self._git("hash-object", "-w", "--no-filters", "--stdin", given=data).decode().strip()

    def _git(self, *arguments: str, given: bytes = b"") -> bytes:
        return git(self.root, *arguments, given=given, **self._variables)


def holder_of(roots: Sequence[str | None], commits: Sequence[str]) -> str:
    """The first of these folders that is a repository with all the commits; GitError that says why none is."""
    problem = "the run names no repository"
    for root in dict.fromkeys(root for root in roots if root):
        if not os.path.isdir(root):
            problem = f"the repository {root} is not there"
            continue
        try:
            asked = "".join(f"{commit}\n" for commit in commits).encode()
            answers = git(root, "cat-file", "--batch-check=%(objecttype)", given=asked).decode().split("\n")
        except GitError as error:
            problem = str(error)
            continue
        missing = [commit for commit, answer in zip(commits, answers, strict=False) if answer != "commit"]
        if not missing:
            return root
        problem = f"{root} has no commit {missing[0][:12]}"
    raise GitError(problem)


def git(root: str, *arguments: str, given: bytes = b"", **variables: str) -> bytes:
    """What git answers in a folder; GitError with its last line if it refuses."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options = [part for setting in _HARMLESS for part in ("-c", setting)]
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *options, "-C", root, *arguments],
            env={**environment, **variables},
            input=given,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(f"git {arguments[0]}: {lines[-1] if lines else f'exit status {error.returncode}'}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitError(f"git {arguments[0]}: {error}") from error
    return answer.stdout
