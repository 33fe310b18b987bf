"""Generators are left as they were by what happens in between."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from barograph.randomness import same_randomness


def test_every_generator_goes_on_as_if_nothing_had_happened() -> None:
    """Those of Python, numpy and torch, whatever was drawn or seeded in between."""
    torch = pytest.importorskip("torch")

    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    with same_randomness():
        expected = draw()
    with same_randomness():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        draw()
    assert draw() == expected


def test_generators_are_put_back_after_an_exception() -> None:
    """It goes its way all the same."""
    before = random.getstate()
    with pytest.raises(ZeroDivisionError), same_randomness():
        random.random()
        raise ZeroDivisionError
    assert random.getstate() == before


def test_torch_is_not_imported_for_it() -> None:
    """What is not there has no state."""
    code = "import sys; from barograph.randomness import same_randomness\nwith same_randomness(): pass\n"
    subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], check=True, timeout=60)
