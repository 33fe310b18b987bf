"""How the scores depend on the amount of data: `learning_curve=` trains again on shares of it."""

from __future__ import annotations

import copy
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
)

from barograph.guard import guarded
from barograph.integrations.lightning.bases import package_of
from barograph.integrations.lightning.data import flattened
from barograph.randomness import Randomness, same_randomness
from barograph.run import Run

_MOVES = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
_VALIDATION = ("val", "valid", "validation")  # with what names of its metrics begin


class LearningCurve:
    """The module as it is before its first step, for a fit whose learning curve is asked for.

    The copy lies in the host's memory until the end of the fit. Then it is trained for each share, from the random
    state of that time, for as many epochs or steps as the fit had and on the same device, without callbacks, loggers
    and checkpoints. Rows are spread evenly over the data set, of which everything but tensors and arrays is copied.
    What the module logs by `run.log()` meanwhile is not kept.
    """

    def __init__(self, trainer: Any, module: Any, run: Run, shares: Sequence[float]) -> None:
        self.run = run
        self._shares = shares
        self._randomness = Randomness()
        self._first_epoch, self._first_step = _epochs(trainer), trainer.global_step
        self._module: Any = None
        self._problem = _reason_against(trainer)
        if self._problem is None:
            try:
                self._module = copy.deepcopy(module).cpu()
            except Exception as error:  # noqa: BLE001  # whatever the user's module keeps
                self._problem = f"the module cannot be copied: {error}"

    @guarded
    def write(self, trainer: Any, module: Any, step: int) -> None:
        """Train and validate on every share, and write `learning_curve/val/<metric>` with the rows as step.

        The last points are those of the fit itself. step: where the fit ended. An event says what is left out, and why.
        """
        began_s, rows = time.perf_counter(), None
        try:
            if self._problem is not None:
                raise ValueError(self._problem)
            train, *others = flattened(trainer.train_dataloader)
            if others:
                raise ValueError("the training has several loaders")
            count = count_rows(train)
            self._log(count, self._scores(trainer, module))
            for rows in sorted({max(1, round(share * count)) for share in self._shares} - {count}):
                self._log(rows, self._scores(trainer, self._module, again(train, rows)))
        except SystemExit as error:  # into which Lightning turns Ctrl-C
            raise KeyboardInterrupt from error
        except Exception as error:  # noqa: BLE001  # of the user's module, data or hooks
            self.run.event("learning_curve_left_out", rows=rows, reason=str(error) or type(error).__name__)
        self._module = None
        self.run.log({"time/learning_curve_s": time.perf_counter() - began_s}, step)  # also the newest step again

    def _log(self, rows: int, scores: dict[str, float]) -> None:
        if not scores:
            raise ValueError("no metric is logged in validation")
        self.run.log({f"learning_curve/val/{name}": score for name, score in scores.items()}, rows)

    def _scores(self, trainer: Any, module: Any, train: DataLoader[Any] | None = None) -> dict[str, float]:
        """What a copy of a module logs in validation, after a training if there is data for one."""
        val = [again(loader) for loader in flattened(trainer.val_dataloaders)]
        if not val:
            raise ValueError("there is no validation")
        copied = copy.deepcopy(module)
        copied.configure_callbacks = list  # what the module would add
        with _aside(self.run) as folder:
            self._randomness.put_back()
            own = package_of(trainer).Trainer(**_settings(trainer), **self._length(trainer), default_root_dir=folder)
            if train is not None:
                own.fit(copied, train, val if len(val) > 1 else val[0])
            found = own.validate(copied, val if len(val) > 1 else val[0], verbose=False)
        return {_bare(name): value for part in found for name, value in part.items()}

    def _length(self, trainer: Any) -> dict[str, int]:
        """How long a share is trained on: by the limit that ended the fit, else as many epochs as there were."""
        epochs, steps = trainer.max_epochs, trainer.max_steps
        ended_by_steps = 0 <= steps <= trainer.global_step
        if not ended_by_steps or epochs is None or epochs < 0:
            epochs = -1 if ended_by_steps else max(_epochs(trainer), self._first_epoch + 1)
        return {
            "max_epochs": epochs - self._first_epoch if epochs >= 0 else -1,
            "max_steps": steps - self._first_step if steps >= 0 else -1,
        }


def count_rows(loader: Any) -> int:
    """How many rows a loader's data set has. Raises ValueError if it is not known how it comes by them."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        raise ValueError("the data cannot be cut: it is no data set of rows in a DataLoader")
    sampler = loader.sampler
    is_random = type(sampler) is RandomSampler and not sampler.replacement and len(sampler) == len(sampler.data_source)
    if type(loader.batch_sampler) is not BatchSampler or not (is_random or type(sampler) is SequentialSampler):
        raise ValueError("the data cannot be cut: which rows come together is decided by a sampler of its own")
    return len(sampler)


def again(loader: DataLoader[Any], rows: int | None = None) -> DataLoader[Any]:
    """A loader that goes over the same data, or so many rows of it, in the same way; the given one is left alone."""
    count = count_rows(loader)
    dataset = _copied(loader.dataset)
    if rows is not None:
        dataset = Subset(dataset, np.linspace(0, count - 1, rows).astype(np.int64).tolist())
    sampler, size = loader.sampler, loader.batch_size or 1
    return DataLoader(
        dataset,
        size,
        shuffle=isinstance(sampler, RandomSampler),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last and (rows or count) >= size,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=_copied_generator(getattr(sampler, "generator", None) or loader.generator),
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )


@contextmanager
def _aside(run: Run) -> Iterator[str]:
    """A temporary folder for what is to leave no trace: no log lines, warnings, random numbers drawn, or records."""
    disabled = logging.root.manager.disable
    with (
        tempfile.TemporaryDirectory(prefix="barograph-") as folder,
        warnings.catch_warnings(),
        same_randomness(),
        run.silenced(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield folder
        finally:
            logging.disable(disabled)


def _bare(name: str) -> str:
    """A metric's name without the word for validation that it begins with: the key has one."""
    for word in _VALIDATION:
        if name.startswith((f"{word}/", f"{word}_")) and len(name) > len(word) + 1:
            return name[len(word) + 1 :]
    return name


def _settings(trainer: Any) -> dict[str, Any]:
    device, loggers = trainer.strategy.root_device, package_of(trainer).loggers
    return {
        "accelerator": device.type,
        "devices": 1 if device.index is None else [device.index],
        "precision": trainer.precision,
        "check_val_every_n_epoch": trainer.check_val_every_n_epoch or 1,
        "limit_val_batches": trainer.limit_val_batches,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "gradient_clip_val": trainer.gradient_clip_val,
        "gradient_clip_algorithm": trainer.gradient_clip_algorithm,
        "num_sanity_val_steps": 0,
        "logger": loggers.logger.DummyLogger()
        if trainer.loggers
        else False,  # some modules draw by self.logger.experiment
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def _reason_against(trainer: Any) -> str | None:
    """Why a fit cannot be done again with less data; None if nothing is known to be in the way."""
    if trainer.world_size > 1:
        return "several processes train together"
    if trainer.ckpt_path is not None:
        return "the fit goes on from a checkpoint"
    if trainer.fast_dev_run or trainer.barebones or trainer.overfit_batches or trainer.limit_train_batches != 1.0:
        return "the trainer is set to use a part of the data only, or to do without validation"
    base = package_of(trainer).LightningDataModule
    if any(getattr(type(trainer.datamodule), name, None) not in (None, getattr(base, name)) for name in _MOVES):
        return "the data module changes batches"
    return None


def _epochs(trainer: Any) -> int:
    return int(trainer.fit_loop.epoch_progress.current.processed)


def _copied(dataset: Any) -> Any:
    """A data set with what it counts and draws of its own, on the same numbers in memory."""
    shared: dict[int, Any] = {}
    walked: set[int] = set()
    parts = [dataset]
    while parts:
        part = parts.pop()
        if isinstance(part, (torch.Tensor, np.ndarray)):
            shared[id(part)] = part
        elif isinstance(part, (list, tuple, dict, Dataset)) and id(part) not in walked:
            walked.add(id(part))
            inside = vars(part) if isinstance(part, Dataset) else part
            parts += inside.values() if isinstance(inside, dict) else inside
    return copy.deepcopy(dataset, shared)


def _copied_generator(generator: torch.Generator | None) -> torch.Generator | None:
    return None if generator is None else torch.Generator(generator.device).set_state(generator.get_state())
