"""Pip's operations."""

from pip import _join

_join(__path__, "pip", "_internal", "operations", first=True)
