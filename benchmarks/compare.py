"""How long the difference of two runs takes, and the verdict on them: real processes of a repository of 1,000 files.

    python benchmarks/compare.py

Each run has 20 metrics of 5,000 points and a data set; between them one line of code, one setting and one value of the
data change. Each time with a store object that was just opened; by the clock, as much of it waits for git.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, least_median, main, scratch, timed

FILES, TIMES, BOUND_MS = 1000, 9, 300.0

TRAIN = """
import sys
import numpy as np
import barograph
import model

rate = float(sys.argv[1])
data = np.random.default_rng(0).normal(size=(10_000, 20))
data[0, 0] = rate
with barograph.init(config={"lr": rate, "depth": 4}, quiet=True) as run:
    run.log_dataset("train", data)
    for step in range(5_000):
        run.log({f"train/loss_{place}": model.SCALE * rate / (step + place + 1) for place in range(20)}, step=step)
"""


def ours() -> Iterator[Figure]:
    with scratch() as folder:
        before, after = two_runs(folder / "project", folder / "store")
        import barograph
        from barograph.compare.verdict import judge

        def views() -> tuple[barograph.RunView, barograph.RunView]:
            store = barograph.open(folder / "store")
            return store.run(before), store.run(after)

        changes = barograph.diff(*views()).changes
        assert {change.section for change in changes} == {"code", "parameters", "data"}, changes
        difference = [timed(lambda: barograph.diff(*views())).wall_s for _ in range(TIMES)]
        yield Figure("difference of two runs", least_median(difference) * 1000, "ms", BOUND_MS)
        verdict = [timed(lambda: judge(*views())).wall_s for _ in range(TIMES)]
        yield Figure("verdict on two runs that differ, causes included", least_median(verdict) * 1000, "ms")


def two_runs(project: Path, store: Path) -> tuple[str, str]:
    """The names of two runs, between which the code was changed."""
    project.mkdir()
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(project))
    subprocess.run([*git, "init", "-q"], check=True)
    (project / "train.py").write_text(TRAIN)
    (project / "model.py").write_text("SCALE = 1.0\n")
    for number in range(FILES):
        path = project / f"package_{number % 20}" / f"module_{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 50)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "state"], check=True)
    for rate in ("0.1", "0.2"):
        environment = {**os.environ, "BAROGRAPH_STORE": str(store)}
        subprocess.run([sys.executable, "train.py", rate], cwd=project, env=environment, check=True)
        (project / "model.py").write_text("SCALE = 2.0\n")
    after, before = sorted((store / "runs").iterdir(), key=lambda path: -path.stat().st_mtime)
    return before.name, after.name


if __name__ == "__main__":
    main(ours)
