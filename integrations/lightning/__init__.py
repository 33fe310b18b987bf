"""`lightning` and `pytorch_lightning` alike: BarographCallback for `callbacks=`, BarographLogger for `logger=`."""

from barograph.integrations.lightning.callback import BarographCallback
from barograph.integrations.lightning.logger import BarographLogger

__all__ = ["BarographCallback", "BarographLogger"]
