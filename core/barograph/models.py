"""A trained model as an artifact: a file that its framework writes for us alone, kept whatever its size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from barograph.run import Run


def keep_model(
    run: Run,
    write: Callable[[Path], object],
    file_name: str,
    *,
    framework: str,
    version: str,
    about: Mapping[str, object],
    name: str = "model",
    step: int | None = None,
) -> None:
    """Keep what `write` writes to the path it is given, as an artifact of the kind "model".

    file_name: what the file is called when it is taken out again; its ending tells readers the format. framework,
    version, about: the artifact's metadata.
    """
    with tempfile.TemporaryDirectory(prefix="barograph-") as folder:
        path = Path(folder, file_name)
        write(path)
        metadata = {"framework": framework, "version": version, **about}
        run.log_artifact(path, "model", name, copy=True, metadata=metadata, step=step)
