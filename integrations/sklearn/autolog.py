"""autolog: the one word a user needs, as a decorator, as a block, and as a switch for the whole process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from barograph.integrations.sklearn.recording import ProcessRecording, Recording
from barograph.run import Run

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Autolog:
    """Record everything that scikit-learn fits and scores in a function, in a block, or in the whole process.

    As a decorator, `@autolog` or `@autolog(project="digits")`; as a block, `with autolog() as run:`; for the whole
    process, `autolog.enable()` and `autolog.disable()`. Arguments: `run=`, a run to write to; those of `barograph.init`
    for the run that is made if none is open; and what costs more than a look (options.py): `log_model`, `candidates`,
    `log_predictions`, `training_score`, `permutation_importance`, `learning_curve`.
    """

    def __init__(self) -> None:
        self._process: ProcessRecording | None = None

    @overload
    def __call__(self, function: Callable[_P, _R], /) -> Callable[_P, _R]: ...

    @overload
    def __call__(self, function: None = None, /, *, run: Run | None = None, **arguments: Any) -> Recording: ...

    def __call__(
        self, function: Callable[..., Any] | None = None, /, *, run: Run | None = None, **arguments: Any
    ) -> Any:
        recording = Recording(run, **arguments)
        return recording if function is None else recording(function)

    def enable(self, *, run: Run | None = None, **arguments: Any) -> None:
        """Record from now on in the whole process, all threads included; called again, with these arguments."""
        process = ProcessRecording(run, **arguments)
        self.disable()
        self._process = process
        process.switch_on()

    def disable(self) -> None:
        """End what `enable()` began, and the run that it made; without it nothing happens."""
        if self._process is not None:
            self._process.switch_off()
            self._process = None


autolog = _Autolog()
