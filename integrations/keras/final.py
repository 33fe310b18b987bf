"""What a fit leaves behind: its weights, by which two trainings are told to be the same to the bit, and the model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras

from barograph.integrations.keras.plain import attempt
from barograph.integrations.keras.taking import on_host
from barograph.integrations.keras.variables import Variables
from barograph.run import Run


def final_weights(model: Any) -> dict[str, Any]:  # Any: Keras has no annotations
    """All weights by name, between two steps. Views of them: do not keep them."""
    is_torch = keras.backend.backend() == "torch"
    return {name: value.detach() if is_torch else on_host(value) for name, value in Variables(model).by_name().items()}


def log_model(run: Run, model: Any, step: int) -> None:
    """Keep a model as the artifact "model", in the file format that `keras.saving.load_model` reads.

    Whatever its size it is copied into the store: nobody else keeps this file.
    """
    with tempfile.TemporaryDirectory(prefix="barograph-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        metadata = {
            "framework": "keras",
            "version": keras.__version__,
            "backend": keras.backend.backend(),
            "class": type(model).__name__,
            "inputs": attempt(_shapes, model, "inputs"),
            "outputs": attempt(_shapes, model, "outputs"),
        }
        run.log_artifact(path, "model", "model", copy=True, metadata=metadata, step=step)


def _shapes(model: Any, what: str) -> list[dict[str, Any]]:
    """Name, shape and type of what a model takes or gives; none of a subclassed one."""
    return [
        {"name": one.name, "shape": list(one.shape), "dtype": str(one.dtype)}
        for one in getattr(model, what, None) or []
    ]
