"""Runs every benchmark of this folder and writes their figures into its README.

    python benchmarks/all.py [log_call] [loop] ...

Without names all that have bounds; with peers where they are installed. Exit status 1 if a bound of ours was missed.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from figures import OURS, Figure, number

HERE = Path(__file__).parent
SCRIPTS = (
    "log_call", "loop", "kill", "start_finish", "damage", "storage", "reading", "listing", "imports", "memory",
    "frameworks",
)  # fmt: skip
PACKAGES = (
    "barograph", "numpy", "duckdb", "torch", "lightning", "keras", "xgboost", "scikit-learn", "wandb", "tensorboard",
    "trackio", "mlflow",
)  # fmt: skip
MARK = "<!-- written by all.py from here on -->\n"


def main() -> None:
    names = [name for name in sys.argv[1:] if name in SCRIPTS] or list(SCRIPTS)
    found = {name: list(figures_of(name)) for name in names}
    readme = HERE / "README.md"
    kept = readme.read_text().partition(MARK)[0]
    readme.write_text(kept + MARK + "\n" + "\n".join(lines(found)))
    sys.exit(any(figure.is_missed for figures in found.values() for figure in figures))


def figures_of(name: str) -> Iterator[Figure]:
    """What a script measures, ours before the peers'; each half in a process of its own."""
    for half in ("--ours", "--peers"):
        command = [sys.executable, str(HERE / f"{name}.py"), half, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):  # peers print, too
                    figure = Figure(**json.loads(line))
                    print(figure, flush=True)
                    yield figure
        if process.returncode not in (0, 1):
            print(f"{' '.join(command)} ended with {process.returncode}", file=sys.stderr)


def lines(found: dict[str, list[Figure]]) -> Iterator[str]:
    yield f"Measured on {datetime.date.today()}: {machine()}."
    yield f"Versions: Python {platform.python_version()}, {', '.join(versions())}."
    for name, figures in found.items():
        yield f"\n## {name}\n\n`python benchmarks/{name}.py`\n"
        yield "| | figure | measured | at most | |"
        yield "| --- | --- | ---: | ---: | --- |"
        for figure in figures:
            bound = "" if figure.bound is None else number(figure.bound)
            mark = "" if figure.bound is None else ("**missed**" if figure.is_missed else "ok")
            who = f"**{figure.who}**" if figure.who == OURS else figure.who
            yield f"| {who} | {figure.what.strip()} | {number(figure.measured)} {figure.unit} | {bound} | {mark} |"


def machine() -> str:
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"{platform.system()} {platform.machine()}, {cores} cores, load {load:.1f} at the end"


def versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    main()
