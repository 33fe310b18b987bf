"""What a journal takes, and what stands in the file afterwards."""

import math
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barograph.journal.format import LENGTH_LIMIT
from barograph.journal.reader import Contents, read_journal
from barograph.journal.writer import Journal

Open = Callable[..., Journal]
EXTREMES = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1]


def values_of(contents: Contents, name: str) -> list[float]:
    """One metric's values."""
    return contents.series[name].values.tolist()


def test_every_double_is_kept_to_the_bit(open_journal: Open) -> None:
    """NaN, infinities, negative zero, subnormals and the largest double come back bit-exact."""
    journal = open_journal()
    for value in EXTREMES:
        assert journal.log({"x": value}, None)
    stored = read_journal(journal.path).series["x"].values
    assert stored.tobytes() == struct.pack("<7d", *EXTREMES)


def test_integers_and_booleans_are_numbers(open_journal: Open) -> None:
    """Exact within 2**53."""
    journal = open_journal()
    assert journal.log({"a": 2**53, "b": -(2**53), "c": True, "d": False, "e": 0.5}, 1)
    contents = read_journal(journal.path)
    assert [values_of(contents, name)[0] for name in "abcde"] == [2**53, -(2**53), 1, 0, 0.5]


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("metrics", "step"),
    [
        ({"x": 2**53 + 1}, 0), ({"x": -(10**400)}, 0), ({"x": None}, 0), ({"x": "1"}, 0), ({"x": np.float64(1)}, 0),
        ({"x": 1.0, "y": object()}, 0), ({1: 1.0}, 0), ({_Text("x"): 1.0}, 0), ([("x", 1.0)], 0), (None, 0),
        ({"x": 1.0}, 2**63), ({"x": 1.0}, -(2**63) - 1), ({"x": 1.0}, 1.0), ({"x": 1.0}, "1"), ({"x": 1.0}, True),
    ],
)  # fmt: skip
def test_anything_odd_is_left_to_the_caller(open_journal: Open, metrics: Any, step: Any) -> None:
    """log() returns False, writes nothing and counts nothing."""
    journal = open_journal()
    journal.log({"x": 1.0}, 0)
    size = journal.path.stat().st_size
    assert journal.log(metrics, step) is False
    assert journal.path.stat().st_size == size
    assert journal.calls == 1


def test_a_step_that_is_not_given_counts_the_calls(open_journal: Open) -> None:
    """log() and counting scalars() each count as one, with or without a step; a journal may go on from a number."""
    journal = open_journal(calls=10)
    journal.log({"x": 0.0}, None)
    journal.log({"x": 0.0}, 500)
    assert journal.scalars(("x",), None, [0.0]) == 12
    assert journal.scalars(("x",), 7, [0.0], None, False) == 7
    journal.log({"x": 0.0}, None)
    assert read_journal(journal.path).series["x"].steps.tolist() == [10, 500, 12, 7, 13]
    assert (journal.calls, journal.last_step, journal.points) == (14, 13, 5)


def test_steps_of_64_bits_in_any_order_are_kept(open_journal: Open) -> None:
    """Repeated, falling and negative steps are all written."""
    journal = open_journal()
    steps = [5, 5, -3, 2**63 - 1, -(2**63), 0]
    for step in steps:
        assert journal.log({"x": 1.0}, step)
    assert read_journal(journal.path).series["x"].steps.tolist() == steps


def test_an_empty_dict_is_a_call_without_points(open_journal: Open) -> None:
    """Nothing is written for it."""
    journal = open_journal()
    assert journal.log({}, None)
    assert journal.scalars((), None, []) == 1
    assert (journal.calls, journal.points, read_journal(journal.path).series) == (2, 0, {})


def test_scalars_take_any_sequence_of_numbers(open_journal: Open) -> None:
    """Arrays and tuples are written as doubles, at the time given."""
    journal = open_journal()
    journal.scalars(("a", "b"), 3, np.array([1.5, 2.5]), 1234.5)
    contents = read_journal(journal.path)
    assert (values_of(contents, "a"), values_of(contents, "b")) == ([1.5], [2.5])
    assert contents.series["a"].times.tolist() == [1234.5]


@pytest.mark.parametrize(
    ("names", "step", "values"),
    [
        (("a",), 0, []),
        (("a",), 2**63, [1.0]),
        (("x" * LENGTH_LIMIT,), 0, [1.0]),
        (tuple(map(str, range(2**16 + 1))), 0, [0.0] * (2**16 + 1)),
    ],
)
def test_scalars_that_fit_no_frame_are_refused(open_journal: Open, names: Any, step: int, values: Any) -> None:
    """The caller is told by a ValueError, and the journal goes on."""
    journal = open_journal()
    with pytest.raises(ValueError):
        journal.scalars(names, step, values)
    assert journal.log({"x": 1.0}, 0)
    assert list(read_journal(journal.path).series) == ["x"]


def test_a_dict_too_large_for_a_frame_is_left_to_the_caller(open_journal: Open) -> None:
    """Names over 16 MiB together, or over 65,536 of them."""
    journal = open_journal()
    assert journal.log({"x" * LENGTH_LIMIT: 1.0}, 0) is False
    assert journal.log(dict.fromkeys(map(str, range(2**16 + 1)), 0.0), 0) is False
    assert journal.log(dict.fromkeys(map(str, range(10_000)), 0.0), 0) is True


def test_records_keep_their_content(open_journal: Open) -> None:
    """Kind, step, time and body come back; the body's own words do not overwrite them."""
    journal = open_journal()
    journal.record("event", 4, 99.5, name="fit_start", data={"kind": "x", "nan": math.inf}, kind="mine")
    (record,) = read_journal(journal.path).records
    assert (record.kind, record.step, record.time_s) == ("event", 4, 99.5)
    assert record.body == {"name": "fit_start", "data": {"kind": "x", "nan": math.inf}}


def test_a_record_over_16_mib_is_refused_and_one_below_is_not(open_journal: Open) -> None:
    """The refusal is a ValueError; nothing of the record reaches the file."""
    journal = open_journal()
    with pytest.raises(ValueError, match="16,777,216"):
        journal.record("text", 0, None, text="x" * LENGTH_LIMIT)
    journal.record("text", 0, None, text="x" * (LENGTH_LIMIT - 1000))
    (record,) = read_journal(journal.path).records
    assert len(record.body["text"]) == LENGTH_LIMIT - 1000


def test_statistics_are_kept_as_they_are(open_journal: Open) -> None:
    """Bytes in, bytes out."""
    journal = open_journal()
    journal.statistics(bytes(range(256)))
    ((_, payload),) = read_journal(journal.path).statistics
    assert payload == bytes(range(256))


def test_the_header_says_who_writes(open_journal: Open) -> None:
    """What was not given is there as null."""
    journal = open_journal(rank=2, world=4, attempt=3, role="child", identity={"host": "here", "pid": 7})
    header = read_journal(journal.path).header
    assert header is not None
    assert journal.path.name == f"{header['writer_id']}.journal"
    assert header["writer_id"].startswith("a3-r2-")
    said = {
        "format": 1,
        "run_id": "run",
        "rank": 2,
        "world": 4,
        "attempt": 3,
        "role": "child",
        "host": "here",
        "pid": 7,
    }
    assert said.items() <= header.items()
    assert header["boot_id"] is None


def test_a_name_given_twice_in_one_call_has_two_points(open_journal: Open) -> None:
    """Cleaning up names may make two of them equal; neither value is dropped."""
    journal = open_journal()
    journal.scalars(("a", "a"), 0, [1.0, 2.0])
    assert values_of(read_journal(journal.path), "a") == [1.0, 2.0]
    assert journal.summary()["a"].count == 2


def test_the_summary_knows_each_metric(open_journal: Open) -> None:
    """Last, least, greatest with their steps, and the count; NaN is never the least or greatest."""
    journal = open_journal()
    for step, value in enumerate([3.0, math.nan, -1.0, 7.0, 7.0, 2.0]):
        journal.log({"x": value, "nan": math.nan}, step)
    x, nan = journal.summary()["x"], journal.summary()["nan"]
    assert x.as_record() == {
        "last": 2.0, "last_step": 5, "min": -1.0, "min_step": 2, "max": 7.0, "max_step": 3, "count": 6,
    }  # fmt: skip
    assert (nan.min, nan.min_step, nan.max, nan.max_step, nan.count) == (None, None, None, None, 6)
    assert journal.summary_keys() == ("x", "nan")


def test_the_small_curve_keeps_evenly_spaced_points(open_journal: Open) -> None:
    """At most 48, each a power of two apart, from the first on."""
    journal = open_journal()
    for step in range(1000):
        journal.log({"x": float(step)}, step)
    assert journal.summary()["x"].spark == [float(step) for step in range(0, 1000, 32)]


def test_the_cost_of_every_call_is_counted(open_journal: Open) -> None:
    """Each kind of call adds to cost_s."""
    journal = open_journal()
    costs = [journal.cost_s]
    for call in (
        lambda: journal.log({"x": 1.0}, 0),
        lambda: journal.scalars(("x",), 0, [1.0]),
        lambda: journal.record("event", 0),
        lambda: journal.statistics(b"x"),
    ):
        call()
        costs.append(journal.cost_s)
    assert costs == sorted(set(costs))
    assert costs[-1] < 1.0


def test_after_close_nothing_is_taken_or_counted(open_journal: Open) -> None:
    """Closing again does nothing."""
    journal = open_journal()
    journal.log({"x": 1.0}, 0)
    journal.close()
    size, summary = journal.path.stat().st_size, journal.summary()
    assert journal.log({"x": 1.0}, 0) is False
    assert journal.scalars(("x",), 5, [1.0]) == 5
    journal.record("event")
    journal.statistics(b"x")
    journal.sync()
    journal.close()
    assert journal.path.stat().st_size == size
    assert (journal.calls, journal.points, journal.last_step, journal.summary()) == (1, 1, 0, summary)
    assert journal.health == "ok"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o022, 0o640, 0o750), (0o002, 0o660, 0o770), (0o077, 0o600, 0o700)]
)
def test_modes_follow_the_umask_without_the_bits_for_others(
    open_journal: Open, tmp_path: Path, umask: int, file_mode: int, folder_mode: int
) -> None:
    """File and folders, whatever the umask."""
    before = os.umask(umask)
    try:
        journal = open_journal(folder=tmp_path / "new" / "journals")
    finally:
        os.umask(before)
    assert stat.S_IMODE(journal.path.stat().st_mode) == file_mode
    assert stat.S_IMODE(journal.folder.stat().st_mode) == folder_mode
    assert stat.S_IMODE(journal.folder.parent.stat().st_mode) == folder_mode


def test_key_sets_stand_twice_and_again_before_a_use_long_after(open_journal: Open) -> None:
    """Two frames at first use, one more for every thousand frames."""
    journal = open_journal()
    for step in range(2500):
        journal.log({"loss": 1.0}, step)
    assert journal.path.read_bytes().count(b"loss") == 4


def test_many_key_sets_stay_within_bounds(open_journal: Open) -> None:
    """Every value is kept, the table of key sets starts anew when it is full, the summary stops at 10,000 metrics."""
    journal = open_journal()
    for index in range(70_000):
        journal.log({f"k{index}": 1.0}, index)
    journal.log({"k0": 2.0, "k1": 2.0}, 0)
    contents = read_journal(journal.path)
    assert len(contents.series) == 70_000
    assert values_of(contents, "k0") == [1.0, 2.0]
    assert len(journal.summary()) == 10_000
    assert journal.points == 70_002
