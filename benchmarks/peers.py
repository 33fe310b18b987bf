"""What Barograph is measured beside: one small adapter a peer, which starts, logs, ends and reads. None is needed."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


class Peer:
    """One logger. An adapter serves one run at a time; `folder` is where that run, or several, are kept."""

    name = ""
    package = ""

    @property
    def import_statement(self) -> str:
        """What a user imports."""
        return f"import {self.package}"

    def load(self) -> None:
        """Import what a user imports, so that start() does not."""
        exec(self.import_statement, {})

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        """Begin a run."""
        raise NotImplementedError

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Log one step."""
        raise NotImplementedError

    def finish(self) -> None:
        """End the run, everything written."""
        raise NotImplementedError

    def look_into(self, model: Any) -> Callable[[int], None] | None:
        """What writes weights and gradients of a model of torch, as histograms, after a step; None if it cannot."""
        return None

    def settle(self, folder: Path) -> None:
        """Wait until a finished run is on the disk, for a peer that goes on writing after finish()."""

    def read_series(self, folder: Path, key: str) -> Sequence[float]:
        """The values of one metric of the run in a folder, by the peer's own reader."""
        raise NotImplementedError

    def list_runs(self, folder: Path) -> list[Any]:
        """Every run with its params and last values; not overridden where a peer cannot."""
        raise NotImplementedError


class Barograph(Peer):
    name = "barograph"
    package = "barograph"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        import barograph

        self._run = barograph.init(store=folder, quiet=True, config=params)
        self.log = self._run.log  # type: ignore[method-assign]  # as users call it

    def finish(self) -> None:
        self._run.finish()

    def read_series(self, folder: Path, key: str) -> Sequence[float]:
        import barograph

        with barograph.open(folder) as store:
            return list(store.runs()[0].metric(key).values)

    def list_runs(self, folder: Path) -> list[Any]:
        import barograph

        with barograph.open(folder) as store:
            return [(run.name, run.status, run.config, run.summary) for run in store.runs()]


class Wandb(Peer):
    """Offline. There is no reader of its file but its own log of records, walked over here."""

    name = "wandb (offline)"
    package = "wandb"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        os.environ |= {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
        import wandb

        self._run = wandb.init(project="bench", mode="offline", dir=folder, config=params)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step=step)

    def finish(self) -> None:
        self._run.finish()

    def look_into(self, model: Any) -> Callable[[int], None]:
        self._run.watch(model, log="all", log_freq=1)
        return lambda step: self._run.log({"step": step}, step=step)

    def settle(self, folder: Path) -> None:
        path, size = next(folder.rglob("*.wandb")), -1
        while size != path.stat().st_size:
            size = path.stat().st_size
            time.sleep(1.0)

    def read_series(self, folder: Path, key: str) -> list[float]:
        from wandb.proto import wandb_internal_pb2

        values = []
        for data in _records_of_wandb(next(folder.rglob("*.wandb")).read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            for item in record.history.item:
                if (item.key or "/".join(item.nested_key)) == key:
                    values.append(float(json.loads(item.value_json)))
        return values


def _records_of_wandb(data: bytes) -> Iterator[bytes]:
    """The records of its file, which is in LevelDB's log format: pieces with a head of 7 bytes, in blocks of 32 KiB."""
    block, head = 32768, 7
    position, parts = head, b""
    while position + head <= len(data):
        if block - position % block < head:
            position += block - position % block
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + head : position + head + length]
        if position + head + length > len(data) or not kind:
            return
        if kind in (1, 4):  # whole, or the last piece
            yield parts
            parts = b""
        position += head + length


class TensorBoard(Peer):
    name = "TensorBoard (torch)"
    package = "tensorboard"

    @property
    def import_statement(self) -> str:
        return "from torch.utils.tensorboard import SummaryWriter"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / f"run-{time.time_ns()}"))
        self._params = params

    def log(self, metrics: dict[str, float], step: int) -> None:
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        self._writer.close()

    def look_into(self, model: Any) -> Callable[[int], None]:
        def look(step: int) -> None:
            for name, parameter in model.named_parameters():
                self._writer.add_histogram(f"weights/{name}", parameter, step)
                self._writer.add_histogram(f"gradients/{name}", parameter.grad, step)

        return look

    def read_series(self, folder: Path, key: str) -> list[float]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (run,) = folder.iterdir()
        events = EventAccumulator(str(run), size_guidance={"scalars": 0})
        events.Reload()
        return [event.value for event in events.Scalars(key)]

    def list_runs(self, folder: Path) -> list[Any]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = []
        for run in folder.iterdir():
            events = EventAccumulator(str(run), size_guidance={"scalars": 1})
            events.Reload()
            found.append({key: events.Scalars(key)[-1].value for key in events.Tags()["scalars"]})
        return found


class Trackio(Peer):
    name = "trackio (local)"
    package = "trackio"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        self._look_into(folder)
        import trackio

        self._run = trackio.init(project="bench", name=f"run-{time.time_ns()}", config=params, embed=False)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step)

    def look_into(self, model: Any) -> Callable[[int], None]:
        from trackio import Histogram

        def look(step: int) -> None:
            found = {}
            for name, parameter in model.named_parameters():
                found[f"weights/{name}"] = Histogram(parameter.detach().numpy().ravel())
                found[f"gradients/{name}"] = Histogram(parameter.grad.numpy().ravel())
            self._run.log(found, step)

        return look

    def finish(self) -> None:
        import trackio

        trackio.finish()

    def read_series(self, folder: Path, key: str) -> list[float]:
        storage = self._look_into(folder)
        runs = storage.get_runs("bench")  # none after a kill before its first write
        return [row["value"] for run in runs for row in storage.get_metric_values("bench", run, key)]

    def list_runs(self, folder: Path) -> list[Any]:
        storage = self._look_into(folder)
        configs = storage.get_all_run_configs("bench")
        return [(run, configs.get(run), storage.get_logs("bench", run)[-1]) for run in storage.get_runs("bench")]

    def _look_into(self, folder: Path) -> Any:
        """Its storage, turned to a folder: it reads that setting once, when it is imported."""
        os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
        from trackio.sqlite_storage import SQLiteStorage

        for name, module in list(sys.modules.items()):
            if name.startswith("trackio") and hasattr(module, "TRACKIO_DIR"):
                module.__dict__["TRACKIO_DIR"] = folder
        return SQLiteStorage


class MLflow(Peer):
    name = "MLflow (sqlite)"
    package = "mlflow"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        self._look_into(folder)
        import mlflow

        mlflow.start_run()
        if params:
            mlflow.log_params(params)
        self._log = mlflow.log_metrics

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._log(metrics, step=step)

    def finish(self) -> None:
        import mlflow

        mlflow.end_run()

    def read_series(self, folder: Path, key: str) -> list[float]:
        client = self._look_into(folder)
        (run,) = self._runs(client)
        return [metric.value for metric in client.get_metric_history(run.info.run_id, key)]

    def list_runs(self, folder: Path) -> list[Any]:
        runs = self._runs(self._look_into(folder))
        return [(run.info.run_name, run.data.params, run.data.metrics) for run in runs]

    def _runs(self, client: Any) -> list[Any]:
        return list(client.search_runs([client.get_experiment_by_name("bench").experiment_id], max_results=50_000))

    def _look_into(self, folder: Path) -> Any:
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
        import mlflow

        mlflow.set_tracking_uri(self._address(folder))
        client = mlflow.MlflowClient()
        if client.get_experiment_by_name("bench") is None:  # the default one keeps files in the folder one stands in
            client.create_experiment("bench", (folder / "artifacts").as_uri())
        mlflow.set_experiment("bench")
        return client

    def _address(self, folder: Path) -> str:
        return f"sqlite:///{folder / 'mlflow.db'}"


class MLflowFiles(MLflow):
    name = "MLflow (files)"

    def _address(self, folder: Path) -> str:
        return (folder / "mlruns").as_uri()


class LightningCSV(Peer):
    name = "Lightning CSVLogger"
    package = "lightning"

    @property
    def import_statement(self) -> str:
        return "from lightning.pytorch.loggers import CSVLogger"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        from lightning.pytorch.loggers import CSVLogger

        self._logger = CSVLogger(folder)
        if params:
            self._logger.log_hyperparams(params)
        self._log = self._logger.log_metrics

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._log(metrics, step)

    def finish(self) -> None:
        self._logger.save()
        self._logger.finalize("success")

    def read_series(self, folder: Path, key: str) -> list[float]:
        found = list(folder.rglob("metrics.csv"))
        with open(found[0], newline="") as file:
            return [float(row[key]) for row in csv.DictReader(file)]

    def list_runs(self, folder: Path) -> list[Any]:
        from lightning.pytorch.core.saving import load_hparams_from_yaml

        found = []
        for path in folder.rglob("metrics.csv"):
            with open(path, newline="") as file:
                last = list(csv.DictReader(file))[-1]
            found.append((path.parent.name, load_hparams_from_yaml(path.with_name("hparams.yaml")), last))
        return found


PEERS: list[type[Peer]] = [Wandb, TensorBoard, Trackio, MLflow, MLflowFiles, LightningCSV]


def by_name(name: str) -> Peer:
    """The adapter of that name, ours among them."""
    kinds: list[type[Peer]] = [Barograph, *PEERS]
    return next(kind() for kind in kinds if kind.name == name)


def installed() -> Iterator[Peer]:
    """The peers that are here; a line on stderr for each that is not."""
    for kind in PEERS:
        if is_installed(kind.package):
            yield kind()
        else:
            print(f"{kind.name} is not installed; skipped", file=sys.stderr)


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


@contextlib.contextmanager
def started(peer: Peer, folder: Path) -> Iterator[None]:
    """A run of a peer, with what it prints kept off the terminal."""
    with silent():
        peer.start(folder)
    yield
    with silent():
        peer.finish()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing on stdout and stderr, of subprocesses either."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, saved in enumerate(kept, 1):
            os.dup2(saved, number)
            os.close(saved)
        os.close(nowhere)
