"""How the scores depend on the amount of data: `learning_curve=` trains again on shares of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from xgboost import DMatrix
from xgboost.core import XGBoostError

from barograph.integrations.xgboost.call import Call
from barograph.integrations.xgboost.rounds import History, newest_scores
from barograph.run import Run


def log_learning_curve(run: Run, call: Call, shares: Sequence[float], rounds: int, history: History) -> None:
    """Train from nothing on each share of the training rows, and write the last scores by the number of rows.

    The points of `learning_curve/<data set>/<metric>` stand at the number of rows as their step; the last ones are of
    the training itself. rounds: as many as that had. Rows are spread evenly over the data. An event says why there is
    no curve: for a model that goes on from another, workers that train together, data that XGBoost cannot cut.
    """
    data = call.training
    reason = _reason_against(call, rounds)
    if data is None or reason is not None:
        run.event("learning_curve_left_out", reason=reason)
        return
    found: dict[int, Mapping[str, float]] = {data.num_row(): newest_scores(history)}
    for share in sorted(shares):
        count = max(1, round(share * data.num_row()))
        try:
            found[count] = _scores_with(call, _spread(data, count), rounds)
        except XGBoostError as error:
            run.event("learning_curve_left_out", share=share, reason=str(error))
            return
    for rows, scores in sorted(found.items()):
        run.log({f"learning_curve/{key}": score for key, score in scores.items()}, rows)


def _reason_against(call: Call, rounds: int) -> str | None:
    if not call.evaluated or not rounds:
        return "nothing was trained or evaluated"
    if call.fit.get("workers", 1) > 1 or call.fit.get("first_round"):
        return "the model goes on from another one, or was trained by several workers"
    if call.training is not None and len(call.training.get_uint_info("group_ptr")):
        return "rows belong together in groups"
    return None


def _spread(data: DMatrix, count: int) -> DMatrix:
    return data.slice(np.linspace(0, data.num_row() - 1, count).astype(np.int32).tolist())


def _scores_with(call: Call, data: DMatrix, rounds: int) -> dict[str, float]:
    """What the same training comes to with other data.

    On a thread of its own: XGBoost keeps the state of its random numbers by thread, and the user may go on training.
    """
    evals = [(data if one is call.training else one, name) for name, one in call.evaluated]
    told: dict[str, Any] = {}
    failed: list[Exception] = []

    def train() -> None:
        try:
            xgboost.train(
                dtrain=data,
                num_boost_round=rounds,
                evals=evals,
                evals_result=told,
                verbose_eval=False,
                **call.again,
            )
        except Exception as error:  # noqa: BLE001  # it is raised again where it can be told
            failed.append(error)

    thread = threading.Thread(target=train, name="barograph-learning-curve", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return newest_scores(told)
