"""What is settled about a run when it begins: its names, its place, and which process of how many writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barograph.recording import Recording


class Settled:
    """The part of a Run that never changes."""

    _recording: Recording

    @property
    def id(self) -> str:
        """The run's id, which is also the name of its folder."""
        return self._recording.id

    @property
    def name(self) -> str:
        """The run's name, for people."""
        return self._recording.name

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return self._recording.project

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._recording.path

    @property
    def store_path(self) -> Path:
        """The store that holds it."""
        return self._recording.store

    @property
    def rank(self) -> int:
        """This process's rank among those of the run."""
        return self._recording.process.rank

    @property
    def world(self) -> int:
        """How many processes write this run."""
        return self._recording.process.world

    @property
    def attempt(self) -> int:
        """1 for the first start of this run, one more for each restart."""
        return self._recording.attempt

    @property
    def is_joinable(self) -> bool:
        """Whether callbacks without a run of their own write to this one."""
        return self._recording.joinable

    @property
    def overhead_budget(self) -> float:
        """The share of the training's time that the run may take."""
        return self._recording.settings.overhead_budget
