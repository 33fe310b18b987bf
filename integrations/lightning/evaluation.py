"""What an evaluation came to: results over all its rows, and its first rows as a table of predictions."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DistributedSampler, SequentialSampler
from torch.utils.data.dataloader import _InfiniteConstantSampler

from barograph.guard import guarded
from barograph.integrations.lightning.data import LABELS, flattened, length, part_name, split_batch
from barograph.integrations.lightning.pace import count_samples
from barograph.integrations.lightning.results import Results
from barograph.integrations.lightning.shadow import ForwardHook
from barograph.predictions import prediction_table
from barograph.randomness import same_randomness
from barograph.run import Run

_OUTPUTS = (
    "logits", "predictions", "preds", "pred", "y_hat", "y_pred", "outputs", "output", "probabilities", "probs",
    "scores",
)  # fmt: skip
_NOTHING = (
    "the step returns no predictions, calls neither self(inputs) nor a child for them, and there is no predict_step"
)


class Evaluation:
    """One pass over a validation or test set, from its start to close(), on one rank.

    What the model put out for a batch is, in this order: what the step returned (a tensor with one row a sample, or a
    dictionary with one under a usual name such as "logits" or "preds"); what `self(inputs)` gave within the step; only
    for the rows of a table of predictions, what the user's `predict_step` gives for the batch; what the child with
    parameters that was called last gave (`self.net(inputs)`), if it goes with the labels. Labels are the second part of
    the batch, or what batch or returned dictionary call so.

    Figures stand beside those that the module logs, `val/f1` beside its `val/loss`, whose names go before ours. Of
    several processes each writes what its own rows came to, as `<split>/rows` of that rank tells: putting
    them together would need them to wait for each other. Read them by `view.metric(key, rank=1)`; accuracy, log loss,
    MAE and MSE of all rows are the means weighted by those numbers of rows. The tables of classes and the predictions
    are those of rank 0.
    """

    def __init__(self, trainer: Any, module: Any, run: Run, split: str, rows: int) -> None:
        """rows: how many predictions to keep of each loader."""
        self.run = run
        self._trainer, self._module, self._split = trainer, module, split
        loaders = getattr(trainer, f"{split}_dataloaders")
        self._loaders = list(flattened(loaders))
        self._tables = [_Table(loader, rows) for loader in self._loaders]
        self._results = [Results() for _ in self._loaders]
        self._put_out: torch.Tensor | None = None
        self._children_put_out: torch.Tensor | None = None
        children = list(_children(module))
        self._has_several = len(children) > 1
        self._handles = [module.register_forward_hook(ForwardHook(self._keep))]
        self._handles += [child.register_forward_hook(ForwardHook(self._keep_of_child)) for child in children]

    def _keep(self, inputs: Any, output: Any) -> None:
        # a strategy that wraps the module calls it for the whole step, which returns None or a loss
        if isinstance(output, torch.Tensor) and output.ndim:
            self._put_out = output

    def _keep_of_child(self, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim:
            self._children_put_out = output

    @guarded
    def see(self, returned: Any, batch: Any, batch_index: int, loader_index: int) -> None:
        """A batch was evaluated."""
        put_out, self._put_out = self._put_out, None
        of_child, self._children_put_out = self._children_put_out, None
        count = count_samples(batch)
        if loader_index >= len(self._loaders):
            return
        table = self._tables[loader_index]
        if count is None:
            table.give_up("the batches do not tell how many samples they hold")
            return
        labels = _among(returned, LABELS)
        if labels is None:
            labels = split_batch(batch)[1]
        told = _rows_of(returned, count)
        outputs = told if told is not None else _rows_of(put_out, count)
        guess = _rows_of(of_child, count) if outputs is None else None
        if isinstance(labels, torch.Tensor) and (found := outputs if guess is None else guess) is not None:
            is_guess = guess is not None and self._has_several
            self._results[loader_index].add(found, labels, is_told=told is not None, is_guess=is_guess)
        if table.wants_more:
            if outputs is None:
                outputs = _rows_of(self._predicted(batch, batch_index, loader_index), count)
            if outputs is None and guess is not None:
                outputs, table.is_guess = guess, True
            table.add(outputs, labels, count)

    @guarded
    def close(self, step: int, is_first_rank: bool, told: Container[str] = ()) -> None:
        """Write what it came to, each process of several for its own rows. told: names that the module logs itself."""
        self.stop()
        for index, (results, table) in enumerate(zip(self._results, self._tables, strict=True)):
            name = part_name(self._split, index, len(self._loaders))
            figures = results.figures()
            new = {key: one for figure, one in figures.items() if (key := f"{name}/{figure}") not in told}
            if new:
                self.run.log_scalars(tuple(new), list(new.values()), step)
            if not is_first_rank:
                continue
            for what, columns in results.tables().items():
                self.run.log_table(f"{name}/{what}", columns, step)
            if table.outputs and (figures or not table.is_guess):
                self.run.log_table(f"predictions/{name}", table.columns(name), step)
            elif table.outputs or table.problem:
                self.run.event("predictions_left_out", dataset=name, reason=table.problem or _NOTHING)

    def stop(self) -> None:
        """Take the hooks away."""
        while self._handles:
            self._handles.pop().remove()

    def _predicted(self, batch: Any, batch_index: int, loader_index: int) -> Any:
        """What the user's predict_step gives for a batch; None if it is only Lightning's."""
        step = type(self._module).predict_step
        if step.__module__.endswith("core.module"):
            return None
        several = (loader_index,) if len(self._loaders) > 1 else ()
        with same_randomness():
            return self._module.predict_step(batch, batch_index, *several)


class _Table:
    """The first rows of a loader, if those are the same in each evaluation."""

    def __init__(self, loader: Any, rows: int) -> None:
        self.outputs: list[torch.Tensor] = []
        self.problem: str | None = None
        self.is_guess = False  # whether outputs may be no predictions
        self._labels: list[Any] = []
        self._seen, self._loader, self._left = 0, loader, rows
        sampler = getattr(loader, "sampler", None)
        if rows and not _is_fixed(sampler):
            self._left = 0
            self.problem = f"the rows come in another order each time ({type(sampler).__name__})"

    @property
    def wants_more(self) -> bool:
        """Whether rows are still to be kept."""
        return self._left > 0

    def give_up(self, problem: str) -> None:
        """Keep no more rows."""
        if self.wants_more:
            self._left, self.problem = 0, problem

    def add(self, outputs: torch.Tensor | None, labels: Any, count: int) -> None:
        """Keep as many rows of a batch as are wanted."""
        if outputs is None:
            self.give_up(_NOTHING)
            return
        kept = min(self._left, count)
        self.outputs.append(outputs[:kept].detach().cpu())
        self._labels.append(labels[:kept].cpu() if isinstance(labels, torch.Tensor) and labels.ndim else None)
        self._left -= kept

    def columns(self, name: str) -> dict[str, list[Any]]:
        """The table, with the rows' places in the data set."""
        outputs = torch.cat(self.outputs)
        labels = None if any(one is None for one in self._labels) else torch.cat(self._labels)
        sampler = getattr(self._loader, "sampler", None)
        first, step = (sampler.rank, sampler.num_replicas) if isinstance(sampler, DistributedSampler) else (0, 1)
        size = length(getattr(self._loader, "dataset", None)) or first + step * len(outputs)
        # the sampler repeats the first samples to make all shares even
        places = [(first + step * row) % size for row in range(len(outputs))]
        return prediction_table(labels, outputs.float() if outputs.dtype == torch.bfloat16 else outputs, places, name)


def _children(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The children that have parameters; of lists and dictionaries of modules theirs, since those are called."""
    for child in module.children():
        if isinstance(child, (torch.nn.ModuleList, torch.nn.ModuleDict)):
            yield from _children(child)
        elif next(child.parameters(), None) is not None:
            yield child


def _is_fixed(sampler: Any) -> bool:
    if isinstance(sampler, DistributedSampler):
        return not sampler.shuffle
    # of an iterable data set the order is its own affair
    return sampler is None or isinstance(sampler, (SequentialSampler, _InfiniteConstantSampler))


def _rows_of(value: Any, count: int) -> torch.Tensor | None:
    """The tensor of one row a sample in what a step returned, if there is one."""
    found = _among(value, _OUTPUTS) if isinstance(value, Mapping) else value
    if not isinstance(found, torch.Tensor) or found.ndim == 0 or len(found) != count:
        return None
    return found if found.numel() >= count else None  # no sample is without an output


def _among(value: Any, names: tuple[str, ...]) -> torch.Tensor | None:
    if not isinstance(value, Mapping):
        return None
    return next((one for name in names if isinstance(one := value.get(name), torch.Tensor)), None)
