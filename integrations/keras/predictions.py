"""What the model says of a few fixed rows, evaluation by evaluation: `log_predictions=N`."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from barograph.predictions import prediction_table
from barograph.run import Run

# Any, throughout: whatever users train and train on
_STATES = ("seed_generator_state", "rnn_state")  # what asking a model may change


class Rows:
    """The first rows of a data set, copied, to ask about again and again."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._inputs: list[Any] = []
        self._labels: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self._inputs)

    def add(self, x: Any, y: Any) -> None:
        """Take of a batch what is still wanted."""
        if self._left <= 0:
            return
        self._inputs.append(keras.tree.map_structure(self._first, x))
        self._labels.append(None if y is None else keras.tree.map_structure(self._first, y))
        self._left -= len(keras.tree.flatten(self._inputs[-1])[0])

    def log(self, run: Run, model: Any, name: str, step: int) -> None:
        """Ask the model, and write what it says as tables `predictions/<name>`, of each output if it has several."""
        labels = None if any(one is None for one in self._labels) else _joined(self._labels)
        with _same_states(model):
            outputs = model.predict_on_batch(_joined(self._inputs))
        for output, said in _by_name(model, outputs).items():
            right = _by_name(model, labels).get(output)
            key = f"predictions/{name}/{output}" if output else f"predictions/{name}"
            run.log_table(key, prediction_table(right, said, dataset=name), step)

    def _first(self, values: Any) -> Any:
        values = values[: self._left]
        if keras.ops.is_tensor(values):
            return np.array(keras.ops.convert_to_numpy(values))
        return values.toarray() if hasattr(values, "toarray") else np.array(values)


def _joined(parts: list[Any]) -> Any:
    return keras.tree.map_structure(lambda *several: np.concatenate(several), *parts)


def _by_name(model: Any, values: Any) -> dict[str, Any]:
    """Outputs or labels by the names of the outputs; those of a model with one output by an empty name."""
    if isinstance(values, (list, tuple)) and len(values) == 1:
        return {"": values[0]}
    if isinstance(values, (list, tuple)):
        names = getattr(model, "output_names", None) or []
        return {str(name): one for name, one in zip(names or range(len(values)), values, strict=True)}
    return dict(values) if isinstance(values, dict) else {"": values}


@contextmanager
def _same_states(model: Any) -> Iterator[None]:
    """Leave every random state, and the state of recurrent layers, as it is."""
    generator = global_state.get_global_attribute("global_seed_generator")
    states = [one for one in model.non_trainable_variables if one.name in _STATES]
    states += [generator.state] if generator is not None else []
    kept = [(one, np.array(keras.ops.convert_to_numpy(one.value))) for one in states]
    python, numpy = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        if keras.backend.backend() == "torch":  # a user's layer may draw past Keras
            torch = sys.modules["torch"]
            stack.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            for one, value in kept:
                one.assign(value)
