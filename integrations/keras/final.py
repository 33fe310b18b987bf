"""What a fit leaves behind: its weights, by which two trainings are told to be the same to the bit, and the model."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from barograph.integrations.keras.architecture import without_tensorflow
from barograph.integrations.keras.layers import count, leaf_layers
from barograph.integrations.keras.plain import attempt, short_of
from barograph.integrations.keras.states import all_of
from barograph.integrations.keras.taking import on_host
from barograph.integrations.keras.variables import Variables
from barograph.models import keep_model
from barograph.run import Run

_SHARE = 0.25  # of the overhead budget
_FILE_S, _LAYER_S = 5e-3, 1e-3  # what Keras takes for a file, and for each layer in it, whatever their size


def final_weights(model: Any) -> dict[str, Any]:  # Any: Keras has no annotations
    """All weights by name, between two steps. Views of them: do not keep them."""
    is_torch = keras.backend.backend() == "torch"
    return {name: value.detach() if is_torch else on_host(value) for name, value in Variables(model).by_name().items()}


def log_model(run: Run, model: Any, step: int, wished: bool | None, fit_s: float) -> str:
    """Keep a model as the artifact "model", in the format that `keras.saving.load_model` reads; "kept", or why not.

    wished: the option log_model, fit_s: seconds of the fit. Without being asked for, a model is kept that is small
    beside its fit, in size and in the time that writing takes, and one that Keras cannot write costs no warning.
    """
    if wished:
        return _keep(run, model, step, wished, fit_s)
    layers = sum(1 for _ in leaf_layers(model))
    if wished is None and _FILE_S + _LAYER_S * layers > _SHARE * run.overhead_budget * fit_s:
        return "writing it would take too much of the overhead budget; log_model=True keeps it"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _keep(run, model, step, wished, fit_s)
    except Exception as error:  # noqa: BLE001  # a model of the user's own need not be one that can be written
        return f"cannot be written: {short_of(error)}"


def _keep(run: Run, model: Any, step: int, wished: bool | None, fit_s: float) -> str:
    about = {
        "backend": keras.backend.backend(),
        "class": type(model).__name__,
        "inputs": attempt(_shapes, model, "inputs"),
        "outputs": attempt(_shapes, model, "outputs"),
    }
    with without_tensorflow():
        return keep_model(
            run, model.save, "model.keras", framework="keras", version=keras.__version__, about=about,
            wished=wished, fit_s=fit_s, least_bytes=sum(_bytes_of(one) for one in all_of(model)), step=step,
        )  # fmt: skip


def _bytes_of(variable: Any) -> int:
    bits = "".join(filter(str.isdigit, str(variable.dtype).partition("_")[0]))  # float32, bfloat16, float8_e4m3fn
    return count([variable]) * int(bits or 8) // 8


def _shapes(model: Any, what: str) -> list[dict[str, Any]]:
    """Name, shape and type of what a model takes or gives; none of a subclassed one."""
    return [
        {"name": one.name, "shape": list(one.shape), "dtype": str(one.dtype)}
        for one in getattr(model, what, None) or []
    ]
