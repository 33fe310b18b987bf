"""The commands about artifacts, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import barograph
from barograph.reading import open_store
from barograph.store.objects import Objects, digest_of


def _barograph(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "barograph", *map(str, arguments)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def files(tmp_path: Path, store: Path) -> Path:
    """Run `first` made a model, twice, and a folder; run `second` used the model."""
    (tmp_path / "model.pt").write_bytes(b"old weights")
    (tmp_path / "saved" / "inner").mkdir(parents=True)
    (tmp_path / "saved" / "inner" / "a.txt").write_bytes(b"a")
    (tmp_path / "saved" / "gone").symlink_to("nowhere")
    with barograph.init(name="first", quiet=True) as run:
        run.log_artifact(tmp_path / "model.pt", kind="model", step=1)
        (tmp_path / "model.pt").write_bytes(b"new weights")
        run.log_artifact(tmp_path / "model.pt", kind="model", step=2)
        run.log_artifact(tmp_path / "saved")
    with barograph.init(name="second", quiet=True) as run:
        run.use_artifact(tmp_path / "model.pt")
    return tmp_path


def test_a_runs_artifacts_are_listed(files: Path) -> None:
    """One line each: version, kind, role, size, the digest's beginning, step."""
    lines = _barograph("artifacts", "first").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["artifact", "model.pt:1", "model.pt:2", "saved"]
    assert digest_of(b"old weights")[7:19] in lines[1]
    assert "1 B in 1 files" in lines[3]
    assert "input" in _barograph("artifacts", "second").stdout
    assert len(_barograph("artifacts", "first", "--kind", "directory").stdout.splitlines()) == 2
    assert "no artifacts" in _barograph("artifacts", "second", "--kind", "figure").stdout


def test_one_artifact_is_told_in_full(files: Path) -> None:
    """A folder with its files, and what was left out of it."""
    shown = _barograph("artifacts", "first", "saved").stdout
    assert "inner/a.txt" in shown
    assert "not kept: gone: a link that leads nowhere" in shown
    told = json.loads(_barograph("artifacts", "first", "saved", "--json").stdout)
    assert told["listing"] == [{"path": "inner/a.txt", "digest": digest_of(b"a"), "size_bytes": 1}]
    assert told["left_out"][0]["path"] == "gone"


def test_an_artifact_is_written_out(files: Path) -> None:
    """Any version of it, or a whole folder; what is there is kept unless --force is given."""
    target = files / "out.pt"
    assert _barograph("artifacts", "first", "model.pt:1", "-o", target).returncode == 0
    assert target.read_bytes() == b"old weights"
    refused = _barograph("artifacts", "first", "model.pt", "-o", target)
    assert (refused.returncode, target.read_bytes()) == (2, b"old weights")
    assert "exists already" in refused.stderr
    told = json.loads(_barograph("artifacts", "first", "model.pt", "-o", target, "--force", "--json").stdout)
    assert (told["written"], target.read_bytes()) == (str(target), b"new weights")
    assert _barograph("artifacts", "first", "saved", "-o", files / "out").returncode == 0
    assert (files / "out" / "inner" / "a.txt").read_bytes() == b"a"


def test_show_lists_artifacts(files: Path) -> None:
    """With everything else about the run."""
    assert "model.pt:2" in _barograph("show", "first").stdout
    assert [one["name"] for one in json.loads(_barograph("show", "first", "--json").stdout)["artifacts"]] == [
        "model.pt",
        "model.pt",
        "saved",
    ]


def test_lineage_is_a_tree_that_one_can_read(files: Path) -> None:
    """Of a run, an artifact, a digest, a file."""
    shown = _barograph("lineage", "second").stdout.splitlines()
    assert shown[0].startswith("run  second")
    assert shown[1] == "came from:"
    assert shown[2].startswith("  artifact  model.pt")
    assert shown[3].startswith("    run  first")
    assert shown[4] == "led to: nothing that was recorded"
    for wanted in ("model.pt", digest_of(b"new weights"), digest_of(b"new weights")[7:19], files / "model.pt"):
        assert "led to:\n  run  second" in _barograph("lineage", wanted).stdout
    nodes = json.loads(_barograph("lineage", "model.pt", "--json").stdout)["nodes"]
    assert [node["name"] for node in nodes] == ["model.pt", "first", "second"]


def test_many_branches_are_cut_unless_all_are_asked_for(files: Path) -> None:
    """A data set that every run reads."""
    for _ in range(25):
        with barograph.init(quiet=True) as run:
            run.use_artifact(files / "model.pt")
    assert "and 6 more; --all shows them" in _barograph("lineage", "model.pt").stdout
    assert len(_barograph("lineage", "model.pt", "--all").stdout.splitlines()) == 4 + 1 + 25


def test_gc_removes_what_no_run_names(files: Path, store: Path) -> None:
    """Not before the trash is emptied, and not what is young; a dry run only tells."""
    objects = Objects(store)
    before = len(list(objects.all()))
    objects.put(b"nobody's")
    young = _barograph("gc")
    assert "1 more, 8 B, are named by no run but younger than 24 hours" in young.stdout
    assert "would be removed" in _barograph("gc", "--dry-run", "--grace", "0").stdout
    assert objects.has(digest_of(b"nobody's"))
    told = json.loads(_barograph("gc", "--grace", "0", "--json").stdout)
    assert (told["objects"], told["removed"], told["removed_bytes"]) == (before + 1, 1, 8)
    assert not objects.has(digest_of(b"nobody's"))
    assert open_store(store).artifact("model.pt").read_bytes() == b"new weights"
    assert _barograph("gc", "--grace", "-1").returncode == 2
    assert _barograph("rm", "first", "--yes").returncode == 0
    assert "named only by runs in the trash" in _barograph("gc", "--grace", "0").stdout


def test_verify_reads_the_objects_of_the_runs(files: Path, store: Path) -> None:
    """One that is damaged or gone is named, once for all runs that share it."""
    assert _barograph("verify").returncode == 0
    path = Objects(store).path(digest_of(b"a"))
    path.write_bytes(b"b")
    found = _barograph("verify")
    assert found.returncode == 1
    assert found.stdout.count(path.name) == 2
    path.unlink()
    assert "does not hold" in _barograph("verify", "first").stdout
    assert _barograph("verify", "second").returncode == 0


def test_verify_goes_on_after_a_run_whose_records_are_broken(files: Path, store: Path) -> None:
    """The broken file is named, and the objects of the other runs are read."""
    with open_store(store) as opened:
        opened.seal("second")
        (records,) = (opened.run("second").path / "segments").glob("*.records.parquet")
    records.write_bytes(b"PAR1")
    Objects(store).path(digest_of(b"a")).write_bytes(b"b")
    found = _barograph("verify")
    assert found.returncode == 1
    assert records.name in found.stdout
    assert digest_of(b"a")[7:] in found.stdout


def test_what_is_nowhere_is_one_line(files: Path) -> None:
    """With what comes close."""
    for call in (["artifacts", "first", "modle.pt"], ["lineage", "modle.pt"]):
        answer = _barograph(*call)
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1
        assert "model.pt" in answer.stderr


def test_names_of_a_stranger_play_no_tricks_on_the_terminal(files: Path) -> None:
    """Control characters are made visible."""
    with barograph.init(name="odd", quiet=True) as run:
        run.log_artifact(files / "model.pt", name="a\x1b[31m\nb")
    for call in (["artifacts", "odd"], ["lineage", "odd"], ["artifacts", "odd", digest_of(b"new weights")]):
        assert "\x1b" not in _barograph(*call).stdout
