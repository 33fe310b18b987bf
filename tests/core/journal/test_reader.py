"""Reading a journal that is whole: finished, growing, renamed, or from a later version."""

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from barograph.errors import JournalError
from barograph.journal.format import SCALARS, FrameType, encode_json, encode_keys, frame, seed_of
from barograph.journal.reader import Damage, JournalReader, read_journal
from barograph.journal.writer import Journal

from .sample import WRITER_ID, handmade, points_of, small_journal, write


def _point(number: int, step: int, *values: float, time_s: float = 1.0) -> tuple[int, bytes]:
    return FrameType.SCALARS, SCALARS.pack(number, step, time_s) + struct.pack(f"<{len(values)}d", *values)


def test_everything_written_is_read(tmp_path: Path) -> None:
    """Points in order of writing, records, no damage, the end of the file."""
    path = small_journal(tmp_path)
    contents = read_journal(path)
    train, val = contents.series["train/loss"], contents.series["val/loss"]
    assert train.steps.tolist() == list(range(20))
    assert train.values.tolist() == [step + 0.5 for step in range(20)]
    assert val.steps.tolist() == [0, 5, 10, 15]
    assert (train.steps.dtype, train.times.dtype, train.values.dtype, train.sequence.dtype) == (
        np.int64, np.float64, np.float64, np.uint32,
    )  # fmt: skip
    assert (np.diff(train.sequence.astype(int)) > 0).all()
    assert [record.kind for record in contents.records] == ["text", "event"]
    assert contents.damage == Damage()
    assert contents.end_offset == path.stat().st_size


def test_a_live_journal_is_read_piece_by_piece(open_journal: Callable[..., Journal]) -> None:
    """Each read returns what is new; header and last beat stay known."""
    journal = open_journal()
    reader = JournalReader(journal.path)
    assert reader.read().series == {}
    seen = []
    for step in range(5):
        journal.log({"x": float(step)}, step)
        journal.record("event", step)
        contents = reader.read()
        seen += contents.series["x"].steps.tolist()
        assert [record.step for record in contents.records] == [step]
        assert contents.header is not None
    assert seen == [0, 1, 2, 3, 4]
    assert reader.read().series == {}
    assert reader.read().records == []


def test_a_frame_cut_at_the_end_is_read_once_it_is_whole(tmp_path: Path) -> None:
    """The tail is reported as torn, the offset stands before it, and nothing is read twice."""
    whole = small_journal(tmp_path).read_bytes()
    path = next(tmp_path.glob("*.journal"))
    points = points_of(read_journal(path))
    path.write_bytes(whole[:0])
    reader, seen = JournalReader(path), []
    for end in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:end])
        contents = reader.read()
        assert contents.damage.torn_tail_bytes == end - contents.end_offset
        seen += sorted(points_of(contents))
    path.write_bytes(whole)
    seen += sorted(points_of(reader.read()))
    assert len(seen) == len(points)
    assert set(seen) == points


@pytest.mark.parametrize("zeros", [slice(500, None), slice(500, 900)])
def test_zeros_before_data_are_looked_at_again(tmp_path: Path, zeros: slice) -> None:
    """A network file system shows zeros where frames appear later, at the end or with later frames behind them."""
    whole = small_journal(tmp_path).read_bytes()
    path = next(tmp_path.glob("*.journal"))
    path.write_bytes(whole[:500] + bytes(len(whole[zeros])) + whole[500:][len(whole[zeros]) :])
    reader = JournalReader(path)
    points = points_of(reader.read())
    path.write_bytes(whole)
    points |= points_of(reader.read())
    assert points == points_of(read_journal(path))
    assert reader.read().damage == Damage()


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"\xf5", handmade()[:30]])
def test_a_file_that_may_become_a_journal_is_empty_so_far(tmp_path: Path, content: bytes) -> None:
    """Empty, zeros, or a header cut short: the writer was killed, or is about to write."""
    contents = read_journal(write(tmp_path, content))
    assert (contents.header, contents.series, contents.damage.torn_tail_bytes) == (None, {}, len(content))


@pytest.mark.parametrize("content", [b"not a journal", b"PAR1" * 100, b"\0\0x", bytes(range(256)) * 100])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its name in the message."""
    with pytest.raises(JournalError, match=WRITER_ID):
        read_journal(write(tmp_path, content))


def test_a_renamed_journal_is_read_by_its_header(tmp_path: Path) -> None:
    """The writer id in the header frame counts, also when that frame stands later in the file."""
    path = small_journal(tmp_path)
    points = points_of(read_journal(path))
    assert points_of(read_journal(write(tmp_path, path.read_bytes(), "copy of it"))) == points
    assert points_of(read_journal(write(tmp_path, b"garbage" + path.read_bytes(), "another"))) == points


def test_a_key_set_may_come_after_its_points(tmp_path: Path) -> None:
    """Points whose names are not known yet are kept until they are."""
    early = handmade(_point(3, 0, 1.0), _point(3, 1, 2.0))
    path = write(tmp_path, early)
    reader = JournalReader(path)
    first = reader.read()
    assert (first.series, first.damage.lost_frames) == ({}, 2)
    path.write_bytes(early + frame(seed_of(WRITER_ID), FrameType.KEYS, 3, encode_keys(3, ["x"])))
    later = reader.read()
    assert later.series["x"].values.tolist() == [1.0, 2.0]
    assert later.damage == Damage()


def test_points_come_in_order_of_writing_whatever_their_place(tmp_path: Path) -> None:
    """By sequence, across key sets that share a name, also where a frame stands before an earlier one."""
    seed = seed_of(WRITER_ID)
    keys = [(FrameType.KEYS, encode_keys(0, ["x"])), (FrameType.KEYS, encode_keys(1, ["x", "y"]))]
    points = [
        frame(seed, *_point(1, 4, 4.0, 0.0)[:1], 4, _point(1, 4, 4.0, 0.0)[1]),
        frame(seed, FrameType.SCALARS, 3, _point(0, 3, 3.0)[1]),
        frame(seed, FrameType.SCALARS, 6, _point(0, 6, 6.0)[1]),
        frame(seed, FrameType.SCALARS, 5, _point(0, 5, 5.0)[1]),
    ]
    contents = read_journal(write(tmp_path, handmade(*keys) + b"".join(points)))
    assert contents.series["x"].values.tolist() == [3.0, 4.0, 5.0, 6.0]
    assert contents.damage == Damage()


def test_strange_times_are_kept(tmp_path: Path) -> None:
    """1970, far future and NaN: nothing is judged."""
    times = [0.0, -1.0, 4e9, math.nan]
    frames = [_point(0, step, 1.0, time_s=time_s) for step, time_s in enumerate(times)]
    path = write(tmp_path, handmade((FrameType.KEYS, encode_keys(0, ["x"])), *frames))
    assert read_journal(path).series["x"].times.tobytes() == struct.pack("<4d", *times)


def test_frames_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    """Not damage, and not an error."""
    event = encode_json({"kind": "event", "time_s": 1.0, "step": None})
    contents = read_journal(write(tmp_path, handmade((200, b"from the future"), (FrameType.RECORD, event))))
    assert len(contents.records) == 1
    assert contents.damage == Damage()


@pytest.mark.parametrize(
    "bad",
    [
        (FrameType.SCALARS, b""),
        (FrameType.SCALARS, bytes(25)),
        (FrameType.KEYS, b"\xff" * 8),
        (FrameType.RECORD, b"[]"),
        (FrameType.RECORD, b'{"kind": 1, "time_s": 0.0, "step": null}'),
        (FrameType.BEAT, b""),
        (FrameType.GAP, b"{"),
        _point(0, 9, 1.0, 2.0),
    ],
)
def test_a_frame_that_checks_but_makes_no_sense_is_reported(tmp_path: Path, bad: tuple[int, bytes]) -> None:
    """Its neighbours are read."""
    keys = (FrameType.KEYS, encode_keys(0, ["x"]))
    contents = read_journal(write(tmp_path, handmade(keys, _point(0, 1, 1.0), bad, _point(0, 2, 2.0))))
    assert contents.series["x"].values.tolist() == [1.0, 2.0]
    assert len(contents.damage.places) == 1


def test_beats_and_gaps_are_told(tmp_path: Path) -> None:
    """The last beat, and every gap."""
    beats = [(FrameType.BEAT, struct.pack("<ddqI", *beat)) for beat in ((5.0, 1.0, -(2**63), 0), (15.0, 11.0, 7, 3))]
    gap = {"records": 1, "points": 5, "bytes": 80, "from_s": 1.0, "to_s": 2.0, "reason": "full"}
    contents = read_journal(write(tmp_path, handmade(*beats, (FrameType.GAP, encode_json(gap)))))
    assert contents.last_beat is not None
    assert tuple(contents.last_beat) == (2, 15.0, 11.0, 7, 3)
    assert contents.damage.gaps == [gap]


def test_a_journal_larger_than_a_portion_is_read_whole(open_journal: Callable[..., Journal]) -> None:
    """Frames that cross the borders of the reader's portions included, and the longest possible one."""
    journal = open_journal()
    for step in range(1500):
        journal.log({f"metric {index}": float(step) for index in range(1000)}, step)
        if step % 500 == 0:
            journal.record("text", step, None, text="x" * (15 << 20))
    contents = read_journal(journal.path)
    assert journal.path.stat().st_size > 3 * (17 << 20)
    assert all((series.values == np.arange(1500)).all() for series in contents.series.values())
    assert len(contents.records) == 3
    assert contents.damage == Damage()
