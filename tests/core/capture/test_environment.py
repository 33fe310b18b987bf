"""What surrounded a training."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from barograph.capture.environment import VARIABLES, capture_environment_fast, capture_environment_slow


def started(folder: Path, *arguments: str, **variables: str) -> Any:
    """What a program captures that is started with these arguments in a folder."""
    answer = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


PROGRAM = (
    "import json\n"
    "from barograph.capture.environment import capture_environment_fast\n"
    "print(json.dumps(capture_environment_fast()))\n"
)


def test_both_parts_are_json_and_fit_together() -> None:
    """The second adds to the first and replaces what that knew less of."""
    both = json.loads(json.dumps(capture_environment_fast() | capture_environment_slow()))
    assert both["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert both["packages"]["numpy"]
    assert both["loaded"]["pytest"] == pytest.__version__
    assert both["machine"]["host"]
    assert both["folder"] == os.getcwd()


def test_a_script(tmp_path: Path) -> None:
    """Its path, its arguments, and the whole command with the interpreter's own options."""
    (tmp_path / "train.py").write_text(PROGRAM)
    told = started(tmp_path, "-X", "utf8", "train.py", "--lr", "0.1")
    assert told["entry"] == {"kind": "script", "path": str(tmp_path / "train.py"), "module": None}
    assert told["arguments"] == ["train.py", "--lr", "0.1"]
    assert told["command"][1:] == ["-X", "utf8", "train.py", "--lr", "0.1"]
    assert told["folder"] == str(tmp_path)


def test_a_module(tmp_path: Path) -> None:
    """python -m: the module's name is what is needed to start it again."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__main__.py").write_text(PROGRAM)
    told = started(tmp_path, "-m", "package", "x=1")
    path = str(tmp_path / "package/__main__.py")
    assert told["entry"] == {"kind": "module", "path": path, "module": "package"}


def test_a_command(tmp_path: Path) -> None:
    """python -c has no file."""
    assert started(tmp_path, "-c", PROGRAM)["entry"] == {"kind": "command", "path": None, "module": None}


def test_a_script_that_came_through_a_pipe(tmp_path: Path) -> None:
    """It has no file, and its text is gone once it was read."""
    told = subprocess.run(
        [sys.executable, "-", "x"], input=PROGRAM, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)["entry"] == {"kind": "stdin", "path": None, "module": None}


def test_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a kernel runs, the entry is the notebook that its server names."""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setenv("JPY_SESSION_NAME", "/data/n.ipynb")
    assert capture_environment_fast()["entry"] == {"kind": "notebook", "path": "/data/n.ipynb", "module": None}


def test_secrets_on_the_command_line_are_taken_out(tmp_path: Path) -> None:
    """From the arguments and from the command alike."""
    (tmp_path / "train.py").write_text(PROGRAM)
    told = started(tmp_path, "train.py", "--token", "hunter2", "--api-key=hunter2", "password=hunter2", "--lr=1")
    assert told["arguments"][1:] == ["--token", "[redacted]", "--api-key=[redacted]", "password=[redacted]", "--lr=1"]
    assert "hunter2" not in json.dumps(told)


def test_no_variable_is_kept_that_was_not_chosen(tmp_path: Path) -> None:
    """The launcher's and the arithmetic's are; keys, tokens and addresses of others are not."""
    chosen = {"RANK": "1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "3", "SLURM_JOB_ID": "77"}
    others = {"MY_KEY": "hunter2", "HF_TOKEN": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "HOME": "/home/hunter2"}
    others |= {"DATABASE_URL": "postgres://u:hunter2@h/x", "MASTER_ADDR": "https://u:hunter2@h"}
    told = started(tmp_path, "-c", PROGRAM, **chosen, **others)
    assert told["variables"].items() >= chosen.items()
    assert set(told["variables"]) <= set(VARIABLES)
    assert "hunter2" not in json.dumps(told)


def test_arguments_as_parsed(tmp_path: Path) -> None:
    """What argparse made of them, if the script keeps it under a name of its own; without secrets, however short."""
    parsing = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.5)\n"
    parsing += "p.add_argument('--api-key')\np.add_argument('--max-tokens', type=int, default=7)\n"
    (tmp_path / "train.py").write_text(f"{parsing}args = p.parse_args()\n{PROGRAM}")
    told = started(tmp_path, "train.py", "--api-key", "hunter2")
    assert told["parsed"] == {"lr": 0.5, "api_key": "[redacted]", "max_tokens": 7}
    (tmp_path / "plain.py").write_text(PROGRAM)
    assert started(tmp_path, "plain.py")["parsed"] is None


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleaned temporary folder under the feet of a job is no reason to fail."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert capture_environment_fast()["folder"]
    assert capture_environment_slow()["packages"]
    monkeypatch.undo()


def test_services_are_known_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colab, Kaggle and the like, where files vanish and machines change."""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert capture_environment_fast()["service"] == "kaggle"


def test_a_million_arguments_are_cut() -> None:
    """A shell that lists every file does not fill the journal."""
    sys_argv, sys.argv = sys.argv, ["train.py", *(f"image_{index}.png" for index in range(1_000_000))]
    try:
        arguments = capture_environment_fast()["arguments"]
    finally:
        sys.argv = sys_argv
    assert arguments[:2] == ["train.py", "image_0.png"]
    assert arguments[-1] == "<999001 more left out>"


def test_the_fast_part_is_fast() -> None:
    """The training waits for it: at most 5 ms, once its modules are loaded."""
    capture_environment_fast()
    costs = []
    for _ in range(5):
        start = time.process_time()
        capture_environment_fast()
        costs.append(time.process_time() - start)
    assert min(costs) < 0.005
