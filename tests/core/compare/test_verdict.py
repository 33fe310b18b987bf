"""Two runs are judged by every bit that they should have in common, and by nothing that a clock decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barograph
from barograph.compare.verdict import judge
from barograph.reading import RunView


def _run(points: Mapping[str, Sequence[float]], status: str = "finished", **options: Any) -> RunView:
    run = barograph.init(quiet=True, **options)
    for step in range(max(map(len, points.values()), default=0)):
        run.log({key: values[step] for key, values in points.items() if step < len(values)}, step=step)
    run.finish(status)
    return barograph.open(run.store_path).run(run.id)


def test_equal_runs_are_identical(store: Path) -> None:
    """Every value to the bit; one NaN is like another."""
    points = {"train/loss": [1.0, math.nan, -0.0, math.inf]}
    verdict = judge(_run(points), _run(points))
    assert (verdict.kind, verdict.exit_status) == ("identical", 0)


@pytest.mark.parametrize(("value", "other"), [(0.0, -0.0), (1.0, math.nextafter(1.0, 2.0)), (1.0, math.nan)])
def test_one_bit_is_a_difference(store: Path, value: float, other: float) -> None:
    """The sign of a zero, the last digit, a NaN on one side."""
    verdict = judge(_run({"loss": [5.0, value]}), _run({"loss": [5.0, other]}))
    assert verdict.exit_status == 1
    assert verdict.first is not None
    assert (verdict.first.metric, verdict.first.step) == ("loss", 1)


def test_the_first_parting_is_the_earliest_step_and_what_was_written_first_at_it(store: Path) -> None:
    """The other metrics of that step are named beside it."""
    one = _run({"b": [1.0, 2.0], "a": [1.0, 1.0], "late": [0.0, 0.0]})
    other = _run({"b": [1.0, 3.0], "a": [1.0, 9.0], "late": [0.0, 0.0]})
    first = judge(one, other).first
    assert first is not None
    assert first.step == 1
    assert {first.metric, *first.also} == {"a", "b"}


def test_what_a_clock_decides_is_left_aside(store: Path) -> None:
    """And said to be."""
    names = ["time/step_s", "throughput/samples_per_s", "system/cpu_percent", "gpu/0/power_w", "epoch_time", "fps"]
    one = _run({"loss": [1.0], **{name: [1.0] for name in names}})
    other = _run({"loss": [1.0], **{name: [2.0] for name in names}})
    verdict = judge(one, other)
    assert verdict.kind == "identical"
    assert set(names) <= set(verdict.not_compared)


def test_a_point_that_is_missing_is_a_difference(store: Path) -> None:
    """With the step it is missing at."""
    first = judge(_run({"loss": [1.0, 2.0]}), _run({"loss": [1.0]})).first
    assert first is not None
    assert (first.step, first.before, first.after) == (1, 2.0, None)


def test_looks_at_other_steps_are_no_difference(store: Path) -> None:
    """Gradients and their like are looked at as often as a budget of time allows."""
    one, other = _run({"loss": [1.0], "gradients/w/norm": [1.0, 2.0]}), _run({"loss": [1.0], "gradients/w/norm": [1.0]})
    assert judge(one, other).kind == "identical"


def test_positions_beside_looks_at_other_steps_are_no_difference(store: Path) -> None:
    """Epoch, batch and samples are written wherever something was looked at, and must agree where both are."""
    one, other = _run({"loss": [1.0], "samples": [32.0, 64.0]}), _run({"loss": [1.0], "samples": [32.0]})
    assert judge(one, other).kind == "identical"
    assert judge(one, _run({"loss": [1.0], "samples": [31.0]})).kind == "differs"


def test_figures_that_one_run_had_no_time_for_are_no_difference(store: Path) -> None:
    """It said so; of the same split both must agree wherever both have them, and of all others everywhere."""

    def run(points: Mapping[str, float], *left_out: str) -> RunView:
        with barograph.init(quiet=True) as made:
            made.log(points, step=0)
            for split in left_out:
                made.event("results_left_out", dataset=split, reason="no time")
        return barograph.open(made.store_path).run(made.id)

    full = run({"train/f1": 0.5, "val/f1": 0.25, "train/log_loss": 1.0})
    assert judge(full, run({"train/f1": 0.5, "val/f1": 0.25}, "train")).kind == "identical"
    assert judge(run({"train/f1": 0.5, "val/f1": 0.25}, "train"), full).kind == "identical"
    assert judge(full, run({"train/f1": 0.75, "val/f1": 0.25}, "train")).kind == "differs"
    assert judge(full, run({"train/f1": 0.5, "train/log_loss": 1.0}, "train")).kind == "differs"
    assert judge(run({"a/b/f1": 0.5, "a/loss": 1.0}), run({"a/loss": 1.0}, "a/b")).kind == "identical"
    assert judge(run({"a/b/f1": 0.5, "a/loss": 1.0}), run({"a/b/f1": 0.5}, "a/b")).kind == "differs"


def test_equal_results_of_other_data_are_said_to_be_that(store: Path) -> None:
    """Nothing differs that came out; that something else went in is worth a word."""
    views = []
    for rows in (np.arange(6.0), np.arange(6.0)[::-1]):
        with barograph.init(quiet=True) as run:
            run.log_dataset("train", rows)
            run.log({"loss": 1.0}, step=0)
        views.append(barograph.open(run.store_path).run(run.id))
    verdict = judge(*views)
    assert verdict.kind == "identical"
    assert "in another order" in str(verdict.reason)


def test_runs_that_ended_otherwise_are_not_comparable(store: Path) -> None:
    """Though all they have in common is equal."""
    verdict = judge(_run({"loss": [1.0, 2.0]}), _run({"loss": [1.0]}, "failed"))
    assert (verdict.kind, verdict.exit_status) == ("not comparable", 2)
    assert "failed" in str(verdict.reason)


def test_a_run_that_is_going_on_is_not_comparable(store: Path) -> None:
    """It may still say anything."""
    with barograph.init(quiet=True) as run:
        run.log({"loss": 1.0})
        live = barograph.open().run(run.id)
        assert "running" in str(judge(_run({"loss": [1.0]}), live).reason)


def test_runs_without_anything_in_common_are_not_comparable(store: Path) -> None:
    """No metric and no weights: nothing was compared."""
    assert judge(_run({}), _run({})).exit_status == 2


def test_weights_alone_can_tell(store: Path) -> None:
    """The same losses, but another model: the tensors that differ are named."""
    views = []
    for value in (1.0, 2.0):
        with barograph.init(quiet=True) as run:
            run.log({"loss": 1.0})
            run.log_weights({"same": [1.0], "other": [value]})
        views.append(barograph.open().run(run.id))
    verdict = judge(*views)
    assert verdict.kind == "differs"
    assert verdict.weights == ["other"]


def test_a_search_is_compared_part_by_part(store: Path) -> None:
    """Each part against the one with its settings, in whatever order they ran."""
    searches = []
    for rates in ([0.1, 0.2], [0.2, 0.1]):
        with barograph.init(quiet=True) as parent:
            for rate in rates:
                with barograph.init(quiet=True, parent=parent, config={"lr": rate}) as part:
                    part.log({"loss": rate})
        searches.append(barograph.open().run(parent.id))
    assert judge(*searches).kind == "identical"


def test_what_tells_how_good_a_training_is_is_named_first(store: Path) -> None:
    """Of all that parts at a step."""
    one, other = ({"gradients/w/norm": [value], "train/loss": [value]} for value in (1.0, 2.0))
    first = judge(_run(one), _run(other)).first
    assert first is not None
    assert (first.metric, first.also) == ("train/loss", ("gradients/w/norm",))
