"""How the metrics depend on the amount of data: `learning_curve=` trains again on shares of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from barograph.guard import guarded
from barograph.integrations.keras.calls import Call
from barograph.integrations.keras.monitors import metric_key
from barograph.integrations.keras.optimizers import iterations, number
from barograph.integrations.keras.plain import short_of
from barograph.integrations.keras.rows import are_arrays, count_rows, rows_at
from barograph.integrations.keras.states import Values, all_of, kept_of, same_model
from barograph.randomness import Randomness
from barograph.run import Run

# Any, throughout: whatever users train and train on
_AGAIN = ("batch_size", "shuffle", "class_weight", "validation_data", "validation_batch_size", "validation_steps")


class LearningCurve:
    """All variables of a model as they are before its first step, for a fit whose learning curve is asked for.

    At the end of the fit the model itself is trained from there, and from the random state of that time, on each share
    of the rows, spread evenly over the data, for as many epochs, without callbacks. Then it gets back what it had, to
    the bit: any model can be trained in this way, and few can be cloned. `run.log()` of its own steps keeps nothing
    meanwhile. Two copies of its variables lie in the host's memory.
    """

    def __init__(self, run: Run, model: Any, shares: Sequence[float]) -> None:
        self.run = run
        self._model, self._shares = model, shares
        self._was_trained = bool(iterations(model))
        optimizer = model.optimizer
        if model.built and not getattr(optimizer, "built", True):  # tensorflow's first step would do it
            optimizer.build(model.trainable_variables)
        self._randomness = Randomness()
        self._before = Values(all_of(model)) if model.built else None

    @guarded
    def log_learning_curve(self, call: Call, epochs: int, logs: Mapping[str, Any]) -> None:
        """Train on the shares and write `learning_curve/<split>/<metric>` with the number of rows as the step.

        call: the fit. epochs, logs: how many it had, and the metrics of its last one, which the last points are of. An
        event says why there is no curve.
        """
        reason = self._reason_against(call.arguments, epochs)
        rows = count_rows(*(call.arguments.get(name) for name in ("x", "y", "sample_weight")))
        if reason is None and rows is None:
            reason = "inputs and labels have different numbers of rows"
        if reason is not None or rows is None:
            self.run.event("learning_curve_left_out", reason=reason)
            return
        found = {rows: dict(logs)}
        with same_model(self._model), self.run.silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for count in sorted({max(1, round(share * rows)) for share in self._shares} - {rows}):
                try:
                    found[count] = self._metrics_with(call.arguments, rows, count, epochs)
                except Exception as error:  # noqa: BLE001  # of the user's own step, with so few rows
                    reason = short_of(error)
                    break
        if reason is not None:
            self.run.event("learning_curve_left_out", rows=count, reason=reason)
        for count, metrics in sorted(found.items()):
            named = {metric_key(name): number(metrics[name]) for name in metrics}
            kept = {f"learning_curve/{key}": one for key, one in named.items() if not key.startswith("lr/")}
            self.run.log(kept, count)

    def _reason_against(self, given: Mapping[str, Any], epochs: int) -> str | None:
        if not epochs or not given:
            return "no epoch of a fit was seen"
        if given.get("steps_per_epoch"):
            return "an epoch is a number of steps and not all of the data"
        if self._was_trained:
            return "the model goes on from an earlier training"
        if self._before is None or not self._before.are_of(kept_of(self._model)):
            return "the model is built by its first step, which it cannot go back to"
        if not are_arrays(given.get("x")):
            return "the data cannot be cut: they are no arrays"
        validation = given.get("validation_data")
        if validation is None:
            return "there is no validation data"
        if not are_arrays(keras.utils.unpack_x_y_sample_weight(validation)[0]):
            return "the validation data are no arrays, and may not be gone through again"
        if keras.distribution.distribution() is not None:
            return "the model is distributed over several devices"
        return None

    def _metrics_with(self, given: Mapping[str, Any], rows: int, count: int, epochs: int) -> dict[str, Any]:
        """The metrics of the last epoch of the same training with some of the rows."""
        if self._before is not None:
            self._before.put_back()
        self._randomness.put_back()
        places = np.linspace(0, rows - 1, count).astype(np.int64)
        cut = {name: rows_at(given.get(name), places) for name in ("x", "y", "sample_weight")}
        again = {name: given[name] for name in _AGAIN if given.get(name) is not None}
        history = keras.Model.fit(
            self._model, **cut, **again, epochs=epochs, verbose=0, callbacks=[], validation_freq=[epochs]
        ).history
        return {name: values[-1] for name, values in history.items() if values}
