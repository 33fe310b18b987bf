"""The call of fit, evaluate or predict that a hook belongs to: what was passed to it, who else listens, how it fails.

Keras tells a callback nothing of this. Its CallbackList and the call itself stand on the stack when a hook is called,
and are looked at there, once a call. There is no hook for failures, but every Exception that leaves such a call is
handed to one function of Keras, which shortens its traceback. While a call is watched, that function first looks
whether the exception comes out of it; this costs nothing per batch. KeyboardInterrupt and SystemExit do not pass there,
but a call's CallbackList dies with the call: one that dies without an exception having been seen was left by one of
these.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import keras
from keras.callbacks import CallbackList
from keras.src.utils import traceback_utils

_DEPTH = 12  # frames between a hook and its CallbackList: the guard's, and those of lists that were subclassed
_OUTERMOST = 3  # entries of a traceback among which the call is: its own, and those of what Keras wraps around it


@dataclasses.dataclass(slots=True)
class Call:
    """What the stack shows; keep none of it, or the user's data outlives the call.

    callbacks: the list that calls the hook. arguments: what fit, evaluate or predict was called with.
    batches: Keras' EpochIterator. Each may be missing, in a training loop of the user's own for example.
    """

    callbacks: CallbackList | None = None
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    batches: Any = None  # Any: EpochIterator is no public class

    @property
    def siblings(self) -> list[Any]:
        """All callbacks of the call."""
        return list(self.callbacks.callbacks) if self.callbacks is not None else []


def this_call() -> Call:
    """The call that the running hook belongs to."""
    callbacks, frame = _dispatcher()
    if frame is None or "epoch_iterator" not in frame.f_locals:
        return Call(callbacks)
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    arguments = {name: values[name] for name in names if name in values and name != "callbacks"}
    return Call(callbacks, arguments, values["epoch_iterator"])


def this_list() -> CallbackList | None:
    """The list that calls the running hook."""
    return _dispatcher()[0]


def after_all(action: Callable[[], None]) -> None:
    """Do something once the running `on_train_end` has been called of all callbacks; at once where no list calls it."""
    callbacks = this_list()
    if callbacks is None:
        action()
    else:  # it is Keras' own list, made of the user's, and goes through its callbacks as they come
        callbacks.callbacks.append(_Last(callbacks, action))


class _Last(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """Is called after all other callbacks, once, and leaves their list again."""

    def __init__(self, callbacks: CallbackList, action: Callable[[], None]) -> None:
        super().__init__()
        self._callbacks = weakref.ref(callbacks)  # it must die with its call, see above
        self._action: Callable[[], None] | None = action

    def on_train_end(self, logs: Any = None) -> None:
        """Do what is to be done last."""
        action, self._action = self._action, None
        if action is not None:
            action()
        callbacks = self._callbacks()
        others = callbacks.callbacks if callbacks is not None else []  # is gone through: only its end may be taken away
        while others and isinstance(others[-1], _Last) and others[-1]._action is None:
            others.pop()


def _dispatcher() -> tuple[CallbackList | None, FrameType | None]:
    """The list that calls the running hook, and the frame that called the list."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_DEPTH):
        if frame is None:
            break
        owner = frame.f_locals.get("self")
        frame = frame.f_back
        if isinstance(owner, CallbackList):
            while frame is not None and frame.f_locals.get("self") is owner:
                frame = frame.f_back
            return owner, frame
    return None, None


class Watch:
    """Tells once, by calling `ended`, that a call was left by an exception; with None if the exception was not seen."""

    def __init__(self, call: Call, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended
        self._callbacks = weakref.ref(call.callbacks) if call.callbacks is not None else lambda: None
        # Only a call of Keras itself hands over its exceptions, and only while Keras shortens tracebacks.
        shortens = _shorten is not None and keras.config.is_traceback_filtering_enabled()
        self._sees_exceptions = shortens and call.batches is not None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        if call.callbacks is not None:
            self._finalizer = weakref.finalize(call.callbacks, self.tell, None)
            self._finalizer.atexit = False  # what ends with the process is told by the process' own end
        if self._sees_exceptions:
            _add(self)

    def status_of(self, error: BaseException | None) -> str:
        """How a run ended whose call was left by `error`; what could be seen and was not is Ctrl-C or the like."""
        return "interrupted" if error is None and self._sees_exceptions else "failed"

    def is_of(self, callbacks: object) -> bool:
        """Whether this watches the call that `callbacks` belongs to."""
        return callbacks is not None and self._callbacks() is callbacks

    def is_running(self) -> bool:
        """Whether the call is on the stack."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self.is_of(frame.f_locals.get("callbacks")):
                return True
            frame = frame.f_back
        return False

    def tell(self, error: BaseException | None) -> None:
        """The call was left."""
        self.end()
        self._ended(error)

    def end(self) -> None:
        """Stop watching: the call has come to its end."""
        if self._finalizer is not None:
            self._finalizer.detach()
        _remove(self)


_watches: list[Watch] = []
_lock = threading.RLock()  # reentrant, because a list may die while a lock is held
_shorten: Any = getattr(traceback_utils, "_process_traceback_frames", None)  # Any: a function, or gone some day


def _look_and_shorten(traceback: TracebackType | None) -> TracebackType | None:
    """Keras' own function, with a look at the exception first."""
    with contextlib.suppress(Exception):  # nothing of ours may take the place of the user's exception
        _tell_of(sys.exception())
    shortened: TracebackType | None = _shorten(traceback)
    return shortened


def _tell_of(error: BaseException | None) -> None:
    entry = error.__traceback__ if error is not None else None
    for _ in range(_OUTERMOST):
        if entry is None:
            return
        callbacks = entry.tb_frame.f_locals.get("callbacks")
        for watch in list(_watches):
            if watch.is_of(callbacks):
                watch.tell(error)
        entry = entry.tb_next


def _add(watch: Watch) -> None:
    with _lock:
        _watches.append(watch)
        traceback_utils._process_traceback_frames = _look_and_shorten


def _remove(watch: Watch) -> None:
    with _lock:
        if watch in _watches:
            _watches.remove(watch)
        if not _watches and getattr(traceback_utils, "_process_traceback_frames", None) is _look_and_shorten:
            traceback_utils._process_traceback_frames = _shorten
