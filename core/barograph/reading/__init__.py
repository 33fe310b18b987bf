"""What notebooks, the command line and the dashboard read through."""

from barograph.store.digest import Damage, Statistics
from barograph.store.sealing import SealResult

from .histogram import Histogram
from .metric import Metric
from .records import Event, Image, Table, Text
from .store import Store, open_store
from .view import RunError, RunView

__all__ = [
    "Damage",
    "Event",
    "Histogram",
    "Image",
    "Metric",
    "RunError",
    "RunView",
    "SealResult",
    "Statistics",
    "Store",
    "Table",
    "Text",
    "open_store",
]
