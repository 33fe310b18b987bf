"""What the keys of metrics say about them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from barograph.keys import best_of, is_better_high, is_inside, is_measured, is_telling


@pytest.mark.parametrize(
    ("key", "is_high"),
    [
        ("val/accuracy", True), ("train/acc", True), ("auc", True), ("test/f1_score", True), ("r2", True),
        ("val/loss", False), ("logloss", False), ("valid/mlogloss", False), ("rmse", False), ("error", False),
        ("accuracy_loss", False), ("reward", True),
    ],
)  # fmt: skip
def test_names_tell_whether_more_is_better(key: str, is_high: bool) -> None:
    """Scores rise, losses and errors fall."""
    assert is_better_high(key) == is_high


@pytest.mark.parametrize(
    ("key", "tells", "lies_inside", "depends_on_the_clock"),
    [
        ("val/loss", True, False, False),
        ("val/f1", True, False, False),
        ("lr/adam", True, False, False),
        ("lr/eta", True, False, False),
        ("train/eta", True, False, True),
        ("gradients/fc1.weight/norm", False, True, False),
        ("optimizer/adam/exp_avg/norm", False, True, False),
        ("importance/gain/f0", False, True, False),
        ("time/step_s", False, False, True),
        ("gpu/0/power_w", False, False, True),
        ("eval/samples_per_s", True, False, True),
        ("search/fit_s", True, False, True),
        ("train/it/s", True, False, True),
        ("distill/loss_s", True, False, False),
        ("epoch", False, False, False),
        ("val/batch", False, False, False),
    ],
)
def test_keys_tell_what_a_metric_is_about(key: str, tells: bool, lies_inside: bool, depends_on_the_clock: bool) -> None:
    """How good the training was, what went on inside the model, or what the machine did."""
    assert (is_telling(key), is_inside(key), is_measured(key)) == (tells, lies_inside, depends_on_the_clock)


@pytest.mark.parametrize("key", ["epoch", "lr/adam", "train/lr", "weights/fc1.weight/norm"])
def test_no_value_is_best_of_what_was_set_or_lies_inside(key: str) -> None:
    """A small learning rate is not a good one."""
    assert best_of(key, SimpleNamespace(min=0.0, min_step=1, max=1.0, max_step=2)) == (None, None)


def test_the_best_is_the_least_loss_and_the_greatest_score() -> None:
    """With the step it was reached at."""
    numbers = SimpleNamespace(min=0.0, min_step=1, max=1.0, max_step=2)
    assert (best_of("val/loss", numbers), best_of("val/accuracy", numbers)) == ((0.0, 1), (1.0, 2))
