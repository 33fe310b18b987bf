"""Every integration in the folder answers the same questions (barograph.testing)."""

import importlib.util
from pathlib import Path

import pytest

import barograph.integrations
from barograph.testing import QUESTIONS, Question, Subject

_FOLDER = Path(next(iter(barograph.integrations.__path__)))
_SUBJECTS = Path(__file__).parent / "subjects"
# torch is what lightning stands on: it has no callback of its own
_NAMES = sorted(
    path.stem for path in _FOLDER.iterdir() if not path.name.startswith("_") and path.stem not in ("torch",)
)


def _subject(name: str) -> Subject:
    spec = importlib.util.spec_from_file_location(f"subject_{name}", _SUBJECTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    subject: Subject = module.SUBJECT
    return subject


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:lightning")
def test_the_integration_answers(name: str, question: Question, store: Path) -> None:
    """One question of the list, asked of one integration."""
    question(_subject(name), store)
