"""Where a store lies, what runs are called, and what is agreed upon in a run's folder without locks."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.errors import StoreError
from barograph.store import layout
from barograph.store.layout import (
    RunFolder,
    create_store,
    find_store,
    new_run_id,
    safe_run_id,
    vanishing_reason,
)


@pytest.fixture
def started_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process that began in a folder two levels below tmp_path/project, with no variable set."""
    folder = tmp_path / "project" / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.setattr(layout, "_STARTED_IN", folder)
    monkeypatch.delenv("BAROGRAPH_STORE")
    return folder


def test_the_folder_of_the_process_is_the_last_resort(started_in: Path) -> None:
    """Nothing given and nothing around: the store is made where the process began."""
    assert find_store() == started_in / ".barograph"


def test_the_git_root_comes_before_the_folder(started_in: Path) -> None:
    """A script started deep in a repository uses the store at its top."""
    (started_in.parents[1] / ".git").mkdir()
    assert find_store() == started_in.parents[1] / ".barograph"


def test_an_existing_store_upward_comes_before_the_git_root(started_in: Path) -> None:
    """The nearest one wins, even above a repository."""
    started_in.joinpath(".git").mkdir()
    (started_in.parents[1] / ".barograph").mkdir()
    assert find_store() == started_in.parents[1] / ".barograph"


def test_the_variable_comes_before_what_lies_around(started_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one is meant from where the process began."""
    (started_in / ".barograph").mkdir()
    monkeypatch.setenv("BAROGRAPH_STORE", "../elsewhere")
    assert find_store() == started_in.parent / "elsewhere"


def test_the_argument_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a path, a text or a file URL; from the home folder if it says so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_store(tmp_path / "x") == tmp_path / "x"
    assert find_store("~/x") == tmp_path / "x"
    assert find_store(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    with pytest.raises(StoreError, match="s3://"):
        find_store("s3://bucket/runs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_store_that_another_user_left_in_an_open_folder_is_not_taken(started_in: Path) -> None:
    """In /tmp and its like anybody can leave a .barograph for others to write into."""
    trap = started_in.parents[1] / ".barograph"
    trap.mkdir()
    os.chown(trap, 12345, -1)
    assert find_store() == trap
    trap.parent.chmod(0o1777)
    assert find_store() == started_in / ".barograph"


def test_a_changed_working_folder_does_not_move_the_store(tmp_path: Path) -> None:
    """Hydra changes it before training starts; what counts is where the process began."""
    code = "import barograph.store.layout as l, os; os.mkdir('out'); os.chdir('out'); print(l.find_store())"
    environment = {name: value for name, value in os.environ.items() if name != "BAROGRAPH_STORE"}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == str(tmp_path / ".barograph")


def test_a_working_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """The import and an absolute path work all the same."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.rmdir({str(gone)!r}); import barograph.store.layout as l; print(l.find_store('/x/y'))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "/x/y"


def test_a_new_store_hides_from_git(tmp_path: Path) -> None:
    """It is made once and left alone by the next who needs it."""
    for _ in range(2):
        create_store(tmp_path / "a" / ".barograph")
    assert (tmp_path / "a/.barograph/.gitignore").read_text() == "*\n"
    assert (tmp_path / "a/.barograph/runs").is_dir()


def test_run_ids_are_new_and_touch_no_random_state() -> None:
    """A training that seeds `random` gets the same numbers with and without us."""
    state = random.getstate()
    ids = {new_run_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"\d{8}-\d{6}-[a-z0-9]{6}", one) for one in ids)
    assert random.getstate() == state


@given(st.text(max_size=300))
def test_any_run_id_becomes_a_safe_folder_name(text: str) -> None:
    """No separators, no leading dot, nothing Windows reserves, and short enough for any file system."""
    name = safe_run_id(text)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
    assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}
    assert safe_run_id(name) == name


def test_different_run_ids_never_become_the_same_folder() -> None:
    """What has to be changed carries a hash of what it was."""
    texts = ["a/b", "a_b", "a-b", "a\\b", "a b", "a:b", "../a", "..", "", "con", "CON.txt", "\ud800", "\ud801", "a.x"]
    names = [safe_run_id(text) for text in texts]
    assert len(set(names)) == len(texts)
    assert safe_run_id("My-run_1.2") == "My-run_1.2"


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    """Whoever comes later is told and finds the first one's."""
    folder = RunFolder(tmp_path / "run")
    assert folder.create_manifest({"id": "run", "name": "\ud800 first"})
    assert not folder.create_manifest({"id": "run", "name": "second"})
    assert folder.read_manifest() == {"id": "run", "name": "\ud800 first"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "holds no run.json"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "holds a list"),
        ('{"a": "' + "x" * 2_000_000 + '"}', "longer than"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    """Missing, damaged, nested without end or too long: one error, whatever it is."""
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match=problem):
        RunFolder(tmp_path).read_manifest()


def _at_once(call: Callable[[], int], times: int) -> list[int]:
    answers: list[int] = []
    barrier = threading.Barrier(times)

    def ask() -> None:
        barrier.wait()
        answers.append(call())

    threads = [threading.Thread(target=ask) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def test_processes_without_a_key_each_begin_an_attempt(tmp_path: Path) -> None:
    """At once or one after the other, no number is given twice."""
    folder = RunFolder(tmp_path)
    assert folder.new_attempt() == 1
    assert _at_once(folder.new_attempt, 6) == [2, 3, 4, 5, 6, 7]


def test_processes_of_one_start_share_an_attempt(tmp_path: Path) -> None:
    """All ranks bring the same key; a restart brings another one and begins the next attempt."""
    folder = RunFolder(tmp_path)
    assert _at_once(lambda: folder.new_attempt("start 1"), 6) == [1] * 6
    assert folder.new_attempt("start 2") == 2
    assert folder.new_attempt("start 2") == 2
    assert folder.attempts() == [1, 2]


def test_a_wanted_attempt_is_taken_if_it_is_free(tmp_path: Path) -> None:
    """A launcher that counts restarts decides; where its number is another's, the next free one is taken."""
    folder = RunFolder(tmp_path)
    assert folder.new_attempt("x", wanted=3) == 3
    assert folder.new_attempt("x", wanted=3) == 3
    assert folder.new_attempt("y", wanted=3) == 4


def test_files_are_kept_once_under_their_content(tmp_path: Path) -> None:
    """The same bytes get the same name, in whatever run."""
    folder = RunFolder(tmp_path)
    name = folder.put_file(b"picture", ".png")
    assert folder.put_file(b"picture", ".png") == name
    assert folder.file_path(name).read_bytes() == b"picture"
    assert len(os.listdir(folder.files)) == 1
    with pytest.raises(ValueError, match="suffix"):
        folder.put_file(b"picture", "/../x")


@pytest.mark.parametrize(
    "name", ["../../.ssh/id_rsa", "/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", ""]
)
def test_files_are_found_by_content_id_only(tmp_path: Path, name: str) -> None:
    """A run made by a stranger may name any file in its records."""
    with pytest.raises(StoreError, match="refused"):
        RunFolder(tmp_path).file_path(name)


@pytest.mark.parametrize(
    ("mount", "variable", "reason"),
    [
        (("/", "ext4"), None, None),
        (("/mnt/scratch", "tmpfs"), None, "memory"),
        (("/", "overlay"), None, "container"),
        (("/", "overlay"), "COLAB_RELEASE_TAG", "Colab"),
        (("/content/drive", "fuse.drive"), "COLAB_RELEASE_TAG", None),
        (("/", "ext4"), "KAGGLE_KERNEL_RUN_TYPE", "Kaggle"),
    ],
)
def test_places_that_vanish_are_known(
    monkeypatch: pytest.MonkeyPatch, mount: tuple[str, str], variable: str | None, reason: str | None
) -> None:
    """Memory, a container's own layer, Colab and Kaggle; a mounted drive lasts."""
    monkeypatch.setattr(layout, "_mount_of", lambda path: mount)
    if variable:
        monkeypatch.setenv(variable, "1")
    found = vanishing_reason(Path("/somewhere"))
    assert found == reason if reason is None else reason in str(found)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no memory file system at the usual place")
def test_the_mount_table_is_read() -> None:
    """Also for a folder that does not exist yet."""
    assert "memory" in str(vanishing_reason(Path("/dev/shm/not/yet")))


def test_manifests_are_plain_json(tmp_path: Path) -> None:
    """Any tool reads them."""
    RunFolder(tmp_path).create_manifest({"tags": ["a"]})
    assert json.loads((tmp_path / "run.json").read_text()) == {"tags": ["a"]}
