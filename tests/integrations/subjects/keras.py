"""Keras as the conformance questions ask it, on the back end that is in force."""

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

from barograph.integrations.keras import BarographCallback


class _Raises(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """The user's own code, which raises in the second epoch."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Fail midway."""
        if epoch == 1:
            raise self.error


class _Keras:
    """A network of two layers on 64 rows, seeded."""

    name = "keras"
    set_by_framework = frozenset({"params"})
    hooks = ("on_train_begin", "on_epoch_begin", "on_test_begin", "on_test_end", "on_epoch_end", "on_train_end")

    def callback(self, **arguments: Any) -> BarographCallback:
        """A fresh callback."""
        return BarographCallback(**arguments)

    def train(self, callback: Any, *, epochs: int = 2) -> bytes:
        """A fit with validation."""
        callbacks = callback if isinstance(callback, list) else [] if callback is None else [callback]
        model = self._fit(callbacks, epochs)
        return b"".join(np.asarray(weight).tobytes() for weight in model.get_weights())

    def train_failing(self, callback: Any, error: BaseException) -> None:
        """A fit in which another callback raises."""
        self._fit([callback, _Raises(error)], 2)

    def _fit(self, callbacks: list[Any], epochs: int) -> Any:
        keras.utils.set_random_seed(3)
        generator = np.random.default_rng(0)
        x = generator.normal(size=(64, 4)).astype("float32")
        y = (x.sum(axis=1) > 0).astype("int32")
        layers = [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.2)]
        model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=epochs, batch_size=16, validation_split=0.25, callbacks=callbacks, verbose=0)
        return model


SUBJECT = _Keras()
