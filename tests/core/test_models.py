"""Models as artifacts."""

from __future__ import annotations

from pathlib import Path

import barograph
from barograph.models import keep_model


def test_a_model_is_kept_under_its_name_and_nothing_else_of_it_stays(tmp_path: Path) -> None:
    """The file it was written to is gone, its content and what it is are in the store."""
    with barograph.init(store=tmp_path / "store", quiet=True) as run:
        keep_model(run, lambda path: path.write_bytes(b"weights"), "model.bin", framework="own", version="1", about={})
    (artifact,) = barograph.open(tmp_path / "store").run(run.id).artifacts("model")
    assert (artifact.name, artifact.read_bytes()) == ("model", b"weights")
    assert artifact.metadata == {"framework": "own", "version": "1"}
    assert Path(artifact.path).name == "model.bin"
    assert not Path(artifact.path).parent.exists()
