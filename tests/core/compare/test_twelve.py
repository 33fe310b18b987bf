"""Twelve ways in which a training is not the one before: the difference names the one thing, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from barograph.compare import diff
from barograph.reading import RunView

Project = Any  # of conftest.py


def _parameter(project: Project) -> RunView:
    return project.train("--lr", "0.2")


def _seed(project: Project) -> RunView:
    return project.train("--seed", "1")


def _library(project: Project) -> RunView:
    (project.path.parent / "path" / "numpy-99.1.dist-info").mkdir(parents=True)
    return project.train(PYTHONPATH=str(project.path.parent / "path"))


def _dirty_line(project: Project) -> RunView:
    project.replace("model.py", "return weight - rate", "return weight - 0.5 * rate")
    return project.train()


def _untracked_module(project: Project) -> RunView:
    project.write("extra.py", "MORE = 1\n")
    return project.train()


def _data_cell(project: Project) -> RunView:
    project.replace("data.csv", "0.5,1.02,train", "0.5,1.03,train")
    return project.train()


def _row_order(project: Project) -> RunView:
    one, other = "0.4,0.81,train\n", "0.5,1.02,train\n"
    project.replace("data.csv", one + other, other + one)
    return project.train()


def _split(project: Project) -> RunView:
    project.replace("data.csv", "0.4,0.81,train", "0.4,0.81,val")
    project.replace("data.csv", "0.7,1.41,val", "0.7,1.41,train")
    return project.train()


def _switch(project: Project) -> RunView:
    return project.train(CUBLAS_WORKSPACE_CONFIG=":4096:8")


def _threads(project: Project) -> RunView:
    return project.train(OMP_NUM_THREADS="1")


def _argument(project: Project) -> RunView:
    return project.train("--note", "again")


def _input(project: Project) -> RunView:
    (project.path / "embedding.bin").write_bytes(bytes(range(1, 101)))
    return project.train()


CASES = {
    _parameter: ("parameters", "lr"),
    _seed: ("parameters", "seed"),
    _library: ("packages", "numpy"),
    _dirty_line: ("code", "model.py"),
    _untracked_module: ("code", "extra.py"),
    _data_cell: ("data", "train"),
    _row_order: ("data", "train"),
    _split: ("data", "train, val"),
    _switch: ("environment", "CUBLAS_WORKSPACE_CONFIG"),
    _threads: ("environment", "threads"),
    _argument: ("arguments", "--note"),
    _input: ("inputs", "embedding"),
}


@pytest.mark.parametrize("act", CASES, ids=lambda act: act.__name__.strip("_"))
def test_a_difference_is_named_and_nothing_else(project: Project, act: Any) -> None:
    """Of everything that two runs record, exactly what was changed between them."""
    changes = diff(project.train(), act(project)).changes
    assert {(change.section, change.name) for change in changes} == {CASES[act]}, changes


def test_nothing_is_named_where_nothing_was_changed(project: Project) -> None:
    """Times, ids, names and processes are different in every run."""
    difference = diff(project.train(), project.train())
    assert difference.changes == []
    assert all(result.is_same for result in difference.results)


def test_a_copy_elsewhere_is_the_same_code(make_project: Any, tmp_path: Path) -> None:
    """Where a repository lies is no difference."""
    one, other = make_project(), make_project(name="elsewhere")
    assert [change.name for change in diff(one.train(), other.train()).changes if change.name != "commit"] == []
