"""Functions of every kind with a block around each of their calls: plain ones, coroutines, generators, methods."""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barograph.integrations.sklearn.recording import Recording


def decorate(function: Callable[..., Any], new_block: Callable[[], Recording]) -> Any:
    """The function with a new block around each call. Raises TypeError for what cannot have one."""
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorate(function.__func__, new_block))
    if inspect.isasyncgenfunction(function):
        raise TypeError(
            f"autolog cannot stand around the asynchronous generator {function.__qualname__}: the code between its "
            f"steps shares its context. Use `with autolog():` inside it."
        )

    @contextmanager
    def block(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        recording = new_block()
        with recording:
            recording.note_arguments(function, args, kwargs)
            yield

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def in_task(*args: Any, **kwargs: Any) -> Any:
            with block(args, kwargs):
                return await function(*args, **kwargs)

        return in_task
    if inspect.isgeneratorfunction(function):

        def steps(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, Any]:
            with block(args, kwargs):
                return (yield from function(*args, **kwargs))

        @functools.wraps(function)
        def in_steps(*args: Any, **kwargs: Any) -> Any:
            return (yield from _in_own_context(steps(args, kwargs)))

        return in_steps

    @functools.wraps(function)
    def in_block(*args: Any, **kwargs: Any) -> Any:
        with block(args, kwargs):
            return function(*args, **kwargs)

    return in_block


def _in_own_context(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run each step of a generator in a context of its own: what its caller does between them does not belong to it."""
    context = contextvars.copy_context()
    step: Callable[[Any], Any] = generator.send
    given: Any = None
    while True:
        try:
            result = context.run(step, given)
        except StopIteration as stop:
            return stop.value
        try:
            step, given = generator.send, (yield result)
        except GeneratorExit:
            context.run(generator.close)
            raise
        except BaseException as error:  # noqa: BLE001  # it is handed on
            step, given = generator.throw, error
