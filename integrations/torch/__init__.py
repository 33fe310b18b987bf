"""Plain PyTorch: watch() looks into a model while it trains. What lightning stands on."""

from barograph.integrations.torch import values as _values  # noqa: F401  # registers the converter of device scalars
from barograph.integrations.torch.watching import Watch, watch

__all__ = ["Watch", "watch"]
