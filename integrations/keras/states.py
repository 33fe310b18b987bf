"""What a call of a model may change besides what it is asked for: random states, variables, the model's own notes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from barograph.integrations.keras.optimizers import optimizers_of
from barograph.integrations.keras.taking import on_host
from barograph.randomness import same_randomness

# Any, throughout: Keras has no annotations
_CHANGING = ("seed_generator_state", "rnn_state")  # variables that asking a model may change
_SEED = "seed_generator_state"


class Values:
    """A copy on the host of what variables hold, to be put back to the bit."""

    def __init__(self, variables: list[Any]) -> None:
        self._kept = [(one, np.array(on_host(one.value))) for one in variables]

    def are_of(self, variables: list[Any]) -> bool:
        """Whether all of these were copied."""
        return {id(one) for one in variables} <= {id(one) for one, _ in self._kept}

    def put_back(self) -> None:
        """Let every variable hold that again."""
        for one, value in self._kept:
            one.assign(value)


def all_of(model: Any) -> list[Any]:
    """All variables that training a model may change: its own, and those of optimisers and metrics."""
    found = [*model.variables, *model.metrics_variables]
    for optimizer in optimizers_of(model).values():
        found += getattr(optimizer, "variables", [])
    return list({id(one): one for one in found}.values())


def kept_of(model: Any) -> list[Any]:
    """The same without those of metrics, which begin anew in each epoch."""
    metrics = {id(one) for one in model.metrics_variables}
    return [one for one in all_of(model) if id(one) not in metrics]


def seeds_of(model: Any) -> list[Any]:
    """The states of the seed generators that layers of a model keep."""
    return [one for one in model.non_trainable_variables if one.name == _SEED]


@contextmanager
def same_states(model: Any) -> Iterator[None]:
    """Leave every random state, and the state of recurrent layers, as it is."""
    generator = global_state.get_global_attribute("global_seed_generator")
    states = [one for one in model.non_trainable_variables if one.name in _CHANGING]
    before = Values([*states, generator.state] if generator is not None else states)
    operations = _operation_seeds()
    drawn = operations.getstate() if operations is not None else None
    with same_randomness():  # a user's layer may draw past Keras
        try:
            yield
        finally:
            before.put_back()
            if operations is not None:
                operations.setstate(drawn)


@contextmanager
def same_model(model: Any) -> Iterator[None]:
    """Leave a model as it is, whatever is done with it: its variables, and what it notes of itself in attributes."""
    values, notes = Values(all_of(model)), dict(vars(model))
    with same_states(model):
        try:
            yield
        finally:
            values.put_back()
            for name in vars(model).keys() - notes.keys():
                del vars(model)[name]
            vars(model).update(notes)


def _operation_seeds() -> Any:
    """What tensorflow draws the seeds of operations from, once it was given a seed; None elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return None
    context = sys.modules.get("tensorflow.python.eager.context")
    return getattr(getattr(context, "_context", None), "_rng", None)
