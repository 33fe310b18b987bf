"""Sealing on the side: the first reader of a big finished run seals it for those who come later."""

from __future__ import annotations

import threading
from contextlib import suppress

from barograph.errors import StoreError

from .layout import RunFolder
from .parquet import Database
from .sealing import seal

# Below, a journal is read in milliseconds and sealing gains nothing; above, the end of a reading process would have to
# wait too long for it, so such runs are left to `barograph seal`.
FEWEST_POINTS = 50_000
MOST_POINTS = 20_000_000


class BackgroundSealer:
    """Seals one run after the other on a thread of its own. Each run is tried once, and what fails is left as it is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offered: set[str] = set()
        self._waiting: list[RunFolder] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def offer(self, folder: RunFolder, points: int) -> None:
        """Seal a run that nobody writes to any more, if it is worth it. Returns at once."""
        with self._lock:
            if not FEWEST_POINTS <= points <= MOST_POINTS or folder.path.name in self._offered:
                return
            self._offered.add(folder.path.name)
            self._waiting.append(folder)
            if self._thread is None:
                # Not a daemon: a process that ends waits for the seconds it takes, and leaves no half-made file.
                self._thread = threading.Thread(target=self._work, name="barograph-seal")
                self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being sealed."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                folder = self._waiting.pop()
            with suppress(StoreError, OSError):  # read-only, full, or somebody else is at it: readers lose nothing
                seal(folder, self._database)
