"""What pip's parts share."""

from pip import _join

_join(__path__, "pip", "_internal", "utils", first=True)
