"""What the tests of this room share: the fingerprints of any data, taken as log_dataset() takes them."""

from __future__ import annotations

from typing import Any

from barograph.data.fingerprint import Scan
from barograph.data.recording import scanned
from barograph.data.sources import parts_of
from barograph.data.table import Table


def scan_of(data: Any, labels: object = None, weights: object = None) -> Scan:
    """A scan of some data, all of which can be read."""
    parts = parts_of(data, labels, weights)
    assert isinstance(parts["inputs"], Table), parts["inputs"]
    return scanned(parts, limit_s=60.0)


def ordered(data: Any, labels: object = None, weights: object = None) -> str:
    """The fingerprint that knows the order of the rows."""
    return scan_of(data, labels, weights).fingerprint()["ordered"]


def unordered(data: Any, labels: object = None, weights: object = None) -> str:
    """The fingerprint that does not."""
    return scan_of(data, labels, weights).fingerprint()["unordered"]
