"""What an autolog is asked for beyond what it does by itself: each has a price that only the user can weigh."""

from __future__ import annotations

import dataclasses
from typing import Any, Self


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """log_model: keep fitted models as artifacts; None keeps those that cost next to nothing (keeping.py).

    candidates: those of a search as "rows" of a table, or also as "runs" of their own. log_predictions: rows of each
    scored split that are kept with label, prediction and score. training_score: predict the training data after a fit
    and score it; None does so where that costs at most a tenth of the fit, and little. permutation_importance: times
    that each feature is shuffled when a split is scored. learning_curve: folds of a learning curve over the amount of
    data after a fit. 0 switches off. Raises TypeError or ValueError for a value that is none of these.
    """

    log_model: bool | None = None
    candidates: str = "rows"
    log_predictions: int = 0
    training_score: bool | None = None
    permutation_importance: int = 0
    learning_curve: int = 0

    def __post_init__(self) -> None:
        if self.candidates not in ("rows", "runs"):
            raise ValueError(f"autolog: candidates must be 'rows' or 'runs', got {self.candidates!r}")
        for name in ("log_predictions", "permutation_importance", "learning_curve"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"autolog: {name} must be a whole number, got {value!r}")
            if value < 0:
                raise ValueError(f"autolog: {name} must not be negative, got {value}")
        if self.learning_curve == 1:
            raise ValueError("autolog: learning_curve must be 0 or at least 2 folds, got 1")

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """The options among the arguments of autolog, and the others."""
        names = {field.name for field in dataclasses.fields(cls)}
        options = cls(**{name: value for name, value in arguments.items() if name in names})
        return options, {name: value for name, value in arguments.items() if name not in names}
