"""Results over the rows of an evaluation: accuracy, F1 and log loss of classes; MAE, MSE and R2 of values."""

from __future__ import annotations

import math
from typing import Any

import torch

from barograph.results import tables_of_classes

_MOST_CLASSES = 200  # of a confusion matrix
_SUM_TOLERANCE = 1e-2  # of probabilities in half precision
_LEAST = 1e-15  # of a probability whose logarithm is taken


class Results:
    """Sums over batches, kept where the model put them out, so that no device is waited for before the end.

    Classes are told by whole labels, one a row, beside two or more outputs a row; or by labels of 0 and 1 beside one
    output. Labels of the outputs' own shape are values otherwise. Whether outputs are probabilities or scores before a
    softmax or sigmoid is told at the end, from all of them. Anything else is passed over.
    """

    def __init__(self) -> None:
        self._sums: Any = None
        self._is_told, self._is_guess = True, False

    def add(self, outputs: torch.Tensor, labels: torch.Tensor, is_told: bool = True, is_guess: bool = False) -> None:
        """Count a batch. outputs: shape (n,), (n, 1) or (n, k); labels: (n,), (n, 1) or those of the outputs.

        is_told: whether the outputs are known to be predictions. Of those that are not, as many as there are classes
        are taken for that if the last class occurs among the labels; otherwise they may be an embedding. is_guess:
        whether the outputs may be about something else than the labels, as those of a discriminator are: whole labels
        other than 0 and 1 are no values then.
        """
        self._is_told &= is_told
        self._is_guess |= is_guess and not labels.is_floating_point()
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if outputs.ndim == 2 and outputs.shape[1] == 1:
            outputs = outputs[:, 0]
        if labels.shape[:1] != outputs.shape[:1] or labels.device != outputs.device or not len(outputs):
            return
        kind: Any = None
        if outputs.ndim == 2 and labels.ndim == 1 and not labels.is_floating_point():
            kind = _Classes if outputs.shape[1] <= _MOST_CLASSES and not labels.is_complex() else None
        elif outputs.shape == labels.shape and outputs.ndim <= 2 and not labels.is_complex():
            kind = _Values
        if kind is None or not outputs.is_floating_point():
            return
        if self._sums is None:
            self._sums = kind()
        if type(self._sums) is kind:
            self._sums.add(outputs.detach().float(), labels.detach())

    def figures(self) -> dict[str, float]:
        """The results by name; empty if nothing could be told."""
        return self._sums.figures() if self._is_usable() else {}

    def tables(self) -> dict[str, dict[str, list[Any]]]:
        """What was taken for what, and the figures of each class, by name; empty if there are no classes."""
        matrix = self._sums.matrix() if self._is_usable() else None
        return {} if matrix is None or not matrix.any() else tables_of_classes(matrix.numpy())

    def _is_usable(self) -> bool:
        if isinstance(self._sums, _Values):
            return not self._is_guess or self._sums.are_binary
        return self._sums is not None and (self._is_told or bool(self._sums.matrix()[-1].sum()))


class _Classes:
    """Counts of label and prediction. Rows whose label is none of the classes, such as padding, do not count."""

    def __init__(self) -> None:
        self._counts: Any = 0
        self._losses: Any = 0.0  # of outputs as scores, and as probabilities
        self._are_shares: Any = True

    def add(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        classes = outputs.shape[1]
        counted = (labels >= 0) & (labels < classes)
        labels = torch.where(counted, labels, 0).long()
        # what is no class goes into a last cell of its own
        cells = torch.where(counted, labels * classes + outputs.argmax(1), classes * classes)
        self._counts = self._counts + _count(cells, classes * classes + 1)[:-1]
        chosen = outputs.gather(1, labels[:, None])[:, 0]
        losses = torch.stack([outputs.logsumexp(1) - chosen, -chosen.clamp(min=_LEAST).log()])
        self._losses = self._losses + _precise(torch.where(counted, losses, 0.0).sum(1))
        are_shares = (outputs >= 0).all() & ((outputs.sum(1) - 1).abs() < _SUM_TOLERANCE).all()
        self._are_shares = self._are_shares & are_shares

    def matrix(self) -> torch.Tensor | None:
        size = math.isqrt(len(self._counts))
        matrix: torch.Tensor = self._counts.cpu().reshape(size, size)
        return matrix

    def figures(self) -> dict[str, float]:
        return _of_classes(self.matrix(), self._losses.tolist()[1 if self._are_shares else 0])


class _Values:
    """Sums of errors and squares, and counts of classes in case the labels are 0 and 1."""

    def __init__(self) -> None:
        self._rows = self._elements = 0
        self._sums: Any = 0.0
        self._counts: Any = 0  # with outputs taken as scores, and as probabilities
        self._losses: Any = 0.0
        self._are_binary: Any = True
        self._are_shares: Any = True

    def add(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        outputs, labels = _precise(outputs), _precise(labels)
        wrong = outputs - labels
        self._rows, self._elements = self._rows + len(outputs), self._elements + outputs.numel()
        sums = [wrong.abs().sum(), wrong.square().sum(), labels.sum(), labels.square().sum()]
        self._sums = self._sums + torch.stack(sums)
        self._are_binary = self._are_binary & ((labels == 0) | (labels == 1)).all()
        self._are_shares = self._are_shares & ((outputs >= 0) & (outputs <= 1)).all()
        if outputs.ndim > 1:
            return
        cells = 2 * (labels > 0.5).long()
        counts = [_count(cells + said, 4) for said in (outputs > 0, outputs >= 0.5)]
        self._counts = self._counts + torch.stack(counts)
        shares = outputs.clamp(_LEAST, 1 - _LEAST)
        of_shares = -(labels * shares.log() + (1 - labels) * (1 - shares).log()).sum()
        of_scores = (outputs.clamp(min=0) - outputs * labels + torch.log1p((-outputs.abs()).exp())).sum()
        self._losses = self._losses + torch.stack([of_scores, of_shares])

    @property
    def are_binary(self) -> bool:
        return bool(self._are_binary)

    def matrix(self) -> torch.Tensor | None:
        if not self._are_binary or not isinstance(self._counts, torch.Tensor):
            return None
        return self._counts.cpu()[1 if self._are_shares else 0].reshape(2, 2)

    def figures(self) -> dict[str, float]:
        if self._are_binary:  # several of 0 and 1 a row are neither classes nor values
            matrix = self.matrix()
            return {} if matrix is None else _of_classes(matrix, self._losses.tolist()[1 if self._are_shares else 0])
        absolute, squared, total, squares = self._sums.tolist()
        spread = squares - total * total / self._elements
        figures = {"rows": float(self._rows), "mae": absolute / self._elements, "mse": squared / self._elements}
        return figures | ({"r2": 1 - squared / spread} if spread > 0 else {})


def _precise(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.device.type == "mps" else values.double()  # which has no doubles


def _count(cells: torch.Tensor, size: int) -> torch.Tensor:
    """How often each number below `size` occurs; torch.bincount would wait for the device to know the largest."""
    counts = torch.zeros(size, dtype=torch.long, device=cells.device)
    return counts.index_add_(0, cells, torch.ones_like(cells))


def _of_classes(matrix: torch.Tensor | None, loss: float) -> dict[str, float]:
    """Figures of a confusion matrix; F1 is that of class 1 of two, else the mean over all classes that occur."""
    rows = 0 if matrix is None else int(matrix.sum())
    if matrix is None or not rows:
        return {}
    right, said, asked = matrix.diagonal().double(), matrix.sum(0).double(), matrix.sum(1).double()
    scores = 2 * right / (said + asked).clamp(min=1)
    f1 = scores[1] if len(matrix) == 2 else scores[said + asked > 0].mean()
    return {"rows": float(rows), "accuracy": float(right.sum()) / rows, "f1": float(f1), "log_loss": loss / rows}
