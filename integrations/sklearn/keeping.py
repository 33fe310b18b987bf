"""A fitted model as an artifact, with what it takes and gives: in skops's safe format, else in joblib's.

Loading skops takes a second or two, so that it is used for models that were asked for, or where it is loaded already.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import pickle
import sys
from typing import Any

import numpy as np
import sklearn

from barograph.integrations.sklearn.calls import Call
from barograph.integrations.sklearn.estimators import fitted_attributes, kind, learner, shape_of
from barograph.integrations.sklearn.state import learned_arrays
from barograph.models import keep_model, limit_bytes, reason_against
from barograph.run import Run

_MOST_NAMES = 1000
_JOBLIB_WARNING = (
    "a joblib file runs code when it is loaded: load it only from a store that you trust, with the same scikit-learn. "
    "log_model=True with skops installed keeps a format that does not."
)


@dataclasses.dataclass(slots=True)
class Keepsake:
    """A fitted estimator and what its file is to say. seconds: of its fit, wished: the option log_model."""

    estimator: Any
    label: str
    step: int
    seconds: float
    wished: bool | None
    signature: dict[str, Any]

    def keep(self, run: Run, with_model: bool = True) -> str | None:
        """Write the digest of what was learned and, with_model, store it; "kept", or why not."""
        arrays = learned_arrays(self.estimator)
        run.log_weights(arrays, self.step)
        return self._store(run, sum(one.nbytes for one in arrays.values())) if with_model else None

    def _store(self, run: Run, least_bytes: int) -> str:
        """least_bytes: of its arrays alone."""
        if reason := reason_against(self.wished, self.seconds, least_bytes):
            return reason
        limit = limit_bytes(self.wished, self.seconds)
        try:
            data, about = _encode(_best(self.estimator), limit, may_import=self.wished is True)
        except _TooLargeError as error:
            return str(reason_against(self.wished, self.seconds, error.size_bytes))
        except Exception as error:  # noqa: BLE001  # a lambda in a transformer, say: the model cannot be pickled
            return f"cannot be pickled: {type(error).__name__}: {error}"[:500]
        return keep_model(
            run,
            lambda path: path.write_bytes(data),
            f"{self.label}.{about['format']}",
            framework="scikit-learn",
            version=sklearn.__version__,
            about={**about, "signature": self.signature},
            name=self.label,
            step=self.step,
        )


def keepsake(call: Call, label: str, step: int, known: dict[str, Any] | None = None) -> Keepsake:
    """Of the estimator that a call has fitted. known: its signature, if it was told before."""
    X, y = call.argument("X", 1), call.argument("y", 2)
    about = known if known is not None else signature(_best(call.estimator), X, y)
    return Keepsake(call.estimator, label, step, call.seconds, call.options.log_model, about)


def _best(estimator: Any) -> Any:
    """What a search has found, not all that it has tried."""
    return fitted_attributes(estimator).get("best_estimator_", estimator)


def signature(model: Any, X: Any, y: Any) -> dict[str, Any]:
    """What a model takes and gives: names, dtypes and shapes of features and targets, and its classes."""
    attributes = fitted_attributes(learner(model)) | fitted_attributes(model)
    names = getattr(model, "feature_names_in_", None)
    features = getattr(model, "n_features_in_", None)
    takes: dict[str, Any] = {"type": type(X).__name__, "shape": [None, features or shape_of(X)[1]]}
    if names is not None:
        takes["names"] = [str(name) for name in names[:_MOST_NAMES]]
    takes |= _dtypes(X)
    gives: dict[str, Any] = {"kind": kind(model)}
    if y is not None:
        targets = shape_of(y)[1]
        gives |= {"shape": [None] if targets is None else [None, targets], **_dtypes(y)}
    classes = attributes.get("classes_")
    if isinstance(classes, np.ndarray):
        gives["classes"] = classes[:_MOST_NAMES].tolist()
    return {"inputs": takes, "outputs": gives}


def _dtypes(data: Any) -> dict[str, Any]:
    if hasattr(data, "dtypes") and hasattr(data, "columns"):  # a data frame
        pairs = zip(list(data.columns)[:_MOST_NAMES], data.dtypes, strict=False)
        return {"dtypes": {str(name): str(one) for name, one in pairs}}
    return {"dtype": str(data.dtype)} if hasattr(data, "dtype") else {}


class _TooLargeError(Exception):
    """What is pickled has grown past the limit, to at least `size_bytes`."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


class _Bounded(io.BytesIO):
    """Bytes in memory, as long as they are not too many: so the size of a model costs no more than the limit."""

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any, /) -> int:
        size_bytes = self.tell() + memoryview(data).nbytes
        if self._limit is not None and size_bytes > self._limit:
            raise _TooLargeError(size_bytes)
        return super().write(data)


def _encode(model: Any, limit: int | None, may_import: bool) -> tuple[bytes, dict[str, Any]]:
    file = _Bounded(limit)
    pickle.Pickler(file, protocol=5).dump(model)  # joblib loads it, and would take ten times as long to write it
    about = {"class": f"{type(model).__module__}.{type(model).__qualname__}"}
    if "skops.io" in sys.modules or (may_import and importlib.util.find_spec("skops") is not None):
        from skops import io as safe
        from skops.io.exceptions import UnsupportedTypeException

        try:
            data = safe.dumps(model)
        except UnsupportedTypeException:  # a transformer of the user's that skops cannot take apart
            pass
        else:
            return data, {"format": "skops", **about, "load": "skops.io.load", "types_to_trust": _untrusted(data)}
    return file.getvalue(), {"format": "joblib", **about, "load": "joblib.load", "warning": _JOBLIB_WARNING}


def _untrusted(data: bytes) -> list[str]:
    from skops import io as safe

    return list(safe.get_untrusted_types(data=data))
