"""What an autolog is asked for beyond what it does by itself: each has a price that only the user can weigh."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from barograph.arguments import check_count, check_shares


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """log_model: whether to keep fitted models as artifacts; None where they are small (models.py). candidates: those
    of a search as "rows" of a table, or also as "runs" of their own. log_predictions: rows of each scored split that
    are kept with label, prediction and score. training_score: predict the training data after a fit and score it, and
    ask a classifier that is scored for probabilities; None does so where that costs at most a tenth of the fit, and
    little; False predicts nothing. permutation_importance: times that each feature is shuffled when a split is scored.
    learning_curve: shares of the training data, such as (0.1, 0.3), to cross-validate copies on after a fit, for the
    scores over the amount of data. Raises TypeError or ValueError for a value that is none of these.
    """

    log_model: bool | None = None
    candidates: str = "rows"
    log_predictions: int = 0
    training_score: bool | None = None
    permutation_importance: int = 0
    learning_curve: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.candidates not in ("rows", "runs"):
            raise ValueError(f"candidates must be 'rows' or 'runs', got {self.candidates!r}")
        check_count("log_predictions", self.log_predictions)
        check_count("permutation_importance", self.permutation_importance)
        check_shares("learning_curve", self.learning_curve)

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """The options among the arguments of autolog, and the others."""
        names = {field.name for field in dataclasses.fields(cls)}
        options = cls(**{name: value for name, value in arguments.items() if name in names})
        return options, {name: value for name, value in arguments.items() if name not in names}
