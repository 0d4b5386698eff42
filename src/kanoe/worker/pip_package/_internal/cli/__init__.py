"""Pip's command line."""

from pip import _join

_join(__path__, "pip", "_internal", "cli")
