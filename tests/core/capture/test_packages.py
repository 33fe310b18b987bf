"""Installed and loaded distributions."""

import importlib.metadata
import sys
from pathlib import Path
from types import ModuleType

import pytest

from barograph.capture.packages import installed_packages, loaded_packages


def test_every_installed_distribution_is_found_with_its_version() -> None:
    """The same as importlib.metadata finds by opening every file, in a fraction of the time."""
    found = installed_packages()
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        assert name in found
    assert found["numpy"] == importlib.metadata.version("numpy")
    assert list(found) == sorted(found)


def test_the_first_folder_on_the_path_wins(tmp_path: Path) -> None:
    """As it does for an import."""
    for folder, version in (("a", "2.0+cu128"), ("b", "1.0")):
        (tmp_path / folder / f"Some_Package-{version}.dist-info").mkdir(parents=True)
    assert installed_packages([str(tmp_path / "a"), str(tmp_path / "b")]) == {"some-package": "2.0+cu128"}


def test_old_forms_are_known(tmp_path: Path) -> None:
    """Eggs as files and folders; one without a version in its name says it inside."""
    (tmp_path / "old-1.5-py3.11.egg-info").write_text("Name: old")
    (tmp_path / "mine.egg-info").mkdir()
    (tmp_path / "mine.egg-info/PKG-INFO").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 0.3\n")
    (tmp_path / "nameless.egg-info").mkdir()
    (tmp_path / "nothing.txt").write_text("")
    assert installed_packages([str(tmp_path)]) == {"mine": "0.3", "old": "1.5"}


def test_what_is_no_folder_is_passed_over(tmp_path: Path) -> None:
    """Zip files, folders that are gone, and things that are no path at all stand in sys.path too."""
    (tmp_path / "archive.zip").write_bytes(b"PK")
    assert installed_packages([str(tmp_path / "archive.zip"), str(tmp_path / "gone"), "\0"]) == {}


def test_loaded_packages_are_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the version that they carry; nothing is asked that could import or compute something."""

    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> str:
            raise AssertionError(f"{name} was asked for")

    monkeypatch.setitem(sys.modules, "lazy_package", Lazy("lazy_package"))
    monkeypatch.setitem(sys.modules, "odd_package", None)
    loaded = loaded_packages()
    assert loaded["pytest"] == pytest.__version__
    assert "lazy_package" not in loaded
    assert "json" not in loaded
