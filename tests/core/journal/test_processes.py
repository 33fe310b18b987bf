"""A process that is killed, forks, ends badly or may start no thread: what log() acknowledged is in the file."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from barograph.journal.reader import Damage, read_journal
from barograph.journal.writer import Journal

Open = Callable[..., Journal]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, signals and limits are those of POSIX")
# Python warns of a fork beside threads from 3.12 on; here that is the point.
_forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
# 200 rounds are the acceptance test; a few dozen show a regression as well.
ROUNDS = int(os.environ.get("BAROGRAPH_TEST_KILL_ROUNDS", "40"))


def _python(code: str, *arguments: object, timeout_s: float = 60.0) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout_s).stdout


def _only_journal(folder: Path) -> Path:
    (path,) = folder.glob("*.journal")
    return path


@pytest.mark.parametrize(
    ("rounds", "pause_s", "how"),
    [(ROUNDS, 0.0, signal.SIGKILL), (ROUNDS // 10, 0.001, signal.SIGKILL), (ROUNDS // 10, 0.0, signal.SIGTERM)],
)
def test_a_killed_process_loses_nothing_it_acknowledged(
    tmp_path: Path, native: bool, rounds: int, pause_s: float, how: signal.Signals
) -> None:
    """At a random instant, in a tight loop and at 1 kHz; at most the record being written is there unacknowledged."""
    script = Path(__file__).with_name("kill_rounds.py")
    command = [sys.executable, script, tmp_path, "c" if native else "python", str(rounds), str(pause_s), str(int(how))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20 + 2 * rounds)
    counts = json.loads(done.stdout)
    assert counts["acknowledged"] > rounds
    assert (counts["lost"], counts["extra"], counts["wrong"]) == (0, 0, 0)


_OPEN = """
import os, sys
from pathlib import Path
from barograph.journal.writer import Journal
folder, native = Path(sys.argv[1]), sys.argv[2] == "True"
def open_journal(**more):
    return Journal(folder, run_id="run", identity={}, native=native, warn=print, **more)
"""


def test_os_exit_straight_after_log_loses_nothing(tmp_path: Path, native: bool) -> None:
    """No handler of ours is needed for it."""
    code = "journal = open_journal()\nfor step in range(100): journal.log({'x': 1.0}, step)\nos._exit(0)"
    _python(_OPEN + code, tmp_path, native)
    assert read_journal(_only_journal(tmp_path)).series["x"].steps.tolist() == list(range(100))


def test_a_thread_that_logs_on_while_the_interpreter_ends_does_no_harm(tmp_path: Path, native: bool) -> None:
    """No crash, no hang, nothing on stderr, and a journal that is whole; many times over."""
    code = """
import threading
journal = open_journal(sync_every_s=0.01)
def log_on():
    step = 0
    while True:
        journal.log({"x": 1.0, f"key{step % 3}": 1.0}, step)
        journal.record("event", step)
        step += 1
for _ in range(3):
    threading.Thread(target=log_on, daemon=True).start()
while not journal.points:
    pass
"""
    for number in range(5):
        folder = tmp_path / str(number)
        command = [sys.executable, "-c", _OPEN + code, folder, str(native)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        assert (done.stdout, done.stderr) == ("", "")
        damage = read_journal(_only_journal(folder)).damage
        assert (damage.lost_frames, damage.damaged_bytes) == (0, 0)


@_forks
def test_a_forked_child_is_inert_and_harms_nothing(open_journal: Open) -> None:
    """It logs nothing, its close and exit do nothing to the parent's file, and it may open a journal of its own."""
    journal = open_journal(sync_every_s=0.05)
    journal.log({"x": 1.0}, 0)
    child = os.fork()
    if child == 0:
        is_right = journal.is_forked and journal.log({"x": 1.0}, 1) is False
        journal.record("event")
        journal.sync()
        journal.close()
        own = open_journal(role="child")
        is_right = is_right and own.log({"x": 2.0}, 2) and own.health == "ok"
        own.close()
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.log({"x": 1.0}, 3)
    assert not journal.is_forked
    first, second = sorted(journal.folder.iterdir(), key=lambda path: path != journal.path)
    assert read_journal(first).series["x"].steps.tolist() == [0, 3]
    assert read_journal(first).damage == Damage()
    assert read_journal(second).series["x"].steps.tolist() == [2]


@_forks
def test_a_fork_while_threads_log_neither_hangs_nor_tears(open_journal: Open) -> None:
    """Whatever locks the other threads hold at that instant."""
    journal = open_journal()
    stop = threading.Event()

    def log_on(number: int) -> None:
        step = 0
        while not stop.is_set():
            journal.log({f"x{number}": 1.0}, step)
            step += 1

    threads = [threading.Thread(target=log_on, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(10)  # a hang ends as a failure
                journal.log({"x": 1.0}, 0)
                journal.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    contents = read_journal(journal.path)
    assert contents.damage == Damage()
    for series in contents.series.values():
        assert series.steps.tolist() == list(range(len(series.steps)))


def test_without_threads_the_calls_that_log_look_after_the_file(native: bool) -> None:
    """No more threads allowed: it warns once, syncs, beats and recovers all the same."""
    code = """
import resource, time
from barograph.journal import disk
from barograph.journal.reader import read_journal
folder.chmod(0o777)
if os.getuid() == 0:
    os.setuid(65534)  # root is not limited
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
synced = []
datasync, disk.sync = disk.sync, lambda fd: (synced.append(fd), datasync(fd))
warned = []
journal = Journal(folder / "journals", run_id="run", identity={}, native=native, warn=warned.append, sync_every_s=0.02)
assert len(warned) == 1 and "no thread" in warned[0], warned
start = time.monotonic()
step = 0
while time.monotonic() < start + 0.3:
    journal.log({"x": 1.0}, step)
    step += 1
assert 3 <= len(synced) <= 16, len(synced)
size = journal.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
journal.log({"x": 1.0}, step)
assert journal.health == "degraded"
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
while journal.health == "degraded":
    step += 1
    journal.log({"x": 1.0}, step)
journal.close()
contents = read_journal(journal.path)
assert contents.series["x"].steps.tolist() == list(range(step + 1))
assert contents.last_beat is not None
"""
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to the user that root becomes
        _python(_OPEN + code, folder, native)


def test_closing_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, native: bool) -> None:
    """Bounded by its timeout, with one warning; what was logged is in the file."""
    code = """
import threading, time
from barograph.journal import disk
begun = threading.Event()
def hang(fd):
    begun.set()
    time.sleep(3600)
disk.sync = hang
warned = []
journal = Journal(folder, run_id="run", identity={}, native=native, warn=warned.append, sync_every_s=0.01)
journal.log({"x": 1.0}, 0)
assert begun.wait(10)
start = time.monotonic()
for step in range(1, 1000):
    journal.log({"x": 1.0}, step)
journal.close(0.2)
assert time.monotonic() - start < 2.0
assert len(warned) == 1 and "0.2 s" in warned[0], warned
"""
    _python(_OPEN + code, tmp_path, native)
    assert len(read_journal(_only_journal(tmp_path)).series["x"].steps) == 1000


def test_a_million_points_cost_no_memory(tmp_path: Path, native: bool) -> None:
    """Resident memory grows by less than 15 MB, table of key sets, curves and all."""
    code = """
import psutil
journal = open_journal()
journal.log({"a": 1.0}, 0)
me = psutil.Process()
before = me.memory_info().rss
for step in range(200_000):
    journal.log({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": float(step)}, step)
print(me.memory_info().rss - before)
"""
    assert int(_python(_OPEN + code, tmp_path, native)) < 15_000_000


def test_importing_the_writer_does_nothing(tmp_path: Path) -> None:
    """No thread, no file, no numpy, no change of signal handlers."""
    code = """
import signal, sys, threading
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
import barograph.journal.writer
assert "numpy" not in sys.modules
assert threading.active_count() == 1
assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
"""
    _python(code)
