"""BarographCallback: one fit recorded through scikit-learn's own callbacks (1.9 or newer), without an autolog.

    LogisticRegression().set_callbacks(BarographCallback()).fit(X, y)

sklearn.callback is experimental and may change; estimators that support it have `set_callbacks`.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, Self

from barograph import starting
from barograph.attachment import Attachment
from barograph.guard import guarded
from barograph.integrations.sklearn.calls import Call, is_inside
from barograph.integrations.sklearn.live import Live
from barograph.integrations.sklearn.options import Options
from barograph.integrations.sklearn.recording import Recording
from barograph.run import Run

if TYPE_CHECKING:
    from barograph.reading import RunView


class BarographCallback:
    """Records the fits of the estimators it is set on; what else is done with them is recorded by autolog only.

    With a run open that run is used and left open; else one is made, which serves the later fits and is closed after
    each. Inside an autolog it has nothing to do. Arguments: those of autolog. Copies, in clones that work in other
    processes, write runs that are children of this one's. It asks for no propagation to inner estimators, of which
    many take no callbacks; what is fitted inside is seen all the same.
    """

    def __init__(self, run: Run | None = None, **arguments: Any) -> None:
        _, init_arguments = Options.take(arguments)
        inspect.signature(starting.init).bind_partial(**init_arguments)  # TypeError for no argument's name
        self._arguments = arguments
        self._attachment = Attachment(run, **init_arguments)
        self._fits: dict[int, _Fit | None] = {}  # by the id of the estimator; None until its data is known

    @property
    def run(self) -> Run | None:
        """The run that is written to, or that was last; None before, and where only copies of this one have used it."""
        return self._attachment.run

    def view(self) -> RunView | None:
        """The run as a reader sees it now, whichever process has written it; None if there is none yet."""
        from barograph.reading import find_run  # a training need not load it

        return find_run(self._attachment.place)

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins; its data comes with the first task."""
        if not is_inside():
            self._fits[id(estimator)] = None

    @guarded
    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any, y: Any) -> None:
        """A task begins: the whole fit, or something in it."""
        if self._fits.get(id(estimator), self) is None:
            self._fits[id(estimator)] = _Fit(self._attachment, self._arguments, estimator, X, y)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> None:
        """A task is done: an iteration, say."""
        fit = self._fits.get(id(estimator))
        if fit is not None and fit.live is not None:
            told = {"X": X, "y": y, "metadata": metadata, "fitted_estimator": fitted_estimator}
            fit.live.on_fit_task_end(estimator, context, **told)

    @guarded
    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit is over, as it should be or by an exception."""
        fit = self._fits.pop(id(estimator), None)
        if fit is not None:
            fit.end(sys.exc_info()[1])

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        copy = type(self)(None, **self._arguments)
        copy._attachment = self._attachment.__deepcopy__(memo)
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self._arguments, "attachment": self._attachment}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._arguments, self._attachment, self._fits = state["arguments"], state["attachment"], {}


class _Fit:
    """One fit under way: a block around it, and the call that it is."""

    def __init__(self, attachment: Attachment, arguments: dict[str, Any], estimator: Any, X: Any, y: Any) -> None:
        options = {name: arguments[name] for name in arguments if name not in starting.INIT_ARGUMENTS}
        self._attachment, self._estimator = attachment, estimator
        self._block = Recording(attachment.begin(), **options)
        self._block.__enter__()
        args = (estimator, X, y)
        self._call: Call | None = self._block.call_begins("fit", args, {})
        if self._call is not None:
            self._call.start(args)

    @property
    def live(self) -> Live | None:
        """What writes while the fit goes on."""
        return None if self._call is None or self._call.state is None else self._call.state.live

    def end(self, error: BaseException | None) -> None:
        """Write what came of it."""
        if self._call is not None:
            if error is None:
                self._call.returned(self._estimator)
            else:
                self._call.failed(error)
        self._block.__exit__(None, None, None)
        if isinstance(error, KeyboardInterrupt):
            self._attachment.end("interrupted", "KeyboardInterrupt", error)
        elif error is not None:
            self._attachment.end("failed", type(error).__name__, error)
        else:
            self._attachment.end()
