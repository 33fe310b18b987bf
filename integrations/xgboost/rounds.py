"""What every round gets: its time, the learning rate in force, and the scores of every evaluation set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from barograph.run import Run
from barograph.values import clean_key

# A metric's scores by data set and metric; pairs of mean and standard deviation under cv().
History = Mapping[str, Mapping[str, Sequence[Any]]]


def newest_scores(history: History) -> dict[str, float]:
    """The last score of each metric of each set, by `<set>/<metric>`."""
    return {
        f"{data}/{metric}": float(scores[-1]) for data, metrics in history.items() for metric, scores in metrics.items()
    }


class Rounds:
    """Writes one record a round. rows: that a round learns from, None if unknown."""

    def __init__(self, run: Run, rows: int | None) -> None:
        self._run = run
        self._rows = rows
        self._names: tuple[str, ...] = ()
        self._made_for: tuple[object, ...] = ()  # what decides which names there are, so that most rounds make none
        self._lengths: list[int] = []

    def record(
        self, step: int, epoch: int, duration_s: float, rate: float | None, history: History, folds: Sequence[str]
    ) -> None:
        """Write a round. epoch: as the model counts; folds: under cv() a line of scores for each fold."""
        values = [float(epoch), duration_s]
        if self._rows is not None:
            values.append(self._rows / duration_s)
        if rate is not None:
            values.append(rate)
        lists = [scores for metrics in history.values() for scores in metrics.values()]
        lengths = [len(scores) for scores in lists]
        # A user's metric may have another name each time: XGBoost keeps the scores of all.
        old = [place for place, (now, before) in enumerate(zip(lengths, self._lengths, strict=False)) if now == before]
        self._lengths = lengths
        for place, scores in enumerate(lists):
            if old and place in old:
                continue
            newest = scores[-1]
            if type(newest) is tuple:  # of cv()
                values += newest
            else:
                values.append(newest)
        of_folds = _scores_of(folds)
        values += of_folds.values()
        made_for = (len(lists), old, rate is None, len(of_folds))
        if made_for != self._made_for:
            self._made_for = made_for
            names = [names for place, names in enumerate(_names_of(history)) if place not in old]
            self._names = (*self._given_names(rate), *(name for pair in names for name in pair), *of_folds)
        self._run.log_scalars(self._names, values, step)

    def _given_names(self, rate: float | None) -> list[str]:
        speed = ["throughput/samples_per_s"] if self._rows is not None else []
        return ["epoch", "time/step_s", *speed, *(["lr/eta"] if rate is not None else [])]


def _names_of(history: History) -> list[list[str]]:
    """The name of each list of scores, under cv() with that of its deviation."""
    keys = [
        (clean_key(f"{data}/{metric}")[0], scores)
        for data, metrics in history.items()
        for metric, scores in metrics.items()
    ]
    return [[key, f"{key}_std"] if type(scores[-1]) is tuple else [key] for key, scores in keys]


def _scores_of(folds: Sequence[str]) -> dict[str, float]:
    """The scores of each fold; a line is such as "[7]  train-logloss:0.31  test-logloss:0.34"."""
    found: dict[str, float] = {}
    for fold, line in enumerate(folds):
        for word in line.split()[1:]:
            name, _, score = word.rpartition(":")
            found[clean_key(f"{name.replace('-', '/', 1)}/fold{fold}")[0]] = float(score)
    return found
