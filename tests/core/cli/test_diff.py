"""`barograph diff`, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import barograph


def _diff(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barograph", "diff", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def runs(store: Path) -> list[str]:
    """Two groups of two seeds."""
    for rate in (0.1, 0.2):
        for seed in (0, 1):
            name, group = f"r{rate}-{seed}", f"lr-{rate}"
            with barograph.init(name=name, group=group, config={"lr": rate, "seed": seed}, quiet=True) as run:
                for step in range(3):
                    run.log({"val/loss": rate + seed * 0.001 + 1 / (step + 1)}, step=step)
    return ["r0.1-0", "r0.1-1", "r0.2-0", "r0.2-1"]


def test_two_runs(runs: list[str]) -> None:
    """What changed, then what came of it."""
    result = _diff(runs[0], runs[2])
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "r0.1-0 → r0.2-0"
    assert lines.index("what changed") < lines.index("results")
    assert "  parameters  lr  0.1 → 0.2" in lines
    assert any("val/loss" in line and "worse" in line for line in lines)


def test_one_run_is_compared_with_the_one_before(runs: list[str]) -> None:
    """Found by itself."""
    assert _diff(runs[3]).stdout.startswith("r0.2-0 → r0.2-1")


@pytest.mark.parametrize("sides", [["group:lr-0.1", "group:lr-0.2"], ["r0.1-0", "r0.1-1", "--vs", "r0.2-0", "r0.2-1"]])
def test_sides_of_several_runs(runs: list[str], sides: list[str]) -> None:
    """By group, or named one by one on both sides of --vs."""
    shown = _diff(*sides).stdout
    assert "(2 runs)" in shown
    assert "95 %" in shown
    assert "seed" not in shown


def test_json_is_complete_and_strict(runs: list[str]) -> None:
    """With what is the same, too."""
    told = json.loads(_diff(*runs[:3], "--json").stdout, parse_constant=pytest.fail)
    assert [change["name"] for change in told["changes"]] == ["seed"]
    assert {"parameters", "environment"} <= {change["section"] for change in told["same"]}
    assert [change["name"] for change in told["others"][0]["changes"]] == ["lr"]


def test_all_shows_what_is_the_same(runs: list[str]) -> None:
    """Only when it is asked for."""
    assert "the same in both" in _diff(runs[0], runs[1], "--all").stdout
    assert "the same in both" not in _diff(runs[0], runs[1]).stdout


@pytest.mark.parametrize("arguments", [["nope"], ["r0.1-0", "nope"], ["group:nope", "r0.1-0"], ["group:lr-0.1"]])
def test_a_mistake_is_one_line(runs: list[str], arguments: list[str]) -> None:
    """Exit status 2."""
    result = _diff(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("barograph: ")
    assert "Traceback" not in result.stderr


def test_more_runs_stand_side_by_side(runs: list[str]) -> None:
    """A column each, with what differs from the first."""
    lines = [line.split() for line in _diff(*runs[:3]).stdout.splitlines()]
    assert ["parameters", "seed", "0", "1", "="] in lines
    assert ["parameters", "lr", "0.1", "=", "0.2"] in lines
    assert any(line[:2] == ["val/loss", "last"] and len(line) == 5 for line in lines)
