"""A small project in a git repository: a seeded training that other files, arguments and variables can change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from barograph.reading import RunView, Store, open_store

TRAIN = """
import importlib.util
import sys

import numpy as np

import barograph
from model import descend

if importlib.util.find_spec("extra"):
    import extra

rate = float(sys.argv[sys.argv.index("--lr") + 1]) if "--lr" in sys.argv else 0.1
seed = int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else 0
np.random.seed(seed)
lines = [line.split(",") for line in open("data.csv").read().split()[1:]]
parts = {
    name: np.array([[float(x), float(y)] for x, y, part in lines if part == name]) for name in ("train", "val")
}
with barograph.init(config={"lr": rate, "seed": seed}, quiet=True) as run:
    run.use_artifact("embedding.bin", kind="data", name="embedding")
    for name, rows in parts.items():
        run.log_dataset(name, rows[:, :1], rows[:, 1])
    weight = np.random.normal()
    for step in range(30):
        weight = descend(weight, parts["train"], rate) + 0.001 * np.random.normal()
        loss = float(((parts["val"][:, 0] * weight - parts["val"][:, 1]) ** 2).mean())
        run.log({"train/weight": weight, "val/loss": loss}, step=step)
    run.log_weights({"weight": np.array([weight])})
"""
MODEL = """
def descend(weight, rows, rate):
    x, y = rows[:, 0], rows[:, 1]
    return weight - rate * float((x * (x * weight - y)).mean())
"""


@dataclass
class Project:
    """A folder with code and data, and what happens when its training is run there."""

    path: Path
    store_path: Path

    @property
    def store(self) -> Store:
        """Where its runs are."""
        return open_store(self.store_path)

    def write(self, name: str, text: str) -> None:
        """Put a file into it."""
        (self.path / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a file."""
        text = (self.path / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def commit(self) -> None:
        """Commit everything that is not ignored."""
        subprocess.run(["git", "add", "-A"], cwd=self.path, check=True)
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *author, "commit", "-qm", "state"], cwd=self.path, check=True)

    def train(self, *arguments: str, command: tuple[str, ...] = ("train.py",), **variables: str) -> RunView:
        """Run the training in a process of its own; the run it made."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BAROGRAPH", "OMP_"))}
        kept |= {"BAROGRAPH_STORE": str(self.store_path), "PYTHONPATH": "", **variables}
        before = {view.id for view in self.store.runs()} if (self.store_path / "runs").is_dir() else set()
        subprocess.run([sys.executable, *command, *arguments], cwd=self.path, env=kept, check=True, timeout=120)
        (made,) = [view for view in self.store.runs() if view.id not in before and view.parent_id is None]
        return made


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """Makes a project in a repository of its own with one commit, after replacing parts of its training."""
    store_path = tmp_path / "runs-of-the-project"
    monkeypatch.setenv("BAROGRAPH_STORE", str(store_path))

    def make(replaced: Mapping[str, str] = {}, name: str = "project", train: str = TRAIN) -> Project:
        project = Project(tmp_path / name, store_path)
        project.path.mkdir()
        subprocess.run(["git", "init", "-q"], cwd=project.path, check=True)
        project.write(".gitignore", "*.csv\n*.bin\n__pycache__\n")
        for old, new in replaced.items():
            assert old in train
            train = train.replace(old, new)
        project.write("train.py", train)
        project.write("model.py", MODEL)
        rows = [
            f"{place / 10},{place / 5 + 0.01 * (place % 3)},{'val' if place % 4 == 3 else 'train'}"
            for place in range(40)
        ]
        project.write("data.csv", "\n".join(["x,y,part", *rows]) + "\n")
        (project.path / "embedding.bin").write_bytes(bytes(range(100)))
        project.commit()
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """The project of the seeded numpy training."""
    return make_project()
