"""The data sets of a call: arrays are described whole, others by the batches that pass anyway, the first time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from barograph.guard import guarded
from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Call
from barograph.integrations.keras.plain import class_of
from barograph.integrations.keras.predictions import Rows
from barograph.integrations.keras.rows import are_arrays
from barograph.run import Run

# Any, throughout: whatever users train on
GIVEN = ("x", "y", "sample_weight")
_NO_ROWS = "nobody but the compiled step sees its rows"
_UNSEEN = "tensorflow fetches the batches inside its compiled step; nothing is read for our sake"


class DataSets:
    """What one call of fit, evaluate or predict is given. Nothing is read, drawn or iterated that would not be anyway.

    Keeps no data but the rows that predictions are wanted of.
    """

    def __init__(self, run: Run, wanted: int) -> None:
        """wanted: of how many rows of each data set predictions are wanted."""
        self.run = run
        self._rows: dict[str, Rows] = {}
        self._wanted = wanted
        self._begun: set[str] = set()
        self._said: set[str] = set()
        self._open: dict[str, Any] = {}

    @guarded
    def begin_fit(self, call: Call, batches: Batches) -> None:
        """A fit begins: what it trains on, and what it will be validated with as far as that is arrays."""
        given = call.arguments
        self.begin("train", batches, *(given.get(name) for name in GIVEN))
        if given.get("validation_data") is not None:
            self.begin("val", None, *keras.utils.unpack_x_y_sample_weight(given["validation_data"]))

    @guarded
    def begin_validation(self, find_call: Callable[[], Call]) -> None:
        """A validation of the fit begins; the data of the first may be no arrays. find_call: finds the running call."""
        if "val" not in self._begun:
            call = find_call()
            self.begin("val", Batches(call.batches), call.arguments.get("x"))

    @guarded
    def begin_visit(self, name: str, call: Call, batches: Batches) -> None:
        """An evaluation or a prediction of its own begins."""
        self.begin(name, batches, *(call.arguments.get(one) for one in GIVEN))

    def begin(self, name: str, batches: Batches | None, x: Any, y: Any = None, sample_weight: Any = None) -> None:
        """A pass over a data set begins; only the first one is looked at. batches: what it comes in, if not arrays."""
        if name in self._begun or x is None:
            return
        if not are_arrays(x):
            if batches is not None:
                self._begun.add(name)
                self._begin_stream(name, batches, x)
            return
        self._begun.add(name)
        self.run.log_dataset(name, named(x), named(y), weights=sample_weight)
        if self._wanted:
            self._rows[name] = Rows(self._wanted)
            self._rows[name].spread(x, y)

    @guarded
    def end(self, name: str | None = None) -> None:
        """The first pass over a data set, or over all, is over."""
        for one in [one for one in self._open if name in (None, one)]:
            self._open.pop(one).close()

    @guarded
    def predict(self, name: str, model: Any, step: int) -> None:
        """After an evaluation on a data set: what the model says of the rows that are wanted of it."""
        if not self._wanted:
            return
        rows = self._rows.get(name)
        if rows:
            rows.log(self.run, model, name, step)
        elif name not in self._said:
            self._said.add(name)
            self.run.event("predictions_left_out", dataset=name, reason=_NO_ROWS)

    def _begin_stream(self, name: str, batches: Batches, x: Any) -> None:
        if not batches.are_seen:
            self.run.log_dataset(name, x, metadata={"unread": _UNSEEN})
            return
        if self._wanted:
            self._rows[name] = Rows(self._wanted)
        self._open[name] = self.run.stream_dataset(name, rows=batches.rows, source=class_of(x))
        batches.on_batch = partial(self._see, name)

    @guarded
    def _see(self, name: str, batch: Any) -> None:
        stream = self._open.get(name)
        if stream is None:
            return
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        stream.see(named(x), named(y), first_pass=True)
        if name in self._rows:
            self._rows[name].add(x, y)


def named(data: Any) -> Any:
    """Several arrays by their names, or by their places; one as it is."""
    if isinstance(data, (list, tuple)):
        return data[0] if len(data) == 1 else {str(place): part for place, part in enumerate(data)}
    return data
