"""Artifacts are put together from whatever the records say, and found by name, version and digest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.errors import StoreError
from barograph.reading import RunView, Store, open_store
from barograph.store.objects import digest_of
from barograph.store.sealing import seal

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py
_DIGESTS = [digest_of(bytes([number])) for number in range(3)]


def _record(recorder: Any, name: str = "a", digest: str | None = _DIGESTS[0], **more: object) -> None:
    body = {"id": f"{name}{digest}{more}", "name": name, "type": "model", "role": "output", "digest": digest, **more}
    recorder.record("artifact", 1, 100.0, **body)


def test_a_sealed_run_tells_the_same(begin: Begin) -> None:
    """As a live one did."""
    run = begin()
    _record(run, "a", metadata={"x": [1, None]}, size_bytes=3, stored=True)
    _record(run, "b", None, path="/data", modified_ns=5)
    run.end()
    before = RunView(run.folder.path).artifacts()
    seal(run.folder)
    assert RunView(run.folder.path).artifacts() == before
    assert [one.name for one in before] == ["a", "b"]


def test_a_later_record_completes_the_first(begin: Begin) -> None:
    """The step and time stay those of the call."""
    run = begin()
    run.record("artifact", 5, 100.0, id="1", name="a", digest=None)
    run.record("artifact", 5, 200.0, id="1", name="a", digest=_DIGESTS[1], size_bytes=7)
    (found,) = RunView(run.end().path).artifacts()
    assert (found.digest, found.size_bytes, found.time_s, found.step) == (_DIGESTS[1], 7, 100.0, 5)


def test_what_is_not_known_yet_is_no_problem_while_the_run_lives(begin: Begin) -> None:
    """After its end it is one."""
    run = begin()
    _record(run, digest=None)
    assert RunView(run.folder.path).artifacts()[0].problem is None
    run.end()
    assert "not read" in str(RunView(run.folder.path).artifacts()[0].problem)


def test_kinds_and_roles_are_told_apart(begin: Begin) -> None:
    """Each by its own argument."""
    run = begin()
    for name, kind, role in (("a", "model", "output"), ("b", "data", "input"), ("c", "data", "output")):
        run.record("artifact", id=name, name=name, type=kind, role=role)
    view = RunView(run.end().path)
    assert [one.name for one in view.artifacts("data")] == ["b", "c"]
    assert [one.name for one in view.artifacts(role="input")] == ["b"]
    assert [one.name for one in view.artifacts("data", "output")] == ["c"]


def test_names_versions_and_digests_lead_to_one(begin: Begin) -> None:
    """A name that looks like a version is found as the name it is."""
    run = begin()
    for time_s, digest in enumerate(_DIGESTS):
        run.record("artifact", 0, float(time_s), id=str(time_s), name="a", digest=digest)
    run.record("artifact", 0, 9.0, id="9", name="a:1", digest=digest_of(b"x"))
    view = RunView(run.end().path)
    assert view.artifact("a").digest == _DIGESTS[2]
    assert view.artifact("a:2").digest == _DIGESTS[1]
    assert view.artifact("a:1").digest == digest_of(b"x")
    assert view.artifact(_DIGESTS[0]).version == 1
    assert view.artifact(_DIGESTS[0][7:15]).version == 1
    for wanted in ("b", "a:4", "a:0", "", "sha256:", "0" * 64):
        with pytest.raises(StoreError, match="no artifact"):
            view.artifact(wanted)


def test_what_a_run_made_goes_before_what_one_used(begin: Begin) -> None:
    """However late it was used."""
    run = begin()
    run.record("artifact", 0, 1.0, id="1", name="a", role="output", digest=_DIGESTS[0])
    run.record("artifact", 0, 2.0, id="2", name="a", role="input", digest=_DIGESTS[1])
    assert RunView(run.end().path).artifact("a").digest == _DIGESTS[0]


def test_a_store_finds_the_newest_over_all_runs(store: Path, begin: Begin) -> None:
    """A run that cannot be read hides none of the others."""
    for number, digest in enumerate(_DIGESTS):
        run = begin(name=f"run{number}")
        run.record("artifact", 0, float(number), id="1", name="a", digest=digest)
        run.end()
    broken = begin(name="broken")
    broken.record("artifact", 0, 9.0, id="1", name="b")
    broken.end()
    seal(broken.folder)
    next(broken.folder.segments.glob("*.records.parquet")).write_bytes(b"PAR1")
    with Store(store) as opened:
        assert opened.artifact("a").digest == _DIGESTS[2]
        assert [one.digest for one in opened.artifacts()] == _DIGESTS
        with pytest.raises(StoreError, match="There are: a"):
            opened.artifact("aa")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None, "type": 5, "role": [], "digest": "sha256:../..", "size_bytes": "many", "files": -1},
        {"name": "a", "digest": 5, "stored": True, "metadata": "none", "modified_ns": 1e300, "path": None},
        {"name": "x" * 10_000, "digest": _DIGESTS[0], "files": True, "problem": {"a": 1}, "id": [1]},
    ],
)
def test_a_record_of_a_stranger_makes_an_artifact_or_nothing(begin: Begin, body: dict[str, Any]) -> None:
    """Never an error, and never a digest that is none."""
    run = begin()
    run.record("artifact", **body)
    (found,) = RunView(run.end().path).artifacts()
    assert found.digest in (None, _DIGESTS[0])
    assert not found.stored
    assert not found.is_directory


def test_an_artifact_can_be_got_through_the_face(tmp_path: Path, store: Path) -> None:
    """What a notebook does."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    with barograph.init(quiet=True, name="first") as run:
        run.log_artifact(tmp_path / "model.pt", kind="model")
    found = open_store(store).run("first").artifact("model.pt")
    assert isinstance(found, barograph.Artifact)
    assert found.read_bytes() == b"weights"
