"""What one flipped bit costs: records of a journal of 5,000 that are gone or wrong after any one bit of it was flipped.

    python benchmarks/damage.py

Bits at random, equally many of the first two frames, of lengths, of heads, of key sets and of other payloads.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from figures import Figure, main, scratch

import barograph
from barograph.journal.format import HEAD, FrameType
from barograph.journal.reader import Contents, read_journal

RECORDS = 5000
EACH = 80  # flips of each kind of place


def ours() -> Iterator[Figure]:
    with scratch() as folder:
        journal = write_journal(folder)
        whole = read_journal(journal)
        data = journal.read_bytes()
        worst = uncounted = shown = 0
        positions = places(data)
        for position in positions:
            flipped = bytearray(data)
            flipped[position // 8] ^= 1 << position % 8
            journal.write_bytes(flipped)
            found = read_journal(journal)
            lost = lost_records(whole, found)
            worst = max(worst, lost)
            damage = found.damage
            uncounted += lost > damage.lost_frames + bool(damage.torn_tail_bytes)
            shown += bool(damage.lost_frames or damage.damaged_bytes or damage.torn_tail_bytes)
        yield Figure(
            f"one flipped bit, {len(positions):,} places: most records lost of {RECORDS:,}", worst, "records", 1
        )
        yield Figure("  flips whose loss was not counted", uncounted, "flips", 0)
        yield Figure("  flips that the reader did not report", len(positions) - shown, "flips", 0)


def write_journal(folder: Path) -> Path:
    """A journal of 5,000 records of two key sets, some of them no points."""
    with barograph.init(store=folder, quiet=True) as run:
        for step in range(RECORDS):
            if step % 500 == 499:
                run.log_text("note", f"text {step}", step)
            elif step % 10:
                run.log({"train/loss": random.random(), "lr": random.random(), "number": float(step)}, step)
            else:
                run.log({"val/loss": random.random(), "number": float(step)}, step)
    return next(run.path.glob("journals/*"))


def places(data: bytes) -> list[int]:
    """Which bits to flip, as positions in the file."""
    kinds: dict[str, list[int]] = {"first frames": [], "lengths": [], "heads": [], "key sets": [], "other payloads": []}
    start = frame = 0
    while start < len(data):
        payload = start + HEAD.size
        end = payload + int.from_bytes(data[start + 3 : start + 7], "little")
        if frame < 2:
            kinds["first frames"] += range(8 * start, 8 * end)
        kinds["lengths"] += range(8 * (start + 3), 8 * (start + 7))
        kinds["heads"] += range(8 * start, 8 * payload)
        kinds["key sets" if data[start + 2] == FrameType.KEYS else "other payloads"] += range(8 * payload, 8 * end)
        start, frame = end, frame + 1
    return [position for bits in kinds.values() for position in random.sample(bits, EACH)]


def lost_records(whole: Contents, found: Contents) -> int:
    """How many records are not there, or not as they were; points under a wrong name count, too."""
    texts_before, texts_after = ({(one.sequence, repr(one)) for one in part.records} for part in (whole, found))
    lost = {sequence for sequence, _ in texts_before ^ texts_after}
    for key in whole.series.keys() | found.series.keys():
        before, after = (rows_of(contents, key) for contents in (whole, found))
        lost |= {int(row["sequence"]) for row in np.setxor1d(before, after)}
    return len(lost)


def rows_of(contents: Contents, key: str) -> np.ndarray:
    """The points of a metric, each with the number of its frame, as something that can be compared bit by bit."""
    kinds = [("sequence", "u4"), ("step", "i8"), ("time", "u8"), ("value", "u8")]
    series = contents.series.get(key)
    if series is None:
        return np.empty(0, kinds)
    rows = np.empty(len(series.steps), kinds)
    rows["sequence"], rows["step"] = series.sequence, series.steps
    rows["time"], rows["value"] = series.times.view("u8"), series.values.view("u8")
    return rows


if __name__ == "__main__":
    main(ours)
