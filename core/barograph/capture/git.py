"""The git repository a training was started from, read from its files; only what changed is asked from git."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from barograph.capture.redaction import redact_url

_REF_HOPS = 5  # as git: a symbolic ref may name another, and a circle must end
_SECTION = re.compile(r'\[(?P<section>[\w.-]+)(?:\s+"(?P<name>.*)")?\]')


class Repository(NamedTuple):
    """A working copy. `folder` holds HEAD; `shared` the refs and configuration, which worktrees have in common."""

    root: Path
    folder: Path
    shared: Path

    @classmethod
    def around(cls, start: Path) -> "Repository | None":
        """The innermost working copy that holds `start`, be it a submodule or a worktree; None outside of any."""
        for root in (start, *start.parents):
            folder = root / ".git"
            if os.path.isfile(folder):  # Path.is_file() raises where a folder may not be entered
                target = _text(folder)
                if target is None or not target.startswith("gitdir:"):
                    continue
                folder = Path(os.path.realpath(root / target.removeprefix("gitdir:").strip()))
            if os.path.isfile(folder / "HEAD"):
                shared = _text(folder / "commondir")
                return cls(root, folder, folder if shared is None else Path(os.path.realpath(folder / shared)))
        return None

    def head(self) -> tuple[str | None, str | None]:
        """Commit and branch: None for the commit before the first one, None for the branch where HEAD is detached."""
        content, branch = _text(self.folder / "HEAD"), None
        for _ in range(_REF_HOPS):
            if content is None or not content.startswith("ref:"):
                return content, branch
            name = content.removeprefix("ref:").strip()
            branch = branch or name.removeprefix("refs/heads/")
            content = _text(self.folder / name) or _text(self.shared / name) or self._packed(name)
        return None, branch

    def remote(self, branch: str | None) -> str | None:
        """Where the branch is pushed to, else origin, else the first remote; credentials are left out."""
        remotes: dict[str, str] = {}
        upstream = "origin"
        section = name = ""
        for line in (_text(self.shared / "config") or "").splitlines():
            if match := _SECTION.match(line.strip()):
                section, name = match["section"].lower(), match["name"] or ""
                continue
            key, _, value = (part.strip() for part in line.partition("="))
            if section == "remote" and key.lower() == "url":
                remotes.setdefault(name, value)
            elif section == "branch" and name == branch and key.lower() == "remote":
                upstream = value
        url = remotes.get(upstream) or remotes.get("origin") or next(iter(remotes.values()), None)
        return None if url is None else redact_url(url)

    def submodules(self) -> list[str]:
        """The paths of its submodules as .gitmodules lists them, whether they are there or not."""
        text = _text(self.root / ".gitmodules") or ""
        lines = (line.partition("=") for line in text.splitlines())
        return [value.strip().strip('"') for key, sign, value in lines if sign and key.strip().lower() == "path"]

    def _packed(self, name: str) -> str | None:
        for line in (_text(self.shared / "packed-refs") or "").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
        return None


def describe_git(start: Path) -> dict[str, Any] | None:  # Any: JSON
    """Root, commit, branch and remote of the repository around a folder; None outside of any. Starts no process."""
    repository = Repository.around(start)
    if repository is None:
        return None
    commit, branch = repository.head()
    return {"root": str(repository.root), "commit": commit, "branch": branch, "remote": repository.remote(branch)}


def repository_of(script: str | None, folder: Path) -> dict[str, Any] | None:  # Any: JSON
    """The same for the repository of the script that was started, else for the one around the working folder."""
    return (describe_git(Path(script).parent) if script is not None else None) or describe_git(folder)


class Changed(NamedTuple):
    """A tracked file that is not as in the commit. blob: what the commit has, None for a file that is new."""

    path: str
    blob: str | None
    is_submodule: bool


class Status(NamedTuple):
    """What only git knows. facts: commit, branch, dirty; changed, untracked as numbers of files or folders."""

    facts: dict[str, object]
    changed: list[Changed]


def ask_git(root: Path, timeout_s: float = 20.0) -> Status | None:
    """The state of the working copy; None if git is not installed, refuses or takes longer than `timeout_s`.

    Commit and branch are in it too: a repository may keep its refs in another form than files.
    """
    answer = run_git(root, "status", "--porcelain=v2", "--branch", "--no-renames", "-z", timeout_s=timeout_s)
    if answer is None:
        return None
    entries = os.fsdecode(answer).split("\0")
    headers = dict(entry[2:].split(" ", 1) for entry in entries if entry.startswith("# "))
    changed = [change for entry in entries if (change := _changed(entry)) is not None]
    facts: dict[str, object] = {
        "commit": None if headers.get("branch.oid") == "(initial)" else headers.get("branch.oid"),
        "branch": None if headers.get("branch.head") == "(detached)" else headers.get("branch.head"),
        "dirty": bool(changed),
        "changed": len(changed),
        "untracked": sum(entry.startswith("? ") for entry in entries),
    }
    return Status(facts, changed)


def run_git(root: Path, *arguments: str, timeout_s: float = 20.0, given: bytes = b"") -> bytes | None:
    """What git answers, from a background thread; None if it is not installed, refuses or takes longer.

    Nothing is written into the repository, its file watcher is not started, and Ctrl-C on the terminal does not reach
    git. given: what it reads.
    """
    import subprocess  # a slow import

    # What a hook that started us says about another repository must not decide here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root)]
    try:
        answer = subprocess.run(
            [*command, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=True,
            start_new_session=True,
            input=given,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer.stdout


def _changed(entry: str) -> Changed | None:
    """An entry of status: "1 XY sub mH mI mW hH hI path", or "u XY sub m1 m2 m3 mW h1 h2 h3 path" for a conflict."""
    if entry.startswith("1 "):
        _, _, submodule, *_, blob, _, path = entry.split(" ", 8)
    elif entry.startswith("u "):
        _, _, submodule, *_, blob, _, path = entry.split(" ", 10)
    else:
        return None
    return Changed(path, blob if blob.strip("0") else None, submodule.startswith("S"))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except (OSError, ValueError):  # the latter for a name that holds a zero byte
        return None
