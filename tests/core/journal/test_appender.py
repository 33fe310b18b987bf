"""The appender in C and the one in Python are twins."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph.journal import appender, writer
from barograph.journal.format import FrameType, encode_json, seed_of

Appender = Any  # either of the twins

pytestmark = pytest.mark.skipif(writer._append is None, reason="the extension barograph.journal._append was not built")

_names = st.text(st.characters(exclude_categories=[]), max_size=8) | st.sampled_from(["train/loss", "val/loss", "lr"])
_doubles = st.floats(allow_nan=True, allow_infinity=True)
_steps = st.none() | st.integers(-(2**63), 2**63 - 1)
_times = st.floats(0, 1e10)
_odd = st.none() | st.text(max_size=2) | st.integers(2**53, 2**70) | st.binary(max_size=2)
_log = st.tuples(
    st.just("log"),
    st.dictionaries(_names, _doubles | st.booleans() | st.integers(-(2**53), 2**53) | _odd, max_size=6),
    _steps | st.integers(2**63, 2**65) | st.floats(),
    _times,
)
_pairs = st.lists(st.tuples(_names, _doubles), max_size=6, unique_by=lambda pair: pair[0])
_scalars = st.tuples(st.just("scalars"), _pairs, _steps, _times, st.booleans())
_kinds = st.sampled_from([FrameType.RECORD, FrameType.STATISTICS, FrameType.BEAT])
_put = st.tuples(st.just("put"), _kinds, st.binary(max_size=99))
_calls = st.lists(_log | _scalars | _put, max_size=30)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC)


def _begin(kind: Any, path: Path, limit: int = 1 << 20) -> tuple[Appender, int]:
    made, fd = kind.Appender(limit), _open(path)
    assert made.begin(fd, seed_of("a1-r0-abcdefgh"), encode_json({"writer_id": "a1-r0-abcdefgh"}))
    assert made.flush(1)
    return made, fd


def _call(one: Appender, call: tuple[Any, ...]) -> object:
    if call[0] == "log":
        return one.log(*call[1:])
    if call[0] == "scalars":
        names, values = tuple(name for name, _ in call[1]), [value for _, value in call[1]]
        return one.scalars(names, call[2], values, *call[3:])
    return one.put(*call[1:])


def _state(one: Appender) -> list[object]:
    numbers = (
        "is_blocked size file_records file_points calls points last_step lost_records lost_points lost_bytes"
    ).split()
    return [getattr(one, name) for name in numbers] + [repr(one.summary())]


@settings(max_examples=300, deadline=None)
@given(calls=_calls)
def test_c_and_python_write_the_same_bytes(calls: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is logged: the same answers, the same file, the same numbers about it."""
    folder = tmp_path_factory.mktemp("twins")
    (c, c_fd), (python, python_fd) = _begin(writer._append, folder / "c"), _begin(appender, folder / "python")
    try:
        for call in calls:
            assert _call(c, call) == _call(python, call), call
        assert _state(c) == _state(python)
        assert (folder / "c").read_bytes() == (folder / "python").read_bytes()
    finally:
        os.close(c_fd)
        os.close(python_fd)


@settings(max_examples=100, deadline=None)
@given(before=_calls, during=_calls, after=_calls, move=st.booleans(), limit=st.integers(0, 2000))
def test_c_and_python_wait_for_the_disk_alike(
    before: list[Any],
    during: list[Any],
    after: list[Any],
    move: bool,
    limit: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Refused, dropped beyond the limit, written to the same file or to a new one: the same bytes and counts."""
    folder = tmp_path_factory.mktemp("twins")
    results = []
    for kind, name in ((writer._append, "c"), (appender, "python")):
        one, fd = _begin(kind, folder / name, limit)
        for call in before:
            _call(one, call)
        read_only = os.open(folder / name, os.O_RDONLY)
        kept = os.dup(fd)
        os.dup2(read_only, fd)  # from here on every write fails with EBADF
        for call in during:
            _call(one, call)
        assert one.error in (0, errno.EBADF)
        os.dup2(kept, fd)
        if move:
            os.close(fd)
            fd = _open(folder / f"{name}-2")
            one.begin(fd, 1, b"{}")
        while not one.flush(3):
            assert one.error == 0
        for call in after:
            _call(one, call)
        results.append((_state(one), [path.read_bytes() for path in sorted(folder.glob(f"{name}*"))]))
        for each in (fd, kept, read_only):
            os.close(each)
    assert results[0] == results[1]


def test_both_summarise_long_series_alike(tmp_path: Path) -> None:
    """Also where the Python side folds its rows in portions, and past the number of curves kept."""
    results = []
    for kind in (writer._append, appender):
        one, fd = _begin(kind, tmp_path / "journal")
        for step in range(3000):
            one.log({"a": float(step * 7919 % 1000), "b": float(-step)}, step)
            if step % 700 == 0:
                one.log({"b": 0.5} | {f"k{index}": float(step) for index in range(300)}, step)
        results.append(repr(one.summary()))
        os.close(fd)
    assert results[0] == results[1]


def test_both_say_when_arguments_are_wrong() -> None:
    """A mistake in our own code is an exception, the same on both sides."""
    wrong: list[Callable[[Appender], object]] = [
        lambda one: one.log(),
        lambda one: one.log({}, 0, 0.0, 0),
        lambda one: one.log({}, nonsense=1),
        lambda one: one.log({}, metrics={}),
        lambda one: one.scalars(("a",), 0, [None]),
        lambda one: one.scalars(("a",), 0, [1.0, 2.0]),
        lambda one: one.put(FrameType.SCALARS, b""),
        lambda one: one.put(FrameType.RECORD, bytes((16 << 20) + 1)),
    ]
    for call in wrong:
        kinds = []
        for kind in (writer._append, appender):
            with pytest.raises((TypeError, ValueError)) as caught:
                call(kind.Appender(0))
            kinds.append(caught.type)
        assert kinds[0] is kinds[1]
