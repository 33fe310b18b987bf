"""What surrounds a run is told, whole or marked as not whole, however the run ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.reading import RunView
from barograph.store.objects import Objects

from .repositories import environment, make_repository, write


def run_script(folder: Path, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script of a project that is a git repository, with a change and a new file."""
    if not folder.exists():
        make_repository(folder, {"train.py": "1\n", "late.py": "x = 1\n"})
    write(folder, {"train.py": text, "new.py": "y = 1\n"})
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def only_run(store: Path) -> RunView:
    (view,) = barograph.open(store).runs()
    return view


def test_a_run_of_a_moment_is_told_whole(tmp_path: Path, store: Path) -> None:
    """finish() waits for what is still being looked at."""
    run_script(tmp_path / "project", "import barograph\nbarograph.init(quiet=True).finish()\n")
    told = only_run(store).environment
    assert told["complete"] is True
    assert told["packages"]["numpy"]
    assert (told["git"]["changed"], told["git"]["branch"]) == (1, "main")
    assert b"+import barograph" in Objects(store).get(told["git"]["diff"])
    assert [file["path"] for file in told["git"]["untracked_files"]] == ["new.py"]
    assert [file["path"] for file in told["sources"]["files"]] == ["train.py"]


def test_what_is_imported_late_is_there_at_the_end(tmp_path: Path, store: Path) -> None:
    """And at the beginning of a fit, even if the run is killed then."""
    wait = "import barograph, os, signal, time\nrun = barograph.init(quiet=True)\n"
    wait += "view = barograph.open().run(run.id)\n"
    wait += "while not view.environment.get('complete'): time.sleep(0.01)\nimport late\n"
    run_script(tmp_path / "project", f"{wait}run.finish()\n")
    names = [file["path"] for file in only_run(store).environment["sources"]["files"]]
    assert names == ["train.py", "late.py"]
    kill = "run.look_again()\nwhile len(view.environment['sources']['files']) < 2: time.sleep(0.01)\n"
    run_script(tmp_path / "project", f"{wait}{kill}os.kill(os.getpid(), signal.SIGKILL)\n")
    newest = barograph.open(store).runs()[0]
    assert [file["path"] for file in newest.environment["sources"]["files"]] == names


def test_a_run_that_is_killed_at_once_is_marked(tmp_path: Path, store: Path) -> None:
    """What was told at once is there, and "complete" says that it is not all."""
    run_script(
        tmp_path / "project",
        "import barograph, os, signal\nbarograph.init(quiet=True)\nos.kill(os.getpid(), signal.SIGKILL)\n",
    )
    view = only_run(store)
    assert (view.status, view.environment["complete"]) == ("killed", False)
    assert view.environment["entry"]["kind"] == "script"
    assert view.environment["git"]["commit"]


def test_finish_does_not_wait_long(tmp_path: Path, store: Path) -> None:
    """A git that hangs delays the end by a second at most, and the run is marked."""
    slow = tmp_path / "bin/git"
    write(tmp_path, {"bin/git": "#!/bin/sh\nexec sleep 60\n"})
    slow.chmod(0o755)
    text = "import barograph, time\nrun = barograph.init(quiet=True)\nt = time.monotonic()\nrun.finish()\n"
    done = run_script(
        tmp_path / "project",
        f"{text}print(time.monotonic() - t)\n",
        PATH=f"{slow.parent}{os.pathsep}{os.environ['PATH']}",
    )
    assert float(done.stdout) < 10
    assert only_run(store).environment["complete"] is False


def test_what_is_not_waited_for_is_not_in_a_hurry(tmp_path: Path, store: Path) -> None:
    """The program may go on after its run, and has the interpreter then."""
    make_repository(tmp_path / "project", {"train.py": "1\n", "big.py": "1\n"})
    write(tmp_path / "project", {"big.py": "".join(f"row{n} = {n}\n" for n in range(200_000))})
    text = "import barograph, sys\nrun = barograph.init(quiet=True)\nrun._recording.capturing.finish(0.01)\n"
    done = run_script(tmp_path / "project", f"{text}print(run._recording.capturing._pace.is_hurried)\n")
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("switch", "missing"),
    [
        ("ENVIRONMENT", {"packages", "machine", "arguments", "variables"}),
        ("CODE", {"git", "sources"}),
        ("SEEDS", {"seeds"}),
        ("CONSOLE", {"console"}),
    ],
)
def test_each_part_can_be_switched_off(tmp_path: Path, store: Path, switch: str, missing: set[str]) -> None:
    """The others stay."""
    text = "import barograph\nwith barograph.init(quiet=True): print('printed')\n"
    run_script(tmp_path / "project", text, **{f"BAROGRAPH_CAPTURE_{switch}": "0"})
    parts = {"packages", "git", "sources", "machine", "arguments", "variables", "seeds", "console"}
    assert parts - parts_of(store) == missing


def test_all_of_it_can_be_switched_off(tmp_path: Path, store: Path) -> None:
    """Only what the script logs is left."""
    text = "import barograph\nwith barograph.init(quiet=True): print('printed')\n"
    run_script(tmp_path / "project", text, BAROGRAPH_CAPTURE="0")
    assert parts_of(store) == set()


def parts_of(store: Path) -> set[str]:
    view = only_run(store)
    kept = {"seeds": view.seeds(), "console": view.console()}
    return set(view.environment) | {name for name, records in kept.items() if records}


def test_a_part_of_a_run_is_told_what_the_run_knows(store: Path) -> None:
    """A search with many parts asks git once."""
    with barograph.init(quiet=True) as run:
        view = barograph.open(store).run(run.id)
        while not view.environment.get("complete"):
            time.sleep(0.01)
        with barograph.init(quiet=True, parent=run) as part:
            pass
    own, inherited = (barograph.open(store).run(one.id).environment for one in (run, part))
    assert inherited["complete"] is True
    assert {name: own[name] for name in ("git", "sources", "packages")} == {
        name: inherited[name] for name in ("git", "sources", "packages")
    }


def test_only_rank_0_tells_the_code(tmp_path: Path, store: Path) -> None:
    """Every rank tells its machine."""
    text = "import barograph\nwith barograph.init(quiet=True): pass\n"
    run_script(tmp_path / "project", text, RANK="1", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="x")
    assert {"packages", "machine"} <= parts_of(store)
    assert not {"git", "sources"} & parts_of(store)


def test_a_run_that_goes_on_is_watched_again(tmp_path: Path, store: Path) -> None:
    """What a second fit imports is found as well."""
    text = "import barograph\nrun = barograph.init(quiet=True)\nrun.finish()\nrun.reopen()\nimport late\nrun.finish()\n"
    run_script(tmp_path / "project", text)
    assert "late.py" in [file["path"] for file in only_run(store).environment["sources"]["files"]]


def test_cells_of_a_notebook(tmp_path: Path, store: Path) -> None:
    """As they were typed and in the order in which they ran, from IPython's list of them; without secrets."""
    kernel = (
        "import sys, types\n"
        "cells = ['', 'import barograph', \"password = 'hunter2'\", '%matplotlib inline', 'run = barograph.init()']\n"
        "history = types.SimpleNamespace(input_hist_raw=cells)\n"
        "shell = types.SimpleNamespace(history_manager=history)\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell)\n"
        "import barograph\nrun = barograph.init(quiet=True)\ncells.append('run.finish()')\nrun.finish()\n"
    )
    run_script(tmp_path / "project", kernel)
    notebook: dict[str, Any] = only_run(store).environment["notebook"]
    assert notebook == {
        "cells": [
            "import barograph",
            "password = '[redacted]'",
            "%matplotlib inline",
            "run = barograph.init()",
            "run.finish()",
        ],
        "redacted": 1,
        "began_in": 4,
    }


def test_libraries_that_are_loaded_after_the_beginning_are_told(tmp_path: Path, store: Path) -> None:
    """The versions of what a training imports late."""
    run_script(
        tmp_path / "project", "import barograph\nrun = barograph.init(quiet=True)\nimport xgboost\nrun.finish()\n"
    )
    assert only_run(store).environment["loaded"]["xgboost"]


def test_what_is_captured_is_never_run_or_unpickled(tmp_path: Path, store: Path) -> None:
    """A module with a trap is read as text; reading the run does not import or unpickle anything of it."""
    trap = "import pathlib\npathlib.Path(__file__ + '.ran').touch()\n"
    script = "import barograph, sys, types\nmodule = types.ModuleType('trap')\nmodule.__file__ = 'trap.py'\n"
    script += "sys.modules['trap'] = module\nbarograph.init(quiet=True).finish()\n"
    make_repository(tmp_path / "project", {"train.py": "1\n"})
    write(tmp_path / "project", {"trap.py": trap, "new_trap.py": trap})
    run_script(tmp_path / "project", script)
    before = set(sys.modules)
    told = only_run(store).environment
    kept = {file["path"]: file["object"] for file in [*told["sources"]["files"], *told["git"]["untracked_files"]]}
    assert Objects(store).get(kept["trap.py"]) == Objects(store).get(kept["new_trap.py"]) == trap.encode()
    json.dumps(told)
    assert not {name for name in set(sys.modules) - before if "trap" in name or "pickle" in name}
    assert not list(tmp_path.rglob("*.ran"))
