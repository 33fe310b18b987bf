"""Wrappers around scikit-learn that last as long as an autolog, and leave no trace when the last one ends.

Methods are replaced in the dictionaries of their classes. Functions keep their identity (somebody may have imported
them by name, and pickle looks them up): only the cell of `validate_params` that holds the function inside is changed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import sklearn.metrics
import sklearn.model_selection
from sklearn.base import BaseEstimator

from barograph.integrations.sklearn.calls import FITS, About, begin_call, warned
from barograph.integrations.sklearn.live import wrap_evaluation

_METHODS = (*FITS, "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score")
# scikit-learn wraps these itself, in an __init_subclass__ that may run after ours
_WRAPPED_LATE = ("transform", "fit_transform")
CROSS_VALIDATION = (
    "cross_validate",
    "cross_val_score",
    "cross_val_predict",
    "learning_curve",
    "validation_curve",
    "permutation_test_score",
)
# First parameters of those functions in sklearn.metrics that compare data with what a model made of it.
_TRUTH = ("y_true", "labels_true", "y1")
_lock = threading.RLock()
_users = 0
_seen: set[type] = set()
_late: list[type] = []
_undo: list[Callable[[], None]] = []


def install() -> None:
    """Wrap everything there is, or only count if it is wrapped already; each call needs an `uninstall()`."""
    global _users
    with _lock:
        _users += 1
        try:
            wrap_classes(_estimator_classes())
            if _users == 1:
                _wrap_functions()
                _undo.append(wrap_evaluation())
                _watch_new_classes()
                _watch_warnings()
        except BaseException:
            uninstall()
            raise


def uninstall() -> None:
    """Put everything back if nobody else needs it. Raises nothing."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            while _undo:
                with contextlib.suppress(Exception):  # the rest is put back all the same
                    _undo.pop()()
            _seen.clear()
            _late.clear()


def wrap_classes(classes: Iterable[type]) -> None:
    """Wrap the methods of these classes and of those they inherit from."""
    for cls in classes:
        for owner in cls.__mro__:
            if owner not in _seen and owner is not object:
                _seen.add(owner)
                _wrap_methods(owner, _METHODS)


def wrap_late() -> None:
    """Wrap what was left over in classes that came into being since the last time."""
    if _late:
        with _lock:
            while _late:
                _wrap_methods(_late.pop(), _WRAPPED_LATE)


def _unseen(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Hide a function's inner functions from `stacklevel`, so that warnings name the line they would without us.

    The interpreter skips frames of its import system by their file name (Python/_warnings.c, is_internal_frame).
    """
    consts = tuple(
        const.replace(co_filename="<barograph autolog, not importlib._bootstrap>")
        if isinstance(const, types.CodeType)
        else const
        for const in factory.__code__.co_consts
    )
    factory.__code__ = factory.__code__.replace(co_consts=consts)
    return factory


@_unseen
def _watched(original: Callable[..., Any], about: About) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args, **kwargs):  # type: ignore[no-untyped-def]  # it is whatever the original is
        watch = begin_call(about, args, kwargs)
        if watch is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            watch.failed(error)
            raise
        watch.returned(result)
        return result

    return call


_WATCHED_CODE = next(const for const in _watched.__code__.co_consts if isinstance(const, types.CodeType))


def _unwatched(function: types.FunctionType) -> Any:
    """The original of a wrapper that somebody copied while it was in place; any other function itself."""
    return function.__wrapped__ if function.__code__ is _WATCHED_CODE else function  # type: ignore[attr-defined]


def _wrap_methods(owner: type, names: Iterable[str]) -> None:
    for name in names:
        value = vars(owner).get(name)
        if isinstance(value, types.FunctionType):
            _replace(owner, name, _unwatched(value), _watched(_unwatched(value), name))
        elif isinstance(inner := getattr(value, "fn", None), types.FunctionType):  # sklearn's available_if
            _replace(value, "fn", _unwatched(inner), _watched(_unwatched(inner), name))


def _replace(owner: Any, name: str, original: Any, replacement: Any) -> None:
    try:
        setattr(owner, name, replacement)
    except (AttributeError, TypeError):  # a class that was compiled
        return

    def undo() -> None:
        if vars(owner).get(name) is replacement:  # else somebody put something else there, and it stays
            setattr(owner, name, original)

    _undo.append(undo)


def _wrap_functions() -> None:
    for function in _functions():
        cell = function.__closure__[function.__code__.co_freevars.index("func")]
        original = cell.cell_contents
        cell.cell_contents = _watched(original, original)
        _undo.append(functools.partial(setattr, cell, "cell_contents", original))


@functools.cache
def _functions() -> list[Any]:
    """The functions to watch, as far as scikit-learn validates their parameters and so gives them a cell."""
    named = {name: getattr(sklearn.metrics, name) for name in sklearn.metrics.__all__}
    metrics = [function for function in named.values() if _has_cell(function) and _is_metric(function)]
    others = [getattr(sklearn.model_selection, name) for name in CROSS_VALIDATION]
    return metrics + [function for function in others if _has_cell(function)]


def _has_cell(function: object) -> bool:
    return isinstance(function, types.FunctionType) and "func" in function.__code__.co_freevars


def _is_metric(function: Callable[..., Any]) -> bool:
    first, second = (*inspect.signature(function).parameters, "", "")[:2]
    return first in _TRUTH or second == "labels" or (first, second) == ("x", "y")


def _watch_new_classes() -> None:
    """Also wrap what is imported or defined from now on."""
    before = vars(BaseEstimator).get("__init_subclass__")

    def __init_subclass__(cls: Any, /, **kwargs: Any) -> None:
        if before is None:
            super(BaseEstimator, cls).__init_subclass__(**kwargs)
        else:
            before.__func__(cls, **kwargs)
        with _lock:
            if _users and cls not in _seen:
                _seen.add(cls)
                _wrap_methods(cls, [name for name in _METHODS if name not in _WRAPPED_LATE])
                _late.append(cls)

    BaseEstimator.__init_subclass__ = classmethod(__init_subclass__)
    if before is None:
        _undo.append(functools.partial(delattr, BaseEstimator, "__init_subclass__"))
    else:
        _undo.append(functools.partial(setattr, BaseEstimator, "__init_subclass__", before))


def _watch_warnings() -> None:
    """Hear of warnings that are shown; they are shown as before."""
    show = warnings.showwarning

    def showwarning(message: Any, category: Any, filename: str, lineno: int, *rest: Any, **more: Any) -> None:
        warned(message, category, filename, lineno)
        show(message, category, filename, lineno, *rest, **more)

    warnings.showwarning = showwarning

    def undo() -> None:
        if warnings.showwarning is showwarning:
            warnings.showwarning = show

    _undo.append(undo)


def _estimator_classes() -> set[type]:
    """All classes that are estimators: by descent, or because they have `fit` and `get_params`."""
    return _below(BaseEstimator) | _of_other_descent()


_strangers: tuple[object, weakref.WeakSet[type]] = (None, weakref.WeakSet())


def _of_other_descent() -> set[type]:
    """Looking at every class there is takes 10 ms: only where classes were made since the last time."""
    global _strangers
    direct = type.__subclasses__(object)
    then = len(sys.modules), len(direct), id(direct[-1])
    if _strangers[0] != then:
        found = [cls for cls in _below(object) if "fit" in vars(cls) and hasattr(cls, "get_params")]
        _strangers = then, weakref.WeakSet(found)
    return set(_strangers[1])


def _below(root: type) -> set[type]:
    subclasses: Callable[[type], list[type]] = type.__subclasses__  # a metaclass may have its own
    found = {root}
    left = [root]
    while left:
        new = [one for one in subclasses(left.pop()) if one not in found]
        found.update(new)
        left += new
    return found
