"""What the top-level layers of a model put out during one step: heard in their `call`, and brought out with it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any

import keras
import numpy as np

BACKEND = keras.backend.backend()
_WHOLE_UP_TO = 1 << 18  # elements of an output; of larger ones the first rows of the batch are taken
_LEAST_ROWS = 16

_Replaced = Callable[[Any, str, Any], AbstractContextManager[None]]


def why_unheard(model: Any) -> str | None:
    """Why the outputs of a model's layers cannot be brought out of its step; None if they can."""
    if BACKEND == "torch" and model.jit_compile:
        return "torch.compile made the step, which is left whole"
    if BACKEND == "jax" and not all(
        _is_of_keras(type(model), method) for method in ("train_step", "compute_loss_and_updates")
    ):
        return "on jax they leave by the state of Keras' own train_step, and this model has one of its own"
    return None


class Failures:
    """Keeps exceptions of ours out of the user's step: the first one is told once it is over."""

    error: Exception | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.error = self.error or error
            return True
        return False


class Outputs:
    """The outputs heard while hooked, by layer; a layer that is called several times has as many.

    On jax they live inside the function whose gradient is taken, and leave it as one more of the model's variables.
    """

    def __init__(self, model: Any, failures: Failures) -> None:
        self.found: dict[str, list[Any]] = {}
        self._model, self._failures = model, failures
        self._is_loaded = False
        self._scope = _scope()

    @contextmanager
    def hooked(self, replaced: _Replaced) -> Iterator[None]:
        """Hear for a while. replaced: sets an attribute of one object and takes it back."""
        with ExitStack() as hooks:
            for layer in self._model.layers:
                # The inner values of what is computed again for the gradient must not leave it.
                if not isinstance(layer, keras.layers.InputLayer) and getattr(layer, "_remat_mode", None) is None:
                    hooks.enter_context(replaced(layer, "call", self._hook(layer.name, layer.call)))
            if BACKEND == "jax":
                inner = self._model.compute_loss_and_updates
                hooks.enter_context(replaced(self._model, "compute_loss_and_updates", self._loading(inner)))
            yield

    def unloaded(self, state: Any) -> Any:
        """The state of a step without the outputs, which are now found."""
        if not self._is_loaded:
            return state
        trainable, (*others, self.found), optimizer, metrics = state
        return trainable, others, optimizer, metrics

    def _hook(self, name: str, call: Any) -> Any:
        def heard(*arguments: Any, **keywords: Any) -> Any:
            out = call(*arguments, **keywords)
            with self._failures:
                if _scope() is self._scope:
                    self._hear(name, out)
            return out

        return heard

    def _hear(self, name: str, out: Any) -> None:
        first = next((one for one in keras.tree.flatten(out) if _holds_floats(one)), None)
        if first is not None and len(first.shape):
            rows = max(_LEAST_ROWS, _WHOLE_UP_TO // max(1, math.prod(size or 1 for size in first.shape[1:])))
            self.found.setdefault(name, []).append(first[:rows])

    def _loading(self, compute: Any) -> Any:
        def compute_loss_and_updates(*arguments: Any, **keywords: Any) -> Any:
            self.found = {}
            loss, (unscaled, predicted, others, metrics) = compute(*arguments, **keywords)
            found, self.found = self.found, {}
            self._is_loaded = True
            return loss, (unscaled, predicted, [*others, found], metrics)

        return compute_loss_and_updates


class Units:
    """Which units of layers that rectify have put out anything above zero since an epoch began."""

    def __init__(self, model: Any) -> None:
        self._rectifying = {layer.name for layer in model.layers if _rectifies(layer)}
        self._fired: dict[str, Any] = {}

    def start_epoch(self) -> None:
        """Count from here."""
        self._fired = {}

    def note(self, name: str, outputs: list[np.ndarray[Any, Any]]) -> int | None:
        """How many units of a layer never fired in what was looked at; None for a layer that does not rectify."""
        if name not in self._rectifying:
            return None
        for rows in outputs:
            first = keras.config.image_data_format() == "channels_first" and rows.ndim > 3
            units = 1 if first else rows.ndim - 1
            fired = (rows > 0).any(axis=tuple(axis for axis in range(rows.ndim) if axis != units))
            before = self._fired.get(name)
            self._fired[name] = fired if before is None or before.shape != fired.shape else before | fired
        return int((~self._fired[name]).sum())


def _scope() -> Any:
    """On tensorflow the graph that is traced: what a layer puts out in one of its own cannot be brought out of it."""
    if BACKEND != "tensorflow":
        return None
    tensorflow = sys.modules["tensorflow"]
    return None if tensorflow.executing_eagerly() else tensorflow.compat.v1.get_default_graph()


def _holds_floats(value: Any) -> bool:
    return bool(
        keras.ops.is_tensor(value) and keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    )


def _rectifies(layer: Any) -> bool:
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) in (
        keras.activations.relu,
        keras.activations.relu6,
    )


def _is_of_keras(kind: type, method: str) -> bool:
    return str(getattr(kind, method).__module__).partition(".")[0] == "keras"
