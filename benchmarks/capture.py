"""What the capture of code, seeds and output costs a training, in a repository of 10,000 files with a 5 MB diff.

    python benchmarks/capture.py

Each repetition is a process of its own, so that init() pays for the imports it makes. The share is the CPU time of all
threads but the training's; git's own processes are not in it, they hold no interpreter.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, in_python, main, scratch

FILES = 10_000
CHANGED = 50
LINES = 2_500  # of a changed file, each of 40 characters
REPETITIONS = 5
LOOP_S = 20.0

TRAINING = """
import json, sys, time
import numpy as np
import barograph
loop_s, store = float(sys.argv[1]), sys.argv[2]
def timed(act):
    wall = time.perf_counter()
    result = act()
    return (time.perf_counter() - wall) * 1000, result
start_ms, run = timed(lambda: barograph.init(store=store, quiet=True))
begin, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
step = 0
while time.perf_counter() - begin < loop_s:
    run.log({"loss": 1.0}, step)
    sum(range(20_000))
    step += 1
wall = time.perf_counter() - begin
others = (time.process_time() - cpu) - (time.thread_time() - own)
finish_ms, _ = timed(run.finish)
complete = barograph.open(store).run(run.id).environment.get("complete")
print(json.dumps({"start": start_ms, "finish": finish_ms, "share": others / wall, "complete": complete}))
"""

SMALL_ACTS = """
import json, random, sys, time
import numpy as np
import torch
import barograph
np.random.seed(0)
run = barograph.init(store=sys.argv[1], quiet=True)
def each(act, times):
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times * 1e6
from barograph.capture.seeds import take_seeds
seeds = min(each(lambda: take_seeds({}), 20) for _ in range(10))
out = sys.stdout
with_us = min(each(lambda: out.write("a line as programs print them\\n"), 2000) for _ in range(10))
run.finish()
without = min(each(lambda: out.write("a line as programs print them\\n"), 2000) for _ in range(10))
print("\\n" + json.dumps({"seeds": seeds, "print": with_us - without}))
"""


def ours() -> Iterator[Figure]:
    with scratch() as folder:
        repository = folder / "repository"
        make_repository(repository)
        os.chdir(repository)
        for name, loop_s, environment in (("", LOOP_S, "1"), (" without capture", 5.0, "0")):
            os.environ["BAROGRAPH_CAPTURE"] = environment
            found = [json.loads(in_python(TRAINING, str(loop_s), folder / "store")) for _ in range(REPETITIONS)]
            bounds = (60.0, 0.02) if environment == "1" else (None, None)
            yield Figure(f"init(){name}", quiet([one["start"] for one in found]), "ms", bounds[0])
            yield Figure(f"threads besides the training{name}", quiet([one["share"] for one in found]), "", bounds[1])
            yield Figure(f"finish(){name}", quiet([one["finish"] for one in found]), "ms")
        os.environ["BAROGRAPH_CAPTURE"] = "1"
        hurried = [json.loads(in_python(TRAINING, "0.1", folder / "store")) for _ in range(REPETITIONS)]
        yield Figure("finish() after 0.1 s", quiet([one["finish"] for one in hurried]), "ms", 1_100.0)
        yield Figure("  share of these that told everything", sum(one["complete"] for one in hurried) / REPETITIONS)
        told = json.loads(in_python(SMALL_ACTS, folder / "store").splitlines()[-1])
        yield Figure("states of the random generators, with numpy and torch", told["seeds"], "us", 500.0)
        yield Figure("added to a print", told["print"], "us", 5.0)


def make_repository(folder: Path) -> None:
    """10,000 small files in a commit; some of them changed since, by 100 kB each."""
    folder.mkdir()
    for index in range(FILES):
        place = folder / f"part{index // 100:03d}"
        place.mkdir(exist_ok=True)
        (place / f"file{index:05d}.py").write_text(f"value_{index} = {index}\n")
    author = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "All"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=sys.stderr)
    for index in range(CHANGED):
        lines = (f"layer_{index}_{line} = build(width={line:05d})" for line in range(LINES))
        (folder / f"part{index:03d}" / f"file{index * 100:05d}.py").write_text("\n".join(lines))


def quiet(values: list[float]) -> float:
    """The median of the quicker half."""
    return statistics.median(sorted(values)[: (len(values) + 1) // 2])


if __name__ == "__main__":
    main(ours)
