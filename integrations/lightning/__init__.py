"""`lightning` and `pytorch_lightning` alike: BarographCallback for `callbacks=`, BarographLogger for `logger=`."""

# What a fit needs of core is loaded here, beside Lightning, and not on the time of the first fit: there it was most of
# what log_dataset() cost.
import barograph.data.recording
import barograph.data.stream
import barograph.data.weights
import barograph.media  # noqa: F401
from barograph.integrations.lightning.callback import BarographCallback
from barograph.integrations.lightning.logger import BarographLogger

__all__ = ["BarographCallback", "BarographLogger"]
