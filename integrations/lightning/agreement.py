"""Which run the processes of a training write to: the first finds or makes it, and the others are told."""

from __future__ import annotations

from typing import Any

from barograph.attachment import Attachment
from barograph.integrations.lightning.logger import BarographLogger
from barograph.run import Run


def agree_on_run(attachment: Attachment, trainer: Any, loaded_id: str | None) -> Run | None:
    """The run for all ranks; None where rank 0 has none. loaded_id: of the run to go on with, from a checkpoint.

    Whatever fails here, every rank comes to the broadcast; one that did not would leave the others waiting.
    """
    rank, world = trainer.global_rank, trainer.world_size
    told = None
    try:
        if rank == 0:
            run_id = loaded_id or _planned_id(attachment, trainer)
            attachment.begin(rank=rank, world=world, run_id=run_id, resume=loaded_id is not None)
            told = attachment.address
    finally:
        if world > 1:
            told = trainer.strategy.broadcast(told)
    if rank > 0 and told is not None:
        attachment.begin(rank=rank, world=world, joining=told)
    return None if told is None else attachment.run


def _planned_id(attachment: Attachment, trainer: Any) -> str | None:
    """The id that a logger has given to the run before there was one, for a folder's name."""
    versions = [logger.version for logger in trainer.loggers if isinstance(logger, BarographLogger)]
    return versions[-1] if versions and attachment.run is None else None
