"""What a run made or used is kept by its content or noted by its place, from any thread, and never in part."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import pytest

import barograph
from barograph.artifacts import recorder as module
from barograph.artifacts.artifact import Artifact
from barograph.errors import StoreError
from barograph.reading import RunView, open_store
from barograph.run import Run
from barograph.starting import join
from barograph.store.objects import Objects, digest_of
from barograph.voice import BarographWarning


@pytest.fixture
def run(store: Path) -> Run:
    """An open run."""
    return barograph.init(quiet=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file as a training saves one."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return path


def _view(run: Run) -> RunView:
    return open_store(run.store_path).run(run.id)


def _ended(run: Run) -> list[Artifact]:
    run.finish()
    return _view(run).artifacts()


def test_a_file_is_kept_and_named_by_its_content(run: Run, model: Path) -> None:
    """What is made of the file afterwards changes nothing."""
    logged = run.log_artifact(model, kind="model", metadata={"accuracy": 0.9}, step=7)
    model.write_bytes(b"other")
    (found,) = _ended(run)
    assert (found.name, found.kind, found.role, found.step) == ("model.pt", "model", "output", 7)
    assert (found.digest, found.size_bytes, found.files) == (digest_of(b"weights"), 7, None)
    assert (found.stored, found.problem, found.metadata) == (True, None, {"accuracy": 0.9})
    assert found.read_bytes() == b"weights"
    assert logged is not None
    assert logged.digest == found.digest
    assert logged.read_bytes() == b"weights"


def test_the_same_content_is_kept_once_over_all_runs(store: Path, model: Path) -> None:
    """Whatever it is called."""
    other = model.with_name("best.pt")
    other.write_bytes(model.read_bytes())
    for path in (model, other):
        with barograph.init(quiet=True) as run:
            run.log_artifact(path)
    digests = {artifact.digest for artifact in open_store(store).artifacts()}
    assert digests == {digest_of(b"weights")}
    assert sum(one.digest in digests for one in Objects(store).all()) == 1


def test_a_reference_is_noted_at_once_and_its_content_as_it_is_known(run: Run, model: Path) -> None:
    """Path, size and date first; the digest comes from the side."""
    logged = run.log_artifact(model, copy=False)
    assert logged is not None
    assert (logged.digest, logged.size_bytes, logged.stored) == (None, 7, False)
    (found,) = _ended(run)
    assert (found.digest, found.stored, found.path) == (digest_of(b"weights"), False, str(model))
    assert found.time_s == pytest.approx(logged.time_s, abs=1.0)
    assert found.local_path() == model


def test_larger_files_are_noted_and_not_copied(
    store: Path, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless a copy is asked for; of a folder the sum counts."""
    monkeypatch.setenv("BAROGRAPH_ARTIFACT_COPY_LIMIT_BYTES", "8")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").write_bytes(b"12345")
    (folder / "inner" / "b").write_bytes(b"12345")
    run = barograph.init(quiet=True)
    run.log_artifact(model, name="small")
    run.log_artifact(folder, name="large")
    run.log_artifact(folder, name="asked for", copy=True)
    kept = {one.name: one for one in _ended(run)}
    assert {name: one.stored for name, one in kept.items()} == {"small": True, "large": False, "asked for": True}
    assert kept["large"].digest == kept["asked for"].digest
    assert kept["large"].size_bytes == 10


def test_a_name_given_again_is_a_new_version(run: Run, model: Path) -> None:
    """The newest wins, all are kept."""
    for content in (b"one", b"two"):
        model.write_bytes(content)
        run.log_artifact(model)
    run.finish()
    view = _view(run)
    assert [view.artifact(name).read_bytes() for name in ("model.pt", "model.pt:1", "model.pt:2")] == [
        b"two",
        b"one",
        b"two",
    ]
    assert view.artifact(digest_of(b"one")).version == 1
    assert view.artifact(digest_of(b"one")[7:19]).version == 1


def test_a_path_where_nothing_is_gives_one_warning(run: Run, tmp_path: Path) -> None:
    """Nothing is recorded, and the training goes on."""
    with pytest.warns(BarographWarning, match="No such file") as told:
        for path in ("missing", "a\0b", None, 3.5, os.devnull):
            assert run.log_artifact(tmp_path / path if isinstance(path, str) else path) is None  # type: ignore[arg-type]
    assert len(told) == 1
    assert _ended(run) == []


@pytest.mark.parametrize("what", ["removed", "replaced", "grown"])
def test_a_reference_that_did_not_wait_is_said_so(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A checkpoint that is deleted, replaced or still being written has no digest, and says why."""
    reading, may_read, has_read = threading.Event(), threading.Event(), threading.Event()
    original = module._Reading.do

    def do(self: module._Reading, background: object) -> None:
        reading.set()
        may_read.wait(30)
        original(self, background)  # type: ignore[arg-type]  # handed on
        has_read.set()

    monkeypatch.setattr(module._Reading, "do", do)
    run.log_artifact(model, kind="checkpoint", copy=False)
    assert reading.wait(30)
    if what == "removed":
        model.unlink()
    elif what == "replaced":
        model.with_name("new").write_bytes(b"another")
        model.with_name("new").replace(model)
    else:
        with model.open("ab") as file:
            file.write(b"more")
    with pytest.warns(BarographWarning, match=r"model\.pt"):
        may_read.set()
        assert has_read.wait(30)  # which the end of a run would not wait for on a machine that is busy
        run.finish()
    (found,) = _view(run).artifacts()
    assert found.digest is None
    assert not found.stored
    assert found.problem is not None
    assert ("removed" if what == "removed" else "changed") in found.problem


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("logged", ["file", "folder"])
def test_what_is_still_being_written_here_is_not_copied(run: Run, tmp_path: Path, logged: str) -> None:
    """Half a checkpoint is no checkpoint, however long its writer pauses."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with (folder / "last.ckpt").open("wb") as file:
        file.write(b"half")
        file.flush()
        with pytest.warns(BarographWarning, match="still open for writing"):
            run.log_artifact(folder / "last.ckpt" if logged == "file" else folder)
        file.write(b" and half")
    run.log_artifact(folder, name="whole")
    half, whole = _ended(run)
    assert not half.stored
    assert "still open for writing" in str(half.problem)
    assert whole.stored
    assert not Objects(run.store_path).has(digest_of(b"half"))


def test_a_folder_of_many_files_is_noted_and_not_copied(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training does not wait for them."""
    monkeypatch.setattr(module, "_COPIED_FILES", 3)
    (tmp_path / "many").mkdir()
    for number in range(5):
        (tmp_path / "many" / str(number)).write_bytes(b"x")
    run.log_artifact(tmp_path / "many")
    (found,) = _ended(run)
    assert (found.stored, found.files) == (False, 5)


def test_a_full_disk_leaves_a_note_and_nothing_half(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning for any number of files; the content is still read, so that it can be known again."""

    def full(self: Objects, path: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Objects, "put_file", full)
    with pytest.warns(BarographWarning, match="No space left") as told:
        run.log_artifact(model, name="a")
        run.log_artifact(model, name="b")
        run.log({"x": 1.0})
        found = _ended(run)
    assert len(told) == 1
    assert [(one.stored, one.digest) for one in found] == [(False, digest_of(b"weights"))] * 2
    assert all("No space left" in str(one.problem) for one in found)
    assert not Objects(run.store_path).has(digest_of(b"weights"))


def test_a_file_that_may_not_be_read_is_noted_with_one_warning(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is known, its content is not."""

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("barograph.store.objects.open_regular", refuse)
    with pytest.warns(BarographWarning, match="Permission") as told:
        run.log_artifact(model)
        run.log_artifact(model)
        run.finish()
    monkeypatch.undo()
    found = _view(run).artifacts()
    assert len(told) == 1
    assert [(one.digest, one.stored, one.size_bytes) for one in found] == [(None, False, 7)] * 2


def test_what_is_not_read_before_the_end_is_said_so(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """finish() does not wait for a file of any size."""
    started = threading.Event()

    def endless(self: module._Reading, background: module.Background) -> None:
        started.set()
        while True:
            background.stop_if_told()

    monkeypatch.setattr(module._Reading, "do", endless)
    run.log_artifact(model, copy=False, name="reading")
    run.log_artifact(model, copy=False, name="waiting")
    assert started.wait(30)
    with pytest.warns(BarographWarning, match="ended before"):
        run.close(timeout_s=0.2)
    assert [one.problem for one in _view(run).artifacts()] == ["the run ended before its content was read"] * 2


def test_many_threads_log_at_once(run: Run, tmp_path: Path) -> None:
    """None is lost and none is mixed up."""

    def log(number: int) -> None:
        for turn in range(10):
            path = tmp_path / f"{number}-{turn}"
            path.write_bytes(f"{number} {turn}".encode())
            run.log_artifact(path, copy=bool(turn % 2))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = _ended(run)
    assert len(found) == 80
    assert all(one.digest == digest_of(one.name.replace("-", " ").encode()) for one in found)


def test_ranks_log_to_one_run(store: Path, model: Path) -> None:
    """Each in its own journal; the view holds what all of them kept."""
    first = barograph.init(id="many", quiet=True)
    ranks = [first, join(str(store), first.id, first.attempt, rank=1, world=2)]
    for run in ranks:
        run.log_artifact(model, name=f"rank {run.rank}")
        run.log_artifact(model, name="shared")
    for run in ranks:
        run.finish()
    found = open_store(store).run("many").artifacts()
    assert sorted(one.name for one in found) == ["rank 0", "rank 1", "shared", "shared"]
    assert sorted(one.version for one in found if one.name == "shared") == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_keeps_artifacts_of_its_own(run: Run, model: Path) -> None:
    """The parent's thread does not exist there; nobody waits for it."""
    run.log_artifact(model, copy=False, name="parent's")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if child == 0:
        try:
            run.log_artifact(model, name="child's")
            run.finish()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert {one.name: one.digest for one in _ended(run)} == {
        "parent's": digest_of(b"weights"),
        "child's": digest_of(b"weights"),
    }


def test_a_run_that_is_opened_again_goes_on(run: Run, model: Path) -> None:
    """A callback's run serves another fit."""
    run.log_artifact(model, copy=False)
    run.finish()
    run.reopen()
    run.log_artifact(model, copy=False)
    assert [(one.version, one.digest) for one in _ended(run)] == [
        (1, digest_of(b"weights")),
        (2, digest_of(b"weights")),
    ]


def test_after_the_end_nothing_is_kept(run: Run, model: Path) -> None:
    """With the warning that every call gives then."""
    run.finish()
    with pytest.warns(BarographWarning, match="after finish"):
        assert run.log_artifact(model) is None
    assert not Objects(run.store_path).has(digest_of(b"weights"))


def test_switched_off_nothing_is_written(store: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a path that is used is still returned."""
    monkeypatch.setenv("BAROGRAPH_MODE", "disabled")
    run = barograph.init(quiet=True)
    assert run.log_artifact(model) is None
    assert run.use_artifact(model) == model
    run.finish()
    assert not store.exists()


def test_a_killed_run_has_what_it_logged(store: Path, model: Path) -> None:
    """Copies are whole; a reference whose content was not read says so."""
    code = f"""
        import os, barograph
        from barograph.artifacts import recorder
        recorder._Reading.do = lambda self, background: None
        run = barograph.init(store={str(store)!r}, quiet=True)
        run.log_artifact({str(model)!r}, name="copy")
        run.log_artifact({str(model)!r}, name="reference", copy=False)
        os.kill(os.getpid(), 9)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert ended.returncode == -signal.SIGKILL
    (view,) = open_store(store).runs()
    copy, reference = view.artifacts()
    assert copy.read_bytes() == b"weights"
    assert (reference.digest, reference.problem) == (None, "its content was not read: the process ended first")


def test_kinds_fit_what_lies_there(run: Run, model: Path, tmp_path: Path) -> None:
    """A folder is a directory, unless it is called a model or checkpoint or another word."""
    (tmp_path / "folder").mkdir()
    logged = [run.log_artifact(path, kind) for path, kind in (
        (model, "directory"), (tmp_path / "folder", "file"), (tmp_path / "folder", "checkpoint"), (model, "tokenizer")
    )]  # fmt: skip
    assert [one.kind for one in logged if one] == ["file", "directory", "checkpoint", "tokenizer"]


def test_metadata_is_plain_and_without_credentials(run: Run, model: Path) -> None:
    """Whatever it is made of."""
    secret = "ghp_" + "a1B2c3D4e5" * 4
    run.log_artifact(model, metadata={"url": f"https://user:{secret}@example.com/x", "shape": (1, 2)})
    run.log_artifact(model, metadata="a word")  # type: ignore[arg-type]  # a user may
    first, second = _ended(run)
    assert secret not in str(first.metadata)
    assert first.metadata["shape"] == [1, 2]
    assert second.metadata == {"value": "a word"}


def test_strange_names_are_kept(run: Run, tmp_path: Path) -> None:
    """Unicode, spaces, and bytes that are no Unicode at all."""
    paths = [tmp_path / "モデル 1.pt", tmp_path / "a:b*.pt", Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))]
    for path in paths:
        path.write_bytes(b"weights")
        run.log_artifact(path)
    found = _ended(run)
    assert [one.path for one in found] == [str(path) for path in paths]
    assert all(one.local_path().read_bytes() == b"weights" for one in found)


@pytest.fixture
def made(store: Path, model: Path) -> Artifact:
    """An artifact that an earlier run made."""
    with barograph.init(quiet=True, name="maker") as run:
        run.log_artifact(model, kind="model")
    return open_store(store).artifact("model.pt")


def test_an_input_by_path_is_noted_with_its_content(run: Run, model: Path) -> None:
    """The path comes back as it was given, once noted however often it is used."""
    for _ in range(5):
        assert run.use_artifact(model, kind="data") == model
    (found,) = _ended(run)
    assert (found.role, found.kind, found.digest, found.stored) == ("input", "data", digest_of(b"weights"), False)


@pytest.mark.parametrize("ask", ["name", "version", "digest", "artifact"])
def test_an_input_is_asked_for_by_name_or_content(made: Artifact, model: Path, run: Run, ask: str) -> None:
    """What comes back holds that content, under the name it had, wherever the original is by now."""
    model.unlink()
    source = {"name": "model.pt", "version": "model.pt:1", "digest": made.digest, "artifact": made}[ask]
    assert source is not None
    path = run.use_artifact(source)
    assert (path.name, path.read_bytes()) == ("model.pt", b"weights")
    (found,) = _ended(run)
    assert (found.role, found.kind, found.digest, found.stored) == ("input", "model", made.digest, True)
    assert found.metadata == {"run": made.run_id, "version": 1}


def test_an_input_of_another_store_is_noted_by_its_content(store: Path, model: Path, tmp_path: Path) -> None:
    """The store that it lies in may be gone tomorrow; this one does not claim to hold it."""
    with barograph.init(store=tmp_path / "other", quiet=True) as other:
        logged = other.log_artifact(model, kind="model")
    assert logged is not None
    with barograph.init(quiet=True) as run:
        assert run.use_artifact(logged).read_bytes() == b"weights"
    (found,) = _view(run).artifacts()
    assert (found.name, found.kind, found.digest, found.stored) == ("model.pt", "model", logged.digest, False)


def test_an_input_that_is_damaged_is_refused(made: Artifact, run: Run) -> None:
    """There is nothing right to return."""
    assert made.digest is not None
    Objects(run.store_path).path(made.digest).write_bytes(b"weightz")
    with pytest.raises(StoreError, match="not what its name says"):
        run.use_artifact("model.pt")
    run.finish()


def test_an_input_that_is_nowhere_is_taken_for_a_path(made: Artifact, run: Run) -> None:
    """One warning; the training's own error names the file."""
    with pytest.warns(BarographWarning, match="nowhere") as told:
        assert run.use_artifact("nowhere.pt") == Path("nowhere.pt")
        run.use_artifact(Path("nowhere.pt"))
    assert len(told) == 1
    assert _ended(run) == []


@pytest.mark.expects_guard
def test_nothing_of_ours_reaches_the_training(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in our own code is one warning."""

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(module.ArtifactRecorder, "log", broken)
    monkeypatch.setattr(module.ArtifactRecorder, "use_path", broken)
    with pytest.warns(BarographWarning, match="broken"):
        assert run.log_artifact(model) is None
        assert run.use_artifact(model) == model
