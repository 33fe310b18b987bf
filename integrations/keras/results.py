"""How good a model is in the figures that everybody knows, from one prediction more where that costs nearly nothing."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Container
from typing import Any

import keras
import numpy as np

from barograph.guard import guarded
from barograph.integrations.keras.losses import is_of_scores, is_of_values, loss_of
from barograph.integrations.keras.plain import short_of
from barograph.integrations.keras.rows import are_arrays, by_name, count_rows, first_rows
from barograph.integrations.keras.states import same_states
from barograph.results import Judged, judge
from barograph.run import Run

# Any, throughout: whatever users train and train on
_SHARE = 0.2  # of the run's overhead budget
_PIECE_BYTES = 1 << 20  # of inputs that are predicted at once, if a batch is not larger
_GROWTH = 4
_MOST_BYTES = 1 << 28  # of outputs that are kept
_TOO_DEAR = "predicting them once more would take too much of the overhead budget, or of memory"
_COMPILES = keras.backend.backend() != "torch"
_COMPILE_S = 0.1  # where it is not known; two dense layers took 45 ms on jax and on tensorflow
_known_compile_s: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()  # by model


class Results:
    """Predicts all rows of validation or test data once more, if a fifth of the overhead budget pays for it.

    What Keras itself predicts in an evaluation nobody else gets to see. wanted: None for as far as the budget goes,
    True for whatever it costs, False for never. Figures stand beside those of Keras, `val/f1` beside `val/loss`;
    several outputs have one set each, `val/<output>/f1`. An event says why there are none.
    """

    def __init__(self, run: Callable[[], Run | None], wanted: bool | None) -> None:
        self._find_run = run
        self._wanted = wanted
        self._worked_s = self._spent_s = 0.0
        self._said: set[tuple[str, str]] = set()

    @property
    def run(self) -> Run | None:
        """The run that is written to."""
        return self._find_run()

    def worked(self, duration_s: float) -> None:
        """A fit or an evaluation has taken so long."""
        self._worked_s += duration_s

    @guarded
    def log_results(
        self,
        model: Any,
        name: str,
        data: Any,
        step: int,
        *,
        batch_size: int | None = None,
        running_s: float = 0.0,
        evaluated_s: float = 0.0,
        compile_s: float = 0.0,
        told: Container[str] = (),
    ) -> None:
        """Write the figures of a data set at a step.

        data: what Keras was given for it: arrays x, y and sample weights, as a tuple. running_s: what the call that is
        still running has taken. evaluated_s: what Keras' own evaluation took. compile_s: what compiling a prediction
        takes at most, by what compiling the evaluation took; 0 where that is not known. told: keys that are left to
        what Keras has said.
        """
        run = self.run
        if run is None or self._wanted is False or data is None:
            return
        _known_compile_s[model] = max(compile_s, _known_compile_s.get(model, 0.0))
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        compile_s = _known_compile_s[model] or max(evaluated_s, _COMPILE_S)
        reason = self._reason_against(x, y, batch_size or 1, evaluated_s, compile_s, self._budget_s(run, running_s))
        if reason is None:
            began_s = time.perf_counter()
            try:
                found = self._judge(model, x, y, weights, batch_size or 1, self._budget_s(run, running_s))
            except Exception as error:  # noqa: BLE001  # a model may not be made for prediction
                found, reason = Judged({}, {}), f"the model cannot predict: {short_of(error)}"
            self._spent_s += time.perf_counter() - began_s
            if found is None:
                reason = _TOO_DEAR
            elif found.figures:
                new = {f"{name}/{key}": one for key, one in found.figures.items() if f"{name}/{key}" not in told}
                run.log(new, step)
                for key, columns in found.tables.items():
                    run.log_table(f"{name}/{key}", columns, step)
            elif reason is None:
                reason = "outputs and labels are neither classes nor values of the same shape, or some are no numbers"
        if reason and (name, reason) not in self._said:
            self._said.add((name, reason))
            run.event("results_left_out", dataset=name, reason=reason)

    def _budget_s(self, run: Run, running_s: float) -> float:
        if self._wanted:
            return float("inf")
        return _SHARE * run.overhead_budget * (self._worked_s + running_s) - self._spent_s

    def _reason_against(
        self, x: Any, y: Any, batch_size: int, evaluated_s: float, compile_s: float, budget_s: float
    ) -> str | None:
        """Why nothing is predicted; empty if there is nothing to compare with."""
        if x is None:
            return ""
        if not are_arrays(x):
            return "the data are no arrays, and their batches are kept by nobody"
        if y is None or not are_arrays(y):
            return ""
        rows = count_rows(x, y)
        if not rows:
            return "inputs and labels have different numbers of rows, or none"
        if _COMPILES and compile_s > budget_s:
            return "a prediction would have to be compiled, which would take too much of the overhead budget"
        return _TOO_DEAR if evaluated_s * min(1.0, batch_size / rows) > budget_s else None  # of the first piece

    def _judge(self, model: Any, x: Any, y: Any, weights: Any, batch_size: int, budget_s: float) -> Judged | None:
        rows = count_rows(x, y) or 0
        with same_states(model):
            outputs = _predicted(model, x, rows, batch_size, budget_s)
        if outputs is None:
            return None
        labels = by_name(model, first_rows(y, rows))
        counted = np.asarray(first_rows(weights, rows)) if hasattr(weights, "shape") else np.empty(0)
        found = Judged({}, {})
        for output, said in by_name(model, outputs).items():
            if output not in labels:
                continue
            loss = loss_of(model, output)
            judged = judge(
                labels[output],
                np.asarray(said),
                counted if counted.shape == (rows,) else None,
                are_scores=is_of_scores(loss),
                are_values=is_of_values(loss),
            )
            place = f"{output}/" if output else ""
            found.figures.update({place + key: one for key, one in judged.figures.items()})
            found.tables.update({place + key: columns for key, columns in judged.tables.items()})
        return found


def _predicted(model: Any, x: Any, rows: int, batch_size: int, budget_s: float) -> Any:
    """What the model says of all rows, piece by piece; None as soon as that is known to take longer than it may.

    Where nothing is compiled the pieces grow, so that none takes much longer than the one before. Elsewhere all are of
    one size, because others would be compiled anew: the last one has rows of the one before.
    """
    fixed = {one.shape[0] for one in getattr(model, "inputs", None) or []} - {None}  # of a stateful model
    row_bytes = sum(one.nbytes for one in keras.tree.flatten(first_rows(x, 1))) or 1
    most = max(batch_size, _PIECE_BYTES // row_bytes) if not fixed else batch_size
    size = min(rows, most if _COMPILES else batch_size)
    pieces: list[Any] = []
    began_s, done, kept_bytes = time.perf_counter(), 0, 0
    while done < rows:
        start_s = time.perf_counter()
        first = min(done, rows - size)
        piece = model.predict_on_batch(first_rows(x, first + size, first))
        pieces.append(keras.tree.map_structure(lambda one, new=done - first: np.asarray(one)[new:], piece))
        done = first + size
        row_s = (time.perf_counter() - start_s) / size
        kept_bytes += sum(one.nbytes for one in keras.tree.flatten(pieces[-1]))
        size = min(rows, most if _COMPILES else min(_GROWTH * size, most))
        ahead_s = row_s * min(size if size < most else rows, rows - done)
        is_compiled = _COMPILES and len(pieces) == 1  # what that took says nothing of the pieces to come
        spent_s = time.perf_counter() - began_s + (0.0 if is_compiled else ahead_s)
        if done < rows and (spent_s > budget_s or kept_bytes / done * rows > _MOST_BYTES):
            return None
    return keras.tree.map_structure(lambda *several: np.concatenate(several), *pieces) if pieces else None
