"""scikit-learn: `@autolog` records every fit, score and metric inside it; scikit-learn itself is left as it was."""

from importlib.util import find_spec

if find_spec("sklearn") is None:  # 1.6 or newer
    raise ImportError("barograph.integrations.sklearn needs scikit-learn: pip install 'barograph[sklearn]'")

from barograph.integrations.sklearn.autolog import autolog
from barograph.integrations.sklearn.callback import BarographCallback
from barograph.integrations.sklearn.recording import Recording

__all__ = ["BarographCallback", "Recording", "autolog"]
