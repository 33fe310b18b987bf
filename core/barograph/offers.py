"""What integrations offer to core, which names none of them: an integration is named as its framework's package."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Generic, TypeVar

_Offer = TypeVar("_Offer")


class Offers(Generic[_Offer]):
    """One kind of offer, by the root package of the types that it is for."""

    def __init__(self) -> None:
        self._by_package: dict[str, _Offer] = {}

    def register(self, package: str, offer: _Offer) -> None:
        """Take in what an integration offers when it is imported."""
        self._by_package[package] = offer

    def find(self, kind: type) -> _Offer | None:
        """What the integration of the package that a type, or else its nearest base, comes from offers, or None."""
        for package in dict.fromkeys(base.__module__.partition(".")[0] for base in kind.__mro__[:-1]):
            if package not in self._by_package:
                _import_integration(package)
            if package in self._by_package:
                return self._by_package[package]
        return None


@cache
def _import_integration(package: str) -> None:
    try:
        importlib.import_module(f"barograph.integrations.{package}")
    except ImportError:
        pass
