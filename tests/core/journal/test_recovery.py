"""Reading a journal that was damaged: the rest comes back, what is missing is counted, no wrong value is returned."""

import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph.errors import JournalError
from barograph.journal.format import LENGTH_LIMIT, MAGIC, SCALARS, FrameType, encode_json, encode_keys, frame, seed_of
from barograph.journal.reader import Contents, read_journal
from barograph.journal.writer import Journal

from .sample import WRITER_ID, damaged, frames_of, handmade, points_of, small_journal, write


def _records_of(contents: Contents) -> set[tuple[int, str]]:
    return {(record.sequence, repr(record)) for record in contents.records}


def test_a_cut_anywhere_in_the_last_frames_costs_only_what_is_cut(tmp_path: Path) -> None:
    """Every complete frame is returned and the torn bytes are counted, at each byte offset of the last three frames."""
    path = small_journal(tmp_path, 1000)
    data, frames = path.read_bytes(), frames_of(path)
    whole = read_journal(path)
    for end in range(frames[-3].start, len(data)):
        contents = damaged(path, data[:end])
        last_whole = max(each.end for each in frames if each.end <= end)
        count = sum(each.end <= end for each in frames)
        assert points_of(contents) == {point for point in points_of(whole) if point[3] < count}
        assert _records_of(contents) == {record for record in _records_of(whole) if record[0] < count}
        assert contents.damage.torn_tail_bytes == end - last_whole
        assert contents.damage.lost_frames == 0


def test_no_flipped_bit_costs_more_than_one_frame_or_gives_a_wrong_value(tmp_path: Path) -> None:
    """Each single bit of a small journal, header, lengths and key sets included."""
    path = small_journal(tmp_path, 6)
    data, frames = bytearray(path.read_bytes()), frames_of(path)
    whole = read_journal(path)
    points, records = points_of(whole), _records_of(whole)
    for number, hit in enumerate(frames):
        rest_of_points = {point for point in points if point[3] != number}
        rest_of_records = {record for record in records if record[0] != number}
        is_last = hit is frames[-1]
        for bit in range(8 * hit.start, 8 * hit.end):
            data[bit // 8] ^= 1 << bit % 8
            contents = damaged(path, data)
            data[bit // 8] ^= 1 << bit % 8
            assert points_of(contents) == rest_of_points
            assert _records_of(contents) == rest_of_records
            assert contents.damage.lost_frames == (0 if is_last else 1)
            assert contents.damage.torn_tail_bytes == (hit.end - hit.start if is_last else 0)
            assert contents.damage.damaged_bytes == (0 if is_last else hit.end - hit.start)


def _zeros(data: bytes) -> tuple[bytes, int, int]:
    return data[:9000] + bytes(4096) + data[9000 + 4096 :], 9000, 9000 + 4096


def _garbage(data: bytes) -> tuple[bytes, int, int]:
    return data[:9000] + random.Random(1).randbytes(512) + data[9512:], 9000, 9512


def _removed(data: bytes) -> tuple[bytes, int, int]:
    return data[:9000] + data[9100:], 9000, 9100


def _inserted(data: bytes) -> tuple[bytes, int, int]:
    return data[:9000] + MAGIC * 50 + data[9000:], 9000, 9000


@pytest.mark.parametrize("harm", [_zeros, _garbage, _removed, _inserted])
def test_damage_in_the_middle_costs_only_the_frames_it_touches(
    tmp_path: Path, harm: Callable[[bytes], tuple[bytes, int, int]]
) -> None:
    """Zeros, garbage, bytes removed and bytes inserted; the count is exact."""
    path = small_journal(tmp_path, 500)
    whole = read_journal(path)
    data, start, end = harm(path.read_bytes())
    touched = {
        number
        for number, each in enumerate(frames_of(path))
        if each.start < max(end, start + 1) and each.end > start and (each.start != start or end > start)
    }
    contents = damaged(path, data)
    assert points_of(contents) == {point for point in points_of(whole) if point[3] not in touched}
    assert contents.damage.lost_frames == len(touched)
    assert len(contents.damage.places) == 1
    assert contents.damage.torn_tail_bytes == 0


def test_what_stands_twice_is_returned_once(tmp_path: Path) -> None:
    """64 KiB replayed in the middle, and the whole file appended to itself."""
    path = small_journal(tmp_path, 2000)
    data, frames = path.read_bytes(), frames_of(path)
    points = points_of(read_journal(path))
    first, last = frames[500].start, frames[1200].end
    assert last - first > 32 << 10
    for doubled in (data[:last] + data[first:], data + data, data[:last] + data[first + 5 :]):
        contents = damaged(path, doubled)
        assert points_of(contents) == points
        assert sum(len(series.steps) for series in contents.series.values()) == len(points)
        assert contents.damage.lost_frames == 0


def test_a_gibibyte_of_zeros_after_the_end_costs_no_time(tmp_path: Path) -> None:
    """A hole is passed over; the frames before it are all there."""
    path = small_journal(tmp_path)
    points, size = points_of(read_journal(path)), path.stat().st_size
    os.truncate(path, size + (1 << 30))
    start = time.perf_counter()
    contents = read_journal(path)
    assert time.perf_counter() - start < 2.0
    assert points_of(contents) == points
    assert contents.damage.torn_tail_bytes == 1 << 30


def test_frames_after_a_large_hole_are_found(tmp_path: Path) -> None:
    """The hole is damage, and what follows it is not given up."""
    path = small_journal(tmp_path)
    data, frames = path.read_bytes(), frames_of(path)
    points, cut = points_of(read_journal(path)), frames[10].start
    with open(path, "r+b") as file:
        file.seek(cut + (100 << 20))
        file.write(data[cut:])
        os.ftruncate(file.fileno(), cut + (100 << 20) + len(data) - cut)
        file.seek(cut)
        file.write(bytes(len(data) - cut))
    contents = read_journal(path)
    assert points_of(contents) == points
    assert contents.damage.damaged_bytes == 100 << 20


def test_garbage_after_the_end_is_a_torn_tail(tmp_path: Path) -> None:
    """Of any content, magic words included."""
    path = small_journal(tmp_path)
    tail = random.Random(2).randbytes(1 << 20) + MAGIC * 10_000
    contents = damaged(path, path.read_bytes() + tail)
    assert points_of(contents) == points_of(read_journal(path))
    assert (contents.damage.torn_tail_bytes, contents.damage.lost_frames) == (len(tail), 0)


@pytest.mark.parametrize("missing", ["damaged", "removed"])
def test_a_lost_header_costs_one_frame(tmp_path: Path, missing: str) -> None:
    """The writer id stands in the file's name as well."""
    path = small_journal(tmp_path)
    header = frames_of(path)[0]
    data = path.read_bytes()
    rest = data[header.end :]
    contents = damaged(path, rest if missing == "removed" else bytes(header.end) + rest)
    assert contents.header is None
    assert points_of(contents) == points_of(read_journal(path))
    assert contents.damage.lost_frames == 1


def test_a_key_set_survives_the_loss_of_either_of_its_frames(tmp_path: Path) -> None:
    """No value is orphaned."""
    path = small_journal(tmp_path)
    data, points = path.read_bytes(), points_of(read_journal(path))
    for hit in (each for each in frames_of(path) if each.kind == FrameType.KEYS):
        contents = damaged(path, data[: hit.start] + bytes(hit.end - hit.start) + data[hit.end :])
        assert points_of(contents) == points
        assert contents.damage.lost_frames == 1


def test_points_without_their_names_are_counted_as_lost(tmp_path: Path) -> None:
    """Both frames of a key set gone: its points are reported, the others are returned."""
    path = small_journal(tmp_path)
    data, keys = bytearray(path.read_bytes()), [each for each in frames_of(path) if each.kind == FrameType.KEYS][:2]
    for hit in keys:
        data[hit.start : hit.end] = bytes(hit.end - hit.start)
    contents = damaged(path, data)
    assert list(contents.series) == ["val/loss"]
    assert contents.damage.lost_frames == 2 + 20


def test_an_embedded_copy_of_a_frame_is_never_taken_for_one(tmp_path: Path) -> None:
    """A valid frame of another writer inside a payload, and damage just before it."""
    forged = frame(seed_of("a1-r0-zzzzzzzz"), FrameType.SCALARS, 2, SCALARS.pack(0, 666, 0.0) + struct.pack("<d", 6.66))
    payload = b"text" + forged + handmade(writer_id="a1-r0-zzzzzzzz") + b"text"
    keys = (FrameType.KEYS, encode_keys(0, ["x"]))
    point = (FrameType.SCALARS, SCALARS.pack(0, 1, 0.0) + struct.pack("<d", 1.0))
    data = bytearray(handmade(keys, keys, (FrameType.STATISTICS, payload), point))
    data[data.index(b"text") - 1] ^= 1
    contents = damaged(write(tmp_path, data), data)
    assert contents.series["x"].steps.tolist() == [1]
    assert contents.damage.lost_frames == 1


def test_a_record_that_holds_a_journal_is_only_a_record(open_journal: Callable[..., Journal]) -> None:
    """A text that contains the bytes of frames of its own journal cannot even be searched."""
    journal = open_journal()
    journal.log({"x": 1.0}, 0)
    journal.record("text", 1, None, key="k", text=journal.path.read_bytes().decode("latin-1"))
    contents = read_journal(journal.path)
    assert contents.series["x"].steps.tolist() == [0]
    assert len(contents.records) == 1


@pytest.mark.parametrize("length", [0, LENGTH_LIMIT, LENGTH_LIMIT + 1, 2**31, 2**32 - 1])
def test_an_absurd_length_is_not_believed(tmp_path: Path, length: int) -> None:
    """Even under a right check; what follows is found."""
    seed = seed_of(WRITER_ID)
    head = MAGIC + struct.pack("<BII", FrameType.RECORD, length, 1)
    head += struct.pack("<H", crc32(head, seed) & 0xFFFF) + bytes(4)
    rest = frame(seed, FrameType.RECORD, 2, encode_json({"kind": "event", "time_s": 0.0, "step": None}))
    data = handmade() + head + rest
    contents = damaged(write(tmp_path, data), data)
    assert len(contents.records) == 1
    assert contents.damage.lost_frames == 1


def _bad_heads(count: int, total: int) -> bytes:
    """Heads with a right check and a wrong sum, each of a frame that reaches to the end."""
    seed, heads = seed_of(WRITER_ID), []
    for index in range(count):
        summed = MAGIC + struct.pack("<BII", FrameType.RECORD, total - 17 * (index + 1), index)
        heads.append(summed + struct.pack("<HI", crc32(summed, seed) & 0xFFFF, 0))
    return b"".join(heads)


def test_a_file_of_nothing_but_well_made_heads_is_read_in_linear_time(tmp_path: Path) -> None:
    """300,000 doubtful frames, one inside the other, take seconds and not hours."""
    path = write(tmp_path, handmade() + _bad_heads(300_000, 300_000 * 17))
    start = time.perf_counter()
    contents = read_journal(path)
    assert time.perf_counter() - start < 10.0
    assert contents.header is not None


def test_valid_frames_between_doubtful_ones_do_not_make_it_slow(tmp_path: Path) -> None:
    """Each valid frame is followed by a head that claims the rest of the file."""
    seed, count = seed_of(WRITER_ID), 100_000
    total, parts = 34 * count, []
    for index in range(count):
        parts.append(frame(seed, FrameType.STATISTICS, 2 * index + 1, b""))
        summed = MAGIC + struct.pack("<BII", FrameType.RECORD, total - 34 * (index + 1), 2 * index + 2)
        parts.append(summed + struct.pack("<HI", crc32(summed, seed) & 0xFFFF, 0))
    path = write(tmp_path, handmade() + b"".join(parts))
    start = time.perf_counter()
    contents = read_journal(path)
    assert time.perf_counter() - start < 10.0
    assert len(contents.statistics) > 0


def test_magic_words_alone_are_read_in_linear_time(tmp_path: Path) -> None:
    """Two mebibytes of them."""
    path = write(tmp_path, handmade() + MAGIC * (1 << 20))
    start = time.perf_counter()
    assert read_journal(path).damage.torn_tail_bytes == 2 << 20
    assert time.perf_counter() - start < 10.0


_kinds = st.sampled_from(["flip", "cut", "remove", "insert", "repeat"])
_harms = st.lists(st.tuples(_kinds, st.floats(0, 1), st.binary(min_size=1, max_size=40)), min_size=1, max_size=5)


@settings(max_examples=400, deadline=None)
@given(harms=_harms)
def test_no_damage_gives_a_wrong_value(
    harms: list[tuple[str, float, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is done to the bytes: what is returned was written, and nothing else is raised."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = small_journal(folder)
    whole = read_journal(path)
    data = path.read_bytes()
    for harm, where, filling in harms:
        at = int(where * len(data))
        end = at + len(filling) * 7
        data = {
            "flip": data[:at] + filling + data[at + len(filling) :],
            "cut": data[:at],
            "remove": data[:at] + data[end:],
            "insert": data[:at] + filling + data[at:],
            "repeat": data[:end] + data[at:],
        }[harm]
    try:
        contents = damaged(path, data)
    except JournalError:
        return
    assert points_of(contents) <= points_of(whole)
    assert _records_of(contents) <= _records_of(whole)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), begin=st.booleans())
def test_arbitrary_bytes_are_no_journal_or_an_empty_one(
    data: bytes, begin: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Never another error, and never a value."""
    path = write(tmp_path_factory.mktemp("fuzz"), (handmade() if begin else b"") + data)
    try:
        assert read_journal(path).series == {}
    except JournalError:
        assert not begin
