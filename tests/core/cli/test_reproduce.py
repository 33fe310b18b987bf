"""`barograph reproduce`, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import barograph

TRAIN = """
import random, barograph
{seeding}
with barograph.init(quiet=True) as run:
    print("what the training prints")
    for step in range(3):
        run.log({{"train/loss": random.random()}}, step=step)
"""


def _barograph(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barograph", "reproduce", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _train(folder: Path, seeding: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(TRAIN.format(seeding=seeding))
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=dict(os.environ), check=True, timeout=60)
    return str(barograph.open().runs()[0].id)


def test_identical_is_exit_status_0(store: Path, tmp_path: Path) -> None:
    """The verdict comes first; the training itself prints to stderr."""
    result = _barograph(_train(tmp_path / "project", "random.seed(3)"), "--into", str(tmp_path / "again"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("identical: ")
    assert "what the training prints" in result.stderr
    assert "what the training prints" not in result.stdout
    assert (tmp_path / "again").is_dir()


def test_a_difference_is_exit_status_1_with_step_metric_and_cause(store: Path, tmp_path: Path) -> None:
    """As JSON, with nothing else on stdout."""
    run = _train(tmp_path / "project", "")
    result = _barograph(run, "--into", str(tmp_path / "again"), "--json")
    assert result.returncode == 1, result.stderr
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert told["verdict"] == "differs"
    assert (told["first"]["metric"], told["first"]["step"]) == ("train/loss", 0)
    assert [(cause["kind"], cause["name"]) for cause in told["causes"]] == [("generator", "random")]
    assert told["command"][1:] == ["train.py"]


def test_check_only_compares(store: Path, tmp_path: Path) -> None:
    """Two runs that exist; no third one is made."""
    ids = [_train(tmp_path / "project", "random.seed(3)") for _ in range(2)]
    assert _barograph("--check", *ids).returncode == 0
    assert len(barograph.open().runs()) == 2


def test_what_cannot_be_run_again_is_exit_status_2(store: Path) -> None:
    """With the reason."""
    with barograph.init(name="bare", quiet=True) as run:
        run.log({"loss": 1.0})
        run.log_environment({"command": ["python", "train.py", "--token", "[redacted]"]})
    result = _barograph("bare")
    assert result.returncode == 2
    assert "not comparable" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["a", "--check", "a", "b"], ["nope"]])
def test_a_mistake_is_one_line(store: Path, arguments: list[str]) -> None:
    """Exit status 2."""
    barograph.init(name="a", quiet=True).finish()
    result = _barograph(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("barograph: ")
    assert "Traceback" not in result.stderr
