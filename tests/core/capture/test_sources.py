"""Which imported modules belong to a project, and that their sources are kept."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.store.objects import Objects

from .repositories import write

LOOK = """
import json, sys
from pathlib import Path
from barograph.capture.copies import Copies
from barograph.capture.environment import describe_entry
from barograph.capture.pace import Pace
from barograph.capture.sources import Sources, project_root
from barograph.store.objects import Objects
pace = Pace(1.0)
pace.hurry()
root = project_root(describe_entry(), {repository!r}, Path.cwd())
sources = Sources(root, Copies(Objects(Path(sys.argv[-1])), pace))
looks = [sources.look()]
{between}
looks.append(sources.look())
print(json.dumps(looks))
"""


def look(repository: str | None = None, between: str = "") -> str:
    return LOOK.format(repository=repository, between=between)


def looked(folder: Path, *arguments: str, store: Path, **variables: str) -> Any:
    """What a program that was started so sees at its two looks."""
    command = [sys.executable, *arguments, str(store)]
    answer = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def paths(told: Any) -> dict[str, str]:
    return {file["module"]: file["path"] for file in told["files"]}


def test_what_was_imported_from_the_project_is_kept(tmp_path: Path) -> None:
    """The script and its modules; neither Python's, nor installed ones, nor ours, nor what was not imported."""
    files: dict[str, str | bytes] = {"pkg/__init__.py": "", "pkg/model.py": "size = 3\n", "pkg/unused.py": ""}
    write(tmp_path / "project", {**files, "train.py": "import pkg.model, numpy\n" + look()})
    first, again = looked(tmp_path, "project/train.py", store=tmp_path / "store")
    assert first["root"] == str(tmp_path / "project")
    assert paths(first) == {"__main__": "train.py", "pkg": "pkg/__init__.py", "pkg.model": "pkg/model.py"}
    (model,) = (file for file in first["files"] if file["module"] == "pkg.model")
    assert Objects(tmp_path / "store").get(model["object"]) == b"size = 3\n"
    assert (first["complete"], first["left_out"], again) == (True, [], None)


def test_what_is_imported_later_is_found_at_the_next_look(tmp_path: Path) -> None:
    """The whole list is told again then."""
    write(tmp_path, {"late.py": "x = 1\n", "train.py": look(between="import late")})
    first, second = looked(tmp_path, "train.py", store=tmp_path / "store")
    assert (set(paths(first)), set(paths(second))) == ({"__main__"}, {"__main__", "late"})


@pytest.mark.parametrize(
    ("arguments", "root"),
    [
        (["-m", "pkg.cli.train"], "project"),
        (["-m", "pkg.cli"], "project"),
        (["-c", "import pkg.cli.train"], "project"),
        (["pkg/cli/train.py"], "project/pkg/cli"),
    ],
)
def test_the_root_without_a_repository(tmp_path: Path, arguments: list[str], root: str) -> None:
    """The folder from which imports go: of the outermost package for -m, of the script, else the working folder."""
    files = ("pkg/__init__.py", "pkg/cli/__init__.py")
    write(tmp_path / "project", {**dict.fromkeys(files, ""), "pkg/cli/train.py": look(), "pkg/cli/__main__.py": look()})
    first, _ = looked(tmp_path / "project", *arguments, store=tmp_path / "store")
    assert first["root"] == str(tmp_path / root)


def test_modules_outside_of_the_root_have_absolute_paths(tmp_path: Path) -> None:
    """A folder on PYTHONPATH is the user's own code too."""
    write(tmp_path, {"project/train.py": "import helper\n" + look(), "library/helper.py": "x = 1\n"})
    variables = {"PYTHONPATH": str(tmp_path / "library")}
    first, _ = looked(tmp_path / "project", "train.py", store=tmp_path / "store", **variables)
    assert paths(first) == {"__main__": "train.py", "helper": str(tmp_path / "library/helper.py")}


def test_the_repository_is_the_root_where_there_is_one(tmp_path: Path) -> None:
    """However deep the script lies in it."""
    write(tmp_path, {"scripts/deep/train.py": look(str(tmp_path))})
    first, _ = looked(tmp_path, "scripts/deep/train.py", store=tmp_path / "store")
    assert paths(first) == {"__main__": "scripts/deep/train.py"}


def test_secrets_and_odd_bytes(tmp_path: Path) -> None:
    """A password is taken out and counted; bytes of another encoding and line ends stay as they are."""
    text = "# -*- coding: latin-1 -*-\r\nname = 'M\xfcller'\r\npassword = 'hunter2'\r\n".encode("latin-1")
    write(tmp_path, {"settings.py": text, "train.py": "import settings\n" + look()})
    first, _ = looked(tmp_path, "train.py", store=tmp_path / "store")
    (kept,) = (file for file in first["files"] if file["module"] == "settings")
    assert kept["redacted"] == 1
    assert Objects(tmp_path / "store").get(kept["object"]) == text.replace(b"hunter2", b"[redacted]")


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    """A module whose file was removed after its import: the list says that it is not complete."""
    write(tmp_path, {"gone.py": "", "train.py": "import gone, os\nos.remove(gone.__file__)\n" + look()})
    first, _ = looked(tmp_path, "train.py", store=tmp_path / "store")
    assert (set(paths(first)), first["complete"]) == ({"__main__"}, False)
    assert first["left_out"][0]["path"] == "gone.py"


def test_a_lazy_module_stays_as_it_is(tmp_path: Path) -> None:
    """importlib's lazy loader runs a module at the first look at it; ours is none, and the source is kept."""
    lazy = (
        "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('heavy')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "sys.modules['heavy'] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
    )
    check = "from barograph.capture.packages import loaded_packages\nloaded_packages()"
    write(tmp_path, {"heavy.py": "raise SystemExit('was run')\n", "train.py": lazy + look(between=check)})
    first, _ = looked(tmp_path, "train.py", store=tmp_path / "store")
    assert set(paths(first)) == {"__main__", "heavy"}


def test_modules_that_are_no_modules_are_passed_over(tmp_path: Path) -> None:
    """Lazy stand-ins, objects and None in sys.modules; nothing of them is called."""
    odd = (
        "import sys\n"
        "class Lazy:\n"
        "    def __getattr__(self, name): raise SystemExit('was asked')\n"
        "sys.modules['lazy'], sys.modules['none'], sys.modules['number'] = Lazy(), None, 5\n"
    )
    write(tmp_path, {"train.py": odd + look()})
    first, _ = looked(tmp_path, "train.py", store=tmp_path / "store")
    assert set(paths(first)) == {"__main__"}


def test_a_program_that_ends_before_the_first_look(tmp_path: Path, store: Path) -> None:
    """Python has forgotten where the main module lies by the time a failed run is told."""
    (tmp_path / "train.py").write_text("import barograph\nbarograph.init(quiet=True)\nraise ValueError\n")
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, check=False)
    (view,) = barograph.open(store).runs()
    assert view.status == "failed"
    assert [file["path"] for file in view.environment["sources"]["files"]] == ["train.py"]
