"""Plain PyTorch: what the journal needs to know of tensors."""

from barograph.integrations.torch import values as _values  # noqa: F401  # registers the converter of device scalars

__all__: list[str] = []
