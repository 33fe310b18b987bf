"""XGBoost as barograph.testing asks it: a tiny seeded training whose user may raise an error in the objective."""

from typing import Any

import numpy as np
import xgboost

from barograph.integrations.xgboost import BarographCallback


class XgboostSubject:
    """Boosts a handful of small trees on drawn numbers; an epoch is three rounds."""

    name = "xgboost"
    set_by_framework: frozenset[str] = frozenset()
    hooks = (
        "_begin_fit",
        "_describe",
        "_record_round",
        "_record_missed_round",
        "_record_model",
        "_record_results",
        "_end_fit",
    )

    def callback(self, **arguments: Any) -> BarographCallback:
        """A fresh callback."""
        return BarographCallback(**arguments)

    def train(self, callback: BarographCallback | list[Any] | None, *, epochs: int = 2) -> bytes:
        """The model of a seeded training, byte for byte."""
        callbacks = callback if isinstance(callback, list) else [] if callback is None else [callback]
        return self._boost(callbacks, rounds=3 * epochs, error=None)

    def train_failing(self, callback: BarographCallback, error: BaseException) -> None:
        """A training whose objective raises in the fourth round."""
        self._boost([callback], rounds=6, error=error)

    def _boost(self, callbacks: list[Any], rounds: int, error: BaseException | None) -> bytes:
        draw = np.random.default_rng(0)
        inputs = draw.normal(size=(200, 4))
        labels = inputs[:, 0] - inputs[:, 1] + draw.normal(size=200)
        train, valid = xgboost.DMatrix(inputs[:150], labels[:150]), xgboost.DMatrix(inputs[150:], labels[150:])
        calls = 0

        def squared_error(predictions: np.ndarray, data: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
            nonlocal calls
            calls += 1
            if error is not None and calls == 4:
                raise error
            return predictions - data.get_label(), np.ones_like(predictions)

        booster = xgboost.train(
            {"max_depth": 3, "subsample": 0.7, "seed": 5, "nthread": 1},
            train,
            rounds,
            evals=[(train, "train"), (valid, "valid")],
            obj=squared_error,
            verbose_eval=False,
            callbacks=callbacks,
        )
        return bytes(booster.save_raw())


SUBJECT = XgboostSubject()
