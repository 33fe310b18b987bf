"""A trained model as an artifact: a file that its framework writes for us alone, and what `log_model` means everywhere.

True keeps the model whatever its size, False never. None, the default, keeps it where nobody notices: a model that is
small beside the fit that has made it. Whatever becomes of it stands in the `fit_end` event as `model`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from barograph.run import Run

# Writing and storing take about 10 ms for each MiB, so this is a two-hundredth of the fit, or nearly nothing.
_SMALL_BYTES = 256 * 1024
_BYTES_A_SECOND = 512 * 1024  # of the fit


def limit_bytes(wished: bool | None, fit_s: float) -> int | None:
    """How large a model may be that is kept after so long a fit; None for any size. wished: the option log_model."""
    if wished is None:
        return max(_SMALL_BYTES, int(fit_s * _BYTES_A_SECOND))
    return None if wished else 0


def reason_against(wished: bool | None, fit_s: float, size_bytes: int) -> str | None:
    """Why a model of at least this size is not kept, and what to ask for; None if it is."""
    limit = limit_bytes(wished, fit_s)
    if wished is False:
        return "not asked for"
    return None if limit is None or size_bytes <= limit else f"larger than {limit} bytes; log_model=True keeps it"


def keep_model(
    run: Run,
    write: Callable[[Path], object],
    file_name: str,
    *,
    framework: str,
    version: str,
    about: Mapping[str, object],
    wished: bool | None = True,
    fit_s: float = 0.0,
    least_bytes: int = 0,
    name: str = "model",
    step: int | None = None,
) -> str:
    """Keep what `write` writes to the path it is given, as an artifact of the kind "model"; "kept", or why not.

    file_name: what the file is called when it is taken out again; its ending tells readers the format. framework,
    version, about: the artifact's metadata. wished: the option log_model, fit_s: seconds of the fit; least_bytes: what
    is known of the size before anything is written.
    """
    if reason := reason_against(wished, fit_s, least_bytes):
        return reason
    with tempfile.TemporaryDirectory(prefix="barograph-") as folder:
        path = Path(folder, file_name)
        write(path)
        if reason := reason_against(wished, fit_s, path.stat().st_size):
            return reason
        metadata = {"framework": framework, "version": version, **about}
        artifact = run.keep_file(path, "model", name, metadata=metadata, step=step)
    return "kept" if artifact is not None and artifact.stored else "could not be stored"
