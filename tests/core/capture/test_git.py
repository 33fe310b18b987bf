"""The state of real repositories, as git itself tells it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from barograph.capture.git import Repository, ask_git, describe_git, repository_of

from .repositories import git, make_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit of one file."""
    return make_repository(tmp_path / "project")


def asked(folder: Path) -> dict[str, object]:
    status = ask_git(folder)
    return {} if status is None else status.facts


def told(folder: Path) -> tuple[object, object, object]:
    found = describe_git(folder)
    assert found is not None
    return found["root"], found["commit"], found["branch"]


def test_commit_and_branch(repository: Path) -> None:
    """From any folder inside; a branch may have slashes in its name."""
    (repository / "deep/er").mkdir(parents=True)
    git(repository, "checkout", "-b", "feature/new-loss")
    commit = git(repository, "rev-parse", "HEAD")
    assert told(repository / "deep/er") == (str(repository), commit, "feature/new-loss")


def test_a_detached_head_and_packed_refs(repository: Path) -> None:
    """A commit without a branch; a branch whose ref lies in the common file."""
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert told(repository) == (str(repository), commit, "main")
    git(repository, "checkout", "--detach")
    assert told(repository) == (str(repository), commit, None)


def test_before_the_first_commit(tmp_path: Path) -> None:
    """There is a branch and no commit."""
    git(tmp_path, "init")
    assert told(tmp_path) == (str(tmp_path), None, "main")
    assert asked(tmp_path)["commit"] is None


def test_a_worktree_and_a_submodule_are_their_own(repository: Path, tmp_path: Path) -> None:
    """Each has its own commit and branch, though its files lie inside another repository's."""
    git(repository, "worktree", "add", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side/train.py").write_text("print(2)\n")
    git(tmp_path / "side", "commit", "-am", "Second")
    commit = git(tmp_path / "side", "rev-parse", "HEAD")
    assert told(tmp_path / "side") == (str(tmp_path / "side"), commit, "side")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(repository), "library")
    assert told(repository / "library")[0] == str(repository / "library")
    assert told(repository / "library")[1] == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pass@example.com/o/r.git", "https://example.com/o/r.git"),
        ("git@example.com:o/r.git", "git@example.com:o/r.git"),
    ],
)
def test_the_remote_has_no_credentials(repository: Path, url: str, kept: str) -> None:
    """Login and password of the URL are left out."""
    git(repository, "remote", "add", "origin", url)
    assert (describe_git(repository) or {})["remote"] == kept


def test_the_remote_is_the_one_of_the_branch(repository: Path) -> None:
    """A branch may follow another remote than origin; without either the first one counts."""
    git(repository, "remote", "add", "fork", "https://example.com/fork.git")
    assert (describe_git(repository) or {})["remote"] == "https://example.com/fork.git"
    git(repository, "remote", "add", "origin", "https://example.com/origin.git")
    assert (describe_git(repository) or {})["remote"] == "https://example.com/origin.git"
    git(repository, "config", "branch.main.remote", "fork")
    assert (describe_git(repository) or {})["remote"] == "https://example.com/fork.git"


def test_changes_are_counted(repository: Path) -> None:
    """Changed files of the commit make it dirty, untracked ones do not; ignored ones are nothing."""
    commit = git(repository, "rev-parse", "HEAD")
    clean = {"commit": commit, "branch": "main", "dirty": False, "changed": 0, "untracked": 0}
    assert asked(repository) == clean
    (repository / ".gitignore").write_text("*.ckpt\n")
    (repository / "last.ckpt").write_text("")
    assert asked(repository) == clean | {"untracked": 1}
    (repository / "train.py").write_text("print(2)\n")
    assert asked(repository) == clean | {"untracked": 1, "dirty": True, "changed": 1}


def test_refs_that_are_no_files_are_asked_from_git(repository: Path) -> None:
    """A repository in another ref format keeps a HEAD that means nothing; git knows the commit."""
    commit = git(repository, "rev-parse", "HEAD")
    version = tuple(map(int, git(repository, "version").split()[2].split(".")[:2]))
    if version < (2, 45):
        pytest.skip("this git knows no other format")
    git(repository, "refs", "migrate", "--ref-format=reftable")
    assert asked(repository)["commit"] == commit


def test_asking_changes_nothing_in_the_repository(repository: Path) -> None:
    """No lock is taken and no index refreshed, under the feet of a git of the user's."""
    os.utime(repository / "train.py", (1, 1))
    before = (repository / ".git/index").stat().st_mtime_ns, sorted(os.listdir(repository / ".git"))
    ask_git(repository)
    assert ((repository / ".git/index").stat().st_mtime_ns, sorted(os.listdir(repository / ".git"))) == before


def test_a_hook_of_another_repository_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that run in a commit hook inherit GIT_DIR and GIT_INDEX_FILE."""
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert asked(repository)["commit"] == commit


def test_a_git_that_takes_too_long_is_given_up(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository on a slow disk: nothing is told, and the process is gone."""
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    start = time.monotonic()
    assert ask_git(repository, timeout_s=0.2) is None
    assert time.monotonic() - start < 30


def test_no_git_and_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, without the program, or with files that mean nothing: nothing, and no error."""
    assert describe_git(tmp_path) is None
    assert ask_git(tmp_path / "gone") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_git(tmp_path) is None
    (tmp_path / ".git").write_text("nonsense")
    assert Repository.around(tmp_path / "x") is None


def test_the_repository_of_the_script_counts(tmp_path: Path) -> None:
    """Else the one around the working folder."""
    for name in ("code", "elsewhere"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / ".git/HEAD").write_text(f"ref: refs/heads/{name}\n")
    for script, branch in (
        (tmp_path / "code/train.py", "code"),
        (tmp_path / "loose.py", "elsewhere"),
        (None, "elsewhere"),
    ):
        found = repository_of(script and str(script), tmp_path / "elsewhere")
        assert found is not None
        assert found["branch"] == branch


def test_refs_in_a_circle_end(repository: Path) -> None:
    """A damaged repository must not hang a training."""
    (repository / ".git/HEAD").write_text("ref: refs/heads/a")
    (repository / ".git/refs/heads/a").write_text("ref: refs/heads/b")
    (repository / ".git/refs/heads/b").write_text("ref: refs/heads/a")
    assert told(repository) == (str(repository), None, "a")
