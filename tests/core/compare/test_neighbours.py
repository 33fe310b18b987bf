"""What lies beside a run's code is found from its copy, and cannot be harmed from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from barograph.compare import neighbours
from barograph.compare.neighbours import Neighbours

BEGAN, ENDED, DAY = 1_000_000.0, 1_000_100.0, 24 * 3600.0


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A folder of a project."""
    return tmp_path / "original"


def _file(original: Path, name: str, changed_s: float = BEGAN - 10) -> Path:
    path = original / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    os.utime(path, (changed_s, changed_s))
    return path


def _brought(original: Path, tmp_path: Path) -> tuple[Path, Neighbours]:
    place = tmp_path / "copy"
    place.mkdir()
    found = Neighbours(BEGAN, ENDED, [tmp_path / "original" / "runs-here"])
    found.bring(original, place)
    return place, found


def test_data_is_copied_and_old_data_is_linked(original: Path, tmp_path: Path) -> None:
    """What was made shortly before the run may be made again by its script; what is old is only read."""
    _file(original, "fresh.csv")
    old = _file(original, "data/deep/old.csv", BEGAN - 2 * DAY)
    place, found = _brought(original, tmp_path)
    assert (place / "fresh.csv").read_text() == "fresh.csv"
    assert not (place / "fresh.csv").is_symlink()
    assert (place / "data/deep/old.csv").resolve() == old
    assert (found.copied, found.linked) == (["fresh.csv"], ["data/deep/old.csv"])


def test_secrets_are_linked_and_not_copied(original: Path, tmp_path: Path) -> None:
    """A copy would lie where nobody looks after it."""
    _file(original, ".env")
    place, _ = _brought(original, tmp_path)
    assert (place / ".env").is_symlink()


def test_what_the_run_wrote_is_left(original: Path, tmp_path: Path) -> None:
    """A repetition that found its checkpoints would go on from them."""
    _file(original, "checkpoints/last.ckpt", BEGAN + 50)
    _file(original, "changed-later.csv", ENDED + 50)
    place, found = _brought(original, tmp_path)
    assert found.written == ["checkpoints/last.ckpt"]
    assert [path.name for path in place.iterdir()] == ["changed-later.csv"]


def test_code_tools_environments_and_stores_are_left(original: Path, tmp_path: Path) -> None:
    """The copy has its own code; nothing else of that is data."""
    for name in (
        "x.py",
        "x.ipynb",
        "__pycache__/x.bin",
        ".cache/x",
        "venv/pyvenv.cfg",
        "runs-here/x",
        "node_modules/x",
    ):
        _file(original, name)
    _file(original, "other-store/.gitignore")
    _file(original, "other-store/runs/x")
    place, _ = _brought(original, tmp_path)
    assert list(place.iterdir()) == []


def test_links_to_folders_are_followed_once(original: Path, tmp_path: Path) -> None:
    """Data often lies elsewhere; a circle ends."""
    data = _file(tmp_path / "elsewhere", "x.csv", BEGAN - 2 * DAY)
    original.mkdir()
    (original / "data").symlink_to(data.parent)
    (original / "circle").symlink_to(original)
    (original / "broken").symlink_to(original / "nowhere")
    place, _ = _brought(original, tmp_path)
    assert (place / "data" / "x.csv").resolve() == data
    assert not (place / "data").is_symlink()
    assert not (place / "circle").exists()


def test_what_has_no_room_is_said(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files that changed since are left out; unchanged ones are linked."""
    monkeypatch.setattr(neighbours, "COPY_LIMIT_BYTES", 1)
    _file(original, "fresh.csv")
    _file(original, "changed.csv", ENDED + 1)
    place, found = _brought(original, tmp_path)
    assert (place / "fresh.csv").is_symlink()
    assert found.left_out == ["changed.csv"]
    assert any("changed.csv" in note for note in found.notes())


def test_pipes_and_unreadable_folders_stop_nothing(original: Path, tmp_path: Path) -> None:
    """They are left out."""
    _file(original, "a.csv")
    os.mkfifo(original / "pipe")
    (original / "closed").mkdir(mode=0)
    place, _ = _brought(original, tmp_path)
    assert [path.name for path in place.iterdir()] == ["a.csv"]


def test_a_link_in_the_copy_does_not_lead_out_of_it(original: Path, tmp_path: Path) -> None:
    """A commit may hold one."""
    _file(original, "folder/x.csv")
    place, outside = tmp_path / "copy", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    (place / "folder").symlink_to(outside)
    Neighbours(BEGAN, ENDED, []).bring(original, place)
    assert list(outside.iterdir()) == []


def test_neither_the_root_nor_the_home_is_a_project(tmp_path: Path) -> None:
    """They are not walked through."""
    for folder in (Path("/"), Path.home()):
        found = Neighbours(BEGAN, ENDED, [])
        found.bring(folder, tmp_path)
        assert found.copied == found.linked == []
        assert found.left_out
