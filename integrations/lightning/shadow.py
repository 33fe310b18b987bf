"""Methods and modules, seen each time they are called, where Lightning offers no hook for what we need to know."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

_Listener = Callable[..., object]


class Shadow:
    """Stands before `owner.name` until `remove()`, and calls it with the same arguments.

    before, after: told the arguments before the method runs, and after it returned; they must not raise.
    Only this one object is touched, never its class. A copy of it carries a copy of the shadow along.
    """

    def __init__(
        self, owner: Any, name: str, *, before: _Listener | None = None, after: _Listener | None = None
    ) -> None:
        self._owner, self._name = owner, name
        self._before, self._after = before, after
        self._method = getattr(owner, name)
        self._was_own = name in vars(owner)
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._before is not None:
            self._before(*args, **kwargs)
        result = self._method(*args, **kwargs)
        if self._after is not None:
            self._after(*args, **kwargs)
        return result

    def remove(self) -> None:
        """Give the object its method back; a shadow that another one was put over stays and does nothing more."""
        self._before = self._after = None
        if vars(self._owner).get(self._name) is not self:
            return
        if self._was_own:
            setattr(self._owner, self._name, self._method)
        else:
            delattr(self._owner, self._name)


class ForwardHook:
    """A hook for `register_forward_hook` that is told a module's inputs and output; it must not raise.

    A copy of the module, and one that is loaded from a file, has one that does nothing: users keep copies of a model
    in the middle of an evaluation. What torch.compile traces is left whole.
    """

    def __init__(self, listener: Callable[[Any, Any], None]) -> None:
        self._listener = listener

    def __call__(self, module: Any, inputs: Any, output: Any) -> None:
        if not torch.compiler.is_dynamo_compiling():
            self._listener(inputs, output)

    def __reduce__(self) -> tuple[Any, ...]:
        # a function of the standard library, so that a saved model can be loaded where we are not installed
        return getattr, (nullcontext(), "__exit__")
