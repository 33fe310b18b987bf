"""What changed between runs, and whether a run can be repeated. Runs are read through their views alone."""

from .change import Change
from .difference import Difference, diff
from .results import Figure, Result

__all__ = ["Change", "Difference", "Figure", "Result", "diff"]
