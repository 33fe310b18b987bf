"""A folder is one content: equal folders are equal, what is left out is named, and no path leads out of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from barograph.artifacts import directory as module
from barograph.artifacts.directory import File, LeftOut, Listing, extent, read_listing, scan
from barograph.errors import StoreError
from barograph.store.collecting import named_by
from barograph.store.objects import LISTING_START, digest_of, hash_file
from barograph.store.parquet import Database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them deeper."""
    root = tmp_path / "folder"
    (root / "inner").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"b")
    (root / "inner" / "a.txt").write_bytes(b"a")
    return root


def test_a_listing_names_every_file_by_its_content(folder: Path) -> None:
    """With forward slashes, relative to the folder."""
    listing = read_listing(folder, hash_file)
    assert sorted(listing.files) == [File("b.txt", digest_of(b"b"), 1), File("inner/a.txt", digest_of(b"a"), 1)]
    assert (listing.folders, listing.left_out, listing.size_bytes) == ([], [], 2)
    assert Listing.from_bytes(listing.to_bytes()) == Listing(sorted(listing.files))


def test_equal_folders_are_one_content(folder: Path, tmp_path: Path) -> None:
    """Wherever they lie and whenever they were written."""
    other = tmp_path / "elsewhere"
    (other / "inner").mkdir(parents=True)
    (other / "inner" / "a.txt").write_bytes(b"a")
    (other / "b.txt").write_bytes(b"b")
    assert read_listing(folder, hash_file).to_bytes() == read_listing(other, hash_file).to_bytes()
    (other / "b.txt").rename(other / "c.txt")
    assert read_listing(folder, hash_file).to_bytes() != read_listing(other, hash_file).to_bytes()


def test_empty_folders_are_kept(folder: Path) -> None:
    """Also one that is all there is."""
    (folder / "empty" / "deep").mkdir(parents=True)
    assert read_listing(folder, hash_file).folders == ["empty/deep"]
    empty = folder / "empty" / "deep"
    assert read_listing(empty, hash_file) == Listing()


def test_a_link_to_a_file_is_kept_by_what_it_leads_to(folder: Path) -> None:
    """As the caches of model hubs lay their files out."""
    (folder / "latest").symlink_to("inner/a.txt")
    assert File("latest", digest_of(b"a"), 1) in read_listing(folder, _follow).files


def test_what_is_no_file_is_left_out_and_named(folder: Path) -> None:
    """Links to folders, links to nowhere, pipes."""
    (folder / "loop").symlink_to(".")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    listing = read_listing(folder, _follow)
    assert len(listing.files) == 2
    assert sorted(listing.left_out) == [
        LeftOut("gone", "a link that leads nowhere"),
        LeftOut("loop", "a link to a folder, which is not followed"),
        LeftOut("pipe", "not a regular file"),
    ]


def test_what_may_not_be_read_is_left_out_and_named(folder: Path) -> None:
    """A file of another user hides nothing of the rest."""

    def read(path: Path) -> tuple[str, int]:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return hash_file(path)

    listing = read_listing(folder, read)
    assert [file.path for file in listing.files] == ["inner/a.txt"]
    assert listing.left_out == [LeftOut("b.txt", "cannot be read: Permission denied")]


def test_trouble_that_is_not_the_files_own_is_told(folder: Path) -> None:
    """A store that may not be written is no unreadable file."""

    def read(path: Path) -> tuple[str, int]:
        raise PermissionError(13, "Permission denied", "/store/objects")

    with pytest.raises(PermissionError):
        read_listing(folder, read)


def test_the_store_itself_is_left_out(folder: Path) -> None:
    """Should somebody log the folder that they train in."""
    (folder / "store").mkdir()
    (folder / "store" / "object").write_bytes(b"x")
    listing = read_listing(folder, hash_file, leave_out=folder / "store")
    assert len(listing.files) == 2
    assert listing.left_out == [LeftOut("store", "the store itself")]


@pytest.mark.parametrize("change", ["new", "gone", "grown"])
def test_a_folder_that_changes_while_it_is_read_is_no_artifact(folder: Path, change: str) -> None:
    """A listing is never a mixture of two states."""

    def read(path: Path) -> tuple[str, int]:
        found = hash_file(path)
        if change == "new":
            (folder / "c.txt").write_bytes(b"c")
        elif change == "grown":
            with path.open("ab") as file:
                file.write(b"more")
        else:
            path.unlink()
        return found

    with pytest.raises(StoreError, match="still writing"):
        read_listing(folder, read)


def test_more_files_than_are_kept_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of them is kept."""
    monkeypatch.setattr(module, "MOST_FILES", 1)
    with pytest.raises(ValueError, match="more than 1 files"):
        scan(folder)


def test_the_extent_of_a_folder_is_counted_up_to_a_limit(folder: Path) -> None:
    """A link that leads nowhere has no size."""
    (folder / "gone").symlink_to("nowhere")
    assert extent(folder, 10, 10) == (3, 2)
    assert extent(folder, 1, 10)[0] == 2
    assert extent(folder, 10, 0)[1] > 0


def _listing(**changed: Any) -> bytes:
    content = {"format": "barograph directory 1", "files": [], "folders": [], "left_out": [], **changed}
    return json.dumps(content).encode()


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../out", "", ".", "a//b", "a\0b", "..", "a/.."])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    """A listing may be made by a stranger."""
    with pytest.raises(StoreError, match="refused"):
        Listing.from_bytes(_listing(files=[[path, digest_of(b""), 0]]))
    with pytest.raises(StoreError, match="refused"):
        Listing.from_bytes(_listing(folders=[path]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        _listing(format="other"),
        _listing(files=[["a"]]),
        _listing(files=[["a", "sha256:../..", 1]]),
        _listing(files=[["a", digest_of(b""), -1]]),
        _listing(files=[["a", digest_of(b""), None]]),
        _listing(folders=5),
        _listing(left_out={"a": 1}),
    ],
)
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    """In one kind of error, however it is broken."""
    with pytest.raises(StoreError):
        Listing.from_bytes(data)


def test_a_listing_is_known_by_its_beginning(folder: Path, tmp_path: Path) -> None:
    """So that the store knows which objects name others."""
    data = read_listing(folder, hash_file).to_bytes()
    assert data.startswith(LISTING_START)
    (tmp_path / "run.json").write_bytes(data)
    assert named_by(tmp_path, Database(tmp_path)) == {digest_of(b"a"), digest_of(b"b")}


def test_names_that_are_no_unicode_come_back(folder: Path) -> None:
    """Byte for byte."""
    name = os.fsdecode(b"caf\xe9")
    (folder / name).write_bytes(b"x")
    listing = Listing.from_bytes(read_listing(folder, hash_file).to_bytes())
    assert name in [file.path for file in listing.files]


def _follow(path: Path) -> tuple[str, int]:
    return hash_file(os.path.realpath(path))
