"""Processes of one start write one run; restarts are attempts of it."""

import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

import barograph

_SCRIPT = """
import os, barograph
rank = int(os.environ["RANK"])
with barograph.init(quiet=True, name="n") as run:
    run.log({"x": float(rank) + 10 * int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))}, step=0)
"""


def _start(world: int, **environment: str) -> None:
    """All ranks of one start at once, in the order in which a scheduler might bring them up."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world), **environment},
        )
        for rank in reversed(range(world))
    ]
    assert [rank.wait(90) for rank in ranks] == [0] * world


@pytest.mark.parametrize(
    "environment",
    [
        {"TORCHELASTIC_RUN_ID": "job-7", "LOCAL_WORLD_SIZE": "3"},
        {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0"},
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "LOCAL_WORLD_SIZE": "3"},
        {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29512"},
    ],
    ids=["torchelastic", "slurm", "one launcher", "only an address"],
)
def test_the_ranks_of_one_start_write_one_run(environment: dict[str, str]) -> None:
    """Whatever identifies the start, there is one run with a writer a rank."""
    _start(3, **environment)
    (view,) = barograph.open().runs()
    assert view.attempts == [1]
    assert [view.metric("x", rank=rank).values.tolist() for rank in range(3)] == [[0.0], [1.0], [2.0]]


def test_two_starts_at_one_address_are_two_runs() -> None:
    """MASTER_ADDR:PORT alone does not join what was started twice."""
    for _ in range(2):
        _start(2, MASTER_ADDR="127.0.0.1", MASTER_PORT="29513")
    assert len(barograph.open().runs()) == 2


def test_ranks_that_are_given_one_id_are_one_attempt() -> None:
    """Also where nothing in the environment tells starts apart."""
    code = _SCRIPT.replace("quiet=True", "quiet=True, id='mine'")
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RANK": rank, "WORLD_SIZE": "2"})
        for rank in ("1", "0")
    ]
    assert [rank.wait(90) for rank in ranks] == [0, 0]
    view = barograph.open().run("mine")
    assert view.attempts == [1]
    assert [view.metric("x", rank=rank).values.tolist() for rank in (0, 1)] == [[0.0], [1.0]]


def test_a_restart_is_another_attempt_and_both_are_kept() -> None:
    """The launcher starts the job again: the same run, attempt 2, whose points the view takes."""
    for count in ("0", "1"):
        _start(2, TORCHELASTIC_RUN_ID="job-8", TORCHELASTIC_RESTART_COUNT=count)
    (view,) = barograph.open().runs()
    assert view.attempts == [1, 2]
    assert view.metric("x", rank=1).values.tolist() == [11.0]
    assert view.metric("x", rank=1, attempt="all").values.tolist() == [1.0, 11.0]


def test_a_requeued_attempt_does_not_wait_for_the_one_that_still_lives() -> None:
    """Both attempts write at once, each its own journal."""
    first = barograph.init(id="job", quiet=True)
    second = barograph.init(id="job", resume=True, quiet=True)
    assert (first.attempt, second.attempt) == (1, 2)
    first.log({"x": 1.0}, step=0)
    second.log({"x": 2.0}, step=1)
    first.log({"y": 3.0}, step=5)
    second.finish()
    first.finish()
    view = barograph.open().run("job")
    assert view.metric("x").values.tolist() == [1.0, 2.0]
    assert view.metric("y").values.tolist() == [3.0]


def test_resume_finds_the_newest_run_of_a_name() -> None:
    """resume=True with a name goes on with the newest run of that name; without any, with the project's newest."""
    for name in ("a", "b"):
        barograph.init(name=name, project="p", quiet=True).finish()
    by_name = barograph.init(name="a", project="p", resume=True, quiet=True)
    by_name.finish()
    assert (by_name.name, by_name.attempt) == ("a", 2)
    newest = barograph.init(project="p", resume=True, quiet=True)
    newest.finish()
    assert newest.attempt >= 2
    assert len(barograph.open().runs()) == 2


def test_resume_without_an_earlier_run_begins_one() -> None:
    """The first start of a script that always resumes is attempt 1."""
    run = barograph.init(id="always", resume=True, quiet=True)
    run.finish()
    assert run.attempt == 1


def test_ids_of_users_become_safe_folders(store: Path) -> None:
    """A path, a device or an emoji as id stays inside the store, and is found again."""
    for name in ("../../evil", "con", "a b", "é😀"):
        barograph.init(id=name, quiet=True).finish()
        assert barograph.open().run(name).attempts == [1]
    assert sorted(path.parent.name for path in store.parent.rglob("run.json")) == sorted(
        path.name for path in (store / "runs").iterdir()
    )


def test_the_store_is_hidden_from_git_and_closed_to_others(store: Path) -> None:
    """A .gitignore of *, and no permission for others."""
    run = barograph.init(quiet=True)
    run.log_text("long", "x" * 100_000)
    run.finish()
    assert (store / ".gitignore").read_text().strip() == "*"
    open_to_others = [path for path in store.rglob("*") if path.stat().st_mode & 0o007]
    assert open_to_others == []


def test_threads_that_begin_runs_have_their_own(store: Path) -> None:
    """Each thread's log() goes to the run that thread began."""

    def work(name: str) -> None:
        with barograph.init(name=name, quiet=True):
            for step in range(50):
                barograph.log({name: float(step)}, step=step)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for view in barograph.open().runs():
        mine = [key for key in view.metrics() if key.startswith("t")]
        assert mine == [view.name]
        assert len(view.metric(view.name).steps) == 50


def test_running_the_first_cell_of_a_notebook_again_finishes_the_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a second init() ends the first run; in a script the two are independent."""

    class ZMQInteractiveShell:
        """What IPython's shell is called inside a kernel."""

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    first = barograph.init(quiet=True)
    second = barograph.init(quiet=True)
    assert not first.is_finished
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    third = barograph.init(quiet=True)
    assert first.is_finished
    assert second.is_finished
    third.log({"x": 1.0})
    third.finish()


def test_an_out_of_memory_kill_loses_nothing_acknowledged(store: Path) -> None:
    """A process that the kernel kills for its memory has logged what it was told it had."""
    body = """
import os, resource, signal, barograph
run = barograph.init(name="n", quiet=True)
for step in range(1_000):
    run.log({"x": float(step)}, step=step)
os.kill(os.getpid(), signal.SIGKILL)  # what the kernel sends; a limit that makes it do so needs privileges
"""
    subprocess.run([sys.executable, "-c", body], check=False, timeout=60)
    view = barograph.open().run("n")
    assert view.status == "killed"
    assert len(view.metric("x").steps) == 1_000
