"""What the key of a metric says: whether it tells how good a training was, and whether more of it is better."""

from __future__ import annotations

from typing import Any

# What a clock or the machine decides.
_MEASURED = ("system/", "gpu/", "time/", "throughput/")
_MEASURED_WORDS = frozenset(
    "time times seconds secs sec ms duration elapsed eta latency throughput fps speed walltime timestamp".split()
)
# What goes on inside a model, on whichever steps a budget of time let it be looked at.
_INSIDE = (
    "gradients/", "weights/", "updates/", "activations/", "momentum/", "optimizer/", "trees/", "importance/", "coef/",
    "components/", "model/", "shap/", "iteration/",
)  # fmt: skip
_ASIDE = ("weight_decay/", "fit/", "search/fold/")
_POSITIONS = ("epoch", "batch", "samples", "rows")
_SET = ("lr", "learning_rate", "step")  # logged, but chosen by a person
_RISING = (
    "acc", "auc", "f1", "precision", "recall", "r2", "score", "iou", "map", "dice", "bleu", "rouge", "reward", "return",
    "psnr", "ssim", "ndcg", "kappa", "mcc", "average_precision", "throughput", "top",
)  # fmt: skip


def is_better_high(key: str) -> bool:
    """Whether more is better of a metric, going by its name: accuracies and scores, but not losses and errors."""
    words = _words(key)
    if any(word.endswith(("loss", "error", "err")) for word in words):
        return False
    return any(word.startswith(rising) for word in words for rising in _RISING)


def is_telling(key: str) -> bool:
    """Whether a metric tells how good a training was, and not where it stands or what goes on inside and around it."""
    return not key.startswith((*_MEASURED, *_INSIDE, *_ASIDE)) and not is_position(key)


def is_inside(key: str) -> bool:
    """Whether a metric is a figure from inside a model, of which no value is best."""
    return key.startswith(_INSIDE)


def is_position(key: str) -> bool:
    """Whether a metric only says where its step stands in a training: epoch, batch, samples."""
    return _last(key) in _POSITIONS


def is_measured(key: str) -> bool:
    """Whether a clock or the machine decides a metric, so that it is another one in every run."""
    if key.startswith("lr/"):  # XGBoost calls its learning rate eta, others the time that is left
        return False
    words = _words(key)
    # fit_s and it/s are in seconds; loss_s is the loss of something that begins with s.
    is_in_seconds = words[-1] == "s" and len(words) > 1 and not words[-2].startswith(("loss", "err", *_RISING))
    return key.startswith(_MEASURED) or not _MEASURED_WORDS.isdisjoint(words) or is_in_seconds


def best_of(key: str, numbers: Any) -> tuple[float | None, int | None]:
    """The best value of a metric and its step; none of what stands for a position, was set, or is inside a model.

    numbers: anything with min, min_step, max and max_step.
    """
    if _last(key) in (*_POSITIONS, *_SET) or key.startswith("lr/") or is_inside(key):
        return None, None
    return (numbers.max, numbers.max_step) if is_better_high(key) else (numbers.min, numbers.min_step)


def _words(key: str) -> list[str]:
    return key.lower().replace("-", "_").replace("/", "_").split("_")


def _last(key: str) -> str:
    return key.rpartition("/")[2]
