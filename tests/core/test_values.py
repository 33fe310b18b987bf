"""Whatever a user logs becomes a double, a text, or both, and nothing raises."""

import enum
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from barograph.values import KEY_LIMIT, clean_key, clean_step, convert, readable


class Colour(enum.Enum):
    RED = 1


class Nasty:
    """An object each of whose methods raises."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __float__(self) -> float:
        raise RuntimeError("float")


class Endless:
    """An object whose text is endless recursion."""

    def __repr__(self) -> str:
        return repr(self)


@pytest.mark.parametrize(
    "value", [0.1, -0.0, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 3, True, 2**53, -(2**53)]
)
def test_what_a_double_holds_is_kept_exactly(value: float) -> None:
    """Floats and integers up to 2**53 are kept to the bit, without a text or a warning."""
    converted = convert(value)
    assert isinstance(converted.number, float)
    assert converted == (converted.number, None, None)
    assert math.copysign(1.0, converted.number) == math.copysign(1.0, value)
    assert converted.number == value


def test_nan_is_a_number() -> None:
    """NaN is kept as NaN."""
    converted = convert(math.nan)
    assert isinstance(converted.number, float)
    assert math.isnan(converted.number)
    assert converted.problem is None


@pytest.mark.parametrize(
    "value", [2**53 + 1, 2**63 - 1, -(2**63) + 1, 2**64 + 1, Fraction(1, 3), Decimal("0.1000000000000000001")]
)
def test_what_a_double_only_approximates_keeps_its_digits(value: object) -> None:
    """The nearest double is the point, and the exact digits stand beside it as text."""
    converted = convert(value)
    assert converted.number == pytest.approx(float(value))  # type: ignore[arg-type]
    assert converted.text == str(value)
    assert converted.problem


def test_an_integer_beyond_any_double_is_kept_as_text() -> None:
    """10**400 overflows a double: no point, all digits."""
    converted = convert(10**400)
    assert converted.number is None
    assert converted.text == str(10**400)


def test_an_integer_too_long_to_print_is_kept_as_hexadecimal() -> None:
    """Beyond sys.get_int_max_str_digits() the text is hexadecimal."""
    assert convert(10**5000).text == hex(10**5000)


@pytest.mark.parametrize(
    "value", [Decimal("0.25"), Decimal("0.1"), Fraction(1, 4), Decimal("nan"), Decimal("-Infinity")]
)
def test_exact_decimals_and_fractions_are_plain_numbers(value: Decimal | Fraction) -> None:
    """A Decimal that a double's shortest digits express, and a Fraction that a double equals, need no text."""
    assert convert(value).text is None
    assert isinstance(convert(value).number, float)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(1.5),
        np.float16(1.5),
        np.int64(3),
        np.uint8(3),
        np.bool_(True),
        np.array(1.5),
        np.array([1.5]),
    ],
)
def test_numpy_scalars_are_numbers(value: object) -> None:
    """numpy's scalars and arrays of one element are numbers."""
    converted = convert(value)
    assert converted.number == np.asarray(value).item()
    assert converted.problem is None


@pytest.mark.parametrize(
    "value", [None, "text", b"bytes", 1 + 2j, object(), Colour.RED, [1, 2], np.arange(3), {"a": 1}]
)
def test_what_is_no_number_is_kept_as_text(value: object) -> None:
    """Anything else becomes text with a reason for a warning."""
    converted = convert(value)
    assert converted.number is None
    assert converted.text == str(value)
    assert converted.problem


@pytest.mark.parametrize("kind", [Nasty, Endless])
def test_objects_that_raise_are_kept_as_a_placeholder(kind: type) -> None:
    """Whatever an object raises when asked, something is kept and nothing is raised."""
    converted = convert(kind())
    assert converted.text == f"<unprintable {kind.__name__}>"
    assert converted.problem


def test_torch_scalars_are_numbers() -> None:
    """Tensors of one element, of any type of number and with a gradient, are numbers."""
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool):
        assert convert(torch.tensor(1, dtype=dtype)).number == 1.0
    assert convert(torch.tensor(0.5, requires_grad=True)).number == 0.5
    assert convert(torch.tensor(0.5).to(torch.float8_e4m3fn)).number == 0.5
    meta = convert(torch.tensor(1.0, device="meta"))
    assert meta.number is None
    assert meta.problem
    assert convert(torch.zeros(3)).number is None


def test_a_long_text_is_cut_and_says_so() -> None:
    """A text of 64 MiB is kept to the limit, with its full length told."""
    text = convert("x" * (64 * 1024 * 1024)).text
    assert text is not None
    assert len(text) < 1_100_000
    assert "67108864 characters" in text


@pytest.mark.parametrize(
    "key",
    [
        "a//b",
        "/a",
        "a/",
        "../../x",
        "C:\\x",
        "con",
        "mAP@50[x]",
        "loss(a=1.3)",
        "_step",
        "__proto__",
        "a\nb\x00",
        "é😀",
    ],
)
def test_any_string_is_a_legal_key(key: str) -> None:
    """Keys are kept as they are."""
    assert clean_key(key) == (key, None)


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("", "(empty key)"),
        ("  ", "(empty key '  ')"),
        (3, "3"),
        (("a", 1), "('a', 1)"),
        (None, "None"),
        ("a\udc80", "a\\udc80"),
    ],
)
def test_odd_keys_become_visible_text_with_a_reason(key: object, kept: str) -> None:
    """Empty, non-string and unencodable keys get a name that can be shown, and a reason for a warning."""
    name, problem = clean_key(key)
    assert name == kept
    assert problem


def test_long_keys_stay_apart_when_cut() -> None:
    """Two keys that differ only past the limit do not become one."""
    first, problem = clean_key("k" * 10_000 + "a")
    second, _ = clean_key("k" * 10_000 + "b")
    assert first != second
    assert len(first) == KEY_LIMIT
    assert problem


@pytest.mark.parametrize(
    ("step", "kept", "is_problem"),
    [
        (None, None, False), (3, 3, False), (-3, -3, False), (np.int32(3), 3, False), (3.0, 3, False), (True, 1, False),
        (3.7, 3, True), ("12", 12, True), ("x", None, True), (math.nan, None, True), (math.inf, None, True),
        (2**63, 2**63 - 1, True), (-(2**70), -(2**63), True),
    ],
)  # fmt: skip
def test_steps_become_integers_of_64_bits(step: object, kept: int | None, is_problem: bool) -> None:
    """A step is converted, or replaced with a reason for a warning; the value is never lost for it."""
    at, problem = clean_step(step)
    assert at == kept
    assert bool(problem) == is_problem


def test_a_step_that_raises_when_asked_counts_calls() -> None:
    """An object whose every method raises is no step; the value is kept at the count of calls."""
    assert clean_step(Nasty())[0] is None


def test_readable_keeps_to_its_limit() -> None:
    """A text is cut at the limit and tells how long it was."""
    assert readable("abcdef", 3) == "abc... (6 characters)"
