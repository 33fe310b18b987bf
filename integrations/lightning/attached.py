"""What callback and logger have in common: the constructor, and the run that they write to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph.attachment import Attachment
from barograph.run import Run

if TYPE_CHECKING:
    from barograph.reading import RunView


class Attached:
    """Something that writes to a run: the one given, else one that is open, else one of its own.

    The arguments of `barograph.init` are named one by one, because LightningCLI reads them off the signature.
    """

    def __init__(
        self,
        run: Run | None = None,
        project: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        notes: str = "",
        group: str | None = None,
        store: str | Path | None = None,
        id: str | None = None,  # the word of barograph.init
        resume: bool = False,
        quiet: bool = False,
    ) -> None:
        super().__init__()
        everything = {
            "project": project, "name": name, "config": config, "tags": tags, "notes": notes, "group": group,
            "store": store, "id": id, "resume": resume, "quiet": quiet,
        }  # fmt: skip
        given = {argument: value for argument, value in everything.items() if value}
        self.attachment = Attachment(run, **given)
        self._is_unspecific = run is None and not given.keys() - {"quiet"}
        self._given_run, self._given_project, self._given_id = run, project, id

    @property
    def run(self) -> Run | None:
        """The run in use; None before the first fit, and where only processes that the trainer spawned have used it."""
        return self.attachment.run

    def view(self) -> RunView | None:
        """The run as a reader sees it now, whichever process has written it; None if there is none yet."""
        from barograph.reading import find_run  # a training need not load it

        return find_run(self.attachment.place)
