"""What the model says of a few fixed rows, evaluation by evaluation: `log_predictions=N`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from barograph.integrations.keras.losses import is_of_values, loss_of
from barograph.integrations.keras.rows import by_name, count_rows, first_rows, on_host, rows_at
from barograph.integrations.keras.states import same_states
from barograph.predictions import prediction_table
from barograph.run import Run

# Any, throughout: whatever users train and train on


class Rows:
    """Rows of a data set, copied, to ask about again and again: spread evenly over arrays, the first of what passes."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._inputs: list[Any] = []
        self._labels: list[Any] = []
        self._places: list[int] | None = None  # the first ones

    def __bool__(self) -> bool:
        return bool(self._inputs)

    def spread(self, x: Any, y: Any) -> None:
        """Take of all the data what is wanted."""
        rows = count_rows(x, y)
        if not rows:
            return
        places = np.unique(np.linspace(0, rows - 1, min(self._left, rows)).astype(np.int64))
        self._inputs, self._labels = [on_host(rows_at(x, places))], [on_host(rows_at(y, places))]
        self._places = places.tolist()

    def add(self, x: Any, y: Any) -> None:
        """Take of a batch what is still wanted."""
        if self._left <= 0:
            return
        self._inputs.append(first_rows(x, self._left))
        self._labels.append(None if y is None else first_rows(y, self._left))
        self._left -= len(keras.tree.flatten(self._inputs[-1])[0])

    def log(self, run: Run, model: Any, name: str, step: int) -> None:
        """Ask the model, and write what it says as tables `predictions/<name>`, of each output if it has several."""
        labels = None if any(one is None for one in self._labels) else _joined(self._labels)
        with same_states(model):
            outputs = model.predict_on_batch(_joined(self._inputs))
        for output, said in by_name(model, outputs).items():
            right, loss = by_name(model, labels).get(output), loss_of(model, output)
            key = f"predictions/{name}/{output}" if output else f"predictions/{name}"
            table = prediction_table(right, said, self._places, name, are_values=is_of_values(loss))
            run.log_table(key, table, step)


def _joined(parts: list[Any]) -> Any:
    return keras.tree.map_structure(lambda *several: np.concatenate(several), *parts)
