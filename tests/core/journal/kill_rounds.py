"""Fork a writer, kill it at a random moment, count what was acknowledged and is not in its journal; again and again.

Usage: python kill_rounds.py FOLDER c|python ROUNDS SECONDS_BETWEEN_CALLS SIGNAL. Prints a JSON object of counts.
"""

import json
import mmap
import os
import random
import struct
import sys
import time
from pathlib import Path

from barograph.journal.reader import read_journal
from barograph.journal.writer import Journal


def _write(folder: Path, native: bool, page: mmap.mmap, pause_s: float) -> None:
    journal = Journal(folder, run_id="run", identity={}, native=native, warn=print, sync_every_s=0.01, heartbeat_s=0.01)
    step = 0
    while True:
        journal.log({"x": step * 0.5, "y": 1.0, f"sometimes{step // 50 % 7}": 2.0}, step)
        if step % 10 == 0:
            journal.record("event", step, None, name="tenth", data={})
        step += 1
        page[:8] = struct.pack("<q", step)  # acknowledged: a shared page outlives the writer
        if pause_s:
            time.sleep(pause_s)


def _one_round(folder: Path, native: bool, pause_s: float, signal_number: int) -> dict[str, int]:
    folder.mkdir()
    page = mmap.mmap(-1, 4096)
    child = os.fork()
    if child == 0:
        try:
            _write(folder, native, page, pause_s)
        finally:
            os._exit(1)
    while page[:8] == bytes(8):
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.06 if pause_s < 0.01 else 20 * pause_s))
    os.kill(child, signal_number)
    os.waitpid(child, 0)
    (acknowledged,) = struct.unpack("<q", page[:8])
    contents = read_journal(next(folder.iterdir()))
    points = contents.series["x"]
    right = points.steps.tolist() == list(range(len(points.steps))) and all(points.values == points.steps * 0.5)
    events = {record.step for record in contents.records}
    missing_events = sum(step not in events for step in range(0, acknowledged, 10))
    return {
        "acknowledged": acknowledged,
        "lost": max(0, acknowledged - len(points.steps)) + missing_events,
        "extra": max(0, len(points.steps) - acknowledged - 1),
        "wrong": int(not right) + contents.damage.lost_frames + contents.damage.damaged_bytes,
    }


def main() -> None:
    """All rounds."""
    folder, native, rounds, pause_s, signal_number = Path(sys.argv[1]), sys.argv[2] == "c", *map(float, sys.argv[3:6])
    total = {"acknowledged": 0, "lost": 0, "extra": 0, "wrong": 0}
    for number in range(int(rounds)):
        for name, count in _one_round(folder / str(number), native, pause_s, int(signal_number)).items():
            total[name] += count
    print(json.dumps(total))


if __name__ == "__main__":
    main()
