"""Any configuration as JSON."""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import pathlib
import threading
import time
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from barograph.capture.plain import Limits, to_plain


class Colour(enum.Enum):
    RED = 1


class Mode(str, enum.Enum):  # noqa: UP042  # how it was written before Python 3.11
    MAX = "max"


class Level(enum.IntEnum):
    LOW = 3


@dataclasses.dataclass
class Inner:
    width: int = 8


@dataclasses.dataclass
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    name: str = "x"


Point = collections.namedtuple("Point", "x y")
LOCK = threading.Lock()


def function() -> None:
    """Stands for a loss or an activation."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**200, 2**200),
        (0.1, 0.1),
        (math.inf, math.inf),
        ("text", "text"),
        ("\ud800", "\ud800"),
        (Colour.RED, "Colour.RED"),
        (Mode.MAX, "max"),
        (Level.LOW, "Level.LOW"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (1 + 2j, "(1+2j)"),
        (datetime.datetime(2026, 11, 23, 10, 15), "2026-11-23T10:15:00"),
        (datetime.date(2026, 11, 23), "2026-11-23"),
        (datetime.timedelta(hours=1), "1:00:00"),
        (pathlib.PurePosixPath("/data/x"), "/data/x"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (range(3), "range(0, 3)"),
        (collections.UserString("x"), "x"),
        ((1, [2, {"a": 3}]), [1, [2, {"a": 3}]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        (collections.deque([1, 2]), [1, 2]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Outer(), {"inner": {"width": 8}, "name": "x"}),
        (argparse.Namespace(lr=0.1, layers=[1]), {"lr": 0.1, "layers": [1]}),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.UserDict(a=1), {"a": 1}),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array(2.5), 2.5),
        (np.arange(3), [0, 1, 2]),
        (np.datetime64("2026-11-23"), "2026-11-23"),
        (np.dtype("float32"), "float32"),
        (np.zeros((100, 100)), "<numpy.ndarray float64 (100, 100)>"),
        (np.array([{"a": 1}, None], dtype=object), [{"a": 1}, None]),
        (function, f"<function {__name__}.function>"),
        (Inner, f"<class {__name__}.Inner>"),
        (json, "<module json>"),
        (b"abc", "<3 bytes: 616263>"),
        (LOCK, "<unlocked _thread.lock object>"),
        (object(), "<object object>"),
        (functools.partial(int, base=2), "<functools.partial: functools.partial(<class 'int'>, base=2)>"),
    ],
    ids=repr,
)
def test_every_kind_of_value_is_readable(value: object, plain: object) -> None:
    """As JSON where JSON has it, as a person would write it, or as what it is, in angle brackets."""
    assert to_plain(value) == (plain, None)
    assert to_plain({"deep": [value]}) == ({"deep": [plain]}, None)
    json.dumps(to_plain(value).value)


def test_nan_is_kept() -> None:
    """It is a value a user gave."""
    assert math.isnan(to_plain({"x": math.nan}).value["x"])


def test_types_of_json_are_exact() -> None:
    """No subclass of a number or text is left that could write itself differently."""
    plain = to_plain([np.float64(1.5), Mode.MAX, Level.LOW, np.str_("x"), True]).value
    assert [type(item) for item in plain] == [float, str, str, str, bool]


def test_keys_are_text_and_stay_apart() -> None:
    """1 and "1" are two keys; whatever a key is, it is its text."""
    plain = to_plain({1: "a", "1": "b", None: "c", (1, 2): "d", Colour.RED: "e", 0.5: "f", "a/b": "g", "": "h"}).value
    keys = ["1", "1 <str>", "None", "(1, 2)", "Colour.RED", "0.5", "a/b", ""]
    assert plain == dict(zip(keys, "abcdefgh", strict=True))


def test_long_keys_are_cut_and_stay_apart() -> None:
    """A megabyte of key ends in a checksum of the whole."""
    plain, problem = to_plain({"k" * 1_000_000: 1, "k" * 999_999: 2})
    assert sorted(plain.values()) == [1, 2]
    assert all(len(key) == 1024 for key in plain)
    assert problem is not None


def test_an_object_inside_itself_is_named_as_such() -> None:
    """The way back is written instead of walked."""
    config: dict[str, Any] = {"lr": 0.1, "list": []}
    config["self"] = config
    config["list"].append(config)
    way_back = "<the dict 1 levels above>"
    assert to_plain(config).value == {"lr": 0.1, "self": way_back, "list": ["<the dict 2 levels above>"]}


def test_a_value_that_is_there_twice_is_written_twice() -> None:
    """Only a circle is cut."""
    shared = {"a": 1}
    assert to_plain([shared, shared]).value == [{"a": 1}, {"a": 1}]


class Hostile:
    """Raises from everything that one could ask of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise ValueError("no")

    def __iter__(self) -> Iterator[int]:
        raise ValueError("no")

    def __len__(self) -> int:
        raise ValueError("no")

    def __eq__(self, other: object) -> bool:
        raise ValueError("no")

    def __hash__(self) -> int:
        return 1

    def __str__(self) -> str:
        raise ValueError("no")


class Endless:
    """Its text contains its text."""

    def __repr__(self) -> str:
        return f"Endless({self!r})"


class Config(Mapping[str, object]):
    """As OmegaConf: values that are missing or cannot be resolved raise when they are asked for."""

    def __getitem__(self, key: str) -> object:
        if key == "missing":
            raise KeyError("Missing mandatory value: missing")
        return {"lr": 0.1, "nested": Config() if key == "nested" else None}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["lr", "missing"])

    def __len__(self) -> int:
        return 2


class Torn(Mapping[str, object]):
    """Fails in the middle of its keys, as a mapping that another thread changes."""

    def __getitem__(self, key: str) -> object:
        return key

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise RuntimeError("changed size during iteration")

    def __len__(self) -> int:
        return 2


def test_objects_that_raise_cost_only_themselves() -> None:
    """What stands beside them is kept."""
    plain, problem = to_plain({"lr": 0.1, "bad": Hostile(), "deep": [Hostile(), Endless()], Hostile(): 1})
    assert problem is None
    assert plain["lr"] == 0.1
    assert plain["bad"].startswith("<")
    assert plain["deep"][1] == f"<{__name__}.Endless, which raised RecursionError>"
    assert 1 in plain.values()


def test_a_missing_value_costs_only_its_leaf() -> None:
    """The text of the error stands in its place."""
    assert to_plain(Config()).value == {"lr": 0.1, "missing": "<KeyError: 'Missing mandatory value: missing'>"}


def test_a_mapping_that_fails_half_way_keeps_the_first_half() -> None:
    """What came before is there, and what happened is said."""
    assert to_plain(Torn()).value == {"a": "a", "...": "<RuntimeError: changed size during iteration>"}


def test_an_iterator_is_not_used_up() -> None:
    """Reading a generator would take it from the training."""
    items = iter([1, 2])
    assert to_plain({"data": items}).value["data"].startswith("<list_iterator")
    assert list(items) == [1, 2]


def test_levels_are_limited() -> None:
    """Twenty are kept; a thousand end in a note, and a chain of a hundred thousand does not overflow the stack."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    plain, problem = to_plain(deep)
    assert json.dumps(plain) == "[" * 20 + '"<list more than 20 levels deep>"' + "]" * 20
    assert problem is not None


def test_a_large_list_does_not_displace_a_small_setting() -> None:
    """Plain values come first, then nested ones share the room; what is missing is counted."""
    optimizer = {"lr": 0.1, "betas": [0.9, 0.99]}
    plain, problem = to_plain({"indices": list(range(1_000_000)), "optimizer": optimizer, "seed": 1})
    assert plain["seed"] == 1
    assert plain["optimizer"] == optimizer
    assert plain["indices"][:3] == [0, 1, 2]
    assert plain["indices"][-1] == f"<{1_000_000 - (len(plain['indices']) - 1)} more left out>"
    assert problem is not None


def test_a_list_of_many_small_dicts_keeps_the_first_whole() -> None:
    """Rather a part of the list than a part of each."""
    plain, _ = to_plain([{"a": index, "b": 1} for index in range(100_000)])
    assert len(plain) == 5_001
    assert plain[-2] == {"a": 4_999, "b": 1}


def doubling() -> list[Any]:
    """Ten to the thirtieth leaves in three hundred objects."""
    config: list[Any] = ["x"]
    for _ in range(30):
        config = [config] * 10
    return config


def leaves(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return sum(leaves(item) for item in (value.values() if isinstance(value, dict) else value))
    return 0 if str(value).endswith("left out>") else 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"text": "x" * 100_000_000},
        lambda: {"bytes": bytes(100_000_000)},
        lambda: {"array": np.zeros(12_500_000)},
        lambda: list(range(3_000_000)),
        lambda: {f"token_{index}": index for index in range(1_000_000)},
        lambda: ["x" * 1_000 for _ in range(100_000)],
        lambda: [{"a": index, "b": str(index)} for index in range(300_000)],
        lambda: {"text": "\U0001f600" * 25_000_000},
        doubling,
        lambda: {str(a): {str(b): [1] * 100 for b in range(100)} for a in range(100)},
        lambda: set(range(2_000_000)),
    ],
    ids=["text", "bytes", "array", "list", "vocabulary", "texts", "rows", "emoji", "doubling", "tree", "set"],
)
def test_a_configuration_of_a_hundred_megabytes_is_cut_at_once(make: Any) -> None:
    """Well below a second, within the limits, and it fits one frame of the journal."""
    config = make()
    start = time.process_time()
    plain, _ = to_plain(config)
    assert time.process_time() - start < 0.8
    assert leaves(plain) <= 10_000  # the notes about what is missing are on top
    assert len(json.dumps(plain)) < 16 * 1024 * 1024


def test_texts_are_limited_one_by_one_and_in_all() -> None:
    """A long one is cut with a note; those that come after the last character of room are left out and counted."""
    plain, problem = to_plain({"prompt": "x" * 70_000, "lr": 0.1})
    assert plain["lr"] == 0.1
    assert len(plain["prompt"]) == 64 * 1024
    assert plain["prompt"].endswith(f"<{70_000 - 64 * 1024} more characters left out>")
    assert problem is not None
    plain, _ = to_plain(["x" * 100 for _ in range(50)], Limits(text=1_000))
    assert plain == ["x" * 100] * 10 + ["<40 more left out>"]


def test_the_text_of_an_object_has_a_kilobyte() -> None:
    """The rest of it is nobody's loss: there is no warning."""

    class Long:
        def __repr__(self) -> str:
            return "x" * 1_000_000

    plain, problem = to_plain({"object": Long()})
    assert len(plain["object"]) <= 1024
    assert problem is None


def test_arrays_of_any_library_are_lists_only_when_small_and_on_the_cpu() -> None:
    """Nothing waits for a device and nothing copies data."""
    torch = pytest.importorskip("torch")
    plain = to_plain(
        {
            "weights": torch.tensor([0.25, 0.75], requires_grad=True),
            "half": torch.tensor([1.5], dtype=torch.bfloat16),
            "scalar": torch.tensor(0.5),
            "meta": torch.zeros(2, device="meta"),
            "large": torch.zeros(100, 100),
            "dtype": torch.float32,
            "device": torch.device("cuda:0"),
            "shape": torch.Size([1, 2]),
            "layer": torch.nn.ReLU(),
        }
    ).value
    assert plain == {
        "weights": [0.25, 0.75],
        "half": [1.5],
        "scalar": 0.5,
        "meta": "<torch.Tensor torch.float32 (2,) on meta>",
        "large": "<torch.Tensor torch.float32 (100, 100)>",
        "dtype": "torch.float32",
        "device": "cuda:0",
        "shape": [1, 2],
        "layer": "<torch.nn.modules.activation.ReLU: ReLU()>",
    }


def test_a_frame_of_data_is_named_and_not_copied() -> None:
    """pandas has keys and items like a mapping, and is none."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(1000)})
    assert to_plain(frame).value.startswith("<pandas.")
    assert "(1000, 1)" in to_plain(frame).value


def test_omegaconf() -> None:
    """Interpolations are resolved; missing and failing ones are named in their place."""
    omegaconf = pytest.importorskip("omegaconf")
    config = {"lr": 1, "same": "${lr}", "must": "???", "bad": "${nowhere}", "list": ["???", 2]}
    plain, problem = to_plain(omegaconf.OmegaConf.create(config))
    assert problem is None
    assert plain["same"] == 1
    assert plain["must"].startswith("<MissingMandatoryValue: ")
    assert plain["bad"].startswith("<InterpolationKeyError: ")
    assert plain["list"][1] == 2


def test_pydantic() -> None:
    """Fields, nested models and extra values; a secret field stays hidden."""
    pydantic = pytest.importorskip("pydantic")
    inner = pydantic.create_model("Inner", width=(int, 8))
    secret = (pydantic.SecretStr, pydantic.SecretStr("hunter2"))
    outer = pydantic.create_model("Outer", __config__={"extra": "allow"}, inner=(inner, inner()), key=secret)
    plain = to_plain(outer(more=1)).value
    assert plain["inner"] == {"width": 8}
    assert plain["more"] == 1
    assert "hunter2" not in plain["key"]


def test_attrs() -> None:
    """The fields of a class made by attrs."""
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class("Made", {"rate": attrs.field(default=0.1)})
    assert to_plain(made()).value == {"rate": 0.1}
