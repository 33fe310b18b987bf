"""Sealing changes where points lie and nothing else, whatever happens on the way."""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from barograph.errors import StoreError
from barograph.reading import RunView
from barograph.store import sealing
from barograph.store.files import LocalFiles
from barograph.store.layout import RunFolder
from barograph.store.lease import hold_lease
from barograph.store.sealing import check_segment, seal

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py

_NAN_WITH_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]
_KEYS = ["train/loss", "a//b", "\ud800 lone", "nul\0inside", "", "run", "'quoted'", "\N{SNOWMAN}", "x" * 10_000]


def _points(view: RunView) -> dict[str, list[bytes]]:
    """Every point of a run as bytes, times to the microsecond, which is what a segment keeps."""
    found = {}
    for key in view.metrics():
        metric = view.metric(key, rank=None, attempt="all")
        found[key] = [column.tobytes() for column in (metric.steps, metric.values, np.rint(metric.times * 1e6))]
    return found


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def full_run(begin: Begin) -> RunFolder:
    """A finished run with every kind of double, strange keys, steps out of order, records and packed statistics."""
    run = begin()
    doubles = [0.1, math.inf, -math.inf, -0.0, 5e-324, _NAN_WITH_PAYLOAD, math.nan]
    for number, value in enumerate(doubles):
        run.log(dict.fromkeys(_KEYS, value), -number)
    run.log({"train/loss": 1.0}, 2**62)
    run.log({"train/loss": 2.0}, -3)
    run.record("config", config={"lr": 0.1})
    run.record("event", 3, name="fit_start", data={"value": math.nan, "text": "\ud800"})
    run.record("text", 2**70, key="note", text="hello")
    run.journal.statistics(b"\0packed\xff")
    folder: RunFolder = run.end(duration_s=2.5)
    return folder


def test_a_sealed_run_reads_as_before(full_run: RunFolder) -> None:
    """Points to the bit, records, configuration, status: nothing tells that it was sealed but its folder."""
    view = RunView(full_run.path)
    before = (_points(view), view.config, repr(view.summary), repr(view.events()[0].data), view.texts()[0].text)
    result = seal(full_run)
    assert (result.points, result.problem) == (len(_KEYS) * 7 + 2, None)
    view = RunView(full_run.path)
    assert (_points(view), view.config, repr(view.summary), repr(view.events()[0].data), view.texts()[0].text) == before
    assert (view.status, view.duration_s) == ("finished", 2.5)
    assert _names(full_run.journals) == []
    assert len(_names(full_run.segments)) == 3


def test_any_tool_reads_a_segment(full_run: RunFolder) -> None:
    """Plain columns, sorted, in the encodings that make them small; who wrote them stands in the metadata."""
    seal(full_run)
    (path,) = full_run.segments.glob("*.points.parquet")
    columns = duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{path}')").fetchall()
    assert columns == [
        ("key", "VARCHAR"),
        ("step", "BIGINT"),
        ("time_us", "BIGINT"),
        ("value", "DOUBLE"),
        ("writer", "VARCHAR"),
        ("attempt", "INTEGER"),
        ("rank", "INTEGER"),
    ]
    rows = duckdb.sql(f"SELECT key, step FROM '{path}'").fetchall()
    assert rows == sorted(rows)
    encodings = duckdb.sql(f"SELECT path_in_schema, encodings, compression FROM parquet_metadata('{path}')").fetchall()
    assert ("step", "DELTA_BINARY_PACKED", "ZSTD") in encodings
    assert ("value", "BYTE_STREAM_SPLIT", "ZSTD") in encodings
    ((about,),) = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{path}')").fetchall()
    assert json.loads(about)["header"]["run_id"] == full_run.path.name


def test_packed_statistics_of_another_version_are_kept(full_run: RunFolder) -> None:
    """As the bytes they were, for a version that can take them apart."""
    seal(full_run)
    (path,) = full_run.segments.glob("*.records.parquet")
    assert duckdb.sql(f"SELECT data FROM '{path}' WHERE kind = 'statistics'").fetchall() == [(b"\0packed\xff",)]


def test_sealing_again_changes_nothing(full_run: RunFolder) -> None:
    """There is nothing left to do."""
    seal(full_run)
    before = {path.name: path.read_bytes() for path in full_run.segments.iterdir()}
    result = seal(full_run.path)
    assert (result.sealed, result.problem) == ([], None)
    assert {path.name: path.read_bytes() for path in full_run.segments.iterdir()} == before


def test_an_empty_writer_is_sealed(begin: Begin) -> None:
    """It logged nothing at all."""
    folder = begin().end()
    assert seal(folder).points == 0
    view = RunView(folder.path)
    assert (view.status, view.metrics(), view.problems) == ("finished", [], [])


def test_a_live_run_is_skipped_and_said(begin: Begin) -> None:
    """Its process is there, so its journal stays and nothing is made."""
    run = begin()
    run.log({"x": 1.0}, 0)
    result = seal(run.folder)
    assert result.sealed == []
    assert "still being written" in str(result.problem)
    assert len(_names(run.folder.journals)) == 1


def test_a_writer_on_another_host_is_left_alone(begin: Begin) -> None:
    """It may be asleep; its journal must not go from under it."""
    run = begin(identity={"host": "elsewhere"})
    run.log({"x": 1.0}, 0)
    assert "may still be alive" in str(seal(run.folder).problem)


def test_a_dead_writer_is_sealed(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """And its run is still one that was killed."""
    run = begin(identity=dead_identity)
    run.log({"x": 1.0}, 0)
    assert seal(run.folder).problem is None
    view = RunView(run.folder.path)
    assert (view.status, view.metric("x").values.tolist()) == ("killed", [1.0])


def test_the_dead_attempt_of_a_live_run_is_sealed(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """The living one's journal is read beside the segment."""
    dead = begin(identity=dead_identity)
    dead.log({"x": 1.0}, 0)
    alive = begin(into=dead.folder, attempt=2)
    alive.log({"x": 2.0}, 1)
    assert len(seal(dead.folder).sealed) == 1
    view = RunView(dead.folder.path)
    assert (view.status, view.metric("x").values.tolist()) == ("running", [1.0, 2.0])


def test_a_damaged_journal_is_sealed_and_kept(begin: Begin) -> None:
    """Survivors count once, the damage stands in the file's metadata and in the view, and the journal stays."""
    run = begin()
    for step in range(100):
        run.log({"x": float(step)}, step)
    folder = run.end()
    (journal,) = folder.journals.iterdir()
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(data)
    before = RunView(folder.path)
    points, lost = _points(before), before.damage.lost_frames
    assert lost == 1
    for _ in range(2):
        assert "damaged" in str(seal(folder).problem)
    after = RunView(folder.path)
    assert (_points(after), after.damage.lost_frames) == (points, 1)
    assert journal.read_bytes() == data
    (path,) = folder.segments.glob("*.points.parquet")
    ((about,),) = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{path}')").fetchall()
    assert json.loads(about)["damage"]["lost_frames"] == 1


def test_a_journal_that_grows_after_it_was_sealed_is_the_truth(begin: Begin, dead_identity: dict[str, Any]) -> None:
    """Whoever was taken for dead and comes back loses nothing, and the next sealing takes it all."""
    run = begin(identity=dead_identity)
    run.log({"x": 1.0}, 0)
    (journal,) = run.folder.journals.iterdir()
    early = journal.read_bytes()
    seal(run.folder)
    run.log({"x": 2.0}, 1)
    journal.write_bytes(early)
    run2 = RunView(run.folder.path)
    assert run2.metric("x").values.tolist() == [1.0]
    other = begin(into=run.folder, identity=dead_identity)
    other.log({"x": 3.0}, 2)
    (grown,) = [path for path in run.folder.journals.iterdir() if path != journal]
    seal(run.folder)
    assert not grown.exists()
    assert RunView(run.folder.path).metric("x").values.tolist() == [1.0, 3.0]


def test_what_is_read_back_wrong_is_never_believed(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that keeps something else: the journal stays, and no trace of the attempt."""
    run = begin()
    for step, value in enumerate(np.random.default_rng(0).random(1000).tolist()):
        run.log({"x": value}, step)
    folder = run.end()
    keep = sealing._bring_to_disk

    def spoil(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        keep(path)

    monkeypatch.setattr(sealing, "_bring_to_disk", spoil)
    before = _points(RunView(folder.path))
    with pytest.raises(StoreError, match="journal is kept"):
        seal(folder)
    assert _names(folder.segments) == []
    assert _points(RunView(folder.path)) == before


def test_a_full_disk_leaves_the_journal_and_no_trace(full_run: RunFolder) -> None:
    """Files of this process may not grow beyond 1 KiB; DuckDB gets the same refusal as from a full disk."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        from barograph.errors import StoreError
        from barograph.store.sealing import seal
        import duckdb
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        try:
            seal(Path(sys.argv[1]))
        except StoreError as error:
            print(error)
    """
    before = _points(RunView(full_run.path))
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(full_run.path)], capture_output=True, text=True, check=True
    )
    assert "could not be sealed" in answer.stdout
    assert _names(full_run.segments) == []
    assert _points(RunView(full_run.path)) == before
    assert seal(full_run).problem is None


def test_two_at_once_do_not_meet(full_run: RunFolder) -> None:
    """The second one is told, and nothing is changed."""
    with hold_lease(LocalFiles(full_run.path)) as is_ours:
        assert is_ours
        with pytest.raises(StoreError, match="being sealed by another"):
            seal(full_run)
    assert _names(full_run.segments) == []


def test_a_note_that_cannot_be_read_leaves_the_journal_in_charge(full_run: RunFolder) -> None:
    """And the next sealing makes a new one."""
    before = _points(RunView(full_run.path))
    (journal,) = full_run.journals.iterdir()
    data = journal.read_bytes()
    seal(full_run)
    journal.write_bytes(data)
    (note,) = full_run.segments.glob("*.json")
    note.write_text("{}")
    assert _points(RunView(full_run.path)) == before
    assert len(seal(full_run).sealed) == 1
    assert _points(RunView(full_run.path)) == before
    assert _names(full_run.journals) == []


def test_a_segment_that_is_not_all_there_is_a_problem_until_it_is(full_run: RunFolder, tmp_path: Path) -> None:
    """Half-way through a copy the summary is there, the points are not, and the run says so."""
    before = _points(RunView(full_run.path))
    seal(full_run)
    (path,) = full_run.segments.glob("*.points.parquet")
    path.rename(tmp_path / "later")
    view = RunView(full_run.path)
    assert "missing or not yet complete" in view.problems[0]
    assert len(view.metric("train/loss")) == 0
    assert view.statistics("train/loss").count == 9
    (tmp_path / "later").rename(path)
    assert view.problems == []
    assert _points(view) == before


def test_a_changed_segment_is_found_by_its_sum(full_run: RunFolder) -> None:
    """One bit is enough; what is sound tells how much it holds."""
    seal(full_run)
    (path,) = full_run.segments.glob("*.points.parquet")
    assert check_segment(path) == len(_KEYS) * 7 + 2
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="has changed"):
        check_segment(path)


def test_others_may_not_read_a_segment(full_run: RunFolder) -> None:
    """DuckDB makes files as the umask says; a store's are closed to others."""
    before = os.umask(0)
    try:
        seal(full_run)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) & 0o007 for path in full_run.segments.iterdir()} == {0}


def test_points_are_small_and_close_together(begin: Begin) -> None:
    """Random doubles cost little more than their 8 bytes, and a series lies in two row groups at most."""
    run = begin()
    random = np.random.default_rng(0)
    for step, values in enumerate(random.random((30_000, 4)).tolist()):
        run.log(dict(zip("abcd", values, strict=True)), step)
    folder = run.end()
    result = seal(folder)
    assert result.segment_bytes < 10 * result.points
    (path,) = folder.segments.glob("*.points.parquet")
    groups = duckdb.sql(
        f"SELECT row_group_id, stats_min, stats_max FROM parquet_metadata('{path}') WHERE path_in_schema = 'key'"
    ).fetchall()
    assert all(sum(low <= key <= high for _, low, high in groups) <= 2 for key in "abcd")


_KILLED_AT_EVERY_CALL = """
    import os, random, shutil, signal, sys, time
    from pathlib import Path
    import duckdb
    from barograph.store.sealing import seal

    source, target, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    CALLS = ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.chmod")

    def in_a_child(folder, at):
        child = os.fork()
        if child == 0:
            calls = 0
            def count(event, _):
                nonlocal calls
                if event in CALLS:
                    calls += 1
                    if calls == at:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(count)
            try:
                seal(folder)
                os._exit(0)
            finally:
                os._exit(1)
        return child

    for number in range(1, 200):
        folder = target / f"run-{number}"
        shutil.copytree(source, folder)
        child = in_a_child(folder, number if mode == "calls" else 0)
        if mode == "times":
            time.sleep(random.Random(number).random() * 0.25)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), "sealing failed"
        if (mode == "calls" and status == 0) or (mode == "times" and number == 12):
            break
"""


@pytest.mark.parametrize("mode", ["calls", "times"])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(begin: Begin, tmp_path: Path, mode: str) -> None:
    """Killed at each call that touches the disk, and at times of no choice: journal or segment is whole."""
    run = begin()
    for step in range(20 if mode == "calls" else 20_000):
        run.log({"a": step + 0.5, "b": math.nan}, step)
    run.record("event", name="here", data={})
    folder = run.end()
    expected = _points(RunView(folder.path))
    target = tmp_path / "copies"
    target.mkdir()
    script = textwrap.dedent(_KILLED_AT_EVERY_CALL)
    subprocess.run([sys.executable, "-c", script, str(folder.path), str(target), mode], check=True)
    copies = sorted(target.iterdir())
    assert len(copies) >= 12
    for copy in copies:
        view = RunView(copy)
        assert _points(view) == expected
        assert len(view.events()) == 1
        seal(copy)
        again = RunView(copy)
        assert _points(again) == expected
        assert len(again.events()) == 1
        assert (len(_names(copy / "segments")), _names(copy / "journals")) == (3, [])
        assert list((copy / "leases").glob("*.json")) == []
