"""What a working copy holds beyond its commit, rebuilt from the store in a fresh clone."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from barograph.capture.changes import capture_changes
from barograph.capture.copies import FILE_LIMIT_BYTES, Copies
from barograph.capture.pace import Pace
from barograph.store.objects import Objects

from .repositories import environment, git, make_repository, write

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
TOKEN = "gh" + "p_" + "a1B2" * 9


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """Where contents go."""
    return Objects(tmp_path / "store")


def captured(root: Path, objects: Objects) -> dict[str, Any]:
    pace = Pace(1.0)
    pace.hurry()
    told = capture_changes(root, Copies(objects, pace), objects.folder.parent)
    assert told is not None
    return told


def rebuild(root: Path, told: dict[str, Any], objects: Objects, folder: Path) -> None:
    """A clone at the commit, with the patch applied and the new files put beside it."""
    git(root, "clone", str(root), str(folder))
    if told["diff"] is not None:
        apply = ["git", "-C", str(folder), "apply", "--binary", "-"]
        subprocess.run(apply, input=objects.get(told["diff"]), env=environment(), check=True)
    write(folder, {file["path"]: objects.get(file["object"]) for file in told["untracked_files"]})


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_a_working_copy_can_be_rebuilt(tmp_path: Path, objects: Objects) -> None:
    """Changed, staged, removed, renamed, binary and new files, with any name and any line ends."""
    files: dict[str, str | bytes] = {
        "train.py": "a = 1\nb = 2\n",
        "old.py": "x\n" * 50,
        "gone.py": "1\n",
        "crlf.txt": b"one\r\ntwo\r\n",
        "no end.txt": "no newline",
        "image.png": bytes(range(256)) * 20,
        "latin.txt": "M\xfcller\n".encode("latin-1"),
    }
    root = make_repository(tmp_path / "project", files)
    (root / "train.py").write_text("a = 1\nb = 3\n\n")
    (root / "gone.py").unlink()
    git(root, "mv", "old.py", "new name \u00e9.py")
    (root / "crlf.txt").write_bytes(b"one\r\nTWO\r\n")
    (root / "no end.txt").write_text("still none")
    (root / "image.png").write_bytes(bytes(reversed(range(256))) * 20)
    (root / "latin.txt").write_bytes("M\xfcllerin\n".encode("latin-1"))
    (root / "staged.bin").write_bytes(os.urandom(3000))
    git(root, "add", "staged.bin")
    write(root, {"deep/er/new.py": "new = True\n", "\u00fc.yaml": "lr: 1\n"})
    told = captured(root, objects)
    rebuild(root, told, objects, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(root)
    assert told["left_out"] == []
    assert (told["diff_redacted"], told["dirty"]) == (0, True)


def test_a_clean_working_copy_has_no_diff(tmp_path: Path, objects: Objects) -> None:
    """And no objects."""
    told = captured(make_repository(tmp_path / "project"), objects)
    assert (told["diff"], told["diff_bytes"], told["untracked_files"], told["submodules"]) == (None, 0, [], [])
    assert not list(objects.all())


def test_before_the_first_commit_everything_staged_is_the_diff(tmp_path: Path, objects: Objects) -> None:
    """It makes the files out of nothing."""
    git(tmp_path, "init", "new")
    write(tmp_path / "new", {"train.py": "print(1)\n"})
    git(tmp_path / "new", "add", ".")
    told = captured(tmp_path / "new", objects)
    assert told["commit"] is None
    assert b"+print(1)" in objects.get(told["diff"])


def test_the_users_configuration_does_not_change_the_patch(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours, prefixes, external programs and text converters are for eyes, not for git apply."""
    root = make_repository(tmp_path / "project")
    write(root, {"train.py": "print(2)\n"})
    plain = objects.get(captured(root, objects)["diff"])
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in {
        "color.ui": "always",
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.external": "false",
        "diff.context": "0",
        "diff.renames": "copies",
        "diff.relative": "true",
        "core.pager": "false",
    }.items():
        git(root, "config", name, value)
    assert objects.get(captured(root, objects)["diff"]) == plain


def test_only_sources_are_taken_of_new_files(tmp_path: Path, objects: Objects) -> None:
    """Not what is ignored, no data, no environment files, no keys, no store, no links, no other repository."""
    root = make_repository(tmp_path / "project", {".gitignore": "ignored.py\n"})
    make_repository(root / "other")
    taken = {
        "model.py": "1",
        "conf/base.yaml": "a: 1",
        "run.sh": "true",
        "Makefile": "all:",
        "requirements-dev.txt": "x",
    }
    secret = {
        ".env": "A=1",
        ".env.local": "A=1",
        "prod.env": "A=1",
        "deploy.pem": "x",
        "id_rsa": "x",
        "secrets.yaml": "x",
    }
    secret |= {"kaggle.json": "{}", ".aws/config.ini": "x", "gcp-service-account.json": "{}"}
    write(
        root, {**taken, **secret, "ignored.py": "1", "data.csv": "1,2", "weights.bin": "1", ".barograph/a.json": "{}"}
    )
    (root / "link.py").symlink_to("model.py")
    told = captured(root, objects)
    assert {file["path"] for file in told["untracked_files"]} == set(taken)
    left_out = {one["path"]: one["reason"] for one in told["left_out"]}
    assert {path for path, reason in left_out.items() if reason == "a file of its kind holds secrets"} >= set(secret)
    assert (left_out["link.py"], left_out["other/"]) == ("a link", "a repository of its own")


def test_the_runs_own_store_is_left_out_without_a_word(tmp_path: Path) -> None:
    """Whatever it is called, and even if git does not ignore it."""
    root = make_repository(tmp_path / "project")
    write(root, {"my store/runs/x.json": "{}"})
    told = captured(root, Objects(root / "my store"))
    assert (told["untracked_files"], told["left_out"]) == ([], [])


def test_secrets_are_taken_out_of_diff_and_new_files(tmp_path: Path, objects: Objects) -> None:
    """The patch can still be applied: a private key takes as many lines as before."""
    root = make_repository(tmp_path / "project", {"train.py": "a = 1\nz = 26\n"})
    begin, end = ("-----" + word + " PRIVATE KEY-----" for word in ("BEGIN", "END"))
    key = f"{begin}\n" + "MIIEow1bAaKCAQEA75\n" * 20 + f"{end}\n"
    write(
        root,
        {"train.py": f'a = 1\ntoken = "{TOKEN}"\nkey = """{key}"""\nz = 26\n', "new.py": "password = 'hunter2'\n"},
    )
    told = captured(root, objects)
    assert told["diff_redacted"] == 2
    assert [file["redacted"] for file in told["untracked_files"]] == [1]
    rebuild(root, told, objects, tmp_path / "again")
    rebuilt = (tmp_path / "again/train.py").read_text()
    assert TOKEN not in rebuilt
    assert "MIIEow1bAaKCAQEA75" not in rebuilt
    assert rebuilt.count("\n") == (root / "train.py").read_text().count("\n")
    assert (tmp_path / "again/new.py").read_text() == "password = '[redacted]'\n"


def test_changes_of_files_that_hold_secrets_are_left_out(tmp_path: Path, objects: Objects) -> None:
    """Even where somebody has put them under version control."""
    root = make_repository(tmp_path / "project", {".env": "PIN=1234\n", "train.py": "1\n"})
    write(root, {".env": "PIN=5678\n", "train.py": "2\n"})
    told = captured(root, objects)
    assert told["left_out"] == [{"path": ".env", "reason": "a file of its kind holds secrets"}]
    assert b"5678" not in objects.get(told["diff"])
    assert b"+2" in objects.get(told["diff"])


@pytest.mark.parametrize("which", ["before", "after"])
def test_large_changes_are_left_out(tmp_path: Path, objects: Objects, which: str) -> None:
    """Data under version control: named, and the other changes are there; be it large before or after the change."""
    large, small = os.urandom(11 << 20), b"small"
    root = make_repository(
        tmp_path / "project", {"[a]:*.bin": large if which == "before" else small, "train.py": "1\n"}
    )
    write(root, {"[a]:*.bin": small if which == "before" else large, "train.py": "2\n"})
    told = captured(root, objects)
    assert [one["path"] for one in told["left_out"]] == ["[a]:*.bin"]
    assert told["diff_bytes"] < 1000
    assert b"+2" in objects.get(told["diff"])


def test_a_diff_over_the_limit_ends_with_a_whole_file(tmp_path: Path, objects: Objects) -> None:
    """What is kept of it can be applied, and it is said that there was more."""
    files: dict[str, str | bytes] = {f"data{index}.txt": f"{index}\n" for index in range(4)}
    root = make_repository(tmp_path / "project", files)
    write(root, dict.fromkeys(files, "0123456789\n" * 350_000))
    told = captured(root, objects)
    rebuild(root, told, objects, tmp_path / "again")
    assert [one["path"] for one in told["left_out"]] == ["."]
    assert [(tmp_path / "again" / name).stat().st_size > 10 for name in files] == [True, True, False, False]


def test_long_new_files_are_left_out(tmp_path: Path, objects: Objects) -> None:
    """And those that are no text."""
    root = make_repository(tmp_path / "project")
    write(root, {"long.json": "1" * (FILE_LIMIT_BYTES + 1), "binary.py": b"a\0b", "empty.py": ""})
    told = captured(root, objects)
    assert {file["path"] for file in told["untracked_files"]} == {"empty.py"}
    assert {one["path"]: one["reason"] for one in told["left_out"]} == {
        "long.json": "longer than 1 MiB",
        "binary.py": "no text",
    }


def test_submodules_tell_the_same_of_themselves(tmp_path: Path, objects: Objects) -> None:
    """Commit, changes and new files of each; one that is not checked out has none."""
    root, library = make_repository(tmp_path / "project"), make_repository(tmp_path / "library", {"lib.py": "1\n"})
    for path in ("deps/library", "deps/missing"):
        git(root, "-c", "protocol.file.allow=always", "submodule", "add", str(library), path)
    git(root, "commit", "-m", "Submodules")
    git(root, "submodule", "deinit", "-f", "deps/missing")
    write(root, {"deps/library/lib.py": "2\n", "deps/library/new.py": "new\n"})
    told = captured(root, objects)
    inner, missing = told["submodules"]
    assert (inner["path"], inner["commit"]) == ("deps/library", git(library, "rev-parse", "HEAD"))
    assert b"+2" in objects.get(inner["diff"])
    assert [file["path"] for file in inner["untracked_files"]] == ["new.py"]
    assert (missing["path"], missing["commit"]) == ("deps/missing", None)
    assert told["diff"] is None


def test_a_store_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """What could not be kept is named."""
    root = make_repository(tmp_path / "project")
    write(root, {"train.py": "2\n", "new.py": "1\n"})
    (tmp_path / "file").write_text("")
    told = captured(root, Objects(tmp_path / "file"))
    assert (told["diff"], told["untracked_files"], told["changed"]) == (None, [], 1)
    assert {one["path"] for one in told["left_out"]} == {".", "new.py"}


def test_capturing_changes_nothing_in_the_repository(tmp_path: Path, objects: Objects) -> None:
    """No lock, no refreshed index, no new object of git."""
    root = make_repository(tmp_path / "project")
    write(root, {"train.py": "2\n", "new.py": "1\n"})
    os.utime(root / "train.py", (1, 1))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    captured(root, objects)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
