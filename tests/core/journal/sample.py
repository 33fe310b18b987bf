"""A small journal whose every value is known, for tests that damage it."""

from pathlib import Path
from typing import NamedTuple

from barograph.journal.format import SUFFIX, FrameType, encode_json, frame, seed_of
from barograph.journal.reader import Contents, read_journal
from barograph.journal.writer import Journal

WRITER_ID = "a1-r0-abcdefgh"


class Frame(NamedTuple):
    """Where a frame stands, and what type it is."""

    start: int
    end: int
    kind: int


def small_journal(folder: Path, steps: int = 20, native: bool | None = None) -> Path:
    """Points of two key sets, a text and an event; the value of a point is its step and a half."""
    journal = Journal(
        folder, run_id="run", identity={}, native=native, warn=print, sync_every_s=3600.0, heartbeat_s=3600.0
    )
    for step in range(steps):
        journal.log({"train/loss": step + 0.5, "train/accuracy": step + 0.5}, step)
        if step % 5 == 0:
            journal.log({"val/loss": step + 0.5}, step)
    journal.record("text", 3, None, key="note", text="\N{SNOWMAN}")
    journal.record("event", 4, None, name="end", data={})
    journal.close()
    return journal.path


def frames_of(path: Path) -> list[Frame]:
    """The frames of an undamaged journal, by their lengths."""
    data, position, frames = path.read_bytes(), 0, []
    while position < len(data):
        end = position + 17 + int.from_bytes(data[position + 3 : position + 7], "little")
        frames.append(Frame(position, end, data[position + 2]))
        position = end
    return frames


def points_of(contents: Contents) -> set[tuple[str, int, float, int]]:
    """Every point as (name, step, value, sequence)."""
    return {
        (name, step, value, sequence)
        for name, series in contents.series.items()
        for step, value, sequence in zip(
            series.steps.tolist(), series.values.tolist(), series.sequence.tolist(), strict=True
        )
    }


def damaged(path: Path, data: bytes) -> Contents:
    """What is read when the journal holds these bytes instead; the file must not be changed by reading."""
    copy = path.parent / "damaged" / path.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(data)
    contents = read_journal(copy)
    assert copy.read_bytes() == data
    return contents


def handmade(*payloads: tuple[int, bytes], writer_id: str = WRITER_ID) -> bytes:
    """A journal of a header and these frames."""
    header = (FrameType.HEADER, encode_json({"format": 1, "writer_id": writer_id}))
    seed = seed_of(writer_id)
    return b"".join(frame(seed, kind, number, payload) for number, (kind, payload) in enumerate([header, *payloads]))


def write(folder: Path, data: bytes, name: str = WRITER_ID) -> Path:
    """Put bytes where a journal of the usual writer would stand."""
    path = folder / f"{name}{SUFFIX}"
    path.write_bytes(data)
    return path
