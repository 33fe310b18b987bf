"""What notebooks, the command line and the dashboard read through."""

from barograph.artifacts.artifact import Artifact
from barograph.store.collecting import Collected
from barograph.store.digest import Damage, Statistics
from barograph.store.sealing import SealResult

from .histogram import Histogram
from .lineage import Lineage
from .metric import Metric
from .records import Event, Image, Table, Text
from .store import Store, find_run, open_store
from .view import RunError, RunView

__all__ = [
    "Artifact",
    "Collected",
    "Damage",
    "Event",
    "Histogram",
    "Image",
    "Lineage",
    "Metric",
    "RunError",
    "RunView",
    "SealResult",
    "Statistics",
    "Store",
    "Table",
    "Text",
    "find_run",
    "open_store",
]
