"""The variables of a model in the midst of a fit: by name, wherever the back end keeps their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

BACKEND = keras.backend.backend()


class Variables:
    """Names and values of a model's weights. A name is the path of a variable, without the name of the model.

    On jax the values of a model that is being trained are in the state that its step takes and gives.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._names: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, variable: Any) -> str | None:
        """The name of one of the model's weights; None for any other variable."""
        if id(variable) not in self._names:
            self._read_names()  # a model may build itself in its first step
        return self._names.get(id(variable))

    def trainable(self, state: Any) -> dict[str, Any]:
        """The values of those that are trained. state: on jax, that of the step."""
        variables = self._model.trainable_variables
        return self._named(variables, state[0] if BACKEND == "jax" else (one.value for one in variables))

    def all(self, state: Any) -> dict[str, Any]:
        """The values of all weights: trained, frozen, and those that layers keep by themselves."""
        if BACKEND != "jax":
            return self.by_name()
        others = self._model.non_trainable_variables
        return self.trainable(state) | self._named(others, state[1])

    def by_name(self) -> dict[str, Any]:
        """The values of all weights while no epoch is under way, when the model itself holds them on every back end."""
        variables = self._model.weights
        return self._named(variables, (one.value for one in variables))

    def _named(self, variables: Iterable[Any], values: Iterable[Any]) -> dict[str, Any]:
        named = ((self.name_of(one), value) for one, value in zip(variables, values, strict=True))
        return {name: value for name, value in named if name is not None}

    def _read_names(self) -> None:
        prefix = f"{self._model.name}/"
        self._names = {}
        seen: dict[str, int] = {}
        for variable in self._model.weights:
            name = variable.path.removeprefix(prefix)
            seen[name] = seen.get(name, 0) + 1
            self._names[id(variable)] = name if seen[name] == 1 else f"{name}_{seen[name]}"
