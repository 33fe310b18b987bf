"""Models as artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

import barograph
from barograph.models import keep_model


def test_a_model_is_kept_under_its_name_and_nothing_else_of_it_stays(tmp_path: Path) -> None:
    """The file it was written to is gone and not named; its content and what it is are in the store."""
    with barograph.init(store=tmp_path / "store", quiet=True) as run:
        said = keep_model(
            run, lambda path: path.write_bytes(b"weights"), "model.bin", framework="own", version="1", about={}
        )
    (artifact,) = barograph.open(tmp_path / "store").run(run.id).artifacts("model")
    assert said == "kept"
    assert (artifact.name, artifact.read_bytes()) == ("model", b"weights")
    assert artifact.metadata == {"framework": "own", "version": "1"}
    assert (artifact.path, artifact.local_path().suffix) == ("model.bin", ".bin")


@pytest.mark.parametrize(
    ("wished", "fit_s", "size_bytes", "said"),
    [
        (None, 0.0, 1000, "kept"),
        (None, 0.0, 300_000, "log_model=True"),
        (None, 1.0, 300_000, "kept"),
        (True, 0.0, 300_000, "kept"),
        (False, 1.0, 10, "not asked for"),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_model_is_kept_if_it_is_small_beside_its_fit_or_asked_for(
    tmp_path: Path, wished: bool | None, fit_s: float, size_bytes: int, said: str, is_known: bool
) -> None:
    """Whether its size is known before it is written or only then; if not, it is said why."""
    with barograph.init(store=tmp_path / "store", quiet=True) as run:
        told = keep_model(
            run,
            lambda path: path.write_bytes(bytes(size_bytes)),
            "model.bin",
            framework="own",
            version="1",
            about={},
            wished=wished,
            fit_s=fit_s,
            least_bytes=size_bytes if is_known else 0,
        )
    assert said in told
    assert len(barograph.open(tmp_path / "store").run(run.id).artifacts()) == (told == "kept")
