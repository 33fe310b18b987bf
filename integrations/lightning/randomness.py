"""Where the random generators stand, so that what runs for our sake leaves them as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Randomness:
    """The state of Python's, numpy's and torch's generators as it is now, those of devices in use included."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numbers = np.random.get_state()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self._mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back(self) -> None:
        """Let every generator go on from there."""
        random.setstate(self._python)
        np.random.set_state(self._numbers)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        if self._mps is not None:
            torch.mps.set_rng_state(self._mps)


@contextmanager
def same_randomness() -> Iterator[None]:
    """Put every generator back to where it was."""
    before = Randomness()
    try:
        yield
    finally:
        before.put_back()
