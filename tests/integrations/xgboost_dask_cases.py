"""Trainings on a dask cluster of two worker processes, for test_xgboost_dask.py: `python ... <store>`."""

import sys
from typing import Any

import dask.array
import numpy as np
from distributed import Client, LocalCluster
from xgboost import dask as of_dask

import barograph
from barograph.integrations.xgboost import BarographCallback

PARAMS = {"objective": "binary:logistic", "seed": 1}


def broken(predictions: np.ndarray, data: Any) -> Any:
    """An objective that fails on every worker."""
    raise ZeroDivisionError("the user's own")


def main(store: str) -> None:
    """Train alone, again with the same callback, as an estimator, within an open run, and badly."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        inputs = dask.array.random.default_rng(3).random((400, 4), chunks=(100, 4))
        labels = (inputs[:, 0] + inputs[:, 1] > 1).astype(int)
        data = of_dask.DaskDMatrix(client, inputs, labels)

        def train(callback: BarographCallback, rounds: int = 5, **arguments: Any) -> Any:
            evals = [(data, "train")]
            return of_dask.train(client, PARAMS, data, rounds, evals=evals, callbacks=[callback], **arguments)

        alone = BarographCallback(store=store, name="alone", quiet=True, log_predictions=3)
        trained = train(alone)
        assert len(trained["history"]["train"]["logloss"]) == 5
        assert alone.run is None
        assert alone.view().name == "alone"
        train(alone, rounds=3)

        estimator = of_dask.DaskXGBClassifier(
            n_estimators=4, callbacks=[BarographCallback(store=store, name="estimator", quiet=True)]
        )
        estimator.client = client
        estimator.fit(inputs, labels, eval_set=[(inputs, labels)], verbose=False)

        with barograph.init(store=store, name="open", quiet=True) as run:
            train(BarographCallback())
            train(BarographCallback(run=run))

        try:
            train(BarographCallback(store=store, name="broken", quiet=True), obj=broken)
        except ZeroDivisionError:
            return
        raise AssertionError("the user's error did not reach the user")


if __name__ == "__main__":
    main(sys.argv[1])
