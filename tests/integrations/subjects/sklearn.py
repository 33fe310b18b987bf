"""What the conformance list needs to know of the scikit-learn integration."""

import contextlib
import pickle
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from barograph.integrations.sklearn import autolog


class _Raises(TransformerMixin, BaseEstimator):
    """The user's own transformer, which raises when its turn comes."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def fit(self, X: Any, y: Any = None) -> "_Raises":
        if self.error is not None:
            raise self.error
        return self

    def transform(self, X: Any) -> Any:
        return X


class _Sklearn:
    name = "sklearn"
    set_by_framework: frozenset[str] = frozenset()
    hooks: list[str] = ["begins", "call_begins", "call_ends", "ends"]  # noqa: RUF012  # as the protocol says

    def callback(self, **arguments: Any) -> Any:
        return autolog(**arguments)

    def train(self, callback: Any, *, epochs: int = 2, error: BaseException | None = None) -> bytes:
        draw = np.random.default_rng(0)
        X = draw.normal(size=(200, 5))
        y = (X[:, 0] + X[:, 1] > 0).astype(int)
        model = make_pipeline(_Raises(error), SGDClassifier(max_iter=epochs, tol=None, random_state=1))
        with contextlib.ExitStack() as blocks:
            for block in callback if isinstance(callback, list) else [] if callback is None else [callback]:
                blocks.enter_context(block)
            model.fit(X[:150], y[:150])
            model.score(X[150:], y[150:])
        return pickle.dumps(model[-1].coef_)

    def train_failing(self, callback: Any, error: BaseException) -> None:
        self.train(callback, error=error)


SUBJECT = _Sklearn()
