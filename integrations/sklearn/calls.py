"""Which calls count: the outermost one, in code that belongs to an autolog. What happens inside it is a part of it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any, Protocol

from barograph import guard
from barograph.integrations.sklearn.estimators import declared_parts, fitted_attributes
from barograph.integrations.sklearn.options import Options
from barograph.voice import BarographWarning

# What a wrapper is about: the name of an estimator's method, or one of scikit-learn's functions.
About = str | Callable[..., Any]

_MOST_PARTS = 100  # of one estimator that are told apart, and kept until its fit ends
FITS = ("fit", "fit_transform", "fit_predict", "partial_fit")
ANSWERS = ("predict", "predict_proba", "decision_function")


class Listener(Protocol):
    """What hears of the calls: a Recording."""

    options: Options

    def call_begins(self, about: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """An outermost call; None if it is not to be recorded."""
        ...

    def call_ends(self, call: Call, result: object, error: BaseException | None) -> None:
        """The call returned or raised."""
        ...

    def warned(self, message: Warning | str, category: type[Warning], filename: str, line: int) -> None:
        """A warning was shown."""
        ...


listener: ContextVar[Listener | None] = ContextVar("barograph_autolog", default=None)
everywhere: list[Listener] = []  # the one of autolog.enable(), for code that has none in its context


def listener_here() -> Listener | None:
    """The autolog that this code belongs to."""
    mine = listener.get()
    if mine is None and everywhere and not _is_parallel_worker():
        return everywhere[0]
    return mine


class Part:
    """An estimator that is being fitted, and what is fitted inside it.

    Steps of a pipeline and the like are parts of their own; candidates, folds and members are only counted, so that
    nothing keeps a thousand models alive.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.seconds = 0.0
        self.parts: list[Part] = []
        self.counted: dict[str, list[float]] = {}  # class: number of fits, seconds
        self._is_composed = bool(declared_parts(estimator))

    def begin_inner(self, about: About, args: tuple[Any, ...]) -> InnerFit | None:
        """Called for what is called inside; only fits of other estimators are looked at."""
        if about not in FITS or args[0] is self.estimator:
            return None
        if self._is_composed and len(self.parts) < _MOST_PARTS:
            part = next((part for part in self.parts if part.estimator is args[0]), None)
            if part is None:
                part = Part(args[0])
                self.parts.append(part)
            return InnerFit(self, part, part)
        return InnerFit(self, None, FOLDED)

    def end_inner(self, part: Part | None, estimator: Any, seconds: float) -> None:
        """Add up what an inner fit took."""
        if part is not None:
            part.seconds += seconds
        else:
            counted = self.counted.setdefault(type(estimator).__name__, [0, 0.0])
            counted[0] += 1
            counted[1] += seconds


class _Folded:
    """Where nothing more is told apart."""

    def begin_inner(self, about: About, args: tuple[Any, ...]) -> None:
        """Nothing inside is looked at."""


class Answers:
    """An estimator that is being scored; what it makes of the data on the way costs nothing more to keep."""

    def __init__(self, estimator: Any) -> None:
        self.made: dict[str, Any] = {}  # method: result
        self._asked = list(_speakers(estimator))

    def begin_inner(self, about: About, args: tuple[Any, ...]) -> Answer | None:
        """Called for what is called inside; only answers of the estimator itself are looked at."""
        if about in ANSWERS and any(args[0] is one for one in self._asked):
            return Answer(self, about)
        return None


class Answer:
    """One answer, from its begin to its end."""

    def __init__(self, inside: Answers, about: About) -> None:
        self._inside, self._about = inside, str(about)

    def start(self, args: tuple[Any, ...]) -> None:
        """It begins."""

    def returned(self, result: object) -> None:
        """What came out last counts: a pipeline's last step answers before the pipeline does, and the same."""
        self._inside.made[self._about] = result

    def failed(self, error: BaseException) -> None:
        """There is no answer."""


def _speakers(estimator: Any) -> Iterator[Any]:
    """An estimator, and those inside it whose answer is its own: the best of a search, the last step of a pipeline."""
    while estimator is not None:
        yield estimator
        steps = getattr(estimator, "steps", None)
        last = steps[-1][1] if isinstance(steps, list) and steps else None
        estimator = fitted_attributes(estimator).get("best_estimator_", last)


FOLDED = _Folded()
_place: ContextVar[Part | Answers | _Folded | None] = ContextVar("barograph_autolog_place", default=None)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Calls in here are not the user's, and not recorded."""
    token = _place.set(FOLDED)
    try:
        yield
    finally:
        _place.reset(token)


def is_inside() -> bool:
    """Whether this code runs inside a call that is recorded, or is not to be."""
    return _place.get() is not None


def fitting_here() -> Any:
    """The estimator in whose fit this code runs, not counting what is fitted inside it; None outside of any."""
    return getattr(_place.get(), "estimator", None)


def _leave(token: Token[Part | Answers | _Folded | None]) -> None:
    try:
        _place.reset(token)
    except ValueError:  # a green thread went on in another context
        _place.set(None)


class InnerFit:
    """A fit inside another one, from its begin to its end."""

    __slots__ = ("_estimator", "_inside", "_part", "_place", "_started", "_token")

    def __init__(self, inside: Part, part: Part | None, place: Part | _Folded) -> None:
        self._inside, self._part, self._place = inside, part, place

    def start(self, args: tuple[Any, ...]) -> None:
        """From here on the time counts."""
        self._estimator = args[0]
        self._token = _place.set(self._place)
        self._started = time.perf_counter()

    def returned(self, result: object) -> None:
        """It is over."""
        seconds = time.perf_counter() - self._started
        _leave(self._token)
        self._inside.end_inner(self._part, self._estimator, seconds)

    def failed(self, error: BaseException) -> None:
        """It is over, too."""
        self.returned(None)


class Call:
    """An outermost call, from its begin to its end."""

    def __init__(self, heard_by: Listener, about: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.about, self.args, self.kwargs = about, args, kwargs
        self.estimator = args[0] if isinstance(about, str) else None
        self.part = Part(self.estimator) if about in FITS else None
        self.answers = Answers(self.estimator) if about == "score" else None
        self.seconds = 0.0
        self.recorder: Any = None  # who keeps what comes of it, and what that one remembers from begin to end
        self.state: Any = None
        self.undo: Callable[[], None] | None = None  # what is done to the estimator only while the call lasts
        self._heard_by = heard_by

    @property
    def options(self) -> Options:
        """What the autolog was asked for."""
        return self._heard_by.options

    def argument(self, name: str, place: int) -> Any:
        """An argument that may have been given by name or by place; None if it was not given."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name)

    def start(self, args: tuple[Any, ...]) -> None:
        """From here on the time counts."""
        self._token: Token[Part | Answers | _Folded | None] = _place.set(self.part or self.answers or FOLDED)
        self._started = time.perf_counter()

    def returned(self, result: object) -> None:
        """It is over."""
        self._over()
        self._heard_by.call_ends(self, result, None)

    def failed(self, error: BaseException) -> None:
        """It raised."""
        self._over()
        self._heard_by.call_ends(self, None, error)

    def _over(self) -> None:
        self.seconds = time.perf_counter() - self._started
        _leave(self._token)
        if self.undo is not None:
            self.undo()


def begin_call(about: About, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | InnerFit | Answer | None:
    """What every wrapper asks first: the call to tell of the end, or None where nobody listens."""
    place = _place.get()
    call: Call | InnerFit | Answer | None = None
    try:
        if not args and isinstance(about, str):
            pass  # a method without its object: the original raises
        elif place is not None:
            call = place.begin_inner(about, args)
        elif (heard_by := listener_here()) is not None:
            call = heard_by.call_begins(about, args, kwargs)
    except Exception as error:  # what call_begins raises is guarded; this is the rest
        if guard.raise_errors:
            raise
        guard.report(None, "begin_call", error)
    if call is not None:
        call.start(args)
    return call


def warned(message: Warning | str, category: type[Warning], filename: str, line: int) -> None:
    """Pass a warning on to the autolog that it belongs to; our own are no news."""
    if not issubclass(category, BarographWarning) and (heard_by := listener_here()) is not None:
        heard_by.warned(message, category, filename, line)


def _is_parallel_worker() -> bool:
    """Whether this is a thread in which scikit-learn computes parts of a call that another thread made."""
    if threading.current_thread() is threading.main_thread():
        return False
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "sklearn.utils.parallel":
            return True
        frame = frame.f_back  # type: ignore[assignment]  # None at the thread's own first frame
    return False
