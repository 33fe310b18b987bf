"""BarographLogger: a run behind Lightning's Logger interface, for `Trainer(logger=...)` and for `self.logger`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only

from barograph.guard import guarded
from barograph.integrations.lightning.attached import Attached
from barograph.integrations.lightning.bases import Logger, dummy_experiment
from barograph.integrations.lightning.checkpoints import Checkpoints
from barograph.integrations.lightning.ends import status_of
from barograph.integrations.lightning.layers import summarize_layers
from barograph.open_runs import joinable_run
from barograph.run import Run
from barograph.store.layout import new_run_id, safe_run_id


class BarographLogger(Attached, Logger):  # type: ignore[misc]  # a base made of the installed packages' classes
    """Log to a run: `Trainer(logger=BarographLogger())`, of `lightning` or `pytorch_lightning`.

    run: the run to write to; without one the run that is open is used and left open, and if none is, a run is made and
    closed. save_dir: where Lightning puts checkpoints and LightningCLI its configuration, default
    ./barograph_logs/<run id>. copy_checkpoints: whether checkpoints are kept in the store. arguments: those of
    `barograph.init` for a run that is made.

    A logger sees only what Lightning hands to it: metrics, hyperparameters, checkpoints, and whether the fit failed.
    With a BarographCallback in the same Trainer both write one run, and the callback records everything else.
    Of several processes only rank 0 writes through a logger.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        save_dir: str | Path | None = None,
        copy_checkpoints: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(run, **arguments)
        self._save_dir = save_dir
        self.copy_checkpoints = copy_checkpoints
        self._checkpoints: Checkpoints | None = None
        self._planned_id: str | None = None
        self._unwritten: dict[str, Any] = {}
        self.offset = 0  # from Lightning's steps to the run's
        self._fit_begins = False
        self.is_served = False  # set by a callback that records more than a logger can see
        self.skips_next = False  # by that callback, which has recorded what Lightning hands to all loggers next

    # -- what Lightning asks -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The run's project; a folder name in the path of checkpoints."""
        run = self._expected_run()
        return run.project if run is not None else self._given_project or "barograph"

    @property
    def version(self) -> str:
        """The run's id, which is settled here if the run does not exist yet."""
        run = self._expected_run()
        if run is not None:
            return run.id
        if self._planned_id is None:
            self._planned_id = safe_run_id(self._given_id) if self._given_id else new_run_id()
        return self._planned_id

    @property
    def save_dir(self) -> str:
        """Where Lightning may put its own files."""
        return os.path.join("barograph_logs", self.version) if self._save_dir is None else os.fspath(self._save_dir)

    @property
    def experiment(self) -> Any:  # Any: a Run, or what stands for it
        """The run, for everything that it can do: `self.logger.experiment.log_image(...)`.

        Lightning asks for it before a callback knows which run a checkpoint belongs to, and in a tuner's trials, so the
        run is only made when something is done with it.
        """
        if _is_silent():
            return dummy_experiment()
        return self.run if self._is_open() else _Experiment(self)

    @guarded
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write metrics at the step that Lightning gives; a fit that counts from 0 again goes on where the run is."""
        if self.skips_next or _is_silent():
            self.skips_next = False
            return
        run = self.open()
        if self._fit_begins and step is not None:
            self._fit_begins, self.offset = False, max(0, run.steps_done - step)
        at = None if step is None else step + self.offset
        run.log(metrics, at)
        if at is not None:
            self.attachment.reached(at)

    @guarded
    def log_hyperparams(
        self,
        params: Mapping[str, Any] | argparse.Namespace,
        metrics: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Add to the configuration, under `hyperparameters`; metrics are logged, as TensorBoard's logger does."""
        if _is_silent():
            return
        self._unwritten.update(vars(params) if isinstance(params, argparse.Namespace) else params)
        if self._is_open() or not self.is_served:  # else it is the callback that opens the run, a moment later
            self.open()
        if metrics:
            self.log_metrics(metrics, step)

    @guarded
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Keep the model's layers as a text; nothing is run, so input_array is not used."""
        self._fit_begins = not self.is_served
        if not self.is_served and not _is_silent():
            self.open().log_text("model/summary", summarize_layers(model))

    @guarded
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Note the checkpoint that was just saved, and record its file."""
        path = getattr(checkpoint_callback, "_last_checkpoint_saved", "") or checkpoint_callback.best_model_path
        if path and not self.is_served and not _is_silent():
            run = self.open()
            if self._checkpoints is None:
                self._checkpoints = Checkpoints(run, self.copy_checkpoints)
            self._checkpoints.note(path, [checkpoint_callback], run.last_step)

    @guarded
    def finalize(self, status: str) -> None:
        """A fit, validation, test or prediction is over: close the run if this logger made it."""
        was_served, self.is_served = self.is_served, False
        run = self.run
        if was_served or run is None or run.is_finished or _is_silent():
            return
        if self._checkpoints is not None:
            self._checkpoints.settle(is_last=True)
            self._checkpoints = None
        if status == "success":
            self.attachment.end("finished")
            return
        error = sys.exc_info()[1]  # Lightning says only "failed", also of Ctrl-C, but it says so while it handles it
        outcome, kind = ("failed", status) if error is None else (status_of(error)[0], type(error).__name__)
        run.event("exception", type=kind, message=str(error or ""), step=run.last_step)
        self.attachment.end(outcome, kind, error)

    # -- what loggers of other trackers offer as well ----------------------------------------------------------------

    @guarded
    def log_image(
        self, key: str, images: Any, step: int | None = None, *, caption: Sequence[str] | str | None = None
    ) -> None:
        """Keep a picture, or each of a list of pictures, with its caption as a text; see Run.log_image."""
        if _is_silent():
            return
        run, pictures = self.open(), list(images) if isinstance(images, (list, tuple)) else [images]
        captions = [caption] if isinstance(caption, str) else list(caption or ())
        for index, image in enumerate(pictures):
            name = f"{key}/{index}" if len(pictures) > 1 else key
            run.log_image(name, image, step)
            if index < len(captions):
                run.log_text(f"{name}/caption", captions[index], step)

    @guarded
    def log_table(
        self,
        key: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Keep a table: columns and rows, or a data frame or whatever else Run.log_table takes."""
        if _is_silent():
            return
        table = dataframe
        if table is None:
            rows = list(data or ())
            table = [dict(zip(columns, row, strict=True)) for row in rows] if columns else rows
        self.open().log_table(key, table, step)

    @guarded
    def log_text(self, key: str, text: object, step: int | None = None) -> None:
        """Keep a text; see Run.log_text."""
        if not _is_silent():
            self.open().log_text(key, text, step)

    @guarded
    def watch(self, model: Any, **options: Any) -> Any:
        """Look into the model while it trains; see barograph.integrations.torch.watch. A callback does it by itself."""
        return None if _is_silent() else self.open().watch(model, **options)

    # -- the run -----------------------------------------------------------------------------------------------------

    def open(self) -> Run:
        """The run, made or reopened if it has to be."""
        run = self.run
        if run is None or (run.is_finished and self.attachment.owns_run):
            run = self.attachment.begin(run_id=self.version if run is None else None, in_fit=False)
        if self._unwritten:
            run.log_config({"hyperparameters": self._unwritten})
            self._unwritten = {}
        return run

    def _is_open(self) -> bool:
        return self.run is not None and not self.run.is_finished

    def _expected_run(self) -> Run | None:
        return self.run or self._given_run or joinable_run()


def _is_silent() -> bool:
    """Whether this process writes nothing through a logger: Lightning calls loggers on every rank."""
    return bool(getattr(rank_zero_only, "rank", 0))


class _Experiment:
    """Stands for a run until something is done with it."""

    def __init__(self, logger: BarographLogger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling ask for such names before there is a logger
            raise AttributeError(name)
        return getattr(self._logger.open(), name)
