"""The house stays as it was drawn: packages complete, arrows one way, nothing heavy at import."""

import ast
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_CORE = _ROOT / "core" / "barograph"
_FRAMEWORKS = {"torch", "lightning", "pytorch_lightning", "keras", "xgboost", "sklearn", "tensorflow", "jax"}
_WRITING = ("run.py", "settled.py", "keeping.py", "starting.py", "recording.py", "closing.py", "attachment.py",
            "open_runs.py", "values.py", "media.py", "models.py", "predictions.py", "results.py", "keys.py", "guard.py",
            "voice.py", "journal", "system", "artifacts", "capture", "data")  # fmt: skip
_READING = {"barograph.reading", "barograph.cli", "barograph.store.sealing", "barograph.store.catalogue"}
# On resume a run asks how far its earlier attempts came, and an artifact may be asked for by its name
_ALLOWED = {("starting.py", "barograph.reading"), ("artifacts/using.py", "barograph.reading")}


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "integrations" not in path.relative_to(folder).parts)


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_list_of_packages_is_complete() -> None:
    """A forgotten sub-package would vanish from the wheel without a word."""
    listed = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    core = {".".join(path.parent.relative_to(_CORE.parent).parts) for path in _CORE.rglob("__init__.py")}
    own = {"barograph.integrations"} | {
        "barograph.integrations." + ".".join(path.parent.relative_to(_ROOT / "integrations").parts)
        for path in (_ROOT / "integrations").glob("*/**/__init__.py")
    }
    assert sorted(listed) == sorted({name for name in core if "integrations" not in name} | own)


@pytest.mark.parametrize("path", _modules(_CORE), ids=lambda path: str(path.relative_to(_CORE)))
def test_core_knows_no_framework_and_no_integration(path: Path) -> None:
    """Core runs without any framework installed."""
    imports = _imports(path)
    assert not {name for name in imports if name.partition(".")[0] in _FRAMEWORKS}
    assert not {name for name in imports if name.startswith("barograph.integrations")}


@pytest.mark.parametrize("path", _modules(_CORE), ids=lambda path: str(path.relative_to(_CORE)))
def test_the_writing_side_does_not_import_the_reading_side(path: Path) -> None:
    """A training never pays for what only readers need."""
    place = str(path.relative_to(_CORE))
    if not place.startswith(_WRITING):
        return
    crossing = {name for name in _imports(path) if any(name.startswith(room) for room in _READING)}
    assert {
        name for name in crossing if (place, name.removesuffix(".RunView").removesuffix(".open_store")) not in _ALLOWED
    } == set()


@pytest.mark.parametrize(
    "path",
    [*_modules(_CORE), *sorted((_ROOT / "integrations").rglob("*.py"))],
    ids=lambda path: str(path.relative_to(_ROOT)),
)
def test_every_module_opens_with_its_idea(path: Path) -> None:
    """The first line of a file says what it holds."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("room", ["reading", "store", "journal", "artifacts", "cli"])
def test_readers_never_unpickle(room: str) -> None:
    """A run folder may be made by a stranger."""
    for path in (_CORE / room).rglob("*.py"):
        assert not _imports(path) & {"pickle", "cloudpickle", "joblib", "marshal", "shelve", "dill"}, path
