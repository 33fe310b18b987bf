"""Which steps a schedule chooses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from barograph.tensors import schedule
from barograph.tensors.schedule import Schedule


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is told how many seconds have passed."""
    now = [100.0]
    monkeypatch.setattr(schedule.time, "perf_counter", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def chosen(
    plan: Schedule, steps: range, pass_time: Callable[[float], None], look_s: float, before_s: float = 0.0
) -> list[int]:
    """The steps that are looked into where a step takes a second and a look look_s; before_s: what was spent before."""
    found: list[int] = []
    for step in steps:
        if plan.wants(step, 0.02, lambda: before_s + len(found) * look_s):
            found.append(step)
        pass_time(1.0)
    return found


def test_looks_that_cost_nothing_are_every_one_of_the_opening_and_then_every_50th(
    pass_time: Callable[[float], None],
) -> None:
    """The defaults, where the budget forbids nothing."""
    assert chosen(Schedule(None, None, 20), range(201), pass_time, 0.0) == [*range(20), 50, 100, 150, 200]


def test_dear_looks_become_rarer(pass_time: Callable[[float], None]) -> None:
    """Looks that take three steps' time come every 150 to 300 steps, so that 2 % of the time go into them."""
    plan = Schedule(None, None, 3)
    found = chosen(plan, range(20_000), pass_time, 3.0)
    assert plan.is_widened
    assert 3.0 * (len(found) - 3) <= 0.02 * 20_000 + 3.0
    assert 3.0 * len(found) >= 0.01 * 20_000


def test_a_period_that_one_dear_look_has_widened_becomes_short_again(pass_time: Callable[[float], None]) -> None:
    """Once looks are cheap the period goes back, and never below its default."""
    plan = Schedule(None, None, 3)
    spent_s = 40.0 * len(chosen(plan, range(300), pass_time, 40.0))
    assert plan.period > 50
    later = chosen(plan, range(300, 20_000), pass_time, 0.01, spent_s)
    assert plan.period == 50
    assert later[-2:] == [19_900, 19_950]


def test_a_fixed_period_stays(pass_time: Callable[[float], None]) -> None:
    """What the user fixed is not changed, whatever it costs."""
    assert chosen(Schedule(10, None, 3), range(41), pass_time, 99.0) == [0, 1, 2, 10, 20, 30, 40]


def test_processes_that_share_a_model_choose_the_same_steps(pass_time: Callable[[float], None]) -> None:
    """Neither what looks cost nor a loss decides then."""
    plan = Schedule(None, None, 20, is_shared=True)
    plan.note_loss(1.0)
    plan.note_loss(1000.0)
    assert chosen(plan, range(101), pass_time, 99.0) == [0, 1, 2, 50, 100]
