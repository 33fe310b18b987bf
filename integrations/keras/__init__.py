"""Keras 3.7 and later: `callbacks=[BarographCallback()]` in fit, evaluate or predict, on torch, jax or tensorflow."""

try:
    import keras  # noqa: F401  # 3.7 is the lowest version that is tested
except ImportError as error:
    raise ImportError(
        "barograph.integrations.keras needs Keras 3.7 or later: pip install 'barograph[keras]'"
    ) from error

from barograph.integrations.keras.callback import BarographCallback

__all__ = ["BarographCallback"]
