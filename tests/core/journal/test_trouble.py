"""The disk refuses, fails to sync, loses the file or cuts it: the training goes on and every loss is counted."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from barograph.journal import disk
from barograph.journal.reader import Contents, Damage, read_journal
from barograph.journal.writer import Journal

resource = pytest.importorskip("resource", reason="limits of POSIX are what makes the disk refuse here")
Open = Callable[..., Journal]


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file can grow beyond this size meanwhile: the write that crosses it is short, later ones fail (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _steps(contents: Contents) -> list[int]:
    return contents.series["x"].steps.tolist()


def test_a_disk_that_is_full_at_any_byte_loses_nothing(open_journal: Open) -> None:
    """The write is cut at each byte of the next frames; later, all of them are there, whole and in order."""
    for room in range(170):
        journal = open_journal()
        limit = journal.path.stat().st_size + room
        with full_at(limit):
            for step in range(4):
                assert journal.log({"x": 0.5}, step)
            journal.sync()
            assert journal.health == "degraded"
            assert journal.path.stat().st_size == limit
        journal.sync()
        assert journal.log({"x": 0.5}, 4)
        assert journal.health == "ok"
        contents = read_journal(journal.path)
        assert _steps(contents) == [0, 1, 2, 3, 4]
        assert contents.damage == Damage()
        assert journal.lost == {"records": 0, "points": 0, "bytes": 0}
        journal.close()


def test_a_full_disk_gives_one_warning_that_says_where_and_how_full(open_journal: Open, warned: list[str]) -> None:
    """However often it refuses."""
    journal = open_journal()
    for _ in range(3):
        with full_at(journal.path.stat().st_size):
            journal.log({"x": 1.0}, 0)
            journal.sync()
        journal.sync()
    assert len(warned) == 1
    assert str(journal.path) in warned[0]
    assert "bytes free" in warned[0]


def test_what_cannot_wait_is_counted_to_the_byte(open_journal: Open) -> None:
    """Beyond the limit of memory the newest are dropped; a gap frame tells the reader."""
    journal = open_journal(buffer_limit_bytes=10_000)
    journal.log({"x": 0.0}, 0)
    with full_at(journal.path.stat().st_size):
        for step in range(1, 1001):
            journal.log({"x": 1.0}, step)
    journal.sync()
    contents = read_journal(journal.path)
    kept = len(_steps(contents))
    lost = {"records": 1001 - kept, "points": 1001 - kept, "bytes": (1001 - kept) * (17 + 20 + 8)}
    assert 50 < kept < 150
    assert _steps(contents) == list(range(kept))
    assert journal.lost == lost
    assert journal.points == kept
    (gap,) = contents.damage.gaps
    assert lost.items() <= gap.items()
    assert gap["reason"] == os.strerror(errno.EFBIG)
    assert contents.damage.lost_frames == 0


def test_the_same_bytes_twice_are_two_records(open_journal: Open) -> None:
    """Also while they wait."""
    journal = open_journal()
    payload = b"statistics"
    with full_at(journal.path.stat().st_size + 20):
        for _ in range(4):
            journal.statistics(payload)
    journal.sync()
    assert [kept for _, kept in read_journal(journal.path).statistics] == [payload] * 4


def test_key_sets_first_used_while_the_disk_refuses_are_written_later(open_journal: Open) -> None:
    """More of them than the table of key sets holds."""
    journal = open_journal()
    with full_at(journal.path.stat().st_size):
        for index in range(70_000):
            journal.log({f"k{index}": float(index)}, index)
    journal.sync()
    contents = read_journal(journal.path)
    assert len(contents.series) == 70_000
    assert contents.series["k69999"].values.tolist() == [69999.0]


def test_a_journal_closed_on_a_full_disk_knows_what_is_lost(open_journal: Open, warned: list[str]) -> None:
    """It ends without an error, degraded, with exact counts and the one warning."""
    journal = open_journal()
    with full_at(journal.path.stat().st_size):
        journal.log({"x": 1.0, "y": 1.0}, 0)
        journal.record("event", 0, None, name="end")
        journal.close()
    assert journal.health == "degraded"
    assert (journal.lost["records"], journal.lost["points"]) == (2, 2)
    assert len(warned) == 1
    assert read_journal(journal.path).series == {}


def test_a_folder_that_cannot_be_made_is_made_later(open_journal: Open, tmp_path: Path, warned: list[str]) -> None:
    """Frames wait from the first on; the header comes first all the same."""
    (tmp_path / "in the way").write_text("a file")
    journal = open_journal(folder=tmp_path / "in the way" / "journals")
    assert journal.health == "degraded"
    assert journal.log({"x": 1.0}, 0)
    (tmp_path / "in the way").unlink()
    journal.sync()
    contents = read_journal(journal.path)
    assert (journal.health, _steps(contents), contents.damage) == ("ok", [0], Damage())
    assert contents.header is not None
    assert len(warned) == 1


def test_a_journal_is_never_opened_over_another_file(open_journal: Open) -> None:
    """O_EXCL: a file that is there is somebody else's."""
    journal = open_journal()
    with pytest.raises(FileExistsError):
        disk.create(journal.path)


def test_after_a_failed_sync_a_new_file_goes_on(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    """The old file is not written to any more, whatever a second sync would say."""
    journal = open_journal()
    first = journal.path

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal.log({"x": 0.0}, 0)
    with monkeypatch.context() as patched:
        patched.setattr(disk, "sync", refuse)
        journal.sync()
    size = first.stat().st_size
    journal.log({"x": 1.0}, 1)
    journal.sync()
    assert journal.path != first
    assert first.stat().st_size == size
    old, new = read_journal(first), read_journal(journal.path)
    assert (_steps(old), _steps(new)) == ([0], [1])
    assert new.header is not None
    assert new.header["writer_id"] == journal.writer_id
    assert [gap["reason"] for gap in new.damage.gaps] == ["sync failed: Input/output error"]
    assert len(warned) == 1


def test_what_waits_moves_to_the_new_file(open_journal: Open) -> None:
    """A frame cut short in the old file, and those behind it, are whole in the new one, under their key sets."""
    journal = open_journal()
    journal.log({"x": 0.0}, 0)
    with full_at(journal.path.stat().st_size + 20):
        journal.log({"x": 1.0}, 1)
        journal.log({"y": 2.0}, 2)
        first = journal.path
        first.unlink()
        journal.sync()
    journal.sync()
    contents = read_journal(journal.path)
    assert journal.path != first
    assert (_steps(contents), contents.series["y"].steps.tolist()) == ([1], [2])
    assert contents.damage.lost_frames == 0


def test_a_removed_run_folder_is_made_again(open_journal: Open, tmp_path: Path, warned: list[str]) -> None:
    """rm -rf while logging: what was in the file is counted as lost, the rest is in a new file."""
    journal = open_journal(folder=tmp_path / "run" / "journals")
    journal.log({"x": 0.0, "y": 0.0}, 0)
    journal.record("event", 0)
    shutil.rmtree(tmp_path / "run")
    journal.log({"x": 1.0, "y": 1.0}, 1)
    journal.sync()
    journal.log({"x": 2.0, "y": 2.0}, 2)
    contents = read_journal(journal.path)
    assert (journal.health, _steps(contents)) == ("ok", [2])
    assert (journal.lost["records"], journal.lost["points"]) == (3, 4)
    (gap,) = contents.damage.gaps
    assert (gap["records"], gap["points"], gap["reason"]) == (3, 4, "the journal was removed")
    assert len(warned) == 1


def test_a_journal_cut_to_nothing_goes_on(open_journal: Open, warned: list[str]) -> None:
    """Another process truncates it: later points are readable, under header and key sets written again."""
    journal = open_journal()
    for step in range(10):
        journal.log({"x": 1.0}, step)
    os.truncate(journal.path, 0)
    journal.log({"x": 1.0}, 10)
    journal.sync()
    journal.log({"x": 1.0}, 11)
    contents = read_journal(journal.path)
    assert _steps(contents) == [10, 11]
    assert contents.header is not None
    assert contents.damage.lost_frames > 0
    assert len(warned) == 1


def test_a_journal_cut_while_a_frame_was_unfinished_goes_on(open_journal: Open) -> None:
    """The frame is written anew."""
    journal = open_journal()
    journal.log({"x": 1.0}, 0)
    with full_at(journal.path.stat().st_size + 20):
        journal.log({"x": 1.0}, 1)
    os.truncate(journal.path, 100)
    journal.sync()
    journal.sync()
    assert _steps(read_journal(journal.path)) == [1]


def test_foreign_bytes_behind_an_unfinished_frame_cost_nothing(open_journal: Open) -> None:
    """The frame is written anew behind them."""
    journal = open_journal()
    journal.log({"x": 1.0}, 0)
    with full_at(journal.path.stat().st_size + 20):
        journal.log({"x": 1.0}, 1)
    with open(journal.path, "ab") as file:
        file.write(b"?" * 100)
    journal.sync()
    journal.log({"x": 1.0}, 2)
    contents = read_journal(journal.path)
    assert _steps(contents) == [0, 1, 2]
    assert (contents.damage.lost_frames, contents.damage.damaged_bytes) == (0, 120)


def test_the_thread_finds_out_by_itself(open_journal: Open, warned: list[str]) -> None:
    """Nobody calls sync(): the thread writes what waits soon after there is room again."""
    journal = open_journal(sync_every_s=0.02)
    with full_at(journal.path.stat().st_size):
        journal.log({"x": 1.0}, 0)
        _wait_for(lambda: len(warned) == 1)
    _wait_for(lambda: journal.health == "ok")
    assert _steps(read_journal(journal.path)) == [0]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


_ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from barograph.journal.reader import read_journal
from barograph.journal.writer import Journal

folder, native, warned = Path(sys.argv[1]), sys.argv[2] == "c", []
(folder / "ballast").write_bytes(bytes(600_000))
journal = Journal(folder / "journals", run_id="run", identity={}, native=native, warn=warned.append, sync_every_s=0.05,
                  buffer_limit_bytes=500_000)
for step in range(20_000):
    assert journal.log({"x": 1.0, "y": 2.0, "z": 3.0}, step)
assert journal.health == "degraded"
(folder / "ballast").unlink()
journal.sync()
assert journal.health == "ok", warned
journal.log({"x": 1.0}, 20_000)
journal.close()
contents = read_journal(journal.path)
steps = contents.series["x"].steps.tolist()
assert steps[:-1] == list(range(len(steps) - 1)) and steps[-1] == 20_000
assert contents.damage.gaps[0]["records"] == journal.lost["records"] == 20_001 - len(steps) > 0
assert contents.damage.lost_frames == contents.damage.damaged_bytes == contents.damage.torn_tail_bytes == 0
assert len(warned) == 1 and "No space left" in warned[0], warned
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounting a small disk is done the Linux way")
def test_a_small_disk_that_fills_up(tmp_path: Path, native: bool) -> None:
    """A tmpfs of 1 MiB: training goes on, one warning, exact counts, and all that could wait is written in the end."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting needs a privilege that this process lacks")
    try:
        subprocess.run(
            [sys.executable, "-c", _ON_A_SMALL_DISK, tmp_path, "c" if native else "python"], check=True, timeout=60
        )
    finally:
        subprocess.run(["umount", tmp_path], check=True)
