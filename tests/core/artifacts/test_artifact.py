"""An artifact's content comes back whole and checked, or not at all, and is never led out of its place."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import barograph
from barograph.artifacts.artifact import Artifact
from barograph.errors import StoreError
from barograph.reading import open_store
from barograph.store.objects import Objects, digest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model of several files."""
    root = tmp_path / "saved.model"
    (root / "variables").mkdir(parents=True)
    (root / "assets").mkdir()
    (root / "config.json").write_bytes(b"{}")
    (root / "variables" / "0").write_bytes(b"weights")
    return root


@pytest.fixture
def objects(store: Path) -> Objects:
    """The objects of this test's store."""
    return Objects(store)


def _logged(path: Path, **arguments: object) -> Artifact:
    with barograph.init(quiet=True) as run:
        run.log_artifact(path, **arguments)  # type: ignore[arg-type]  # as the test says
    return open_store(run.store_path).artifact(path.name)


def _contents(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.fixture(params=[True, False], ids=["copied", "noted"])
def saved(folder: Path, request: pytest.FixtureRequest) -> Artifact:
    """A folder as an artifact, in the store or where it lies."""
    return _logged(folder, copy=request.param)


def test_a_folder_comes_back_as_it_was(saved: Artifact, folder: Path, tmp_path: Path) -> None:
    """Files and empty folders, from the store or from its place."""
    assert saved.is_directory
    assert (saved.files, saved.size_bytes) == (2, 9)
    assert _contents(saved.save(tmp_path / "out")) == _contents(folder)
    assert _contents(saved.local_path()) == _contents(folder)
    assert saved.local_path().name == folder.name
    saved.check()


def test_a_folder_that_changed_in_its_place_is_refused(folder: Path, tmp_path: Path) -> None:
    """One flipped letter in one file; and nothing is left of what was begun."""
    noted = _logged(folder, copy=False)
    (folder / "variables" / "0").write_bytes(b"weightz")
    for read in (noted.check, noted.local_path, lambda: noted.save(tmp_path / "out")):
        with pytest.raises(StoreError, match="what it was"):
            read()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "out"))]


def test_what_is_copied_to_the_cache_is_checked_again(folder: Path) -> None:
    """Somebody may have written to it; then it is made anew."""
    artifact = _logged(folder)
    (artifact.local_path() / "config.json").write_bytes(b"changed")
    (artifact.local_path() / "more").write_bytes(b"more")
    assert _contents(artifact.local_path()) == _contents(folder)


def test_a_file_in_the_cache_is_checked_again(tmp_path: Path) -> None:
    """As folders are; a link in its place is not followed."""
    (tmp_path / "model.keras").write_bytes(b"weights")
    artifact = _logged(tmp_path / "model.keras")
    (tmp_path / "victim").write_bytes(b"victim")
    path = artifact.local_path()
    path.write_bytes(b"changed")
    assert artifact.local_path().read_bytes() == b"weights"
    path.unlink()
    path.symlink_to(tmp_path / "victim")
    assert artifact.local_path().read_bytes() == b"weights"
    assert path.suffix == ".keras"
    assert (tmp_path / "victim").read_bytes() == b"victim"


def test_a_cache_that_cannot_be_made_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way around it."""
    artifact = _logged(folder)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("BAROGRAPH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"save\(\)"):
        artifact.local_path()


def test_damage_is_found_wherever_it_is(folder: Path, tmp_path: Path, objects: Objects) -> None:
    """In a file of a folder, or in its listing."""
    artifact = _logged(folder)
    for digest in (digest_of(b"weights"), artifact.digest):
        assert digest is not None
        path = objects.path(digest)
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        for read in (artifact.check, artifact.local_path, lambda: artifact.save(tmp_path / "out")):
            with pytest.raises(StoreError, match="not what its name says"):
                read()
        path.unlink()
        with pytest.raises(StoreError, match="does not hold"):
            artifact.check()
        path.write_bytes(whole)
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    """A file only when that is said; a folder never."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "there").write_bytes(b"mine")
    file, directory = _logged(tmp_path / "model.pt"), _logged(folder)
    for artifact in (file, directory):
        with pytest.raises(StoreError, match="exists already"):
            artifact.save(tmp_path / "there")
    assert file.save(tmp_path / "there", replace=True).read_bytes() == b"weights"
    with pytest.raises(StoreError, match="exists already"):
        directory.save(folder.parent)


def test_into_a_folder_a_file_goes_by_its_name(tmp_path: Path) -> None:
    """As cp does it."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    artifact = _logged(tmp_path / "model.pt", name=None)
    (tmp_path / "out").mkdir()
    assert artifact.save(tmp_path / "out") == tmp_path / "out" / "model.pt"
    with pytest.raises(StoreError, match="could not be written"):
        artifact.save(tmp_path / "no" / "such" / "folder")


@pytest.mark.parametrize("path", ["/a/..", "/a/../..", "..", "", "C:\\x\\..\\y.pt", "/a/b\0c", "/tmp/.hidden", "/"])
def test_a_name_that_a_stranger_wrote_leads_nowhere(tmp_path: Path, objects: Objects, path: str) -> None:
    """Its last part becomes a plain file name."""
    digest = objects.put(b"x")
    artifact = Artifact(
        "n", "file", "output", digest, 1, None, path, True, 0, 0.0, "r", store_path=objects.folder.parent
    )
    (tmp_path / "out").mkdir()
    written = artifact.save(tmp_path / "out")
    assert written.parent == tmp_path / "out"
    assert artifact.local_path().is_relative_to(tmp_path / "cache")


def test_a_folder_of_a_stranger_never_leads_out(tmp_path: Path, objects: Objects) -> None:
    """Neither by its paths, nor by a file and a folder of one name; nothing is left of it."""
    content = objects.put(b"x")
    for files in ([["../out.txt", content, 1]], [["a", content, 1], ["a/b", content, 1]], [["a", content, 1]] * 2):
        listing = {"format": "barograph directory 1", "files": files, "folders": [], "left_out": []}
        digest = objects.put(json.dumps(listing, separators=(",", ":")).encode())
        artifact = Artifact(
            "n", "directory", "output", digest, 1, 1, "/n", True, 0, 0.0, "r", store_path=objects.folder.parent
        )
        with pytest.raises(StoreError):
            artifact.save(tmp_path / "restored")
        assert not [path for path in tmp_path.iterdir() if path.name not in ("store", "cache")]


def test_a_reference_is_read_only_as_what_it_was(tmp_path: Path) -> None:
    """Changed or gone, it is an error; its bytes are never returned."""
    path = tmp_path / "big.bin"
    path.write_bytes(b"weights")
    noted = _logged(path, copy=False)
    assert noted.read_bytes() == b"weights"
    assert noted.save(tmp_path / "out").read_bytes() == b"weights"
    path.write_bytes(b"weightz")
    with pytest.raises(StoreError, match="what it was"):
        noted.read_bytes()
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        noted.local_path()


def test_a_reference_without_a_digest_is_known_by_size_and_date(tmp_path: Path) -> None:
    """Until its content was read."""
    path = tmp_path / "big.bin"
    path.write_bytes(b"weights")
    noted = replace(_logged(path, copy=False), digest=None)
    assert noted.local_path() == path
    os.utime(path, (1.0, 1.0))
    with pytest.raises(StoreError, match="what it was"):
        noted.local_path()


def test_a_folder_is_no_bytes(folder: Path) -> None:
    """And a file has no listing."""
    artifact = _logged(folder)
    with pytest.raises(StoreError, match="is a folder"):
        artifact.read_bytes()
    with pytest.raises(StoreError, match="no folder"):
        _logged(folder / "config.json").listing()


def test_more_than_the_limit_is_not_taken_into_memory(tmp_path: Path) -> None:
    """From the store or from its place."""
    (tmp_path / "model.pt").write_bytes(b"weights")
    for copy in (True, False):
        with pytest.raises(StoreError, match="longer than 3 bytes"):
            _logged(tmp_path / "model.pt", copy=copy).read_bytes(limit_bytes=3)
