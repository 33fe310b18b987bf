"""Runs every benchmark of this folder and writes their figures into its README.

    python benchmarks/all.py [log_call] [loop] ...

Without names all of them, with peers where they are installed; sections of the others stay as they are. Exit status 3
if a bound of ours was missed.
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

from figures import MISSED, OURS, Figure, number

HERE = Path(__file__).parent
SCRIPTS = (
    "log_call", "loop", "kill", "start_finish", "capture", "damage", "storage", "reading", "listing", "imports",
    "memory", "frameworks", "tensor_statistics", "watch", "data", "artifacts", "compare",
)  # fmt: skip
PACKAGES = (
    "barograph", "numpy", "duckdb", "torch", "lightning", "keras", "xgboost", "scikit-learn", "wandb", "tensorboard",
    "trackio", "mlflow",
)  # fmt: skip
MARK = "<!-- written by all.py from here on -->\n"
HEADING = "\n## "


def main() -> None:
    names = [name for name in sys.argv[1:] if name in SCRIPTS] or list(SCRIPTS)
    readme = HERE / "README.md"
    missed = False
    for name in names:
        figures = list(figures_of(name))
        missed |= any(figure.is_missed for figure in figures)
        about, _, written = readme.read_text().partition(MARK)
        sections = dict(section.split("\n", 1) for section in written.split(HEADING)[1:])
        sections[name] = section_of(name, figures)
        in_order = (HEADING + known + "\n" + sections[known] for known in SCRIPTS if known in sections)
        told = f"\nVersions: Python {platform.python_version()}, {', '.join(versions())}.\n"
        readme.write_text(about + MARK + told + "".join(in_order))
    sys.exit(MISSED if missed else 0)


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
        if process.returncode not in (0, MISSED):
            print(f"{' '.join(command)} ended with {process.returncode}", file=sys.stderr)


def section_of(name: str, figures: list[Figure]) -> str:
    """What stands under the heading of a script: when and where it was run, and a row a figure."""
    lines = [
        "",
        f"`python benchmarks/{name}.py`, {datetime.date.today()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
        "",
        "| | figure | measured | at most | |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for figure in figures:
        bound = "" if figure.bound is None else number(figure.bound)
        mark = "" if figure.bound is None else ("**missed**" if figure.is_missed else "ok")
        who = f"**{figure.who}**" if figure.who == OURS else figure.who
        lines.append(f"| {who} | {figure.what.strip()} | {number(figure.measured)} {figure.unit} | {bound} | {mark} |")
    return "\n".join([*lines, ""])


def versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    main()
