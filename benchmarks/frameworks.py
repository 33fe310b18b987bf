"""What a whole training pays: the CPU of a fit with Barograph attached over that of the same fit without.

    python benchmarks/frameworks.py [lightning] [keras] [xgboost] [sklearn]

Fits with and without take turns, and of each kind the quickest counts: other work only ever adds to it. All threads of
the process count, the libraries are on one. A run is open beforehand, except for scikit-learn, whose ratio holds the
start and end of the run. Peers are attached by what they or the framework bring for it.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import peers
from figures import OURS, Figure, main, scratch

import barograph

PAIRS, PEER_PAIRS = 15, 3


@dataclass(frozen=True, slots=True)
class Case:
    """A fit, and what it is given: `attach` makes that in a folder, and None is given for the fit without."""

    what: str
    fit: Callable[[Any], object]  # Any: whatever the framework takes
    attach: Callable[[Path], AbstractContextManager[Any]]
    bound: float | None = None
    who: str = OURS


def ours() -> Iterator[Figure]:
    yield from (figure for case in cases() if case.who == OURS for figure in figures_of(case, PAIRS))


def of_peers() -> Iterator[Figure]:
    yield from (figure for case in cases() if case.who != OURS for figure in figures_of(case, PEER_PAIRS))


def cases() -> Iterator[Case]:
    warnings.simplefilter("ignore")  # of frameworks about loaders with few workers and the like
    known = {"lightning": lightning, "keras": keras, "xgboost": xgboost, "sklearn": sklearn}
    for name in [name for name in known if name in sys.argv] or known:
        try:
            yield from known[name]()
        except ImportError as error:
            print(f"{name}: {error}; skipped", file=sys.stderr)


def figures_of(case: Case, pairs: int) -> Iterator[Figure]:
    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with scratch() as folder, peers.silent(), case.attach(folder) as attached:
        for given in (None, attached):
            case.fit(given)  # what is imported or compiled once is no cost of a fit
        run = barograph.current_run()
        told_before_s = run.overhead["total_s"] if run else 0.0
        for pair in range(pairs):
            for given in (None, attached) if pair % 2 else (attached, None):
                cpu, wall = time.process_time(), time.perf_counter()
                case.fit(given)
                taken[given is None].append((time.process_time() - cpu, time.perf_counter() - wall))
        told_s = run.overhead["total_s"] - told_before_s if run else None
    (cpu_with, wall_with), (cpu_alone, wall_alone) = (
        map(min, zip(*taken[kind], strict=True)) for kind in (False, True)
    )
    what = f"{case.what}, {cpu_alone:.1f} s: CPU with over without"
    yield Figure(what, cpu_with / cpu_alone, "x", case.bound, case.who)
    yield Figure("  by the clock", wall_with / wall_alone, "x", who=case.who)
    if told_s is not None:
        with_s = sum(wall for _, wall in taken[False])
        yield Figure("  what the run itself says that it took (run.overhead)", told_s / with_s * 100, "%")


@contextmanager
def with_open_run(make: Callable[[barograph.Run], Any], folder: Path) -> Iterator[Any]:
    with barograph.init(store=folder, quiet=True) as run:
        time.sleep(1.0)  # until the look at code and packages, on a thread of its own, is done
        yield make(run)


# -- Lightning: 200 steps of some milliseconds, five scalars each ------------------------------------------------------


def lightning() -> Iterator[Case]:
    import lightning as L
    import torch
    from lightning.pytorch import loggers

    from barograph.integrations.lightning import BarographCallback

    torch.set_num_threads(1)
    x, y = torch.randn(200 * 256, 64), torch.randint(0, 10, (200 * 256,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=256)

    class Classifier(L.LightningModule):  # type: ignore[misc]  # without annotations
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU(),
                torch.nn.Linear(512, 10),
            )  # fmt: skip

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            loss = torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
            for name in ("loss", "a", "b", "c", "d"):
                self.log(f"train/{name}", loss.detach())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def fit(given: dict[str, Any] | None) -> None:
        quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = L.Trainer(
            max_epochs=1, accelerator="cpu", log_every_n_steps=1, **quiet, **(given or {"logger": False})
        )
        trainer.fit(Classifier(), loader)

    def attached(watch: bool, run: barograph.Run) -> dict[str, Any]:
        return {"logger": False, "callbacks": [BarographCallback(run=run, watch=watch)]}

    for what, watch, bound in (
        ("Lightning, 200 steps, 5 scalars a step", False, 1.02),
        ("Lightning, the same and a look into the model", True, None),
    ):
        yield Case(what, fit, partial(with_open_run, partial(attached, watch)), bound)

    def logged(kind: type[Any], options: dict[str, Any], folder: Path) -> AbstractContextManager[Any]:
        return nullcontext({"logger": kind(save_dir=str(folder), **options)})

    for package, kind, options in (
        ("lightning", loggers.CSVLogger, {}),
        ("tensorboard", loggers.TensorBoardLogger, {}),
        ("wandb", loggers.WandbLogger, {"offline": True}),
    ):
        if peers.is_installed(package):
            attach = partial(logged, kind, options)
            yield Case("Lightning, 200 steps, 5 scalars a step", fit, attach, who=kind.__name__)


# -- Keras 3 on torch: four epochs of 100 steps, epochs logged ---------------------------------------------------------


def keras() -> Iterator[Case]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    import numpy as np
    import torch

    from barograph.integrations.keras import BarographCallback

    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    x, y = draw.random((100 * 64, 32), np.float32), draw.integers(0, 10, 100 * 64)
    layers = keras.layers
    model = keras.Sequential([layers.Input((32,)), layers.Dense(256, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def fit(given: Any) -> None:
        model.fit(x, y, batch_size=64, epochs=4, verbose=0, callbacks=[given] if given else [])

    for what, watch, bound in (
        ("Keras on torch, 400 steps, epochs logged", False, 1.01),
        ("Keras on torch, the same and a look into the model", True, None),
    ):
        yield Case(what, fit, partial(with_open_run, partial(BarographCallback, watch=watch)), bound)


# -- XGBoost: 200 rounds, two evaluations a round ----------------------------------------------------------------------


def xgboost() -> Iterator[Case]:
    import numpy as np
    import xgboost as xgb

    from barograph.integrations.xgboost import BarographCallback

    draw = np.random.default_rng(0)
    x = draw.random((20_000, 20), np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + draw.normal(0, 0.1, len(x)) > 0.8).astype(int)
    train, valid = xgb.DMatrix(x[:15_000], y[:15_000]), xgb.DMatrix(x[15_000:], y[15_000:])
    params = {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "nthread": 1}

    def fit(given: Any) -> None:
        callbacks = [given] if isinstance(given, xgb.callback.TrainingCallback) else []
        evals = [(train, "train"), (valid, "valid")]
        xgb.train(params, train, 200, evals=evals, verbose_eval=False, callbacks=callbacks)

    what = "XGBoost, 200 rounds"
    yield Case(what, fit, partial(with_open_run, BarographCallback), 1.03)
    if peers.is_installed("wandb"):
        yield Case(what, fit, in_wandb, who="wandb (offline)")
    if peers.is_installed("mlflow"):
        yield Case(what, lambda given: in_mlflow(given, "xgboost", fit), mlflow_store, who="MLflow autolog")


# -- scikit-learn: a random forest of about two seconds, its run begun and ended each time -----------------------------


def sklearn() -> Iterator[Case]:
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    from barograph.integrations.sklearn import autolog

    x, y = make_classification(5_000, 20, n_informative=10, random_state=0)

    def fit(_: Any = None) -> None:
        RandomForestClassifier(160, n_jobs=1, random_state=0).fit(x, y)

    def recorded(store: Path | None) -> None:
        with autolog(store=store, quiet=True) if store else nullcontext():
            fit()

    what = "RandomForest under autolog, start and end included"
    yield Case(what, recorded, nullcontext, 1.03)
    if peers.is_installed("mlflow"):
        yield Case(what, lambda given: in_mlflow(given, "sklearn", fit), mlflow_store, who="MLflow autolog")


# -- how the peers are attached ----------------------------------------------------------------------------------------


@contextmanager
def in_wandb(folder: Path) -> Iterator[Any]:
    from wandb.integration.xgboost import WandbCallback

    with peers.started(peers.Wandb(), folder):
        yield WandbCallback()


@contextmanager
def mlflow_store(folder: Path) -> Iterator[Path]:
    with peers.started(peers.MLflow(), folder):
        pass
    yield folder


def in_mlflow(given: Path | None, framework: str, fit: Callable[[Any], object]) -> None:
    """A fit in a run of MLflow with its autolog of a framework, or without for None."""
    import importlib

    import mlflow

    flavour = importlib.import_module(f"mlflow.{framework}")
    flavour.autolog(disable=given is None, silent=True)
    with mlflow.start_run() if given else nullcontext():
        fit(None)


if __name__ == "__main__":
    main(ours, of_peers)
