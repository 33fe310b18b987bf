"""The errors of Barograph: one tree, so that one `except` catches all of ours and nothing else.

Each message says, in this order and as far as it applies: what failed, where, what was received, what to do, and what
became of the data. Bad arguments raise ValueError or TypeError instead; inside a training loop none of these escapes
(see guard.py).
"""


class BarographError(Exception):
    """Anything that Barograph itself reports."""


class SettingsError(BarographError):
    """A setting, or the environment variable that holds it, has a value that cannot be used."""


class JournalError(BarographError):
    """A file is not a journal, or a journal cannot be written where it was asked for."""


class StoreError(BarographError):
    """A store or a run folder is missing, unreadable, or not what it claims to be."""


class RunNotFoundError(StoreError):
    """No run of the store has this id, name or prefix."""


class AmbiguousRunError(StoreError):
    """More than one run of the store answers to this prefix."""


class RunIsLiveError(StoreError):
    """Something was asked of a run that can only be done when nothing writes to it any more."""
