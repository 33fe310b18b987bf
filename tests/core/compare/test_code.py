"""The code of two runs is compared as it was captured: by git where the repository is, else by the sources."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.compare import diff
from barograph.compare.code import code_changes
from barograph.reading import RunView

Project = Any  # of conftest.py


def _kinds(before: RunView, after: RunView) -> dict[str, str]:
    return {change.name: change.kind for change in code_changes(before, after)}


def test_between_two_commits_the_files_are_named(project: Project) -> None:
    """What changed, came and went; the commits themselves stand behind."""
    project.write("old.py", "OLD = 1\n")
    project.commit()
    before = project.train()
    (project.path / "old.py").unlink()
    project.write("new.py", "NEW = 1\n")
    project.replace("model.py", "rate *", "1.5 * rate *")
    project.commit()
    after = project.train()
    assert _kinds(before, after) == {"model.py": "changed", "old.py": "removed", "new.py": "added", "commit": "changed"}
    assert diff(before, after).changes[-1].name == "commit"


def test_a_change_that_was_committed_in_between_is_none(project: Project) -> None:
    """The same files, once uncommitted and new, once committed."""
    project.write("extra.py", "MORE = 1\n")
    project.replace("model.py", "rate *", "1.5 * rate *")
    before = project.train()
    project.commit()
    assert _kinds(before, project.train()) == {"commit": "changed"}


def test_a_module_that_git_ignores_is_seen_to_go(project: Project) -> None:
    """Imported once and then not there any more; a file that git keeps and that one run did not import is none."""
    project.write(".gitignore", "*.csv\n*.bin\nextra.py\n")
    project.write("extra.py", "MORE = 1\n")
    project.write("kept.py", "KEPT = 1\n")
    project.replace("train.py", "import sys", "import sys\nif '--kept' in sys.argv: import kept")
    project.commit()
    before = project.train("--kept")
    (project.path / "extra.py").unlink()
    assert _kinds(before, project.train()) == {"extra.py": "removed"}


def test_without_the_repository_the_sources_tell(project: Project) -> None:
    """And what cannot be known is said."""
    before = project.train()
    project.replace("model.py", "rate *", "1.5 * rate *")
    project.commit()
    after = project.train()
    shutil.rmtree(project.path / ".git")
    changes = {change.name: change for change in code_changes(before, after)}
    assert set(changes) == {"model.py", "commit"}
    assert "+    return weight - 1.5 * rate" in changes["model.py"].text
    assert "cannot be shown" in changes["commit"].text


def test_without_any_repository_the_sources_tell(project: Project) -> None:
    """Files that one run alone imported are named as well."""
    shutil.rmtree(project.path / ".git")
    before = project.train()
    project.write("extra.py", "MORE = 1\n")
    project.replace("model.py", "rate *", "1.5 * rate *")
    assert _kinds(before, project.train()) == {"model.py": "changed", "extra.py": "added"}


def test_names_of_any_kind_are_shown(project: Project) -> None:
    """Blanks, quotes and letters of other scripts."""
    before = project.train()
    names = ["a b.py", "días.py", 'quo"te.py', "sub/folder/x.py"]
    (project.path / "sub" / "folder").mkdir(parents=True)
    for name in names:
        project.write(name, "X = 1\n")
    assert _kinds(before, project.train()) == dict.fromkeys(names, "added")


def test_a_line_inside_a_submodule_is_named(project: Project, make_project: Any) -> None:
    """By its path from the outermost repository."""
    inner = make_project(name="inner")
    git = ["git", "-c", "protocol.file.allow=always"]
    subprocess.run([*git, "submodule", "--quiet", "add", str(inner.path), "library"], cwd=project.path, check=True)
    project.commit()
    before = project.train()
    project.replace("library/model.py", "rate *", "1.5 * rate *")
    assert _kinds(before, project.train()) == {"library/model.py": "changed"}


def test_nothing_is_written_into_the_repository(project: Project) -> None:
    """Not even an object."""
    before = project.train()
    project.replace("model.py", "rate *", "1.5 * rate *")
    project.write("extra.py", "MORE = 1\n")
    after = project.train()
    files = _files(project.path / ".git")
    assert code_changes(before, after)
    assert _files(project.path / ".git") == files


def test_a_repository_inside_the_store_is_not_opened(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may be made by a stranger, and git obeys the configuration that a repository brings."""
    monkeypatch.setenv("BAROGRAPH_CAPTURE", "0")
    views = []
    for commit in ("a" * 40, "b" * 40):
        with barograph.init(quiet=True) as run:
            root = run.path / "repository"
            subprocess.run(["git", "init", "-q", str(root)], check=True)
            run.log_environment({"git": {"root": str(root), "commit": commit, "diff": None, "untracked_files": []}})
        views.append(barograph.open(store).run(run.id))
    (change,) = [change for change in code_changes(*views) if change.name == "commit"]
    assert "names no repository" in change.text


def test_paths_that_lead_out_are_passed_over(store: Path) -> None:
    """Of untracked files and sources alike."""
    views = []
    for text in ("one", "other"):
        with barograph.init(quiet=True) as run:
            digest = barograph.store.objects.Objects(store).put(text.encode())
            files = [
                {"path": path, "object": digest} for path in ("../x.py", "/etc/passwd", "a/../../x", ".git/config")
            ]
            run.log_environment({"sources": {"root": "/", "files": files}, "complete": True})
        views.append(barograph.open(store).run(run.id))
    assert not {"../x.py", "/etc/passwd", "a/../../x", ".git/config"} & set(_kinds(*views))


def _files(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
