"""A method of one object, seen each time it is called, where Lightning offers no hook for what we need to know."""

from collections.abc import Callable
from typing import Any

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
