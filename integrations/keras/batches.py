"""The batches of a call: how many there are, how large they are, and how long the training waits for them."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras


class Batches:
    """What Keras' EpochIterator knows, asked without keeping it or a batch alive; None stands for unknown.

    fetched, waited_s: batches since `begin_epoch()`, and seconds spent waiting for them, where that can be seen: on
    torch and jax they come out of a Python iterator, tensorflow fetches them inside its compiled step.
    on_batch: called with each batch where it can be seen; it must not raise.
    """

    def __init__(self, iterator: Any) -> None:  # Any: EpochIterator is no public class
        self._iterator = weakref.ref(iterator) if iterator is not None else lambda: None
        self.fetched = 0
        self.waited_s: float | None = None
        self.on_batch: Callable[[Any], object] | None = None
        self.size: int | None = self._ask("batch_size")
        if keras.backend.backend() in ("torch", "jax") and hasattr(iterator, "_get_iterator"):
            self._time(iterator)

    def begin_epoch(self) -> None:
        """Count from here."""
        self.fetched = 0
        if self.waited_s is not None:
            self.waited_s = 0.0

    @property
    def in_epoch(self) -> int | None:
        """Batches in an epoch; of a generator Keras finds out in the first one, and arrives at one too many."""
        return getattr(self._iterator(), "num_batches", None) or None

    @property
    def are_seen(self) -> bool:
        """Whether they come out of a Python iterator."""
        return self.waited_s is not None

    @property
    def rows(self) -> int | None:
        """Samples in all the data, if it is known and a call takes all of them."""
        if getattr(self._iterator(), "steps_per_epoch", None):
            return None
        return self.samples(self.in_epoch) if self.in_epoch else None

    def samples(self, batches: int) -> int | None:
        """Samples in the first `batches` batches of an epoch."""
        if self.size is None:
            return None
        last = self._ask("partial_batch_size") if batches == self._ask("num_batches") else None
        return batches * self.size - (self.size - last if last else 0)

    def note(self, batch: Any) -> None:
        """Take the size of a batch for that of all, because Keras does not know it."""
        first = next((leaf for leaf in keras.tree.flatten(batch) if len(getattr(leaf, "shape", ())) > 0), None)
        self.size = int(first.shape[0]) if first is not None else 1

    def _ask(self, name: str) -> int | None:
        try:
            value: int | None = getattr(getattr(self._iterator(), "data_adapter", None), name, None)
        except NotImplementedError:  # adapters of data without a fixed size leave it to their base class
            return None
        return value

    def _time(self, iterator: Any) -> None:
        self.waited_s = 0.0
        # Not by its bound method: that would keep the iterator, and with it the data, alive until the next collection.
        kind, iterator_of = type(iterator), self._iterator
        iterator._get_iterator = lambda: _Timed(kind._get_iterator(iterator_of()), self)


class _Timed:
    """An iterator over the same batches that counts them and adds up how long each is waited for."""

    def __init__(self, batches: Iterable[Any], counter: Batches) -> None:
        self._batches = iter(batches)
        self._counter = counter

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        batch = next(self._batches)
        counter = self._counter
        counter.waited_s = (counter.waited_s or 0.0) + time.perf_counter() - start
        counter.fetched += 1
        if counter.size is None:
            with contextlib.suppress(Exception):  # a batch may be anything, and nothing of ours may reach the training
                counter.note(batch)
        if counter.on_batch is not None:
            counter.on_batch(batch)
        return batch
