"""A view answers from what is on disk now, for any run: live, ended in any way, damaged or strange."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barograph.errors import RunNotFoundError
from barograph.reading import RunView, Store
from barograph.store.layout import RunFolder
from barograph.store.sealing import seal

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py
Leave = Callable[..., RunFolder]


def _view(folder: Any) -> RunView:
    return RunView(folder.path)


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_an_end_says_what_it_was(begin: Begin, status: str) -> None:
    """And why."""
    view = _view(begin().end(status, reason="enough"))
    assert (view.status, view.end_reason) == (status, "enough")


def test_an_end_of_an_unknown_kind_is_no_success(begin: Begin) -> None:
    """A later version may know more of them."""
    assert _view(begin().end("evaporated")).status == "failed"


def test_a_failed_run_carries_its_error(begin: Begin) -> None:
    """Type, message, traceback and the step it happened at."""
    run = begin()
    run.log({"x": 1.0}, 41)
    view = _view(run.end("failed", error={"type": "ValueError", "message": "boom", "traceback": "Traceback ..."}))
    assert view.error is not None
    assert (view.error.type, view.error.message, view.error.step) == ("ValueError", "boom", 41)
    assert _view(begin().end()).error is None


def test_a_live_run_is_running_and_read_while_it_is_written(begin: Begin) -> None:
    """Each question sees what was there when it was asked."""
    run = begin()
    run.log({"x": 1.0}, 0)
    view = _view(run.folder)
    assert (view.status, len(view.metric("x")), view.summary) == ("running", 1, {"x": 1.0})
    run.log({"x": 2.0, "y": 3.0}, 1)
    run.record("event", 1, name="half", data={"a": 1})
    run.record("config", config={"lr": 0.5})
    assert (view.metric("x").values.tolist(), view.metrics()) == ([1.0, 2.0], ["x", "y"])
    assert ([event.name for event in view.events()], view.config) == (["half"], {"lr": 0.5})
    run.end()
    assert view.status == "finished"


def test_a_silent_run_is_stalled_as_long_as_its_process_lives(leave: Leave) -> None:
    """However long; it goes on in the same run when it wakes up."""
    view = _view(leave(silent_s=5000))
    assert view.status == "stalled"
    (journal,) = (view.path / "journals").iterdir()
    journal.touch()
    assert view.status == "running"


@pytest.mark.parametrize(("silent_s", "status"), [(5, "running"), (100, "stalled"), (5000, "killed")])
@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"boot_id": "before the restart"}])
def test_a_run_that_cannot_be_asked_goes_by_its_age(
    leave: Leave, silent_s: float, status: str, other: dict[str, str]
) -> None:
    """On another host, or on this one before it was started again."""
    assert _view(leave(silent_s=silent_s, **other)).status == status


def test_a_dead_process_left_a_killed_run(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """At once, without waiting for it to be silent."""
    assert _view(begin(identity=dead_identity).folder).status == "killed"


def test_the_newest_writer_of_the_newest_attempt_decides(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """A resumed run is running again, whatever became of it before."""
    folder = begin().end("failed")
    reopened = begin(into=folder)
    view = _view(folder)
    assert view.status == "running"
    reopened.end()
    assert view.status == "finished"
    begin(into=folder, attempt=2, identity=dead_identity)
    assert view.status == "killed"


def test_children_and_other_ranks_do_not_decide(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """A worker that was killed does not make a finished run a killed one."""
    folder = begin().end()
    begin(into=folder, role="child", identity=dead_identity)
    begin(into=folder, rank=1, identity=dead_identity)
    assert _view(folder).status == "finished"


def test_sigkill_leaves_every_record_and_a_killed_run(store: Path) -> None:
    """A real training process, a real kill."""
    code = """
        import barograph
        run = barograph.init(project="p", name="victim", quiet=True)
        step = 0
        while True:
            run.log({"x": float(step)}, step=step)
            print(step, flush=True)
            step += 1
    """
    training = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        env={**os.environ, "BAROGRAPH_STORE": str(store)},
    )
    assert training.stdout is not None
    for _ in range(200):
        acknowledged = int(training.stdout.readline())
    view = Store(store).run("victim")
    assert view.status == "running"
    training.send_signal(signal.SIGKILL)
    rest = training.communicate()[0].split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    assert view.status == "killed"
    steps = view.metric("x").steps.tolist()
    assert steps[: acknowledged + 1] == list(range(acknowledged + 1))
    assert len(steps) - 1 - acknowledged in (0, 1)


def test_configuration_is_nested_and_flat(begin: Begin) -> None:
    """Later values win, and changing what was given changes nothing."""
    run = begin()
    run.record("config", config={"optimizer": {"name": "sgd", "lr": 0.1}, "layers": [1, 2]})
    run.record("config", config={"optimizer": {"lr": 0.2}})
    view = _view(run.end())
    view.config["optimizer"]["lr"] = 99
    assert view.config == {"optimizer": {"name": "sgd", "lr": 0.2}, "layers": [1, 2]}
    assert view.params == {"optimizer.name": "sgd", "optimizer.lr": 0.2, "layers": [1, 2]}


def test_names_and_tags_can_be_changed_later(begin: Begin) -> None:
    """The manifest is written once; what the run says afterwards wins."""
    run = begin("one", tags=["first"], notes="before", group="g", parent_id="p0")
    view = _view(run.folder)
    assert (view.name, view.tags, view.notes, view.group, view.parent_id) == ("one", ["first"], "before", "g", "p0")
    run.record("meta", name="two", tags=["second"], notes="after")
    assert (view.name, view.tags, view.notes, view.group) == ("two", ["second"], "after", "g")


def test_events_texts_images_and_tables(begin: Begin) -> None:
    """From records and from files, open and sealed."""
    run = begin()
    long = run.folder.put_file(b"a long text\n" * 3, ".txt")
    picture = run.folder.put_file(b"png", ".png")
    lines = run.folder.put_file(b'[1, "x"]\n[2, "y"]', ".jsonl")
    run.record("event", 3, name="early_stop", data={"monitor": "val/loss"})
    run.record("event", 4, name="other", data={})
    run.record("text", 1, key="short", text="hi")
    run.record("text", 1, key="long", file=long)
    run.record("image", 2, key="img", file=picture, format="png", width=3, height=4)
    run.record("table", 2, key="small", columns=["a", "b"], rows=[[1, 2]])
    run.record("table", 2, key="big", columns=["a", "b"], file=lines)
    folder = run.end()
    for _ in range(2):
        view = _view(folder)
        (event,) = view.events("early_stop")
        assert (event.step, event.data) == (3, {"monitor": "val/loss"})
        assert len(view.events()) == 2
        assert [text.text for text in view.texts()] == ["hi", "a long text\n" * 3]
        (image,) = view.images()
        assert image.path is not None
        assert (image.path.read_bytes(), image.width, image.height) == (b"png", 3, 4)
        assert view.tables("small")[0].rows == [[1, 2]]
        assert view.tables("big")[0].rows == [[1, "x"], [2, "y"]]
        seal(folder)


def test_files_that_a_stranger_names_are_not_opened(begin: Begin, tmp_path: Path) -> None:
    """No path, no URL, no link in the place of a content id."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    run = begin()
    link = "0" * 32 + ".txt"
    run.folder.files.mkdir()
    (run.folder.files / link).symlink_to(secret)
    for name in ("../../../secret", str(secret), f"file://{secret}", "http://169.254.169.254/", link, 5, None):
        run.record("text", key="t", file=name)
        run.record("table", key="t", columns=["a"], file=name)
        if name != link:
            run.record("image", key="t", file=name, format="png")
    view = _view(run.end())
    assert {text.text for text in view.texts()} == {None}
    assert all(table.rows == [] for table in view.tables())
    assert {image.path for image in view.images()} == {None}


def test_records_that_are_no_such_thing_are_read_as_far_as_they_go(begin: Begin) -> None:
    """Missing fields, wrong types, bottomless nesting: never an error for the one who reads."""
    run = begin()
    for kind in ("event", "text", "image", "table", "config", "meta", "summary", "environment", "unheard of"):
        run.record(kind)
        run.record(kind, name=5, key=5, data=5, text=5, rows=5, columns=5, config=5, tags=5, overhead=5, environment=5)
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    run.record("config", config=deep)
    view = _view(run.end())
    assert len(view.events()) == len(view.texts()) == len(view.images()) == len(view.tables()) == 2
    assert (view.status, view.environment, view.overhead, view.tags) == ("finished", {}, {}, [])
    assert "nested too deeply" in str(view.config)


def test_environment_and_overhead_of_the_training_itself(begin: Begin) -> None:
    """Parts come one after the other and are one mapping."""
    run = begin()
    run.record("environment", environment={"git": {"commit": "a"}})
    run.record("environment", environment={"git": {"dirty": True}, "python": "3.11"})
    run.record("summary", metrics={}, overhead={"total_s": 0.5, "hooks": {"log": 0.5}}, lost={})
    view = _view(run.end())
    assert view.environment == {"git": {"commit": "a", "dirty": True}, "python": "3.11"}
    assert view.overhead == {"total_s": 0.5, "hooks": {"log": 0.5}}


def test_durations_of_attempts_add_up(begin: Begin, leave: Leave, dead_identity: dict[str, Any]) -> None:
    """By the monotonic clock where the end was written, else up to the last sign of life; a pause is not counted."""
    folder = leave(silent_s=5000, lasted_s=10, **dead_identity)
    begin(into=folder, attempt=2).end(duration_s=2.5)
    assert _view(folder).duration_s == pytest.approx(12.5)


def test_a_live_run_lasts_until_now(leave: Leave) -> None:
    """Not until its last point."""
    assert 42 <= _view(leave(silent_s=30, lasted_s=12)).duration_s < 60


def test_damage_is_counted(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """A flipped bit costs one frame, and a torn tail is damage only once nobody can complete it."""
    sound = begin()
    sound.log({"x": 1.0}, 0)
    assert not _view(sound.folder).damage
    for identity, is_torn in ((None, False), (dead_identity, True)):
        run = begin(identity=identity)
        run.log({"x": 1.0}, 0)
        (journal,) = run.folder.journals.iterdir()
        with journal.open("ab") as file:
            file.write(journal.read_bytes()[:20])
        assert (_view(run.folder).damage.torn_tail_bytes > 0) is is_torn
    run = begin()
    for step in range(10):
        run.log({"x": float(step)}, step)
    folder = run.end()
    (journal,) = folder.journals.iterdir()
    data = bytearray(journal.read_bytes())
    data[-300] ^= 4
    journal.write_bytes(data)
    view = _view(folder)
    assert (view.damage.lost_frames, len(view.metric("x"))) == (1, 9)
    assert view.damage.places


def test_a_run_that_is_gone_says_so(begin: Begin) -> None:
    """A view outlives its run."""
    folder = begin().end()
    view = _view(folder)
    folder.path.rename(folder.path.with_name("elsewhere"))
    with pytest.raises(RunNotFoundError, match="no run"):
        _ = view.status


def test_views_are_equal_by_their_run(begin: Begin) -> None:
    """So they can stand in sets and as keys."""
    folder = begin().end()
    assert len({_view(folder), _view(folder), _view(begin().end())}) == 2


def test_many_threads_may_ask_one_view(begin: Begin) -> None:
    """While the run is being written: every answer is whole."""
    run = begin()
    run.log({"x": 0.0}, 0)
    view = _view(run.folder)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(30):
            values = view.metric("x").values.tolist()
            if values != [float(number) for number in range(len(values))]:
                wrong.append(values)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for step in range(1, 3000):
        run.log({"x": float(step)}, step)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(view.metric("x")) == 3000
