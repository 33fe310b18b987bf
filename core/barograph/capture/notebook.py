"""The cells of a notebook in the order in which they ran, from IPython's own history: nothing is hooked into it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barograph.capture.copies import Copies

_MOST_CELLS = 10_000
_CELL_LIMIT = 64 * 1024  # characters


class Notebook:
    """Looks at the cells that ran since the kernel began, as often as it is asked.

    began_in: the number, from 1, of the cell that began the run.
    """

    def __init__(self, copies: Copies, began_in: int) -> None:
        self._copies = copies
        self._began_in = began_in
        self._looked_at = 0

    def look(self) -> dict[str, Any] | None:  # Any: JSON
        """{"cells", "redacted", "began_in"}; None outside of IPython, or if no cell is new.

        cells: the text of each as it was typed, without secrets.
        """
        cells = _cells()[-_MOST_CELLS:]
        if len(cells) == self._looked_at:
            return None
        self._looked_at = len(cells)
        hidden = [self._copies.hide(cell[:_CELL_LIMIT]) for cell in cells]
        return {
            "cells": [cell for cell, _ in hidden],
            "redacted": sum(count for _, count in hidden),
            "began_in": self._began_in,
        }


def current_cell() -> int:
    """The number of the cell that runs now, from 1; 0 outside of IPython."""
    return len(_cells())


def _cells() -> list[str]:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    history = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    if not isinstance(history, list):
        return []
    return [cell for cell in history[1:] if isinstance(cell, str)]  # the first one is empty, so that they count from 1
