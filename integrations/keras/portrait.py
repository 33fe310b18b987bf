"""What a run is told of the model itself, once it is built: settings, layers, a summary, and its architecture."""

from __future__ import annotations

import weakref
from typing import Any

from barograph.integrations.keras.architecture import architecture_json
from barograph.integrations.keras.description import describe_model, describe_use, summary_text
from barograph.run import Run


class Portrait:
    """Tells each run of a model once a fit, and of its architecture once."""

    def __init__(self) -> None:
        self._told: Run | None = None
        self._drawn: weakref.WeakKeyDictionary[Any, Run] = weakref.WeakKeyDictionary()  # by model

    def begin_fit(self) -> None:
        """What is trained may have changed since it was told."""
        self._told = None

    def tell(self, run: Run, model: Any) -> None:  # Any, here and below: Keras has no annotations
        """Once the model is built: at the begin of the call, or later where the model builds itself."""
        if self._told is run or not getattr(model, "built", False):
            return
        self._told = run
        settings, rows = describe_model(model)
        run.log_config(settings)
        run.log_table("model/layers", rows)
        run.log_text("model/summary", summary_text(settings["model"], rows))
        if self._drawn.get(model) is not run:
            self._drawn[model] = run
            architecture = architecture_json(model)
            if architecture is not None:
                run.log_text("model/architecture", architecture)

    def tell_use(self, run: Run, model: Any) -> None:
        """The same for a run that has no fit."""
        if self._told is not run and getattr(model, "built", False):
            run.log_config(describe_use(model))
            self.tell(run, model)
