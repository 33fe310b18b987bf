"""Any value a user logs, as what a journal holds: a double, a text beside or instead of it, or a promise of a double.

Nothing here raises: what is no number is kept as text, what a double cannot hold exactly is kept as both.
"""

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from barograph.offers import Offers

TEXT_LIMIT = 1024 * 1024  # characters of a text kept for a value
KEY_LIMIT = 1024  # characters of a key; longer ones end in a hash
_EXACT_INTEGER = 2**53  # every integer up to here is a double
_I64 = 2**63


class Deferred(Protocol):
    """A number that is still on its way from a device."""

    def is_ready(self) -> bool:
        """True once get() will not wait."""
        ...

    def get(self) -> float:
        """The number."""
        ...


class Converted(NamedTuple):
    """One value, ready for the journal. `problem` is a reason for a warning, in the words of one sentence's end."""

    number: float | Deferred | None
    text: str | None = None
    problem: str | None = None


# Device values of a package are converted by its integration (`package` is the root module of their type).
_converters: Offers[Callable[[Any], float | Deferred]] = Offers()  # Any: whatever a framework has on a device

register_converter = _converters.register


def convert(value: object) -> Converted:
    """What the journal keeps of one value of `log()`. Never raises."""
    try:
        return _convert(value)
    except Exception as error:  # noqa: BLE001  # a user's object may raise anything from any method
        return Converted(None, readable(value), f"could not be read ({type(error).__name__}) and was kept as text")


def _convert(value: Any) -> Converted:
    if isinstance(value, float):
        return Converted(float(value))
    if isinstance(value, int):
        return _integer(int(value))
    if value is None or isinstance(value, (str, bytes, complex)):
        return _as_text(value)
    if hasattr(value, "as_integer_ratio"):  # Decimal, Fraction, numpy's floats
        return _exact_number(value)
    if _is_on_device(value):
        converter = _converters.find(type(value))
        if converter is not None:
            try:
                return Converted(converter(value))
            except Exception as error:  # noqa: BLE001  # asking the value for its text would wait for the device
                return Converted(None, f"<{type(value).__name__} on {value.device}>", f"{error}; it was kept as text")
    if _element_count(value) not in (None, 1):
        return Converted(None, readable(value), "holds more than one number and was kept as text")
    if hasattr(value, "item"):
        return _convert_item(value.item(), value)
    if hasattr(value, "numpy"):  # tensorflow's eager tensors
        return _convert_item(value.numpy().item(), value)
    if hasattr(value, "__index__"):
        return _integer(value.__index__())
    if hasattr(value, "__float__"):
        return Converted(float(value))
    return _as_text(value)


def _convert_item(item: Any, value: object) -> Converted:
    if isinstance(item, (float, int)):
        return _convert(item)
    if type(item) is type(value) or not hasattr(item, "__float__"):
        return _as_text(item)
    return _exact_number(item)  # numpy's long double


def _integer(value: int) -> Converted:
    if -_EXACT_INTEGER <= value <= _EXACT_INTEGER:
        return Converted(float(value))
    return _exact_number(value)


def _exact_number(value: Any) -> Converted:
    digits = readable(value)
    try:
        number = float(value)
    except OverflowError:
        return Converted(None, digits, "is too large for a double and was kept as text")
    if math.isinf(number) and value == value and not digits.lower().strip("+-").startswith("inf"):
        return Converted(None, digits, "is too large for a double and was kept as text")
    # Decimal("0.1") is what a person means by the double 0.1, though the two are not equal
    is_shortest = not isinstance(value, int) and type(value)(repr(number)) == value
    if value != value or value == number or is_shortest:
        return Converted(number)
    return Converted(number, digits, "is not exactly a double; its exact digits were kept as text beside it")


def _as_text(value: object) -> Converted:
    return Converted(None, readable(value), f"is no number ({type(value).__name__}) and was kept as text")


def _element_count(value: Any) -> int | None:
    for name in ("size", "numel"):
        count = getattr(value, name, None)
        if callable(count):
            count = count() if name == "numel" else None
        if isinstance(count, int):
            return count
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "numpy"):
        return math.prod(int(n) for n in shape)
    return len(value) if isinstance(value, (list, tuple, set, Mapping)) else None


def _is_on_device(value: Any) -> bool:
    device = getattr(value, "device", None)
    return device is not None and not callable(device) and "cpu" not in str(device).lower()


def readable(value: object, limit: int = TEXT_LIMIT) -> str:
    """`value` as text of at most `limit` characters, whatever its class does when asked."""
    try:
        text = value if isinstance(value, str) else str(value)
        text = str.__str__(text)
    except ValueError:  # an int of more digits than sys.get_int_max_str_digits()
        text = hex(value) if isinstance(value, int) else f"<unprintable {type(value).__name__}>"
    except Exception:  # noqa: BLE001  # a user's __str__ may raise anything
        text = f"<unprintable {type(value).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def clean_key(key: object) -> tuple[str, str | None]:
    """The name under which a series is kept, and a reason for a warning if it is not the key as given.

    Any string of up to KEY_LIMIT characters is a legal key. Empty or blank ones get a visible placeholder, lone
    surrogates are escaped (no file or page can hold them), longer ones are cut and end in a hash.
    """
    problem = None
    if not isinstance(key, str):
        problem = f"is no string ({type(key).__name__}); str() of it was taken"
    name = readable(key, sys.maxsize)
    if not name.strip():
        return f"(empty key {name!r})" if name else "(empty key)", "is empty; a placeholder was taken"
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode("utf-8", "backslashreplace").decode()
        problem = "holds lone surrogates; they were escaped"
    if len(name) > KEY_LIMIT:
        import hashlib

        digest = hashlib.blake2s(name.encode(), digest_size=8).hexdigest()
        problem = f"has {len(name)} characters; it was cut to {KEY_LIMIT} and ends in a hash"
        name = f"{name[: KEY_LIMIT - 17]}#{digest}"
    return name, problem


def clean_step(step: object) -> tuple[int | None, str | None]:
    """The step as an integer of 64 bits, or None to count calls, and a reason for a warning if it had to be changed."""
    if step is None:
        return None, None
    try:
        index = step.__index__() if hasattr(step, "__index__") else None
        if index is None:
            number = float(step)  # type: ignore[arg-type]  # anything a user passed; the except clause is the check
            index = math.floor(number)
            if index != number:
                return index, f"is {number!r}; it was rounded down to {index}"
        if isinstance(step, str):
            return index, f"is the text {readable(step, 60)!r}; it was taken as {index}"
    except Exception:  # noqa: BLE001  # text, NaN, infinity, an object that raises
        return None, f"is no number ({readable(step, 60)!r}); the count of calls was taken instead"
    if not -_I64 <= index < _I64:
        return max(-_I64, min(_I64 - 1, index)), "does not fit into 64 bits; the nearest step that does was taken"
    return index, None
