"""Where the random generators of the process stand, so that what runs for our sake leaves them as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class Randomness:
    """The state now of the generators of `random`, numpy and, where it is imported, torch on its devices in use.

    Keras, jax and objects of the user's keep states of their own.
    """

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numbers = np.random.get_state()
        torch = self._torch = sys.modules.get("torch")
        if torch is not None:
            self._cpu = torch.get_rng_state()
            self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
            self._mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back(self) -> None:
        """Let every generator go on from there."""
        random.setstate(self._python)
        np.random.set_state(self._numbers)
        if self._torch is not None:
            self._torch.set_rng_state(self._cpu)
            if self._cuda:
                self._torch.cuda.set_rng_state_all(self._cuda)
            if self._mps is not None:
                self._torch.mps.set_rng_state(self._mps)


@contextmanager
def same_randomness() -> Iterator[None]:
    """Put every generator back to where it was."""
    before = Randomness()
    try:
        yield
    finally:
        before.put_back()
