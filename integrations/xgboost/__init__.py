"""XGBoost: `callbacks=[BarographCallback()]` in xgb.train, xgb.cv or a scikit-learn wrapper. Needs xgboost >= 2.1."""

try:
    # 2.1 is the lowest version that is tested and 3.2 the highest: 3.3 and later need Python 3.12
    import xgboost  # noqa: F401
except ImportError as error:
    raise ImportError(
        "barograph.integrations.xgboost needs XGBoost 2.1 or later: pip install 'barograph[xgboost]'"
    ) from error

from barograph.integrations.xgboost.callback import BarographCallback

__all__ = ["BarographCallback"]
