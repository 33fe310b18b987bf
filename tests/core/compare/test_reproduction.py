"""A run is run again from its record alone, and the verdict and its cause are right."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.compare import diff
from barograph.compare.reproduction import Reproduction, reproduce
from barograph.compare.verdict import judge
from barograph.reading import RunView

Project = Any  # of conftest.py


def _again(project: Project, view: RunView, **options: Any) -> Reproduction:
    return reproduce(view, project.store, into=project.path.parent / "again", **options)


def _kind(found: Reproduction) -> str:
    return found.verdict.kind if found.verdict is not None else str(found.reason)


def test_a_seeded_run_comes_out_the_same_and_is_linked(project: Project) -> None:
    """To the bit, metrics and weights; the new run names the one that it repeats."""
    view = project.train("--lr", "0.05")
    found = _again(project, view)
    assert _kind(found) == "identical"
    assert found.run is not None
    assert found.run.reproduces == view.id
    assert found.run.config == view.config
    assert found.verdict is not None
    assert found.verdict.compared["points"] == 60
    assert found.verdict.compared["weights"] == 1


def test_the_code_is_that_of_the_run_and_not_that_of_today(project: Project) -> None:
    """Uncommitted changes and new files of then are used; what was done to the working copy since is not."""
    project.replace("model.py", "return weight - rate", "return weight - 0.5 * rate")
    project.write("extra.py", "MORE = 1\n")
    view = project.train()
    project.commit()
    project.replace("model.py", "0.5 * rate", "0.7 * rate")
    (project.path / "extra.py").unlink()
    before = _state(project.path)
    assert _kind(_again(project, view)) == "identical"
    assert _state(project.path) == before


def test_the_captured_sources_do_where_the_repository_is_gone(project: Project) -> None:
    """Then the imported modules are laid out as they were."""
    view = project.train()
    shutil.rmtree(project.path / ".git")
    (project.path / "model.py").unlink()
    assert _kind(_again(project, view)) == "identical"


def test_a_module_that_git_ignores_is_part_of_the_code(project: Project) -> None:
    """It was imported, so it was captured; a commit alone would lack it."""
    project.write(".gitignore", "*.csv\n*.bin\nextra.py\n")
    project.write("extra.py", "MORE = 1\n")
    project.replace("train.py", "    import extra", "    import extra\n    rate_of_old = extra.MORE")
    project.commit()
    view = project.train()
    (project.path / "extra.py").unlink()
    found = _again(project, view)
    assert _kind(found) == "identical"
    assert (found.folder / "code" / "extra.py").read_text() == "MORE = 1\n"


def test_the_ends_of_lines_are_those_of_the_repository(project: Project) -> None:
    """Where it has them written anew when files are checked out."""
    subprocess.run(["git", "config", "core.autocrlf", "true"], cwd=project.path, check=True)
    (project.path / "settings.txt").write_bytes(b"one\r\ntwo\r\n")
    project.commit()
    (project.path / "settings.txt").write_bytes(b"one\r\nthree\r\n")
    found = _again(project, project.train())
    assert (found.folder / "code" / "settings.txt").read_bytes() == b"one\r\nthree\r\n"


@pytest.mark.parametrize("folder", ["project/inner", "beside"])
def test_a_script_is_found_from_another_folder(project: Project, folder: str) -> None:
    """One that lies in the code, and one that does not."""
    here = project.path.parent / folder
    here.mkdir()
    script = "import random, barograph\nrandom.seed(0)\n"
    script += "with barograph.init(quiet=True) as run:\n    run.log({'loss': random.random()})\n"
    project.write("small.py", script)
    path = "../small.py" if folder.startswith("project") else "../project/small.py"
    subprocess.run([sys.executable, path], cwd=here, check=True)
    (view,) = project.store.runs()
    assert view.environment["git"]["root"] == str(project.path)
    assert _kind(_again(project, view)) == "identical"


def test_a_program_from_standard_input_is_not_started_again(project: Project) -> None:
    """Nobody kept it, and it is said so."""
    script = "import barograph\nwith barograph.init(quiet=True) as run:\n    run.log({'loss': 1.0})\n"
    subprocess.run([sys.executable, "-"], input=script.encode(), cwd=project.path, check=True)
    (view,) = project.store.runs()
    assert "standard input" in _kind(_again(project, view))


def test_a_run_of_a_store_that_may_only_be_read_is_repeated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new run lies beside the rebuilt code, and it is said where."""
    view = project.train()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != project.store_path / "runs")  # root may do all
    found = _again(project, view)
    assert _kind(found) == "identical"
    assert found.run is not None
    assert found.run.path.is_relative_to(found.folder)
    assert any(str(found.folder) in note for note in found.notes)
    assert len(project.store.runs()) == 1


def test_a_generator_that_was_not_seeded_is_named(make_project: Any) -> None:
    """The first point that parts, and the generator whose states were never the same."""
    project = make_project({"np.random.seed(seed)": ""})
    found = _again(project, project.train())
    assert _kind(found) == "differs"
    assert found.verdict is not None
    assert found.verdict.first is not None
    assert (found.verdict.first.metric, found.verdict.first.step) == ("train/weight", 0)
    assert [(cause.kind, cause.name) for cause in found.verdict.causes] == [("generator", "numpy")]


def test_a_generator_of_the_script_that_was_not_seeded_is_named(make_project: Any) -> None:
    """One of the modern kind, which has no state that all share; found by its name in the script."""
    own = {
        "0.001 * np.random.normal()": "0.001 * rng.normal()",
        "np.random.seed(seed)": "rng = np.random.default_rng()",
    }
    project = make_project({**own, "weight = np.random.normal()": "weight = 0.5"})
    verdict = judge(project.train(), project.train())
    assert [(cause.kind, cause.name) for cause in verdict.causes] == [("generator", "__main__.rng")]


def test_a_generator_that_was_drawn_from_more_often_is_no_other_seed(make_project: Any) -> None:
    """It is seen at the end only, as it was made after the beginning: the setting explains it."""
    own = {
        "0.001 * np.random.normal()": "0.001 * rng.normal()",
        "    weight = np": "    rng = np.random.default_rng(1)\n    weight = np",
    }
    project = make_project({**own, "for step in range(30)": "for step in range(int(100 * rate))"})
    changes = diff(project.train(), project.train("--lr", "0.2")).changes
    assert {(change.section, change.name) for change in changes} == {("parameters", "lr")}


def test_a_changed_data_file_is_named(project: Project) -> None:
    """It lies beside the code, is taken along as it is today, and its fingerprint tells."""
    view = project.train()
    project.replace("data.csv", "0.5,1.02,train", "0.5,1.03,train")
    found = _again(project, view)
    assert _kind(found) == "differs"
    assert found.verdict is not None
    assert found.verdict.first is not None
    assert found.verdict.first.step == 0
    assert [(cause.kind, cause.name) for cause in found.verdict.causes] == [("data", "train")]


def test_a_patched_line_is_named(project: Project) -> None:
    """Of two runs that exist, by the code that was captured with each."""
    one = project.train()
    project.replace("model.py", "return weight - rate", "return weight - (0.5 if weight > 1.9 else 1) * rate")
    verdict = judge(one, project.train())
    assert verdict.kind == "differs"
    assert verdict.first is not None
    assert verdict.first.metric == "train/weight"
    assert [(cause.kind, cause.name) for cause in verdict.causes] == [("code", "model.py")]
    assert verdict.weights == ["weight"]


def test_a_cause_that_is_not_recorded_is_not_made_up(make_project: Any) -> None:
    """What cannot be proven is said to be open."""
    project = make_project({"np.random.normal()": "float(np.frombuffer(__import__('os').urandom(2), 'u2')[0])"})
    verdict = judge(project.train(), project.train())
    assert verdict.kind == "differs"
    assert not any(cause.is_proven for cause in verdict.causes)


def test_nothing_that_is_written_again_reaches_the_original(make_project: Any) -> None:
    """Files that the training writes are written in the copy, even over those that were there before."""
    project = make_project({"import barograph": "import barograph\nopen('notes.txt', 'a').write('run')"})
    project.write("notes.txt", "old ")
    view = project.train()
    assert _kind(_again(project, view)) == "identical"
    assert (project.path / "notes.txt").read_text() == "old run"


@pytest.mark.parametrize(
    "command",
    [("-m", "train"), ("-c", "import train"), ("-O", "train.py")],
    ids=["module", "command", "option"],
)
def test_every_way_of_starting_is_given_again(project: Project, command: tuple[str, ...]) -> None:
    """A module, a command on the command line, options of the interpreter."""
    view = project.train(command=command)
    assert _kind(_again(project, view)) == "identical"


def test_an_editable_install_does_not_lead_back_to_the_working_copy(make_project: Any) -> None:
    """Modules that were found on a path of the interpreter come from the rebuilt code as well."""
    project = make_project()
    (project.path / "src").mkdir()
    (project.path / "model.py").rename(project.path / "src" / "model.py")
    project.commit()
    view = project.train(PYTHONPATH=str(project.path / "src"))
    project.replace("src/model.py", "return weight - rate", "return weight + rate")
    assert _kind(_again(project, view)) == "identical"


def test_a_run_that_is_stopped_is_not_called_identical(make_project: Any) -> None:
    """A limit of time ends it, and that is said."""
    stays = "if 'BAROGRAPH_REPRODUCES' in __import__('os').environ:\n        __import__('threading').Event().wait()"
    project = make_project({"run.log_weights": f"{stays}\n    run.log_weights"})
    found = _again(project, project.train(), timeout_s=5.0)
    assert found.exit_status == 2
    assert "in time" in str(found.reason) or found.run is not None


def test_submodules_are_rebuilt(project: Project, make_project: Any) -> None:
    """At their commits, with the changes inside them."""
    inner = make_project(name="inner")
    git = ["git", "-c", "protocol.file.allow=always"]
    subprocess.run([*git, "submodule", "--quiet", "add", str(inner.path), "library"], cwd=project.path, check=True)
    project.replace("train.py", "from model import", "from library.model import")
    project.commit()
    project.replace("library/model.py", "rate *", "1.5 * rate *")
    view = project.train()
    project.replace("library/model.py", "1.5 * rate *", "1.7 * rate *")
    assert _kind(_again(project, view)) == "identical"


def test_a_part_of_a_search_is_not_run_alone(project: Project) -> None:
    """The whole is named instead."""
    with barograph.init(name="whole", quiet=True) as parent, barograph.init(quiet=True, parent=parent) as part:
        part.log({"loss": 1.0})
    assert "part of whole" in str(_again(project, project.store.run(part.id)).reason)


def test_a_training_that_fails_at_once_is_not_comparable(project: Project) -> None:
    """With what it ended with."""
    view = project.train()
    (project.path / "data.csv").unlink()
    found = _again(project, view)
    assert found.exit_status == 2
    assert "exit status 1" in str(found.reason)


def test_a_folder_that_is_not_empty_is_left_alone(project: Project, tmp_path: Path) -> None:
    """Nothing is written over."""
    view = project.train()
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine.txt").write_text("mine")
    assert "not an empty folder" in str(_again(project, view).reason)


def _state(folder: Path) -> str:
    """What git says of a working copy, its worktrees and branches."""
    asked = [["status", "--porcelain"], ["worktree", "list"], ["branch", "--all"], ["stash", "list"]]
    return "".join(subprocess.check_output(["git", *one], cwd=folder, text=True) for one in asked) + sys.platform


CELLS = """
import types, sys
cells = ["", "import numpy as np\\nimport barograph", "np.random.seed(4)",
         "with barograph.init(quiet=True) as run:\\n    run.log({'train/loss': np.random.normal()})"]
shell = types.SimpleNamespace(history_manager=types.SimpleNamespace(input_hist_raw=cells))
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
sys.modules["ipykernel"] = types.SimpleNamespace()
for cell in cells:
    exec(cell)
"""


def test_the_cells_of_a_notebook_are_run_in_their_order(make_project: Any) -> None:
    """As one script, which the notes say."""
    project = make_project(train=CELLS)
    found = _again(project, project.train())
    assert _kind(found) == "identical"
    assert any("notebook" in note for note in found.notes)


def test_that_cells_are_run_as_a_script_is_no_cause(make_project: Any) -> None:
    """The generator that a cell did not seed is."""
    cells = CELLS.replace("np.random.seed(4)", "rng = np.random.default_rng()").replace(
        "np.random.normal", "rng.normal"
    )
    project = make_project(train=cells)
    found = _again(project, project.train())
    assert _kind(found) == "differs"
    assert found.verdict is not None
    assert [(cause.kind, cause.name) for cause in found.verdict.causes] == [("generator", "__main__.rng")]


RANKS = """
import torch.distributed as dist
import barograph

dist.init_process_group("gloo")
with barograph.init(quiet=True) as run:
    for step in range(3):
        run.log({"train/loss": (dist.get_rank() + 1.0) / (step + 1)}, step=step)
dist.destroy_process_group()
"""


def test_a_run_of_several_processes_is_compared_rank_by_rank(make_project: Any) -> None:
    """It is started by torchrun again."""
    pytest.importorskip("torch")
    project = make_project(train=RANKS)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py")
    view = project.train(command=launcher)
    found = _again(project, view)
    assert _kind(found) == "identical"
    assert found.run is not None
    assert found.run.ranks == [0, 1]


def test_a_generator_comes_before_the_data_that_it_made(make_project: Any) -> None:
    """Data that were drawn differ because of what they were drawn from, and not the other way round."""
    noise = "run.log_dataset(name, rows[:, :1] + np.random.normal()"
    project = make_project({"np.random.seed(seed)": "", "run.log_dataset(name, rows[:, :1]": noise})
    verdict = judge(project.train(), project.train())
    assert [(cause.kind, cause.name) for cause in verdict.causes] == [
        ("generator", "numpy"), ("data", "train"), ("data", "val"),
    ]  # fmt: skip


def test_code_that_was_not_captured_is_not_replaced_by_that_of_today(project: Project) -> None:
    """A run without its code is not repeated."""
    shutil.rmtree(project.path / ".git")
    found = _again(project, project.train(BAROGRAPH_CAPTURE_CODE="0"))
    assert "nothing of its code was captured" in str(found.reason)
