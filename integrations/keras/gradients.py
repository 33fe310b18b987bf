"""The gradients a fit really uses: a twin of its step hands them out as well, and is called on logged steps only.

The plain step stays as Keras made it. On torch it is run with a listener around. On tensorflow and jax, where it is
compiled, Keras makes a second one of the same `train_step` with the listener in it, which puts what it heard under one
more key into the logs; the key is taken out again before anybody sees them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

from barograph.integrations.keras.activations import Failures, Outputs
from barograph.integrations.keras.replacing import replaced
from barograph.integrations.keras.variables import Variables

BACKEND = keras.backend.backend()
_KEY = "__barograph__"


@dataclass
class Heard:
    """What a step let be heard: gradients by variable, what they are multiplied by, outputs of layers."""

    gradients: dict[str, Any] = field(default_factory=dict)  # Any: tensors of the back end
    scale: Any = 1.0
    outputs: dict[str, list[Any]] = field(default_factory=dict)


class Twin:
    """The step of a model, such that it also tells its gradients, and on demand what layers put out.

    failure: what went wrong in listening; the step was as the plain one all the same.
    """

    failure: Exception | None = None

    def __init__(self, model: Any, plain: Any, variables: Variables, gradients: bool, activations: bool) -> None:
        """plain: the train_function that Keras made."""
        self._model, self._plain, self._variables = model, plain, variables
        self._gradients, self._activations = gradients, activations
        self._function: Any = None
        self._replay: _Replay | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether this is a program of its own beside the plain step."""
        is_eager = self._model.run_eagerly or (BACKEND == "jax" and not self._model.jit_compile)
        return BACKEND != "torch" and not is_eager

    def __call__(self, arguments: tuple[Any, ...]) -> tuple[Any, Heard]:
        """One step: what the plain one would have given, and what was heard."""
        if BACKEND == "torch":
            return self._compiled(arguments) if self._model.jit_compile else self._eager(arguments)
        if BACKEND == "jax":
            state, batches = arguments
            self._replay = _Replay(batches)
            arguments = state, self._replay
        if self._function is None:
            self._function = self._make()
        out = self._function(*arguments)
        self._replay = None
        logs = out[0] if BACKEND == "jax" else out
        heard = logs.pop(_KEY, None) if isinstance(logs, dict) else None
        return out, Heard() if heard is None else Heard(**heard)

    def instead(self, error: Exception, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """What to call the plain step with after the twin has failed; None if that was no failure of ours.

        A step that was compiled fails before it has begun, and of an eager one only the user's own code can fail.
        """
        if BACKEND == "torch" or self._model.run_eagerly:
            return None
        if BACKEND == "tensorflow":
            stops = (StopIteration, sys.modules["tensorflow"].errors.OpError)  # no more data, or it was running
            return None if isinstance(error, stops) else arguments
        state, batches = arguments
        replay, self._replay = self._replay, None
        is_donated = any(getattr(one, "is_deleted", bool)() for one in keras.tree.flatten(state))
        if replay is None or replay.has_failed or is_donated:
            return None
        return state, itertools.chain(replay.fetched, batches)

    def _eager(self, arguments: tuple[Any, ...]) -> tuple[Any, Heard]:
        with self._listening() as listener:
            out = self._plain(*arguments)
        self.failure = listener.failures.error
        return out, listener.heard

    def _compiled(self, arguments: tuple[Any, ...]) -> tuple[Any, Heard]:
        """torch.compile made the step: it is left whole, and leaves its gradients where torch keeps them."""
        heard, failures = Heard(), Failures()
        with failures:
            heard.scale = _scale(self._model.optimizer, None)  # the step may change it
        out = self._plain(*arguments)
        with failures:
            for variable in self._model.trainable_variables:
                name, gradient = self._variables.name_of(variable), variable.value.grad
                if name is not None and gradient is not None:
                    heard.gradients[name] = gradient
        self.failure = failures.error
        return out, heard

    def _make(self) -> Any:
        """Let Keras make another train_function, of a step that listens."""
        model = self._model
        step, installed = model.train_step, model.train_function

        def train_step(*arguments: Any) -> Any:
            with self._listening() as listener:
                out = step(*arguments)
            self.failure = listener.failures.error
            return _with_logs(out, listener)

        with replaced(model, "train_step", train_step):
            try:
                model.make_train_function(force=True)
                return model.train_function
            finally:
                model.train_function = installed

    @contextmanager
    def _listening(self) -> Iterator[_Listener]:
        listener = _Listener(self._model, self._variables)
        with ExitStack() as hooks:
            if self._gradients:
                method = "stateless_apply" if BACKEND == "jax" else "apply"
                optimizer = self._model.optimizer
                hooks.enter_context(replaced(optimizer, method, listener.hook(getattr(optimizer, method))))
            if self._activations:
                hooks.enter_context(listener.outputs.hooked(replaced))
            yield listener


class _Listener:
    """Hears what passes during one step, or while one is traced. Raises nothing into it."""

    def __init__(self, model: Any, variables: Variables) -> None:
        self.failures = Failures()
        self.outputs = Outputs(model, self.failures)
        self._optimizer, self._variables = model.optimizer, variables
        self._gradients: dict[str, Any] = {}
        self._scale: Any = 1.0

    def hook(self, method: Any) -> Any:
        """apply(gradients, variables) or stateless_apply(own variables, gradients, values) of the optimiser."""
        if BACKEND == "jax":

            def stateless_apply(own: Any, gradients: Any, values: Any) -> Any:
                self._hear(gradients, None, own)
                return method(own, gradients, values)

            return stateless_apply

        def apply(grads: Any, trainable_variables: Any = None) -> Any:
            grads = list(grads)
            if trainable_variables is not None:
                trainable_variables = list(trainable_variables)
            self._hear(grads, trainable_variables, None)
            return method(grads, trainable_variables)

        return apply

    @property
    def heard(self) -> Heard:
        """What was heard; nothing if that failed."""
        return Heard() if self.failures.error else Heard(self._gradients, self._scale, self.outputs.found)

    def _hear(self, gradients: Any, variables: Any, own: Any) -> None:
        with self.failures:
            if variables is None:
                variables = getattr(self._optimizer, "inner_optimizer", self._optimizer)._trainable_variables
            for variable, gradient in zip(variables, gradients, strict=True):
                name = self._variables.name_of(variable)
                if gradient is not None and name is not None and name not in self._gradients:
                    self._gradients[name] = _whole(gradient)
            self._scale = _scale(self._optimizer, own)


class _Replay:
    """Batches on their way to a step that may fail before it has used them."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.fetched: list[Any] = []
        self.has_failed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except BaseException:
            self.has_failed = True
            raise
        self.fetched.append(batch)
        return batch


def _whole(gradient: Any) -> Any:
    """On tensorflow the gradient of an embedding holds only the rows that were looked up."""
    return sys.modules["tensorflow"].convert_to_tensor(gradient) if BACKEND == "tensorflow" else gradient


def _scale(optimizer: Any, own: Any) -> Any:
    """What the gradients of this step are multiplied by. own: values of the optimiser's variables, on jax."""
    if not hasattr(optimizer, "dynamic_scale") and not hasattr(optimizer, "inner_optimizer"):
        return float(optimizer.loss_scale_factor or 1.0)
    if not optimizer.built:
        return float(optimizer.initial_scale)  # as scale_loss() has it
    if own is not None:
        return own[[one is optimizer.dynamic_scale for one in optimizer.variables].index(True)]
    scale = keras.ops.convert_to_tensor(optimizer.dynamic_scale)
    return float(scale) if BACKEND == "torch" else scale * 1.0  # a copy: the step may change it


def _with_logs(out: Any, listener: _Listener) -> Any:
    """The outcome of a step with what was heard in its logs; as it is if it has none."""
    logs, state = out if BACKEND == "jax" else (out, None)
    if not isinstance(logs, Mapping):
        return out
    if BACKEND == "jax":
        state = listener.outputs.unloaded(state)
    heard = listener.heard
    scale = keras.ops.convert_to_tensor(heard.scale, "float32")
    logs = {**logs, _KEY: {"gradients": heard.gradients, "scale": scale, "outputs": heard.outputs}}
    return (logs, state) if BACKEND == "jax" else logs
