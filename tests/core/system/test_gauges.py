"""Readings that fail alone, and counters that become rates."""

from collections.abc import Mapping

from barograph.system.gauges import Gauges, Read, per_second


def test_a_reading_that_keeps_failing_is_given_up_and_named() -> None:
    """Three failures in a row; the reason is kept, the others go on, and it is not asked again."""
    asked = 0

    def lost() -> Mapping[str, float]:
        nonlocal asked
        asked += 1
        raise OSError("gone")

    gauges = Gauges()
    gauges.add("room", lambda: {"bad": lost, "good": lambda: {"x": 1}})
    assert [gauges.read() for _ in range(5)] == [{"x": 1.0}] * 5
    assert gauges.silent == {"room/bad": "OSError: gone"}
    assert asked == 3


def test_readings_that_cannot_be_made_cost_only_themselves() -> None:
    """A library that is missing silences what stands on it."""

    def make() -> Mapping[str, Read]:
        raise ImportError("no module")

    gauges = Gauges()
    gauges.add("broken", make)
    gauges.add("whole", lambda: {"x": lambda: {"x": True}})
    assert gauges.read() == {"x": 1.0}
    assert gauges.silent == {"broken": "ImportError: no module"}


def test_what_is_no_number_is_a_failure() -> None:
    """A driver that answers None is treated as one that refuses."""
    gauges = Gauges()
    gauges.add("room", lambda: {"none": lambda: {"x": None}})  # type: ignore[dict-item]  # what is tested
    assert [gauges.read() for _ in range(4)] == [{}] * 4
    assert "room/none" in gauges.silent


def test_rates_are_differences_over_the_time_that_passed() -> None:
    """The first reading has nothing to compare with; a counter that fell began anew and is left out once."""
    counts = iter([{"a": 10.0, "b": 5.0}, {"a": 30.0, "b": 1.0}, {"a": 30.0, "b": 3.0}])
    times = iter([0.0, 2.0, 4.0])
    rate = per_second(lambda: next(counts), lambda: next(times))
    assert [rate(), rate(), rate()] == [{}, {"a": 10.0}, {"a": 0.0, "b": 1.0}]


def test_no_rate_over_too_short_a_time() -> None:
    """Counters tick in hundredths of a second: what is read within one waits for the next time, and nothing is lost."""
    counts = iter([{"a": 0.0}, {"a": 50.0}])
    times = iter([0.0, 0.001, 1.0])
    rate = per_second(lambda: next(counts), lambda: next(times))
    assert [rate(), rate(), rate()] == [{}, {}, {"a": 50.0}]
